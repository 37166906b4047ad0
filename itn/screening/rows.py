"""From the measurements of a screen to the rows of its CSV files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itn.screening.config import ScreenConfig
from itn.screening.criteria import agrees, is_right
from itn.screening.passes import Arrays
from itn.screening.records import Curve, CurveRow, FlipRow, PairRecord, PairRow, SoftmaxRow
from itn.screening.sweep import Samples, Sweep, averaged
from itn.stats import clopper_pearson
from itn.transforms import Transform

NAMED_OUTPUTS = 3


def curve_rows(sweep: Sweep, samples: Samples, config: ScreenConfig) -> Iterator[CurveRow]:
    """Yield the lines of curves.csv of one sweep."""
    for number, (v, point) in enumerate(zip(sweep.magnitudes, sweep.points, strict=True)):
        control = None if sweep.round_trip is None else is_right(sweep.round_trip[number], samples.labels)
        lost = None if sweep.lost_content is None else float(sweep.lost_content["area"][number])
        for members, columns in _columns(CurveRow, point, sweep.clean, samples, config):
            yield CurveRow(
                transform=sweep.transform.name,
                magnitude=v,
                **columns,
                control_accuracy=None if control is None else float(control[members].mean()),
                lost_content=lost,
            )


def _columns(
    kind: type, point: Arrays, clean: Arrays, samples: Samples, config: ScreenConfig
) -> Iterator[tuple[NDArray[np.bool_], dict[str, Any]]]:
    """Yield, for all images and for each class, its mask and what rows of a kind hold of it, by column."""
    right, clean_right = is_right(point, samples.labels), is_right(clean, samples.labels)
    agreeing = agrees(point, clean)
    for name, members in samples.groups():
        n, count = int(members.sum()), int(right[members].sum())
        low, high = clopper_pearson(count, n, config.confidence)
        columns = {"class_": name, "n": n, "accuracy": count / n, "ci_low": low, "ci_high": high}
        columns |= {"agreement": float(agreeing[members].mean())}
        columns |= {"broken": float((clean_right & ~right)[members].mean())}
        columns |= {"mended": float((right & ~clean_right)[members].mean())}
        columns |= {key: float(point[key][members].mean(dtype=float)) for key in averaged(kind)}
        yield members, columns


def softmax_rows(sweep: Sweep, samples: Samples) -> Iterator[SoftmaxRow]:
    """Yield the lines of softmax.csv of one sweep.

    For each class: the true class, the two other classes with the largest mean softmax somewhere, and the
    largest of the rest.
    """
    table = np.stack([point["class_softmax"] for point in sweep.points])  # M x L x K
    for row, (label, name) in enumerate(samples.classes.items()):
        means = table[:, row]
        rivals = set(means.argmax(1).tolist()) - {label}
        ranked = sorted(rivals, key=lambda k: (-means[:, k].max(), k))
        named = [label, *ranked[: NAMED_OUTPUTS - 1]]
        rest = np.delete(means, named, axis=1)
        for number, v in enumerate(sweep.magnitudes):
            for k in named:
                yield SoftmaxRow(sweep.transform.name, v, name, samples.outputs[k], float(means[number, k]))
            if rest.shape[1]:
                yield SoftmaxRow(sweep.transform.name, v, name, "others", float(rest[number].max()))


def flip_rows(sweep: Sweep, samples: Samples) -> Iterator[FlipRow]:
    """Yield the lines of flips.csv of one sweep."""
    classes = [samples.classes[label] for label in samples.labels.tolist()]
    for side, flips in sweep.flips.items():
        columns = (samples.names, classes, flips.magnitude.tolist(), flips.flipped.tolist())
        for image, class_, v, flipped in zip(*columns, strict=True):
            yield FlipRow(sweep.transform.name, side, image, class_, v, flipped)


def pair_rows(
    x: Transform,
    y: Transform,
    points: Mapping[tuple[float, float], Arrays],
    clean: Arrays,
    samples: Samples,
    config: ScreenConfig,
) -> Iterator[PairRow]:
    """Yield the lines of pairs.csv of one pair, from ``Screener.image_statistics`` at each (v, w)."""
    for (v, w), point in points.items():
        for _, columns in _columns(PairRow, point, clean, samples, config):
            yield PairRow(transform_x=x.name, transform_y=y.name, magnitude_x=v, magnitude_y=w, **columns)


def pair_record(rows: Sequence[PairRow], config: ScreenConfig) -> PairRecord:
    """Return the record of one pair from its lines."""
    of_all = {(row.magnitude_x, row.magnitude_y): row for row in rows if row.class_ == "all"}
    xs, ys = (tuple(sorted({magnitudes[i] for magnitudes in of_all})) for i in (0, 1))

    def table(column: str) -> tuple[Curve, ...]:
        return tuple(tuple(getattr(of_all[x, y], column) for x in xs) for y in ys)

    columns = ("accuracy", "ci_low", "ci_high", "agreement", "broken", "mended", *averaged(PairRecord))
    return PairRecord(
        x=rows[0].transform_x,
        y=rows[0].transform_y,
        criterion=config.criterion,
        topk=config.topk,
        accuracy_fraction=config.accuracy_fraction,
        magnitudes_x=xs,
        magnitudes_y=ys,
        n=rows[0].n,
        **{column: table(column) for column in columns},
    )
