"""What a screen finds, typed and frozen: the content of result.json, and the lines of its CSV files."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from itn.runtime.records import Record
from itn.screening.border import BorderCost
from itn.screening.criteria import level_of
from itn.screening.thresholds import Threshold

Curve = tuple[float, ...]
Sides = dict[str, Threshold]
"""Thresholds by side of the identity, "below" and "above"; a side without magnitudes is absent."""


@dataclasses.dataclass(frozen=True)
class FlipSummary:
    """Where the predictions of single images change, on one side of the identity."""

    median: Threshold
    """Kaplan-Meier median of the flip magnitudes, with the interval of Brookmeyer and Crowley."""
    n: int
    flipped: int
    """How many images change their prediction at all; the others are right-censored."""


@dataclasses.dataclass(frozen=True)
class OutcomeShares:
    """What images do at a magnitude, compared with the same images unchanged; fractions of all images."""

    broken: float
    """Right unchanged, wrong transformed."""
    mended: float
    """Wrong unchanged, right transformed: accuracy has changed by this less ``broken``."""
    agreement: float
    """The clean prediction is among the answers."""


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The magnitudes at which predictions break, measured in several ways."""

    criterion: str
    """Whose thresholds the tables show, refined by bisection: accuracy, broken or agreement. Those of the
    other two are interpolated between the same magnitudes."""
    topk: int
    """How many of the largest outputs count as the answer."""
    accuracy_fraction: float
    """Which fraction of what unchanged images have must be kept."""
    accuracy: Sides
    """Where accuracy falls below ``accuracy_fraction`` of clean accuracy. The interval reaches from where the
    lower end of what is kept first falls below that fraction to where the upper end does. It is paired with
    the answers to the unchanged images, and takes clean accuracy as estimated on them."""
    broken: Sides
    """Where less than that fraction of the images that are right unchanged is still right."""
    agreement: Sides
    """Where less than that fraction of the predictions is kept."""
    pixel_change: dict[str, float | None]
    """Root mean square change of the pixels at the threshold of the criterion on each side, a fraction of the
    full range; None where it lies beyond the magnitudes tried."""
    at: dict[str, OutcomeShares | None]
    """What images do at the threshold of the criterion on each side: measured there if the border is, else
    interpolated."""
    classes: dict[str, Sides]
    """By class, where the true class stops having the largest mean softmax; the interval comes from the
    approximate one of the margin (see ``Screener.class_statistics``)."""
    flips: dict[str, FlipSummary]
    """Decision changes of all images, by side."""
    flips_by_class: dict[str, dict[str, FlipSummary]]
    """Decision changes by class, then by side."""
    flip_resolution: float
    """Width of the widest bracket around a decision change, in the transformation's unit (factors: their
    logarithm)."""

    @property
    def of_criterion(self) -> Sides:
        """The thresholds of the criterion."""
        sides: Sides = getattr(self, self.criterion)
        return sides


@dataclasses.dataclass(frozen=True)
class Recoveries:
    """Stretches of magnitudes, first and last, on which accuracy or a class has recovered after breaking.

    Accuracy is below ``accuracy_fraction`` of its clean value in between, whatever the criterion is.
    Both the break and the recovery are clear of the intervals. Discrete transformations have no stretches.
    """

    accuracy: tuple[tuple[float, float], ...]
    classes: dict[str, tuple[tuple[float, float], ...]]
    returned: Curve
    """At each magnitude, the share of images whose prediction is the clean one again, after a change at a
    smaller magnitude."""


