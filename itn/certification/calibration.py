"""From a learned family to its scale, chosen with a guarantee.

Two sets of images take part. On training images a search estimates how far the family goes, and the k at
which it is worst. On all others growing scales are tested, Learn then Test with a fixed sequence
(Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): with the stated confidence, the drop at the
largest scale that passes is at most the tolerance.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from itn.certification.family_baselines import FamilyBaselines
from itn.certification.members import choose_family
from itn.certification.parametric import EvaluationSet, ParametricTransform, displacements_full, rescale
from itn.certification.records import CalibrationPoint
from itn.nn import InvariantTransformerNet
from itn.runtime.wording import counted
from itn.stats import DropTest, FixedSequence, drop_upper_bound, fixed_sequence_test
from itn.stats.fixed_sequence import FINE, SECOND, SEQUENCE


@dataclasses.dataclass(frozen=True)
class CalibrationResult:
    """The scale that calibration has chosen."""

    sequence: FixedSequence
    """The tests that have chosen the scale."""
    worst_k: Tensor
    """The controls that a search on training images has found worst, 1 x controls."""
    points: tuple[CalibrationPoint, ...]
    members: dict[str, str]
    """Parts that go along single transformations, or pairs of them, in place of what was learned."""


def sequence_outcomes(sequence: FixedSequence, points: Sequence[CalibrationPoint]) -> dict[str, NDArray[Any]]:
    """Return the scales of a family, the displacement of each part there, and how each image changes."""
    parts = points[0].displacement_full if points else {}
    return {
        "scales": np.array(sequence.scales),
        "changes": sequence.changes.numpy(),
        **{f"{part}.displacement": np.array([p.displacement_full[part] for p in points]) for part in parts},
    }


def check_certifiable(test: DropTest) -> None:
    """Raise ValueError if so few calibration images cannot prove the tolerance even if none changes."""
    if test.passes(0):
        return
    smallest = drop_upper_bound(0, 0, test.n, test.confidence, test.signed)
    percent = -(-smallest * 1000 // 1) / 10
    raise ValueError(
        f"{counted(test.n, 'image that is', 'images that are')} not learned from cannot prove a tolerance of "
        f"{100 * test.tolerance:g} %, {100 * smallest:.2f} % at best: give a tolerance of "
        f"{percent / 100:g} or more, or more images"
    )


def calibrate_family(
    net: InvariantTransformerNet,
    training: EvaluationSet,
    held_out: EvaluationSet,
    baselines: FamilyBaselines,
    members: bool = False,
) -> CalibrationResult:
    """Choose the scale of a family with a guarantee, and give it to the net.

    The family must keep to the tolerance at full strength and at the k that a search finds worst on training
    images; if that is the worst, it does so in the mean over k as well.

    Args:
        net: What was learned; receives what was chosen.
        training: The images that it was learned from.
        held_out: All others.
        baselines: Single transformations, estimated on training images.
        members: Whether single transformations, and pairs of them, are candidates beside what was learned.
    """
    family, test = ParametricTransform.of_net(net), baselines.test
    estimate, worst_k, plain = choose_family(net, training, baselines, members)
    scales = [estimate * factor for factor in (FINE if net.only_ranges else SEQUENCE)]
    sequence = fixed_sequence_test(
        lambda scale: held_out.changes_at(family, scale, worst_k), scales, test, SECOND
    )
    shape = held_out.data.images.shape
    displacements = [displacements_full(net, shape, scale) for scale in sequence.scales]
    rescale(net, sequence.scale)
    return CalibrationResult(sequence, worst_k, calibration_points(sequence, displacements), plain)


def calibration_points(
    sequence: FixedSequence, displacements: Sequence[Mapping[str, float]]
) -> tuple[CalibrationPoint, ...]:
    """Return the records of the scales that were tried, with displacements of each part at full strength."""
    return tuple(
        CalibrationPoint(scale, full, worst, dict(of_parts))
        for scale, (full, worst), of_parts in zip(
            sequence.scales, sequence.drops.tolist(), displacements, strict=True
        )
    )
