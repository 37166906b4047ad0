"""One family for each class, learned side by side: which classes allow what?

Learning holds each class to the same share of lost images. Calibration then grows all families by one factor,
and what it proves is that all images together keep to the tolerance, each moved by the family of its class.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from itn.certification.baselines import BEYOND, baseline_record
from itn.certification.calibration import calibration_points
from itn.certification.family import displacements_full, mover, rescale
from itn.certification.family_baselines import BaselineEstimates, estimate_all_baselines
from itn.certification.parametric import lost
from itn.certification.records import CalibrationPoint, Certificate, certificate_of
from itn.certification.scale_search import estimate_scale_and_worst_k
from itn.certification.worst_k import WorstCase, worst_case
from itn.learning import class_plots, plots
from itn.learning.class_records import ClassFamily, PerClassRecord
from itn.learning.config import LearnConfig
from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.evaluate import Response, by_name, respond
from itn.learning.family import task
from itn.learning.figures import STRIP_ROWS, STRIP_TS, strips
from itn.learning.load import make_net
from itn.learning.records import LearnStep
from itn.learning.run import Run
from itn.learning.split import Split
from itn.learning.summary import class_summary
from itn.learning.trainer import Learner
from itn.models.classifier import Classifier
from itn.models.preflight import CheckedImages
from itn.nn.control_head import CONTROLS
from itn.nn.net import InvariantTransformerNet
from itn.plotting.style import Figures
from itn.runtime.run_dir import PER_CLASS
from itn.stats.fixed_sequence import SEQUENCE, fixed_sequence_test
from itn.stats.intervals import clopper_pearson
from itn.stats.sampling import generator

STARTS = 8  # for each class
LEAST = 20  # images of a class to learn from


@dataclasses.dataclass(frozen=True)
class PerClassResult:
    """What ``itn.learn_per_class`` returns; ``print`` shows the closing table."""

    nets: dict[int, InvariantTransformerNet]
    """By label."""
    record: PerClassRecord
    history: tuple[LearnStep, ...]

    def __str__(self) -> str:
        return class_summary(self.record)


class _Class(NamedTuple):
    """A class with its family and its share of each part of the images."""

    label: int
    net: InvariantTransformerNet
    learned: CheckedImages
    calibration: CheckedImages
    held: CheckedImages
    measures: BaselineEstimates


class _Found(NamedTuple):
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
    """Learn for each class the transformations that a frozen classifier does not see in its images.

    The families of all classes are learned in the same forward passes, and calibrated together.

    Args:
        classifier: What is studied; it is not changed. The work is done on its device.
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
    if config.objective != "constrained":
        raise ValueError(f"families of classes need the constrained objective, got {config.objective}")
    run = Run(PER_CLASS, classifier, images, labels, config, out, source, overwrite)
    families = _ClassFamilies(run)
    record, history = run.learn(families, progress)
    return PerClassResult({each.label: each.net for each in families.classes}, record, history)


