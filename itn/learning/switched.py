"""The switched objective of Bunne et al.: each step lowers cross-entropy or raises displacement."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from itn.learning.objective import Learner, LearnProblem, Objective, mean
from itn.learning.records import LearnStep
from itn.nn import InvariantTransformerNet, Transformer
from itn.runtime.errors import RunError
from itn.runtime.validation import is_of, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from itn.learning.config import LearnConfig


@dataclasses.dataclass(frozen=True)
class Switched(Objective):
    """The objective of Bunne et al.: where a batch is right often enough, displacement, else cross-entropy.

    Nothing is certified, since accuracy is kept only on average over k.
    """

    tolerance: float = 0.0
    """How far a batch may fall below ``acc_orig`` before cross-entropy is asked for, in [0, 1)."""
    steps: int = 1000
    """Steps of learning."""
    learning_rate: float = 0.005
    """Adam's rate at the start; it falls to zero along a cosine."""
    acc_orig: Literal["paired", "measured"] | float = "paired"
    """What a batch's accuracy is compared with: the same batch's clean accuracy (paired), the clean accuracy
    of all training images (measured), or a number in [0, 1]."""
    c_theta: float | Mapping[str, float] = 0.01
    """Where several parts are learned, weight of the displacement of the first against that of the others; or
    weights of parts that are learned, by name, 1 where none is given."""
    displacement_samples: int = 0
    """Random unit vectors per step that estimate displacement, as in the paper; 0: its exact value."""

    name: ClassVar[str] = "switched"
    certifies: ClassVar[bool] = False
    asks: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = (
        *("cross_entropy", "transformer_loss", "accuracy", "clean_accuracy", "asked_cross_entropy"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.acc_orig in ("paired", "measured")
            or (is_of(self.acc_orig, (Real,)) and 0 <= float(self.acc_orig) <= 1),
            f"acc_orig must be paired, measured or a number in [0, 1], got {self.acc_orig!r}",
        )
        for weight in self.c_theta.values() if isinstance(self.c_theta, Mapping) else [self.c_theta]:
            require(
                is_of(weight, (Real,)) and 0 < weight < float("inf"),
                f"c_theta must be positive, got {weight}",
            )
        for name in ("acc_orig", "c_theta"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        require(
            self.displacement_samples >= 0,
            f"displacement_samples must be 0 (exact) or more, got {self.displacement_samples}",
        )

    @override
    def check(self, parts: Mapping[str, bool], hidden: int) -> None:
        given = self.c_theta if isinstance(self.c_theta, Mapping) else {}
        others = ", ".join(str(name) for name in given if name not in parts)
        require(not others, f"c_theta has weights of {others}, but the parts are {', '.join(parts)}")

    @override
    def check_net(self, net: InvariantTransformerNet) -> None:
        for part in net.members:
            require(
                not (self.displacement_samples and _lacks_samples(part)),
                f"{type(part).__name__} has no sampled displacement: write its sampled_displacement, or "
                "learn with displacement_samples=0",
            )

    def weights(self, parts: Sequence[str]) -> dict[str, float]:
        """Return the weight of the displacement of each part."""
        if isinstance(self.c_theta, Mapping):
            return {part: self.c_theta.get(part, 1.0) for part in parts}
        first = self.c_theta if len(parts) > 1 else 1.0
        return {part: 1.0 if number else first for number, part in enumerate(parts)}

    @override
    def learner(self, problems: Sequence[LearnProblem], config: "LearnConfig") -> "SwitchedLearner":
        (problem,) = problems
        return SwitchedLearner(problem, config, self)

    @override
    def progress(self, steps: Sequence[LearnStep]) -> str:
        accuracy, clean, asked = (
            mean(steps, name) for name in ("accuracy", "clean_accuracy", "asked_cross_entropy")
        )
        return f"accuracy {accuracy:.3f} (clean {clean:.3f}), cross-entropy {asked:.0%}"

    @override
    def figure(self, history: Sequence[LearnStep]) -> "Figure":
        from itn.learning.step_plots import loss_curves  # noqa: PLC0415  # slow to import

        return loss_curves(history)


class SwitchedLearner(Learner):
    """Draws images and controls, lets the switch choose a loss, and updates the transformers."""

    objective: Switched

    def __init__(self, problem: LearnProblem, config: "LearnConfig", objective: Switched) -> None:
        super().__init__(problem, config, objective)
        self.clean = self.data.clean
        self.weights = objective.weights(self.net.parts)
        self.accuracy = self.clean.double().mean().item()

    def step(self, number: int) -> LearnStep:
        """Take one step and return what happened in it.

        Args:
            number: Index of the step, from 0.

        Raises:
            RunError: If the loss is not finite.
        """
        objective, batch = self.objective, self.config.batch_size
        index, ks = self.draw(batch)
        chosen = index.to(self.data.labels.device)
        labels = self.data.labels[chosen]
        parameters = self.net.generate(*ks)
        logits = self.logits(index, parameters)
        cross_entropy = F.cross_entropy(logits, labels)
        displacements = self.displacements(parameters)
        displacement_loss = transformer_loss(
            displacements, dict(zip(self.net.parts, ks, strict=True)), self.weights
        )

        # One transfer from the device for everything that the switch and the record need
        zero = cross_entropy.new_zeros((), dtype=torch.float64)
        correct, clean, entropy, transformers, *means = torch.stack(
            [
                (logits.argmax(1) == labels).sum().to(zero),
                self.clean[chosen].sum().to(zero),
                cross_entropy.detach().to(zero),
                displacement_loss.detach().to(zero),
                *(values.detach().mean().to(zero) for values in displacements.values()),
            ]
        ).tolist()
        if not (math.isfinite(entropy) and math.isfinite(transformers)):
            raise RunError(
                f"the loss is not finite at step {number}: look at the classifier's logits on transformed "
                "images, or start again with a smaller learning rate"
            )

        required = required_correct(self._acc_orig(clean / batch), objective.tolerance, batch)
        asks_accuracy = correct < required
        for group in self.optimizer.param_groups:
            group["lr"] = objective.learning_rate * 0.5 * (1 + math.cos(math.pi * number / objective.steps))
        self.optimizer.zero_grad()
        # Displacement depends only on the parameters: its backward pass never enters the classifier
        (cross_entropy if asks_accuracy else displacement_loss).backward()
        self.optimizer.step()
        values = (entropy, transformers, correct / batch, clean / batch, asks_accuracy)
        return LearnStep(
            step=number,
            displacement=dict(zip(displacements, means, strict=True)),
            values=dict(zip(objective.columns, values, strict=True)),
        )

    @override
    def displacements(self, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        samples = self.objective.displacement_samples
        if not samples:
            return super().displacements(parameters)
        return {
            name: part.sampled_displacement(p, samples, self.generator, part.frame(self.data.images.shape))
            for name, part, p in zip(self.net.parts, self.net.members, parameters, strict=True)
        }

    def _acc_orig(self, batch_clean: float) -> float:
        match self.objective.acc_orig:
            case "paired":
                return batch_clean
            case "measured":
                return self.accuracy
            case number:
                return float(number)


def _plain(value: Any) -> Any:
    """Return numbers as those of Python, which JSON takes, also in a mapping."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return value if isinstance(value, str | int | float) else float(value)


def _lacks_samples(part: Transformer) -> bool:
    return type(part).sampled_displacement is Transformer.sampled_displacement


def weighted_displacement(displacements: Tensor, k: Tensor) -> Tensor:
    """Return -L_k(A), the mean over the batch of (k_0 + k_1) times the displacement; B and B x 2 in."""
    return (k.sum(-1) * displacements).mean()


def transformer_loss(
    displacements: Mapping[str, Tensor], ks: Mapping[str, Tensor], weights: Mapping[str, float]
) -> Tensor:
    """Return the displacement branch of the switch: c_theta L_k1(A_phi) + L_k2(A_theta).

    Args:
        displacements: By part, B.
        ks: Controls by part, B x 2.
        weights: By part.
    """
    loss = next(iter(displacements.values())).new_zeros(())
    for part, displacement in displacements.items():
        loss = loss - weights[part] * weighted_displacement(displacement, ks[part])
    return loss


def required_correct(accuracy: float, tolerance: float, batch: int) -> int:
    """Return how many images of a batch must be right for the switch to choose displacement.

    Cross-entropy is chosen if and only if ``correct / batch < accuracy - tolerance``; counting
    keeps rounding out of the comparison.
    """
    return math.ceil((accuracy - tolerance) * batch - 1e-6)
