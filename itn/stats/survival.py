"""Survival curves from right-censored magnitudes."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from itn.stats.intervals import clopper_pearson

Floats = NDArray[np.float64]


class Survival(NamedTuple):
    """A Kaplan-Meier curve: the share that survives beyond each time, with a pointwise interval."""

    times: Floats
    """Ascending; the first is 0."""
    share: Floats
    ci_low: Floats
    ci_high: Floats

    def median(self) -> tuple[float | None, float | None, float | None]:
        """Return the median time and its interval (Brookmeyer and Crowley 1982); None if not reached."""
        half = 0.5 + 1e-12  # 8/10 * 7/8 * 5/7 is one half, whatever its rounding
        low, middle, high = (
            next((float(t) for t, s in zip(self.times, curve, strict=True) if s <= half), None)
            for curve in (self.ci_low, self.share, self.ci_high)
        )
        return middle, low, high


def kaplan_meier(times: Floats, ended: NDArray[np.bool_], confidence: float = 0.95) -> Survival:
    """Estimate a survival curve from right-censored times (Kaplan and Meier 1958; log-log intervals).

    Args:
        times: N times >= 0: of the event, or of the last observation before it.
        ended: N, whether the event was observed.
        confidence: Confidence of the pointwise interval.
    """
    if not ended.any():  # scipy needs an event; all survive, and n bounds the share from below
        last = float(times.max())
        low = clopper_pearson(len(times), len(times), confidence)[0]
        return Survival(np.array([0.0, last]), np.ones(2), np.array([low, low]), np.ones(2))
    from scipy.stats import CensoredData, ecdf  # noqa: PLC0415  # slow to import

    estimate = ecdf(CensoredData(uncensored=times[ended], right=times[~ended])).sf
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the formula is undefined where all or none survive
        interval = estimate.confidence_interval(confidence, method="log-log")
    share, low_end, high_end = (end.probabilities for end in (estimate, interval.low, interval.high))
    # There exact binomial bounds from the number of images take its place
    lowest = clopper_pearson(len(times), len(times), confidence)[0]
    highest = clopper_pearson(0, int(ended.sum()), confidence)[1]
    ends = (
        np.where(np.isnan(low_end), np.where(share > 0.5, lowest, 0.0), low_end),
        np.where(np.isnan(high_end), np.where(share > 0.5, 1.0, highest), high_end),
    )
    starts = (1.0, lowest, 1.0)
    curves = (np.concatenate([[start], curve]) for start, curve in zip(starts, (share, *ends), strict=True))
    return Survival(np.concatenate([[0.0], estimate.quantiles]), *curves)
