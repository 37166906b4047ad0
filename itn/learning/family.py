"""Learning one family F(k1, k2) for all images."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from itn.certification.calibration import CalibrationResult, calibrate_family, sequence_outcomes
from itn.certification.family_baselines import FamilyBaselines, estimate_family_baselines
from itn.certification.rivals import Comparison, compare_with_rivals
from itn.data.loading import ImageSet
from itn.learning.config import LearnConfig
from itn.learning.evaluate import Certified, evaluate
from itn.learning.examples import LearnExamples, learn_examples, read_examples
from itn.learning.load import make_net, read_results
from itn.learning.objective import LearnProblem, Steps
from itn.learning.records import LearnRecord, LearnStep
from itn.learning.results import LearnResult
from itn.learning.run import LEARN, Run
from itn.learning.softening import Softening, choose_interpolation
from itn.models.classifier import as_classifier
from itn.reports.kinds import leave_report
from itn.runtime.config_file import settings_of
from itn.runtime.run_files import FigureFormat
from itn.runtime.validation import config_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learn(
    classifier: nn.Module,
    images: Tensor | ImageSet,
    labels: Tensor | None = None,
    config: LearnConfig | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    overwrite: bool = False,
    figure_format: FigureFormat = "png",
    progress: bool | None = None,
) -> LearnResult:
    """Learn the family of transformations F(k1, k2) that a frozen classifier is invariant to.

    Args:
        classifier: The classifier under study; it is not changed. The work is done on its device. Another
            module is taken to expect images in [0, 1], with a warning.
        images: N x C x H x W, uint8 or float in [0, 1]; or an ``ImageSet``, with what its photographs show
            around these.
        labels: N integers in [0, K); None: those of the ``ImageSet``; the criterion agreement needs none.
        config: Settings, or a mapping with some of them; None takes the defaults.
        out: Folder for config.json, result.json, timing.json, history.jsonl, model.safetensors,
            outcomes.npz, examples.json, figures/ and report.html; new or empty, or that of a run with the
            same settings: an unfinished one is continued, of a finished one the result is returned. None
            writes nothing.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in ``out``.
        figure_format: Of the figures: png, pdf or svg.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The net, the record of result.json, and one entry per step.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the loss stops being finite; names the last good state.
        Interrupted: On Ctrl-C with ``out``; names what was kept.

    Example:
        >>> result = itn.learn(clf, images, labels, itn.LearnConfig(parts=("spatial",)), out="runs/spatial")
        >>> result.record.parts["spatial"].displacement_full
        0.12
    """
    config = config_of(LearnConfig, config)
    run = Run(
        LEARN,
        config.backend(as_classifier(classifier)),
        images,
        labels,
        config,
        out,
        source=source,
        overwrite=overwrite,
        figure_format=figure_format,
    )
    if run.finished is not None:
        content, history, families = read_results(run.finished)
        config = dataclasses.replace(config, interpolation=content["interpolation"])
        net = make_net(run.classifier, config, run.data.images.shape, families[None])
        leave_report(run.finished)
        examples = read_examples(run.finished)
        return LearnResult(net, LearnRecord.from_json(content), history, examples, settings_of(run.finished))
    family = _Family(run)
    record, history, examples = run.learn(family, progress)
    return LearnResult(family.net, record, history, examples, run.settings)


class _Family:
    """The one family of a run; only a constrained objective certifies how far it goes."""

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.config
        self.training, self.held_out = map(run.evaluation_set, run.split)
        self.net = make_net(run.classifier, run.config, self.held_out.data.images.shape)
        self.softening: Softening | None = None
        self.baselines: FamilyBaselines | None = None
        self.calibrated: CalibrationResult | None = None
        self.comparison: Comparison | None = None

    def prepare(self) -> Steps:
        net, training, config = self.net, self.training, self.config
        if config.chooses_interpolation:
            self.softening = choose_interpolation([net], training, config.goal.tolerance)
        if config.goal.certifies:
            test = config.terms.test(len(self.held_out.data), config.asks)
            self.baselines = estimate_family_baselines(net, training, test)
        return config.goal.learner([LearnProblem.of(net, training, self.baselines)], config)

    def calibrate(self) -> None:
        assert self.baselines is not None
        self.calibrated = calibrate_family(
            self.net,
            self.training,
            self.held_out,
            self.baselines,
            self.config.goal.members,
        )

    def compare(self) -> None:
        assert self.baselines is not None
        assert self.calibrated is not None
        self.comparison = compare_with_rivals(
            self.net, self.training, self.held_out, self.baselines, self.calibrated, self.config.terms
        )

    def evaluate(
        self, history: Sequence[LearnStep], split: dict[str, Any], provenance: dict[str, Any]
    ) -> LearnRecord:
        certified = None
        if self.calibrated is not None and self.comparison is not None:
            certified = Certified(self.calibrated, self.comparison)
        record = evaluate(self.net, self.held_out, history, self.config, split, provenance, certified)
        return dataclasses.replace(record, softening=self.softening)

    def weights(self) -> dict[str, Tensor]:
        return self.net.transformer_state()

    def outcomes(self) -> dict[str, NDArray[Any]]:
        if self.calibrated is None or self.comparison is None:
            return {}
        sequence = sequence_outcomes(self.calibrated.sequence, self.calibrated.points)
        return {"index": self.run.held_out_index.numpy(), **sequence, **self.comparison.outcomes()}

    def examples(self) -> LearnExamples:
        data = self.held_out.data
        name = self.held_out.classifier.class_name
        return learn_examples([(self.net, data)], name, [torch.arange(len(data))], self.config.batch_size)

    def figures(self, history: Sequence[LearnStep], record: LearnRecord) -> "Mapping[str, Figure]":
        from itn.learning.figures import draw  # noqa: PLC0415  # slow to import

        losses = self.config.goal.figure(history)
        return draw(self.net, self.held_out.data, losses, record, self.held_out.classifier.class_name)
