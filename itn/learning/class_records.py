"""Records of families that were learned for each class, and in words."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from itn.learning.records import AxisReach, CalibrationPoint, Certificate, read_as


@dataclasses.dataclass(frozen=True)
class ClassFamily:
    """The family of one class, and what its own held-out images say of it; accuracies are fractions."""

    label: int
    name: str
    images: int
    """Held-out images of this class."""
    clean_accuracy: float
    accuracy: float
    """k uniform, one draw for each image."""
    accuracy_at_corner: float
    """All entries of k at 1."""
    worst_k: tuple[float, ...]
    """The single k, color first, that a search found to be worst."""
    worst_k_accuracy: float
    lost_at_corner: float
    """Share of the images that are right unchanged and wrong at the corner."""
    tolerance: float
    """Upper bound on that share for all images of this class; it holds with the certificate's confidence, for
    each class by itself (Clopper-Pearson)."""
    color_displacement_at_corner: float | None
    spatial_displacement_at_corner: float | None
    color_matrix_at_corner: list[list[float]] | None
    spatial_matrix_at_corner: list[list[float]] | None
    axes: dict[str, tuple[AxisReach, ...]]
    """By part, "color" and "spatial", about how far single axes go, from images that were learned from."""

    def longest(self, part: str) -> AxisReach:
        """Return the axis of a part that moves furthest, by the estimates."""
        return max(self.axes[part], key=lambda axis: axis.estimated_displacement)


@dataclasses.dataclass(frozen=True)
class PerClassRecord:
    """What ``itn.learn_per_class`` found: the content of result.json.

    Every image is moved by the family of its class. Displacements are means over images, those of the
    corner over classes as their images say; None where a transformer was not learned.
    """

    objective: str
    tolerance: float
    clean_accuracy: float
    accuracy: float
    """k1 and k2 uniform on [0, 1]^2, one draw per image."""
    accuracy_at_corner: float
    """k1 = k2 = (1, 1)."""
    color_displacement: float | None
    color_displacement_at_corner: float | None
    spatial_displacement: float | None
    spatial_displacement_at_corner: float | None
    spatial_rms_displacement: float | None
    """Root mean square over pixels, fraction of the image width, averaged over uniform k."""
    certificate: Certificate
    """Of all classes together, each at its own worst k; its scale is a factor on what was estimated for each
    family, its worst_k empty."""
    calibration: tuple[CalibrationPoint, ...]
    """The scales that were tried, ascending; the first scale that fails ends the choice."""
    classes: tuple[ClassFamily, ...]
    split: dict[str, Any]
    """Number of images in each part, seed, and a hash of the held-out images and labels."""
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PerClassRecord":
        """Return the record that ``to_json`` and a JSON file made the content from.

        Raises:
            ValueError: If the content is no such record.
        """
        with read_as("itn learn --per-class"):
            classes = tuple(
                ClassFamily(
                    **{
                        **each,
                        "worst_k": tuple(each["worst_k"]),
                        "axes": AxisReach.by_part(each["axes"]),
                    }
                )
                for each in content["classes"]
            )
            certificate = Certificate(**{**content["certificate"], "worst_k": ()})
            points = tuple(CalibrationPoint(**point) for point in content["calibration"])
            return cls(**{**content, "classes": classes, "certificate": certificate, "calibration": points})


def class_summary(record: PerClassRecord) -> str:
    """Return the closing table of a run: a row for each class, then what is certified of all together."""
    parts = [part for part in ("color", "spatial") if getattr(record, f"{part}_displacement") is not None]
    header = ("class", "images", "unchanged", "at its corner", "lost there", *parts, "longest single axis")
    rows = [header]
    for each in record.classes:
        axis = each.longest(parts[-1])
        rows.append(
            (
                each.name,
                f"{each.images:,}",
                f"{100 * each.clean_accuracy:.2f} %",
                f"{100 * each.accuracy_at_corner:.2f} %",
                f"at most {100 * each.tolerance:.2f} %",
                *(f"{getattr(each, f'{part}_displacement_at_corner'):.4f}" for part in parts),
                f"{axis.transform} {axis.sign}, {axis.estimated_magnitude:.3g}",
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    c = record.certificate
    return "\n".join(
        (
            *lines,
            f"certified with {100 * c.confidence:g} % confidence, each image under the family of its class: "
            f"accuracy at least {100 * c.accuracy_lower_bound:.2f} % with k uniform and at least "
            f"{100 * c.corner_lower_bound:.2f} % at the corner ({c.images:,} images, "
            f"{100 * c.clean_accuracy:.2f} % unchanged)",
            f"worst found: {100 * c.worst_k_accuracy:.2f} % with each class at its own worst k, "
            f"{100 * c.worst_image_accuracy:.2f} % with each image at its own",
            f"the share lost of one class is bounded with {100 * c.confidence:g} % confidence for that class "
            "alone",
        )
    )
