"""By how much one mean exceeds the largest of several others: an interval that knows how many there are."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
SHARE_OF_CHOICE = 0.1  # of the probability of an error, for leaving out a rival that leads


class Margin(NamedTuple):
    """Means of one output less the largest mean of the others, with intervals, L."""

    value: Floats
    ci_low: Floats
    ci_high: Floats


def margin_over_rivals(
    own: NDArray[np.integer[Any]],
    means: Floats,
    squares: Floats,
    margin_squares: Floats,
    n: Any,
    confidence: float,
) -> Margin:
    """Return, for each of L samples, the mean of its own output less the largest of the other means.

    It exceeds a value only if it does so over each rival. The lower end, the lowest one over the rivals,
    therefore needs no correction. It is below a value if it is so over any rival, which chance can feign as
    often as there are rivals that may lead: the upper end is corrected for their number, by Bonferroni. A
    rival may lead if its mean is not clearly below the largest one, whatever the correlation of the two.

    Args:
        own: Which of the K outputs is the sample's own, L.
        means: Mean of each output, L x K.
        squares: Mean square of each output, L x K.
        margin_squares: Mean square of the own output less each output, L x K.
        n: Number of values in each sample, L.
        confidence: Confidence of each interval; approximate, by Student's distribution.

    Returns:
        Margins and their ends; infinite ends for samples of one value.
    """
    size, row = np.maximum(np.asarray(n, float)[:, None], 2), np.arange(len(means))
    error = (1 - confidence) / 2
    is_own = np.arange(means.shape[1]) == own[:, None]
    margins = np.where(is_own, np.inf, means[row, own][:, None] - means)
    spread = np.sqrt(np.maximum(squares - means**2, 0) / (size - 1))
    leader = margins.argmin(1)
    gap = margins - margins[row, leader][:, None]
    clear = stdtrit(size - 1, 1 - SHARE_OF_CHOICE * error / max(means.shape[1] - 2, 1))
    may_lead = ~is_own & (gap <= clear * (spread + spread[row, leader][:, None]))
    may_lead[row, leader] = True
    width = np.sqrt(np.maximum(margin_squares - np.where(is_own, 0, margins) ** 2, 0) / (size - 1))
    number = may_lead.sum(1, keepdims=True)
    share = np.where(number > 1, (1 - SHARE_OF_CHOICE) / number, 1)
    low = np.where(may_lead, margins - stdtrit(size - 1, 1 - error) * width, np.inf).min(1)
    high = np.where(may_lead, margins + stdtrit(size - 1, 1 - error * share) * width, np.inf).min(1)
    single = np.asarray(n) < 2  # has no spread
    return Margin(margins.min(1), np.where(single, -np.inf, low), np.where(single, np.inf, high))
