"""Intervals and reproducible randomness."""

import hashlib

import torch
from scipy.stats import binomtest
from torch import Tensor


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided binomial interval of a proportion (Clopper and Pearson 1934)."""
    interval = binomtest(successes, n).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


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
