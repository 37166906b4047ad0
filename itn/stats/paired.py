"""How far accuracy falls between two answers to the same images: exact tests and bounds of a paired drop.

Of n images, some change: ``broken`` ones become worse, ``mended`` ones better. The drop is P(broken) -
P(mended). Where images cannot be mended it is a plain proportion, and the binomial test is exact. Otherwise
the share of images that change, the churn, is a nuisance: the p-value is the largest over all values of it.
That lies on the boundary of the hypothesis (Barnard 1947), at a drop that equals the tolerance; the churn is
limited by an upper bound, whose chance to fail is added to the p-value (Berger and Boos 1994), without which
tests of few changed images would have to fear that all change.
"""

import functools
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, betaincinv, gammaln, ndtri
from torch import Tensor

from itn.stats.intervals import binomial_tail, clopper_pearson

GAMMA = 0.02
"""Chance that the bound on the churn fails, as a share of what the test may err: 0.001 of 0.05."""
_CHURNS = 9  # values of the churn at which the largest p-value is looked for
_CHURNS_NEARLY_ALL = 65  # the same where nearly all images may change
_NEARLY_ALL = 0.9  # from there on the chance goes up and down with the parity of the churn count
_SPREAD = 9.0  # standard deviations of the churn count that are summed over; less than 1e-17 is left out


def drop_p_value(broken: int, mended: int, n: int, tolerance: float, gamma: float = 0.05 * GAMMA) -> float:
    """Return the p-value of "the drop is at least the tolerance", against "it is smaller".

    Args:
        broken: Images that have become worse.
        mended: Images that have become better.
        n: All images, independent draws.
        tolerance: In (0, 1).
        gamma: Chance that the bound on the churn fails; the p-value is at least as large.
    """
    highest = _highest_churn(broken + mended, n, gamma)
    if highest <= tolerance:
        return gamma  # a drop of the tolerance takes as much churn
    return min(1.0, gamma + _largest_tail(broken - mended, n, tolerance, highest))


def _highest_churn(churn: int, n: int, gamma: float) -> float:
    """Return the upper bound of Clopper and Pearson on the share of images that change."""
    return 1.0 if churn == n else float(betaincinv(churn + 1, n - churn, 1 - gamma))


def _largest_tail(difference: int, n: int, tolerance: float, highest: float) -> float:
    """Return the largest chance, over the churn, that broken - mended is at most a number."""
    number = _CHURNS_NEARLY_ALL if highest > _NEARLY_ALL else _CHURNS
    churns = np.linspace(tolerance, highest, number)
    return max(_tail(difference, n, tolerance, churn) for churn in churns)


