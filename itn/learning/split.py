"""Images to learn from, and images to choose the scale on and to measure."""

from typing import Any, NamedTuple

from itn.certification.calibration import check_certifiable
from itn.learning.config import LearnConfig
from itn.models.checked_images import CheckedImages
from itn.runtime.provenance import data_fingerprint
from itn.runtime.wording import counted
from itn.stats import stratified_split, training_split


class Split(NamedTuple):
    """Training and held-out images."""

    training: CheckedImages
    held_out: CheckedImages

    def record(self, seed: int) -> dict[str, Any]:
        """Return what the record of a run holds of it."""
        return {
            "training": len(self.training),
            "held_out": len(self.held_out),
            "seed": seed,
            "held_out_sha256": data_fingerprint(self.held_out.images, self.held_out.labels),
        }


def split_images(data: CheckedImages, config: LearnConfig) -> Split:
    """Split images as a configuration says.

    Raises:
        ValueError: If there are too few images to certify, with the tolerance that they could prove.
    """
    if not config.goal.certifies:
        training, held_out = stratified_split(data.labels, config.train_fraction, config.seed)
        return Split(data.part(training), data.part(held_out))
    training, held_out = training_split(data.labels, config.train_fraction, config.seed)
    if not len(held_out):
        given = counted(len(data), "image is", "images are")
        raise ValueError(f"{given} too few to learn from and to certify")
    check_certifiable(config.terms.test(len(held_out), config.asks))
    return Split(data.part(training), data.part(held_out))
