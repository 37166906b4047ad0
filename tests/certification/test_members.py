"""The last choice: members that need no learning are taken where nothing learned goes farther."""

import pytest
import torch

import itn
from itn.certification.criteria import Broken
from itn.certification.family_baselines import estimate_family_baselines
from itn.certification.members import _Search, choose_family
from itn.certification.parametric import Count, EvaluationSet, ParametricTransform, displacements_full
from itn.learning.load import make_net


@pytest.fixture
def problem(flats, brightness):
    """Return a function to a net of colors, images of two shades, and their baselines.

    The shades are 1/4 and 3/4, told apart at 1/2: a gain alone may be 2/3 or more, a bias alone -1/4 to 1/4.
    """

    def make(gain, bias, **settings):
        config = itn.LearnConfig(parts=("color",), color_bound=1.0, tolerance=0.06, **settings)
        data = itn.preflight(brightness, *flats)
        net = make_net(brightness, config, data.images.shape)
        head = net.part("color").head
        with torch.no_grad():
            head.hidden.weight.zero_()
            head.output.weight.zero_()
            head.hidden.weight[0] = 0.5
            head.output.weight[:, 0] = torch.tensor([gain, bias])
        images = EvaluationSet(brightness, data, criterion=Broken())
        test = config.terms.test(len(data), Broken())
        return net, images, estimate_family_baselines(net, images, test)

    return make


def displacement_of(net, images, scale):
    return displacements_full(net, images.data.images.shape, scale)["color"]


def test_a_single_transformation_is_chosen_where_learning_ended_short_of_it(problem):
    net, images, baselines = problem(gain=0.0, bias=0.1)
    choice = choose_family(net, images, baselines, members=True)
    assert choice.members["color"].split(" and ")[0] == "contrast +"
    assert displacement_of(net, images, choice.scale) >= 0.95 * baselines.references["color"]
    # It keeps to the tolerance where it is said to
    family = ParametricTransform.of_net(net)
    for k in (family.full_strength, choice.worst_k):
        assert images.tally(family, choice.scale * k).drop == 0


def test_what_was_learned_stays_where_it_goes_farther(problem):
    """A gain of 2 with a bias of -1/2 leaves the shades on their sides: farther than any single one."""
    net, images, baselines = problem(gain=0.9, bias=-0.45)
    before = displacement_of(net, images, 1.0)
    choice = choose_family(net, images, baselines, members=True)
    assert choice.members == {}
    assert displacement_of(net, images, 1.0) == pytest.approx(before, rel=1e-4)
    assert displacement_of(net, images, choice.scale) > baselines.references["color"]


def test_without_members_the_weights_stay_as_they_are(problem):
    net, images, baselines = problem(gain=0.0, bias=0.1)
    before = {name: value.clone() for name, value in net.transformer_state().items()}
    choice = choose_family(net, images, baselines, members=False)
    assert choice.members == {}
    assert all(torch.equal(value, before[name]) for name, value in net.transformer_state().items())
    assert displacement_of(net, images, choice.scale) == pytest.approx(0.25**2 / 2, rel=0.05)


def test_heads_that_cannot_hold_a_member_are_left_alone(problem):
    """Heads without negative outputs have no darker member, heads of one unit no member at all."""
    net, images, baselines = problem(gain=0.0, bias=0.1, nonnegative=True)
    choice = choose_family(net, images, baselines, members=True)
    assert " -" not in choice.members.get("color", "")
    assert (net.part("color").head.output.weight >= 0).all()
    net, images, baselines = problem(gain=0.0, bias=0.1, hidden=1)
    assert choose_family(net, images, baselines, members=True).members == {}


