"""How far transformations may go: a scale chosen with a guarantee, what is then certain, and the worst found.

Three sets of images take part. On the images that were learned from, a search proposes where a family is at
its worst. On calibration images a sequence of growing scales is tested, Learn then Test with a fixed sequence
(Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): with the stated confidence, no more than the
tolerated share of images is lost at the scale where it stops. On images that nothing was chosen by, exact
binomial bounds say how accurate the classifier is there (Clopper and Pearson 1934).

An image is lost if the classifier is right about it unchanged, and wrong when it is moved.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.learning.records import Certificate
from itn.models.classifier import CheckedImages, Classifier, margins
from itn.nn.net import move
from itn.runtime import distributed
from itn.stats.sampling import binomial_tail, clopper_pearson

# Scales to test, as shares of an estimate; the last is 1.83. Half a step is lost in the mean, and less by the
# longest of several axes
SEQUENCE = (*(0.4, 0.5, 0.6, 0.7, 0.78), *(0.85 * 1.03**i for i in range(27)))
FINE = (*SEQUENCE[:5], *(0.85 * 1.02**i for i in range(40)))  # for a single parameter, whose ends are quoted
GRID = (0.0, 0.5, 1.0)
REFINEMENTS = (0.25, 0.125, 0.0625)
FRAGILE = 8  # the worst case is looked for among one in so many images


class Mover(NamedTuple):
    """Transformations driven by controls in [0, 1], which grow with a scale; at 0 nothing moves."""

    controls: int
    """Number of controls."""
    matrices: Callable[[Tensor], tuple[Tensor | None, Tensor | None]]
    """From controls times scale, B x controls, to color and spatial matrices, or None without such a part."""
    padding: str = "zeros"
    """What lies outside the frame."""

    @property
    def corner(self) -> Tensor:
        """All controls at 1, 1 x controls."""
        return torch.ones(1, self.controls)


@torch.inference_mode()
def moved_margins(
    classifier: Classifier, data: CheckedImages, mover: Mover, k: Tensor, batch_size: int = 250
) -> Tensor:
    """Return the margins of moved images, N.

    Args:
        classifier: Who looks.
        data: N images with labels.
        mover: What moves them.
        k: Controls times scale, N x controls, or 1 x controls for all.
        batch_size: Images in one forward pass.
    """
    color, space = mover.matrices(k.to(classifier.device).expand(len(data), -1))

    def look(rows: slice) -> Tensor:
        images = data.pixels(rows, classifier.device)
        own_color, own_space = (None if matrix is None else matrix[rows] for matrix in (color, space))
        moved = move(images, own_color, own_space, mover.padding).clamp(0, 1)
        labels = data.labels[rows].to(classifier.device)
        return margins(classifier.logits(moved), labels).cpu()

    return torch.cat(distributed.in_batches(len(data), batch_size, look)[0])


def lost(
    classifier: Classifier, data: CheckedImages, mover: Mover, k: Tensor, batch_size: int = 250
) -> Tensor:
    """Return which images are lost under controls times scale k, bool, N."""
    gone = torch.zeros(len(data), dtype=torch.bool)
    right = data.clean.nonzero().flatten()
    if not len(right):
        return gone
    own = k if len(k) == 1 else k[right]
    gone[right] = moved_margins(classifier, data.part(right), mover, own, batch_size) <= 0
    return gone


def share_lost(
    classifier: Classifier,
    data: CheckedImages,
    mover: Mover,
    k: Tensor,
    enough: float = 1.0,
    batch_size: int = 250,
) -> float:
    """Return the share of images that is lost under controls times scale k, 1 x controls.

    As soon as it is certain to exceed ``enough``, the other images are not looked at, and the share is
    an estimate from those that were, drawn at random.
    """
    right = data.clean.nonzero().flatten()
    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
    gone = seen = 0
    batches = right[order].split(batch_size)
    for start in range(0, len(batches), distributed.count()):
        together = batches[start : start + distributed.count()]
        counts = distributed.shared(
            together, lambda chosen: int(lost(classifier, data.part(chosen), mover, k, batch_size).sum())
        )
        # One after the other: several processes are to see no more than one would
        for chosen, count in zip(together, counts, strict=True):
            if gone <= enough * len(data):
                gone, seen = gone + count, seen + len(chosen)
        if gone > enough * len(data):
            break
    return gone / max(1, seen) * len(right) / len(data)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Which of N calibration images are lost at each of a fixed sequence of scales, and what that proves."""

    scales: tuple[float, ...]
    """In the order of the tests, ascending."""
    lost: Tensor
    """Bool, scales x conditions x N."""
    tolerance: float
    """Largest share that may be lost, under each condition."""
    confidence: float = 0.95
    """Probability, over calibration images, that the chosen scale keeps to the tolerance."""

    @property
    def scale(self) -> float:
        """The last scale before the first that fails its test; 0 if the first one does.

        The tests are exact: if more than the tolerance were lost under any condition, so few would be lost
        with a probability of at most 1 - confidence.
        """
        return (0.0, *self.scales)[int(self.passed(torch.ones(1, self.lost.shape[-1])))]

    @property
    def shares(self) -> Tensor:
        """Share of the images that is lost, scales x conditions."""
        return self.lost.double().mean(-1)

    def passed(self, weights: Tensor) -> Tensor:
        """Return how many scales pass, R, if image i had been drawn weights[r, i] times: R x N."""
        scales, conditions, n = self.lost.shape
        counts = (weights @ self.lost.flatten(0, 1).T.to(weights)).view(-1, scales, conditions).amax(-1)
        fails = counts > most_lost(n, self.tolerance, self.confidence)
        return (fails.cumsum(1) == 0).sum(1)


