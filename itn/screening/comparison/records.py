"""What a comparison finds, typed and frozen: the content of result.json, and the lines of its CSV files.

Everywhere the difference is the second screen less the first, on the same images.
"""

import dataclasses
from typing import Any

from itn.runtime.records import Record

Curve = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Compared:
    """One of the screens."""

    name: str
    model: str
    n: int
    """Images of the screen; those that are compared may be fewer."""
    clean_accuracy: float
    """Of the images that are compared."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A distance from the identity in two screens, within what both have tried.

    A distance is in the unit of the transformation; of factors it is the factor, or one over it, so at least
    1. A screen that goes on beyond the last magnitude counts with that magnitude. Of a discrete
    transformation it is the last magnitude at which enough is kept.
    """

    first: float
    second: float
    first_beyond: bool
    """Whether the first goes on beyond the last magnitude that both have tried."""
    second_beyond: bool
    value: float
    """Second less first; of factors second over first."""
    ci_low: float
    ci_high: float


@dataclasses.dataclass(frozen=True)
class CleanDifference:
    """The accuracy on unchanged images."""

    first: float
    second: float
    first_only: int
    """Images that only the first has right."""
    second_only: int
    value: float
    ci_low: float
    """The interval is that of Tango (1998)."""
    ci_high: float
    same_prediction: float
    """Share of the images of which both say the same."""


@dataclasses.dataclass(frozen=True)
class AccuracyDifference:
    """Accuracy at each magnitude that both screens have swept."""

    magnitudes: Curve
    first: Curve
    second: Curve
    value: Curve
    ci_low: Curve
    """Pointwise, that of Tango (1998)."""
    ci_high: Curve


@dataclasses.dataclass(frozen=True)
class Correlation:
    """Do predictions that change early in one screen change early in the other? Kendall's tau-b, censored."""

    value: float | None
    """None: in one of the two, all images are tied, such as where none changes."""
    ci_low: float | None
    ci_high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Breaks:
    """Of the images that are right unchanged in both, how many stop being so within the range of both."""

    n: int
    first_only: int
    """Break in the first and not in the second."""
    second_only: int
    both: int
    neither: int


@dataclasses.dataclass(frozen=True)
class TransformComparison:
    """One transformation; by side of the identity, below and above."""

    unit: str
    identity: float
    logarithmic: bool
    """Whether the magnitude is a factor, so that distances are factors, and differences quotients."""
    tested: dict[str, float]
    """The last distance that both screens have tried."""
    accuracy: AccuracyDifference
    thresholds: dict[str, dict[str, Difference]]
    """By criterion, then by side: where too little is kept first."""
    median_flip: dict[str, Difference]
    """Where half of the predictions have changed; of a discrete transformation there is none."""
    correlation: dict[str, Correlation]
    correlation_by_class: dict[str, dict[str, Correlation]]
    """Of classes with enough images, by class, then by side."""
    breaks: dict[str, Breaks]


@dataclasses.dataclass(frozen=True)
class PairComparison:
    """Two screens."""

    first: str
    second: str
    clean: CleanDifference
    transforms: dict[str, TransformComparison]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ComparisonRecord(Record):
    """The results of ``itn.compare``: the content of result.json."""

    command = "itn compare"

    screens: tuple[Compared, ...]
    n: int
    """Images that all screens share."""
    source: str
    """Where the images of the first come from; empty if that is not known."""
    labeled: bool
    criterion: str
    topk: int
    accuracy_fraction: float
    confidence: float
    resamples: int
    pairs: tuple[PairComparison, ...]
    """Every two screens; the first of them is the earlier one."""
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    def summary(self) -> str:
        """Return the closing table."""
        from itn.screening.comparison.summary import comparison_summary  # noqa: PLC0415  # which imports this file

        return comparison_summary(self)


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """A line of comparison.csv; None where a column does not apply, or is not known."""

    first: str
    second: str
    quantity: str
    """accuracy, threshold_accuracy, threshold_broken, threshold_agreement, median_flip, correlation or
    breaks."""
    transform: str
    """Empty: about unchanged images."""
    side: str
    magnitude: float | None
    class_: str
    n: int
    of_first: float | None
    of_second: float | None
    value: float | None
    """Second less first; of factors second over first; or the correlation."""
    ci_low: float | None
    ci_high: float | None
    beyond: str
    """Which of the two go on beyond the last magnitude: first, second, both, or empty."""


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """A line of images.csv: an image that breaks in one screen and not in the other."""

    first: str
    second: str
    transform: str
    side: str
    image: str
    class_: str
    breaks: str
    """In which of the two: first or second."""
    magnitude: float
    """Where it breaks there."""
    tested: float
    """The last magnitude at which it does not break in the other one."""
