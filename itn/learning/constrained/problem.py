"""Families to learn, with their restarts and what is known beforehand."""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet
from itn.learning.objective import LearnProblem
from itn.nn import ControlHead, InvariantTransformerNet
from itn.stats import generator


class FamilyProblem(NamedTuple):
    """A family to learn, its training images, and what is known beforehand."""

    net: InvariantTransformerNet
    """Receives the result."""
    restarts: Sequence[Sequence[ControlHead]]
    """Of each restart the heads of all parts: those of ``net`` and others with other weights."""
    training: EvaluationSet
    references: Mapping[str, float]
    """Displacement of each part that counts as 1."""
    bounded: Collection[str]
    """Parts whose reference is a baseline that reached its bound: gains beyond it count for less."""
    directions: Mapping[str, Tensor]
    """For each part, promising pairs of parameter vectors, m x 2 x P; m may be 0. For a part with a single
    parameter 1 x 2 x 1, the ends of its range, the longer one first."""

    @property
    def recognized(self) -> EvaluationSet:
        """The images for which the criterion holds unchanged; only these can become worse."""
        return self.training.part(self.training.held)


def family_problem(problem: LearnProblem, seed: int, restarts: int) -> FamilyProblem:
    """Return what is to be learned, with as many restarts.

    If all its directions are known beforehand, one restart will do.
    """
    net, baselines = problem.net, problem.baselines
    assert baselines is not None
    heads = [part.head for part in net.members]
    others = range(1, 1 if net.only_ranges else restarts)
    return FamilyProblem(
        net,
        [heads, *(_restart(heads, seed, number) for number in others)],
        problem.training,
        baselines.references,
        baselines.bounded,
        {
            name: torch.tensor(baselines.ranges[name])[None, :, None]
            if net.part(name).single
            else baselines.promising_pairs(name)
            for name in net.parts
        },
    )


def _restart(heads: Sequence[ControlHead], seed: int, restart: int) -> list[ControlHead]:
    others, weights = [copy.deepcopy(head) for head in heads], generator(seed, f"weights {restart}")
    for head in others:
        head.reset(weights)
    return others
