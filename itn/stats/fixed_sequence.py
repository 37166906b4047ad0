"""A scale chosen with a guarantee: exact tests in a fixed sequence.

Learn then Test with a fixed sequence (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): growing
scales are tested until one fails. With the stated confidence, no more than the tolerated share is lost at the
last one that passed.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from itn.stats.intervals import binomial_tail


@dataclasses.dataclass(frozen=True)
class FixedSequence:
    """Which of N calibration images are lost at each of a fixed sequence of scales, and what that proves."""

    scales: tuple[float, ...]
    """In the order of the tests, ascending."""
    failed: Tensor
    """Bool, scales x conditions x N."""
    tolerance: float
    """Largest share that may be lost, under each condition."""
    confidence: float = 0.95
    """Probability, over calibration images, that the chosen scale keeps to the tolerance."""

    @property
    def scale(self) -> float:
        """The last scale before the first that fails its test; 0 if the first one does.

        The tests are exact: if more than the tolerance were lost under any condition, so few would be lost
        with a probability of at most 1 - confidence.
        """
        return (0.0, *self.scales)[int(self.passed(torch.ones(1, self.failed.shape[-1])))]

    @property
    def shares(self) -> Tensor:
        """Share of the images that is lost, scales x conditions."""
        return self.failed.double().mean(-1)

    def passed(self, weights: Tensor) -> Tensor:
        """Return how many scales pass, R, if image i had been drawn weights[r, i] times: R x N."""
        scales, conditions, n = self.failed.shape
        counts = (weights @ self.failed.flatten(0, 1).T.to(weights)).view(-1, scales, conditions).amax(-1)
        fails = counts > max_failures(n, self.tolerance, self.confidence)
        return (fails.cumsum(1) == 0).sum(1)


def fixed_sequence_test(
    failed_at: Callable[[float], Tensor],
    scales: Sequence[float],
    tolerance: float,
    confidence: float = 0.95,
    beyond: float = 1.0,
) -> FixedSequence:
    """Test scales until one fails, and on until chance could not have made it pass.

    Args:
        failed_at: Tells which of N calibration images are lost at a scale, bool, conditions x N. What it
            draws at random must be the same for an image at all scales, independent between images.
        scales: Ascending, fixed without a look at these images.
        tolerance: Largest share that may be lost, under each condition.
        confidence: Of the choice.
        beyond: Go on after the first failure until more than this multiple of the tolerance is lost, for
            those who resample the images.
    """
    seen: list[Tensor] = []
    for scale in scales:
        seen.append(failed_at(scale))
        counts = seen[-1].sum(1).amax()
        n = seen[-1].shape[1]
        if counts > max(max_failures(n, tolerance, confidence), beyond * tolerance * n):
            break
    return FixedSequence(tuple(scales[: len(seen)]), torch.stack(seen), tolerance, confidence)


def max_failures(n: int, tolerance: float, confidence: float = 0.95) -> int:
    """Return the largest count of lost images, of n, that still proves the tolerance; -1 if none does."""
    count = -1
    while binomial_tail(n - count - 1, n, 1 - tolerance) <= 1 - confidence:
        count += 1
    return count


def smallest_tolerance(n: int, confidence: float = 0.95) -> float:
    """Return the smallest tolerance that n calibration images can prove, if none of them is lost."""
    return 1 - (1 - confidence) ** (1 / n)


# Scales to test, as shares of an estimate; the last is 1.83. Half a step is lost in the mean, and less by the
# longest of several axes
SEQUENCE = (*(0.4, 0.5, 0.6, 0.7, 0.78), *(0.85 * 1.03**i for i in range(27)))


FINE = (*SEQUENCE[:5], *(0.85 * 1.02**i for i in range(40)))  # for a single parameter, whose ends are quoted
