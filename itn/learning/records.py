"""Records of what was found: typed, frozen, to and from JSON, and in words."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from itn.certification.records import Baseline, CalibrationPoint, Certificate, DisplacementRatio
from itn.runtime.records import read_as


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """Held-out accuracy and mean displacement at one k on a ray, with the other control at 0."""

    part: str
    """``"color"`` (k1 moves) or ``"spatial"`` (k2 moves)."""
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


@dataclasses.dataclass(frozen=True)
class MagnitudeRange:
    """What a family with a single parameter does over all k, as magnitudes of the screening table."""

    transform: str
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class LearnRecord:
    """What ``itn.learn`` found: the content of result.json.

    Accuracies are fractions of the held-out images, with Clopper-Pearson 95 % intervals. Displacements
    are those of ``itn.displacement``; without suffix they are means over uniform k. None where a
    transformer was not learned.
    """

    objective: str
    tolerance: float
    clean_accuracy: float
    clean_accuracy_ci: tuple[float, float]
    accuracy: float
    """k1 and k2 uniform on [0, 1]^2, one draw per image."""
    accuracy_ci: tuple[float, float]
    accuracy_at_corner: float
    """k1 = k2 = (1, 1)."""
    accuracy_at_corner_ci: tuple[float, float]
    color_displacement: float | None
    color_displacement_at_corner: float | None
    spatial_displacement: float | None
    spatial_displacement_at_corner: float | None
    spatial_rms_displacement: float | None
    """Root mean square over pixels, fraction of the image width, averaged over uniform k."""
    spatial_rms_displacement_at_corner: float | None
    color_bound: float | None
    """Bound on every entry of A_phi - I."""
    spatial_bound: float | None
    """Bound on every parameter of the spatial family."""
    cross_entropy_share: float | None
    """Share of steps in which the switch asked for cross-entropy; None with another objective."""
    color_matrix_at_corner: list[list[float]] | None
    spatial_matrix_at_corner: list[list[float]] | None
    color_at_corner: dict[str, Any] | None
    """The matrix in words: gain and bias of each channel, mixing between channels."""
    spatial_at_corner: dict[str, float] | None
    """The matrix in words: rotation (degrees), scales, shear, shifts (fractions); None if it is singular."""
    angle: dict[str, float | None]
    """By part, "color" and "spatial", the angle in degrees between what k = (1, 0) and k = (0, 1) add to the
    identity; near 0 or 180 they do not span a plane. None if one of them moves nothing, or there is but one
    parameter."""
    ranges: dict[str, MagnitudeRange | None]
    """By part, the smallest and the largest magnitude over k; None where there are several parameters."""
    curves: tuple[CurvePoint, ...]
    certificate: Certificate | None
    """What is proven; None with the switched objective, likewise the next three."""
    displacement_ratio: dict[str, DisplacementRatio | None] | None
    """By part, "color" and "spatial": displacement of the family at its corner over the largest of any single
    axis; None where an axis is unbroken at its bound and none is longer."""
    axes: dict[str, tuple[Baseline, ...]] | None
    """By part, how far single axes go."""
    calibration: tuple[CalibrationPoint, ...] | None
    """The scales that were tried, ascending; the first scale that fails ends the choice."""
    split: dict[str, Any]
    """Number of images in each part, seed, and a hash of the held-out images and labels."""
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "LearnRecord":
        """Return the record that ``to_json`` and a JSON file made the content from.

        Raises:
            ValueError: If the content is no such record.
        """
        with read_as("itn learn"):
            pairs = {key: tuple(value) for key, value in content.items() if key.endswith("_ci")}
            curves = tuple(CurvePoint(**{**point, "ray": tuple(point["ray"])}) for point in content["curves"])
            certificate, ratios, axes, points = (
                content[name] for name in ("certificate", "axis_ratio", "axes", "calibration")
            )
            if certificate is not None:
                certificate = Certificate(**{**certificate, "worst_k": tuple(certificate["worst_k"])})
                ratios = {part: ratio and DisplacementRatio(**ratio) for part, ratio in ratios.items()}
                axes = Baseline.by_part(axes)
                points = tuple(CalibrationPoint(**point) for point in points)
            ranges = {part: found and MagnitudeRange(**found) for part, found in content["ranges"].items()}
            nested = {"certificate": certificate, "axis_ratio": ratios, "axes": axes, "calibration": points}
            return cls(**{**content, **pairs, **nested, "curves": curves, "ranges": ranges})


@dataclasses.dataclass(frozen=True)
class LearnStep:
    """One step of learning: a line of history.jsonl; None where an objective has no such figure."""

    step: int
    color_displacement: float | None
    """Mean over the batch; constrained: at the corner, of the start that is best so far."""
    spatial_displacement: float | None
    cross_entropy: float | None = None
    """switched, like the next four."""
    transformer_loss: float | None = None
    """c_theta L_k1 + L_k2; what the other branch of the switch minimises."""
    accuracy: float | None = None
    clean_accuracy: float | None = None
    """Of the same batch, untransformed."""
    asked_cross_entropy: bool | None = None
    lost: float | None = None
    """constrained, like the next two: running mean of the share lost at the corner."""
    price: float | None = None
    """Displacement given up for a share lost."""
    starts: int | None = None
    """Starts that are still learned."""


def read_history(folder: str | Path) -> list[LearnStep]:
    """Read the history.jsonl of a run.

    Raises:
        ValueError: If there is none, or it holds something else than steps.
    """
    path = Path(folder) / "history.jsonl"
    try:
        return [LearnStep(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no history of itn learn ({error}): name the folder of a run") from None
