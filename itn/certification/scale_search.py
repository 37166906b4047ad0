"""About how far a family may go, and where it is worst: estimates that calibration starts from."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.worst_k import search_worst_k

IMAGES = 4000  # that an estimate is made from, at most


def estimate_scale(
    break_rate_at: Callable[[float], float],
    tolerance: float,
    largest: float,
    smallest: float = 0.0,
    strides: int = 4,
    bisections: int = 5,
) -> float:
    """Return about the scale at which the break rate reaches a tolerance, by strides, then by bisection.

    Args:
        break_rate_at: Returns the share of images that a scale breaks.
        tolerance: Largest share that may be broken.
        largest: The result if the tolerance holds after each stride.
        smallest: Scale up to which it is known to hold.
        strides: In how many strides to go outwards: a digit upside down may be recognized again.
        bisections: Halvings of the first stride after which the tolerance does not hold; more if they leave a
            bracket of more than an eighth, down to a thousandth of ``largest``.
    """
    low = high = smallest
    for stride in range(1, strides + 1):
        high = smallest + (largest - smallest) * stride / strides
        if break_rate_at(high) > tolerance:
            break
        low = high
    else:
        return largest
    halvings = 0
    while halvings < bisections or (high - low > high / 8 and high > 1e-3 * largest):
        middle = (low + high) / 2
        low, high = (middle, high) if break_rate_at(middle) <= tolerance else (low, middle)
        halvings += 1
    return low


def estimate_scale_and_worst_k(
    family: ParametricTransform, training: EvaluationSet, target: float
) -> tuple[float, Tensor]:
    """Return about the scale at which a family breaks the target share at its worst k, and k, 1 x controls.

    Args:
        family: The family.
        training: The images that it was learned from.
        target: Share of the images that may be broken.
    """
    images = training.spread(IMAGES)

    def estimate_along(k: Tensor, largest: float, smallest: float = 0.0) -> float:
        def break_rate_at(scale: float) -> float:
            return images.break_rate(family, scale * k, target)

        return estimate_scale(break_rate_at, target, largest, smallest)

    scale = 0.0
    for largest in (2.0, 4.0, 8.0):  # beyond 2 if learning has ended far short of the tolerance
        scale = estimate_along(family.full_strength, largest, scale)
        if scale < largest:
            break
    worst, before = family.full_strength, math.inf
    while scale < 0.9 * before:
        # Far beyond the tolerance all k are equally bad: search again at the scale that the last one led to
        candidate, before = search_worst_k(images, family, scale).k, scale
        scale = estimate_along(candidate, before)
        if scale < before or torch.equal(worst, family.full_strength):
            worst = candidate
    return scale, worst
