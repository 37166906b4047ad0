"""From what was seen at each magnitude to curves, thresholds and rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips, median_flip
from itn.screening.passes import Arrays
from itn.screening.records import Curve, FlipSummary, PairRecord, Recoveries, Sides, SweepRecord, Thresholds
from itn.screening.tables import CurveRow, FlipRow, PairRow, SoftmaxRow
from itn.screening.thresholds import curve_threshold, paths, recoveries
from itn.stats.intervals import clopper_pearson
from itn.transforms.registry import Transform

NAMED_OUTPUTS = 3


class Samples(NamedTuple):
    """The images of a screen: their labels, and what to call images, classes and outputs."""

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    """Of the images: their path, or their number."""
    classes: dict[int, str]
    """Names of the classes that occur, by label, ascending."""
    outputs: tuple[str, ...]
    """Names of all outputs of the classifier."""

    def groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield "all" and each class, with its members."""
        yield "all", np.ones(len(self.labels), dtype=bool)
        for label, name in self.classes.items():
            yield name, self.labels == label


class Sweep(NamedTuple):
    """One transformation and all that was seen of it, at ascending magnitudes."""

    transform: Transform
    magnitudes: Curve
    clean: Arrays
    """At the identity, whether or not that is one of the magnitudes."""
    points: tuple[Arrays, ...]
    """What ``Screener.class_statistics`` saw, for each magnitude."""
    between: Mapping[float, Arrays]
    """The same at further magnitudes, near to where accuracy breaks."""
    controls: tuple[NDArray[np.int64], ...] | None
    """Predictions on the images warped there and back."""
    lost: Arrays | None
    flips: Mapping[str, Flips]
    """By side."""

    def paths(self) -> Iterator[tuple[str, tuple[float, ...], list[Arrays]]]:
        """Yield each side of the identity: its name, and magnitudes and points from the identity outwards."""
        seen = {**dict(zip(self.magnitudes, self.points, strict=True)), **self.between}
        for side, path in paths(self.transform, tuple(seen)).items():
            yield side, (self.transform.identity, *path), [self.clean, *(seen[v] for v in path)]


def sweep_record(sweep: Sweep, samples: Samples, config: ScreenConfig) -> SweepRecord:
    """Return the record of one sweep."""
    n = len(samples.labels)
    right = [int((point["predictions"] == samples.labels).sum()) for point in sweep.points]
    agreeing = [int((point["predictions"] == sweep.clean["predictions"]).sum()) for point in sweep.points]
    ends, agreement_ends = (
        [clopper_pearson(count, n, config.confidence) for count in counts] for counts in (right, agreeing)
    )
    controls = sweep.controls
    return SweepRecord(
        unit=sweep.transform.unit,
        identity=sweep.transform.identity,
        magnitudes=sweep.magnitudes,
        n=n,
        accuracy=tuple(count / n for count in right),
        ci_low=tuple(low for low, _ in ends),
        ci_high=tuple(high for _, high in ends),
        agreement=tuple(count / n for count in agreeing),
        agreement_ci_low=tuple(low for low, _ in agreement_ends),
        agreement_ci_high=tuple(high for _, high in agreement_ends),
        softmax_true=tuple(float(point["softmax_true"].mean(dtype=float)) for point in sweep.points),
        pixel_change=tuple(float(point["pixel_change"]) for point in sweep.points),
        control_accuracy=None if controls is None else tuple(_share(c == samples.labels) for c in controls),
        lost_content=None if sweep.lost is None else tuple(sweep.lost["area"].tolist()),
        lost_intensity=None if sweep.lost is None else tuple(sweep.lost["intensity"].tolist()),
        thresholds=_thresholds(sweep, samples, config),
        recoveries=_recoveries(sweep, samples, config),
    )


class _Side(NamedTuple):
    """What was seen on one side of the identity, from there outwards."""

    name: str
    path: tuple[float, ...]
    points: list[Arrays]
    accuracy: Curve
    ci_low: Curve
    ci_high: Curve


