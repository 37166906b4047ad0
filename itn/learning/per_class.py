"""One family for each class, learned side by side: which classes allow what?

Learning holds each class to the same drop. Calibration then scales all families by one factor, and what
it proves is that all images together keep to the tolerance, each transformed by the family of its class.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from itn.certification.calibration import calibration_points, sequence_outcomes
from itn.certification.family_baselines import estimate_family_baselines
from itn.certification.members import Choice, choose_family
from itn.certification.parametric import (
    EvaluationSet,
    ParametricTransform,
    displacements_full,
    rescale,
)
from itn.certification.records import (
    CalibrationPoint,
    Certificate,
    Measured,
    certify,
)
from itn.certification.search import search_worst_k
from itn.data.loading import ImageSet
from itn.learning.class_records import (
    ClassOutcome,
    ClassProblem,
    check_counts,
    class_record,
    classes_part,
    joined,
)
from itn.learning.config import LearnConfig
from itn.learning.evaluate import change_shares, respond, sampling_of
from itn.learning.examples import LearnExamples, learn_examples, read_examples
from itn.learning.load import make_net, read_results
from itn.learning.objective import LearnProblem, Steps
from itn.learning.records import LearnStep, PerClassRecord
from itn.learning.results import PerClassResult
from itn.learning.run import PER_CLASS, Run
from itn.learning.softening import Softening, choose_interpolation
from itn.models.classifier import as_classifier
from itn.nn import CONTROLS
from itn.reports.kinds import leave_report
from itn.runtime.config_file import settings_of
from itn.runtime.run_files import FigureFormat
from itn.runtime.validation import config_of
from itn.stats import FixedSequence, fixed_sequence_test, generator
from itn.stats.fixed_sequence import SECOND, SEQUENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learn_per_class(
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
) -> PerClassResult:
    """Learn for each class the family of transformations that a frozen classifier is invariant to.

    The families of all classes are learned in the same forward passes, and calibrated together.

    Args:
        classifier: As that of ``learn``.
        images: As those of ``learn``.
        labels: Likewise; at least 20 images of each class are needed to learn from.
        config: As for ``learn``. The objective is the constrained one.
        out: As for ``learn``; names in model.safetensors begin with the number of the class.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in ``out``.
        figure_format: Of the figures: png, pdf or svg.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        A net for each class, the record of result.json, and one entry per step, the mean over classes.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the loss stops being finite; names the last good state.
        Interrupted: On Ctrl-C with ``out``; names what was kept.
    """
    config = config_of(LearnConfig, config)
    if not (config.goal.side_by_side and config.goal.certifies):
        raise ValueError(f"families of classes need the constrained objective, got {config.goal}")
    run = Run(
        PER_CLASS,
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
        content, history, learned = read_results(run.finished)
        shape = run.data.images.shape
        config = dataclasses.replace(config, interpolation=content["interpolation"])
        nets = {label: make_net(run.classifier, config, shape, state) for label, state in learned.items()}
        leave_report(run.finished)
        examples = read_examples(run.finished)
        record = PerClassRecord.from_json(content)
        return PerClassResult(nets, record, history, examples, settings_of(run.finished))
    families = _ClassFamilies(run)
    record, history, examples = run.learn(families, progress)
    nets = {known.label: known.net for known in families.classes}
    return PerClassResult(nets, record, history, examples, run.settings)


class _ClassFamilies:
    """The families of a run, one for each class that has images."""

    def __init__(self, run: Run) -> None:
        check_counts(run.split, run.classifier, run.config.asks)
        self.run, self.config, self.classifier = run, run.config, run.classifier
        self.parts = [run.evaluation_set(data) for data in run.split]
        self.softening: Softening | None = None
        self.classes: list[ClassProblem] = []
        self.choices: list[Choice] = []
        self.sequence: FixedSequence | None = None
        self.points: tuple[CalibrationPoint, ...] = ()

    def prepare(self) -> Steps:
        config = self.config
        all_training, all_held_out = self.parts
        # The tolerance is proven for all classes together
        test = config.terms.test(len(all_held_out.data), config.asks)
        labels = all_training.data.labels.unique().tolist()
        nets = {label: make_net(self.classifier, config, all_training.data.images.shape) for label in labels}
        if config.chooses_interpolation:
            self.softening = choose_interpolation([*nets.values()], all_training, config.goal.tolerance)
        for label, net in nets.items():
            training, held_out = (_of_class(images, label) for images in self.parts)
            baselines = estimate_family_baselines(net, training, test)
            self.classes.append(ClassProblem(label, net, training, held_out, baselines))
        problems = [LearnProblem.of(c.net, c.training, c.baselines) for c in self.classes]
        return config.goal.learner(problems, config)

    def calibrate(self) -> None:
        """Choose one factor on the scales that are estimated for each class, and give it to all families."""
        for c in self.classes:
            choice = choose_family(c.net, c.training, c.baselines, self.config.goal.members)
            rescale(c.net, choice.scale)
            self.choices.append(choice)

        def changes_at(scale: float) -> Tensor:
            of_classes = []
            for c, choice in zip(self.classes, self.choices, strict=True):
                family = ParametricTransform.of_net(c.net)
                of_classes.append(c.held_out.changes_at(family, scale, choice.worst_k))
            return torch.cat(of_classes, 1)

        sequence = fixed_sequence_test(changes_at, SEQUENCE, self.classes[0].baselines.test, SECOND)
        images = [len(c.held_out.data) for c in self.classes]
        self.points = calibration_points(
            sequence, [self._mean_displacements(images, scale) for scale in sequence.scales]
        )
        self.sequence = sequence
        for c in self.classes:
            rescale(c.net, sequence.scale)

    def compare(self) -> None:
        """A class has too few images for curves of its own."""

    def evaluate(
        self, history: Sequence[LearnStep], split: dict[str, Any], provenance: dict[str, Any]
    ) -> PerClassRecord:
        outcomes = self._outcomes()
        measured = joined(outcomes)
        certificate = self._certificate(measured)
        full = self._mean_displacements([len(c.held_out.data) for c in self.classes])
        return PerClassRecord(
            objective=str(self.config.goal),
            criterion=str(self.config.asks),
            tolerance=self.config.goal.tolerance,
            topk=self.config.shown_topk,
            clean_accuracy=certificate.clean_accuracy,
            accuracy_uniform=certificate.uniform.accuracy,
            accuracy_full=certificate.full.accuracy,
            changes={
                "uniform": change_shares(measured.clean, measured.uniform),
                "full": change_shares(measured.clean, measured.full),
                "worst": change_shares(measured.clean, measured.worst),
            },
            parts={part: classes_part(part, outcomes, displacement) for part, displacement in full.items()},
            certificate=certificate,
            calibration=self.points,
            classes=tuple(
                class_record(
                    c,
                    outcome,
                    choice,
                    self.classifier.class_name(c.label),
                    self.config,
                    certificate.scale,
                )
                for c, outcome, choice in zip(self.classes, outcomes, self.choices, strict=True)
            ),
            split=split,
            provenance=provenance | {"seed": self.config.seed},
            surround=self.parts[-1].data.surround,
            interpolation=sampling_of(self.classes[0].net),
            softening=self.softening,
        )

    def weights(self) -> dict[str, Tensor]:
        return {
            f"{c.label}.{name}": value
            for c in self.classes
            for name, value in c.net.transformer_state().items()
        }

    def outcomes(self) -> dict[str, NDArray[Any]]:
        assert self.sequence is not None
        labels = self.parts[-1].data.labels
        order = torch.cat([(labels == c.label).nonzero().flatten() for c in self.classes])
        index = self.run.held_out_index[order]
        return {"index": index.numpy(), **sequence_outcomes(self.sequence, self.points)}

    def examples(self) -> LearnExamples:
        labels = self.parts[-1].data.labels
        groups = [(c.net, c.held_out.data) for c in self.classes]
        numbers = [(labels == c.label).nonzero().flatten() for c in self.classes]
        return learn_examples(groups, self.classifier.class_name, numbers, self.config.batch_size)

    def figures(self, history: Sequence[LearnStep], record: PerClassRecord) -> "Mapping[str, Figure]":
        from itn.learning.figures import draw_classes  # noqa: PLC0415  # slow to import

        examples = {c.label: (c.net, c.held_out.data.part(torch.arange(1))) for c in self.classes}
        losses = self.config.goal.figure(history)
        return draw_classes(examples, losses, record, self.classifier.class_name)

    def _mean_displacements(self, images: Sequence[int], scale: float = 1.0) -> dict[str, float]:
        """Return the displacement of each part at full strength, mean over so many images of each class."""
        of_classes = [displacements_full(c.net, c.training.data.images.shape, scale) for c in self.classes]
        return {
            part: float(np.average([of_class[part] for of_class in of_classes], weights=images))
            for part in of_classes[0]
        }

    def _outcomes(self) -> list[ClassOutcome]:
        """Classify the held-out images of each class at uniform k, and where its family is worst."""
        randomness = generator(self.config.seed, "evaluation")
        outcomes = []
        for c, choice in zip(self.classes, self.choices, strict=True):
            ks = torch.rand(len(c.net.controls), len(c.held_out.data), CONTROLS, generator=randomness)
            family = ParametricTransform.of_net(c.net)
            outcomes.append(
                ClassOutcome(
                    c.held_out.recognized(),
                    respond(c.net, c.held_out, c.net.of_parts(ks.unbind())),
                    c.held_out.outcomes(family, family.full_strength),
                    c.held_out.outcomes(family, choice.worst_k),
                    search_worst_k(c.held_out, family, 1.0),
                )
            )
        return outcomes

    def _certificate(self, measured: Measured) -> Certificate:
        """Certify all classes together, each at its own worst k."""
        assert self.sequence is not None
        return certify(
            measured,
            self.sequence,
            self.config.asks,
            self.config.confidence,
            None,
            " and each image under the family of its class",
        )


def _of_class(images: EvaluationSet, label: int) -> EvaluationSet:
    return images.part((images.data.labels == label).nonzero().flatten())
