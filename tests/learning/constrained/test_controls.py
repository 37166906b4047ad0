"""Draws of k: full strength, the worst of each row, vertices and edges."""

import pytest
import torch

import itn
from itn.learning.constrained.controls import draw_controls
from itn.learning.constrained.settings import DEFAULT_SETTINGS
from itn.stats import generator


@pytest.mark.parametrize("controls", [1, 2, 3])
def test_draws_are_full_strength_then_the_worst_then_vertices_the_way_and_edges(controls):
    worst = torch.rand(4, controls, 2)
    draw = draw_controls(worst, 100, generator(0, "batches"), DEFAULT_SETTINGS)
    assert (draw.full, draw.worst) == (slice(40), slice(40, 70))
    assert len(draw.ks) == controls
    ways = []
    for number, k in enumerate(draw.ks):
        assert k.shape == (4, 100, 2)
        assert (k[:, draw.full] == 1).all()
        assert (k[:, draw.worst] == worst[:, number, None]).all()
        others = k[0, 70:]
        assert (k[:, 70:] == others).all()  # the same for all rows
        assert {tuple(one) for one in others[:10].tolist()} == {(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)}
        ways.append(others[10:20])
        edges = others[20:]
        assert (edges.amax(-1) == 1).all()
        assert ((edges >= 0) & (edges <= 1)).all()
        assert 0.2 < edges.amin(-1).mean() < 0.8
    assert all(torch.equal(way, ways[0][:, :1].expand(-1, 2)) for way in ways)  # all ks together
    assert 0 < ways[0].min() < 0.3
    assert 0.7 < ways[0].max() < 1
    assert all(not torch.equal(draw.ks[0], k) for k in draw.ks[1:])


def test_a_learner_draws_for_every_control_also_where_it_drives_nothing(make_learner, blobs, side):
    """So that color or space by itself is learned with the draws that both get."""
    for parts in (("spatial",), ("color", "spatial")):
        learner = make_learner(side, itn.preflight(side, *blobs), parts=parts)
        assert learner.worst.shape == (4, 2, 2)
