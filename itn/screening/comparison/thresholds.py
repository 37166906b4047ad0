"""Thresholds of resampled images, as distances from the identity: where too little is kept first.

These are the thresholds of a screen (``itn.screening.thresholds.crossing``), computed for many ways to weight
the images at once. Distances end with the last magnitude that both screens have tried.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itn.screening.outcomes import SweepOutcomes

TIE = 1e-9  # of an image: shares that tie with the level are kept


class Side(NamedTuple):
    """One side of a sweep: P points outwards, the identity first."""

    distances: NDArray[np.float64]
    """P."""
    right: Tensor
    """P x N."""
    agrees: Tensor
    """P x N."""
    discrete: bool

    @property
    def end(self) -> float:
        """The distance of the last magnitude."""
        return float(self.distances[-1])


def sides_of(sweep: SweepOutcomes) -> dict[str, Side]:
    """Return the sides of a sweep that have magnitudes."""
    v, identity = sweep.magnitudes, sweep.identity
    distance = np.abs(np.log(v / identity)) if sweep.logarithmic else np.abs(v - identity)
    sides = {}
    for side, beyond in (("below", v < identity), ("above", v > identity)):
        if beyond.any():
            rows = np.flatnonzero(beyond | (v == identity))
            rows = rows[np.argsort(distance[rows], kind="stable")]
            right, agreeing = (torch.from_numpy(table[rows]) for table in (sweep.right, sweep.agrees))
            sides[side] = Side(distance[rows], right, agreeing, sweep.discrete)
    return sides


def reached(side: Side, criterion: str, weights: Tensor, fraction: float) -> Tensor:
    """Return the distance at which too little is kept first, for each way to weight the images, R.

    Args:
        side: What was measured.
        criterion: What has to be kept: accuracy, broken or agreement.
        weights: R x N, how often each image counts.
        fraction: Which share of what unchanged images have is enough.

    Returns:
        Distances; infinite where enough is kept throughout. Of a discrete transformation it is the last
        magnitude at which enough is kept.
    """
    clean = side.right[0]
    tables = {"accuracy": side.right, "broken": side.right & clean, "agreement": side.agrees}
    counts = (weights.float() @ tables[criterion].float().T).double()  # exact: whole numbers below 2^24
    whole = counts[:, :1] if criterion != "agreement" else weights.double().sum(1, keepdim=True)
    level = fraction * whole - TIE
    beyond = counts < level
    after = beyond.int().argmax(1, keepdim=True)
    distances = torch.from_numpy(side.distances)
    before = (after - 1).clamp_min(0)
    if side.discrete:
        found = distances[before]
    else:
        low, high = counts.gather(1, before), counts.gather(1, after)
        share = ((low - level) / (low - high).clamp_min(1e-12)).clamp(0, 1)
        found = distances[before] + share * (distances[after] - distances[before])
    return torch.where(beyond.any(1), found[:, 0], torch.inf)


def median_distance(distance: NDArray[np.float64], ended: NDArray[np.bool_], weights: Tensor) -> Tensor:
    """Return the median of right-censored distances for each way to weight the images, R.

    All are observed up to the same distance, so that the estimate of Kaplan and Meier is the share of the
    images that have not changed so far.

    Args:
        distance: N.
        ended: N, whether each prediction changes.
        weights: R x N.

    Returns:
        Distances; infinite where fewer than half of the predictions change.
    """
    order = np.argsort(np.where(ended, distance, np.inf), kind="stable")
    ordered = weights.double()[:, torch.from_numpy(order)]
    half = ordered.cumsum(1) >= ordered.sum(1, keepdim=True) / 2 - TIE
    values = torch.from_numpy(np.where(ended, distance, np.inf)[order])
    return values[half.int().argmax(1)]
