"""A run of learning, from its inputs to its files; what is learned in it is its families' matter."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from itn.data.inputs import run_settings
from itn.functional.color import check_images
from itn.learning.class_records import PerClassRecord
from itn.learning.config import LearnConfig
from itn.learning.records import LearnRecord, LearnStep
from itn.learning.split import split_images
from itn.learning.trainer import Learner, finish, kept, resume, timing_record, train
from itn.models.classifier import Classifier
from itn.models.preflight import preflight
from itn.plotting.style import Figures
from itn.runtime.errors import explained
from itn.runtime.provenance import provenance
from itn.runtime.run_dir import RunFolder, working

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
        self.classifier = classifier.with_backend(config.precision, config.channels_last, config.compile)
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
