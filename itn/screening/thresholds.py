"""Thresholds, the magnitudes at which predictions break: of accuracy, of a class, of a single image.

Each is searched on one side of the identity, along a *path* of magnitudes that starts there and leads away
from it. A threshold that lies beyond the path is None, never the end of the path.
"""

import dataclasses
from collections.abc import Sequence

from itn.transforms import Transform


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A magnitude with an interval; None where it lies beyond the magnitudes tried."""

    value: float | None
    ci_low: float | None
    ci_high: float | None

    @classmethod
    def along(
        cls, path: Sequence[float], value: float | None, near: float | None, far: float | None
    ) -> "Threshold":
        """Return a threshold on a path whose interval has a near and a far end, seen from the identity."""
        return cls(value, near, far) if path[-1] > path[0] else cls(value, far, near)


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
        transform: The transformation; factors are interpolated in their logarithm.
        path: Magnitudes, the identity first.
        values: The curve at these magnitudes.
        level: The level.

    Returns:
        The magnitude; None if the curve stays at or above the level.
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
    """Return where a curve falls below a level, with an interval.

    The interval ends where the lower and the upper end of the curve's own interval fall below the level.
    """
    near, value, far = (crossing(transform, path, curve, level) for curve in (low, values, high))
    return Threshold.along(path, value, near, far)


def recoveries(
    path: Sequence[float], low: Sequence[float], high: Sequence[float], level: float
) -> list[tuple[float, float]]:
    """Return the stretches of the path on which a curve has recovered: their first and last magnitudes.

    A curve has broken once the upper end of its interval is below the level. It has recovered where the lower
    end is at or above the level again. A curve that merely scatters about the level does neither.
    """
    stretches: list[tuple[float, float]] = []
    broken = recovered = False
    for v, lowest, highest in zip(path, low, high, strict=True):
        if highest < level:
            broken, recovered = True, False
        elif lowest < level:
            recovered = False
        elif broken:
            stretches = [*stretches[:-1], (stretches[-1][0], v)] if recovered else [*stretches, (v, v)]
            recovered = True
    return stretches
