"""The points that the curves of a screen are drawn through."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from itn.screening.criteria import level_of
from itn.screening.outcomes import SweepOutcomes
from itn.screening.records import Curve, SweepRecord
from itn.stats import clopper_pearson


class Points(NamedTuple):
    """A curve with its interval, at ascending magnitudes."""

    magnitudes: Curve
    share: Curve
    ci_low: Curve
    ci_high: Curve


def curve_points(
    criterion: str,
    sweep: SweepRecord,
    clean_accuracy: float,
    confidence: float,
    outcomes: SweepOutcomes | None = None,
) -> Points:
    """Return what a criterion watches, as shares of all images, at every magnitude that was measured.

    A threshold lies between two magnitudes that were measured to find it: a line without them would cross the
    level elsewhere. Where they are not known, the threshold itself stands for them.

    Args:
        criterion: accuracy, agreement; or broken, if that is the criterion of the screen.
        sweep: The record.
        clean_accuracy: Accuracy on unchanged images.
        confidence: Confidence of the intervals.
        outcomes: What each image does at all magnitudes; None: an earlier version has not kept it.
    """
    points = dict(zip(sweep.magnitudes, _swept(criterion, sweep, clean_accuracy), strict=True))
    if outcomes is None:
        points = _thresholds(criterion, sweep, clean_accuracy, confidence) | points
    elif not outcomes.discrete:
        points = _measured(criterion, outcomes, confidence) | points
    return Points(*zip(*((v, *points[v]) for v in sorted(points)), strict=True))


def level_of_all(sweep: SweepRecord, clean_accuracy: float) -> float:
    """Return the share of all images below which the criterion of a screen keeps too little."""
    whole = sweep.n if sweep.thresholds.criterion == "agreement" else round(clean_accuracy * sweep.n)
    return level_of(sweep.thresholds.accuracy_fraction, whole, sweep.n)


Point = tuple[float, float, float]


def _swept(criterion: str, sweep: SweepRecord, clean_accuracy: float) -> list[Point]:
    match criterion:
        case "accuracy":
            curves = (sweep.accuracy, sweep.ci_low, sweep.ci_high)
        case "agreement":
            curves = (sweep.agreement, sweep.agreement_ci_low, sweep.agreement_ci_high)
        case _:
            relative = (sweep.kept_share, sweep.kept_ci_low, sweep.kept_ci_high)
            share, low, high = (tuple(clean_accuracy * value for value in curve) for curve in relative)
            curves = (share, low, high)
    return list(zip(*curves, strict=True))


def _thresholds(
    criterion: str, sweep: SweepRecord, clean_accuracy: float, confidence: float
) -> dict[float, Point]:
    if criterion != sweep.thresholds.criterion or sweep.kept is not None:
        return {}
    level = level_of_all(sweep, clean_accuracy)
    point = (level, *clopper_pearson(round(level * sweep.n), sweep.n, confidence))
    return {t.value: point for t in sweep.thresholds.of_criterion.values() if t.value is not None}


def _measured(criterion: str, outcomes: SweepOutcomes, confidence: float) -> dict[float, Point]:
    clean = outcomes.right[outcomes.magnitudes.tolist().index(outcomes.identity)]
    kept: NDArray[np.bool_] = {
        "accuracy": outcomes.right,
        "agreement": outcomes.agrees,
        "broken": outcomes.right & clean,
    }[criterion]
    n = kept.shape[1]
    whole = int(clean.sum()) if criterion == "broken" else n
    points = {}
    for v, count in zip(outcomes.magnitudes.tolist(), kept.sum(1).tolist(), strict=True):
        low, high = (end * whole / n for end in clopper_pearson(count, whole, confidence))
        points[v] = (count / n, low, high)
    return points
