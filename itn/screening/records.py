"""Records of a screen: typed, frozen, to JSON and CSV, and in words."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from typing import Any

from itn.screening.thresholds import Threshold

MOST_ISLANDS = 5  # named in the closing table

Curve = tuple[float, ...]
Sides = dict[str, Threshold]
"""Thresholds by side of the identity, "below" and "above"; a side without magnitudes is absent."""


@dataclasses.dataclass(frozen=True)
class FlipSummary:
    """Where the predictions of single images flip, on one side of the identity."""

    median: Threshold
    """Kaplan-Meier median of the flip magnitudes, with the interval of Brookmeyer and Crowley."""
    n: int
    flipped: int
    """Images whose prediction flips at all; the others are right-censored."""


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The magnitudes at which predictions break, three ways."""

    accuracy_fraction: float
    accuracy: Sides
    """Where accuracy falls below ``accuracy_fraction`` of the clean one, which is taken as known. The
    interval reaches from where the lower end of the accuracy's interval first falls below that level to
    where the upper end does."""
    pixel_change: dict[str, float | None]
    """Root mean square change of the pixels at the accuracy threshold of each side, fraction of full range;
    None where accuracy does not break."""
    classes: dict[str, Sides]
    """Where the true class stops having the largest mean softmax, by class; likewise, from the
    approximate interval of the margin (see ``Screener.observe``)."""
    flips: dict[str, FlipSummary]
    """Of all images, by side."""
    flips_by_class: dict[str, dict[str, FlipSummary]]
    flip_resolution: float
    """Widest bracket of a flip magnitude, in the transformation's unit; of factors, in their logarithm."""


@dataclasses.dataclass(frozen=True)
class Islands:
    """Stretches of magnitudes, first and last, on which what was lost on the way there is back.

    Lost and back are both beyond the doubt of the intervals.
    """

    accuracy: tuple[tuple[float, float], ...]
    classes: dict[str, tuple[tuple[float, float], ...]]
    returned: Curve
    """At each magnitude, the share of images whose prediction is the clean one again, having differed at a
    magnitude between."""


@dataclasses.dataclass(frozen=True)
class SweepRecord:
    """One transformation at growing magnitude; curves have one value for each magnitude.

    Accuracy and agreement are fractions of all images; agreement is that with the prediction on the
    unchanged image. Intervals are Clopper and Pearson's.
    """

    unit: str
    identity: float
    magnitudes: Curve
    n: int
    accuracy: Curve
    ci_low: Curve
    ci_high: Curve
    agreement: Curve
    agreement_ci_low: Curve
    agreement_ci_high: Curve
    softmax_true: Curve
    """Mean softmax of the true class."""
    pixel_change: Curve
    """Root mean square difference of the pixels from the unchanged image, fraction of full range."""
    control_accuracy: Curve | None
    """Accuracy on images warped there and back: what interpolation and cut-off alone cost."""
    lost_content: Curve | None
    """Fraction of the frame's area that has left the frame; None if the transformation is not spatial."""
    lost_intensity: Curve | None
    """Fraction of the sum of pixel values that has left the frame, mean over images."""
    thresholds: Thresholds
    islands: Islands


@dataclasses.dataclass(frozen=True)
class PairRecord:
    """Two transformations, the first applied first; tables have a row for each y, a column for each x."""

    x: str
    y: str
    accuracy_fraction: float
    magnitudes_x: Curve
    magnitudes_y: Curve
    n: int
    accuracy: tuple[Curve, ...]
    ci_low: tuple[Curve, ...]
    ci_high: tuple[Curve, ...]
    agreement: tuple[Curve, ...]
    softmax_true: tuple[Curve, ...]


@dataclasses.dataclass(frozen=True)
class ScreenRecord:
    """What ``itn.screen`` found: the content of result.json."""

    model: str
    n: int
    clean_accuracy: float
    clean_accuracy_ci: tuple[float, float]
    confidence: float
    padding: str
    transforms: dict[str, SweepRecord]
    pairs: dict[str, PairRecord]
    left_out: dict[str, str]
    """Transformations that were not swept, and why."""
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes; thresholds are objects with named ends."""
        content: dict[str, Any] = _plain(self)
        return content


@dataclasses.dataclass(frozen=True)
class CurveRow:
    """A line of curves.csv; None where a column does not apply."""

    transform: str
    magnitude: float
    class_: str
    """A class, or "all"."""
    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    agreement: float
    softmax_true: float
    control_accuracy: float | None
    lost_content: float | None


@dataclasses.dataclass(frozen=True)
class PairRow:
    """A line of pairs.csv."""

    transform_x: str
    transform_y: str
    magnitude_x: float
    magnitude_y: float
    class_: str
    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    agreement: float
    softmax_true: float


@dataclasses.dataclass(frozen=True)
class SoftmaxRow:
    """A line of softmax.csv: the mean softmax of one output over all images of one class."""

    transform: str
    magnitude: float
    class_: str
    output: str
    """A class that has the largest mean somewhere; the three largest by name, "others": the largest of
    the rest."""
    softmax: float


@dataclasses.dataclass(frozen=True)
class FlipRow:
    """A line of flips.csv: where one image's prediction flips on one side of the identity."""

    transform: str
    side: str
    image: str
    class_: str
    magnitude: float
    flipped: bool
    """False: it had not flipped at the magnitude, the last one tried."""


@dataclasses.dataclass(frozen=True)
class ScreenResult:
    """What ``itn.screen`` returns; ``print`` shows the closing table."""

    record: ScreenRecord
    curves: tuple[CurveRow, ...]
    pairs: tuple[PairRow, ...]
    softmax: tuple[SoftmaxRow, ...]
    flips: tuple[FlipRow, ...]

    def __str__(self) -> str:
        return screen_summary(self.record)


