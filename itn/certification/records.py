"""Records of what is certified, and of single transformations beside it; accuracies are fractions."""

import dataclasses
from typing import NamedTuple

from torch import Tensor

from itn.certification.search import WorstCase
from itn.stats import clopper_pearson


class Terms(NamedTuple):
    """What calibration and certificate are asked for."""

    tolerance: float
    """Largest share of the images that may be right unchanged and wrong transformed."""
    confidence: float
    seed: int
    """Of the resampled images."""


@dataclasses.dataclass(frozen=True)
class BoundedAccuracy:
    """An accuracy that was measured, and the one that is certain."""

    accuracy: float
    lower_bound: float
    """Clopper-Pearson; it holds with the certificate's confidence."""


@dataclasses.dataclass(frozen=True)
class SearchedAccuracy:
    """The lowest accuracy that a search over k has found: an estimate, not a bound."""

    k: tuple[float, ...]
    """The single k that breaks most images, color first; empty if every class has its own."""
    accuracy: float
    """With all images at that k."""
    accuracy_per_image: float
    """With each image at the worst k that was found for it."""

    @classmethod
    def of(cls, worst: WorstCase) -> "SearchedAccuracy":
        """Return the record of what a search has found."""
        n = len(worst.right)
        return cls(
            tuple(worst.k[0].tolist()), int(worst.right.sum()) / n, int(worst.right_everywhere.sum()) / n
        )


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is certain of a family F(k), and the worst that was found in it."""

    statement: str
    """The sentence that is proven."""
    confidence: float
    """Of the tolerance, over calibration images; of both lower bounds at once, over the images below."""
    tolerance: float
    """Largest share of the images that may be right unchanged and wrong under F(k): at full strength, and at
    the k that a search has found to be worst on training images."""
    scale: float
    """Factor on k that calibration has chosen; 0 if no transformation at all can be proven harmless."""
    images: int
    """Images that the bounds come from; nothing was learned from them or chosen by them."""
    clean_accuracy: float
    """Of these images, unchanged."""
    uniform: BoundedAccuracy
    """k uniform, one draw for each image."""
    full: BoundedAccuracy
    """Full strength: all entries of k at 1."""
    searched: SearchedAccuracy


@dataclasses.dataclass(frozen=True)
class Baseline:
    """How far a single transformation goes at the tolerance."""

    transform: str
    sign: str
    """"+" above the identity, "-" below it."""
    identity: float
    """The magnitude that changes nothing."""
    unit: str
    """Of the magnitudes."""
    magnitude: float | None
    """From calibration images, as for the family; None where the estimate is far from the largest."""
    displacement: float | None
    reached_bound: bool
    """Whether it keeps to the tolerance up to its bound: how far it would go is not known."""
    estimated_magnitude: float
    """From training images."""
    estimated_displacement: float
    evaluations: tuple[tuple[float, float], ...]
    """Displacements that were tried, ascending, each with the break rate there: of calibration images if the
    transformation was calibrated, else of training images (where it is large, of some of them)."""


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """A scale of the family that was tried on calibration images; it passes if no break rate is too large."""

    scale: float
    break_rate_full: float
    """Share of the images that are right unchanged and wrong at full strength."""
    break_rate_worst: float
    """The same at the k that is worst on training images."""
    displacement_full: dict[str, float]
    """By part."""


@dataclasses.dataclass(frozen=True)
class Headline:
    """Displacement of a family at full strength over the largest of any single transformation."""

    value: float
    ci_low: float
    ci_high: float | None
    """None if undefined: in too many resamples no baseline has a scale above 0."""
    rival: str
    """The single transformation with the largest displacement, such as "shear_x +"."""


def certify(
    clean: Tensor,
    uniform: Tensor,
    worst: WorstCase,
    scale: float,
    tolerance: float,
    confidence: float = 0.95,
    subject: str = "",
    measure: str = "accuracy",
) -> Certificate:
    """Say what is certain of a family whose scale was chosen on other images.

    Args:
        clean: Whether each of N images is recognized unchanged, bool; they took no part in the choice.
        uniform: Whether it is under one k for each image, drawn uniformly, bool, N.
        worst: Where the family at that scale is worst for these images.
        scale: The scale, for the record.
        tolerance: The tolerance that it was chosen for.
        confidence: With which both lower bounds hold at once: each is an end of a two-sided interval, and so
            holds with half of what that may miss.
        subject: What the statement is about, where that is not the one family.
        measure: What the share of images is called for which the criterion holds.
    """
    n = len(clean)

    def bounded(right: Tensor) -> BoundedAccuracy:
        count = int(right.sum())
        return BoundedAccuracy(count / n, clopper_pearson(count, n, confidence)[0])

    of_uniform, of_full, clean_accuracy = bounded(uniform), bounded(worst.right_full), int(clean.sum()) / n
    return Certificate(
        statement=(
            f"With {100 * confidence:g} % confidence{subject}, {measure} is at least "
            f"{100 * of_uniform.lower_bound:.2f} % for k drawn uniformly and at least "
            f"{100 * of_full.lower_bound:.2f} % at full strength "
            f"({n:,} images, {100 * clean_accuracy:.2f} % unchanged)."
        ),
        confidence=confidence,
        tolerance=tolerance,
        scale=scale,
        images=n,
        clean_accuracy=clean_accuracy,
        uniform=of_uniform,
        full=of_full,
        searched=SearchedAccuracy.of(worst),
    )
