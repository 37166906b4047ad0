"""By how much two paired proportions differ, such as the accuracies of two classifiers on the same images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
HALVINGS = 50


def paired_difference(gained: Any, lost: Any, n: int, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return the score interval of a paired difference of proportions, (gained - lost) / n.

    Tango (1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).

    Args:
        gained: Number of images that are right the second time only; these two are arrays of one shape.
        lost: Number that are right the first time only.
        n: All images.
        confidence: Of each interval.

    Returns:
        The lower and the upper ends, in [-1, 1].
    """
    gained, lost = np.broadcast_arrays(*(np.asarray(each, float) for each in (gained, lost)))
    z = float(ndtri((1 + confidence) / 2))
    estimate = (gained - lost) / n

    def end(sign: int) -> Floats:
        near, far = estimate, np.full(estimate.shape, float(sign))
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            inside = np.abs(_score(middle, gained, lost, n)) <= z
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        return near

    return end(-1), end(1)


def _score(difference: Floats, gained: Floats, lost: Floats, n: int) -> Floats:
    """Return the score of a difference, standard normal if it is the true one."""
    chance = likeliest_loss(difference, gained, lost, n)
    variance = n * np.maximum(2 * chance + difference * (1 - difference), 0)
    distance = gained - lost - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / np.sqrt(variance))


def likeliest_loss(difference: Floats, gained: Floats, lost: Floats, n: int) -> Floats:
    """Return the likeliest chance that an image is right the first time only, given the difference."""
    square = 2.0 * n
    linear = -gained - lost + (2 * n - gained + lost) * difference
    constant = -lost * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0))
    chance: Floats = (root - linear) / (2 * square)
    return chance
