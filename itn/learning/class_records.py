"""What single classes do under their own families, and its records."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.baselines import baseline_record
from itn.certification.criteria import Criterion
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.members import Choice
from itn.certification.parametric import EvaluationSet, Outcomes, displacements_full, parameters_full
from itn.certification.records import PLANNED, ConditionRecord, Measured, SearchedRecord
from itn.certification.search import WorstCase
from itn.learning.config import LearnConfig
from itn.learning.evaluate import Response
from itn.learning.records import ClassesPart, ClassFamily, ClassPart
from itn.learning.split import Split
from itn.models.classifier import Classifier
from itn.nn import InvariantTransformerNet
from itn.runtime.wording import counted

FEWEST = 20  # recognized training images that a class needs


class ClassProblem(NamedTuple):
    """A class with its family and its share of each part of the images."""

    label: int
    net: InvariantTransformerNet
    training: EvaluationSet
    held_out: EvaluationSet
    baselines: FamilyBaselines


class ClassOutcome(NamedTuple):
    """What the held-out images of one class say of its family."""

    clean: Tensor
    """Whether each unchanged image is recognized, bool, N."""
    uniform: Response
    full: Outcomes
    worst: Outcomes
    searched: WorstCase


def joined(outcomes: Sequence[ClassOutcome]) -> Measured:
    """Return what became of the images of all classes."""
    searched = WorstCase(
        torch.zeros(1, 0),
        Outcomes.joined([outcome.searched.outcomes for outcome in outcomes]),
        torch.cat([outcome.searched.right_everywhere for outcome in outcomes]),
    )
    return Measured(
        torch.cat([outcome.clean for outcome in outcomes]),
        Outcomes.joined([outcome.uniform.outcomes for outcome in outcomes]),
        Outcomes.joined([outcome.full for outcome in outcomes]),
        Outcomes.joined([outcome.worst for outcome in outcomes]),
        searched,
    )


def classes_part(part: str, outcomes: Sequence[ClassOutcome], displacement_full: float) -> ClassesPart:
    """Return the record of one part, mean over the images of all classes."""

    def mean(values: list[Tensor]) -> float:
        return torch.cat([value.double() for value in values]).mean().item()

    shifts = [outcome.uniform.rms_shift[part] for outcome in outcomes if part in outcome.uniform.rms_shift]
    return ClassesPart(
        displacement_uniform=mean([outcome.uniform.displacement[part] for outcome in outcomes]),
        displacement_full=displacement_full,
        rms_shift_uniform=mean(shifts) if shifts else None,
    )


def class_record(
    c: ClassProblem, outcome: ClassOutcome, choice: Choice, name: str, config: LearnConfig, scale: float
) -> ClassFamily:
    """Return the record of one class."""
    n, shape = len(c.held_out.data), c.held_out.data.images.shape
    # One scale of several was chosen, for all classes; two conditions have two bounds each
    level = (1 - config.confidence) / (4 * PLANNED)

    proven = 1.0 if scale else 0.0  # at scale 0 nothing changes
    bounded = functools.partial(ConditionRecord.of, level=level, signed=config.asks.mends, proven=proven)
    displacements = displacements_full(c.net, shape)
    matrices = {
        name: c.net.part(name).details(p, c.net.part(name).frame(shape)).get("matrix_full")
        for name, p in parameters_full(c.net).items()
    }
    return ClassFamily(
        label=c.label,
        name=name,
        images=n,
        clean_accuracy=int(outcome.clean.sum()) / n,
        accuracy_uniform=int(outcome.uniform.outcomes.right.sum()) / n,
        full=bounded(outcome.full),
        worst=bounded(outcome.worst, k=tuple(choice.worst_k[0].tolist())),
        searched=SearchedRecord.of(outcome.searched),
        parts={
            part: ClassPart(displacements[part], matrices[part], choice.members.get(part))
            for part in c.net.parts
        },
        baselines={
            part: tuple(map(baseline_record, estimates)) for part, estimates in c.baselines.estimates.items()
        },
    )


def check_counts(split: Split, classifier: Classifier, criterion: Criterion) -> None:
    """Raise ValueError if a class has too few recognized training images, or no other ones."""
    able = split.training.labels[criterion.held(split.training.reference)]
    for label in torch.cat([split.training.labels, split.held_out.labels]).unique().tolist():
        others = int((split.held_out.labels == label).sum())
        if (n := int((able == label).sum())) < FEWEST or not others:
            raise ValueError(
                f"class {classifier.class_name(label)} has {counted(n, 'recognized training image')} and "
                f"{others} held out, a family of its own needs at least {FEWEST} of the former and 1 of the "
                "latter: give more images, or learn one family for all classes"
            )
