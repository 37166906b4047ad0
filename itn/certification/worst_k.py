"""How far transformations may go: a scale chosen with a guarantee, what is then certain, and the worst found.

Three sets of images take part. On the images that were learned from, a search proposes where a family is at
its worst. On calibration images a sequence of growing scales is tested, Learn then Test with a fixed sequence
(Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): with the stated confidence, no more than the
tolerated share of images is lost at the scale where it stops. On images that nothing was chosen by, exact
binomial bounds say how accurate the classifier is there (Clopper and Pearson 1934).

An image is lost if the classifier is right about it unchanged, and wrong when it is moved.
"""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import ParametricTransform, transformed_margins
from itn.models.classifier import Classifier
from itn.models.preflight import CheckedImages

GRID = (0.0, 0.5, 1.0)
REFINEMENTS = (0.25, 0.125, 0.0625)
FRAGILE = 8  # the worst case is looked for among one in so many images


class WorstCase(NamedTuple):
    """Where a family is at its worst, as far as a search has found."""

    k: Tensor
    """The controls under which most images are lost, 1 x controls."""
    right: Tensor
    """Images that are recognised there, bool, N."""
    right_at_corner: Tensor
    """Images that are recognised with all controls at 1, bool, N."""
    right_everywhere: Tensor
    """Images that are recognised under all controls that were tried, and unchanged; bool, N."""


def worst_case(
    classifier: Classifier,
    data: CheckedImages,
    mover: ParametricTransform,
    scale: float,
    batch_size: int = 250,
) -> WorstCase:
    """Search a family for the controls that lose most images, and each image for controls that lose it.

    All combinations of 0, 1/2 and 1 are tried, then the neighbours of the worst of them in ever smaller
    steps, on the images with the smallest margins where all controls are 1 or a single one is; the worst
    found is tried on all.
    """
    at_corner, *alone = (
        transformed_margins(classifier, data, mover, scale * k[None], batch_size)
        for k in (mover.corner[0], *torch.eye(mover.controls))
    )
    smallest = torch.stack([at_corner, *alone]).amin(0)
    fragile = smallest.argsort()[: max(1, len(data) // FRAGILE)]
    few = data.part(fragile)
    everywhere = data.clean & (smallest > 0)
    worst, most = mover.corner, at_corner[fragile].neg().sigmoid().mean().item()

    def look(k: Tensor) -> None:
        nonlocal worst, most
        found = transformed_margins(classifier, few, mover, scale * k, batch_size)
        everywhere[fragile] &= found > 0
        # The sigmoid tells apart controls that lose equally many
        if (badness := found.neg().sigmoid().mean().item()) > most:
            worst, most = k, badness

    for values in itertools.product(GRID, repeat=mover.controls):
        if any(values) and not all(value == 1 for value in values):
            look(torch.tensor([values]))
    for step in REFINEMENTS:
        centre = worst
        for entry, sign in itertools.product(range(mover.controls), (-step, step)):
            neighbour = centre.clone()
            neighbour[0, entry] = (neighbour[0, entry] + sign).clamp(0, 1)
            if not torch.equal(neighbour, centre):
                look(neighbour)
    right = transformed_margins(classifier, data, mover, scale * worst, batch_size) > 0
    return WorstCase(worst, right, at_corner > 0, everywhere & right)
