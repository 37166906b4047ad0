"""The criteria of a screen: what has to be kept of the answers to unchanged images, and how much is."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from itn.stats import clopper_pearson, paired_ratio

CriterionName = Literal["accuracy", "broken", "agreement"]
Points = Sequence[dict[str, np.ndarray]]
"""Measurements with "predictions", N; with ``topk`` above 1 also "top", N x topk, the largest outputs."""
Curve = tuple[float, ...]


def answers(point: dict[str, np.ndarray]) -> NDArray[Any]:
    """Return the classes that count as the answer to each image, N x topk."""
    return point["top"] if "top" in point else point["predictions"][:, None]


def is_right(point: dict[str, np.ndarray], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return for which images the true class is among the answers, N."""
    right: NDArray[np.bool_] = (answers(point) == labels[:, None]).any(1)
    return right


def agrees(point: dict[str, np.ndarray], clean: dict[str, np.ndarray]) -> NDArray[np.bool_]:
    """Return for which images the clean prediction is among the answers, N."""
    return is_right(point, clean["predictions"])


class Outcomes(NamedTuple):
    """How many of n images do what at one magnitude, compared with the same images unchanged."""

    n: int
    both: int
    """Right unchanged and transformed."""
    broken: int
    """Right unchanged, wrong transformed."""
    mended: int
    """Wrong unchanged, right transformed."""
    agreeing: int
    """The clean prediction is among the answers."""

    @classmethod
    def of(
        cls, right: NDArray[np.bool_], clean_right: NDArray[np.bool_], agreeing: NDArray[np.bool_]
    ) -> "Outcomes":
        """Count images."""
        counts = (right & clean_right, ~right & clean_right, right & ~clean_right, agreeing)
        return cls(len(right), *(int(count.sum()) for count in counts))

    @property
    def right(self) -> int:
        """How many are right transformed."""
        return self.both + self.mended


def outcomes(points: Points, clean: dict[str, np.ndarray], labels: NDArray[Any]) -> list[Outcomes]:
    """Return what the images do at each point."""
    clean_right = is_right(clean, labels)
    return [Outcomes.of(is_right(point, labels), clean_right, agrees(point, clean)) for point in points]


class Kept(NamedTuple):
    """How much is kept at each point, as a share of all images, with its interval."""

    share: Curve
    ci_low: Curve
    ci_high: Curve
    level: float
    """What is not below this is kept."""
    whole: float
    """The share of the unchanged images."""

    def relative(self) -> tuple[Curve, Curve, Curve]:
        """Return the shares and the ends of their intervals as fractions of what unchanged images have."""
        return tuple(tuple(value / self.whole for value in curve) for curve in self[:3])  # type: ignore[return-value]


def level_of(fraction: float, whole: int, n: int) -> float:
    """Return the share of n images at which exactly a fraction of ``whole`` images is kept.

    A count over n that ties with it is equal to it, since both are rounded once. The fraction is taken as the
    decimal number that is written.
    """
    return float(Fraction(repr(float(fraction))) * whole / n)


def kept(criterion: str, counts: Iterable[Outcomes], fraction: float, confidence: float) -> Kept:
    """Return how much of the answers to unchanged images is kept, by one criterion.

    Accuracy: the images that are right, whichever they are, over those right unchanged. Broken: the images
    right both times, of those right unchanged. Agreement: the images whose prediction is kept, of all. All
    three are paired with the answers to the same images unchanged, and take clean accuracy as estimated.

    Args:
        criterion: Which.
        counts: What the images do, at each point.
        fraction: Which share of what unchanged images have is enough.
        confidence: Confidence of the intervals, pointwise.
    """
    counts = list(counts)
    n, right = counts[0].n, counts[0].both + counts[0].broken
    if criterion == "agreement":
        share = [c.agreeing / n for c in counts]
        low, high = zip(*(clopper_pearson(c.agreeing, n, confidence) for c in counts), strict=True)
        return Kept(tuple(share), low, high, level_of(fraction, n, n), 1.0)
    whole = right / n
    if criterion == "broken":
        share = [c.both / n for c in counts]
        ends = [clopper_pearson(c.both, right, confidence) for c in counts]
    else:
        share = [c.right / n for c in counts]
        both, broken, mended = np.array([(c.both, c.broken, c.mended) for c in counts]).T
        ratio_low, ratio_high = paired_ratio(both, broken, mended, confidence)
        ends = list(zip(ratio_low.tolist(), ratio_high.tolist(), strict=True))
    low, high = (tuple(end * whole for end in curve) for curve in zip(*ends, strict=True))
    return Kept(tuple(share), low, high, level_of(fraction, right, n), whole)


def measure(criterion: str, topk: int = 1) -> str:
    """Return what a criterion watches, in words."""
    top = f"top-{topk} " if topk > 1 else ""
    words = {
        "accuracy": f"{top}accuracy",
        "broken": f"the share of {top}right images still right",
        "agreement": f"the share of predictions {agreement_text(topk)}",
    }
    return words[criterion]


def agreement_text(topk: int) -> str:
    """Return what predictions are that agree with those on the unchanged images, in words."""
    return f"still among the top {topk}" if topk > 1 else "unchanged"


def level_text(criterion: str, fraction: float) -> str:
    """Return the level below which too little is kept, in words."""
    return f"{100 * fraction:g} %" + (" of its clean value" if criterion == "accuracy" else "")


def short_text(criterion: str, fraction: float, topk: int = 1) -> str:
    """Return when enough is kept, short enough for a header or a legend."""
    words = {"accuracy": "accuracy", "broken": "right images kept", "agreement": "predictions kept"}
    top = f"top-{topk} " if topk > 1 else ""
    of_clean = " of clean" if criterion == "accuracy" else ""
    return f"{top}{words[criterion]} >= {100 * fraction:g} %{of_clean}"
