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

LOWEST, HIGHEST, DROPS = 0.5, 2.0, 9  # drops that are compared at: multiples of the tolerance, and how many
DEVIATIONS = 2.0  # of the measured drop, below which nothing is compared
AT_BOUND = 0.95  # of the displacement at its bound: there a part counts as having reached it
RESAMPLES, BLOCK = 2000, 500  # and how many of them are in memory at once
SPLITS = 50  # ways to cut the images into halves; that of a single one depends on which half is which


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

    @property
    def drops(self) -> Tensor:
        """The largest drop of any condition at each scale, of the images as they are; float64, S."""
        return self.changes.double().mean(2).amax(1)

    @property
    def everyone(self) -> Tensor:
        """Weights of the images as they are, 1 x N."""
        return torch.ones(1, self.changes.shape[-1])

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
        way, crossed = self._interpolated(self.ways[None], self.everyone, torch.tensor([drop]).double())
        return way.item(), bool(crossed)

    def _interpolated(self, values: Tensor, weights: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, V x S, where drops are first exceeded, V x R x T, and whether they are, R x T."""
        scales, conditions, _ = self.changes.shape
        flat = self.changes.flatten(0, 1).to(weights)
        # Counts are exact in float32, shares are not: a drop that equals t must not exceed it
        measured = (weights @ flat.T).double() / weights.double().sum(1, keepdim=True)
        largest = measured.view(-1, scales, conditions).amax(2).clamp_min(0).cummax(1).values
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
        return DropCurve(self.name, tuple(displacement.tolist()), tuple(self.drops.tolist()))


class Compared(NamedTuple):
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
    resamples: int = RESAMPLES,
) -> Headline | str:
    """Return how much farther a family goes than the best of its rivals, on the same images.

    The mean, over drops from half to twice the tolerance, of the log displacement of the family less that of
    the rival. The rival is picked on one half of the images and compared on the other, and the other way
    round, averaged over many ways to halve them; each resample is halved in a way of its own. A part does not
    count if the family and any rival have reached its bound within the tolerance.

    Args:
        family: The family.
        rivals: What it is compared with.
        tolerance: What calibration tolerates.
        random: Draws halves and resampled images.
        confidence: Of the interval, a percentile bootstrap: of few images the basic one, on the logarithm,
            covered less than it says.
        resamples: Of the bootstrap.

    Returns:
        The headline, or why there is none.
    """
    images = family.changes.shape[-1]
    run = Compared(family, rivals, torch.arange(images))
    return compare_pooled([run], images, tolerance, random, confidence, resamples)


def compare_pooled(
    runs: Sequence[Compared],
    pool: int,
    tolerance: float,
    random: torch.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Headline | str:
    """Return the geometric mean of several headlines whose images come from one pool; see ``compare``.

    What is resampled is the pool, since the runs share its images. A part counts if it does in every run.

    Args:
        runs: Such as those of several seeds.
        pool: Images in the pool.
        tolerance: As in ``compare``, likewise the others.
        random: Draws halves and resampled images of the pool.
        confidence: Of the interval.
        resamples: As in ``compare``.

    Returns:
        The headline, with the rivals of all runs, or why there is none.
    """
    parts = list(runs[0].family.displacements)
    counted = torch.stack([_counted(run, tolerance) for run in runs]).all(0)
    drops = [drops_compared(run.family, tolerance) for run in runs]
    if not all(run.rivals for run in runs):
        return "there is nothing to compare with"
    if not counted.any():
        return "within the tolerance the family goes up to its bound, and so does a rival"
    if not all(map(len, drops)):
        return "these are too few images to measure such drops"

    def mean_gains(weights: Tensor) -> Tensor:
        """Return the mean log gain over the runs for each way to weight the pool, each halved anew, R."""
        means, half = [], torch.rand(weights.shape, generator=random) < 0.5
        for run, of_run in zip(runs, drops, strict=True):
            own, in_half = weights[:, run.rows], half[:, run.rows]
            one, other = (_gains(run, of_run, counted, own * of) for of in (in_half, ~in_half))
            picked = [at.gather(0, picks.argmin(0)[None])[0] for picks, at in ((one, other), (other, one))]
            means.append(torch.stack(picked).mean(0))
        return torch.stack(means).mean(0)

    value = mean_gains(torch.ones(SPLITS, pool)).mean().item()
    resampled = []
    for start in range(0, resamples, BLOCK):
        drawn = torch.randint(pool, (min(BLOCK, resamples - start), pool), generator=random)
        weights = torch.zeros(drawn.shape).scatter_add_(1, drawn, torch.ones(drawn.shape))
        resampled.append(mean_gains(weights))
    tail, gains = (1 - confidence) / 2, torch.cat(resampled)
    best, family_ends, rival_ends = [], False, False
    for run, of_run in zip(runs, drops, strict=True):
        best.append(run.rivals[int(_gains(run, of_run, counted, run.family.everyone)[:, 0].argmin())])
        family_ends |= bool(run.family.drops.max() <= of_run[-1])
        rival_ends |= bool(best[-1].drops.max() <= of_run[-1])
    if family_ends and rival_ends:
        return "both end before as much is lost"
    return Headline(
        value=math.exp(value),
        ci_low=math.exp(gains.quantile(tail)),
        ci_high=math.exp(gains.quantile(1 - tail)),
        rival="; ".join(dict.fromkeys(rival.name for rival in best)),
        drops=tuple(drops[0].tolist()),
        parts=tuple(part for part, counts in zip(parts, counted.tolist(), strict=True) if counts),
        limit="at most" if rival_ends else "at least" if family_ends else None,
    )


def drops_compared(family: MeasuredCurve, tolerance: float) -> Tensor:
    """Return the drops that are compared at, ascending, T; empty if the images are too few to measure any."""
    held = family.drops <= tolerance
    last = max(0, int(held.int().argmin()) - 1) if not held.all() else len(held) - 1
    changed = max(1.0, family.changes[last].double().square().sum(1).amax().item())
    deviation = math.sqrt(2 * changed) / family.changes.shape[-1]  # of the drop of half of the images
    low, high = max(LOWEST * tolerance, DEVIATIONS * deviation), HIGHEST * tolerance
    if low >= high:
        return torch.zeros(0, dtype=torch.float64)
    return torch.linspace(math.log(low), math.log(high), DROPS, dtype=torch.float64).exp()


def _counted(run: Compared, tolerance: float) -> Tensor:
    """Return which parts count: not those of which the family and a rival are at the bound."""
    at = torch.tensor([tolerance], dtype=torch.float64)
    own = run.family.reached(run.family.everyone, at)[0][:, 0, 0]
    counted = torch.ones(len(own), dtype=torch.bool)
    for rival in run.rivals:
        theirs = rival.reached(rival.everyone, at)[0][:, 0, 0]
        bound = AT_BOUND * torch.tensor([rival.bounds[part] for part in rival.displacements])
        counted &= ~((own >= bound) & (theirs >= bound))
    return counted


def _gains(run: Compared, drops: Tensor, counted: Tensor, weights: Tensor) -> Tensor:
    """Return the log displacement of the family over that of each rival, mean over drops, rivals x R."""

    def logs(curve: MeasuredCurve) -> Tensor:
        return curve.reached(weights, drops)[0].clamp_min(1e-12).log()[counted].mean((0, 2))

    own = logs(run.family)
    return torch.stack([own - logs(rival) for rival in run.rivals])
