"""Searches on training images: how far a family goes, and the k at which it is worst.

Both are estimates that calibration starts from.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import Count, EvaluationSet, Outcomes, ParametricTransform
from itn.nn import CONTROLS
from itn.stats import DropTest, last_scale
from itn.stats.fixed_sequence import SEQUENCE

IMAGES = 2500  # that an estimate is made from, at most
SMALLEST = 0.002  # scale of a family that a search tries: where that fails, calibration begins with it
ENDS, GRID = (0.0, 1.0), (0.0, 0.5, 1.0)
NOTHING_HOLDS = SMALLEST / SEQUENCE[0]  # what is returned then: calibration begins with the smallest
REFINEMENTS = (0.25, 0.125, 0.0625)
WAYS = (0.05, 0.1, 0.2, 0.35)  # to full strength: a motion by half a pixel may lose more than one by many
MOST_TOGETHER = 4  # controls of which all combinations are tried
VULNERABLE = 8  # the search evaluates the most vulnerable image of every so many
FINALISTS = 3  # of the k that are worst for those, tried on all images


def expected_to_pass(count: Count, test: DropTest) -> bool:
    """Return whether the images of a test are expected to pass it if they change as others have."""
    return test.expects(count.broken / count.n, count.mended / count.n)


def estimate_scale_and_worst_k(
    family: ParametricTransform, training: EvaluationSet, test: DropTest
) -> tuple[float, Tensor]:
    """Estimate the scale up to which a family passes a test at its worst k, and that k, 1 x controls.

    Args:
        family: The family.
        training: The images that it was learned from.
        test: Of the images that will calibrate it.
    """
    images = training.spread(IMAGES)

    def estimate_along(k: Tensor, largest: float, smallest: float = 0.0) -> float:
        def holds_at(scale: float) -> bool:
            return expected_to_pass(images.tally(family, scale * k, test.tolerance), test)

        return last_scale(holds_at, largest, smallest)

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
    return scale or NOTHING_HOLDS, worst


class WorstCase(NamedTuple):
    """Where a family is worst, as far as a search has found, for N images."""

    k: Tensor
    """The controls with the largest drop, 1 x controls."""
    outcomes: Outcomes
    """There."""
    right_everywhere: Tensor
    """Whether each image is recognized unchanged and under all controls that were tried, bool, N."""


def search_worst_k(
    images: EvaluationSet,
    transform: ParametricTransform,
    scale: float,
    known: Sequence[tuple[Tensor, Outcomes]] = (),
) -> WorstCase:
    """Search for the controls with the largest drop, and for each image for controls that break it.

    Full strength and each control by itself are tried on all images, if nothing else is known, then places on
    the way to full strength, which a family goes through when it is scaled. On those that come nearest to
    changing, all combinations of 0 and 1 are tried, if there are up to four controls, then
    those of 0, 1/2 and 1 of two controls at a time, the others at the worst so far, then the neighbors of the
    worst in ever smaller steps. The worst of these are tried on all images too, and the worst of all that
    were wins.

    Args:
        images: The images.
        transform: What drives them.
        scale: Factor on all controls.
        known: Controls, 1 x controls, with what has become of all images there.
    """
    clean = images.recognized()
    on_all = _Search(images, clean, transform, scale)
    if known:
        for k, outcomes in known:
            on_all.record(k, outcomes)
    else:
        for k in (transform.full_strength[0], *torch.eye(transform.controls)):
            on_all.evaluate(k[None])
    for way in WAYS:
        on_all.evaluate(way * transform.full_strength)
    nearest = on_all.nearness.argsort(descending=True, stable=True)
    vulnerable = nearest[: max(1, len(nearest) // VULNERABLE)]
    on_some = _Search(images.part(vulnerable), clean[vulnerable], transform, scale)
    on_some.evaluate(on_all.worst)

    def combine(values: Sequence[float], width: int) -> None:
        """Try all combinations of values of so many controls at a time, the others at the worst so far."""
        for start in range(0, transform.controls, width):
            center, last = on_some.worst, min(start + width, transform.controls)
            for combination in itertools.product(values, repeat=last - start):
                k = center.clone()
                k[0, start:last] = torch.tensor(combination)
                on_some.evaluate(k)

    if transform.controls <= MOST_TOGETHER:  # parts that only break images together
        combine(ENDS, transform.controls)
    combine(GRID, CONTROLS)
    for step in REFINEMENTS:
        center = on_some.worst
        for entry, sign in itertools.product(range(transform.controls), (-step, step)):
            neighbor = center.clone()
            neighbor[0, entry] = (neighbor[0, entry] + sign).clamp(0, 1)
            on_some.evaluate(neighbor)
    for k in on_some.ranking()[:FINALISTS]:
        on_all.evaluate(k)
    everywhere = on_all.right_everywhere
    everywhere[vulnerable] &= on_some.right_everywhere
    return WorstCase(on_all.worst, on_all.outcomes_at[key(on_all.worst)], everywhere)


def key(k: Tensor) -> tuple[float, ...]:
    """Return controls, 1 x controls, as what a dictionary can hold."""
    return tuple(k[0].tolist())


class _Search:
    """What some images have become under the controls that were tried, each once."""

    def __init__(
        self, images: EvaluationSet, clean: Tensor, transform: ParametricTransform, scale: float
    ) -> None:
        self.images, self.transform, self.scale = images, transform, scale
        self.outcomes_at: dict[tuple[float, ...], Outcomes] = {}
        self.badness: dict[tuple[float, ...], tuple[int, float]] = {}
        self.nearness = torch.zeros(len(images.data))
        """How near each image came to changing: the largest value of a sigmoid."""
        self.right_everywhere = clean.clone()

    def evaluate(self, k: Tensor) -> None:
        """Try controls, 1 x controls, unless they are 0 or were tried before."""
        if not k.any() or key(k) in self.badness:
            return
        self.record(k, self.images.outcomes(self.transform, self.scale * k))

    def record(self, k: Tensor, outcomes: Outcomes) -> None:
        """Note what has become of the images under controls, 1 x controls."""
        turning = outcomes.margins.neg().sigmoid()
        # The sigmoid tells controls apart with which equally many images change
        self.badness[key(k)] = (int(outcomes.change.sum()), turning.mean().item())
        self.outcomes_at[key(k)] = outcomes
        near = torch.where(self.images.held, turning, 1 - turning) * self.images.changeable
        self.nearness = torch.maximum(self.nearness, near)
        self.right_everywhere &= outcomes.right

    def ranking(self) -> list[Tensor]:
        """Return the controls that were tried, the worst first."""
        ranked = sorted(self.badness, key=lambda k: self.badness[k], reverse=True)
        return [torch.tensor([k]) for k in ranked]

    @property
    def worst(self) -> Tensor:
        """The controls with the largest drop, 1 x controls."""
        return self.ranking()[0]
