"""Which points of a box to try next: fixed ones for all images, then those of a model of each margin."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from itn.boxes.box import Box
from itn.stats import generator

VERTICES = 32  # of the box that are tried, at most
SPREAD = 16  # points of a low-discrepancy sequence before the first model
TOGETHER = 4  # points that one model proposes
BASINS = 3  # places with small margins whose neighborhoods take turns
APART = 0.5  # how far these are from each other, at least, in some way
FITTED = 1.3  # points that a model is fitted to, over the number of its coefficients
LEAST_FITTED = 40
RIDGE = 1e-3
CANDIDATES = 256  # among which a model chooses
REACH = 0.7  # how far from its center, over the distance of the farthest point that it was fitted to
MIN_SEPARATION = 0.3  # of the points that one model proposes, over its reach
SMALLEST = 1e-3  # reach of a model, in ways


class Points(NamedTuple):
    """What was tried of each image, and its margins."""

    ways: Tensor
    """A x n x D."""
    margins: Tensor
    """A x n; infinite where there is no point, never in the first place."""


def first_points(box: Box, most: int, seed: int) -> Tensor:
    """Return the points that are tried first of every image, at most ``most`` x D.

    These are the vertices of the box, or some of them, since they break most images; then each transformation
    alone at its ends; then a low-discrepancy sequence (Sobol's, scrambled).
    """
    sides, d = box.sides(), len(box)
    random = generator(seed, "box: vertices")
    if sum(len(ends) == 2 for ends in sides) <= 10:
        every = torch.tensor(list(itertools.product(*sides)), dtype=torch.float64)
        vertices = every[torch.randperm(len(every), generator=random)][:VERTICES]
    else:
        choice = torch.rand(VERTICES, d, generator=random)
        vertices = torch.tensor(
            [
                [ends[int(share * len(ends))] for share, ends in zip(row, sides, strict=True)]
                for row in choice.tolist()
            ]
        ).double()
    ends = torch.cat([way * torch.eye(d, dtype=torch.float64)[n, None] for n in range(d) for way in sides[n]])
    first = torch.cat([vertices, ends, spread_points(box, SPREAD, seed)]).tolist()
    return torch.tensor(list(dict.fromkeys(map(tuple, first))), dtype=torch.float64)[:most]


def spread_points(box: Box, n: int, seed: int) -> Tensor:
    """Return n points of a low-discrepancy sequence over the box, n x D."""
    number = generator(seed, "box: sequence").initial_seed() % 2**31
    sequence = torch.quasirandom.SobolEngine(len(box), scramble=True, seed=number)
    return box.from_shares(sequence.draw(n, dtype=torch.float64))


def proposed(
    points: Points, count: int, turn: int, random: torch.Generator, scale: Tensor | None = None
) -> Tensor:
    """Return the points of each image at which a quadratic model of its margin is smallest, A x count x D.

    The model is fitted by weighted ridge regression to the points that are nearest to a center: in turn that
    with the least margin, and the least ones elsewhere. It chooses among random points around the center.

    Args:
        points: What was tried.
        count: How many to propose.
        turn: Number of the round; it chooses the center.
        random: Draws what the models choose from; all images have the same draws.
        scale: Shrinks the box of each image, A; None: the whole box.
    """
    center = _center(points, turn % BASINS)
    near, reach = _nearest(points, center)
    coefficients = _fit(near, center, reach)
    d = points.ways.shape[2]
    draws = 2 * torch.rand(CANDIDATES, d, generator=random, dtype=torch.float64) - 1
    limit = torch.ones(len(center), 1, 1, dtype=torch.float64) if scale is None else scale.view(-1, 1, 1)
    start = torch.minimum(torch.maximum(center, -limit), limit)
    candidates = torch.minimum(torch.maximum(start + REACH * reach * draws, -limit), limit)
    expected = (_features((candidates - center) / reach) @ coefficients)[:, :, 0]
    chosen = []
    for _ in range(count):
        best = candidates.gather(1, expected.argmin(1)[:, None, None].expand(-1, 1, d))
        chosen.append(best)
        near_best = (candidates - best).square().sum(2) < (MIN_SEPARATION * REACH * reach[:, :, 0]).square()
        expected = expected.masked_fill(near_best, torch.inf)
    return torch.cat(chosen, 1)


def _center(points: Points, number: int) -> Tensor:
    """Return the point of each image with the least margin, or the least one elsewhere, A x 1 x D."""
    margins = points.margins
    for _ in range(number):
        least = _at(points.ways, margins.argmin(1)[:, None])
        margins = margins.masked_fill((points.ways - least).abs().amax(2) < APART, torch.inf)
    return _at(points.ways, margins.argmin(1)[:, None])


def _nearest(points: Points, center: Tensor) -> tuple[Points, Tensor]:
    """Return the points nearest to a center, and the distance of the farthest of them, A x 1 x 1."""
    d = points.ways.shape[2]
    wanted = max(LEAST_FITTED, int(FITTED * (1 + d + d * (d + 1) // 2)))
    distance = (points.ways - center).square().sum(2).where(points.margins.isfinite(), torch.inf)
    nearest, order = (part[:, :wanted] for part in distance.sort(stable=True, dim=1))
    reach = nearest.where(nearest.isfinite(), 0).amax(1).sqrt().clamp_min(SMALLEST)[:, None, None]
    return Points(_at(points.ways, order), points.margins.gather(1, order)), reach


def _fit(points: Points, center: Tensor, reach: Tensor) -> Tensor:
    """Return the coefficients of a quadratic model of the margins, A x F x 1."""
    offset = (points.ways - center) / reach
    features = _features(offset)
    known = points.margins.isfinite()
    weights = (1 - 0.9 * offset.square().sum(2).clamp_max(1)) * known
    weighted, margins = features * weights[:, :, None], points.margins.where(known, 0)
    ridge = torch.full(features.shape[2:], RIDGE, dtype=torch.float64)
    ridge[0] = 1e-9
    normal = weighted.mT @ features + ridge.diag()
    return torch.linalg.solve(normal, weighted.mT @ margins[:, :, None])


def _features(offset: Tensor) -> Tensor:
    """Return 1, all coordinates and all their products, ... x F."""
    i, j = torch.triu_indices(offset.shape[-1], offset.shape[-1])
    return torch.cat([torch.ones_like(offset[..., :1]), offset, offset[..., i] * offset[..., j]], -1)


def _at(ways: Tensor, index: Tensor) -> Tensor:
    """Return the points of each image at an index, A x m."""
    return ways.gather(1, index[:, :, None].expand(-1, -1, ways.shape[2]))
