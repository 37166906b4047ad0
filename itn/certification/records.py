"""Records of what is certain, and of single transformations beside it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from itn.certification.worst_k import WorstCase
from itn.stats.intervals import clopper_pearson


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is certain of a family F(k), and the worst that was found in it; accuracies are fractions."""

    confidence: float
    """Of the tolerance, over calibration images; of both lower bounds at once, over the certified ones."""
    tolerance: float
    """Largest share of the images that may be right unchanged and wrong under F(k): at the corner, and at the
    k that a search has found to be worst on images that were learned from."""
    family_scale: float
    """Factor on k that calibration has chosen; 0 if no motion at all can be proven harmless."""
    images: int
    """Images that the bounds come from; nothing was learned from or chosen by them."""
    clean_accuracy: float
    """Of these images, unchanged."""
    accuracy: float
    """k uniform, one draw for each image."""
    accuracy_lower_bound: float
    corner_accuracy: float
    """All entries of k at 1."""
    corner_lower_bound: float
    worst_k: tuple[float, ...]
    """The single k, color first, that a search found to be worst."""
    worst_k_accuracy: float
    """All images at that k."""
    worst_image_accuracy: float
    """Each image at the worst k that was found for it."""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """How far a single axis of the screening table goes at the tolerance; magnitudes in the table's unit."""

    transform: str
    sign: str
    """"+" above the identity, "-" below it."""
    estimated_magnitude: float
    """From images that were learned from."""
    estimated_displacement: float
    certified_magnitude: float | None
    """From calibration images, as for the family; None where the estimate is far from the largest."""
    certified_displacement: float | None
    reached_bound: bool
    """Whether it is certified up to its bound: how far it would go is not known."""
    looks: tuple[tuple[float, float], ...]
    """Displacements that were tried, ascending, each with the share of images lost there: of calibration
    images if the axis is certified, else of images that were learned from, estimated from some of them where
    it is too large."""

    @classmethod
    def by_part(cls, content: Mapping[str, Any]) -> dict[str, tuple["Baseline", ...]]:
        """Return the axes of each part from JSON."""
        return {
            part: tuple(cls(**axis | {"looks": tuple(map(tuple, axis["looks"]))}) for axis in each)
            for part, each in content.items()
        }


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """A scale of the family that was tried on calibration images; it passes if no share is too large."""

    scale: float
    lost_at_corner: float
    """Share of the images that are right unchanged and wrong under F(k), all entries of k at 1."""
    lost_at_worst: float
    """The same at the k that is worst on images that were learned from."""
    color_displacement: float | None
    """At the corner, like the next one."""
    spatial_displacement: float | None


@dataclasses.dataclass(frozen=True)
class DisplacementRatio:
    """Displacement of a family at its corner over the largest of any single axis, with its interval."""

    value: float
    ci_low: float
    ci_high: float | None
    """None where the images do not tell: on too many of their resamples no single axis can move at all."""


def certificate_of(
    clean: Tensor,
    uniform: Tensor,
    worst: WorstCase,
    family_scale: float,
    tolerance: float,
    confidence: float = 0.95,
) -> Certificate:
    """Say what is certain of a family whose scale was chosen on other images.

    Args:
        clean: Which of N images are recognised unchanged, bool; they took no part in the choice.
        uniform: Which are recognised under one k for each image, drawn uniformly, bool, N.
        worst: Where the family at that scale is at its worst for these images.
        family_scale: The scale, for the record.
        tolerance: The tolerance that it was chosen for.
        confidence: With which both lower bounds hold at once: each is an end of a two-sided interval, and so
            holds with half of what that may miss.
    """
    n = len(clean)
    accurate, right, cornered = (int(each.sum()) for each in (clean, uniform, worst.right_at_corner))
    return Certificate(
        confidence=confidence,
        tolerance=tolerance,
        family_scale=family_scale,
        images=n,
        clean_accuracy=accurate / n,
        accuracy=right / n,
        accuracy_lower_bound=clopper_pearson(right, n, confidence)[0],
        corner_accuracy=cornered / n,
        corner_lower_bound=clopper_pearson(cornered, n, confidence)[0],
        worst_k=tuple(worst.k[0].tolist()),
        worst_k_accuracy=int(worst.right.sum()) / n,
        worst_image_accuracy=int(worst.right_everywhere.sum()) / n,
    )
