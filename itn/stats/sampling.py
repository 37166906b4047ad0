"""Intervals and reproducible randomness.

Quantiles come from scipy.special, since scipy.stats takes a second and a half to import, a quarter of what
every command needs to start; it is imported where its estimators are called.
"""

import hashlib
import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import bdtrc, betaincinv
from torch import Tensor

Floats = NDArray[np.float64]


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided binomial interval of a proportion (Clopper and Pearson 1934)."""
    # scipy.stats.binomtest's "exact" interval, as quantiles of a beta distribution: a thousand times faster
    tail = (1 - confidence) / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)


def binomial_tail(successes: int, n: int, probability: float) -> float:
    """Return the chance of at least so many successes in n draws: the p-value of one-sided exact tests."""
    return float(bdtrc(successes - 1, n, probability)) if successes else 1.0


class Survival(NamedTuple):
    """A Kaplan-Meier curve: the share that survives beyond each time, with a pointwise interval."""

    times: Floats
    """Ascending; the first is 0."""
    share: Floats
    ci_low: Floats
    ci_high: Floats

    def median(self) -> tuple[float | None, float | None, float | None]:
        """Return the median time and its interval (Brookmeyer and Crowley 1982); None where not reached."""
        half = 0.5 + 1e-12  # 8/10 7/8 5/7 is a half, whatever its rounding
        low, middle, high = (
            next((float(t) for t, s in zip(self.times, curve, strict=True) if s <= half), None)
            for curve in (self.ci_low, self.share, self.ci_high)
        )
        return middle, low, high


def kaplan_meier(times: Floats, ended: NDArray[np.bool_], confidence: float = 0.95) -> Survival:
    """Estimate a survival curve from right-censored times (Kaplan and Meier 1958; log-log intervals).

    Args:
        times: N times >= 0, of the event, or of the last look at what was still without it.
        ended: N, whether the event was seen.
        confidence: Of the pointwise interval.
    """
    if not ended.any():  # nothing for scipy to estimate: all survive, and n says how surely
        last = float(times.max())
        low = clopper_pearson(len(times), len(times), confidence)[0]
        return Survival(np.array([0.0, last]), np.ones(2), np.array([low, low]), np.ones(2))
    from scipy.stats import CensoredData, ecdf  # noqa: PLC0415

    estimate = ecdf(CensoredData(uncensored=times[ended], right=times[~ended])).sf
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # where all or none survive the formula has no value
        interval = estimate.confidence_interval(confidence, method="log-log")
    share, low_end, high_end = (end.probabilities for end in (estimate, interval.low, interval.high))
    # There the numbers of images say how surely: a few do not bound what others would do
    lowest = clopper_pearson(len(times), len(times), confidence)[0]
    highest = clopper_pearson(0, int(ended.sum()), confidence)[1]
    ends = (
        np.where(np.isnan(low_end), np.where(share > 0.5, lowest, 0.0), low_end),
        np.where(np.isnan(high_end), np.where(share > 0.5, 1.0, highest), high_end),
    )
    starts = (1.0, lowest, 1.0)  # what n images that all survive so far say
    curves = (np.concatenate([[start], curve]) for start, curve in zip(starts, (share, *ends), strict=True))
    return Survival(np.concatenate([[0.0], estimate.quantiles]), *curves)


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator of its own for each purpose, so that one draw more here moves nothing there."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split indices into two parts with the same share of every class.

    Args:
        labels: N integers.
        fraction: Share of each class, rounded to whole images, that goes to the first part; in (0, 1).
        seed: The same seed gives the same split.

    Returns:
        Two sorted index tensors, int64, disjoint, together all N.

    Raises:
        ValueError: If a part would be empty.
    """
    shuffled = torch.randperm(len(labels), generator=generator(seed, "split"))
    first = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = shuffled[labels.cpu()[shuffled] == label]
        first[members[: round(fraction * len(members))]] = True
    if first.all() or not first.any():
        raise ValueError(f"{len(labels)} images are too few to split {fraction:g} to {1 - fraction:g}")
    return first.nonzero().flatten(), (~first).nonzero().flatten()


def stratified_subset(labels: Tensor, n: int, seed: int) -> Tensor:
    """Pick n of N indices at random, as many of every class as its share of the whole says.

    Shares are rounded by largest remainder; among equal remainders chance decides.

    Args:
        labels: N integers.
        n: How many, at least 1; N or more gives all.
        seed: The same seed gives the same subset.

    Returns:
        min(n, N) sorted indices, int64.

    Raises:
        ValueError: If n is less than 1.
    """
    if n < 1:
        raise ValueError(f"a subset needs at least 1 image, got {n}")
    if n >= len(labels):
        return torch.arange(len(labels))
    randomness = generator(seed, "subset")
    shuffled = torch.randperm(len(labels), generator=randomness)
    classes, sizes = labels.cpu().unique(return_counts=True)
    shares, remainders = n * sizes // len(labels), n * sizes % len(labels)
    order = torch.randperm(len(classes), generator=randomness)
    order = order[remainders[order].argsort(descending=True, stable=True)]
    shares[order[: n - int(shares.sum())]] += 1
    members = [shuffled[labels.cpu()[shuffled] == label] for label in classes]
    chosen = [each[:share] for each, share in zip(members, shares.tolist(), strict=True)]
    return torch.cat(chosen).sort().values
