"""The single axes of every part that is learned, and about how far each will be certified."""

import dataclasses
import itertools
import math

import torch
from torch import Tensor

from itn.certification.baselines import (
    Estimate,
    SingleTransformation,
    color_baselines,
    contenders,
    estimate_baselines,
    spatial_baselines,
)
from itn.certification.family import classifier_of
from itn.certification.parametric import ParametricTransform, break_rate
from itn.certification.scale_search import LOOKED_AT, estimate_scale
from itn.learning.config import LearnConfig
from itn.models.preflight import CheckedImages
from itn.nn.net import InvariantTransformerNet
from itn.stats.fixed_sequence import max_failures

PROMISING = 0.6  # of the longest axis, those that learning sets out along


STRIDES = 16  # in which half a turn, or a bound, is gone through for the end of a single parameter's range


BISECTIONS = 7  # of the stride in which such a range ends


@dataclasses.dataclass(frozen=True)
class BaselineEstimates:
    """The single axes of every part that is learned, and about how far each will be certified."""

    axes: dict[str, list[SingleTransformation]]
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


def estimate_all_baselines(
    net: InvariantTransformerNet, learned: CheckedImages, calibrated: int, config: LearnConfig
) -> BaselineEstimates:
    """Estimate how far the single axes of each part will be certified on so many calibration images."""
    target = (max_failures(calibrated, config.tolerated, config.confidence) + 0.5) / calibrated
    _, channels, height, width = learned.images.shape
    axes = {}
    if net.color is not None:
        axes["color"] = color_baselines(channels, config.color_bound)
    if net.spatial is not None:
        axes["spatial"] = spatial_baselines(width / height, net.spatial.entry_bound, config.padding)
    classifier = classifier_of(net)
    estimates = {
        part: estimate_baselines(classifier, learned, each, target, config.batch_size)
        for part, each in axes.items()
    }
    ranges = {
        part: _range(net, part, learned.spread(LOOKED_AT), target, config)
        for part in net.parts
        if net.single(part)
    }
    return BaselineEstimates(axes, estimates, target, ranges)


def _range(
    net: InvariantTransformerNet, part: str, few: CheckedImages, target: float, config: LearnConfig
) -> tuple[float, float]:
    """Return how far the single parameter of a part goes both ways, the longer way first."""
    transformer, bound = getattr(net, part), getattr(net, part).head.bound.item()

    def matrices(k: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix = transformer.from_parameters(k)
        return (matrix, None) if part == "color" else (None, matrix)

    moved = ParametricTransform(1, matrices, config.padding)

    def end(sign: float) -> float:
        def share_at(parameter: float) -> float:
            at = torch.full((1, 1), sign * parameter)
            return break_rate(classifier_of(net), few, moved, at, target, config.batch_size)

        strides = math.ceil(STRIDES * max(1.0, bound / math.pi))
        return sign * estimate_scale(share_at, target, bound, strides=strides, bisections=BISECTIONS)

    shorter, longer = sorted((end(1.0), 0.0 if config.nonnegative else end(-1.0)), key=abs)
    return longer, shorter
