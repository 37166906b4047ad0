"""About how far a family may go, and where it is at its worst."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from itn.certification.family import classifier_of, mover
from itn.certification.parametric import break_rate
from itn.certification.worst_k import worst_case
from itn.models.preflight import CheckedImages
from itn.nn.net import InvariantTransformerNet


def estimate_scale(
    share_at: Callable[[float], float],
    tolerance: float,
    most: float,
    least: float = 0.0,
    strides: int = 4,
    bisections: int = 5,
) -> float:
    """Return about how far a tolerance reaches, outwards from ``least`` to ``most``, then by bisection.

    Args:
        share_at: Tells which share of images is lost at a scale.
        tolerance: Largest share that may be lost.
        most: The result if it holds after each stride.
        least: Scale up to which it is known to hold.
        strides: In which the way is gone: a digit upside down may be recognised again.
        bisections: Halvings of the first stride after which it does not hold; more if it reaches so little
            that they leave a bracket of more than an eighth, down to a thousandth of ``most``.
    """
    low = high = least
    for stride in range(1, strides + 1):
        high = least + (most - least) * stride / strides
        if share_at(high) > tolerance:
            break
        low = high
    else:
        return most
    halved = 0
    while halved < bisections or (high - low > high / 8 and high > 1e-3 * most):
        middle = (low + high) / 2
        low, high = (middle, high) if share_at(middle) <= tolerance else (low, middle)
        halved += 1
    return low


LOOKED_AT = 4000  # images that tell how far a learned family goes, and where it is at its worst


def estimate_scale_and_worst_k(
    net: InvariantTransformerNet, learned: CheckedImages, target: float, batch_size: int
) -> tuple[float, Tensor]:
    """Return about which scale of a family loses the target at its worst k, and that k, 1 x controls."""
    classifier, family, few = classifier_of(net), mover(net), learned.spread(LOOKED_AT)

    def estimated(k: Tensor, most: float, least: float = 0.0) -> float:
        def share_at(scale: float) -> float:
            return break_rate(classifier, few, family, scale * k, target, batch_size)

        return estimate_scale(share_at, target, most, least=least)

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