def test_a_candidate_that_fails_at_its_own_worst_k_gives_way_to_the_one_before(problem):
    """Both entries of a pair cancel at full strength: it gets ahead there, and loses where one acts alone."""
    net, images, baselines = problem(gain=0.0, bias=0.1)
    search = _Search(net, images, baselines)
    single = next(plain for plain in search.plain() if plain.options[0].name == "contrast +")
    search.consider(single)
    assert search.best is single
    assert search.passed == [single]
    cancelling = single.options[0]._replace(name="cancelling", output=single.options[0].output.clone())
    cancelling.output[1, 0], cancelling.output[1, 1] = 9.0, -9.0  # of the bias
    search.passed.append(single._replace(options=(cancelling,)))
    # Ahead of what was learned at its own worst k, too, but not of the one before
    assert search._judged(search.passed[-1], images)[0] < search._judged(single, images)[0]
    choice = search.settled()
    assert choice.members == {"color": "contrast +"}


def test_a_part_with_a_range_keeps_it_beside_other_parts(flats, brightness):
    """Members know one end of a range; what was learned knows both."""
    config = itn.LearnConfig(parts=("color", "spatial"), color_family="bias", tolerance=0.06)
    data = itn.preflight(brightness, *flats)
    net = make_net(brightness, config, data.images.shape)
    images = EvaluationSet(brightness, data, criterion=Broken())
    baselines = estimate_family_baselines(net, images, config.terms.test(len(data), Broken()))
    before = net.part("color").head.hidden.weight.clone()
    choice = choose_family(net, images, baselines, members=True)
    assert "color" not in choice.members
    assert torch.equal(net.part("color").head.hidden.weight, before)


def test_one_part_may_do_something_else_than_was_learned(problem, monkeypatch):
    """Also where not all parts are single transformations at once: here none is tried so."""
    monkeypatch.setattr(_Search, "plain", lambda search: [])
    net, images, baselines = problem(gain=0.0, bias=0.1)
    choice = choose_family(net, images, baselines, members=True)
    assert choice.members["color"].startswith("contrast +")


def test_neighbors_share_displacement_otherwise_or_change_one_part(flats, brightness):
    config = itn.LearnConfig(parts=("color", "spatial"), tolerance=0.06)
    data = itn.preflight(brightness, *flats)
    net = make_net(brightness, config, data.images.shape)
    images = EvaluationSet(brightness, data, criterion=Broken())
    search = _Search(
        net, images, estimate_family_baselines(net, images, config.terms.test(len(data), Broken()))
    )
    found = list(search.neighbors(search.best))
    shared = [one.shares for one in found if one.options == search.best.options]
    assert [sum(shares) for shares in shared] == pytest.approx(2 * [sum(search.best.shares)])
    gains = [shares[1] - search.best.shares[1] for shares in shared]
    assert gains == pytest.approx([-0.6, 0.6])
    changed = [one.options for one in found if one.options is not search.best.options]
    assert len(changed) == sum(len(options) - 1 for options in search.options)
    for options in changed:
        differ = [a is not b for a, b in zip(options, search.best.options, strict=True)]
        assert sum(differ) == 1


def test_a_family_that_loses_early_and_then_nothing_more_beats_a_member_that_loses_all_at_once(problem):
    """Of 1,000 images twelve break soon and the others late, or, brightened, all at once, but not so soon."""
    net, images, baselines = problem(gain=0.0, bias=0.1)
    search = _Search(net, images, baselines)

    def reached(early, late):
        """The mean score of a family that loses 0.6 of the tolerance from one scale on, all from another."""
        tolerance, tried = search.test.tolerance, []

        class Stepped:
            def tally(self, family, k, enough):
                scale = float(k.max())
                tried.append(scale)
                drop = 0.0 if scale < early else 0.6 * tolerance if scale < late else 1.0
                return Count(round(drop * 1000), 0, 1000)

        search.images = Stepped()
        score = search._reached((0.5, search.family.full_strength))
        assert max(tried) < 2 * late  # no farther than needed
        return score

    assert reached(0.4, 3.0) > reached(0.6, 0.6)
    assert reached(0.6, 0.6) > reached(0.3, 0.5)
