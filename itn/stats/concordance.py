"""Rank correlation of two censored magnitudes: do images that change early here change early there too?"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itn.stats.survival import Floats

LARGEST_TABLE = 4000  # images of which all pairs are in memory at once
Bools = NDArray[np.bool_]


class Concordance(NamedTuple):
    """Kendall's tau-b of two magnitudes, with an interval; None where it is not defined."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int


def censored_ranks(magnitude: Floats, ended: Bools) -> NDArray[np.int64]:
    """Return ranks in which images that are censored come last, tied, from distances and whether each ended.

    All are observed up to the same distance, so that who is censored is known to be beyond everyone else.
    """
    values = np.where(ended, magnitude, np.inf)
    return np.unique(values, return_inverse=True)[1]


def censored_tau(
    first: Floats,
    first_ended: Bools,
    second: Floats,
    second_ended: Bools,
    weights: Tensor,
    confidence: float = 0.95,
) -> Concordance:
    """Return the rank correlation of two right-censored distances, with a bootstrap interval.

    Kendall's tau-b as Brown, Hollander and Korwar (1974, in Proschan and Serfling, Reliability and Biometry)
    define it for censored data: of each pair of images it is known which one comes first, or it is not; then
    they count as tied. With a and b in {-1, 0, 1} it is the sum of a b over all pairs, over the root of the
    sum of a² times the sum of b².

    Args:
        first: N distances, of the event or of the end of the observation, which is the same for all.
        first_ended: N, whether there was an event.
        second: Another N distances of the same images.
        second_ended: Likewise.
        weights: R x N, how often each resample has each image.
        confidence: Of the interval, a percentile bootstrap over images.

    Returns:
        The correlation; None if all images are tied in one of the two, and no interval if that is so in more
        than one of twenty resamples.
    """
    x, y = (
        torch.from_numpy(censored_ranks(*each)) for each in ((first, first_ended), (second, second_ended))
    )
    n = len(x)
    value = _tau(x, y, torch.ones(1, n, dtype=torch.float64))[0].item()
    if np.isnan(value):
        return Concordance(None, None, None, n)
    taus = _tau(x, y, weights.double())
    defined = taus[~taus.isnan()]
    if len(defined) < 0.95 * len(taus):
        return Concordance(value, None, None, n)
    tail = (1 - confidence) / 2
    low, high = defined.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Concordance(value, low, high, n)


def _tau(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return tau-b of ranks under each row of weights, R; not a number where it is undefined."""
    if len(x) > LARGEST_TABLE:
        return _tau_of_many(x, y, weights)
    untied = (_untied(x, weights) * _untied(y, weights)).sqrt()
    signs = ((x[:, None] - x).sign() * (y[:, None] - y).sign()).float()
    # Sums of whole numbers below 2^24 are exact in float32
    agreement = ((weights.float() @ signs).double() * weights).sum(1)
    return torch.where(untied > 0, agreement / untied, torch.nan)


def _untied(ranks: Tensor, weights: Tensor) -> Tensor:
    """Return the weight of all ordered pairs that differ in rank, R."""
    groups = weights.new_zeros(len(weights), int(ranks.max()) + 1).index_add_(1, ranks, weights)
    return weights.sum(1).square() - groups.square().sum(1)


def _tau_of_many(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return what ``_tau`` does, one resample after the other, without a table of all pairs."""
    from scipy.stats import kendalltau  # noqa: PLC0415  # slow to import

    taus = []
    for times in weights.long():
        rows = torch.arange(len(x)).repeat_interleave(times)
        taus.append(float(kendalltau(x[rows].numpy(), y[rows].numpy()).statistic))
    return torch.tensor(taus, dtype=torch.float64)
