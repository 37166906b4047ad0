"""Scales follow the target, and directions leave them alone."""

import torch

import itn
from itn.learning.constrained.controls import draw_controls
from itn.stats import generator


@torch.no_grad()
def step_of_scales(learner, drop, rate):
    """Return how log scales change at a drop, with color and spatial in balance."""
    learner.primal_dual.drops[:] = drop
    before = learner.families.log_scale.clone()
    learner.primal_dual.step_scales(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(4), rate)
    return learner.families.log_scale - before


def test_scales_follow_twice_the_odds_of_the_tolerance(make_learner, blobs, side):
    """0.06 / 0.94 doubled is 0.12 / 0.94, a share of 0.12 / 1.06; scales settle a tenth below it."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    assert (step_of_scales(learner, drop=0.89 * 0.12 / 1.06, rate=0.1) > 0).all()
    assert (step_of_scales(learner, drop=0.91 * 0.12 / 1.06, rate=0.1) < 0).all()


def test_growth_ends_where_tanh_is_flat(make_learner, blobs, side):
    """A family that breaks nothing would otherwise grow forever, and no scale could bring it back."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    for _ in range(300):
        step_of_scales(learner, drop=0.0, rate=1.0)
    for number in range(2):
        parameters = learner.families.of_part(number, learner.families.log_scale, torch.ones(4, 1, 2))
        torch.testing.assert_close(parameters.abs().amax((1, 2)), torch.full((4,), 3.0).tanh())


def test_the_part_that_lags_catches_up(make_learner, blobs, side):
    """Where more color would gain and more spatial would not, color grows at the cost of spatial."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    learner.primal_dual.drops[:] = learner.target / 1.1 * 0.99  # the scale as a whole is nearly at rest
    before = learner.families.log_scale.clone()
    with torch.no_grad():
        learner.primal_dual.step_scales(
            torch.tensor([[1.0, 0.0]]).expand(4, 2), torch.zeros(4, 2), torch.ones(4), rate=0.1
        )
    color, spatial = (learner.families.log_scale - before).unbind(1)
    assert (color > 0.02).all()
    assert (spatial < -0.02).all()


def test_steps_in_direction_keep_the_norm_of_weights(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    norms = [weights.detach().square().mean((1, 2)) for weights in learner.families.output]
    for number in range(3):
        learner.step(number)
    for weights, norm in zip(learner.families.output, norms, strict=True):
        torch.testing.assert_close(weights.detach().square().mean((1, 2)), norm)


def test_the_constraint_that_binds_gets_the_multiplier(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    target = learner.target
    learner.primal_dual.drops[:] = torch.tensor([[1.0, 0.45], [0.45, 1.0], [1.0, 1.0], [1.0, -3.0]]) * target
    draw = draw_controls(learner.worst, 10, generator(0, "batches"), learner.settings)
    factors = learner.primal_dual.factors(draw)
    expected = [[1.0, 0.125], [0.125, 1.0], [1.0, 1.0], [1.0, 0.05]]
    torch.testing.assert_close(factors[:, [0, 4]], torch.tensor(expected))
    assert (factors[:, 7:] == learner.settings.other_factor).all()


def test_drops_are_averaged_over_as_many_images_as_their_variance_asks_for(make_learner, blobs, side):
    """Rows 0 and 1 break and mend as many; rows 2 and 3 hardly change. A break of all draws follows."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    primal_dual, settings = learner.primal_dual, learner.settings
    draw = draw_controls(learner.worst, 10, generator(0, "batches"), settings)
    change = torch.zeros(4, 10)
    change[:2, 0::2], change[:2, 1::2] = 1, -1
    primal_dual.update_means(change, draw, torch.ones(4), 1.0, number=0)
    assert primal_dual.variance.tolist() == [1, 1, 0, 0]
    needed = 1 / (settings.drop_precision * learner.target) ** 2
    assert settings.average_over < needed < settings.most_average_over
    # Many changes: as if the target had been lost by the images that are needed beyond the least number
    started = learner.target * (1 - 10 / (needed - 400 + 10))
    torch.testing.assert_close(primal_dual.drops[:, 0], torch.tensor([started, started, 0, 0]))
    primal_dual.drops[:] = 0
    primal_dual.update_means(torch.ones(4, 10), draw, torch.ones(4), 0.0, number=10**7)
    expected = torch.tensor([10 / needed, 10 / needed, 10 / 400, 10 / 400])
    torch.testing.assert_close(primal_dual.drops[:, 0], expected)


def test_known_drops_move_with_the_scale_where_they_reach_far_back(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    primal_dual, settings, before = learner.primal_dual, learner.settings, 0.5 * learner.target
    primal_dual.variance[:] = torch.tensor([0.0, 1.0, 1.0, 100.0])
    step = step_of_scales(learner, drop=before, rate=0.1)[:, 0]
    assert (step > 0).all()
    needed = 1 / (settings.drop_precision * learner.target) ** 2
    old = 1 - 400 / torch.tensor([400, needed, needed, settings.most_average_over])
    expected = before * (settings.growth_exponent * old * step).exp()
    torch.testing.assert_close(primal_dual.drops[:, 0], expected)
    step_of_scales(learner, drop=-before, rate=0.1)
    torch.testing.assert_close(primal_dual.drops[:, 0], torch.full((4,), -before))
