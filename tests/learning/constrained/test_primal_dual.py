"""Scales follow the target, and directions leave them alone."""

import torch

import itn
from itn.learning.constrained.controls import draw_controls
from itn.stats import generator


@torch.no_grad()
def step_of_scales(learner, room):
    """Return how log scales change with so much room, with color and spatial in balance."""
    learner.primal_dual.room.estimates[:] = room
    before = learner.families.log_scale.clone()
    learner.primal_dual.step_scales(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(4))
    return learner.families.log_scale - before


def test_scales_follow_the_room(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    rate = learner.settings.scale_rate
    room = torch.tensor([[0.5, 0.3], [0.3, 0.5], [-0.2, 3.0], [-5.0, 0.0]])
    step = step_of_scales(learner, room)
    expected = rate * torch.tensor([0.3, 0.3, -0.2, -1.0])[:, None]
    torch.testing.assert_close(step, expected.expand(4, 2))
    torch.testing.assert_close(learner.primal_dual.room.estimates, room - expected)


def test_growth_ends_where_tanh_is_flat(make_learner, blobs, side):
    """A family that breaks nothing would otherwise grow forever, and no scale could bring it back."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    for _ in range(300):
        step_of_scales(learner, room=1.0)
    for number in range(2):
        parameters = learner.families.of_part(number, learner.families.log_scale, torch.ones(4, 1, 2))
        torch.testing.assert_close(parameters.abs().amax((1, 2)), torch.full((4,), 3.0).tanh())


def test_the_part_that_lags_catches_up(make_learner, blobs, side):
    """Where more color would gain and more spatial would not, color grows at the cost of spatial."""
    learner = make_learner(side, itn.preflight(side, *blobs))
    learner.primal_dual.room.estimates[:] = 0  # the scale as a whole is at rest
    before = learner.families.log_scale.clone()
    with torch.no_grad():
        learner.primal_dual.step_scales(
            torch.tensor([[1.0, 0.0]]).expand(4, 2), torch.zeros(4, 2), torch.ones(4)
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
    drops = torch.tensor([[1.0, 0.5], [0.5, 1.0], [1.0, 1.0], [1.0, 1e-9]])
    learner.primal_dual.room.estimates[:] = -drops.log() / learner.settings.growth_exponent
    draw = draw_controls(learner.worst, 10, generator(0, "batches"), learner.settings)
    factors = learner.primal_dual.factors(draw)
    expected = [[1.0, 0.125], [0.125, 1.0], [1.0, 1.0], [1.0, 0.05]]
    torch.testing.assert_close(factors[:, [0, 4]], torch.tensor(expected))
    assert (factors[:, 7:] == learner.settings.other_factor).all()
