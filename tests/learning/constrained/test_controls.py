"""Draws of k: full strength, vertices and edges."""

import pytest
import torch

import itn
from itn.learning.constrained.controls import Groups, draw_controls
from itn.learning.constrained.settings import DEFAULT_SETTINGS
from itn.stats import generator


@pytest.mark.parametrize("controls", [1, 2, 3])
def test_draws_are_full_strength_then_vertices_then_edges(controls):
    groups = Groups(controls)
    assert (groups.full_strength, groups.edges, groups.total) == (
        3**controls - 1,
        3**controls,
        3**controls + 1,
    )
    ks, group = draw_controls(groups, 100, generator(0, "batches"), DEFAULT_SETTINGS, torch.device("cpu"))
    assert len(ks) == controls
    for k in ks:
        assert (k[:50] == 1).all()
    assert (group[:50] == groups.full_strength).all()
    number = {(1.0, 0.0): 0, (0.0, 1.0): 1, (1.0, 1.0): 2}
    for i in range(50, 80):
        digits = "".join(str(number[tuple(k[i].tolist())]) for k in ks)
        assert group[i] == int(digits, 3)
    assert (group[80:] == groups.edges).all()
    for k in (k[80:] for k in ks):
        assert (k.amax(-1) == 1).all()
        assert ((k >= 0) & (k <= 1)).all()
        assert 0.2 < k.amin(-1).mean() < 0.8
    assert all(not torch.equal(ks[0], k) for k in ks[1:])


def test_a_learner_draws_for_every_control_also_where_it_drives_nothing(make_learner, blobs, side):
    """So that color or space by itself is learned with the draws that both get."""
    groups = [
        make_learner(side, itn.preflight(side, *blobs), parts=parts).primal_dual.groups
        for parts in (("spatial",), ("color", "spatial"))
    ]
    assert groups == [Groups(2), Groups(2)]
