"""Searches on training images: how far a family goes, and the k at which it is worst.

Both are estimates that calibration starts from.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.nn import CONTROLS

IMAGES = 4000  # that an estimate is made from, at most
GRID = (0.0, 0.5, 1.0)
REFINEMENTS = (0.25, 0.125, 0.0625)
MOST_TOGETHER = 4  # controls of which all combinations are tried
VULNERABLE = 8  # the search evaluates the most vulnerable image of every so many


def estimate_scale(
    break_rate_at: Callable[[float], float],
    tolerance: float,
    largest: float,
    smallest: float = 0.0,
    strides: int = 4,
    bisections: int = 5,
) -> float:
    """Estimate the scale at which the break rate reaches a tolerance, by strides, then by bisection.

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
    """Estimate the scale at which a family breaks the target share at its worst k, and k, 1 x controls.

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


class WorstCase(NamedTuple):
    """Where a family is worst, as far as a search has found, for N images."""

    k: Tensor
    """The controls that break most images, 1 x controls."""
    right: Tensor
    """Whether each image is recognized there, bool, N."""
    right_full: Tensor
    """Whether each image is recognized at full strength, bool, N."""
    right_everywhere: Tensor
    """Whether each image is recognized unchanged and under all controls that were tried, bool, N."""


def together(controls: int) -> int:
    """Return how many controls are searched at a time: the number of combinations grows exponentially."""
    return controls if controls <= MOST_TOGETHER else CONTROLS


def search_worst_k(images: EvaluationSet, transform: ParametricTransform, scale: float) -> WorstCase:
    """Search for the controls that break most images, and for each image for controls that break it.

    Combinations of 0, 1/2 and 1 are tried, then the neighbors of the worst of them in ever smaller steps: all
    combinations of up to four controls; of more, those of two controls at a time, the others at the worst so
    far. That is done on the images with the smallest margins at full strength or where a single control is 1;
    the worst controls are then tried on all images.
    """
    full_strength, *single = (
        images.margins(transform, scale * k[None])
        for k in (transform.full_strength[0], *torch.eye(transform.controls))
    )
    smallest = torch.stack([full_strength, *single]).amin(0)
    vulnerable = smallest.argsort()[: max(1, len(smallest) // VULNERABLE)]
    subset = images.part(vulnerable)
    everywhere = images.held & (smallest > 0)
    worst = transform.full_strength
    worst_badness = full_strength[vulnerable].neg().sigmoid().mean().item()

    def evaluate(k: Tensor) -> None:
        nonlocal worst, worst_badness
        margins = subset.margins(transform, scale * k)
        everywhere[vulnerable] &= margins > 0
        # The sigmoid tells controls apart that break equally many
        if (badness := margins.neg().sigmoid().mean().item()) > worst_badness:
            worst, worst_badness = k, badness

    for start in range(0, transform.controls, together(transform.controls)):
        center = worst
        for values in itertools.product(GRID, repeat=together(transform.controls)):
            k = center.clone()
            k[0, start : start + len(values)] = torch.tensor(values)
            if k.any() and not (k == 1).all():
                evaluate(k)
    for step in REFINEMENTS:
        center = worst
        for entry, sign in itertools.product(range(transform.controls), (-step, step)):
            neighbor = center.clone()
            neighbor[0, entry] = (neighbor[0, entry] + sign).clamp(0, 1)
            if not torch.equal(neighbor, center):
                evaluate(neighbor)
    right = images.margins(transform, scale * worst) > 0
    return WorstCase(worst, right, full_strength > 0, everywhere & right)
