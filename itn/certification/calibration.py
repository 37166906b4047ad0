"""From a learned family to what is proven of it: axes to compare with, a calibrated scale, the ratios.

Three parts of the images take turns: the learned ones say about how far axes and family go and where the
family is at its worst, the calibration images choose the scales, and the certified ones only count.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from itn.certification.baselines import (
    BEYOND,
    certify_baselines,
    displacement_ratio,
)
from itn.certification.family import classifier_of, displacements_full, mover, rescale
from itn.certification.family_baselines import BaselineEstimates
from itn.certification.parametric import lost
from itn.certification.records import Baseline, CalibrationPoint, DisplacementRatio
from itn.certification.scale_search import estimate_scale_and_worst_k
from itn.learning.config import LearnConfig
from itn.models.preflight import CheckedImages
from itn.nn.net import InvariantTransformerNet
from itn.stats.fixed_sequence import FINE, SEQUENCE, FixedSequence, fixed_sequence_test, smallest_tolerance
from itn.stats.sampling import generator


@dataclasses.dataclass(frozen=True)
class CalibrationResult:
    """The scale that calibration has chosen, and how far single axes go on the same images."""

    scale: float
    calibration: tuple[CalibrationPoint, ...]
    axes: dict[str, tuple[Baseline, ...]]
    ratios: dict[str, DisplacementRatio | None]


def check_certifiable(images: int, config: LearnConfig) -> None:
    """Raise ValueError if so few calibration images cannot prove the tolerance even if none is lost."""
    least = smallest_tolerance(images, config.confidence)
    if least > config.tolerated:
        percent = -(-least * 1000 // 1) / 10
        raise ValueError(
            f"{images} images to calibrate with cannot prove a tolerance of {100 * config.tolerated:g} %, "
            f"{100 * least:.2f} % at best: give a tolerance of {percent / 100:g} or more, or more images"
        )


def calibrate_family(
    net: InvariantTransformerNet,
    learned: CheckedImages,
    calibration: CheckedImages,
    measures: BaselineEstimates,
    config: LearnConfig,
) -> CalibrationResult:
    """Choose the scale of a family with a guarantee, give it to the net, and compare with single axes.

    The family must keep to the tolerance at the corner and at the k that a search finds worst on the images
    learned from; if that is the worst, it does so in the mean over k as well. An axis must at its corner.
    """
    classifier, family, batch = classifier_of(net), mover(net), config.batch_size
    estimate, worst = estimate_scale_and_worst_k(net, learned, measures.target, batch)

    def lost_at(scale: float) -> Tensor:
        at = (scale * k for k in (family.corner, worst))
        return torch.stack([lost(classifier, calibration, family, k, batch) for k in at])

    ranges = all(net.single(part) for part in net.parts)
    scales = [estimate * factor for factor in (FINE if ranges else SEQUENCE)]
    found = fixed_sequence_test(lost_at, scales, config.tolerated, config.confidence, BEYOND)
    at_corners = [displacements_full(net, scale) for scale in found.scales]
    moved = {part: [each[part] for each in at_corners] for part in net.parts}
    points = calibration_points(found, at_corners)
    records, ratios = {}, {}
    for part, axes in measures.axes.items():
        reached, certified = certify_baselines(
            classifier,
            calibration,
            axes,
            measures.estimates[part],
            config.tolerated,
            config.confidence,
            batch,
        )
        records[part] = tuple(reached)
        randomness = generator(config.seed, f"bootstrap {part}")
        ratios[part] = displacement_ratio(found, moved[part], certified, randomness, config.confidence)
    rescale(net, found.scale)
    return CalibrationResult(found.scale, points, records, ratios)


def calibration_points(
    found: FixedSequence, displacements: Sequence[Mapping[str, float]]
) -> tuple[CalibrationPoint, ...]:
    """Return the records of the scales that were tried, with displacements of each part at their corners."""
    return tuple(
        CalibrationPoint(scale, corner, at_worst, moved.get("color"), moved.get("spatial"))
        for scale, (corner, at_worst), moved in zip(
            found.scales, found.shares.tolist(), displacements, strict=True
        )
    )
