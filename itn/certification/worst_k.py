"""The k at which a family is worst, as far as a search finds it."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet, ParametricTransform

GRID = (0.0, 0.5, 1.0)
REFINEMENTS = (0.25, 0.125, 0.0625)
VULNERABLE = 8  # the search evaluates the most vulnerable image of every so many


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


def search_worst_k(images: EvaluationSet, transform: ParametricTransform, scale: float) -> WorstCase:
    """Search for the controls that break most images, and for each image for controls that break it.

    All combinations of 0, 1/2 and 1 are tried, then the neighbors of the worst of them in ever smaller steps.
    That is done on the images with the smallest margins at full strength or where a single control is 1; the
    worst controls are then tried on all images.
    """
    full_strength, *single = (
        images.margins(transform, scale * k[None])
        for k in (transform.full_strength[0], *torch.eye(transform.controls))
    )
    smallest = torch.stack([full_strength, *single]).amin(0)
    vulnerable = smallest.argsort()[: max(1, len(smallest) // VULNERABLE)]
    subset = images.part(vulnerable)
    everywhere = images.data.clean & (smallest > 0)
    worst = transform.full_strength
    worst_badness = full_strength[vulnerable].neg().sigmoid().mean().item()

    def evaluate(k: Tensor) -> None:
        nonlocal worst, worst_badness
        margins = subset.margins(transform, scale * k)
        everywhere[vulnerable] &= margins > 0
        # The sigmoid tells controls apart that break equally many
        if (badness := margins.neg().sigmoid().mean().item()) > worst_badness:
            worst, worst_badness = k, badness

    for values in itertools.product(GRID, repeat=transform.controls):
        if any(values) and not all(value == 1 for value in values):
            evaluate(torch.tensor([values]))
    for step in REFINEMENTS:
        center = worst
        for entry, sign in itertools.product(range(transform.controls), (-step, step)):
            neighbor = center.clone()
            neighbor[0, entry] = (neighbor[0, entry] + sign).clamp(0, 1)
            if not torch.equal(neighbor, center):
                evaluate(neighbor)
    right = images.margins(transform, scale * worst) > 0
    return WorstCase(worst, right, full_strength > 0, everywhere & right)
