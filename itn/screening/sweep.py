"""The measurements of one transformation, and their record: curves, thresholds and recoveries."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from itn.screening.border import BorderCost
from itn.screening.config import ScreenConfig
from itn.screening.criteria import CriterionName, Kept, Outcomes, is_right, kept, outcomes
from itn.screening.flips import Flips, median_flip
from itn.screening.passes import IMAGE_STATISTICS, SOFTMAX_CHANGE, Arrays
from itn.screening.records import (
    Curve,
    FlipSummary,
    OutcomeShares,
    Recoveries,
    Sides,
    SweepRecord,
    Thresholds,
)
from itn.screening.thresholds import Threshold, curve_threshold, paths, recoveries
from itn.stats import clopper_pearson
from itn.transforms import Transform


class Samples(NamedTuple):
    """The images of a screen: their labels, and the names of images, classes and outputs."""

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    """The path of each image, or its number."""
    classes: dict[int, str]
    """Names of the classes that occur, by label, ascending."""
    outputs: tuple[str, ...]
    """Names of all outputs of the classifier."""

    def groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield "all" and the name of each class, with a mask of its images."""
        yield "all", np.ones(len(self.labels), dtype=bool)
        for label, name in self.classes.items():
            yield name, self.labels == label


class Sweep(NamedTuple):
    """The measurements of one transformation, at ascending magnitudes.

    A measurement is what ``Screener.class_statistics`` returns.
    """

    transform: Transform
    magnitudes: Curve
    clean: Arrays
    """The measurement at the identity, whether or not that is one of the magnitudes."""
    points: tuple[Arrays, ...]
    """The measurement at each magnitude."""
    refinements: Mapping[float, Arrays]
    """Measurements at further magnitudes, close to where accuracy breaks."""
    round_trip: tuple[Arrays, ...] | None
    """The round-trip control: the measurement, at each magnitude, of images warped and warped back."""
    lost_content: Arrays | None
    """What ``Screener.lost_content`` returns; None if the transformation is not spatial."""
    flips: Mapping[str, Flips]
    """The flips of all images, by side."""

    def paths(self) -> Iterator[tuple[str, tuple[float, ...], list[Arrays]]]:
        """Yield each side of the identity: its name, and magnitudes and measurements outwards from there."""
        measured = {**dict(zip(self.magnitudes, self.points, strict=True)), **self.refinements}
        for side, path in paths(self.transform, tuple(measured)).items():
            yield side, (self.transform.identity, *path), [self.clean, *(measured[v] for v in path)]


def sweep_record(sweep: Sweep, samples: Samples, config: ScreenConfig) -> SweepRecord:
    """Return the record of one sweep."""
    n, lost = len(samples.labels), sweep.lost_content
    counts = outcomes(sweep.points, sweep.clean, samples.labels)
    accuracy = _shares([c.right for c in counts], n, config)
    agreement = _shares([c.agreeing for c in counts], n, config)
    judged = kept(config.criterion, counts, config.accuracy_fraction, config.confidence)
    share, low, high = judged.relative()
    sides = [_Side.of(name, path, points, sweep, samples, config) for name, path, points in sweep.paths()]
    return SweepRecord(
        unit=sweep.transform.unit,
        identity=sweep.transform.identity,
        magnitudes=sweep.magnitudes,
        n=n,
        accuracy=accuracy.share,
        ci_low=accuracy.ci_low,
        ci_high=accuracy.ci_high,
        agreement=agreement.share,
        agreement_ci_low=agreement.ci_low,
        agreement_ci_high=agreement.ci_high,
        broken=tuple(c.broken / n for c in counts),
        mended=tuple(c.mended / n for c in counts),
        kept_share=share,
        kept_ci_low=low,
        kept_ci_high=high,
        **{
            name: tuple(float(point[name].mean(dtype=float)) for point in sweep.points)
            for name in averaged(SweepRecord)
        },
        pixel_change=tuple(float(point["pixel_change"]) for point in sweep.points),
        control_accuracy=None
        if sweep.round_trip is None
        else tuple(float(is_right(point, samples.labels).mean()) for point in sweep.round_trip),
        lost_content=None if lost is None else tuple(lost["area"].tolist()),
        lost_intensity=None if lost is None else tuple(lost["intensity"].tolist()),
        thresholds=_thresholds(sweep, samples, config, sides),
        recoveries=_recoveries(sweep, samples, sides),
        kept=tuple(share >= judged.level for share in judged.share) if sweep.transform.discrete else None,
        first_unchanged=_first_unchanged(sweep, config),
        border=None,
    )


def _first_unchanged(sweep: Sweep, config: ScreenConfig) -> Curve | None:
    """Return the share of the predictions that are unchanged, if no other curve of the record has it."""
    if not sweep.transform.discrete or config.topk == 1:
        return None
    clean = sweep.clean["predictions"]
    return tuple(float((point["predictions"] == clean).mean()) for point in sweep.points)


def with_border(record: SweepRecord, outcomes_at: Callable[[float, bool], Outcomes]) -> SweepRecord:
    """Return a record with what is measured at its thresholds, with and without what is around the images.

    Args:
        record: Of a spatial transformation.
        outcomes_at: Returns what images do at a magnitude, with a surround or without.
    """
    border, at = {}, dict(record.thresholds.at)
    for side, threshold in record.thresholds.of_criterion.items():
        if (v := threshold.value) is not None:
            seen, blind = outcomes_at(v, True), outcomes_at(v, False)
            border[side] = BorderCost(v, seen.right / seen.n, blind.right / blind.n)
            at[side] = _outcome_shares(seen)
    return dataclasses.replace(
        record, border=border, thresholds=dataclasses.replace(record.thresholds, at=at)
    )


