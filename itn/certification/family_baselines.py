"""The single-transformation baselines of every part of a net, with estimates of how far each goes."""

import dataclasses
import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.baselines import (
    EstimatedBaseline,
    contenders,
    estimate_baselines,
)
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.search import expected_to_pass
from itn.nn import Composition, Transformer
from itn.stats import DropTest, last_scale

AIM = 0.75  # of the tolerance: what learning aims at, at least, where images can be mended
SURPLUS = 0.1  # of what a part gains beyond a baseline that reached its bound counts
PROMISING = 0.6  # of the largest displacement: directions that learning starts from
RANGE_IMAGES = 4000  # that the two ends of a range are estimated from, at most; calibration keeps their ratio
STRIDES, BISECTIONS = 16, 7  # of half a turn, or of a bound, in the search for the end of a range


class Member(NamedTuple):
    """A family along one single transformation, or along two."""

    name: str
    ends: Tensor
    """Parameters at k = (1, 0) and (0, 1), 2 x P, which add up at full strength."""
    is_pair: bool = False


@dataclasses.dataclass(frozen=True)
class FamilyBaselines:
    """The single transformations of every part that is learned, with estimates of how far each goes."""

    estimates: dict[str, list[EstimatedBaseline]]
    test: DropTest
    """Of the images that will calibrate the family, at one scale."""
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
    def target(self) -> float:
        """The drop that learning aims at: that at which the tolerance is expected to be proven, less than it.

        The more images change, in either direction, the less can be proven; here as many as under the largest
        single transformations. Where images can be mended it is not taken below three quarters of the
        tolerance: a smaller drop is hardly told from none, and calibration scales the family back.
        """
        largest = [max(estimates, key=lambda e: e.displacement) for estimates in self.estimates.values()]
        churn = max(estimate.churn for estimate in largest)
        return max(self.test.target(churn), AIM * self.test.tolerance * self.test.signed)

    @property
    def bounded(self) -> set[str]:
        """The parts of which a member with the largest displacement of all baselines reached its bound."""
        return {
            part
            for part, estimates in self.estimates.items()
            if any(
                e.baseline.parameters and e.scale == 1.0 and e.displacement >= self.references[part]
                for e in estimates
            )
        }

    def members(self, part: str) -> list[Member]:
        """Return the largest single transformations, the largest first, then pairs, none of opposite ones."""
        promising = contenders(self.estimates[part], PROMISING)
        single = [
            (f"{e.baseline.name} {e.baseline.sign}", e.baseline.parameters(e.scale))
            for e in promising
            if e.baseline.parameters is not None
        ]
        pairs = [
            Member(f"{a} and {b}", torch.stack([p, q]), is_pair=True)
            for (a, p), (b, q) in itertools.combinations(single, 2)
            if p @ q > -0.5 * p.norm() * q.norm()
        ]
        return [*(Member(name, torch.stack([p, p]) / 2) for name, p in single), *pairs]

    def promising_pairs(self, part: str) -> Tensor:
        """Return the parameters of the largest single transformations, m x 2 x P; m may be 0.

        First those that go together in pairs, none of two opposite ones, then each by itself beside zeros.
        """
        members = self.members(part)
        pairs = [member.ends for member in members if member.is_pair]
        whole = [member.ends.sum(0) for member in members if not member.is_pair]
        single = [torch.stack([p, 0 * p]) for p in whole]
        return torch.stack([*pairs, *single]) if members else torch.zeros(0, 2, 1)


def estimate_family_baselines(net: Composition, training: EvaluationSet, test: DropTest) -> FamilyBaselines:
    """Estimate how far the single transformations of each part go.

    Args:
        net: The parts, with their bounds.
        training: Images to estimate it from.
        test: Of the images that will calibrate the family.
    """
    shape = training.data.images.shape
    estimates = {}
    for name in net.parts:
        part = net.part(name)
        estimates[name] = estimate_baselines(training, part.baselines(part.frame(shape)), test)
    images = training.spread(RANGE_IMAGES)
    ranges = {
        name: _estimate_range(net.part(name), images, test) for name in net.parts if net.part(name).single
    }
    return FamilyBaselines(estimates, test, ranges)


def _estimate_range(part: Transformer, images: EvaluationSet, test: DropTest) -> tuple[float, float]:
    """Estimate how far the single parameter of a part goes both ways, the longer way first."""
    bound = part.head.bound.item()
    transform = ParametricTransform.of_parameter(part)

    def end(sign: float) -> float:
        def holds_at(parameter: float) -> bool:
            k = torch.full((1, 1), sign * parameter)
            return expected_to_pass(images.tally(transform, k, test.tolerance), test)

        strides = math.ceil(STRIDES * max(1.0, bound / math.pi))
        return sign * last_scale(holds_at, bound, strides=strides, bisections=BISECTIONS)

    shorter, longer = sorted((end(1.0), 0.0 if part.head.nonnegative else end(-1.0)), key=abs)
    return longer, shorter