def calibrate(
    lost_at: Callable[[float], Tensor],
    scales: Sequence[float],
    tolerance: float,
    confidence: float = 0.95,
    beyond: float = 1.0,
) -> Calibration:
    """Test scales until one fails, and on until chance could not have made it pass.

    Args:
        lost_at: Tells which of N calibration images are lost at a scale, bool, conditions x N. What it
            draws at random must be the same for an image at all scales, independent between images.
        scales: Ascending, fixed without a look at these images.
        tolerance: Largest share that may be lost, under each condition.
        confidence: Of the choice.
        beyond: Go on after the first failure until more than this multiple of the tolerance is lost, for
            those who resample the images.
    """
    seen: list[Tensor] = []
    for scale in scales:
        seen.append(lost_at(scale))
        counts = seen[-1].sum(1).amax()
        n = seen[-1].shape[1]
        if counts > max(most_lost(n, tolerance, confidence), beyond * tolerance * n):
            break
    return Calibration(tuple(scales[: len(seen)]), torch.stack(seen), tolerance, confidence)


def most_lost(n: int, tolerance: float, confidence: float = 0.95) -> int:
    """Return the largest count of lost images, of n, that still proves the tolerance; -1 if none does."""
    count = -1
    while binomial_tail(n - count - 1, n, 1 - tolerance) <= 1 - confidence:
        count += 1
    return count


def smallest_tolerance(n: int, confidence: float = 0.95) -> float:
    """Return the smallest tolerance that n calibration images can prove, if none of them is lost."""
    return 1 - (1 - confidence) ** (1 / n)


def estimated_scale(
    share_at: Callable[[float], float],
    tolerance: float,
    most: float,
    least: float = 0.0,
    strides: int = 4,
    bisections: int = 5,
) -> float:
    """Return about how far a tolerance reaches, outwards from ``least`` to ``most``, then by bisection.

    Args:
        share_at: Tells which share of images is lost at a scale.
        tolerance: Largest share that may be lost.
        most: The result if it holds after each stride.
        least: Scale up to which it is known to hold.
        strides: In which the way is gone: a digit upside down may be recognised again.
        bisections: Halvings of the first stride after which it does not hold; more if it reaches so little
            that they leave a bracket of more than an eighth, down to a thousandth of ``most``.
    """
    low = high = least
    for stride in range(1, strides + 1):
        high = least + (most - least) * stride / strides
        if share_at(high) > tolerance:
            break
        low = high
    else:
        return most
    halved = 0
    while halved < bisections or (high - low > high / 8 and high > 1e-3 * most):
        middle = (low + high) / 2
        low, high = (middle, high) if share_at(middle) <= tolerance else (low, middle)
        halved += 1
    return low


