"""How much of its accuracy a classifier keeps: an interval of the ratio of two paired proportions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
HALVINGS = 40  # of [0, 1], to a trillionth


def paired_ratio(both: Any, broken: Any, mended: Any, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return the interval of accuracy after a change over accuracy before it, on the same images.

    It inverts the score test of the ratio (Nam and Blackwelder 2002, https://doi.org/10.1002/sim.1064), with
    the correction for skewness of Laud (2017, https://doi.org/10.1002/pst.1813). Only images whose answer
    changes widen it; those that are wrong before and after say nothing. Accuracy before the change counts as
    estimated on these images, not as known.

    Args:
        both: Number of images right before and after; these three are arrays of one shape, or numbers.
        broken: Number right before, wrong after.
        mended: Number wrong before, right after.
        confidence: Confidence of each interval; each end alone misses with half of what is left.

    Returns:
        The lower and the upper ends, at least 0; the ratio (both + mended) / (both + broken) lies between.

    Raises:
        ValueError: If a count is negative, or no image is right before.
    """
    both, broken, mended = np.broadcast_arrays(*(np.asarray(each, float) for each in (both, broken, mended)))
    if min(np.min(both), np.min(broken), np.min(mended)) < 0 or np.min(both + broken) == 0:
        raise ValueError("counts must be at least 0, and some images right before the change")
    z = float(ndtri((1 + confidence) / 2))

    def end(sign: int) -> Floats:
        def holds(ratio: Floats) -> NDArray[np.bool_]:
            """Return whether a ratio is above the lower end (1), or above the upper end (-1)."""
            score, skewness = _score(ratio, both, broken, mended)
            # The quantile of a skewed distribution, by Cornish and Fisher
            return score <= sign * z + skewness * (z * z - 1) / 6

        return _first(holds, both.shape)

    return np.where(both + mended > 0, end(1), 0.0), end(-1)


def _first(holds: Callable[[Floats], NDArray[np.bool_]], shape: tuple[int, ...]) -> Floats:
    """Return the smallest ratio at which a condition holds, which then holds for all larger ones."""
    low, high = np.zeros(shape), np.ones(shape)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = holds(middle / (1 - middle))  # from (0, 1) to (0, infinity)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return low / (1 - low)


def _score(ratio: Floats, both: Floats, broken: Floats, mended: Floats) -> tuple[Floats, Floats]:
    """Return the score of a ratio, which is standard normal if it is the true one, and its skewness.

    An image contributes "right after" - ratio * "right before": 1 - ratio, -ratio, 1 or 0.
    """
    expected_both, expected_broken, expected_mended = likeliest(ratio, both, broken, mended)
    total = (1 - ratio) * both + mended - ratio * broken
    # The sums of squares and cubes; that of the squares is this where the sum itself is 0
    variance = ratio * (expected_broken + expected_mended)
    third = (1 - ratio) ** 3 * expected_both + expected_mended - ratio**3 * expected_broken
    variance = np.where(variance > 0, variance, np.inf)  # nothing changed, and the ratio is 1: it fits
    return total / np.sqrt(variance), third / np.sqrt(variance**3)


def likeliest(ratio: Any, both: Any, broken: Any, mended: Any) -> tuple[Floats, Floats, Floats]:
    """Return the expected counts of the three outcomes under the likeliest probabilities with a true ratio.

    They are count / (1 + m z), where z is what an image contributes to the score, and m, in [-1, 1 / ratio],
    makes the sum of all z vanish: the root of a quadratic.
    """
    known = (1 - ratio) * both + mended - ratio * broken
    linear = (1 - ratio) ** 2 * both + (1 - 2 * ratio) * mended - ratio * (2 - ratio) * broken
    square = -ratio * (1 - ratio) * (both + broken + mended)
    root = np.sqrt(np.maximum(linear * linear - 4 * square * known, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # The same root twice; each is exact where the other loses digits
        multiplier = np.where(linear <= 0, 2 * known / (root - linear), (-linear - root) / (2 * square))
        multiplier = np.where(np.isnan(multiplier), 0, multiplier)
        expected_both = both / (1 + multiplier * (1 - ratio))
        expected_broken = np.where(broken > 0, broken / (1 - multiplier * ratio), 0)
        expected_mended = np.where(mended > 0, mended / (1 + multiplier), 0)
    # An outcome that was not seen takes what is missing
    rest = (1 - ratio) * expected_both + expected_mended - ratio * expected_broken
    expected_broken = np.where((broken == 0) & (rest > 0), rest / ratio, expected_broken)
    expected_mended = np.where((mended == 0) & (rest < 0), -rest, expected_mended)
    return expected_both, expected_broken, expected_mended