def to_csv(rows: Sequence[Any], kind: type) -> str:
    """Return rows as CSV with a header; numbers to six digits, None empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in dataclasses.fields(kind)]
    writer.writerow([name.rstrip("_") for name in names])
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def screen_summary(record: ScreenRecord) -> str:
    """Return the closing table: what breaks first on top, by the change of pixels that it takes."""
    low, high = record.clean_accuracy_ci
    lines = [
        f"clean accuracy {_percent(record.clean_accuracy)} [{_percent(low)}, {_percent(high)}], "
        f"{record.n:,} images"
    ]
    if record.transforms:
        fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
        lines += ["", *_table(record, fraction), "", *_notes(record, fraction)]
    for pair in record.pairs.values():
        fraction = pair.accuracy_fraction
        held = sum(a >= fraction * record.clean_accuracy for row in pair.accuracy for a in row)
        cells = len(pair.magnitudes_x) * len(pair.magnitudes_y)
        lines.append(
            f"{pair.x} x {pair.y}: accuracy is at least {100 * fraction:g} % of the clean one at {held} of "
            f"{cells} pairs of magnitudes; lowest {_percent(min(map(min, pair.accuracy)))}"
        )
    lines += [f"{name} is left out: {why}" for name, why in record.left_out.items()]
    return "\n".join(lines)


def breaking_order(record: ScreenRecord) -> list[tuple[str, float | None]]:
    """Return the transformations with the change of pixels at which they break, the least first.

    That is the root mean square change at the accuracy threshold, the smaller one of two sides; None, at the
    end, where accuracy holds over all magnitudes tried.
    """
    found = []
    for name, sweep in record.transforms.items():
        changes = [change for change in sweep.thresholds.pixel_change.values() if change is not None]
        found.append((name, min(changes, default=None)))
    return sorted(found, key=lambda item: (item[1] is None, item[1] or 0))


def statement(name: str, sweep: SweepRecord, confidence: float) -> str:
    """Return one sentence on a transformation, precise enough to quote."""
    thresholds = sweep.thresholds
    held = f"{name}: accuracy keeps {100 * thresholds.accuracy_fraction:g} % of its clean value"
    if all(threshold.value is None for threshold in thresholds.accuracy.values()):
        first, last = sweep.magnitudes[0], sweep.magnitudes[-1]
        return f"{held} from {first:g} to {last:g}, all that was swept ({sweep.unit})"
    reach = reach_text(thresholds.accuracy, sweep.magnitudes, sweep.identity)
    return f"{held} from {reach} ({sweep.unit}; in brackets {100 * confidence:g} % intervals)"


def _table(record: ScreenRecord, fraction: float) -> list[str]:
    rows = [
        (
            "transformation",
            f"accuracy >= {100 * fraction:g} % of clean",
            "half the images not flipped",
            "swept",
            "unit",
            "pixel change",
        )
    ]
    for name, change in breaking_order(record):
        sweep = record.transforms[name]
        medians = {side: flips.median for side, flips in sweep.thresholds.flips.items()}
        rows.append(
            (
                name,
                reach_text(sweep.thresholds.accuracy, sweep.magnitudes, sweep.identity),
                reach_text(medians, sweep.magnitudes, sweep.identity),
                f"{sweep.magnitudes[0]:g} to {sweep.magnitudes[-1]:g}",
                sweep.unit,
                "-" if change is None else f"{change:.3f}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _notes(record: ScreenRecord, fraction: float) -> Iterable[str]:
    order = breaking_order(record)
    first, change = order[0]
    if change is None:
        yield f"nothing breaks it: accuracy holds {100 * fraction:g} % of its clean value throughout"
    else:
        yield f"breaks first, by the change of pixels that it takes ({change:.3f} of full range, rms):"
        yield f"  {statement(first, record.transforms[first], record.confidence)}"
    for name, sweep in record.transforms.items():
        back = {"accuracy": sweep.islands.accuracy} if sweep.islands.accuracy else {}
        back |= {f"class {of}": stretches for of, stretches in sweep.islands.classes.items()}
        if back:
            shown = [f"{what} {_stretches(where)}" for what, where in list(back.items())[:MOST_ISLANDS]]
            more = f"; {len(back) - MOST_ISLANDS} more" if len(back) > MOST_ISLANDS else ""
            yield f"comes back under {name} ({sweep.unit}): {'; '.join(shown)}{more}"


def _stretches(stretches: Sequence[tuple[float, float]]) -> str:
    return " and ".join(
        f"at {start:g}" if start == end else f"from {start:g} to {end:g}" for start, end in stretches
    )


def reach_text(sides: Sides, magnitudes: Curve, identity: float) -> str:
    """Return "low [interval] to high [interval]"; "beyond" the last magnitude where nothing breaks."""
    ends = {"below": magnitudes[0], "above": magnitudes[-1]}
    texts = [
        f"beyond {ends[side]:.4g}" if threshold.value is None else _interval(threshold)
        for side, threshold in sides.items()
    ]
    if len(texts) == 1:  # the identity on the side that has no magnitudes
        texts.insert(0 if "above" in sides else 1, f"{identity:g}")
    return " to ".join(texts)


def _interval(threshold: Threshold) -> str:
    value, *ends = ("beyond" if end is None else f"{end:.3g}" for end in threshold)
    return f"{value} [{', '.join(ends)}]"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """Return dataclasses and named tuples as dicts, all the way down."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