def _sides(sweep: Sweep, samples: Samples, config: ScreenConfig) -> Iterator[_Side]:
    n = len(samples.labels)
    for name, path, points in sweep.paths():
        right = [int((point["predictions"] == samples.labels).sum()) for point in points]
        low, high = zip(*(clopper_pearson(count, n, config.confidence) for count in right), strict=True)
        yield _Side(name, path, points, tuple(count / n for count in right), low, high)


def _level(sweep: Sweep, samples: Samples, config: ScreenConfig) -> float:
    """Return the accuracy below which a transformation is said to break the classifier."""
    return config.accuracy_fraction * _share(sweep.clean["predictions"] == samples.labels)


def _thresholds(sweep: Sweep, samples: Samples, config: ScreenConfig) -> Thresholds:
    transform, level = sweep.transform, _level(sweep, samples, config)
    accuracy: Sides = {}
    change: dict[str, float | None] = {}
    classes: dict[str, Sides] = {name: {} for name in samples.classes.values()}
    flips: dict[str, FlipSummary] = {}
    by_class: dict[str, dict[str, FlipSummary]] = {name: {} for name in samples.classes.values()}
    for side, path, points, shares, low, high in _sides(sweep, samples, config):
        accuracy[side] = curve_threshold(transform, path, shares, low, high, level)
        change[side] = _change_at(transform, path, points, accuracy[side].value)
        for row, name in enumerate(samples.classes.values()):
            margin, nearer, farther = (
                [float(point[key][row]) for point in points]
                for key in ("margin", "margin_low", "margin_high")
            )
            classes[name][side] = curve_threshold(transform, path, margin, nearer, farther, 0.0)
        found = sweep.flips[side]
        magnitude, flipped = found.magnitude.numpy(), found.flipped.numpy()
        for name, members in samples.groups():
            summary = FlipSummary(
                median_flip(transform, path[1:], magnitude[members], flipped[members], config.confidence),
                int(members.sum()),
                int(flipped[members].sum()),
            )
            (flips if name == "all" else by_class[name])[side] = summary
    resolution = max((found.resolution for found in sweep.flips.values()), default=0.0)
    return Thresholds(config.accuracy_fraction, accuracy, change, classes, flips, by_class, resolution)


def _change_at(
    transform: Transform, path: Sequence[float], points: Sequence[Arrays], v: float | None
) -> float | None:
    """Return the change of pixels at a magnitude on a path."""
    if v is None:
        return None
    distance = [transform.distance(at) for at in path]
    return float(np.interp(transform.distance(v), distance, [float(p["pixel_change"]) for p in points]))


def _recoveries(sweep: Sweep, samples: Samples, config: ScreenConfig) -> Recoveries:
    level = _level(sweep, samples, config)
    accuracy: list[tuple[float, float]] = []
    classes: dict[str, list[tuple[float, float]]] = {name: [] for name in samples.classes.values()}
    returned = dict.fromkeys(sweep.magnitudes, 0.0)
    for _, path, points, _, low, high in _sides(sweep, samples, config):
        accuracy += recoveries(path, low, high, level)
        for row, name in enumerate(samples.classes.values()):
            nearer, farther = (
                [float(point[key][row]) for point in points] for key in ("margin_low", "margin_high")
            )
            classes[name] += recoveries(path, nearer, farther, 0.0)
        differed = np.zeros(len(samples.labels), dtype=bool)
        for v, point in list(zip(path, points, strict=True))[1:]:
            differs = point["predictions"] != sweep.clean["predictions"]
            if v in returned:
                returned[v] = _share(differed & ~differs)
            differed |= differs
    found = {name: tuple(stretches) for name, stretches in classes.items() if stretches}
    return Recoveries(tuple(accuracy), found, tuple(returned.values()))


