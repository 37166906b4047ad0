"""Records of what is certified, and of single transformations beside it; accuracies are fractions."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from itn.certification.criteria import Criterion
from itn.certification.parametric import Count, Outcomes
from itn.certification.search import WorstCase
from itn.runtime.wording import counted
from itn.stats import DropTest, FixedSequence, clopper_pearson, drop_upper_bound
from itn.stats.fixed_sequence import FINE

SEQUENCE_SHARE = 0.8  # of what a certificate may err, that of the sequence of scales; the rest: other bounds
PLANNED = len(FINE)  # scales that may be chosen, at most


class Terms(NamedTuple):
    """What calibration and certificate are asked for."""

    tolerance: float
    """Largest drop that is tolerated, as a share of the images."""
    confidence: float
    seed: int
    """Of the resampled images."""

    def test(self, images: int, criterion: Criterion) -> DropTest:
        """Return the test of one scale on so many images; it may err as often as the sequence may."""
        confidence = 1 - SEQUENCE_SHARE * (1 - self.confidence)
        return DropTest(images, self.tolerance, confidence, criterion.mends)


@dataclasses.dataclass(frozen=True)
class ConditionRecord:
    """What was measured under one choice of k, and what is certain of it; shares of the images."""

    accuracy: float
    lower_bound: float
    """Of the accuracy."""
    drop: float
    """By the criterion: accuracy lost, or share of images that are broken, or of predictions that change."""
    drop_upper_bound: float
    k: tuple[float, ...] | None = None
    """The k of all images, part after part; None at full strength, and where k differs between images."""

    @classmethod
    def of(
        cls,
        outcomes: Outcomes,
        level: float,
        signed: bool,
        proven: float,
        k: tuple[float, ...] | None = None,
    ) -> "ConditionRecord":
        """Return the record of what became of N images.

        Args:
            outcomes: Of the images.
            level: Chance that each of the two bounds may fail with.
            signed: Whether images can be mended.
            proven: What the drop is known to be at most.
            k: For the record.
        """
        n, right, count = len(outcomes.right), int(outcomes.right.sum()), Count.of(outcomes.change)
        bound = drop_upper_bound(count.broken, count.mended, n, 1 - level, signed)
        return cls(
            accuracy=right / n,
            lower_bound=clopper_pearson(right, n, 1 - 2 * level)[0],
            drop=count.drop,
            drop_upper_bound=min(bound, proven),
            k=k,
        )


@dataclasses.dataclass(frozen=True)
class SearchedRecord:
    """The largest drop that a search over k has found: an estimate, not a bound."""

    k: tuple[float, ...]
    """The k with the largest drop for all images, part after part; empty if every class has its own."""
    accuracy: float
    """With all images at that k."""
    drop: float
    """Likewise."""
    accuracy_per_image: float
    """With each image at the worst k that was found for it."""

    @classmethod
    def of(cls, worst: WorstCase) -> "SearchedRecord":
        """Return the record of what a search has found."""
        n = len(worst.right_everywhere)
        return cls(
            tuple(worst.k[0].tolist()),
            int(worst.outcomes.right.sum()) / n,
            Count.of(worst.outcomes.change).drop,
            int(worst.right_everywhere.sum()) / n,
        )


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is certain of a family F(k), and the worst that was found in it."""

    statement: str
    """The sentence that is proven."""
    criterion: str
    """What the drop is of."""
    confidence: float
    """Of the statement and of all bounds below at once. Four fifths of what it may err go to the sequence of
    scales, which proves the tolerance, one fifth to the other bounds, which hold for all scales that might
    have been chosen (Bonferroni)."""
    tolerance: float
    """Largest drop that is tolerated at full strength and at the worst k."""
    scale: float
    """Factor on k that was chosen; 0 if no transformation at all can be proven harmless."""
    images: int
    """Images that the scale was chosen on; nothing was learned from them. What is measured on them is
    measured after that choice."""
    clean_accuracy: float
    """Of these images, unchanged."""
    uniform: ConditionRecord
    """k uniform, one draw for each image."""
    full: ConditionRecord
    """Full strength: all entries of k at 1."""
    worst: ConditionRecord
    """At the k that a search on training images has found worst."""
    searched: SearchedRecord
    """The worst that a search on these images has found."""
    obstacle: str | None = None
    """Why the scale is 0, and what would help; None if it is not."""


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
    """Where the drop of held-out images first exceeds the tolerance, interpolated; None where that was not
    measured, since the estimate is far from the largest, or several parts are learned together."""
    displacement: float | None
    reached_bound: bool
    """Whether it keeps to the tolerance up to its bound: how far it would go is not known. Where no held-out
    images were measured, by the estimate."""
    estimated_magnitude: float
    """From training images."""
    estimated_displacement: float
    evaluations: tuple[tuple[float, float], ...]
    """Displacements that were tried, ascending, each with the drop there: of held-out images if there is a
    magnitude, else of training images (where it is large, of some of them)."""


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """A scale of the family that was tried on held-out images; it passes if no drop is too large."""

    scale: float
    drop_full: float
    """At full strength."""
    drop_worst: float
    """At the k that is worst on training images."""
    displacement_full: dict[str, float]
    """By part."""


@dataclasses.dataclass(frozen=True)
class DropCurve:
    """How much is lost on held-out images along a path of growing transformations."""

    name: str
    """Learned, or the transformations of a rival."""
    displacements: tuple[float, ...]
    """At the scales that were tried, ascending; of several parts the geometric mean."""
    drops: tuple[float, ...]
    """There, the largest of any condition: of the family at full strength and at the worst k."""


