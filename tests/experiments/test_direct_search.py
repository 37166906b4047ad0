"""The search that learning is measured against, where the answer is known on paper."""

import pytest
import torch

import itn
from itn.certification.family_baselines import estimate_family_baselines
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem


@pytest.fixture
def search(experiment):
    """Return the class of the objective."""
    return experiment("family_sizes.direct_search").DirectSearch


@pytest.fixture
def colors(search, flats, brightness):
    """Return a new learner of colors."""
    config = itn.LearnConfig(
        objective=search(images=400 * 200), parts=("color",), tolerance=0.06, batch_size=64
    )
    data = itn.preflight(brightness, *flats)

    def learner():
        net, images = make_net(brightness, config, data.images.shape), EvaluationSet(brightness, data, 64)
        baselines = estimate_family_baselines(net, images, config.terms.test(200, images.criterion))
        return config.goal.learner([LearnProblem(net, images, baselines)], config)

    return learner


@pytest.fixture
def searched(colors):
    """Return a learner that has finished."""
    learner = colors()
    for number in range(learner.objective.steps):
        learner.step(number)
    learner.finish()
    return learner


def test_it_goes_further_than_any_baseline_and_breaks_no_more_than_the_target(searched):
    """Gain g and bias b hold if and only if 0.25 g + b <= 0.5 <= 0.75 g + b; a gain alone has 0.5."""
    problem = searched.problem
    full = itn.displacement(problem.net.part("color").matrix(torch.ones(1, 2))).item()
    assert full > 1.2 * problem.baselines.references["color"]
    family = ParametricTransform.of_net(problem.net)
    assert problem.training.tally(family, family.full_strength).drop <= 0.06


def test_its_family_grows_in_proportion_to_the_mean_of_k(searched):
    head = searched.net.part("color").head
    half, likewise, whole = head(torch.tensor([[1.0, 0.0], [0.25, 0.75], [1.0, 1.0]])).atanh()
    torch.testing.assert_close(half, likewise)
    torch.testing.assert_close(whole, 2 * half, rtol=1e-3, atol=1e-3)


def test_the_best_start_is_kept_and_a_search_goes_on_where_it_was(colors):
    first, second = colors(), colors()
    steps = [first.step(number) for number in range(2)]
    second.load_state(first.state())
    steps.append(first.step(2))
    assert second.step(2) == steps[2]
    assert torch.equal(second.best, first.best)
    values = [step.values["value"] for step in steps]
    assert max(values) == -first.badness_of_best
    assert -first.badness(first.best.numpy()) == pytest.approx(max(values), rel=0.05)


def test_a_range_has_no_directions(search):
    with pytest.raises(ValueError, match="parts with several parameters"):
        itn.LearnConfig(objective=search(), family="rotation")
