"""Images to learn from, to calibrate with, and to measure on."""

from typing import Any, NamedTuple

from itn.certification.calibration import check_certifiable
from itn.learning.config import LearnConfig
from itn.models.checked_images import CheckedImages
from itn.runtime.provenance import data_fingerprint
from itn.stats import calibration_split, stratified_split


class Split(NamedTuple):
    """Training, calibration and held-out images."""

    training: CheckedImages
    calibration: CheckedImages | None
    held_out: CheckedImages

    def record(self, seed: int) -> dict[str, Any]:
        """Return what the record of a run holds of it."""
        return {
            "training": len(self.training),
            "calibration": 0 if self.calibration is None else len(self.calibration),
            "held_out": len(self.held_out),
            "seed": seed,
            "held_out_sha256": data_fingerprint(self.held_out.images, self.held_out.labels),
        }


def split_images(data: CheckedImages, config: LearnConfig) -> Split:
    """Split images as a configuration says; only a constrained objective calibrates.

    Raises:
        ValueError: If there are too few images for that, with the tolerance that they could prove.
    """
    if not config.goal.certifies:
        training, held_out = stratified_split(data.labels, config.train_fraction, config.seed)
        return Split(data.part(training), None, data.part(held_out))
    training, calibration, held_out = calibration_split(data.labels, config.train_fraction, config.seed)
    if not len(held_out):
        raise ValueError(f"{len(data)} images are too few to learn from, to calibrate with and to certify")
    check_certifiable(len(calibration), config.goal.tolerance, config.confidence)
    return Split(data.part(training), data.part(calibration), data.part(held_out))
