"""The single-transformation baselines of every part of a net, with estimates of how far each goes."""

import dataclasses
import itertools
import math

import torch
from torch import Tensor

from itn.certification.baselines import (
    EstimatedBaseline,
    color_baselines,
    contenders,
    estimate_baselines,
    spatial_baselines,
)
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.records import Terms
from itn.certification.search import IMAGES, estimate_scale
from itn.nn import InvariantTransformerNet
from itn.stats import max_failures

PROMISING = 0.6  # of the largest displacement: directions that learning starts from
STRIDES, BISECTIONS = 16, 7  # of half a turn, or of a bound, in the search for the end of a range


@dataclasses.dataclass(frozen=True)
class FamilyBaselines:
    """The single transformations of every part that is learned, with estimates of how far each goes."""

    estimates: dict[str, list[EstimatedBaseline]]
    target: float
    """Share of the images that may be broken if calibration is to prove the tolerance; less than it."""
    ranges: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """By part with a single parameter, estimates of its two ends, signed, the longer one first."""

    @property
    def references(self) -> dict[str, float]:
        """The largest displacement of any single transformation of each part, by the estimates."""
        return {
            part: max(1e-6, *(estimate.displacement for estimate in estimates))
            for part, estimates in self.estimates.items()
        }

    @property
    def bounded(self) -> set[str]:
        """The parts of which a single transformation with the largest displacement reached its bound."""
        return {
            part
            for part, estimates in self.estimates.items()
            if any(e.scale == 1.0 and e.displacement >= self.references[part] for e in estimates)
        }

    def promising_pairs(self, part: str) -> Tensor:
        """Return what the largest single transformations add to the identity, m x 2 x entries.

        First those that go together in pairs, none of two opposite ones, then each by itself beside zeros.
        """
        promising = contenders(self.estimates[part], PROMISING)
        promising.sort(key=lambda estimate: estimate.displacement, reverse=True)
        single = [estimate.baseline.deviation(estimate.scale).flatten() for estimate in promising]
        pairs = [(a, b) for a, b in itertools.combinations(single, 2) if a @ b > -0.5 * a.norm() * b.norm()]
        return torch.stack([torch.stack(pair) for pair in (*pairs, *((a, 0 * a) for a in single))])


def estimate_family_baselines(
    net: InvariantTransformerNet, training: EvaluationSet, calibration_images: int, terms: Terms
) -> FamilyBaselines:
    """Estimate how far the single transformations of each part go on so many calibration images.

    Args:
        net: The parts, with their bounds.
        training: Images to estimate it from.
        calibration_images: How many images will be calibrated with.
        terms: Tolerance and confidence.
    """
    target = (max_failures(calibration_images, terms.tolerance, terms.confidence) + 0.5) / calibration_images
    _, channels, height, width = training.data.images.shape
    baselines = {}
    if net.color is not None:
        baselines["color"] = color_baselines(channels, net.color.head.bound.item())
    if net.spatial is not None:
        baselines["spatial"] = spatial_baselines(width / height, net.spatial.entry_bound, net.padding)
    estimates = {part: estimate_baselines(training, singles, target) for part, singles in baselines.items()}
    images = training.spread(IMAGES)
    ranges = {part: _estimate_range(net, part, images, target) for part in net.parts if net.single(part)}
    return FamilyBaselines(estimates, target, ranges)


def _estimate_range(
    net: InvariantTransformerNet, part: str, images: EvaluationSet, target: float
) -> tuple[float, float]:
    """Estimate how far the single parameter of a part goes both ways, the longer way first."""
    transformer = getattr(net, part)
    bound = transformer.head.bound.item()
    transform = ParametricTransform(1, lambda k: {part: transformer.from_parameters(k)}, net.padding)

    def end(sign: float) -> float:
        def break_rate_at(parameter: float) -> float:
            return images.break_rate(transform, torch.full((1, 1), sign * parameter), target)

        strides = math.ceil(STRIDES * max(1.0, bound / math.pi))
        return sign * estimate_scale(break_rate_at, target, bound, strides=strides, bisections=BISECTIONS)

    shorter, longer = sorted((end(1.0), 0.0 if transformer.head.nonnegative else end(-1.0)), key=abs)
    return longer, shorter