def curve_rows(sweep: Sweep, samples: Samples, config: ScreenConfig) -> Iterator[CurveRow]:
    """Yield the lines of curves.csv of one sweep."""
    for number, (v, point) in enumerate(zip(sweep.magnitudes, sweep.points, strict=True)):
        control = None if sweep.controls is None else sweep.controls[number] == samples.labels
        lost = None if sweep.lost is None else float(sweep.lost["area"][number])
        for members, columns in _columns(point, sweep.clean, samples, config):
            back = None if control is None else _share(control[members])
            yield CurveRow(sweep.transform.name, v, *columns, back, lost)


def _columns(
    point: Arrays, clean: Arrays, samples: Samples, config: ScreenConfig
) -> Iterator[tuple[NDArray[np.bool_], tuple[str, int, float, float, float, float, float]]]:
    """Yield, for all images and for each class, its members and what curves.csv and pairs.csv say of it."""
    right = point["predictions"] == samples.labels
    agrees = point["predictions"] == clean["predictions"]
    for name, members in samples.groups():
        n, count = int(members.sum()), int(right[members].sum())
        low, high = clopper_pearson(count, n, config.confidence)
        softmax = float(point["softmax_true"][members].mean(dtype=float))
        yield members, (name, n, count / n, low, high, _share(agrees[members]), softmax)


def softmax_rows(sweep: Sweep, samples: Samples) -> Iterator[SoftmaxRow]:
    """Yield the lines of softmax.csv of one sweep: the true class, two rivals that reach the top, others."""
    table = np.stack([point["class_softmax"] for point in sweep.points])  # M x L x K
    for row, (label, name) in enumerate(samples.classes.items()):
        means = table[:, row]
        rivals = set(means.argmax(1).tolist()) - {label}
        ranked = sorted(rivals, key=lambda k: (-means[:, k].max(), k))
        shown = [label, *ranked[: NAMED_OUTPUTS - 1]]
        rest = np.delete(means, shown, axis=1)
        for number, v in enumerate(sweep.magnitudes):
            for k in shown:
                yield SoftmaxRow(sweep.transform.name, v, name, samples.outputs[k], float(means[number, k]))
            if rest.shape[1]:
                yield SoftmaxRow(sweep.transform.name, v, name, "others", float(rest[number].max()))


def flip_rows(sweep: Sweep, samples: Samples) -> Iterator[FlipRow]:
    """Yield the lines of flips.csv of one sweep."""
    for side, found in sweep.flips.items():
        for image, label, v, flipped in zip(
            samples.names,
            samples.labels.tolist(),
            found.magnitude.tolist(),
            found.flipped.tolist(),
            strict=True,
        ):
            yield FlipRow(sweep.transform.name, side, image, samples.classes[label], v, flipped)


def pair_rows(
    x: Transform,
    y: Transform,
    seen: Mapping[tuple[float, float], Arrays],
    clean: Arrays,
    samples: Samples,
    config: ScreenConfig,
) -> Iterator[PairRow]:
    """Yield the lines of pairs.csv of one pair, from ``Screener.image_statistics`` at each (v, w)."""
    for (v, w), point in seen.items():
        for _, columns in _columns(point, clean, samples, config):
            yield PairRow(x.name, y.name, v, w, *columns)


def pair_record(rows: Sequence[PairRow], config: ScreenConfig) -> PairRecord:
    """Return the record of one pair from its lines."""
    of_all = {(row.magnitude_x, row.magnitude_y): row for row in rows if row.class_ == "all"}
    xs, ys = (tuple(sorted({at[axis] for at in of_all})) for axis in (0, 1))

    def table(column: str) -> tuple[Curve, ...]:
        return tuple(tuple(getattr(of_all[x, y], column) for x in xs) for y in ys)

    return PairRecord(
        rows[0].transform_x,
        rows[0].transform_y,
        config.accuracy_fraction,
        xs,
        ys,
        rows[0].n,
        *(table(column) for column in ("accuracy", "ci_low", "ci_high", "agreement", "softmax_true")),
    )


def _share(members: NDArray[np.bool_]) -> float:
    return float(members.mean())