class WorstCase(NamedTuple):
    """Where a family is at its worst, as far as a search has found."""

    k: Tensor
    """The controls under which most images are lost, 1 x controls."""
    right: Tensor
    """Images that are recognised there, bool, N."""
    right_at_corner: Tensor
    """Images that are recognised with all controls at 1, bool, N."""
    right_everywhere: Tensor
    """Images that are recognised under all controls that were tried, and unchanged; bool, N."""


def worst_case(
    classifier: Classifier, data: CheckedImages, mover: Mover, scale: float, batch_size: int = 250
) -> WorstCase:
    """Search a family for the controls that lose most images, and each image for controls that lose it.

    All combinations of 0, 1/2 and 1 are tried, then the neighbours of the worst of them in ever smaller
    steps, on the images with the smallest margins where all controls are 1 or a single one is; the worst
    found is tried on all.
    """
    at_corner, *alone = (
        moved_margins(classifier, data, mover, scale * k[None], batch_size)
        for k in (mover.corner[0], *torch.eye(mover.controls))
    )
    smallest = torch.stack([at_corner, *alone]).amin(0)
    fragile = smallest.argsort()[: max(1, len(data) // FRAGILE)]
    few = data.part(fragile)
    everywhere = data.clean & (smallest > 0)
    worst, most = mover.corner, at_corner[fragile].neg().sigmoid().mean().item()

    def look(k: Tensor) -> None:
        nonlocal worst, most
        found = moved_margins(classifier, few, mover, scale * k, batch_size)
        everywhere[fragile] &= found > 0
        # The sigmoid tells apart controls that lose equally many
        if (badness := found.neg().sigmoid().mean().item()) > most:
            worst, most = k, badness

    for values in itertools.product(GRID, repeat=mover.controls):
        if any(values) and not all(value == 1 for value in values):
            look(torch.tensor([values]))
    for step in REFINEMENTS:
        centre = worst
        for entry, sign in itertools.product(range(mover.controls), (-step, step)):
            neighbour = centre.clone()
            neighbour[0, entry] = (neighbour[0, entry] + sign).clamp(0, 1)
            if not torch.equal(neighbour, centre):
                look(neighbour)
    right = moved_margins(classifier, data, mover, scale * worst, batch_size) > 0
    return WorstCase(worst, right, at_corner > 0, everywhere & right)


def certificate_of(
    clean: Tensor,
    uniform: Tensor,
    worst: WorstCase,
    family_scale: float,
    tolerance: float,
    confidence: float = 0.95,
) -> Certificate:
    """Say what is certain of a family whose scale was chosen on other images.

    Args:
        clean: Which of N images are recognised unchanged, bool; they took no part in the choice.
        uniform: Which are recognised under one k for each image, drawn uniformly, bool, N.
        worst: Where the family at that scale is at its worst for these images.
        family_scale: The scale, for the record.
        tolerance: The tolerance that it was chosen for.
        confidence: With which both lower bounds hold at once: each is an end of a two-sided interval, and so
            holds with half of what that may miss.
    """
    n = len(clean)
    accurate, right, cornered = (int(each.sum()) for each in (clean, uniform, worst.right_at_corner))
    return Certificate(
        confidence=confidence,
        tolerance=tolerance,
        family_scale=family_scale,
        images=n,
        clean_accuracy=accurate / n,
        accuracy=right / n,
        accuracy_lower_bound=clopper_pearson(right, n, confidence)[0],
        corner_accuracy=cornered / n,
        corner_lower_bound=clopper_pearson(cornered, n, confidence)[0],
        worst_k=tuple(worst.k[0].tolist()),
        worst_k_accuracy=int(worst.right.sum()) / n,
        worst_image_accuracy=int(worst.right_everywhere.sum()) / n,
    )
