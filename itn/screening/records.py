"""Records of a screen: typed, frozen, to JSON and CSV, and in words."""

import dataclasses
from typing import Any

from itn.screening.thresholds import Threshold

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
    approximate interval of the margin (see ``Screener.class_statistics``)."""
    flips: dict[str, FlipSummary]
    """Of all images, by side."""
    flips_by_class: dict[str, dict[str, FlipSummary]]
    flip_resolution: float
    """Widest bracket of a flip magnitude, in the transformation's unit; of factors, in their logarithm."""


@dataclasses.dataclass(frozen=True)
class Recoveries:
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
    recoveries: Recoveries


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