def _outcome_shares(counts: Outcomes) -> OutcomeShares:
    return OutcomeShares(counts.broken / counts.n, counts.mended / counts.n, counts.agreeing / counts.n)


def averaged(kind: type) -> list[str]:
    """Return the image statistics of which a kind of record or row holds means."""
    fields = {field.name for field in dataclasses.fields(kind)}
    return [name for name in (*IMAGE_STATISTICS, SOFTMAX_CHANGE) if name in fields]


class _Shares(NamedTuple):
    """Shares of the images, with their intervals."""

    share: Curve
    ci_low: Curve
    ci_high: Curve


def _shares(counts: Sequence[int], n: int, config: ScreenConfig) -> _Shares:
    """Return the share that each count is of all images."""
    low, high = zip(*(clopper_pearson(count, n, config.confidence) for count in counts), strict=True)
    return _Shares(tuple(count / n for count in counts), low, high)


class _Side(NamedTuple):
    """The measurements on one side of the identity, outwards from there."""

    name: str
    path: tuple[float, ...]
    points: list[Arrays]
    shares: tuple[OutcomeShares, ...]
    kept: dict[str, Kept]
    """By criterion."""

    @classmethod
    def of(
        cls,
        name: str,
        path: tuple[float, ...],
        points: list[Arrays],
        sweep: Sweep,
        samples: Samples,
        config: ScreenConfig,
    ) -> "_Side":
        counts = outcomes(points, sweep.clean, samples.labels)
        shares = tuple(map(_outcome_shares, counts))
        by_criterion = {
            criterion: kept(criterion, counts, config.accuracy_fraction, config.confidence)
            for criterion in get_args(CriterionName)
        }
        return cls(name, path, points, shares, by_criterion)

    def threshold(self, transform: Transform, criterion: str) -> Threshold:
        """Return where too little is kept, by a criterion."""
        share, low, high, level, _ = self.kept[criterion]
        return curve_threshold(transform, self.path, share, low, high, level)

    def at(self, transform: Transform, v: float | None) -> tuple[float, OutcomeShares] | None:
        """Return the change of the pixels, and what images do, at a magnitude on the path."""
        if v is None:
            return None
        distances = [transform.distance(at) for at in self.path]

        def interpolated(values: Sequence[float]) -> float:
            return float(np.interp(transform.distance(v), distances, values))

        shares = (interpolated(curve) for curve in zip(*map(dataclasses.astuple, self.shares), strict=True))
        return interpolated([float(point["pixel_change"]) for point in self.points]), OutcomeShares(*shares)

    def curves(self, row: int) -> tuple[list[float], list[float], list[float]]:
        """Return the margin of one class and the ends of its interval."""
        margin, low, high = (
            [float(point[key][row]) for point in self.points]
            for key in ("margin", "margin_low", "margin_high")
        )
        return margin, low, high


def _thresholds(sweep: Sweep, samples: Samples, config: ScreenConfig, sides: Sequence[_Side]) -> Thresholds:
    transform = sweep.transform
    by_criterion: dict[str, Sides] = {
        criterion: {side.name: side.threshold(transform, criterion) for side in sides}
        for criterion in get_args(CriterionName)
    }
    at = {side.name: side.at(transform, by_criterion[config.criterion][side.name].value) for side in sides}
    classes: dict[str, Sides] = {name: {} for name in samples.classes.values()}
    flips: dict[str, FlipSummary] = {}
    flips_by_class: dict[str, dict[str, FlipSummary]] = {name: {} for name in samples.classes.values()}
    for side in sides:
        for row, name in enumerate(samples.classes.values()):
            classes[name][side.name] = curve_threshold(transform, side.path, *side.curves(row), 0.0)
        magnitude, flipped = (values.numpy() for values in sweep.flips[side.name][:2])
        for name, members in samples.groups():
            summary = FlipSummary(
                median_flip(
                    transform, side.path[1:], magnitude[members], flipped[members], config.confidence
                ),
                int(members.sum()),
                int(flipped[members].sum()),
            )
            (flips if name == "all" else flips_by_class[name])[side.name] = summary
    resolution = max((of_side.resolution for of_side in sweep.flips.values()), default=0.0)
    return Thresholds(
        criterion=config.criterion,
        topk=config.topk,
        accuracy_fraction=config.accuracy_fraction,
        **by_criterion,
        pixel_change={name: None if found is None else found[0] for name, found in at.items()},
        at={name: None if found is None else found[1] for name, found in at.items()},
        classes=classes,
        flips=flips,
        flips_by_class=flips_by_class,
        flip_resolution=resolution,
    )


def _recoveries(sweep: Sweep, samples: Samples, sides: Sequence[_Side]) -> Recoveries:
    clean = sweep.clean["predictions"]
    accuracy: list[tuple[float, float]] = []
    classes: dict[str, list[tuple[float, float]]] = {name: [] for name in samples.classes.values()}
    returned = dict.fromkeys(sweep.magnitudes, 0.0)
    for side in sides:
        if not sweep.transform.discrete:
            judged = side.kept["accuracy"]
            accuracy += recoveries(side.path, judged.ci_low, judged.ci_high, judged.level)
            for row, name in enumerate(samples.classes.values()):
                _, low, high = side.curves(row)
                classes[name] += recoveries(side.path, low, high, 0.0)
        differed = np.zeros(len(samples.labels), dtype=bool)
        for v, point in list(zip(side.path, side.points, strict=True))[1:]:
            differs = point["predictions"] != clean
            if v in returned:
                returned[v] = float((differed & ~differs).mean())
            differed |= differs
    by_class = {name: tuple(stretches) for name, stretches in classes.items() if stretches}
    return Recoveries(tuple(accuracy), by_class, tuple(returned.values()))
