"""Records of learning: the content of result.json and the lines of history.jsonl."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec

from itn.certification.records import (
    Baseline,
    CalibrationPoint,
    Certificate,
    ConditionRecord,
    DropCurve,
    Headline,
    SearchedRecord,
)
from itn.learning.softening import Softening
from itn.nn import Transformer
from itn.runtime.records import Record
from itn.runtime.validation import user_path


@dataclasses.dataclass(frozen=True)
class MagnitudeRange:
    """What a family with a single parameter does over all k, as magnitudes of the screening table."""

    transform: str
    unit: str
    """Of the magnitudes; empty if the parameter has none."""
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class PartRecord:
    """What one transformer does; displacements are those of ``itn.displacement``."""

    displacement_uniform: float
    """Mean over uniform k, one draw for each image."""
    displacement_full: float
    """At full strength, k1 = k2 = (1, 1)."""
    rms_shift_uniform: float | None
    """Spatial: root-mean-square shift of pixels as a fraction of the image width, mean over uniform k."""
    rms_shift_full: float | None
    bound: float | list[float]
    """On every parameter, or on each: of the color matrix its entries minus the identity."""
    parameters_full: dict[str, float]
    """The parameters at full strength, by their meaning."""
    matrix_full: list[list[float]] | None
    """None of a transformer that has no matrix."""
    decomposition_full: dict[str, Any] | None
    """The matrix as gains, biases and mixing, or as rotation (degrees), scales, shear and shifts (fractions);
    None if it is singular, or there is none."""
    description: str
    """The same in words."""
    angle: float | None
    """Degrees between what k = (1, 0) and k = (0, 1) add to the identity; near 0 or 180 they do not span a
    plane. None if one of them changes nothing, or there is but one parameter."""
    range: MagnitudeRange | None
    """The smallest and the largest magnitude over k; None if there are several parameters."""
    member: str | None = None
    """The single transformation, or the pair of them, along which the part goes in place of what was learned,
    where the family was estimated to go farthest so; None: it was learned."""
    displacement_text: str = Transformer.displacement_text
    """What displacements are, of a transformer that has no matrix."""


@dataclasses.dataclass(frozen=True)
class ChangeShares:
    """Which shares of the images change under a transformation, whatever the criterion of a run."""

    broken: float
    """Right unchanged, wrong transformed."""
    mended: float
    """Wrong unchanged, right transformed; accuracy falls by the difference."""
    agreement: float
    """The prediction for the unchanged image is still among the ``topk`` first."""


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """Held-out accuracy and displacement at one k on a ray, with the other k at 0."""

    part: str
    """The part that k drives."""
    ray: tuple[float, float]
    """Direction of k."""
    t: float
    """k is t times the ray."""
    n: int
    """Number of images."""
    accuracy: float
    ci_low: float
    """Clopper-Pearson, 95 %."""
    ci_high: float
    displacement: float


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class LearnRecord(Record):
    """What ``itn.learn`` found: the content of result.json.

    Accuracies are fractions of the held-out images, with Clopper-Pearson 95 % intervals.
    """

    command = "itn learn"

    objective: str
    criterion: str
    """What the tolerance is of: accuracy, broken, agreement, or one of the user's."""
    tolerance: float
    topk: int
    """An image is right if its class is among so many with the largest logits."""
    clean_accuracy: float
    clean_accuracy_ci: tuple[float, float]
    accuracy_uniform: float
    """k1 and k2 uniform on [0, 1]^2, one draw for each image."""
    accuracy_uniform_ci: tuple[float, float]
    accuracy_full: float
    """Full strength, k1 = k2 = (1, 1)."""
    accuracy_full_ci: tuple[float, float]
    changes: dict[str, ChangeShares]
    """Which images change: uniform, k drawn uniformly; full strength; and with a certificate at the worst k
    of training images, and at the one searched on these."""
    parts: dict[str, PartRecord]
    """What was learned, by name: color, spatial, or both."""
    cross_entropy_share: float | None
    """Share of steps in which the switch asked for cross-entropy; None with another objective."""
    curves: tuple[CurvePoint, ...]
    certificate: Certificate | None
    """What is proven; None with the switched objective, likewise the next five. The scale was chosen on the
    held-out images, so that all accuracies and curves are measured after that choice."""
    baselines: dict[str, tuple[Baseline, ...]] | None
    """By part, how far single transformations go."""
    headline: dict[str, Headline | None] | None
    """Displacement of the family over that of its best rival, at equal drops: by the part that is learned
    alone, or as "joint" of several."""
    no_headline: str | None
    """Why there is none."""
    drop_curves: tuple[DropCurve, ...] | None
    """What the headline is made from: the family, then its rivals. Empty where nothing is certified."""
    calibration: tuple[CalibrationPoint, ...] | None
    """The scales that were tried, ascending; the first one that fails ends the choice."""
    split: dict[str, Any]
    """Number of images in each part, seed, and a hash of the held-out images and labels."""
    provenance: dict[str, Any]
    surround: float | None = None
    """Size of what is known of the photographs over that of the images; None, and absent in JSON: nothing is
    known around them."""
    interpolation: str = "bilinear"
    """How spatial transformers made values between pixels."""
    softening: Softening | None = None
    """Why, if it was chosen; None, and absent in JSON: it was given, or nothing moves pixels."""

    def summary(self) -> str:
        """Return the closing table."""
        from itn.learning.summary import summary  # noqa: PLC0415  # which imports this file

        return summary(self)


