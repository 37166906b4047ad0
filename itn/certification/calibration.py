"""From a learned family to what is proven of it: axes to compare with, a calibrated scale, the ratios.

Three parts of the images take turns: the learned ones say about how far axes and family go and where the
family is at its worst, the calibration images choose the scales, and the certified ones only count.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from itn.certification.baselines import (
    BEYOND,
    Axis,
    Estimate,
    axis_ratio,
    certified_axes,
    color_axes,
    contenders,
    estimated_axes,
    spatial_axes,
)
from itn.certification.worst_k import (
    FINE,
    SEQUENCE,
    Calibration,
    Mover,
    calibrate,
    estimated_scale,
    lost,
    most_lost,
    share_lost,
    smallest_tolerance,
    worst_case,
)
from itn.functional.displacement import displacement
from itn.learning.config import LearnConfig
from itn.learning.records import AxisRatio, AxisReach, CalibrationPoint
from itn.models.classifier import CheckedImages, Classifier
from itn.nn.net import InvariantTransformerNet
from itn.nn.transformers import CONTROLS
from itn.stats.sampling import generator

PROMISING = 0.6  # of the longest axis, those that learning sets out along
LOOKED_AT = 4000  # images that tell how far a learned family goes, and where it is at its worst
STRIDES = 16  # in which half a turn, or a bound, is gone through for the end of a single parameter's range
BISECTIONS = 7  # of the stride in which such a range ends


@dataclasses.dataclass(frozen=True)
class Yardsticks:
    """The single axes of every part that is learned, and about how far each will be certified."""

    axes: dict[str, list[Axis]]
    estimates: dict[str, list[Estimate]]
    target: float
    """Share of the images that may be lost if calibration is to prove the tolerance; less than it."""
    ranges: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """For parts with a single parameter how far it goes both ways, about, with sign, the longer way first."""

    @property
    def references(self) -> dict[str, float]:
        """The displacement of the longest axis of each part, by the estimates."""
        return {
            part: max(
                1e-6,
                *(axis.displacement(e.scale) for axis, e in zip(axes, self.estimates[part], strict=True)),
            )
            for part, axes in self.axes.items()
        }

    @property
    def bounded(self) -> set[str]:
        """The parts of which an axis is unbroken at its bound, by the estimates, and none is longer."""
        return {
            part
            for part, axes in self.axes.items()
            if any(
                e.scale == 1.0 and axis.displacement(1.0) >= self.references[part]
                for axis, e in zip(axes, self.estimates[part], strict=True)
            )
        }

    def pairs(self, part: str) -> Tensor:
        """Return what the longest axes, about, add to the identity: in pairs, then alone, m x 2 x entries."""
        axes, estimates = self.axes[part], self.estimates[part]
        longest = sorted(
            contenders(axes, estimates, PROMISING),
            key=lambda i: axes[i].displacement(estimates[i].scale),
            reverse=True,
        )
        alone = [axes[i].deviation(estimates[i].scale).flatten() for i in longest]
        pairs = [(a, b) for a, b in itertools.combinations(alone, 2) if a @ b > -0.5 * a.norm() * b.norm()]
        return torch.stack([torch.stack(pair) for pair in (*pairs, *((a, 0 * a) for a in alone))])


@dataclasses.dataclass(frozen=True)
class Proven:
    """The scale that calibration has chosen, and how far single axes go on the same images."""

    scale: float
    calibration: tuple[CalibrationPoint, ...]
    axes: dict[str, tuple[AxisReach, ...]]
    ratios: dict[str, AxisRatio | None]


def check_certifiable(images: int, config: LearnConfig) -> None:
    """Raise ValueError if so few calibration images cannot prove the tolerance even if none is lost."""
    least = smallest_tolerance(images, config.confidence)
    if least > config.tolerated:
        percent = -(-least * 1000 // 1) / 10
        raise ValueError(
            f"{images} images to calibrate with cannot prove a tolerance of {100 * config.tolerated:g} %, "
            f"{100 * least:.2f} % at best: give a tolerance of {percent / 100:g} or more, or more images"
        )


def yardsticks(
    net: InvariantTransformerNet, learned: CheckedImages, calibrated: int, config: LearnConfig
) -> Yardsticks:
    """Estimate how far the single axes of each part will be certified on so many calibration images."""
    target = (most_lost(calibrated, config.tolerated, config.confidence) + 0.5) / calibrated
    _, channels, height, width = learned.images.shape
    axes = {}
    if net.color is not None:
        axes["color"] = color_axes(channels, config.color_bound)
    if net.space is not None:
        axes["space"] = spatial_axes(width / height, net.space.entry_bound, config.padding)
    classifier = classifier_of(net)
    estimates = {
        part: estimated_axes(classifier, learned, each, target, config.batch_size)
        for part, each in axes.items()
    }
    ranges = {
        part: _range(net, part, learned.spread(LOOKED_AT), target, config)
        for part in net.parts
        if net.single(part)
    }
    return Yardsticks(axes, estimates, target, ranges)


def _range(
    net: InvariantTransformerNet, part: str, few: CheckedImages, target: float, config: LearnConfig
) -> tuple[float, float]:
    """Return how far the single parameter of a part goes both ways, the longer way first."""
    transformer, bound = getattr(net, part), getattr(net, part).head.bound.item()

    def matrices(k: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix = transformer.from_parameters(k)
        return (matrix, None) if part == "color" else (None, matrix)

    moved = Mover(1, matrices, config.padding)

    def end(sign: float) -> float:
        def share_at(parameter: float) -> float:
            at = torch.full((1, 1), sign * parameter)
            return share_lost(classifier_of(net), few, moved, at, target, config.batch_size)

        strides = math.ceil(STRIDES * max(1.0, bound / math.pi))
        return sign * estimated_scale(share_at, target, bound, strides=strides, bisections=BISECTIONS)

    shorter, longer = sorted((end(1.0), 0.0 if config.rectified else end(-1.0)), key=abs)
    return longer, shorter


def mover(net: InvariantTransformerNet) -> Mover:
    """Return a net as something that grows with a scale: k1 first, then k2, those that it listens to."""
    padding = "zeros" if net.space is None else net.space.padding
    both = len(net.parts) == 2
    return Mover(
        CONTROLS * len(net.parts),
        lambda k: net.matrices(k[:, :CONTROLS], k[:, CONTROLS:] if both else k),
        padding,
    )


def prove(
    net: InvariantTransformerNet,
    learned: CheckedImages,
    calibration: CheckedImages,
    measures: Yardsticks,
    config: LearnConfig,
) -> Proven:
    """Choose the scale of a family with a guarantee, give it to the net, and compare with single axes.

    The family must keep to the tolerance at the corner and at the k that a search finds worst on the images
    learned from; if that is the worst, it does so in the mean over k as well. An axis must at its corner.
    """
    classifier, family, batch = classifier_of(net), mover(net), config.batch_size
    estimate, worst = furthest(net, learned, measures.target, batch)

    def lost_at(scale: float) -> Tensor:
        at = (scale * k for k in (family.corner, worst))
        return torch.stack([lost(classifier, calibration, family, k, batch) for k in at])

    ranges = all(net.single(part) for part in net.parts)
    scales = [estimate * factor for factor in (FINE if ranges else SEQUENCE)]
    found = calibrate(lost_at, scales, config.tolerated, config.confidence, BEYOND)
    at_corners = [corner_displacements(net, scale) for scale in found.scales]
    moved = {part: [each[part] for each in at_corners] for part in net.parts}
    points = calibration_points(found, at_corners)
    records, ratios = {}, {}
    for part, axes in measures.axes.items():
        reached, certified = certified_axes(
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
        ratios[part] = axis_ratio(found, moved[part], certified, randomness, config.confidence)
    rescale(net, found.scale)
    return Proven(found.scale, points, records, ratios)


def furthest(
    net: InvariantTransformerNet, learned: CheckedImages, target: float, batch_size: int
) -> tuple[float, Tensor]:
    """Return about which scale of a family loses the target at its worst k, and that k, 1 x controls."""
    classifier, family, few = classifier_of(net), mover(net), learned.spread(LOOKED_AT)

    def estimated(k: Tensor, most: float, least: float = 0.0) -> float:
        def share_at(scale: float) -> float:
            return share_lost(classifier, few, family, scale * k, target, batch_size)

        return estimated_scale(share_at, target, most, least=least)

    estimate = 0.0
    for most in (2.0, 4.0, 8.0):  # beyond 2 if learning has ended far short of the tolerance
        estimate = estimated(family.corner, most, estimate)
        if estimate < most:
            break
    worst, before = family.corner, math.inf
    while estimate < 0.9 * before:
        # Far beyond the tolerance all k look alike: the worst is looked for again where it has led to
        candidate, before = worst_case(classifier, few, family, estimate, batch_size).k, estimate
        estimate = estimated(candidate, before)
        if estimate < before or torch.equal(worst, family.corner):
            worst = candidate
    return estimate, worst


@torch.no_grad()
def rescale(net: InvariantTransformerNet, scale: float) -> None:
    """Let a family be at k what it was at k times the scale."""
    for part in net.parts:
        getattr(net, part).head.output.weight.mul_(scale)


@torch.no_grad()
def corner_displacements(net: InvariantTransformerNet, scale: float = 1.0) -> dict[str, float]:
    """Return the displacement of each part of a net where all controls are 1 times the scale."""
    k = torch.full((1, CONTROLS), scale, device=classifier_of(net).device)
    pairs = zip(("color", "space"), net.matrices(k, k), strict=True)
    return {part: displacement(matrix).item() for part, matrix in pairs if matrix is not None}


def calibration_points(
    found: Calibration, displacements: Sequence[Mapping[str, float]]
) -> tuple[CalibrationPoint, ...]:
    """Return the records of the scales that were tried, with displacements of each part at their corners."""
    return tuple(
        CalibrationPoint(scale, corner, at_worst, moved.get("color"), moved.get("space"))
        for scale, (corner, at_worst), moved in zip(
            found.scales, found.shares.tolist(), displacements, strict=True
        )
    )


def classifier_of(net: InvariantTransformerNet) -> Classifier:
    """Return the classifier of a net that was made for one."""
    assert isinstance(net.classifier, Classifier)
    return net.classifier
