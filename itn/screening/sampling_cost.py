"""Where sampling between pixels, rather than a motion, may be what breaks a classifier."""

from collections.abc import Mapping

import numpy as np

from itn.screening.records import SweepRecord

SHARE = 0.5  # of what a transformation loses at a threshold, that the round trip alone loses


def sampling_note(sweeps: Mapping[str, SweepRecord], clean_accuracy: float) -> str | None:
    """Return which thresholds may say more about bilinear sampling, or cut-off, than about motion.

    Args:
        sweeps: By name, sampled bilinearly.
        clean_accuracy: Accuracy on unchanged images.
    """
    named = [name for name, sweep in sweeps.items() if _is_of_sampling(sweep, clean_accuracy)]
    if not named:
        return None
    return (
        f"sampling, or what is cut off, may be what breaks under {', '.join(named)}, rather than the motion: "
        "images that are warped there and back lose at least half as much accuracy as at the threshold. If "
        "it is sampling, bicubic interpolation goes farther: it softens less"
    )


def _is_of_sampling(sweep: SweepRecord, clean_accuracy: float) -> bool:
    """Return whether the round trip loses much at one of the thresholds."""
    if sweep.control_accuracy is None:
        return False
    for threshold in sweep.thresholds.of_criterion.values():
        if threshold.value is not None:
            lost, alone = (
                clean_accuracy - float(np.interp(threshold.value, sweep.magnitudes, curve))
                for curve in (sweep.accuracy, sweep.control_accuracy)
            )
            if lost > 0 and alone >= SHARE * lost:
                return True
    return False
