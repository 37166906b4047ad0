"""Single transformations beside a learned family: how much further does learning go?

A single-transformation baseline is one transformation with one sign, as the transformer names it. It is
bounded like the family and calibrated like it, on the same images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from itn.certification.parametric import Count, EvaluationSet, ParametricTransform
from itn.certification.records import Baseline, Headline
from itn.certification.search import expected_to_pass
from itn.nn import SingleTransformation
from itn.stats import DropTest, FixedSequence, fixed_sequence_test, last_scale
from itn.stats.fixed_sequence import SEQUENCE

SMALLEST = 0.001  # fraction of its bound that a search tries: where that fails, calibration begins with it
IMAGES, BISECTIONS = 1000, 4  # of an estimate; the bisections halve a quarter of the way
CONTENDER = 0.4
"""Baselines below this fraction of the largest estimate are not calibrated; one estimated at 0.55 of it
turned out largest."""
BEYOND = 1.1  # multiple of the tolerance up to which calibration goes on, for resampled images
RESAMPLES = 2000


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


def calibrate_baselines(
    images: EvaluationSet,
    estimates: list[EstimatedBaseline],
    test: DropTest,
    factors: Sequence[float] = SEQUENCE,
) -> tuple[list[Baseline], list[tuple[SingleTransformation, FixedSequence]]]:
    """Calibrate the single transformations that may have the largest displacement.

    Each is tested up to its bound. A family is tested under two conditions, which favors baselines.

    Args:
        images: Calibration images.
        estimates: The single transformations of one part, estimated on other images.
        test: Of these images at one scale.
        factors: Multiples of an estimate to test, those of the family.

    Returns:
        A record for each, and those that were calibrated with their tests.
    """

    def calibrate(estimate: EstimatedBaseline) -> FixedSequence:
        start = estimate.scale or SMALLEST / SEQUENCE[0]
        scales = sorted({min(1.0, start * factor) for factor in factors})
        transform = ParametricTransform.of_single(estimate.baseline)
        return fixed_sequence_test(
            lambda scale: images.changes(transform, torch.tensor([[scale]]))[None], scales, test, BEYOND
        )

    chosen = contenders(estimates, CONTENDER)
    tests = [calibrate(estimate) if estimate in chosen else None for estimate in estimates]
    records = [baseline_record(*pair) for pair in zip(estimates, tests, strict=True)]
    return records, [
        (estimate.baseline, sequence) for estimate, sequence in zip(estimates, tests, strict=True) if sequence
    ]


def contenders(estimates: list[EstimatedBaseline], fraction: float) -> list[EstimatedBaseline]:
    """Return those with at least this fraction of the largest estimated displacement."""
    largest = max(estimate.displacement for estimate in estimates)
    return [estimate for estimate in estimates if estimate.displacement >= fraction * largest]


def displacement_ratio(
    family: FixedSequence,
    displacements: Sequence[float],
    baselines: list[tuple[SingleTransformation, FixedSequence]],
    generator: torch.Generator,
    confidence: float = 0.95,
) -> Headline | None:
    """Return the displacement of a family at full strength over the largest of any single transformation.

    Args:
        family: Its tests.
        displacements: Of the family at full strength, at each of the scales that were tested.
        baselines: Single transformations with their tests, on the same images in the same order.
        generator: Draws the resampled images.
        confidence: Of the interval, a percentile bootstrap over calibration images: family and single
            transformations choose their scales anew on the same resampled images.

    Returns:
        The ratio, or None where a single transformation reached its bound and none has a larger displacement,
        or none is certified at any scale above 0.
    """
    largest = [(single.displacement(test.scale), test.scale == 1.0) for single, test in baselines]
    if max(largest)[1]:  # among equal ones that which reached its bound counts
        return None
    rival = baselines[largest.index(max(largest))][0]
    n = family.changes.shape[-1]
    drawn = torch.randint(n, (RESAMPLES, n), generator=generator)
    weights = torch.zeros(RESAMPLES, n).scatter_add_(1, drawn, torch.ones(RESAMPLES, n))
    weights = torch.cat([torch.ones(1, n), weights])  # first the images as they are
    of_family = torch.tensor([0.0, *displacements])[family.passed(weights)]
    of_baselines = torch.stack(
        [
            torch.tensor([0.0, *map(baseline.displacement, test.scales)])[test.passed(weights)]
            for baseline, test in baselines
        ]
    ).amax(0)
    if not of_baselines[0] > 0:
        return None
    ratios = of_family / of_baselines
    # If both scales are 0 the ratio is undefined: that resample widens the interval at both ends
    low = ratios[1:].nan_to_num(0.0, posinf=torch.inf).quantile((1 - confidence) / 2).item()
    high = ratios[1:].nan_to_num(torch.inf, posinf=torch.inf).quantile((1 + confidence) / 2).item()
    return Headline(
        ratios[0].item(), low, high if math.isfinite(high) else None, f"{rival.name} {rival.sign}"
    )


def baseline_record(estimate: EstimatedBaseline, test: FixedSequence | None = None) -> Baseline:
    """Return what is known of a single transformation; its tests, if it has any, go before its estimate."""
    baseline, scale = estimate.baseline, None
    evaluations = [(scale, count.drop) for scale, count in estimate.evaluations]
    if test is not None:
        scale = test.scale
        evaluations = list(zip(test.scales, test.drops[:, 0].tolist(), strict=True))
    return Baseline(
        transform=baseline.name,
        sign=baseline.sign,
        identity=baseline.identity,
        unit=baseline.unit,
        magnitude=None if scale is None else baseline.magnitude(scale),
        displacement=None if scale is None else baseline.displacement(scale),
        reached_bound=scale == 1.0,
        estimated_magnitude=baseline.magnitude(estimate.scale),
        estimated_displacement=estimate.displacement,
        evaluations=tuple((baseline.displacement(scale), drop) for scale, drop in evaluations),
    )
