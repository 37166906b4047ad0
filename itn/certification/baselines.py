"""Single axes of the screening table beside a learned family: how much further does learning go?

An axis is one transformation of the table with one sign. It is bounded like the family, no entry of its
matrix leaves the identity by more than the bound, and certified like it, on the same images.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import ParametricTransform, break_rate, lost
from itn.certification.records import Baseline, DisplacementRatio
from itn.certification.scale_search import estimate_scale
from itn.functional.color import color_identity
from itn.functional.displacement import displacement
from itn.models.classifier import Classifier
from itn.models.preflight import CheckedImages
from itn.stats.fixed_sequence import SEQUENCE, FixedSequence, fixed_sequence_test
from itn.transforms.registry import TRANSFORMS

LOOKED_AT, BISECTIONS = 2000, 4  # images, and halvings of a quarter of the way, that tell which axes are long
CONTENDER = 0.4  # of the longest, by the estimates: one at 0.55 of it was certified to be longer
BEYOND = 1.1  # multiple of the tolerance up to which calibration goes on, for resampled images
RESAMPLES = 2000
RANGES: dict[str, tuple[str, Callable[[float], float]]] = {
    "rotation": ("rotate", math.degrees),
    "translation_x": ("translate_x", lambda p: -p / 2),
    "translation_y": ("translate_y", lambda p: -p / 2),
    "zoom": ("zoom", lambda p: 1 + p),
    "gain": ("contrast", lambda p: 1 + p),
    "bias": ("brightness", lambda p: p),
}
"""Families with a single parameter: which transformation of the table they are, its magnitude."""


class SingleTransformation(NamedTuple):
    """A transformation of the table with one sign, as a mover with one control."""

    name: str
    """Of the transformation."""
    reach: float
    """Magnitude minus identity at scale 1, signed, where an entry of the matrix meets its bound."""
    mover: ParametricTransform
    part: int
    """Which of the mover's matrices it has: 0 color, 1 spatial."""

    def displacement(self, scale: float) -> float:
        """Return the displacement at the corner."""
        return displacement(self._matrix(scale)).item()

    def deviation(self, scale: float) -> Tensor:
        """Return the matrix minus the identity at the corner, 2 x 3 or C x (C+1)."""
        return (self._matrix(scale) - self._matrix(0.0))[0]

    def _matrix(self, scale: float) -> Tensor:
        matrix = self.mover.matrices(scale * self.mover.corner)[self.part]
        assert matrix is not None
        return matrix

    def magnitude(self, scale: float) -> float:
        """Return the magnitude at the corner, in the unit of the table."""
        return TRANSFORMS[self.name].identity + scale * self.reach


