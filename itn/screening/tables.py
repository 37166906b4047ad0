"""The CSV files of a screen."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any


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


def to_csv(rows: Sequence[Any], kind: type) -> str:
    """Return rows as CSV with a header; numbers to six digits, None empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in dataclasses.fields(kind)]
    writer.writerow([name.rstrip("_") for name in names])
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value