class _ClassFamilies:
    """The families of a run, one for each class that has images."""

    def __init__(self, run: Run) -> None:
        _check_counts(run.split, run.classifier)
        self.config, self.classifier, self.split = run.config, run.classifier, run.split
        self.classes: list[_Class] = []
        self.scale = 0.0
        self.calibration: tuple[CalibrationPoint, ...] = ()

    def prepare(self) -> Learner:
        config = self.config
        whole, calibration, held = self.split
        assert calibration is not None
        for label in whole.labels.unique().tolist():
            learned = _of_class(whole, label)
            net = make_net(self.classifier, config, learned.images.shape)
            # The tolerance is proven for all classes together
            measures = estimate_all_baselines(net, learned, len(calibration), config)
            others = _of_class(calibration, label), _of_class(held, label)
            self.classes.append(_Class(label, net, learned, *others, measures))
        tasks = [task(each.net, each.learned, each.measures, config, STARTS) for each in self.classes]
        return ConstrainedLearner(tasks, config, self.classes[0].measures.target)

    def calibrate(self) -> None:
        """Choose one factor on what is estimated for each class, and give it to all families."""
        batch, ways = self.config.batch_size, []
        for each in self.classes:
            estimate, worst = estimate_scale_and_worst_k(each.net, each.learned, each.measures.target, batch)
            rescale(each.net, estimate)
            ways.append((each, mover(each.net), worst))

        def lost_at(scale: float) -> Tensor:
            gone = [
                [
                    lost(self.classifier, each.calibration, family, scale * k, batch)
                    for k in (family.corner, worst)
                ]
                for each, family, worst in ways
            ]
            return torch.cat([torch.stack(of_class) for of_class in gone], 1)

        found = fixed_sequence_test(lost_at, SEQUENCE, self.config.tolerated, self.config.confidence, BEYOND)
        images = [len(each.calibration) for each in self.classes]
        self.calibration = calibration_points(
            found, [self._at_corners(images, scale) for scale in found.scales]
        )
        self.scale = found.scale
        for each in self.classes:
            rescale(each.net, found.scale)

    def measure(
        self, history: Sequence[LearnStep], split: dict[str, Any], origin: dict[str, Any]
    ) -> PerClassRecord:
        found = self._look()
        certificate = self._certificate(found)
        cornered = self._at_corners([len(each.held) for each in self.classes])
        return PerClassRecord(
            objective=self.config.objective,
            tolerance=self.config.tolerated,
            clean_accuracy=certificate.clean_accuracy,
            accuracy=certificate.accuracy,
            accuracy_at_corner=certificate.corner_accuracy,
            color_displacement=_mean([each.uniform.color for each in found]),
            color_displacement_at_corner=cornered.get("color"),
            spatial_displacement=_mean([each.uniform.spatial for each in found]),
            spatial_displacement_at_corner=cornered.get("spatial"),
            spatial_rms_displacement=_mean([each.uniform.rms for each in found]),
            certificate=certificate,
            calibration=self.calibration,
            classes=tuple(
                _family(each, its, self.classifier.class_name(each.label), self.config.confidence)
                for each, its in zip(self.classes, found, strict=True)
            ),
            split=split,
            provenance=origin | {"seed": self.config.seed},
        )

    def weights(self) -> dict[str, Tensor]:
        return {
            f"{each.label}.{name}": value
            for each in self.classes
            for name, value in each.net.transformer_state().items()
        }

    def figures(self, history: Sequence[LearnStep], record: PerClassRecord) -> Figures:
        """Draw them; the images shown are the first held-out ones of some classes."""
        chosen = self.classes[:: -(-len(self.classes) // STRIP_ROWS)]
        shown = [strips(each.net, each.held.images[:1], STRIP_TS) for each in chosen]
        pictures, predictions = (
            {part: torch.cat([each[i][part] for each in shown]) for part in chosen[0].net.parts}
            for i in (0, 1)
        )
        labels = torch.tensor([each.label for each in chosen])
        name = self.classifier.class_name
        return {
            "families": class_plots.families(record),
            "allowed": class_plots.allowed(record),
            "classes": plots.class_strips(pictures, predictions, labels, name, STRIP_TS),
            "losses": plots.constrained_curves(history, record.tolerance),
        }

    def _at_corners(self, images: Sequence[int], scale: float = 1.0) -> dict[str, float]:
        """Return the displacement of each part at scaled corners, mean over so many images of each class."""
        moved = [displacements_full(each.net, scale) for each in self.classes]
        return {part: float(np.average([each[part] for each in moved], weights=images)) for part in moved[0]}

    def _look(self) -> list[_Found]:
        """Classify the held-out images of each class at uniform k, and where its family is worst."""
        randomness = generator(self.config.seed, "evaluation")
        found = []
        for each in self.classes:
            k1, k2 = torch.rand(2, len(each.held), CONTROLS, generator=randomness)
            uniform = respond(each.net, each.held, k1, k2, self.config.batch_size)
            worst = worst_case(self.classifier, each.held, mover(each.net), 1.0, self.config.batch_size)
            found.append(_Found(uniform, worst))
        return found

    def _certificate(self, found: Sequence[_Found]) -> Certificate:
        """Certify all classes together, each at its own worst k."""
        right, cornered, everywhere = (
            torch.cat([getattr(each.worst, name) for each in found])
            for name in ("right", "right_at_corner", "right_everywhere")
        )
        return certificate_of(
            torch.cat([each.held.clean for each in self.classes]),
            torch.cat([each.uniform.correct for each in found]),
            WorstCase(torch.zeros(1, 0), right, cornered, everywhere),
            self.scale,
            self.config.tolerated,
            self.config.confidence,
        )


def _check_counts(split: Split, classifier: Classifier) -> None:
    """Raise ValueError if a class has too few images to learn from that are recognised, or none elsewhere."""
    right = split.learned.labels[split.learned.clean]
    assert split.calibration is not None
    whole = (split.learned, split.calibration, split.held)
    for label in torch.cat([part.labels for part in whole]).unique().tolist():
        least = min(int((part.labels == label).sum()) for part in (split.calibration, split.held))
        if (n := int((right == label).sum())) < LEAST or not least:
            raise ValueError(
                f"class {classifier.class_name(label)} has {n} recognised images to learn from and {least} "
                f"to calibrate or certify with, a family of its own needs {LEAST} and some: give more "
                "images, or learn one family for all classes"
            )


def _of_class(data: CheckedImages, label: int) -> CheckedImages:
    return data.part((data.labels == label).nonzero().flatten())


def _family(each: _Class, found: _Found, name: str, confidence: float) -> ClassFamily:
    """Return the record of one class."""
    clean, n = each.held.clean, len(each.held)
    gone = int((clean & ~found.worst.right_at_corner).sum())
    cornered = displacements_full(each.net)
    corner = torch.ones(1, CONTROLS, device=next(each.net.parameters()).device)
    with torch.no_grad():
        color, spatial = each.net.matrices(corner, corner)
    axes = {
        part: tuple(map(baseline_record, own, each.measures.estimates[part]))
        for part, own in each.measures.axes.items()
    }
    return ClassFamily(
        label=each.label,
        name=name,
        images=n,
        clean_accuracy=int(clean.sum()) / n,
        accuracy=int(found.uniform.correct.sum()) / n,
        accuracy_at_corner=int(found.worst.right_at_corner.sum()) / n,
        worst_k=tuple(found.worst.k[0].tolist()),
        worst_k_accuracy=int(found.worst.right.sum()) / n,
        lost_at_corner=gone / n,
        # An end of a two-sided interval holds with half of what that may miss
        tolerance=clopper_pearson(gone, n, 2 * confidence - 1)[1],
        color_displacement_at_corner=cornered.get("color"),
        spatial_displacement_at_corner=cornered.get("spatial"),
        color_matrix_at_corner=None if color is None else color[0].tolist(),
        spatial_matrix_at_corner=None if spatial is None else spatial[0].tolist(),
        axes=by_name(axes),
    )


def _mean(values: list[Tensor | None]) -> float | None:
    known = [value.double() for value in values if value is not None]
    return torch.cat(known).mean().item() if known else None
