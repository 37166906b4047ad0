"""Learning F(k1, k2): one loop for every objective, and what it found."""

import dataclasses
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from itn.augmentation import LearnedAugmentation
from itn.certifying import Yardsticks, check_certifiable, classifier_of, prove, yardsticks
from itn.classifiers import CheckedImages, Classifier, preflight
from itn.color import check_images
from itn.constrained import STARTS, ConstrainedLearner, Task
from itn.errors import explained
from itn.evaluation import draw, measure
from itn.folder import (
    RunFolder,
    data_fingerprint,
    provenance,
    run_settings,
    working,
)
from itn.loop import Learner, finish, kept, resume, timing_record, train
from itn.net import InvariantTransformerNet
from itn.results import LearnRecord, LearnStep, summary
from itn.settings import LearnConfig
from itn.statistics import generator, stratified_split, stratified_subset
from itn.switched import SwitchedLearner
from itn.transformers import ColorTransformer, SpatialTransformer

LEARN, PER_CLASS = "learn", "learn --per-class"  # what config.json says a run is


@dataclasses.dataclass(frozen=True)
class LearnResult:
    """What ``itn.learn`` returns; ``print`` shows the closing table."""

    net: InvariantTransformerNet
    record: LearnRecord
    history: tuple[LearnStep, ...]

    def __str__(self) -> str:
        return summary(self.record)


