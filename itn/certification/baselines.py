"""Single transformations beside a learned family: how much further does learning go?

A single-transformation baseline is one transformation of the screening table with one sign. It is bounded
like the family (no entry of its matrix leaves the identity by more than the bound) and calibrated like it, on
the same images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.records import Baseline, Headline
from itn.certification.search import estimate_scale
from itn.functional import color_identity, displacement
from itn.stats import FixedSequence, fixed_sequence_test
from itn.stats.fixed_sequence import SEQUENCE
from itn.transforms import TRANSFORMS

IMAGES, BISECTIONS = 2000, 4  # of an estimate; the bisections halve a quarter of the way
CONTENDER = 0.4
"""Baselines below this fraction of the largest estimate are not calibrated; one estimated at 0.55 of it
turned out largest."""
BEYOND = 1.1  # multiple of the tolerance up to which calibration goes on, for resampled images
RESAMPLES = 2000


class SingleTransformation(NamedTuple):
    """A transformation of the table with one sign, driven by one control."""

    name: str
    """Of the transformation."""
    max_offset: float
    """Magnitude minus identity at scale 1, signed, where an entry of the matrix meets its bound."""
    transform: ParametricTransform

    @property
    def sign(self) -> str:
        """Return "+" above the identity, "-" below it."""
        return "+" if self.max_offset > 0 else "-"

    def displacement(self, scale: float) -> float:
        """Return the displacement at a scale."""
        return displacement(self._matrix(scale)).item()

    def deviation(self, scale: float) -> Tensor:
        """Return the matrix minus the identity at a scale, 2 x 3 or C x (C+1)."""
        return (self._matrix(scale) - self._matrix(0.0))[0]

    def magnitude(self, scale: float) -> float:
        """Return the magnitude at a scale, in the unit of the table."""
        return TRANSFORMS[self.name].identity + scale * self.max_offset

    def _matrix(self, scale: float) -> Tensor:
        (matrix,) = self.transform.matrices(scale * self.transform.full_strength).values()
        return matrix


class EstimatedBaseline(NamedTuple):
    """A single transformation and an estimate of how far it goes."""

    baseline: SingleTransformation
    scale: float
    """Estimate of the scale up to which it keeps to the tolerance."""
    evaluations: tuple[tuple[float, float], ...] = ()
    """Scales that were tried, ascending, and the break rate at each."""

    @property
    def displacement(self) -> float:
        """Displacement at that scale."""
        return self.baseline.displacement(self.scale)


def spatial_baselines(
    aspect: float, bound: float = 1.0, padding: str = "zeros"
) -> list[SingleTransformation]:
    """Return rotation, scales, zoom, shears and shifts, with both signs.

    Args:
        aspect: Width over height of the images.
        bound: On the deviation of each entry of the matrix from the identity; a rotation is not taken
            beyond a right angle.
        padding: What lies outside the frame.
    """
    sine = min(1.0, bound * min(aspect, 1 / aspect))
    offsets = {
        "rotate": math.degrees(math.asin(sine)),
        "scale_x": bound,
        "scale_y": bound,
        "zoom": bound,
        "shear_x": bound * aspect,
        "shear_y": bound / aspect,
        "translate_x": bound / 2,
        "translate_y": bound / 2,
    }
    return [
        _spatial(name, sign * offset, aspect, padding) for name, offset in offsets.items() for sign in (1, -1)
    ]


def color_baselines(channels: int, bound: float = 1.0) -> list[SingleTransformation]:
    """Return gain and bias with both signs (contrast and brightness), and with several channels grayscale.

    Args:
        channels: Number C of channels.
        bound: On the deviation of each entry of the matrix from the identity.
    """
    identity = color_identity(channels, torch.zeros(()))
    gain, bias = identity.clone(), torch.zeros_like(identity)
    bias[:, -1] = 1
    baselines = [
        _color(name, sign * bound, direction)
        for name, direction in (("contrast", gain), ("brightness", bias))
        for sign in (1, -1)
    ]
    if channels > 1:
        # What a map does to the unit vectors are the columns of its matrix
        units = torch.eye(channels)[:, :, None, None]
        fade = torch.zeros_like(identity)
        fade[:, :-1] = (TRANSFORMS["grayscale"](units, 1.0) - units)[:, :, 0, 0].T
        baselines.append(_color("grayscale", min(1.0, bound / fade.abs().max().item()), fade))
    return baselines


def _spatial(name: str, max_offset: float, aspect: float, padding: str) -> SingleTransformation:
    transform = TRANSFORMS[name]

    def matrices(k: Tensor) -> dict[str, Tensor]:
        return {"spatial": transform.function(transform.identity + max_offset * k[:, 0], aspect)}

    return SingleTransformation(name, max_offset, ParametricTransform(1, matrices, padding))


def _color(name: str, max_offset: float, direction: Tensor) -> SingleTransformation:
    def matrices(k: Tensor) -> dict[str, Tensor]:
        identity = color_identity(len(direction), k)
        return {"color": identity + max_offset * k[:, :, None] * direction.to(k)}

    return SingleTransformation(name, max_offset, ParametricTransform(1, matrices))


def estimate_baselines(
    images: EvaluationSet, baselines: list[SingleTransformation], tolerance: float
) -> list[EstimatedBaseline]:
    """Estimate the scale up to which each single transformation keeps to a tolerance, at most 1.

    Args:
        images: What to estimate it from; at most 2,000 of them, evenly spaced, are used.
        baselines: The single transformations of one part.
        tolerance: Largest share of the images that may be broken.
    """
    images = images.spread(IMAGES)

    def estimate(baseline: SingleTransformation) -> EstimatedBaseline:
        evaluations = {}

        def break_rate_at(scale: float) -> float:
            k = scale * baseline.transform.full_strength
            evaluations[scale] = images.break_rate(baseline.transform, k, tolerance)
            return evaluations[scale]

        scale = estimate_scale(break_rate_at, tolerance, largest=1.0, bisections=BISECTIONS)
        return EstimatedBaseline(baseline, scale, tuple(sorted(evaluations.items())))

    return [estimate(baseline) for baseline in baselines]


def calibrate_baselines(
    images: EvaluationSet, estimates: list[EstimatedBaseline], tolerance: float, confidence: float = 0.95
) -> tuple[list[Baseline], list[tuple[SingleTransformation, FixedSequence]]]:
    """Calibrate the single transformations that may have the largest displacement.

    Each is tested up to its bound. A family is tested under two conditions, which favors baselines.

    Args:
        images: Calibration images.
        estimates: The single transformations of one part, estimated on other images.
        tolerance: Largest share of the images that may be broken.
        confidence: Of each choice of a scale.

    Returns:
        A record for each, and those that were calibrated with their tests.
    """

    def test(estimate: EstimatedBaseline) -> FixedSequence:
        scales = sorted({min(1.0, estimate.scale * factor) for factor in SEQUENCE})
        transform, k = estimate.baseline.transform, estimate.baseline.transform.full_strength
        return fixed_sequence_test(
            lambda scale: images.broken(transform, scale * k)[None], scales, tolerance, confidence, BEYOND
        )

    chosen = contenders(estimates, CONTENDER)
    tests = [test(estimate) if estimate in chosen else None for estimate in estimates]
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
    n = family.failed.shape[-1]
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
    baseline, evaluations, scale = estimate.baseline, estimate.evaluations, None
    if test is not None:
        scale = test.scale
        evaluations = tuple(zip(test.scales, test.shares[:, 0].tolist(), strict=True))
    return Baseline(
        transform=baseline.name,
        sign=baseline.sign,
        magnitude=None if scale is None else baseline.magnitude(scale),
        displacement=None if scale is None else baseline.displacement(scale),
        reached_bound=scale == 1.0,
        estimated_magnitude=baseline.magnitude(estimate.scale),
        estimated_displacement=estimate.displacement,
        evaluations=tuple((baseline.displacement(scale), rate) for scale, rate in evaluations),
    )