class Estimate(NamedTuple):
    """About how far an axis goes."""

    scale: float
    looks: tuple[tuple[float, float], ...]
    """Scales that were tried, ascending, and the share of images lost at each."""


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
    reaches = {
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
        _spatial(name, sign * reach, aspect, padding) for name, reach in reaches.items() for sign in (1, -1)
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
    axes = [
        _colored(name, sign * bound, direction)
        for name, direction in (("contrast", gain), ("brightness", bias))
        for sign in (1, -1)
    ]
    if channels > 1:
        # What a map does to the unit vectors are the columns of its matrix
        units = torch.eye(channels)[:, :, None, None]
        fade = torch.zeros_like(identity)
        fade[:, :-1] = (TRANSFORMS["grayscale"](units, 1.0) - units)[:, :, 0, 0].T
        axes.append(_colored("grayscale", min(1.0, bound / fade.abs().max().item()), fade))
    return axes


def _spatial(name: str, reach: float, aspect: float, padding: str) -> SingleTransformation:
    transform = TRANSFORMS[name]

    def matrices(k: Tensor) -> tuple[None, Tensor]:
        return None, transform.function(transform.identity + reach * k[:, 0], aspect)

    return SingleTransformation(name, reach, ParametricTransform(1, matrices, padding), 1)


def _colored(name: str, reach: float, direction: Tensor) -> SingleTransformation:
    def matrices(k: Tensor) -> tuple[Tensor, None]:
        return color_identity(len(direction), k) + reach * k[:, :, None] * direction.to(k), None

    return SingleTransformation(name, reach, ParametricTransform(1, matrices), 0)


def estimate_baselines(
    classifier: Classifier,
    data: CheckedImages,
    axes: list[SingleTransformation],
    tolerance: float,
    batch_size: int = 250,
) -> list[Estimate]:
    """Estimate the scale up to which each axis keeps to a tolerance, at most 1.

    Args:
        classifier: Who looks.
        data: Images to estimate it from; at most 2,000 of them, evenly spaced, are looked at.
        axes: The axes of one part.
        tolerance: Largest share of the images that may be lost.
        batch_size: Images in one forward pass.
    """
    few = data.spread(LOOKED_AT)

    def estimated(axis: SingleTransformation) -> Estimate:
        looks = {}

        def share_at(scale: float) -> float:
            k = scale * axis.mover.corner
            looks[scale] = break_rate(classifier, few, axis.mover, k, tolerance, batch_size)
            return looks[scale]

        scale = estimate_scale(share_at, tolerance, most=1.0, bisections=BISECTIONS)
        return Estimate(scale, tuple(sorted(looks.items())))

    return [estimated(axis) for axis in axes]


def certify_baselines(
    classifier: Classifier,
    data: CheckedImages,
    axes: list[SingleTransformation],
    estimates: list[Estimate],
    tolerance: float,
    confidence: float = 0.95,
    batch_size: int = 250,
) -> tuple[list[Baseline], list[tuple[SingleTransformation, FixedSequence]]]:
    """Certify the axes that may be the longest.

    Args:
        classifier: Who looks.
        data: Calibration images.
        axes: The axes of one part.
        estimates: About how far each goes, from other images.
        tolerance: Largest share of the images that may be lost.
        confidence: Of each certificate.
        batch_size: Images in one forward pass.

    Returns:
        A record for each axis, and the axes that were certified with their calibrations.
    """
    certified = {
        i: _calibrated(classifier, data, axes[i], estimates[i].scale, tolerance, confidence, batch_size)
        for i in contenders(axes, estimates)
    }
    records = [
        baseline_record(axis, estimate, certified.get(i))
        for i, (axis, estimate) in enumerate(zip(axes, estimates, strict=True))
    ]
    return records, [(axes[i], calibration) for i, calibration in certified.items()]


def contenders(
    axes: list[SingleTransformation], estimates: list[Estimate], least: float = CONTENDER
) -> list[int]:
    """Return the indices of axes that go at least so far, of the longest, by the estimates."""
    reached = [axis.displacement(estimate.scale) for axis, estimate in zip(axes, estimates, strict=True)]
    return [i for i, moved in enumerate(reached) if moved >= least * max(reached)]


def displacement_ratio(
    family: FixedSequence,
    moved: Sequence[float],
    axes: list[tuple[SingleTransformation, FixedSequence]],
    generator: torch.Generator,
    confidence: float = 0.95,
) -> DisplacementRatio | None:
    """Return how much further a family moves at its corner than the axis that moves furthest.

    Args:
        family: Its calibration.
        moved: Displacement of the family at its corner, at each of the scales that were tested.
        axes: Certified axes with their calibrations, on the same images in the same order.
        generator: Draws the resampled images.
        confidence: Of the interval, a percentile bootstrap over calibration images: family and axes choose
            their scales anew on the same resampled images.

    Returns:
        The ratio of displacements, or None where an axis is unbroken at its bound and none is longer, or none
        moves.
    """
    reached = [(axis.displacement(each.scale), each.scale == 1.0) for axis, each in axes]
    if max(reached)[1]:
        return None
    n = family.failed.shape[-1]
    drawn = torch.randint(n, (RESAMPLES, n), generator=generator)
    weights = torch.zeros(RESAMPLES, n).scatter_add_(1, drawn, torch.ones(RESAMPLES, n))
    weights = torch.cat([torch.ones(1, n), weights])  # first the images as they are
    own = torch.tensor([0.0, *moved])[family.passed(weights)]
    others = torch.stack(
        [
            torch.tensor([0.0, *map(axis.displacement, calibration.scales)])[calibration.passed(weights)]
            for axis, calibration in axes
        ]
    ).amax(0)
    if not others[0] > 0:
        return None
    ratios = own / others
    # Where neither moves nothing is known: such a draw widens the interval at both ends
    low = ratios[1:].nan_to_num(0.0, posinf=torch.inf).quantile((1 - confidence) / 2).item()
    high = ratios[1:].nan_to_num(torch.inf, posinf=torch.inf).quantile((1 + confidence) / 2).item()
    return DisplacementRatio(ratios[0].item(), low, high if math.isfinite(high) else None)


def baseline_record(
    axis: SingleTransformation, estimate: Estimate, calibration: FixedSequence | None = None
) -> Baseline:
    """Return what is known of an axis; its calibration, if it has one, goes before its estimate."""
    looks, certified = estimate.looks, None
    if calibration is not None:
        certified = calibration.scale
        looks = tuple(zip(calibration.scales, calibration.shares[:, 0].tolist(), strict=True))
    return Baseline(
        transform=axis.name,
        sign="+" if axis.reach > 0 else "-",
        estimated_magnitude=axis.magnitude(estimate.scale),
        estimated_displacement=axis.displacement(estimate.scale),
        certified_magnitude=None if certified is None else axis.magnitude(certified),
        certified_displacement=None if certified is None else axis.displacement(certified),
        reached_bound=certified == 1.0,
        looks=tuple((axis.displacement(scale), share) for scale, share in looks),
    )


def _calibrated(
    classifier: Classifier,
    data: CheckedImages,
    axis: SingleTransformation,
    estimate: float,
    tolerance: float,
    confidence: float,
    batch_size: int,
) -> FixedSequence:
    """Test an axis at its corner, up to its bound; families face more tests, so that axes are favoured."""
    scales = sorted({min(1.0, estimate * factor) for factor in SEQUENCE})
    corner = axis.mover.corner
    return fixed_sequence_test(
        lambda scale: lost(classifier, data, axis.mover, scale * corner, batch_size)[None],
        scales,
        tolerance,
        confidence,
        BEYOND,
    )
