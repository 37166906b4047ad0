"""Thresholds, the magnitudes at which predictions break: of accuracy, of a class, of a single image.

Each is sought on its own side of the identity, along a *path* of magnitudes that starts there and leads
away. A threshold that the path does not reach is None, never its end.
"""

from collections.abc import Sequence
from typing import NamedTuple

from itn.transforms.registry import Transform


class Threshold(NamedTuple):
    """A magnitude with an interval; None where it lies beyond the magnitudes tried."""

    value: float | None
    ci_low: float | None
    ci_high: float | None


def paths(transform: Transform, magnitudes: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """Return the magnitudes below and above the identity, from the nearest to the farthest, if any."""
    sides = {
        "below": sorted((v for v in magnitudes if v < transform.identity), reverse=True),
        "above": sorted(v for v in magnitudes if v > transform.identity),
    }
    return {side: tuple(path) for side, path in sides.items() if path}


def crossing(
    transform: Transform, path: Sequence[float], values: Sequence[float], level: float
) -> float | None:
    """Return the magnitude at which a curve first falls below a level, interpolated along the path.

    Args:
        transform: Whose magnitudes; factors are interpolated in their logarithm.
        path: Magnitudes, the identity first.
        values: The curve at these.
        level: What it must not fall below.
    """
    for number, value in enumerate(values):
        if value < level:
            if number == 0:
                return path[0]
            if transform.discrete:
                return path[number]
            share = (values[number - 1] - level) / (values[number - 1] - value)
            a, b = path[number - 1], path[number]
            return a * (b / a) ** share if transform.logarithmic else a + share * (b - a)
    return None


def curve_threshold(
    transform: Transform,
    path: Sequence[float],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    level: float,
) -> Threshold:
    """Return where a curve falls below a level; its interval ends where the curve's own ends do.

    Those are the magnitudes at which the curve's interval contains the level.
    """
    near, value, far = (crossing(transform, path, curve, level) for curve in (low, values, high))
    return _ordered(path, value, near, far)


def recoveries(
    path: Sequence[float], low: Sequence[float], high: Sequence[float], level: float
) -> list[tuple[float, float]]:
    """Return the stretches of the path, first and last magnitude, on which a lost curve is back.

    It is lost where the upper end of its interval is below the level, back where the lower end reaches it:
    a curve that scatters about the level is neither.
    """
    stretches: list[tuple[float, float]] = []
    lost = inside = False
    for v, lowest, highest in zip(path, low, high, strict=True):
        if highest < level:
            lost, inside = True, False
        elif lowest < level:
            inside = False
        elif lost:
            stretches = [*stretches[:-1], (stretches[-1][0], v)] if inside else [*stretches, (v, v)]
            inside = True
    return stretches


def _ordered(path: Sequence[float], value: float | None, near: float | None, far: float | None) -> Threshold:
    """Return a threshold whose ends are in the order of magnitudes, on whichever side."""
    return Threshold(value, near, far) if path[-1] > path[0] else Threshold(value, far, near)
