"""What is optimized: the protocol of objectives, and what learners that follow gradients share.

An objective holds its settings and makes a learner; the learner takes steps. For one of your own subclass
``Objective`` and ``Learner``, and give it as ``LearnConfig(objective=...)``.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet, classifier_of
from itn.functional import Surround
from itn.learning.records import LearnStep
from itn.models.classifier import Classifier
from itn.nn import CONTROLS, Composition, InvariantTransformerNet
from itn.runtime.sharded_forward import ShardedForward
from itn.runtime.validation import check_types, require
from itn.stats import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from itn.learning.config import LearnConfig


class LearnProblem(NamedTuple):
    """A family to learn."""

    net: InvariantTransformerNet
    """Its transformers are learned."""
    training: EvaluationSet
    """Images to learn from, with the criterion."""
    baselines: FamilyBaselines | None = None
    """How far single transformations go, and the drop to aim at; only for objectives that
    certify."""

    @classmethod
    def of(
        cls, net: InvariantTransformerNet, training: EvaluationSet, baselines: FamilyBaselines | None
    ) -> "LearnProblem":
        """Return a problem whose training images can be evaluated in steps.

        The journal of the run knows nothing of these: a resumed run leaves steps out.
        """
        return cls(net, training._replace(journal=None), baselines)


class Steps(Protocol):
    """What the training loop calls."""

    def step(self, number: int) -> LearnStep:
        """Take one step, counted from 0, and return what happened in it."""

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors, numbers, texts, lists and dictionaries."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""

    def finish(self) -> None:
        """Leave the net with the weights that were found."""

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""

    @property
    def images_at_once(self) -> int | None:
        """How many images were in the last pass; None if that is not known."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """Settings of an objective; frozen, every field has a default and can be written as JSON."""

    tolerance: float = 0.01
    """How much may be lost by the criterion, as a share of the images."""
    steps: int = 500
    """Steps of learning."""
    learning_rate: float = 0.03
    """Adam's rate at the start."""

    name: ClassVar[str] = ""
    """In records; empty: the name of the class."""
    certifies: ClassVar[bool] = True
    """Whether the scale of the family is chosen on calibration images, with a certificate."""
    members: ClassVar[bool] = False
    """Whether single transformations, as members of the family, are candidates beside what is learned."""
    asks: ClassVar[bool] = True
    """Whether it reads the criterion of the run."""
    side_by_side: ClassVar[bool] = False
    """Whether its learner takes several problems at a time, such as one for each class."""
    columns: ClassVar[tuple[str, ...]] = ()
    """What its steps report beside displacement: keys of ``LearnStep.values``."""

    def __post_init__(self) -> None:
        check_types(self)
        require(0 <= self.tolerance < 1, f"tolerance must lie in [0, 1), got {self.tolerance}")
        require(
            self.tolerance > 0 or not self.certifies,
            f"the objective {self} needs a tolerance above 0, such as 0.01",
        )
        require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")
        require(
            0 < self.learning_rate < float("inf"), f"learning_rate must be positive, got {self.learning_rate}"
        )

    def check(self, parts: Mapping[str, bool], hidden: int) -> None:
        """Raise ValueError if the objective cannot learn parts with such control heads.

        Args:
            parts: By name, whether a part has a single parameter.
            hidden: Smallest width of a hidden layer.
        """

    def check_net(self, net: InvariantTransformerNet) -> None:
        """Raise ValueError if the objective cannot learn the transformers of a net, before the run begins."""

    def learner(self, problems: Sequence[LearnProblem], config: "LearnConfig") -> Steps:
        """Return what learns the families; a single one unless ``side_by_side``."""
        raise NotImplementedError(f"{type(self).__name__} lacks learner(problems, config)")

    def progress(self, steps: Sequence[LearnStep]) -> str:
        """Return the mean of the last steps in words, for the progress bar."""
        return ", ".join(f"{name} {mean(steps, name):.3g}" for name in self.columns)

    def figure(self, history: Sequence[LearnStep]) -> "Figure":
        """Return a figure of the steps of a run: displacement and every column."""
        from itn.learning.step_plots import step_curves  # noqa: PLC0415  # slow to import

        return step_curves(history, self.columns)

    def __str__(self) -> str:
        return self.name or type(self).__name__


class Learner:
    """Follows gradients of one net's transformers with Adam; a subclass writes ``step``.

    Args:
        problem: The family to learn.
        config: Settings of the run.
        objective: Settings of the objective.
    """

    def __init__(self, problem: LearnProblem, config: "LearnConfig", objective: Objective) -> None:
        self.problem, self.config, self.objective = problem, config, objective
        self.net, self.classifier = problem.net, classifier_of(problem.net)
        self.criterion = problem.training.criterion
        self.data = problem.training.data.to(self.classifier.device)
        self.sharded_forward = ShardedForward()
        self.generator = generator(config.seed, "batches")
        self.parameters = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=objective.learning_rate, fused=True)

    def step(self, number: int) -> LearnStep:
        """Take one step, counted from 0, and return what happened in it."""
        raise NotImplementedError(f"{type(self).__name__} lacks step(number)")

    def draw(self, batch: int) -> tuple[Tensor, list[Tensor]]:
        """Draw images, as indices on the CPU, with replacement, and uniform controls of each part, B x 2."""
        index = torch.randint(len(self.data), (batch,), generator=self.generator)
        ks = torch.rand(len(self.net.controls), batch, CONTROLS, generator=self.generator)
        return index, self.net.of_parts(ks.to(self.classifier.device).unbind())

    def logits(self, index: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return logits of indexed images under parameters of each part, B x P; processes share them."""
        images, surround = self.data.with_surround(index, self.classifier.device)
        logits = transformed_logits(self.net, self.classifier, surround)
        return self.sharded_forward(logits, images, boxes_of(surround), *parameters)

    def displacements(self, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the displacements of each part, B."""
        return {
            name: self.net.part(name).displacement(p, self.net.part(name).frame(self.data.images.shape))
            for name, p in zip(self.net.parts, parameters, strict=True)
        }

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, as references to the live tensors."""
        return {
            "transformers": self.net.transformer_state(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.net.load_transformer_state(state["transformers"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters)

    def finish(self) -> None:
        """Leave the net as the last step has made it."""

    @property
    def images_at_once(self) -> int | None:
        """How many images were in the last pass."""
        return self.sharded_forward.last_chunk


def transformed_logits(
    net: Composition, classifier: Classifier, surround: Surround | None
) -> Callable[..., Tensor]:
    """Return the function of images, boxes and parameters of each part that ``ShardedForward`` calls."""

    def logits(images: Tensor, boxes: Tensor | None, *parameters: Tensor) -> Tensor:
        of_rows = None if surround is None or boxes is None else surround._replace(boxes=boxes)
        return classifier.logits(net.render(images, parameters, of_rows))

    return logits


def boxes_of(surround: Surround | None) -> Tensor | None:
    """Return the boxes of a surround, whose rows are divided as those of the images are."""
    return None if surround is None else surround.boxes


def mean(steps: Sequence[LearnStep], name: str) -> float:
    """Return the mean of a column over steps, of those that have it; nan if none has."""
    values = [float(value) for step in steps if (value := step.values.get(name)) is not None]
    return sum(values) / len(values) if values else float("nan")


def mean_displacements(steps: Sequence[LearnStep]) -> str:
    """Return the mean displacement of each part over steps in words."""
    means = {
        part: sum(step.displacement[part] for step in steps) / len(steps) for part in steps[0].displacement
    }
    return ", ".join(f"{part} {value:.4f}" for part, value in means.items())
