"""Two runs compared image by image: differences, rank correlations, images that break in one alone."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itn.screening.comparison.records import (
    AccuracyDifference,
    Breaks,
    CleanDifference,
    Correlation,
    Difference,
    ImageRow,
    PairComparison,
    TransformComparison,
)
from itn.screening.comparison.subject import Subject
from itn.screening.comparison.thresholds import median_distance, reached, sides_of
from itn.screening.outcomes import ImageOutcomes, SweepOutcomes
from itn.stats import censored_tau, paired_difference

ENOUGH = 20  # images of a class for a correlation of its own
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Bootstrap(NamedTuple):
    """Resampled images, the same for everything that is compared."""

    weights: Tensor
    """R x N, how often each resample has each image."""
    confidence: float

    @classmethod
    def drawn(cls, n: int, resamples: int, confidence: float, random: torch.Generator) -> "Bootstrap":
        """Draw as many images as there are, with replacement, so many times."""
        drawn = (torch.randint(n, (n,), generator=random).bincount(minlength=n) for _ in range(resamples))
        return cls(torch.stack(list(drawn)).float(), confidence)

    def part(self, rows: NDArray[np.int64]) -> "Bootstrap":
        """Return the resamples of some images."""
        return self._replace(weights=self.weights[:, torch.from_numpy(rows)])

    def interval(self, values: Tensor) -> tuple[float, float]:
        """Return the percentiles of what was found in the resamples."""
        tail = (1 - self.confidence) / 2
        low, high = values.quantile(torch.tensor([tail, 1 - tail], dtype=values.dtype)).tolist()
        return low, high


class Flipped(NamedTuple):
    """Where the predictions of N images change on one side, within what both screens have tried."""

    distance: Floats
    magnitude: Floats
    ended: Bools

    @classmethod
    def of(cls, sweep: SweepOutcomes, side: str, end: float) -> "Flipped":
        """Return the flips of one screen up to a distance."""
        magnitude, flipped = sweep.flips[side]
        distance = (
            np.abs(np.log(magnitude / sweep.identity))
            if sweep.logarithmic
            else np.abs(magnitude - sweep.identity)
        )
        ended = flipped & (distance <= end * (1 + 1e-9))
        return cls(np.where(ended, distance, end), magnitude, ended)


def compare_pair(
    names: tuple[str, str],
    outcomes: tuple[ImageOutcomes, ImageOutcomes],
    subject: Subject,
    bootstrap: Bootstrap,
) -> PairComparison:
    """Compare two runs on the same images.

    Args:
        names: Of the two.
        outcomes: Of the same images in the same order.
        subject: One of the two, for what the numbers of both mean.
        bootstrap: Resampled images.
    """
    first, second = outcomes
    clean = _clean(first, second, bootstrap.confidence)
    shared = [name for name in first.sweeps if name in second.sweeps]
    if subject.only_right:
        rows = np.flatnonzero(_right_in_both(outcomes))
        outcomes, bootstrap = (first.part(rows), second.part(rows)), bootstrap.part(rows)
    return PairComparison(
        first=names[0],
        second=names[1],
        clean=clean,
        transforms={name: _transform(outcomes, name, subject, bootstrap) for name in shared},
    )


def _clean(first: ImageOutcomes, second: ImageOutcomes, confidence: float) -> CleanDifference:
    n = len(first.images)
    first_only = int((first.right & ~second.right).sum())
    second_only = int((second.right & ~first.right).sum())
    low, high = paired_difference(second_only, first_only, n, confidence)
    return CleanDifference(
        first=float(first.right.mean()),
        second=float(second.right.mean()),
        first_only=first_only,
        second_only=second_only,
        value=(second_only - first_only) / n,
        ci_low=float(low),
        ci_high=float(high),
        same_prediction=float((first.predictions == second.predictions).mean()),
    )


def _transform(
    outcomes: tuple[ImageOutcomes, ImageOutcomes],
    name: str,
    subject: Subject,
    bootstrap: Bootstrap,
) -> TransformComparison:
    one, other = (each.sweeps[name] for each in outcomes)
    sides = [sides_of(sweep) for sweep in (one, other)]
    both = {side: (sides[0][side], sides[1][side]) for side in sides[0] if side in sides[1]}
    ends = {side: min(pair[0].end, pair[1].end) for side, pair in both.items()}
    flips = {side: (Flipped.of(one, side, end), Flipped.of(other, side, end)) for side, end in ends.items()}
    fraction = subject.fraction or 0.0
    everyone = Bootstrap(torch.ones(1, len(outcomes[0].images)), bootstrap.confidence)

    def differences(criterion: str | None) -> dict[str, Difference]:
        found = {}
        for side, end in ends.items():
            values = []
            for number in (0, 1):
                for weights in (everyone.weights, bootstrap.weights):
                    values.append(
                        median_distance(flips[side][number].distance, flips[side][number].ended, weights)
                        if criterion is None
                        else reached(both[side][number], criterion, weights, fraction)
                    )
            found[side] = _difference(values, end, one.logarithmic, bootstrap)
        return found

    return TransformComparison(
        unit=subject.units[name][0],
        identity=one.identity,
        logarithmic=one.logarithmic,
        tested={side: _shown(end, one.logarithmic) for side, end in ends.items()},
        accuracy=_accuracy(one, other, bootstrap.confidence),
        thresholds={criterion: differences(criterion) for criterion in subject.criteria},
        median_flip={} if one.discrete else differences(None),
        correlation={side: _correlation(pair, bootstrap) for side, pair in flips.items()},
        correlation_by_class=_by_class(outcomes[0], flips, bootstrap),
        breaks={side: _breaks(outcomes, *pair) for side, pair in flips.items()},
    )


def _difference(values: list[Tensor], end: float, logarithmic: bool, bootstrap: Bootstrap) -> Difference:
    """Return how two distances differ, from each as it is and in the resamples."""
    first, of_first, second, of_second = (value.clamp(max=end) for value in values)
    low, high = bootstrap.interval(of_second - of_first)
    shown = [float(np.exp(v)) if logarithmic else v for v in ((second - first).item(), low, high)]
    return Difference(
        first=_shown(first.item(), logarithmic),
        second=_shown(second.item(), logarithmic),
        first_beyond=bool(values[0].item() > end * (1 + 1e-9)),
        second_beyond=bool(values[2].item() > end * (1 + 1e-9)),
        value=shown[0],
        ci_low=shown[1],
        ci_high=shown[2],
    )


def _shown(distance: float, logarithmic: bool) -> float:
    """Return a distance in the unit of the transformation; of factors the factor, at least 1."""
    return float(np.exp(distance)) if logarithmic else distance


def _accuracy(one: SweepOutcomes, other: SweepOutcomes, confidence: float) -> AccuracyDifference:
    common, rows, others = np.intersect1d(
        one.magnitudes[one.swept], other.magnitudes[other.swept], return_indices=True
    )
    first, second = one.right[one.swept][rows], other.right[other.swept][others]
    gained, lost, n = (second & ~first).sum(1), (first & ~second).sum(1), first.shape[1]
    low, high = paired_difference(gained, lost, n, confidence)
    curves = (common, first.mean(1), second.mean(1), (gained - lost) / n, low, high)
    return AccuracyDifference(*(tuple(curve.tolist()) for curve in curves))


def _correlation(flips: tuple[Flipped, Flipped], bootstrap: Bootstrap) -> Correlation:
    one, other = flips
    found = censored_tau(
        one.distance, one.ended, other.distance, other.ended, bootstrap.weights, bootstrap.confidence
    )
    return Correlation(*found)


def _by_class(
    outcomes: ImageOutcomes, flips: dict[str, tuple[Flipped, Flipped]], bootstrap: Bootstrap
) -> dict[str, dict[str, Correlation]]:
    """Return the correlation of each class that has enough images; without labels there are no classes."""
    found: dict[str, dict[str, Correlation]] = {}
    for label, name in outcomes.classes.items() if outcomes.labeled else ():
        members = np.flatnonzero(outcomes.labels == label)
        if len(members) >= ENOUGH:
            own = bootstrap.part(members)
            found[name] = {
                side: _correlation((_part(pair[0], members), _part(pair[1], members)), own)
                for side, pair in flips.items()
            }
    return found


def _part(flips: Flipped, rows: NDArray[np.int64]) -> Flipped:
    return Flipped(flips.distance[rows], flips.magnitude[rows], flips.ended[rows])


def _right_in_both(outcomes: tuple[ImageOutcomes, ImageOutcomes]) -> Bools:
    """Return which images can break: predicted right unchanged by both; without labels all."""
    first, second = outcomes
    if not first.labeled:
        return np.ones(len(first.images), dtype=bool)
    return (first.predictions == first.labels) & (second.predictions == second.labels)


def _breaks(outcomes: tuple[ImageOutcomes, ImageOutcomes], one: Flipped, other: Flipped) -> Breaks:
    can = _right_in_both(outcomes)
    a, b = one.ended[can], other.ended[can]
    counts = (a & ~b, b & ~a, a & b, ~a & ~b)
    return Breaks(int(can.sum()), *(int(count.sum()) for count in counts))


def image_rows(
    names: tuple[str, str], outcomes: tuple[ImageOutcomes, ImageOutcomes], pair: PairComparison
) -> Iterator[ImageRow]:
    """Yield the images that break in one of two screens and not in the other."""
    first, can = outcomes[0], _right_in_both(outcomes)
    for name, compared in pair.transforms.items():
        sweeps = [each.sweeps[name] for each in outcomes]
        for side, shown in compared.tested.items():
            end = float(np.log(shown)) if compared.logarithmic else shown
            flips = [Flipped.of(sweep, side, end) for sweep in sweeps]
            signed = -end if side == "below" else end
            last = (
                compared.identity * float(np.exp(signed))
                if compared.logarithmic
                else compared.identity + signed
            )
            for row in np.flatnonzero(can & (flips[0].ended != flips[1].ended)).tolist():
                where = 0 if flips[0].ended[row] else 1
                yield ImageRow(
                    *names,
                    transform=name,
                    side=side,
                    image=first.images[row],
                    class_=first.classes[int(first.labels[row])] if first.labeled else "",
                    breaks=("first", "second")[where],
                    magnitude=float(flips[where].magnitude[row]),
                    tested=last,
                )
