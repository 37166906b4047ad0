"""What every run does first: check inputs, claim the output folder, start the clock."""

import dataclasses
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from itn.data.class_folders import refuse_results_inside
from itn.data.loading import ImageSet
from itn.functional import check_images
from itn.models.canvases import Canvases, SurroundSetting, chosen_canvases
from itn.models.checked_images import CheckedImages
from itn.models.checks import CheckName, Findings
from itn.models.classifier import Classifier
from itn.models.fingerprint import answers, rounding
from itn.models.forward import suitable_batch
from itn.models.gradient_check import check_gradient
from itn.models.preflight import check_all, spared
from itn.models.preprocessing import Preprocessing
from itn.runtime.provenance import data_fingerprint, package_version, provenance
from itn.runtime.records import SCHEMA_VERSION
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import FigureFormat

PREDICTED = "predictions of the unchanged images"  # "labels" in a provenance, where none were given


class Settings(Protocol):
    """Settings of a run."""

    @property
    def batch_size(self) -> int:
        """Images in a pass of the preflight; 0: a number that suits them."""

    @property
    def needs_labels(self) -> bool:
        """Whether the criterion asks for labels."""

    @property
    def surround(self) -> SurroundSetting:
        """What is looked at around the images."""

    @property
    def accept(self) -> tuple[CheckName, ...]:
        """Checks of the preflight that do not stop the run."""

    def describe(self) -> dict[str, Any]:
        """Return the settings for config.json."""


def source_of(images: Tensor | ImageSet, source: str | None) -> str | None:
    """Return where images come from: as the user says, or the folder of an ``ImageSet``."""
    folder = images.folder if isinstance(images, ImageSet) else None
    return source or (None if folder is None else str(folder))


def labeled_images(
    images: Tensor | ImageSet,
    labels: Tensor | None,
    surround: SurroundSetting,
    preprocessing: Preprocessing | None = None,
    needs_labels: bool = True,
) -> tuple[Tensor, Tensor | None, Canvases | None]:
    """Return images, labels and canvases of what a user gives; the preprocessing is that of photographs.

    Labels are None where none were given and none are needed.

    Raises:
        ValueError: If there are no labels, or the surround asks for more than the images have.
    """
    known = images.canvases if isinstance(images, ImageSet) else None
    canvases = chosen_canvases(known, surround, preprocessing)
    if isinstance(images, ImageSet):
        known_labels = images.labels if images.labeled else None
        images, labels = images.images, known_labels if labels is None else labels
    if labels is None and needs_labels:
        raise ValueError(
            "labels are missing: give one for each image, or photographs in one folder for each class; or "
            'ask whether predictions stay the same, which needs none: criterion="agreement"'
        )
    return images, labels, canvases


def input_notes(provenance: Mapping[str, Any]) -> list[str]:
    """Return, for a closing table, what is unusual about the inputs."""
    notes = []
    if provenance.get("labels") == PREDICTED:
        notes.append("no labels were given: below, right means the prediction for the unchanged image")
    if outputs := provenance.get("outputs"):
        notes.append(f"the network returns {outputs}")
    accepted: Mapping[str, str | None] = provenance.get("accepted", {})
    # Of what a check says, that which it has seen
    seen = {name: found.partition(": ")[0].partition("; ")[0] for name, found in accepted.items() if found}
    return notes + [f"accepted, {name}: {found}" for name, found in seen.items()]


class RunInputs:
    """The checked inputs of a run; nothing has been written when they turn out to be unusable.

    Args:
        command: Value of ``command`` in config.json.
        classifier: The classifier under study, as the run will use it.
        images: N x C x H x W, uint8 or float in [0, 1], or an ``ImageSet``.
        labels: N integers; None: those of the ``ImageSet``; if there are none, the predictions for the
            unchanged images, with a criterion that needs none.
        config: Settings.
        out: Output folder, or None.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in the folder.
        figure_format: Of the figures in the folder.
        settings: What else the results depend on, for config.json.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure.
    """

    needs_gradient = False
    """Whether the run differentiates the classifier."""

    def __init__(
        self,
        command: str,
        classifier: Classifier,
        images: Tensor | ImageSet,
        labels: Tensor | None,
        config: Settings,
        out: str | Path | None,
        *,
        source: str | None,
        overwrite: bool,
        figure_format: FigureFormat = "png",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.started, self._clock = datetime.now(UTC), time.perf_counter()
        notes: list[str] = []
        if isinstance(images, ImageSet):
            notes = [*images.notes, *(f"left out {text}" for text in images.skipped)]
            if out is not None and images.folder is not None:
                refuse_results_inside(out, images.folder)
        images, labels, canvases = labeled_images(
            images, labels, config.surround, classifier.preprocessing, config.needs_labels
        )
        check_images(images, classifier.channels)
        self.config = config
        self.provenance = provenance(classifier.device)
        if notes:
            self.provenance["images"] = notes
        if classifier.weights is not None:
            self.provenance["weights"] = dict(classifier.weights)
        if labels is None:
            self.provenance["labels"] = PREDICTED
        everything = {
            "command": command,
            "schema_version": SCHEMA_VERSION,
            "version": package_version("itn"),
            "config": config.describe(),
            "device": classifier.device.type,
            "environment": {key: self.provenance[key] for key in ("torch", "device", "threads")},
            "classifier": {"name": classifier.name, "sha256": classifier.sha256()},
            "images": {
                "source": source,
                "shape": list(images.shape),
                "sha256": data_fingerprint(images, torch.empty(0) if labels is None else labels),
            }
            | _described(canvases),
            **(settings or {}),
        }
        self.settings = everything
        self.folder = None if out is None else RunFolder(out, everything, overwrite, figure_format)
        size = config.batch_size or suitable_batch(images, classifier.device)
        findings = Findings(config.accept)
        self.data: CheckedImages = check_all(classifier, images, labels, size, findings)
        self.classifier = spared(classifier, findings)
        if canvases is not None:
            self.data = dataclasses.replace(self.data, images=canvases.crops, canvases=canvases)
        if self.needs_gradient:
            check_gradient(self.classifier, self.data, size, findings)
        if config.accept:
            self.provenance["accepted"] = {name: findings.accepted.get(name) for name in config.accept}
        if findings.outputs:
            self.provenance["outputs"] = findings.outputs
        if self.folder is not None:
            # A network that is random has other answers each time
            known = [] if "repeat" in findings.accepted else answers(self.classifier, self.data, size)
            self.folder.check_answers(known, rounding(classifier))

    @property
    def finished(self) -> Path | None:
        """The folder of a run with the same settings that has finished; None if there is work to do."""
        return self.folder.path if self.folder is not None and self.folder.finished else None

    def timing(self, seconds: Mapping[str, float], batch_size: int) -> dict[str, Any]:
        """Return the content of timing.json: when, how long, and how many images were in a pass at last."""
        return {"started": self.started.isoformat(), "seconds": dict(seconds), "batch_size": batch_size}

    def lap(self) -> float:
        """Return the seconds since it was last asked."""
        before, self._clock = self._clock, time.perf_counter()
        return self._clock - before


def _described(canvases: Canvases | None) -> dict[str, Any]:
    """Return what config.json holds of what lies around the images."""
    if canvases is None:
        return {}
    fingerprint = data_fingerprint(canvases.pixels, canvases.surround.boxes)
    return {"canvases": {"shape": list(canvases.pixels.shape), "sha256": fingerprint}}
