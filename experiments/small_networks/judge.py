"""How far families and single transformations go on images drawn afresh, at the same drop."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import itn
from itn.nn import SingleTransformation

BATCH = 1000
STEP, MOST = 1.12, 24  # factors between scales that are tried, and how many from the first
MIXES = (0.4, 0.7, 1.0)  # of a part's own threshold, for pairs
FEW, FINALISTS = 3000, 2  # images on which all rivals are ranked, and how many are measured on all


class Pool(NamedTuple):
    """A classifier, images, and which are right unchanged."""

    classifier: itn.Classifier
    images: Tensor
    labels: Tensor
    right: Tensor

    @classmethod
    def of(cls, classifier: itn.Classifier, images: Tensor, labels: Tensor) -> "Pool":
        """Return a pool of images."""
        return cls(classifier, images, labels, itn.predict(classifier, images) == labels)

    def few(self) -> "Pool":
        """Return some of the images."""
        rows = slice(FEW)
        return Pool(self.classifier, self.images[rows], self.labels[rows], self.right[rows])

    @torch.inference_mode()
    def drop(self, change: Callable[[Tensor], Tensor]) -> float:
        """Return by how much accuracy falls when images are changed, as a share."""
        right = 0
        for rows in torch.arange(len(self.labels)).split(BATCH):
            images = change(self.images[rows] / 255).clamp(0, 1)
            right += int((self.classifier.logits(images).argmax(1) == self.labels[rows]).sum())
        return (int(self.right.sum()) - right) / len(self.labels)


def crossing(
    drop_at: Callable[[float], float], start: float, tolerance: float, bound: float = math.inf
) -> float:
    """Return the first scale at which a drop exceeds the tolerance, interpolated; the bound if none does."""
    scale, before = 0.0, 0.0
    for following in scales(start, bound):
        drop = drop_at(following)
        if drop > tolerance:
            return scale + (following - scale) * (tolerance - before) / (drop - before)
        scale, before = following, drop
    return scale


def scales(start: float, bound: float) -> Iterator[float]:
    """Yield scales that are tried: an eighth and a half of the start, then by constant factors."""
    yield min(start / 8, bound)
    for number in range(MOST):
        scale = 0.5 * start * STEP**number
        if scale >= bound:
            break
        yield scale
    if bound < math.inf:
        yield bound


@torch.no_grad()
def family_at(net: itn.InvariantTransformerNet, scale: float, k: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a family at a multiple of a k, 1 x controls, as a change of images."""
    parameters = net.generate(*(scale * k).split(2, 1))
    return lambda images: net.render(images, [p.expand(len(images), -1) for p in parameters])


def displacements(net: itn.InvariantTransformerNet, scale: float, shape: Sequence[int]) -> dict[str, float]:
    """Return the displacement of each part at full strength times a scale."""
    with torch.no_grad():
        ps = net.generate(*[torch.full((1, 2), scale)] * len(net.parts))
    members = zip(net.parts, net.members, ps, strict=True)
    return {name: part.displacement(p, part.frame(shape)).item() for name, part, p in members}


def single_at(single: SingleTransformation, scale: float) -> Callable[[Tensor], Tensor]:
    """Return a single transformation at a scale as a change of images."""
    return lambda images: single.apply(images, single.generate(torch.full((len(images),), scale)))


class Rival(NamedTuple):
    """What goes farthest without learning."""

    name: str
    displacement: float
    """Of one transformation; of a pair, one in each part, the geometric mean."""


class Reached(NamedTuple):
    """A single transformation, and how far it goes."""

    single: SingleTransformation
    scale: float

    @property
    def name(self) -> str:
        """With its sign."""
        return f"{self.single.name} {self.single.sign}"

    @property
    def displacement(self) -> float:
        """At its scale."""
        return self.single.displacement(self.scale)


def largest_first(pool: Pool, baselines: Sequence[SingleTransformation], tolerance: float) -> list[Reached]:
    """Return the largest single transformations with their scales at the tolerance, the largest first."""

    def ranked(pool: Pool, singles: Sequence[SingleTransformation]) -> list[Reached]:
        reached = [Reached(single, threshold(pool, single, tolerance)) for single in singles]
        return sorted(reached, key=lambda one: one.displacement, reverse=True)

    return ranked(pool, [one.single for one in ranked(pool.few(), baselines)[:FINALISTS]])


def threshold(pool: Pool, single: SingleTransformation, tolerance: float) -> float:
    """Return the scale at which a single transformation first loses more than the tolerance."""
    coarse = 1.0
    for number in range(9, -1, -1):  # halves of the bound, ascending
        if pool.drop(single_at(single, 0.5**number)) > tolerance:
            coarse = 0.5 ** (number + 1)
            break
    else:
        return 1.0
    return crossing(lambda scale: pool.drop(single_at(single, scale)), 1.8 * coarse, tolerance, 1.0)


def best_pair(pool: Pool, first: Sequence[Reached], second: Sequence[Reached], tolerance: float) -> Rival:
    """Return the pair of single transformations, one of each part, with the largest geometric mean."""
    mixes = sorted({(1.0, mix) for mix in MIXES} | {(mix, 1.0) for mix in MIXES})
    few, candidates = pool.few(), list(itertools.product(first, second, mixes))
    candidates.sort(key=lambda pair: _mixed(few, *pair, tolerance).displacement, reverse=True)
    finalists = [_mixed(pool, *pair, tolerance) for pair in candidates[:FINALISTS]]
    return max(finalists, key=lambda rival: rival.displacement)


def _mixed(pool: Pool, first: Reached, second: Reached, mix: tuple[float, float], tolerance: float) -> Rival:
    """Return how far two single transformations go together, in a given proportion of their thresholds."""
    largest = first.scale * mix[0], second.scale * mix[1]

    def scales_at(scale: float) -> tuple[float, float]:
        return min(1.0, scale * largest[0]), min(1.0, scale * largest[1])

    def drop_at(scale: float) -> float:
        one, other = scales_at(scale)
        change, then = single_at(first.single, one), single_at(second.single, other)
        return pool.drop(lambda images: then(change(images).clamp(0, 1)))

    one, other = scales_at(crossing(drop_at, 0.7, tolerance, 1.5))
    product = first.single.displacement(one) * second.single.displacement(other)
    return Rival(f"{first.name}, {second.name}", math.sqrt(product))
