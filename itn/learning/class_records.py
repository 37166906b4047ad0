"""Records of families that were learned for each class, and in words."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from itn.certification.records import Baseline, CalibrationPoint, Certificate
from itn.runtime.records import read_as


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
    axes: dict[str, tuple[Baseline, ...]]
    """By part, "color" and "spatial", about how far single axes go, from images that were learned from."""

    def longest(self, part: str) -> Baseline:
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
                        "axes": Baseline.by_part(each["axes"]),
                    }
                )
                for each in content["classes"]
            )
            certificate = Certificate(**{**content["certificate"], "worst_k": ()})
            points = tuple(CalibrationPoint(**point) for point in content["calibration"])
            return cls(**{**content, "classes": classes, "certificate": certificate, "calibration": points})