def _tail(difference: int, n: int, tolerance: float, churn: float) -> float:
    """Return the chance that broken - mended is at most a number, if the drop equals the tolerance."""
    mean, spread = n * churn, _SPREAD * np.sqrt(n * churn * (1 - churn)) + _SPREAD
    counts = np.arange(max(0, int(mean - spread)), min(n, int(mean + spread)) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_chance = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
        log_chance += counts * np.log(churn) + np.where(counts < n, (n - counts) * np.log1p(-churn), 0)
    most = np.floor_divide(counts + difference, 2)  # broken images, of so many that change
    broken = np.where(
        most >= counts, 1.0, bdtr(np.clip(most, 0, None), counts, (churn + tolerance) / 2 / churn)
    )
    return float(np.exp(log_chance) @ np.where(most < 0, 0.0, broken))


def drop_upper_bound(
    broken: int, mended: int, n: int, confidence: float = 0.95, signed: bool = True
) -> float:
    """Return a bound that the drop is below with a confidence.

    Args:
        broken: Images that have become worse.
        mended: Images that have become better.
        n: All images.
        confidence: One-sided.
        signed: Whether images can be mended; if not, it is the bound of Clopper and Pearson.
    """
    if not signed:
        return clopper_pearson(broken, n, 2 * confidence - 1)[1]
    low, high, level = max(0.0, (broken - mended) / n), 1.0, 1 - confidence
    highest = _highest_churn(broken + mended, n, GAMMA * level)
    while high - low > 1e-6:  # at the largest churn alone, which nearly always decides
        middle = (low + high) / 2
        if middle >= highest or _tail(broken - mended, n, middle, highest) <= level * (1 - GAMMA):
            high = middle
        else:
            low = middle
    while drop_p_value(broken, mended, n, high, GAMMA * level) > level:
        high += 1e-6
    return high


class DropTest(NamedTuple):
    """The test whether the drop on n images is below a tolerance."""

    n: int
    """Images."""
    tolerance: float
    """In (0, 1)."""
    confidence: float = 0.95
    signed: bool = True
    """Whether images can become better; if not, the drop is a proportion."""

    def largest(self, churn: int) -> int:
        """Return the largest broken - mended that passes if so many images change."""
        if not self.signed:
            return max_failures(self.n, self.tolerance, self.confidence)
        return _largest_difference(self, churn)

    def passes(self, broken: int, mended: int = 0) -> bool:
        """Return whether these counts prove the tolerance."""
        return broken - self.signed * mended <= self.largest(broken + mended)

    def expects(self, broken: float, mended: float) -> bool:
        """Return whether n images of which these shares change are expected to pass."""
        drop = broken - self.signed * mended
        return drop * self.n <= self.largest(round((broken + mended) * self.n)) + 0.5

    def target(self, churn: float) -> float:
        """Return the largest drop, as a share, that is expected to pass where this share or more changes."""
        drops, changed = range(-self.n + 1, round(self.tolerance * self.n) + 1), round(churn * self.n)
        count = bisect_left(drops, True, key=lambda drop: drop > self.largest(max(changed, drop)))
        return (count - self.n + 0.5) / self.n

    def rejected(self, broken: Tensor, mended: Tensor) -> Tensor:
        """Return which of many counts do not pass, bool; whole numbers, of any shape."""
        churn = (broken + mended).long()
        low, high = int(churn.min()), int(churn.max())
        largest = churn.new_tensor(self._table(low, high))
        return broken - self.signed * mended > largest[churn - low]

    def _table(self, low: int, high: int) -> list[int]:
        """Return ``largest`` for all churn counts between two, which never grows with the count."""
        first, last = self.largest(low), self.largest(high)
        if first == last or high - low < 2:
            return [first] * (high - low) + [last] if high > low else [first]
        middle = (low + high) // 2
        return self._table(low, middle) + self._table(middle, high)[1:]


@functools.lru_cache(100_000)
def _largest_difference(test: DropTest, churn: int) -> int:
    n, tolerance, level = test.n, test.tolerance, (1 - test.confidence) * (1 - GAMMA)
    highest = _highest_churn(churn, n, (1 - test.confidence) * GAMMA)
    if highest <= tolerance:
        return n
    largest = round(n * tolerance + ndtri(level) * np.sqrt(n * (highest - tolerance**2)))
    # At the largest churn alone, which nearly always decides, then at all
    while _tail(largest + 1, n, tolerance, highest) <= level:
        largest += 1
    while _largest_tail(largest, n, tolerance, highest) > level:
        largest -= 1
    return largest


def max_failures(n: int, tolerance: float, confidence: float = 0.95) -> int:
    """Return the largest number of failures among n images that certifies the tolerance; -1 if none does."""
    # The chance of so few broken images grows with their count, if the tolerance is exceeded
    return bisect_right(range(n), 1 - confidence, key=lambda c: binomial_tail(n - c, n, 1 - tolerance)) - 1


def smallest_tolerance(n: int, confidence: float = 0.95) -> float:
    """Return the smallest tolerance that n images can certify, if none of them becomes worse."""
    return 1 - (1 - confidence) ** (1 / n)
