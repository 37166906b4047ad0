"""Brackets around decision changes."""

import pytest
import torch

import itn
from itn.screening.flips import find_flips, last_unchanged


@pytest.mark.parametrize(
    ("name", "path", "limits"),
    [
        ("rotate", (15.0, 40.0, 90.0), (3.0, 16.0, 39.9, 77.0)),
        ("rotate", (-15.0, -40.0), (-15.0, -1.0, -29.0)),
        ("zoom", (1.25, 2.0, 4.0), (1.1, 1.9, 3.99)),
        ("zoom", (0.8, 0.25), (0.81, 0.79, 0.3)),
    ],
)
@pytest.mark.parametrize("bisections", [0, 3])
def test_the_other_end_of_a_bracket_is_what_was_tried_last(name, path, limits, bisections):
    """Images whose prediction changes at a limit: what was tried there is remembered by the classifier."""
    transform, tried = itn.TRANSFORMS[name], [set() for _ in limits]
    limit = torch.tensor(limits, dtype=torch.float64)

    def predict(index, v):
        v = v.expand(len(index))
        for n, magnitude in zip(index.tolist(), v.tolist(), strict=True):
            tried[n].add(magnitude)
        return ((v - transform.identity).abs() >= (limit[index] - transform.identity).abs()).long()

    found = find_flips(predict, torch.zeros(len(limits), dtype=torch.int64), transform, path, bisections)
    for n, first in enumerate(found.magnitude.tolist()):
        reach = abs(limits[n] - transform.identity)
        kept = [v for v in (transform.identity, *tried[n]) if abs(v - transform.identity) < reach]
        expected = max(kept, key=lambda v: abs(v - transform.identity))
        assert last_unchanged(transform, path, first, bisections) == pytest.approx(expected, rel=1e-9)


def test_of_a_discrete_transformation_it_is_the_magnitude_before():
    assert last_unchanged(itn.TRANSFORMS["horizontal_flip"], (1.0,), 1.0, 4) == 0
