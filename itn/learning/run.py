"""A run of learning, from its inputs to its files; what is learned in it is its families' matter."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from itn.certification.calibration import check_certifiable
from itn.functional.color import check_images
from itn.learning.class_records import PerClassRecord
from itn.learning.config import LearnConfig
from itn.learning.records import LearnRecord, LearnStep
from itn.learning.trainer import Learner, finish, kept, resume, timing_record, train
from itn.models.classifier import CheckedImages, Classifier, preflight
from itn.plotting.training import Figures
from itn.runtime.errors import explained
from itn.runtime.run_dir import RunFolder, data_fingerprint, provenance, run_settings, working
from itn.stats.sampling import stratified_split, stratified_subset

R = TypeVar("R", bound=LearnRecord | PerClassRecord)


class Families(Protocol[R]):
    """What is learned in a run: one family for all images, or one a class.

    A run calls what follows in this order, ``calibrate`` if it has images for that, the last two if it has a
    folder.
    """

    def prepare(self) -> Learner:
        """Return what learns them."""

    def calibrate(self) -> None:
        """Choose how far they go, when they are learned."""

    def measure(self, history: Sequence[LearnStep], split: dict[str, Any], origin: dict[str, Any]) -> R:
        """Return the record of what they do to held-out images."""

    def weights(self) -> dict[str, Tensor]:
        """Return the content of model.safetensors."""

    def figures(self, history: Sequence[LearnStep], record: R) -> Figures:
        """Return figures by name."""


class Run:
    """The inputs of a run, checked; nothing is written before they are learned from.

    Args:
        command: What config.json says that the run is.
        classifier: As ``itn.learn`` takes it, like all others.
        images: N x C x H x W.
        labels: N integers.
        config: Settings.
        out: Output folder, or None.
        source: What the images are.
        overwrite: Replace an earlier run.

    Raises:
        ValueError: If an input is unusable.
    """

    def __init__(
        self,
        command: str,
        classifier: Classifier,
        images: Tensor,
        labels: Tensor,
        config: LearnConfig,
        out: str | Path | None,
        source: str | None,
        overwrite: bool,
    ) -> None:
        self.started, self.clock = datetime.now(UTC), time.perf_counter()
        self.config = config
        check_images(images, classifier.channels)
        self.origin = provenance(classifier.device)
        settings = run_settings(command, config, self.origin, classifier, images, labels, source)
        self.folder = None if out is None else RunFolder(out, settings, overwrite)
        self.classifier = classifier.running(config.precision, config.channels_last, config.compile)
        self.split = split_images(preflight(self.classifier, images, labels, config.batch_size), config)

    def learn(self, families: Families[R], progress: bool | None) -> tuple[R, tuple[LearnStep, ...]]:
        """Learn, calibrate, measure and write; return the record and the steps.

        Raises:
            RunError: If the run cannot go on; names the last good state.
            Interrupted: On Ctrl-C; likewise.
        """
        folder, seconds = self.folder, {}
        ending = partial(explained, lambda: kept(folder), resumable=folder is not None)
        with working(folder):
            with ending():
                learner = families.prepare()
            seconds["preparation"] = self._lap()
            history = [] if folder is None else resume(learner, folder)
            self._lap()
            with ending():
                train(learner, history, folder, progress)
                learner.finish()
                seconds["learning"] = self._lap()
                if self.split.calibration is not None:
                    families.calibrate()
                    seconds["calibration"] = self._lap()
                record = families.measure(history, self.split.record(self.config.seed), self.origin)
                seconds["evaluation"] = self._lap()
                if folder is not None:
                    figures = partial(families.figures, history, record)
                    timing = timing_record(self.started, seconds, learner)
                    finish(folder, families.weights(), figures, record.to_json(), timing)
        return record, tuple(history)

    def _lap(self) -> float:
        """Return the seconds since it was last asked."""
        before, self.clock = self.clock, time.perf_counter()
        return self.clock - before


class Split(NamedTuple):
    """Images to learn from, to calibrate with, and to measure on."""

    learned: CheckedImages
    calibration: CheckedImages | None
    held: CheckedImages

    def record(self, seed: int) -> dict[str, Any]:
        """Return what the record of a run holds of it."""
        return {
            "learned": len(self.learned),
            "calibration": 0 if self.calibration is None else len(self.calibration),
            "held_out": len(self.held),
            "seed": seed,
            "held_out_sha256": data_fingerprint(self.held.images, self.held.labels),
        }


def split_images(data: CheckedImages, config: LearnConfig) -> Split:
    """Split images as a configuration says; only a constrained objective calibrates.

    Raises:
        ValueError: If there are too few images for that, with the tolerance that they could prove.
    """
    if config.objective == "switched":
        learned, held = stratified_split(data.labels, config.learn_fraction, config.seed)
        return Split(data.part(learned), None, data.part(held))
    n = len(data)
    learned = stratified_subset(data.labels, max(1, round(config.learn_fraction * n)), config.seed)
    rest = torch.ones(n, dtype=torch.bool).index_fill(0, learned, False).nonzero().flatten()
    chosen = stratified_subset(data.labels[rest], max(1, len(rest) // 2), config.seed)
    held = torch.ones(len(rest), dtype=torch.bool).index_fill(0, chosen, False)
    if not held.any():
        raise ValueError(f"{n} images are too few to learn from, to calibrate with and to certify")
    check_certifiable(len(chosen), config)
    return Split(data.part(learned), data.part(rest[chosen]), data.part(rest[held]))
