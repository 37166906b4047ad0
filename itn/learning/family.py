"""Learning one family F(k1, k2) for all images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itn.certification.calibration import CalibrationResult, calibrate_family
from itn.certification.family import classifier_of
from itn.certification.family_baselines import BaselineEstimates, estimate_all_baselines
from itn.learning.config import LearnConfig
from itn.learning.constrained.learner import STARTS, ConstrainedLearner, Task
from itn.learning.evaluate import measure
from itn.learning.figures import draw
from itn.learning.load import make_net
from itn.learning.records import LearnRecord, LearnStep
from itn.learning.run import Run
from itn.learning.summary import summary
from itn.learning.switched import SwitchedLearner
from itn.learning.trainer import Learner
from itn.models.classifier import Classifier
from itn.models.preflight import CheckedImages
from itn.nn.net import InvariantTransformerNet
from itn.plotting.style import Figures
from itn.runtime.run_dir import LEARN


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
        >>> result = itn.learn(clf, images, labels, itn.LearnConfig(parts=("spatial",)), out="runs/spatial")
        >>> result.record.spatial_displacement_at_corner
        0.12
    """
    run = Run(LEARN, classifier, images, labels, config or LearnConfig(), out, source, overwrite)
    family = _Family(run)
    record, history = run.learn(family, progress)
    return LearnResult(family.net, record, history)


class _Family:
    """The one family of a run; only a constrained objective proves how far it goes."""

    def __init__(self, run: Run) -> None:
        self.config = run.config
        self.learned, self.calibration, self.held = run.split
        self.net = make_net(run.classifier, run.config, self.held.images.shape)
        self.measures: BaselineEstimates | None = None
        self.proven: CalibrationResult | None = None

    def prepare(self) -> Learner:
        net, learned, config = self.net, self.learned, self.config
        if self.calibration is None:
            return SwitchedLearner(net, learned, config)
        self.measures = estimate_all_baselines(net, learned, len(self.calibration), config)
        return ConstrainedLearner([task(net, learned, self.measures, config)], config, self.measures.target)

    def calibrate(self) -> None:
        assert self.calibration is not None
        assert self.measures is not None
        self.proven = calibrate_family(self.net, self.learned, self.calibration, self.measures, self.config)

    def measure(
        self, history: Sequence[LearnStep], split: dict[str, Any], origin: dict[str, Any]
    ) -> LearnRecord:
        return measure(self.net, self.held, history, self.config, split, origin, self.proven)

    def weights(self) -> dict[str, Tensor]:
        return self.net.transformer_state()

    def figures(self, history: Sequence[LearnStep], record: LearnRecord) -> Figures:
        return draw(self.net, self.held, history, record, classifier_of(self.net).class_name)


def task(
    net: InvariantTransformerNet,
    learned: CheckedImages,
    measures: BaselineEstimates,
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


def _aims(net: InvariantTransformerNet, part: str, measures: BaselineEstimates) -> Tensor:
    """Return pairs of promising parameters; none where several are not the entries of the matrix."""
    if net.single(part):
        return torch.tensor(measures.ranges[part])[None, :, None]
    found = measures.pairs(part)
    return found if getattr(net, part).family == "affine" else found[:0]
