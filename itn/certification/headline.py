"""The headline: how much farther a family goes than the best of its rivals, where both lose as much.

Two certified displacements have a ratio that is uncertain by a factor of two. So what is compared is the
displacement at which accuracy, or what the criterion asks for, has measurably fallen by t, over a range of t
around the tolerance.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itn.certification.records import DropCurve, Headline

LOWEST, LARGEST, DROPS = 0.5, 2.0, 9  # drops that are compared at: multiples of the tolerance, and how many
DEVIATIONS = 2.0  # of the measured drop, below which nothing is compared
AT_BOUND = 0.95  # of the displacement at its bound: there a part counts as having reached it
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class MeasuredCurve:
    """How N images change along a path of growing transformations."""

    name: str
    ways: Tensor
    """How far along the path was tried, ascending; float64, S."""
    displacements: dict[str, Tensor]
    """Of each part there; float64, S."""
    changes: Tensor
    """1 for an image that has become worse, -1 for a better one, else 0; int8, S x conditions x N."""
    bounds: dict[str, float]
    """The displacement of each part at the bound of the path."""

    def reached(self, weights: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the displacements at which drops are first exceeded by weighted images.

        The running maximum of the larger drop of any condition is interpolated, from (0, 0). Where it stays
        below, the last displacement that was tried is returned: a lower bound.

        Args:
            weights: How often each image counts, R x N.
            drops: T.

        Returns:
            Displacements, parts x R x T, and whether the drop is exceeded, R x T.
        """
        values = torch.stack(list(self.displacements.values()))
        return self._interpolated(values, weights, drops)

    def way_to(self, drop: float) -> tuple[float, bool]:
        """Return how far along the path a drop of these images is first exceeded, and whether it is."""
        everywhere = torch.ones(1, self.changes.shape[-1])
        way, crossed = self._interpolated(self.ways[None], everywhere, torch.tensor([drop]).double())
        return way.item(), bool(crossed)

    def _interpolated(self, values: Tensor, weights: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, V x S, where drops are first exceeded, V x R x T, and whether they are, R x T."""
        scales, conditions, _ = self.changes.shape
        flat = self.changes.flatten(0, 1).to(weights)
        measured = (weights @ flat.T / weights.sum(1, keepdim=True)).view(-1, scales, conditions)
        largest = measured.amax(2).double().clamp_min(0).cummax(1).values
        curve = torch.cat([torch.zeros_like(largest[:, :1]), largest], 1)  # R x (1 + S)
        beyond = curve[:, None] > drops[:, None]  # R x T x (1 + S)
        crossed = beyond.any(2)
        after = torch.where(crossed, beyond.int().argmax(2), scales)
        low, high = curve.gather(1, after - 1), curve.gather(1, after)
        share = torch.where(crossed, (drops - low) / (high - low).clamp_min(1e-12), 1.0)
        known = torch.cat([torch.zeros_like(values[:, :1]), values], 1)
        below = known[:, after - 1]
        return below + share * (known[:, after] - below), crossed

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what the curve consists of, by name, for a file."""
        return {
            f"{self.name}.scales": self.ways.numpy(),
            f"{self.name}.changes": self.changes.numpy(),
            **{f"{self.name}.{part}.displacement": d.numpy() for part, d in self.displacements.items()},
            **{f"{self.name}.{part}.bound": np.array(bound) for part, bound in self.bounds.items()},
        }

    @classmethod
    def of_arrays(
        cls, name: str, parts: Sequence[str], arrays: Mapping[str, NDArray[Any]]
    ) -> "MeasuredCurve":
        """Return a curve from such arrays."""

        def tensor(key: str) -> Tensor:
            return torch.from_numpy(arrays[f"{name}.{key}"])

        return cls(
            name,
            tensor("scales"),
            {part: tensor(f"{part}.displacement") for part in parts},
            tensor("changes"),
            {part: tensor(f"{part}.bound").item() for part in parts},
        )

    def record(self) -> DropCurve:
        """Return the curve as measured: geometric mean of the displacements, and the drop, at each scale."""
        displacement = torch.stack(list(self.displacements.values())).log().mean(0).exp()
        drops = self.changes.double().mean(2).amax(1)
        return DropCurve(self.name, tuple(displacement.tolist()), tuple(drops.tolist()))


class Measured(NamedTuple):
    """A family beside its rivals, on some images of a pool."""

    family: MeasuredCurve
    rivals: Sequence[MeasuredCurve]
    rows: Tensor
    """Which images of the pool, N."""


def compare(
    family: MeasuredCurve,
    rivals: Sequence[MeasuredCurve],
    tolerance: float,
    random: torch.Generator,
    confidence: float = 0.95,
) -> Headline | None:
    """Return how much farther a family goes than the best of its rivals, on the same images.

    The mean, over drops from half to twice the tolerance, of the log displacement of the family less that of
    the rival. The rival is picked on one half of the images and compared on the other, and the other way
    round. A part that has reached its bound in both does not count.

    Args:
        family: The family.
        rivals: What it is compared with.
        tolerance: What calibration tolerates.
        random: Draws halves and resampled images.
        confidence: Of the interval, a percentile bootstrap: of few images the basic one, on the logarithm,
            covered less than it says.

    Returns:
        None if there is no rival, no part that counts, or too few images to measure such drops.
    """
    images = family.changes.shape[-1]
    return compare_pooled(
        [Measured(family, rivals, torch.arange(images))], images, tolerance, random, confidence
    )


def compare_pooled(
    runs: Sequence[Measured], pool: int, tolerance: float, random: torch.Generator, confidence: float = 0.95
) -> Headline | None:
    """Return the geometric mean of several headlines whose images come from one pool; see ``compare``.

    What is resampled is the pool, since the runs share its images. Of several runs, the rival and the drops
    are those of the first.

    Args:
        runs: Such as those of several seeds.
        pool: Images in the pool.
        tolerance: As in ``compare``, likewise the others.
        random: Draws halves and resampled images of the pool.
        confidence: Of the interval.

    Returns:
        None if there is none of one of the runs.
    """
    half = torch.zeros(pool, dtype=torch.bool)
    half[torch.randperm(pool, generator=random)[: pool // 2]] = True
    drawn = torch.randint(pool, (RESAMPLES, pool), generator=random)
    weights = torch.zeros(RESAMPLES, pool).scatter_add_(1, drawn, torch.ones(RESAMPLES, pool))
    weights = torch.cat([torch.ones(1, pool), weights])  # first the images as they are
    means, first = [], None
    for run in runs:
        drops = drops_compared(run.family, tolerance)
        own, of_half = weights[:, run.rows], half[run.rows]
        sets = [own * of_half, own * ~of_half, own]
        gains = log_gains(run.family, run.rivals, tolerance, drops, sets)
        if gains is None:
            return None
        kept, (one, other, both) = gains
        pairs = ((one, other), (other, one))
        means.append(torch.stack([at.gather(0, picks.argmin(0)[None])[0] for picks, at in pairs]).mean(0))
        first = first or (run.rivals[kept[int(both[:, 0].argmin())]].name, tuple(drops.tolist()))
    assert first is not None
    value, resampled = (mean := torch.stack(means).mean(0))[0], mean[1:]
    tail = (1 - confidence) / 2
    low, high = (math.exp(resampled.quantile(share)) for share in (tail, 1 - tail))
    return Headline(math.exp(value), low, high, *first)


def drops_compared(family: MeasuredCurve, tolerance: float) -> Tensor:
    """Return the drops that are compared at, ascending, T; empty if the images are too few to measure any."""
    held = family.changes.double().mean(2).amax(1) <= tolerance
    last = max(0, int(held.int().argmin()) - 1) if not held.all() else len(held) - 1
    variance = family.changes[last].double().square().mean(1).amax().item()
    deviation = math.sqrt(variance / family.changes.shape[-1])
    low, high = max(LOWEST * tolerance, DEVIATIONS * deviation), LARGEST * tolerance
    if low >= high:
        return torch.zeros(0, dtype=torch.float64)
    return torch.linspace(math.log(low), math.log(high), DROPS, dtype=torch.float64).exp()


def log_gains(
    family: MeasuredCurve,
    rivals: Sequence[MeasuredCurve],
    tolerance: float,
    drops: Tensor,
    weights: Sequence[Tensor],
) -> tuple[list[int], list[Tensor]] | None:
    """Return which rivals can be compared, and log displacement over theirs, rivals x R for each weights."""
    everywhere = torch.ones(1, family.changes.shape[-1])
    at = torch.tensor([tolerance], dtype=torch.float64)
    own = family.reached(everywhere, at)[0][:, 0, 0]
    kept, counted = [], []
    for number, rival in enumerate(rivals):
        theirs = rival.reached(everywhere, at)[0][:, 0, 0]
        bound = AT_BOUND * torch.tensor([rival.bounds[part] for part in rival.displacements])
        counts = ~((own >= bound) & (theirs >= bound))
        if counts.any():
            kept.append(number)
            counted.append(counts)
    if not (kept and len(drops)):
        return None
    tables = []
    for of_images in weights:
        logs = family.reached(of_images, drops)[0].clamp_min(1e-12).log()
        gains = []
        for number, counts in zip(kept, counted, strict=True):
            theirs = rivals[number].reached(of_images, drops)[0].clamp_min(1e-12).log()
            gains.append((logs - theirs)[counts].mean((0, 2)))
        tables.append(torch.stack(gains))
    return kept, tables
