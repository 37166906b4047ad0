"""One family for each class, learned side by side: which classes allow what?

Learning holds each class to the same break rate. Calibration then scales all families by one factor, and what
it proves is that all images together keep to the tolerance, each transformed by the family of its class.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from itn.certification.baselines import BEYOND, baseline_record
from itn.certification.calibration import calibration_points
from itn.certification.criteria import Criterion, measure_of
from itn.certification.family_baselines import FamilyBaselines, estimate_family_baselines
from itn.certification.parametric import (
    EvaluationSet,
    ParametricTransform,
    displacements_full,
    parameters_full,
    rescale,
)
from itn.certification.records import CalibrationPoint, Certificate, SearchedAccuracy, certify
from itn.certification.search import WorstCase, estimate_scale_and_worst_k, search_worst_k
from itn.learning.config import LearnConfig
from itn.learning.evaluate import Response, respond
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem, Steps
from itn.learning.records import ClassesPart, ClassFamily, ClassPart, LearnStep, PerClassRecord
from itn.learning.run import PER_CLASS, Run
from itn.learning.split import Split
from itn.learning.summary import class_summary
from itn.models.classifier import Classifier
from itn.nn import CONTROLS, InvariantTransformerNet
from itn.stats import clopper_pearson, fixed_sequence_test, generator
from itn.stats.fixed_sequence import SEQUENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 20  # recognized training images that a class needs


@dataclasses.dataclass(frozen=True)
class PerClassResult:
    """What ``itn.learn_per_class`` returns; ``print`` shows the closing table."""

    nets: dict[int, InvariantTransformerNet]
    """By label."""
    record: PerClassRecord
    history: tuple[LearnStep, ...]

    def __str__(self) -> str:
        return class_summary(self.record)


class ClassProblem(NamedTuple):
    """A class with its family and its share of each part of the images."""

    label: int
    net: InvariantTransformerNet
    training: EvaluationSet
    calibration: EvaluationSet
    held_out: EvaluationSet
    baselines: FamilyBaselines


class ClassOutcome(NamedTuple):
    """What the held-out images of one class say of its family."""

    uniform: Response
    worst: WorstCase


def learn_per_class(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    config: LearnConfig | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> PerClassResult:
    """Learn for each class the family of transformations that a frozen classifier is invariant to.

    The families of all classes are learned in the same forward passes, and calibrated together.

    Args:
        classifier: The classifier under study; it is not changed. The work is done on its device.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N integers in [0, K); at least 20 images of each class are needed to learn from.
        config: Settings; None takes the defaults. The objective is the constrained one.
        out: Folder as that of ``learn``. model.safetensors holds the weights of all families, under names
            that begin with the class's number.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in ``out``.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        A net for each class, the record of result.json, and one entry per step, the mean over classes.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the loss stops being finite; names the last good state.
        Interrupted: On Ctrl-C with ``out``; names what was kept.
    """
    config = config or LearnConfig()
    if not (config.goal.side_by_side and config.goal.certifies):
        raise ValueError(f"families of classes need the constrained objective, got {config.goal}")
    run = Run(
        PER_CLASS,
        config.backend(classifier),
        images,
        labels,
        config,
        out,
        source=source,
        overwrite=overwrite,
    )
    families = _ClassFamilies(run)
    record, history = run.learn(families, progress)
    return PerClassResult({known.label: known.net for known in families.classes}, record, history)


class _ClassFamilies:
    """The families of a run, one for each class that has images."""

    def __init__(self, run: Run) -> None:
        _check_counts(run.split, run.classifier, run.config.asks)
        self.config, self.classifier = run.config, run.classifier
        assert run.split.calibration is not None
        parts = (run.split.training, run.split.calibration, run.split.held_out)
        self.parts = [run.evaluation_set(data) for data in parts]
        self.classes: list[ClassProblem] = []
        self.scale = 0.0
        self.points: tuple[CalibrationPoint, ...] = ()

    def prepare(self) -> Steps:
        config = self.config
        all_training, all_calibration, _ = self.parts
        for label in all_training.data.labels.unique().tolist():
            training, calibration, held_out = (_of_class(images, label) for images in self.parts)
            net = make_net(self.classifier, config, training.data.images.shape)
            # The tolerance is proven for all classes together
            baselines = estimate_family_baselines(net, training, len(all_calibration.data), config.terms)
            self.classes.append(ClassProblem(label, net, training, calibration, held_out, baselines))
        problems = [LearnProblem.of(c.net, c.training, c.baselines) for c in self.classes]
        return config.goal.learner(problems, config)

    def calibrate(self) -> None:
        """Choose one factor on the scales that are estimated for each class, and give it to all families."""
        worst_ks = []
        for c in self.classes:
            scale, worst_k = estimate_scale_and_worst_k(
                ParametricTransform.of_net(c.net), c.training, c.baselines.target
            )
            rescale(c.net, scale)
            worst_ks.append(worst_k)

        def broken_at(scale: float) -> Tensor:
            of_classes = []
            for c, worst_k in zip(self.classes, worst_ks, strict=True):
                of_classes.append(c.calibration.broken_at(ParametricTransform.of_net(c.net), scale, worst_k))
            return torch.cat(of_classes, 1)

        terms = self.config.terms
        test = fixed_sequence_test(broken_at, SEQUENCE, terms.tolerance, terms.confidence, BEYOND)
        images = [len(c.calibration.data) for c in self.classes]
        self.points = calibration_points(
            test, [self._mean_displacements(images, scale) for scale in test.scales]
        )
        self.scale = test.scale
        for c in self.classes:
            rescale(c.net, test.scale)

    def evaluate(
        self, history: Sequence[LearnStep], split: dict[str, Any], provenance: dict[str, Any]
    ) -> PerClassRecord:
        outcomes = self._outcomes()
        certificate = self._certificate(outcomes)
        full = self._mean_displacements([len(c.held_out.data) for c in self.classes])
        return PerClassRecord(
            objective=str(self.config.goal),
            criterion=str(self.config.asks),
            tolerance=self.config.goal.tolerance,
            clean_accuracy=certificate.clean_accuracy,
            accuracy_uniform=certificate.uniform.accuracy,
            accuracy_full=certificate.full.accuracy,
            parts={part: _classes_part(part, outcomes, displacement) for part, displacement in full.items()},
            certificate=certificate,
            calibration=self.points,
            classes=tuple(
                _class_record(c, outcome, self.classifier.class_name(c.label), self.config.confidence)
                for c, outcome in zip(self.classes, outcomes, strict=True)
            ),
            split=split,
            provenance=provenance | {"seed": self.config.seed},
        )

    def weights(self) -> dict[str, Tensor]:
        return {
            f"{c.label}.{name}": value
            for c in self.classes
            for name, value in c.net.transformer_state().items()
        }

    def figures(self, history: Sequence[LearnStep], record: PerClassRecord) -> "Mapping[str, Figure]":
        from itn.learning.figures import draw_classes  # noqa: PLC0415  # slow to import

        examples = {c.label: (c.net, c.held_out.data.images[:1]) for c in self.classes}
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
        for c in self.classes:
            ks = torch.rand(len(c.net.controls), len(c.held_out.data), CONTROLS, generator=randomness)
            uniform = respond(c.net, c.held_out, c.net.of_parts(ks.unbind()))
            worst = search_worst_k(c.held_out, ParametricTransform.of_net(c.net), 1.0)
            outcomes.append(ClassOutcome(uniform, worst))
        return outcomes

    def _certificate(self, outcomes: Sequence[ClassOutcome]) -> Certificate:
        """Certify all classes together, each at its own worst k."""
        right, right_full, right_everywhere = (
            torch.cat([getattr(outcome.worst, name) for outcome in outcomes])
            for name in ("right", "right_full", "right_everywhere")
        )
        return certify(
            torch.cat([c.held_out.held for c in self.classes]),
            torch.cat([outcome.uniform.right for outcome in outcomes]),
            WorstCase(torch.zeros(1, 0), right, right_full, right_everywhere),
            self.scale,
            self.config.goal.tolerance,
            self.config.confidence,
            " and each image under the family of its class",
            measure_of(str(self.config.asks)),
        )


def _check_counts(split: Split, classifier: Classifier, criterion: Criterion) -> None:
    """Raise ValueError if a class has too few recognized training images, or no other ones."""
    recognized = split.training.labels[criterion.held(split.training.reference)]
    assert split.calibration is not None
    labels = torch.cat([split.training.labels, split.calibration.labels, split.held_out.labels])
    for label in labels.unique().tolist():
        others = min(int((part.labels == label).sum()) for part in (split.calibration, split.held_out))
        if (n := int((recognized == label).sum())) < FEWEST or not others:
            raise ValueError(
                f"class {classifier.class_name(label)} has {n} recognized training images and {others} for "
                f"calibration or certification, a family of its own needs at least {FEWEST} of the former "
                "and 1 of the latter: give more images, or learn one family for all classes"
            )


def _of_class(images: EvaluationSet, label: int) -> EvaluationSet:
    return images.part((images.data.labels == label).nonzero().flatten())


def _classes_part(part: str, outcomes: Sequence[ClassOutcome], displacement_full: float) -> ClassesPart:
    """Return the record of one part, mean over the images of all classes."""

    def mean(values: list[Tensor]) -> float:
        return torch.cat([value.double() for value in values]).mean().item()

    shifts = [outcome.uniform.rms_shift[part] for outcome in outcomes if part in outcome.uniform.rms_shift]
    return ClassesPart(
        displacement_uniform=mean([outcome.uniform.displacement[part] for outcome in outcomes]),
        displacement_full=displacement_full,
        rms_shift_uniform=mean(shifts) if shifts else None,
    )


def _class_record(c: ClassProblem, outcome: ClassOutcome, name: str, confidence: float) -> ClassFamily:
    """Return the record of one class."""
    clean, worst, n = c.held_out.held, outcome.worst, len(c.held_out.data)
    broken_count = int((clean & ~worst.right_full).sum())
    shape = c.held_out.data.images.shape
    displacements = displacements_full(c.net, shape)
    matrices = {
        name: c.net.part(name).details(p, c.net.part(name).frame(shape)).get("matrix_full")
        for name, p in parameters_full(c.net).items()
    }
    return ClassFamily(
        label=c.label,
        name=name,
        images=n,
        clean_accuracy=int(clean.sum()) / n,
        accuracy_uniform=int(outcome.uniform.right.sum()) / n,
        accuracy_full=int(worst.right_full.sum()) / n,
        searched=SearchedAccuracy.of(worst),
        break_rate_full=broken_count / n,
        # An end of a two-sided interval holds with half of what that may miss
        break_rate_upper_bound=clopper_pearson(broken_count, n, 2 * confidence - 1)[1],
        parts={part: ClassPart(displacements[part], matrices[part]) for part in c.net.parts},
        baselines={
            part: tuple(map(baseline_record, estimates)) for part, estimates in c.baselines.estimates.items()
        },
    )