@dataclasses.dataclass(frozen=True)
class ClassPart:
    """What one transformer does at full strength in the family of one class."""

    displacement_full: float
    matrix_full: list[list[float]] | None
    member: str | None = None
    """As that of ``PartRecord``."""


@dataclasses.dataclass(frozen=True)
class ClassFamily:
    """The family of one class, and what its own held-out images say of it; accuracies are fractions."""

    label: int
    name: str
    images: int
    """Held-out images of this class."""
    clean_accuracy: float
    accuracy_uniform: float
    """k uniform, one draw for each image."""
    full: ConditionRecord
    """Full strength: all entries of k at 1. The bounds here and at the worst k hold with the certificate's
    confidence for each class by itself."""
    worst: ConditionRecord
    """At the k that a search on training images has found worst."""
    searched: SearchedRecord
    """The worst that a search on these images has found."""
    parts: dict[str, ClassPart]
    baselines: dict[str, tuple[Baseline, ...]]
    """By part, estimates of how far single transformations go, from training images."""

    def largest_baseline(self, part: str) -> Baseline:
        """Return the single transformation of a part with the largest estimated displacement."""
        return max(self.baselines[part], key=lambda baseline: baseline.estimated_displacement)


@dataclasses.dataclass(frozen=True)
class ClassesPart:
    """What one transformer does in the families of all classes, mean over images."""

    displacement_uniform: float
    displacement_full: float
    rms_shift_uniform: float | None
    """Spatial: fraction of the image width."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PerClassRecord(Record):
    """What ``itn.learn_per_class`` found: the content of result.json.

    Every image is transformed by the family of its class.
    """

    command = "itn learn per class"

    objective: str
    criterion: str
    """What the tolerance is of."""
    tolerance: float
    topk: int
    """An image is right if its class is among so many with the largest logits."""
    clean_accuracy: float
    accuracy_uniform: float
    """k1 and k2 uniform on [0, 1]^2, one draw for each image."""
    accuracy_full: float
    """Full strength, k1 = k2 = (1, 1)."""
    changes: dict[str, ChangeShares]
    """Which images of all classes change: uniform, full strength, and worst, each class at its own."""
    parts: dict[str, ClassesPart]
    certificate: Certificate
    """Of all classes together, each at its own worst k; its scale is a factor on what was estimated for each
    family."""
    calibration: tuple[CalibrationPoint, ...]
    """The scales that were tried, ascending; the first one that fails ends the choice."""
    classes: tuple[ClassFamily, ...]
    split: dict[str, Any]
    """Number of images in each part, seed, and a hash of the held-out images and labels."""
    provenance: dict[str, Any]
    surround: float | None = None
    """As in ``LearnRecord``."""
    interpolation: str = "bilinear"
    """As in ``LearnRecord``."""
    softening: Softening | None = None
    """As in ``LearnRecord``."""

    def summary(self) -> str:
        """Return the closing table."""
        from itn.learning.summary import class_summary  # noqa: PLC0415  # which imports this file

        return class_summary(self)


@dataclasses.dataclass(frozen=True)
class LearnStep:
    """One step of learning: a line of history.jsonl."""

    step: int
    displacement: dict[str, float]
    """By part, mean over the batch; constrained: at full strength, of the restart that is best so far."""
    values: dict[str, float | bool | None] = dataclasses.field(default_factory=dict)
    """What the objective reports beside it, by the names of its columns. Switched: cross_entropy,
    transformer_loss (c_theta L_k1 + L_k2), accuracy and clean_accuracy of the batch, asked_cross_entropy.
    Constrained: drop (estimate, the larger of full strength and worst k), multiplier (displacement given
    up for a share of the images lost), restarts (those still learned)."""

    def to_json(self) -> dict[str, Any]:
        """Return the step as a line of history.jsonl, with each value under its own key."""
        return {"step": self.step, "displacement": self.displacement} | self.values

    def columns(self) -> dict[str, Any]:
        """Return the step as a row of a table, with a column for the displacement of each part."""
        displacement = {f"displacement_{part}": value for part, value in self.displacement.items()}
        return {"step": self.step} | displacement | self.values

    @classmethod
    def from_json(cls, line: Any) -> "LearnStep":
        """Return the step of a line of history.jsonl.

        Raises:
            ValueError: If it is none.
        """
        if not isinstance(line, dict):
            raise ValueError(f"expected an object, got {type(line).__name__}")
        fields = ("step", "displacement")
        values = {key: value for key, value in line.items() if key not in fields}
        try:
            return msgspec.convert({key: line.get(key) for key in fields} | {"values": values}, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None


def read_history(folder: str | Path) -> list[LearnStep]:
    """Read the history.jsonl of a run.

    Raises:
        ValueError: If there is none, or it holds something else than steps.
    """
    path = user_path(folder) / "history.jsonl"
    try:
        return [LearnStep.from_json(json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no history of itn learn ({error}): name the folder of a run") from None