@dataclasses.dataclass(frozen=True)
class SweepRecord:
    """One transformation at ascending magnitudes; curves have one value for each magnitude.

    Accuracy and agreement are fractions of all images; agreement is with the prediction on the unchanged
    image, which is among the answers. Their intervals are those of Clopper and Pearson.
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
    broken: Curve
    """Fraction of all images that are right unchanged and wrong transformed."""
    mended: Curve
    """Fraction of all images that are wrong unchanged and right transformed."""
    kept_share: Curve
    """How much the criterion of the thresholds keeps: a fraction of the accuracy of unchanged images, of the
    right ones among them, or of their predictions. The interval is that of the thresholds."""
    kept_ci_low: Curve
    kept_ci_high: Curve
    softmax_true: Curve
    """Mean softmax of the true class."""
    softmax_change: Curve
    """Mean total variation distance, from 0 to 1, between the softmax and that of the unchanged image: half
    the sum of absolute differences. It needs no labels, and moves before predictions change."""
    pixel_change: Curve
    """Root mean square difference of the pixels from the unchanged image, a fraction of the full range."""
    control_accuracy: Curve | None
    """Accuracy of the round-trip control, images warped and warped back: what interpolation and cut-off alone
    cost; None if the transformation is not spatial."""
    lost_content: Curve | None
    """Fraction of the frame's area that has left the frame; None if the transformation is not spatial."""
    lost_intensity: Curve | None
    """Fraction of the sum of pixel values that has left the frame, mean over images."""
    thresholds: Thresholds
    """Of a discrete transformation: the first magnitude on each side at which it breaks, which is one of its
    own."""
    recoveries: Recoveries
    kept: tuple[bool, ...] | None = None
    """Of a discrete transformation, which has no range: whether the criterion keeps at least
    ``accuracy_fraction``, at each magnitude. None, and absent in JSON, for all others."""
    first_unchanged: Curve | None = None
    """Of a discrete transformation with ``topk`` above 1: the fraction of images whose prediction, the first
    of the answers, is that on the unchanged image, at each magnitude. None, and absent in JSON, for all
    others, whose ``flips`` or ``agreement`` say it."""
    border: dict[str, BorderCost] | None = None
    """By side with a threshold of the criterion, what the border of the images costs there. None, and absent
    in JSON, where nothing is known around the images, or the transformation is not spatial."""

    @property
    def unchanged(self) -> Curve:
        """Fraction of the images whose prediction is that on the unchanged image, of a discrete one."""
        return self.agreement if self.first_unchanged is None else self.first_unchanged

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield, for each magnitude, what is known there, by column.

        Args:
            name: Of the transformation.
        """
        curves = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.type in (Curve, Curve | None) and field.name not in ("magnitudes", "first_unchanged")
        }
        for number, magnitude in enumerate(self.magnitudes):
            values = {column: None if curve is None else curve[number] for column, curve in curves.items()}
            yield {"transform": name, "unit": self.unit, "magnitude": magnitude, "n": self.n, **values}


@dataclasses.dataclass(frozen=True)
class PairRecord:
    """Two transformations, x applied first; tables have a row for each y and a column for each x."""

    x: str
    y: str
    criterion: str
    topk: int
    accuracy_fraction: float
    magnitudes_x: Curve
    magnitudes_y: Curve
    n: int
    accuracy: tuple[Curve, ...]
    ci_low: tuple[Curve, ...]
    ci_high: tuple[Curve, ...]
    agreement: tuple[Curve, ...]
    softmax_true: tuple[Curve, ...]
    broken: tuple[Curve, ...]
    mended: tuple[Curve, ...]

    def kept_of_all(self, clean_accuracy: float) -> tuple[tuple[Curve, ...], float]:
        """Return how much the criterion keeps, as a share of all images, and the least share that is enough.

        Both are those of ``criteria.kept`` for the same counts, so that ties are ties.
        """
        right = round(clean_accuracy * self.n)
        if self.criterion == "agreement":
            return self.agreement, level_of(self.accuracy_fraction, self.n, self.n)
        level = level_of(self.accuracy_fraction, right, self.n)
        if self.criterion == "accuracy":
            return self.accuracy, level
        both = tuple(tuple((right - round(share * self.n)) / self.n for share in row) for row in self.broken)
        return both, level

    def kept_share(self, clean_accuracy: float) -> tuple[Curve, ...]:
        """Return how much the criterion keeps, as a fraction of what unchanged images have."""
        if self.criterion == "agreement":
            return self.agreement
        if self.criterion == "accuracy":
            return tuple(tuple(share / clean_accuracy for share in row) for row in self.accuracy)
        return tuple(tuple(1 - share / clean_accuracy for share in row) for row in self.broken)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ScreenRecord(Record):
    """The results of ``itn.screen``: the content of result.json."""

    command = "itn screen"

    model: str
    n: int
    clean_accuracy: float
    """Share of the images whose true class is among the answers, unchanged."""
    clean_accuracy_ci: tuple[float, float]
    confidence: float
    criterion: str
    topk: int
    padding: str
    transforms: dict[str, SweepRecord]
    pairs: dict[str, PairRecord]
    left_out: dict[str, str]
    """Transformations that were not swept, and why."""
    provenance: dict[str, Any]
    surround: float | None = None
    """Size of what is known of the photographs over that of the images; None, and absent in JSON: nothing is
    known around them."""
    interpolation: str = "bilinear"
    """How spatial transformations made values between pixels."""

    def summary(self) -> str:
        """Return the closing table."""
        from itn.screening.summary import screen_summary  # noqa: PLC0415  # which imports this file

        return screen_summary(self)

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes."""
        content = super().to_json()
        for sweep in content["transforms"].values():
            for key in ("kept", "first_unchanged", "border"):
                if sweep.get(key) is None:
                    sweep.pop(key, None)
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
    broken: float
    mended: float
    softmax_change: float


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
    broken: float
    mended: float


@dataclasses.dataclass(frozen=True)
class SoftmaxRow:
    """A line of softmax.csv: the mean softmax of one output over all images of one class."""

    transform: str
    magnitude: float
    class_: str
    output: str
    """The true class or one of two others that have the largest mean somewhere, by name; "others": the
    largest of the rest."""
    softmax: float


@dataclasses.dataclass(frozen=True)
class FlipRow:
    """A line of flips.csv: where one image's prediction changes on one side of the identity."""

    transform: str
    side: str
    image: str
    class_: str
    magnitude: float
    flipped: bool
    """False: it never changed, and the magnitude is the last one tried."""
