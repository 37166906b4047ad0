"""Restarts are compared fairly, and the worse ones pruned."""

import pytest
import torch

import itn
from itn.learning.constrained.restarts import standings


def test_worse_restarts_are_pruned_and_the_net_gets_the_best(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs), steps=20)
    history = [learner.step(number) for number in range(20)]
    assert [step.values["restarts"] for step in history] == [4] * 6 + [1] * 14
    learner.finish()
    parts = {part: learner.net.part(part).matrix(torch.ones(1, 2)) for part in ("color", "spatial")}
    displacements = {part: itn.displacement(matrix).item() for part, matrix in parts.items()}
    assert displacements == pytest.approx(history[-1].displacement, rel=1e-5)


def test_restarts_are_compared_as_if_all_broke_equally_many(make_learner, blobs, side):
    """A restart that shifts along y alone, which breaks nothing, is ahead of one that shifts along x."""
    learner = make_learner(side, itn.preflight(side, *blobs), parts=("spatial",), family="translation")
    with torch.no_grad():
        for restart in range(4):
            learner.families.output[0][restart] = 0
            learner.families.output[0][restart, restart % 2] = 0.5  # x, y, x, y
        learner.families.log_scale += torch.tensor([[0.0], [0.0], [0.5], [0.5]])
    (x, y, x_larger, y_larger), _ = standings(
        learner.families,
        learner.sampler,
        learner.soft_changes,
        learner.worst,
        learner.config.batch_size,
        learner.settings,
    )
    assert min(y, y_larger) > max(x, x_larger)
    # Among restarts with the same direction, scale does not count
    assert abs(x - x_larger) < 0.3
