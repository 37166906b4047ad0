"""What a certificate is asked for."""

from typing import NamedTuple


class Terms(NamedTuple):
    """The terms of calibration and certificate."""

    tolerance: float
    """Largest share of the images that may be right unchanged and wrong transformed."""
    confidence: float
    seed: int
    """Of the resampled images."""
