"""Single transformations, and estimates of how far they go.

A single-transformation baseline is one transformation with one sign, as the transformer names it. It is
bounded like the family.
"""

from typing import NamedTuple

import torch

from itn.certification.parametric import Count, EvaluationSet, ParametricTransform
from itn.certification.records import Baseline
from itn.certification.search import expected_to_pass
from itn.nn import SingleTransformation
from itn.stats import DropTest, last_scale

SMALLEST = 0.001  # fraction of its bound that stands for one that an estimate could not tell from 0
IMAGES, BISECTIONS = 1000, 4  # of an estimate; the bisections halve a quarter of the way


class EstimatedBaseline(NamedTuple):
    """A single transformation and an estimate of how far it goes."""

    baseline: SingleTransformation
    scale: float
    """Estimate of the scale up to which it keeps to the tolerance."""
    evaluations: tuple[tuple[float, Count], ...] = ()
    """Scales that were tried, ascending, and how images changed at each."""

    @property
    def displacement(self) -> float:
        """Displacement at that scale."""
        return self.baseline.displacement(self.scale)

    @property
    def churn(self) -> float:
        """Share of the images that change at the largest scale that was tried and held, or the smallest."""
        held = [count for scale, count in self.evaluations if scale <= self.scale]
        counts = held[-1:] or [count for _, count in self.evaluations[:1]]
        return sum((count.broken + count.mended) / count.n for count in counts)


def estimate_baselines(
    images: EvaluationSet, baselines: list[SingleTransformation], test: DropTest
) -> list[EstimatedBaseline]:
    """Estimate the scale up to which each single transformation passes a test, at most 1.

    Args:
        images: What to estimate it from; at most 1,000 of them, evenly spaced, are used.
        baselines: The single transformations of one part.
        test: Of the images that will calibrate them.
    """
    images = images.spread(IMAGES)

    def estimate(baseline: SingleTransformation) -> EstimatedBaseline:
        evaluations = {}

        def holds_at(scale: float) -> bool:
            transform = ParametricTransform.of_single(baseline)
            evaluations[scale] = images.tally(transform, torch.tensor([[scale]]), test.tolerance)
            return expected_to_pass(evaluations[scale], test)

        scale = last_scale(holds_at, largest=1.0, bisections=BISECTIONS)
        return EstimatedBaseline(baseline, scale, tuple(sorted(evaluations.items())))

    return [estimate(baseline) for baseline in baselines]


def contenders(estimates: list[EstimatedBaseline], fraction: float) -> list[EstimatedBaseline]:
    """Return those with at least this fraction of the largest estimated displacement, the largest first."""
    ranked = sorted(estimates, key=lambda estimate: estimate.displacement, reverse=True)
    return [estimate for estimate in ranked if estimate.displacement >= fraction * ranked[0].displacement]


def baseline_record(estimate: EstimatedBaseline) -> Baseline:
    """Return what training images say of a single transformation."""
    baseline = estimate.baseline
    return Baseline(
        transform=baseline.name,
        sign=baseline.sign,
        identity=baseline.identity,
        unit=baseline.unit,
        magnitude=None,
        displacement=None,
        reached_bound=estimate.scale == 1.0,
        estimated_magnitude=baseline.magnitude(estimate.scale),
        estimated_displacement=estimate.displacement,
        evaluations=tuple((baseline.displacement(s), count.drop) for s, count in estimate.evaluations),
    )
