"""What a search in a box finds, typed and frozen: the content of result.json, and the lines of worst.csv."""

import dataclasses
from typing import Any

from itn.runtime.records import Record
from itn.screening.thresholds import Threshold

Curve = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of images, with its exact interval (Clopper and Pearson) over images."""

    value: float
    ci_low: float
    ci_high: float


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """What interpolation and cut-off alone do: images warped to their worst points and back."""

    images: int
    """Those that break at their worst points."""
    broken: int
    """How many of them break after the round trip too, at the place where they were."""


@dataclasses.dataclass(frozen=True)
class Growth:
    """Survival in boxes that grow from the identity, scale 0, to the full box, scale 1."""

    scales: Curve
    """From 0 to 1."""
    survival: Curve
    """Share of the images that nothing that was tried in the box of that scale has broken: an upper bound."""
    ci_low: Curve
    ci_high: Curve
    survival_fraction: float
    """The share of the threshold."""
    threshold: Threshold
    """The scale from which on less than that share survives, and where the ends of its interval fall below;
    None where that is beyond the full box. An upper bound as well."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class WorstRecord(Record):
    """The results of ``itn.worst_case``: the content of result.json."""

    command = "itn worst"

    model: str
    n: int
    clean_accuracy: float
    """Share of the images whose true class is among the answers, unchanged."""
    clean_accuracy_ci: tuple[float, float]
    confidence: float
    criterion: str
    topk: int
    padding: str
    box: dict[str, tuple[float, float]]
    """Low and high end of each transformation, in the order in which they are applied."""
    units: dict[str, str]
    statement: str
    """What was found, in one sentence."""
    searched: int
    """How many images were searched: those that are right unchanged, or all if the criterion is agreement."""
    survival: Share
    """Share of the searched images that every point that was tried has left unbroken: an upper bound of the
    share that survives in the whole box."""
    survival_of_all: Share
    """The same images as a share of all n."""
    survival_single: dict[str, float]
    """Share of the searched images that survives each transformation alone; empty if that was not tried."""
    survival_every_single: float | None
    """Share of the searched images that survives each of them alone; None if that was not tried."""
    growth: Growth
    box_at_threshold: dict[str, tuple[float, float]] | None
    """The box of the threshold's scale; None where the threshold is beyond the full box."""
    passes: dict[str, int]
    """How many forward passes of one image were made in all: of the box (search), of each transformation
    alone (single), and of smaller boxes (growth). The round trip is one more, of each image that breaks."""
    passes_per_image: float
    """The same over the searched images."""
    provenance: dict[str, Any]
    surround: float | None = None
    """Size of what is known of the photographs over that of the images; None, and absent in JSON: nothing is
    known around them."""
    interpolation: str = "bilinear"
    """How spatial transformations made values between pixels."""
    round_trip: RoundTrip | None = None
    """What interpolation and cut-off alone do; None, and absent in JSON: nothing warps, or breaks."""

    optional = (*Record.optional, "round_trip")

    def summary(self) -> str:
        """Return the closing table."""
        from itn.boxes.summary import worst_summary  # noqa: PLC0415  # which imports this file

        return worst_summary(self)


@dataclasses.dataclass(frozen=True)
class WorstRow:
    """One image: a line of worst.csv. What was not searched has no values after ``searched``."""

    image: str
    class_: str
    searched: bool
    survives: bool | None
    """Whether nothing that was tried has broken it."""
    margin: float | None
    """At its worst point: how much the logit of its class exceeds the largest other one; below 0 if the point
    breaks it. The worst point is the first that breaks it; of an image that survives, the one with the least
    margin."""
    prediction: str
    """Class that is predicted at the worst point."""
    scale: float | None
    """Scale of the smallest box that was found to break it; None: nothing breaks it."""
    passes: int
    """How many points were tried of it."""
    point: tuple[float, ...]
    """Magnitudes of its worst point, in the order of the box: columns named by its transformations."""
