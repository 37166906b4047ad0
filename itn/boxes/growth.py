"""From the scales at which images break to the curve of survival in boxes that grow."""

import numpy as np
from numpy.typing import NDArray

from itn.boxes.records import Growth, Share
from itn.screening.criteria import level_of
from itn.screening.thresholds import Threshold
from itn.stats import clopper_pearson

SCALES = tuple(n / 50 for n in range(51))


def share(count: int, n: int, confidence: float) -> Share:
    """Return the share of so many of n images."""
    return Share(count / n, *clopper_pearson(count, n, confidence))


def growth(scales: NDArray[np.float64], fraction: float, confidence: float) -> Growth:
    """Return the curve and its threshold.

    Args:
        scales: The least scale at which each image breaks, N; infinite if it survives.
        fraction: The share of images at which the box has grown too large.
        confidence: Of the pointwise intervals.
    """
    n = len(scales)
    ordered = np.sort(scales)
    curve = [share(int((scales > scale).sum()), n, confidence) for scale in SCALES]
    return Growth(
        scales=SCALES,
        survival=tuple(point.value for point in curve),
        ci_low=tuple(point.ci_low for point in curve),
        ci_high=tuple(point.ci_high for point in curve),
        survival_fraction=fraction,
        threshold=_threshold(ordered, fraction, confidence),
    )


def _threshold(ordered: NDArray[np.float64], fraction: float, confidence: float) -> Threshold:
    """Return at which of the scales, ascending, survival and the ends of its interval fall below a share."""
    n, found = len(ordered), dict[str, float | None]()
    level = level_of(fraction, n, n)
    for end in ("ci_low", "value", "ci_high"):
        # How many images have to break; the ends fall as survival does, so that halving finds it
        few, many = 0, n
        while many - few > 1:
            middle = (few + many) // 2
            below = getattr(share(n - middle, n, confidence), end) < level
            few, many = (few, middle) if below else (middle, many)
        if getattr(share(n, n, confidence), end) < level:
            found[end] = 0.0  # too few images to say that any box holds
        elif getattr(share(n - many, n, confidence), end) >= level:
            found[end] = None
        else:
            scale = float(ordered[many - 1])
            found[end] = scale if np.isfinite(scale) else None
    return Threshold(found["value"], found["ci_low"], found["ci_high"])