@dataclasses.dataclass(frozen=True)
class Headline:
    """Displacement of a family over that of its best rival, at equal drops; both are measured, not certified.

    Geometric mean over a range of drops and, of several parts together, over the parts.
    """

    value: float
    ci_low: float
    ci_high: float
    rival: str
    """The best single transformation, such as "shear_x +", or one of each part; those of pooled runs."""
    drops: tuple[float, ...]
    """Drops at which displacements are compared: from half the tolerance, or from what these images can
    measure, to twice the tolerance."""
    parts: tuple[str, ...]
    """The parts that count: not those that reach their bound in the family and in a rival."""
    limit: str | None = None
    """"at most" if the rival ends at its bound before as much is lost, "at least" if the family does."""


class Measured(NamedTuple):
    """What became of N held-out images of a family whose scale was chosen on them."""

    clean: Tensor
    """Whether each is recognized unchanged, bool, N."""
    uniform: Outcomes
    """Under one k for each image, drawn uniformly."""
    full: Outcomes
    """At full strength."""
    worst: Outcomes
    """At the k that a search on training images has found worst."""
    searched: WorstCase
    """At the worst k that a search on these images has found."""


def certify(
    measured: Measured,
    sequence: FixedSequence,
    criterion: Criterion,
    confidence: float,
    worst_k: Mapping[str, Sequence[float]] | None,
    subject: str = "",
) -> Certificate:
    """Say what is certain of a family.

    Args:
        measured: Images under the family at the scale that was chosen.
        sequence: The tests on these images that have chosen it.
        criterion: What they count.
        confidence: Of everything that is said, at once.
        worst_k: Each k of ``measured.worst`` by its name, such as k2; None if every class has its own.
        subject: What the statement is about, where that is not the one family.
    """
    n, tolerance = len(measured.clean), sequence.tests[0].tolerance
    # For each scale that might have been chosen, three conditions with two bounds each
    level = (1 - SEQUENCE_SHARE) * (1 - confidence) / (6 * PLANNED)

    bounded = functools.partial(ConditionRecord.of, level=level, signed=criterion.mends)
    proven = tolerance if sequence.scale else 0.0  # at scale 0 nothing changes
    clean_accuracy = int(measured.clean.sum()) / n
    return Certificate(
        statement=_statement(sequence, criterion, confidence, worst_k, subject, clean_accuracy),
        criterion=str(criterion),
        confidence=confidence,
        tolerance=tolerance,
        scale=sequence.scale,
        images=n,
        clean_accuracy=clean_accuracy,
        uniform=bounded(measured.uniform, proven=1.0 if sequence.scale else 0.0),
        full=bounded(measured.full, proven=proven),
        worst=bounded(
            measured.worst,
            proven=proven,
            k=None if worst_k is None else tuple(itertools.chain(*worst_k.values())),
        ),
        searched=SearchedRecord.of(measured.searched),
        obstacle=None if sequence.scale else _obstacle(sequence, criterion),
    )


def _statement(
    sequence: FixedSequence,
    criterion: Criterion,
    confidence: float,
    worst_k: Mapping[str, Sequence[float]] | None,
    subject: str,
    clean_accuracy: float,
) -> str:
    """Return the sentence that is proven."""
    n = sequence.tests[0].n
    images = f"({counted(n, 'image')}, {100 * clean_accuracy:.2f} % right unchanged)"
    if not sequence.scale:
        return f"No transformation of the family is certified: it was scaled back to the identity {images}."
    if worst_k is None:
        where = "at full strength, and with each class at the worst k that a search on training images found"
    elif all(entry == 1 for k in worst_k.values() for entry in k):
        where = "at full strength, which is also the worst k that a search on training images found"
    else:
        where = (
            f"at full strength and at {k_text(worst_k)}, the worst k that a search on training images found"
        )
    claim = criterion.claim(f"{100 * sequence.tests[0].tolerance:g}")
    return f"With {100 * confidence:g} % confidence{subject}, {claim} {where} {images}."


def _obstacle(sequence: FixedSequence, criterion: Criterion) -> str:
    """Return why not even the smallest scale passes, and what would help."""
    test = sequence.tests[0]

    def excess(count: Count) -> int:
        return count.broken - test.signed * count.mended - test.largest(count.broken + count.mended)

    count = max(map(Count.of, sequence.changes[0]), key=excess)
    most = test.largest(count.broken + count.mended)
    changed = f"{count.broken:,} of {counted(test.n, 'image')} became worse"
    if not criterion.mends:
        allowed = f"at most {most:,}" if most >= 0 else "fewer than none: these are too few images"
        help_ = "; so may the criterion accuracy, by which images that become right make up for others"
    else:
        changed += f" and {count.mended:,} better"
        allowed = (
            f"at most {most:,} more worse than better"
            if most >= 0
            else f"at least {-most:,} more better than worse"
        )
        help_ = ""
    return (
        f"At the smallest scale that was tried, {changed}; to prove {100 * test.tolerance:g} % it may be "
        f"{allowed}. More images or a larger tolerance would help{help_}."
    )


def k_text(ks: Mapping[str, Sequence[float]]) -> str:
    """Return controls by name in words, such as "k1 = (1, 0.5), k2 = (1, 1)"."""
    return ", ".join(f"{name} = ({', '.join(f'{entry:g}' for entry in k)})" for name, k in ks.items())
