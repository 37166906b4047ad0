"""Thresholds, the magnitudes at which predictions break: of accuracy, of a class, of a single image.

Each is sought on its own side of the identity, along a *path* of magnitudes that starts there and leads
away. A threshold that the path does not reach is None, never its end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from itn.stats.sampling import Floats, kaplan_meier
from itn.transforms.registry import Transform

Predict = Callable[[Tensor, Tensor], Tensor]
"""From indices of images (M,) and magnitudes, (1,) or (M,), to predicted classes (M,)."""


class Threshold(NamedTuple):
    """A magnitude with an interval; None where it lies beyond the magnitudes tried."""

    value: float | None
    ci_low: float | None
    ci_high: float | None


class Flips(NamedTuple):
    """Where the predictions of N images flip on one side of the identity."""

    magnitude: Tensor
    """Float64, N: the smallest magnitude at which the prediction was seen to differ from the one at the
    identity; where it never did, the last magnitude tried."""
    flipped: Tensor
    """Bool, N: whether it ever did; otherwise the magnitude is right-censored."""
    resolution: float
    """Widest bracket that a flip was narrowed to, in the unit of the magnitude (factors: its logarithm)."""


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


def islands(
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


def find_flips(
    predict: Predict, clean: Tensor, transform: Transform, path: Sequence[float], bisections: int
) -> Flips:
    """Search, for each image, the smallest magnitude on the path at which its prediction flips.

    Images are tried along the path and dropped once they flip; then all brackets are halved together.

    Args:
        predict: The classifier on transformed images.
        clean: Its predictions at the identity, N.
        transform: Whose magnitudes.
        path: From the nearest to the farthest, without the identity.
        bisections: How many times to halve a bracket; none where there is nothing between.
    """
    high = torch.full((len(clean),), path[-1], dtype=torch.float64)
    low = torch.full_like(high, transform.identity)
    flipped = torch.zeros(len(clean), dtype=torch.bool)
    standing = torch.arange(len(clean))
    previous = transform.identity
    for v in path:
        differs = predict(standing, high.new_tensor([v])) != clean[standing]
        fallen, standing = standing[differs], standing[~differs]
        low[fallen], high[fallen], flipped[fallen] = previous, v, True
        previous = v
        if not len(standing):
            break
    bracketed = flipped.nonzero().flatten()
    for _ in range(0 if transform.discrete or not len(bracketed) else bisections):
        middle = transform.between(low[bracketed], high[bracketed])
        differs = predict(bracketed, middle) != clean[bracketed]
        high[bracketed] = torch.where(differs, middle, high[bracketed])
        low[bracketed] = torch.where(differs, low[bracketed], middle)
    a, b = (end[bracketed].log() if transform.logarithmic else end[bracketed] for end in (low, high))
    return Flips(high, flipped, (b - a).abs().max().item() if len(bracketed) else 0.0)


def median_flip(
    transform: Transform, path: Sequence[float], magnitude: Floats, flipped: np.ndarray, confidence: float
) -> Threshold:
    """Return the Kaplan-Meier median of flip magnitudes, and its interval."""
    distance = np.array([transform.distance(v) for v in magnitude])
    median, low, high = kaplan_meier(distance, flipped, confidence).median()
    side = "above" if path[-1] > transform.identity else "below"
    ends = (None if d is None else transform.at_distance(d, side) for d in (median, low, high))
    return _ordered((transform.identity, *path), *ends)


def _ordered(path: Sequence[float], value: float | None, near: float | None, far: float | None) -> Threshold:
    """Return a threshold whose ends are in the order of magnitudes, on whichever side."""
    return Threshold(value, near, far) if path[-1] > path[0] else Threshold(value, far, near)
