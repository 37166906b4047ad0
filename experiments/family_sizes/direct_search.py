"""The largest family without derivatives, against which learning is measured."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

import itn
from itn.nn import SingleTransformation

VULNERABLE = 1000  # images that decide: those closest to changing under single transformations
SECANTS = 3
SURPLUS = 0.1  # worth of what a part gains beyond a baseline at its bound, as in the constrained objective
SPREAD = 0.3  # of the first simplex, of the largest entry of a direction
STEEPNESS = (1.0, 8.0)  # least and largest power of the scale with which breaks grow


@dataclasses.dataclass(frozen=True)
class DirectSearch(itn.Objective):
    """The largest family that Nelder and Mead's simplex over directions finds.

    The value of a direction is that of the constrained objective at the scale at which the target breaks. In
    between, the family grows in proportion to the mean of k's entries.
    """

    steps: int = 3
    """Each step refines one start, the best first, of all single transformations and sums of two."""
    images: int = 3_000_000
    """Forward passes that all simplexes may take."""

    columns: ClassVar[tuple[str, ...]] = ("value",)

    def check(self, parts: Mapping[str, bool], hidden: int) -> None:
        """Raise ValueError if a part has a single parameter, and so no directions."""
        if any(parts.values()):
            raise ValueError("direct search is for parts with several parameters, such as affine ones")

    def learner(self, problems: Sequence[Any], config: itn.LearnConfig) -> "DirectSearchLearner":
        """Return what learns the family."""
        return DirectSearchLearner(*problems, config, self)


class DirectSearchLearner(itn.Learner):
    """Refines one start in each step, and keeps the best family."""

    def __init__(self, problem: Any, config: itn.LearnConfig, objective: DirectSearch) -> None:
        super().__init__(problem, config, objective)
        baselines, self.training_images = problem.baselines, len(self.data)
        self.data = self.data.part(problem.training.changeable)
        margins = torch.stack(
            [
                self._margins_alone(estimate.baseline, estimate.scale)
                for estimate in itertools.chain(*baselines.estimates.values())
            ]
        )
        # A margin of the other sign than that of the unchanged image is what counts
        turning = torch.where(self.criterion.held(self.data.reference).cpu(), -margins, margins)
        self.data = self.data.part(turning.amax(0).argsort(descending=True)[:VULNERABLE])
        self.units, starts, largest = [], [], []
        for part in self.net.parts:
            pairs = baselines.promising_pairs(part)
            self.units.append(pairs.abs().amax((0, 1)).clamp_min(0.1))
            starts.append(pairs.sum(1).numpy() / self.units[-1].numpy())
            alone = (pairs[:, 1] == 0).all(1)
            largest.append(starts[-1][int(alone.nonzero()[0])])
        # Every single transformation and sum of two of one part, beside the largest of the other part
        candidates = [
            np.concatenate([largest[i] if i != j else start for i in range(len(starts))])
            for j, of_part in enumerate(starts)
            for start in of_part
        ]
        self.starts = sorted(candidates, key=self.badness)[: objective.steps]
        self.calls = max(1, objective.images // (objective.steps * (SECANTS + 1) * len(self.data)))
        self.best, self.badness_of_best = torch.tensor(self.starts[0]), float("inf")

    def step(self, number: int) -> itn.LearnStep:
        """Refine a start; return the displacements of the best family so far, and the value of this one."""
        start = self.starts[number % len(self.starts)]
        simplex = np.vstack([start, start + SPREAD * np.abs(start).max() * np.eye(len(start))])
        options = {"maxfev": self.calls, "adaptive": True, "initial_simplex": simplex}
        found = minimize(self.badness, start, method="Nelder-Mead", options=options)
        if found.fun < self.badness_of_best:
            self.best, self.badness_of_best = torch.tensor(self.at_target(found.x)), float(found.fun)
        displacements = self.displacements(self.parameters_along(self.best.numpy()))
        of_best = {part: displacement.item() for part, displacement in displacements.items()}
        return itn.LearnStep(number, of_best, {"value": -float(found.fun)})

    def badness(self, direction: np.ndarray) -> float:
        """Return how bad a direction is: minus its value."""
        baselines = self.problem.baselines
        displacements = self.displacements(self.parameters_along(self.at_target(direction)))
        total = 0.0
        for part, displacement in displacements.items():
            ratio = np.log(displacement.item() / baselines.references[part] + 1e-9)
            total += ratio - (1 - SURPLUS) * max(ratio, 0) * (part in baselines.bounded)
        return -total / len(displacements)

    def at_target(self, direction: np.ndarray) -> np.ndarray:
        """Return a direction at the size at which about the target breaks."""
        scale, power, target = 1.0, 2.5, self.problem.baselines.target
        before = self.soft_drop(direction)
        for _ in range(SECANTS):
            next_scale = scale * float(np.clip((target / before) ** (1 / power), 0.5, 2))
            after = self.soft_drop(next_scale * direction)
            if next_scale != scale:
                power = float(np.clip(np.log(after / before) / np.log(next_scale / scale), *STEEPNESS))
            scale, before = next_scale, after
        return scale * float(np.clip((target / before) ** (1 / power), 0.8, 1.25)) * direction

    def soft_drop(self, direction: np.ndarray) -> float:
        """Return about the share of the training images that a direction loses, at least 0."""
        parameters = self.parameters_along(direction)

        def change(images: Tensor) -> Tensor:
            return self.net.render(images, [p.expand(len(images), -1) for p in parameters])

        held = self.criterion.held(self.data.reference).cpu()
        lost = (-4 * self._margins(change)).sigmoid() - (~held).float()
        return max(0.0, float(lost.sum())) / self.training_images + 1e-9

    def parameters_along(self, direction: np.ndarray) -> list[Tensor]:
        """Return the parameters of each part, 1 x P, within their bounds."""
        bounds = [part.head.bound for part in self.net.members]
        raw = self._unbounded(direction)
        return [bound * torch.tanh(r.to(bound) / bound)[None] for bound, r in zip(bounds, raw, strict=True)]

    def finish(self) -> None:
        """Give the best family to the net."""
        with torch.no_grad():
            for part, raw in zip(self.net.members, self._unbounded(self.best.numpy()), strict=True):
                part.head.hidden.weight.zero_()
                part.head.output.weight.zero_()
                part.head.hidden.weight[0] = 0.5
                part.head.output.weight[:, 0] = raw

    def state(self) -> dict[str, Any]:
        """Return what the search has found."""
        return {"best": self.best, "badness": self.badness_of_best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.best, self.badness_of_best = state["best"], state["badness"]

    def _unbounded(self, direction: np.ndarray) -> list[Tensor]:
        """Return what the last layer of each part puts out before the bound, P."""
        by_part = np.split(direction, np.cumsum([len(unit) for unit in self.units])[:-1])
        return [
            unit * torch.tensor(entries, dtype=torch.float32)
            for unit, entries in zip(self.units, by_part, strict=True)
        ]

    def _margins_alone(self, single: SingleTransformation, scale: float) -> Tensor:
        """Return the margins of the images under a single transformation."""
        return self._margins(
            lambda images: single.apply(images, single.generate(images.new_full((len(images),), scale)))
        )

    @torch.inference_mode()
    def _margins(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the margins of changed images."""
        margins = []
        for rows in torch.arange(len(self.data)).split(self.config.batch_size):
            part = self.data.part(rows)
            changed = change(part.pixels(slice(None), self.classifier.device)).clamp(0, 1)
            logits = self.classifier.logits(changed)
            margins.append(self.criterion.surrogate(logits, part.reference, part.labels).cpu())
        return torch.cat(margins)
