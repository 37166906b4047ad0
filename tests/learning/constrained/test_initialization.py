"""What learning begins with: units, directions, scales."""

import pytest
import torch

import itn
from itn.learning.constrained.initialization import init_directions


def test_first_displacements_are_a_quarter_of_the_references(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs), references={"color": 0.2, "spatial": 0.04})
    families = learner.families
    parameters = families.full_strength(families.log_scale)
    displacements = families.ratios(parameters)[:, 0] * families.references
    expected = torch.tensor([[0.05, 0.01]]).expand(4, 2)
    torch.testing.assert_close(displacements, expected, rtol=1e-3, atol=0)


def test_units_tell_what_the_classifier_is_sensitive_to(make_learner, blobs, side):
    """It reads the horizontal center: shifts go to 0.5 along x, and to the bound along y."""
    learner = make_learner(side, itn.preflight(side, *blobs), parts=("spatial",))
    ((unit, *_),) = learner.families.units
    _, skew_x, shift_x, skew_y, scale_y, shift_y = unit.tolist()
    assert shift_x == pytest.approx(0.5, rel=0.05)
    assert skew_x == skew_y == scale_y == shift_y == 1


def test_restarts_begin_along_pairs_of_promising_directions(make_learner, blobs, side):
    """Three restarts of four: about the first at (1, 0), the second at (0, 1), the sum at full strength."""
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data, parts=("spatial",))
    pair = torch.zeros(1, 2, 6)
    pair[0, 0, 0], pair[0, 1, 4] = 0.3, 0.3  # scales along x and along y
    init_directions(learner.families, 0, slice(None), pair, learner.settings)
    vertices = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).expand(4, -1, -1)
    parameters = learner.families.of_part(0, learner.families.log_scale, vertices)
    expected = torch.stack([pair[0, 0], pair[0, 1], pair[0].sum(0)])
    cosines = torch.cosine_similarity(parameters, expected, dim=-1)
    assert cosines[:3].mean() > 0.8
    assert cosines[3].mean() < cosines[:3].mean()


def test_directions_of_length_zero_leave_restarts_random(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs), parts=("spatial",))
    before = learner.families.output[0].detach().clone()
    init_directions(learner.families, 0, slice(None), torch.zeros(1, 2, 6), learner.settings)
    torch.testing.assert_close(learner.families.output[0].detach(), before)
