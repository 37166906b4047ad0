"""Where the prediction of each image changes: its decision change, or flip."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from itn.screening.thresholds import Threshold
from itn.stats import kaplan_meier
from itn.stats.survival import Floats
from itn.transforms import Transform

Predict = Callable[[Tensor, Tensor], Tensor]
"""From indices of images (M,) and magnitudes, (1,) or (M,), to predicted classes (M,)."""


class Flips(NamedTuple):
    """Where the predictions of N images change on one side of the identity."""

    magnitude: Tensor
    """Float64, N: the smallest magnitude found at which the prediction differs from that at the identity; the
    last magnitude tried if it never does."""
    flipped: Tensor
    """Bool, N: whether the prediction changes at all; if not, the magnitude is right-censored."""
    resolution: float
    """Width of the widest bracket around a change, in the magnitude's unit (factors: their logarithm)."""


def find_flips(
    predict: Predict, clean: Tensor, transform: Transform, path: Sequence[float], bisections: int
) -> Flips:
    """Search, for each image, the smallest magnitude on the path at which its prediction changes.

    Images are tried along the path and dropped once their prediction changes; then all brackets are halved
    together.

    Args:
        predict: The classifier on transformed images.
        clean: Its predictions at the identity, N.
        transform: The transformation.
        path: Its magnitudes, from the nearest to the farthest, without the identity.
        bisections: How many times to halve a bracket; discrete transformations have nothing to halve.
    """
    high = torch.full((len(clean),), path[-1], dtype=torch.float64)
    low = torch.full_like(high, transform.identity)
    flipped = torch.zeros(len(clean), dtype=torch.bool)
    unchanged = torch.arange(len(clean))
    previous = transform.identity
    for v in path:
        differs = predict(unchanged, high.new_tensor([v])) != clean[unchanged]
        changed, unchanged = unchanged[differs], unchanged[~differs]
        low[changed], high[changed], flipped[changed] = previous, v, True
        previous = v
        if not len(unchanged):
            break
    bracketed = flipped.nonzero().flatten()
    for _ in range(0 if transform.discrete or not len(bracketed) else bisections):
        middle = transform.between(low[bracketed], high[bracketed])
        differs = predict(bracketed, middle) != clean[bracketed]
        high[bracketed] = torch.where(differs, middle, high[bracketed])
        low[bracketed] = torch.where(differs, low[bracketed], middle)
    a, b = (end[bracketed].log() if transform.logarithmic else end[bracketed] for end in (low, high))
    return Flips(high, flipped, (b - a).abs().max().item() if len(bracketed) else 0.0)


def last_unchanged(transform: Transform, path: Sequence[float], flip: float, bisections: int) -> float:
    """Return the magnitude next to a flip at which the prediction was still the clean one.

    That is the other end of the bracket that ``find_flips`` was left with.

    Args:
        transform: The transformation.
        path: Magnitudes, from the nearest to the farthest, without the identity.
        flip: The magnitude of the flip, in float64.
        bisections: How many times brackets were halved.
    """
    outward = (transform.identity, *path)
    distances = [transform.distance(v) for v in outward]
    found = transform.distance(flip)
    number = next(n for n, distance in enumerate(distances) if found <= distance * (1 + 1e-9) and n)
    width = distances[number] - distances[number - 1]
    low = found - width if transform.discrete else found - width / 2**bisections
    if low <= distances[number - 1] + 1e-9 * width:
        return outward[number - 1]
    return transform.at_distance(low, "above" if path[-1] > transform.identity else "below")


def median_flip(
    transform: Transform, path: Sequence[float], magnitude: Floats, flipped: np.ndarray, confidence: float
) -> Threshold:
    """Return the Kaplan-Meier median of flip magnitudes, with its interval."""
    distance = np.array([transform.distance(v) for v in magnitude])
    median, low, high = kaplan_meier(distance, flipped, confidence).median()
    side = "above" if path[-1] > transform.identity else "below"
    ends = (None if d is None else transform.at_distance(d, side) for d in (median, low, high))
    return Threshold.along((transform.identity, *path), *ends)
