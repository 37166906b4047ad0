"""A scale chosen with a guarantee: exact tests in a fixed sequence.

Learn then Test with a fixed sequence (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): growing
scales are tested until one fails. With the stated confidence, no more than the tolerated share of images is
broken at the last one that passed.
"""

import dataclasses
from bisect import bisect_right
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from itn.stats.intervals import binomial_tail


@dataclasses.dataclass(frozen=True)
class FixedSequence:
    """Which of N calibration images fail at each of a fixed sequence of scales, and what that certifies."""

    scales: tuple[float, ...]
    """Ascending, in the order of the tests."""
    failed: Tensor
    """Whether an image fails, bool, scales x conditions x N."""
    tolerance: float
    """Largest share of images that may fail under each condition."""
    confidence: float = 0.95
    """Probability, over draws of calibration images, that the certified scale keeps the tolerance."""

    @property
    def scale(self) -> float:
        """The last scale before the first one that does not pass its test; 0 if the first one does not.

        The tests are exact: if the share of failures under any condition exceeded the tolerance, as few
        failures as counted would have a probability of at most 1 - confidence.
        """
        return (0.0, *self.scales)[int(self.passed(torch.ones(1, self.failed.shape[-1])))]

    @property
    def shares(self) -> Tensor:
        """Share of images that fail, scales x conditions."""
        return self.failed.double().mean(-1)

    def passed(self, weights: Tensor) -> Tensor:
        """Return how many scales pass, shape R, if image i had been drawn weights[r, i] times (R x N)."""
        scales, conditions, n = self.failed.shape
        counts = (weights @ self.failed.flatten(0, 1).T.to(weights)).view(-1, scales, conditions).amax(-1)
        rejected = counts > max_failures(n, self.tolerance, self.confidence)
        return (rejected.cumsum(1) == 0).sum(1)


def fixed_sequence_test(
    failed_at: Callable[[float], Tensor],
    scales: Sequence[float],
    tolerance: float,
    confidence: float = 0.95,
    beyond: float = 1.0,
) -> FixedSequence:
    """Test growing scales until one does not pass.

    Args:
        failed_at: Returns which of N calibration images fail at a scale, bool, conditions x N. Its random
            draws must be the same for an image at all scales and independent between images.
        scales: Ascending, chosen without using these images.
        tolerance: Largest share of images that may fail under each condition.
        confidence: Probability that the certified scale keeps the tolerance.
        beyond: Continue after the first rejection until more than this multiple of the tolerance fails,
            so that tests on resampled images find the scales that they need.
    """
    failures: list[Tensor] = []
    for scale in scales:
        failures.append(failed_at(scale))
        counts = failures[-1].sum(1).amax()
        n = failures[-1].shape[1]
        if counts > max(max_failures(n, tolerance, confidence), beyond * tolerance * n):
            break
    return FixedSequence(tuple(scales[: len(failures)]), torch.stack(failures), tolerance, confidence)


def max_failures(n: int, tolerance: float, confidence: float = 0.95) -> int:
    """Return the largest number of failures among n images that certifies the tolerance; -1 if none does."""
    # The chance of so few broken images grows with their count, if the tolerance is exceeded
    return bisect_right(range(n), 1 - confidence, key=lambda c: binomial_tail(n - c, n, 1 - tolerance)) - 1


def smallest_tolerance(n: int, confidence: float = 0.95) -> float:
    """Return the smallest tolerance that n calibration images can certify, if none of them fails."""
    return 1 - (1 - confidence) ** (1 / n)


# Scales to test, as multiples of an estimate; the largest is 1.83. The chosen scale is on average half a step
# below the largest that would pass; less for the longest of several baselines
SEQUENCE = (*(0.4, 0.5, 0.6, 0.7, 0.78), *(0.85 * 1.03**i for i in range(27)))


# Finer, for a single parameter, whose range is reported
FINE = (*SEQUENCE[:5], *(0.85 * 1.02**i for i in range(40)))
