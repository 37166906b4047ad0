"""Draws of k: full strength, vertices and edges."""

import itn
from itn.learning.constrained.controls import draw_controls


def test_draws_are_full_strength_then_vertices_then_edges(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    k1, k2, group = draw_controls(100, learner.generator, learner.settings, learner.classifier.device)
    assert (k1[:50] == 1).all()
    assert (k2[:50] == 1).all()
    assert (group[:50] == 8).all()
    number = {(1.0, 0.0): 0, (0.0, 1.0): 1, (1.0, 1.0): 2}
    for i in range(50, 80):
        pair = tuple(k1[i].tolist()), tuple(k2[i].tolist())
        assert group[i] == 3 * number[pair[0]] + number[pair[1]]
    for k in (k1[80:], k2[80:]):
        assert (k.amax(-1) == 1).all()
        assert ((k >= 0) & (k <= 1)).all()
        assert 0.2 < k.amin(-1).mean() < 0.8
