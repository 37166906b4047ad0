import math

import pytest

from itn.transforms import octaves, steps


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 0.5, 0.1), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),  # 3 * 0.1 is 0.30000000000000004
        ((-0.5, -0.2, 0.05), (-0.5, -0.45, -0.4, -0.35, -0.3, -0.25, -0.2)),
        ((0, 1, 0.3), (0.0, 0.3, 0.6, 0.9)),
        ((2, -1, -1.5), (2.0, 0.5, -1.0)),
        ((-180, 180, 90), (-180.0, -90.0, 0.0, 90.0, 180.0)),
        ((3, 3, 0.1), (3.0,)),
        ((1, 0, -0.3), (1.0, 0.7, 0.4, 0.1)),
    ],
)
def test_steps(arguments, expected):
    assert steps(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0), "with a step other than 0, got 0:1:0"),
        ((0, math.nan, 1), "must be finite, .* got 0:nan:1"),
        ((-math.inf, 0, 1), "got -inf:0:1"),
        ((0, 1, math.inf), "got 0:1:inf"),
        ((0, 1, -0.25), "a step of -0.25 does not lead from 0 to 1: change its sign"),
        ((1, 0, 0.25), "a step of 0.25 does not lead from 1 to 0: change its sign"),
    ],
)
def test_impossible_steps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        steps(*arguments)


def test_steps_have_no_negative_zero():
    """It would be written -0 in tables and file names."""
    assert "-0.0" not in map(str, steps(0.3, -0.3, -0.1))


def test_octaves():
    assert octaves(-1, 1, 2) == (0.5, 0.7071, 1.0, 1.414, 2.0)
    assert octaves(-2, 0, 1) == (0.25, 0.5, 1.0)
