"""From a learned family to its scale, chosen with a guarantee, and to its ratio to single transformations.

Three sets of images take part. On training images a search estimates how far the family and single
transformations go, and the k at which the family is worst. On calibration images growing scales are tested,
Learn then Test with a fixed sequence (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): with the
stated confidence, no more than the tolerated share of images is broken at the scale where it stops. Held-out
images, by which nothing was chosen, bound the accuracy there (Clopper and Pearson 1934).
"""

import dataclasses
from collections.abc import Mapping, Sequence

from itn.certification.baselines import BEYOND, calibrate_baselines, displacement_ratio
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet, ParametricTransform, displacements_full, rescale
from itn.certification.records import Baseline, CalibrationPoint, Headline, Terms
from itn.certification.search import estimate_scale_and_worst_k
from itn.nn import InvariantTransformerNet
from itn.stats import FixedSequence, fixed_sequence_test, generator, smallest_tolerance
from itn.stats.fixed_sequence import FINE, SEQUENCE


@dataclasses.dataclass(frozen=True)
class CalibrationResult:
    """The scale that calibration has chosen, and how far single transformations go on the same images."""

    scale: float
    points: tuple[CalibrationPoint, ...]
    baselines: dict[str, tuple[Baseline, ...]]
    headline: dict[str, Headline | None]


def check_certifiable(images: int, tolerance: float, confidence: float) -> None:
    """Raise ValueError if so few calibration images cannot prove the tolerance even if none is broken."""
    smallest = smallest_tolerance(images, confidence)
    if smallest > tolerance:
        percent = -(-smallest * 1000 // 1) / 10
        raise ValueError(
            f"{images} calibration images cannot prove a tolerance of {100 * tolerance:g} %, "
            f"{100 * smallest:.2f} % at best: give a tolerance of {percent / 100:g} or more, or more images"
        )


def calibrate_family(
    net: InvariantTransformerNet,
    training: EvaluationSet,
    calibration: EvaluationSet,
    baselines: FamilyBaselines,
    terms: Terms,
) -> CalibrationResult:
    """Choose the scale of a family with a guarantee, give it to the net, and compare with its baselines.

    The family must keep to the tolerance at full strength and at the k that a search finds worst on training
    images; if that is the worst, it does so in the mean over k as well. A single transformation must do so at
    full strength.
    """
    family = ParametricTransform.of_net(net)
    estimate, worst_k = estimate_scale_and_worst_k(family, training, baselines.target)
    scales = [estimate * factor for factor in (FINE if net.only_ranges else SEQUENCE)]
    test = fixed_sequence_test(
        lambda scale: calibration.broken_at(family, scale, worst_k),
        scales,
        terms.tolerance,
        terms.confidence,
        BEYOND,
    )
    shape = calibration.data.images.shape
    displacements = [displacements_full(net, shape, scale) for scale in test.scales]
    records: dict[str, tuple[Baseline, ...]] = {}
    headline: dict[str, Headline | None] = {}
    for part, estimates in baselines.estimates.items():
        tried, calibrated = calibrate_baselines(calibration, estimates, terms.tolerance, terms.confidence)
        records[part] = tuple(tried)
        headline[part] = displacement_ratio(
            test,
            [of_parts[part] for of_parts in displacements],
            calibrated,
            generator(terms.seed, f"bootstrap {net.part(part).seed_name or part}"),
            terms.confidence,
        )
    rescale(net, test.scale)
    return CalibrationResult(test.scale, calibration_points(test, displacements), records, headline)


def calibration_points(
    test: FixedSequence, displacements: Sequence[Mapping[str, float]]
) -> tuple[CalibrationPoint, ...]:
    """Return the records of the scales that were tried, with displacements of each part at full strength."""
    return tuple(
        CalibrationPoint(scale, full, worst, dict(of_parts))
        for scale, (full, worst), of_parts in zip(
            test.scales, test.shares.tolist(), displacements, strict=True
        )
    )