def learn(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    config: LearnConfig | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> LearnResult:
    """Learn transformations F(k1, k2) that a frozen classifier does not see.

    Args:
        classifier: What is studied; it is not changed. The work is done on its device.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N integers in [0, K).
        config: Settings; None takes the defaults.
        out: Folder for config.json, result.json, timing.json, history.jsonl, model.safetensors and
            figures/; new or empty, or that of an unfinished run with the same settings, which is then
            continued. None writes nothing.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in ``out``.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The net, the record of result.json, and one entry per step.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the loss stops being finite; names the last good state.
        Interrupted: On Ctrl-C with ``out``; names what was kept.

    Example:
        >>> result = itn.learn(clf, images, labels, itn.LearnConfig(parts=("space",)), out="runs/space")
        >>> result.record.spatial_displacement_at_corner
        0.12
    """
    config = config or LearnConfig()
    started, clock = datetime.now(UTC), time.perf_counter()
    check_images(images, classifier.channels)
    origin = provenance(classifier.device)
    settings = run_settings(LEARN, config, origin, classifier, images, labels, source)
    folder = None if out is None else RunFolder(out, settings, overwrite)
    classifier = classifier.running(config.precision, config.channels_last, config.compile)
    data = preflight(classifier, images, labels, config.batch_size)
    split = split_images(data, config)
    learned, calibration, held = split
    net = make_net(classifier, config, data.images.shape)
    with working(folder):
        ending = partial(explained, lambda: kept(folder), resumable=folder is not None)
        with ending():
            measures = None if calibration is None else yardsticks(net, learned, len(calibration), config)
            learner: Learner = (
                SwitchedLearner(net, learned, config)
                if measures is None
                else ConstrainedLearner([task(net, learned, measures, config)], config, measures.target)
            )
        seconds = {"preparation": time.perf_counter() - clock}
        history = [] if folder is None else resume(learner, folder)
        with ending():
            clock = time.perf_counter()
            train(learner, history, folder, progress)
            learner.finish()
            seconds["learning"] = time.perf_counter() - clock
            clock = time.perf_counter()
            proven = None
            if calibration is not None and measures is not None:
                proven = prove(net, learned, calibration, measures, config)
                seconds["calibration"] = time.perf_counter() - clock
                clock = time.perf_counter()
            record = measure(net, held, history, config, split.record(config.seed), origin, proven)
            seconds["evaluation"] = time.perf_counter() - clock
            if folder is not None:
                figures = partial(draw, net, held, history, record, classifier.class_name)
                timing = timing_record(started, seconds, learner)
                finish(folder, net.transformer_state(), figures, record.to_json(), timing)
    return LearnResult(net, record, tuple(history))


def make_net(
    classifier: Classifier, config: LearnConfig, shape: Sequence[int], start: int = 0
) -> InvariantTransformerNet:
    """Return an untrained net that a configuration describes, for images of shape N x C x H x W.

    Its weights depend on the seed of the configuration and on the number of the start.
    """
    return InvariantTransformerNet(classifier, *_transformers(config, shape, start)).to(classifier.device)


def _transformers(
    config: LearnConfig, shape: Sequence[int], start: int = 0
) -> tuple[ColorTransformer | None, SpatialTransformer | None]:
    _, channels, height, width = shape
    weights = generator(config.seed, f"weights {start}" if start else "weights")
    rectified = config.rectified
    color = space = None
    if "color" in config.parts:
        color = ColorTransformer(
            channels, config.hidden, config.color_bound, weights, rectified, config.color_family
        )
    if "space" in config.parts:
        aspect = width / height
        space = SpatialTransformer(
            config.family, config.hidden, config.spatial_bound, config.padding, aspect, weights, rectified
        )
    return color, space


def task(
    net: InvariantTransformerNet,
    learned: CheckedImages,
    measures: Yardsticks,
    config: LearnConfig,
    starts: int = STARTS,
) -> Task:
    """Return what is to be learned, from a net and others like it with other weights.

    If all its directions are known beforehand, one start will do.
    """
    others = range(1, 1 if all(net.single(part) for part in net.parts) else starts)
    return Task(
        net,
        [net, *(make_net(classifier_of(net), config, learned.images.shape, start) for start in others)],
        learned,
        measures.references,
        {part for part in measures.bounded if getattr(net, part).family == "affine"},
        {part: _aims(net, part, measures) for part in net.parts},
    )


def _aims(net: InvariantTransformerNet, part: str, measures: Yardsticks) -> Tensor:
    """Return pairs of promising parameters; none where several are not the entries of the matrix."""
    if net.single(part):
        return torch.tensor(measures.ranges[part])[None, :, None]
    found = measures.pairs(part)
    return found if getattr(net, part).family == "affine" else found[:0]


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


def load_net(folder: str | Path, classifier: Classifier, label: int | None = None) -> InvariantTransformerNet:
    """Return the net that a finished run has learned.

    Args:
        folder: The run's output folder.
        classifier: What to put behind the transformers; usually the one that they were learned for.
        label: Whose family, if the run has learned one for each class.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``, or no family of that class.
    """
    return InvariantTransformerNet(classifier, *_learned(Path(folder), label)).to(classifier.device)


def load_augmentation(
    folder: str | Path, scale: float = 1.0, label: int | None = None
) -> LearnedAugmentation:
    """Return the family that a finished run has learned, as a random transform.

    Args:
        folder: The run's output folder.
        scale: Factor on k; 1 leaves the family as it was learned, or certified.
        label: Whose family, if the run has learned one for each class.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``, or no family of that class, or the scale
            is negative.
    """
    return LearnedAugmentation(*_learned(Path(folder), label), scale=scale)


def _learned(folder: Path, label: int | None) -> tuple[ColorTransformer | None, SpatialTransformer | None]:
    """Return the transformers of a finished run."""
    try:
        (folder / "result.json").stat()
        settings = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "model.safetensors")
        config = LearnConfig(**{**settings["config"], "parts": tuple(settings["config"]["parts"])})
        found = _families(state, settings["command"] == PER_CLASS)
        color, space = _transformers(config, settings["images"]["shape"])
        for own in found.values():
            InvariantTransformerNet(nn.Identity(), color, space).load_transformer_state(own)
    except Exception as error:  # whatever files say that something else has written
        raise ValueError(f"{folder} holds no finished run of itn learn ({error})") from error
    if label not in found:
        labels = ", ".join(str(known) for known in found if known is not None)
        cure = f"has a family for each class: give its label, one of {labels}" if labels else "has one family"
        raise ValueError(f"label {label}: {folder} {cure}")
    InvariantTransformerNet(nn.Identity(), color, space).load_transformer_state(found[label])
    return color, space


def _families(state: dict[str, Tensor], per_class: bool) -> dict[int | None, dict[str, Tensor]]:
    """Return the weights of each family by its label; None if one is for all classes."""
    if not per_class:
        return {None: state}
    found: dict[int | None, dict[str, Tensor]] = {}
    for name, weights in state.items():
        label, _, own = name.partition(".")
        found.setdefault(int(label), {})[own] = weights
    return dict(sorted(found.items(), key=lambda item: item[0] or 0))
