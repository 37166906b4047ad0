"""The families of all restarts, as stacked weights of their control heads."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from itn.learning.constrained.controls import VERTICES
from itn.learning.constrained.problem import FamilyProblem
from itn.nn import CONTROLS, ControlHead


class StackedFamilies:
    """The families of all restarts of all problems, evaluated as one batch.

    A row is a restart; the rows of the first problem come first. Scale and direction of a row are separate:
    the last layer of a part is ``exp(log_scale) * units * output``, where ``output`` has a fixed norm and
    ``units`` estimates how far each parameter may go.

    Methods work on the remaining rows, except where rows are given.

    Args:
        problems: With the same parts and equally many restarts each.
        units: For each part, rows x P.
        surplus_weight: Weight of what a part gains beyond a baseline that reached its bound.
    """

    def __init__(
        self, problems: Sequence[FamilyProblem], units: Sequence[Tensor], surplus_weight: float
    ) -> None:
        self.net, self.units = problems[0].net, list(units)
        self.problems, restarts = len(problems), len(problems[0].restarts)
        parts, device = self.net.parts, self.units[0].device
        self.members, shape = self.net.members, problems[0].training.data.images.shape
        self.frames = [part.frame(shape) for part in self.members]
        self.references, self.discount = (  # rows x parts
            torch.tensor(values, device=device).repeat_interleave(restarts, 0)
            for values in (
                [[problem.references[part] for part in parts] for problem in problems],
                [
                    [(1 - surplus_weight) * (part in problem.bounded) for part in parts]
                    for problem in problems
                ],
            )
        )
        self.hidden, self.output = (  # for each part, rows x H x 2 and rows x P x H
            [
                torch.stack(
                    [
                        heads[number].get_parameter(name).detach()
                        for problem in problems
                        for heads in problem.restarts
                    ]
                )
                for number in range(len(parts))
            ]
            for name in ("hidden.weight", "output.weight")
        )
        self.output = [normalized(weights) for weights in self.output]
        self.remaining = torch.arange(len(problems) * restarts)
        """Rows that have not been pruned, on the CPU."""
        self.log_scale = self.references.new_zeros(len(self.remaining), len(parts))

    @property
    def weights(self) -> list[Tensor]:
        """All weights that gradients change."""
        return [*self.hidden, *self.output]

    @property
    def restarts(self) -> int:
        """Restarts of each problem that remain."""
        return len(self.remaining) // self.problems

    def head(self, number: int) -> ControlHead:
        """Return a head that stands for those of a part, given by its index in ``net.parts``."""
        return self.members[number].head

    def output_weights(self, number: int, log_scale: Tensor, rows: Tensor) -> Tensor:
        """Return the last layer of a part for given rows, rows x P x H."""
        units = self.units[number][rows, :, None]
        return log_scale[:, number, None, None].exp() * units * self.output[number][rows]

    def of_part(self, number: int, log_scale: Tensor, k: Tensor) -> Tensor:
        """Return the parameters of a part, rows x draws x P, for controls rows x draws x 2."""
        head = self.head(number)
        weights = {
            "hidden.weight": self.hidden[number][self.remaining],
            "output.weight": self.output_weights(number, log_scale, self.remaining),
        }
        parameters: Tensor = torch.vmap(lambda row, k: functional_call(head, row, (k,)))(weights, k)
        return parameters

    def parameters(self, log_scale: Tensor, ks: Sequence[Tensor]) -> list[Tensor]:
        """Return the parameters of each part, rows x draws x P, for its controls, rows or 1 x draws x 2."""
        return [
            self.of_part(number, log_scale, k.expand(len(log_scale), -1, -1)) for number, k in enumerate(ks)
        ]

    def parameters_at(self, log_scale: Tensor, ks: Tensor) -> list[Tensor]:
        """Return the parameters of each part, rows x 1 x P, at controls of each row, rows x ks x 2."""
        return self.parameters(log_scale, self.net.of_parts(list(ks[:, :, None].unbind(1))))

    @torch.no_grad()
    def full_strength(self, log_scale: Tensor) -> list[Tensor]:
        """Return the parameters at full strength, rows x 1 x P."""
        return self.parameters(log_scale, [log_scale.new_ones(1, CONTROLS)] * len(self.members))

    def ratios(self, parameters: Sequence[Tensor]) -> Tensor:
        """Return displacements divided by their references, rows x draws x parts."""
        displacements = [
            part.displacement(p.flatten(0, 1), frame).view(p.shape[:2])
            for part, frame, p in zip(self.members, self.frames, parameters, strict=True)
        ]
        return torch.stack(displacements, -1) / self.references[self.remaining, None]

    def log_displacement(self, parameters: Sequence[Tensor]) -> Tensor:
        """Return the log of the geometric mean of the ratios, less the discount on surplus, rows x draws."""
        ratios = self.ratios(parameters) + 1e-9
        surplus = ratios.clamp_min(1).log() * self.discount[self.remaining, None]
        return (ratios.log() - surplus).mean(-1)

    def directions(self, log_scale: Tensor, least_arm: float) -> tuple[Tensor, Tensor]:
        """Return how both entries of k work together, rows each.

        Args:
            log_scale: rows x parts.
            least_arm: Displacement that an entry by itself should reach, as a fraction of full strength.

        Returns:
            How much both push along the same line, the sum of squares of cosines, and the log displacement
            that they lack, at most 0.
        """
        aligned, lacking = log_scale.new_zeros(2, len(log_scale)).unbind()
        controls = VERTICES.to(log_scale).expand(len(log_scale), -1, -1)
        for number, weights in enumerate(self.output):
            if weights.shape[1] > 1:  # a single parameter has only one direction
                p = self.of_part(number, log_scale, controls)
                aligned = aligned + torch.cosine_similarity(p[:, 0], p[:, 1], dim=-1).square()
                part, frame = self.members[number], self.frames[number]
                logs = (part.displacement(p.flatten(0, 1), frame).view(p.shape[:2]) + 1e-9).log()
                arms = logs[:, :2] - logs[:, 2:] - math.log(least_arm)
                lacking = lacking + arms.clamp_max(0).sum(1)
        return aligned, lacking


def normalized(weights: Tensor) -> Tensor:
    """Return weights, rows x P x H, with a root mean square of 1/2 in each row."""
    return 0.5 * weights / weights.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-9)
