"""Reproducible random draws and stratified samples."""

import hashlib

import torch
from torch import Tensor

from itn.runtime.wording import counted


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator for one purpose; its draws do not depend on those for other purposes."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split indices into two parts with equal shares of every class.

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
        given = counted(len(labels), "image is", "images are")
        raise ValueError(f"{given} too few to split {fraction:g} to {1 - fraction:g}")
    return first.nonzero().flatten(), (~first).nonzero().flatten()


def stratified_subset(labels: Tensor, n: int, seed: int) -> Tensor:
    """Draw n of N indices at random, every class in proportion to its size.

    Shares are rounded by largest remainder; ties are broken at random.

    Args:
        labels: N integers.
        n: Size of the subset, at least 1; N or more returns all.
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
    chosen = [indices[:share] for indices, share in zip(members, shares.tolist(), strict=True)]
    return torch.cat(chosen).sort().values


def training_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split indices into those to learn from and all others, for a certificate.

    Args:
        labels: N integers; both parts have their share of each class, as ``stratified_subset`` draws it.
        fraction: Share of all, rounded to whole images, at least one, to learn from.
        seed: The same seed gives the same split.

    Returns:
        Two sorted index tensors, int64, disjoint, together all N; the second may be empty.
    """
    training = stratified_subset(labels, max(1, round(fraction * len(labels))), seed)
    others = torch.ones(len(labels), dtype=torch.bool).index_fill(0, training, False)
    return training, others.nonzero().flatten()


def one_per_class(labels: Tensor, most: int) -> Tensor:
    """Return at most ``most`` indices: the first image of each class, then the second of each, and so on."""
    rounds = torch.zeros_like(labels)
    for label in labels.unique():
        members = labels == label
        rounds[members] = torch.arange(int(members.sum()))
    return (rounds * (labels.max() + 1) + labels).argsort(stable=True)[:most]
