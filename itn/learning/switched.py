"""The switched objective of Bunne et al.: each step lowers cross-entropy or raises displacement."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from itn.functional import displacement, sampled_displacement, unit_vectors
from itn.learning.config import LearnConfig
from itn.learning.records import LearnStep
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.nn import CONTROLS, InvariantTransformerNet
from itn.runtime.errors import RunError
from itn.runtime.sharded_forward import ShardedForward
from itn.stats import generator


class SwitchedLearner:
    """Draws images and controls, lets the switch choose a loss, and updates the transformers.

    Args:
        net: Its transformers are learned; its classifier stays as it is.
        data: Training images.
        config: Settings.
    """

    def __init__(self, net: InvariantTransformerNet, data: CheckedImages, config: LearnConfig) -> None:
        assert isinstance(net.classifier, Classifier)
        self.net, self.classifier, self.config = net, net.classifier, config
        self.data = data.to(self.classifier.device)
        self.clean = self.data.clean
        self.sharded_forward = ShardedForward()
        self.generator = generator(config.seed, "batches")
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, fused=True)
        self.c_theta = config.c_theta if len(net.parts) == 2 else 1.0  # weighs one part against the other
        self.accuracy = self.clean.double().mean().item()

    def step(self, number: int) -> LearnStep:
        """Take one step and return what happened in it.

        Args:
            number: Index of the step, from 0.

        Raises:
            RunError: If the loss is not finite.
        """
        config, net, data = self.config, self.net, self.data
        batch, device = config.batch_size, data.labels.device
        index = torch.randint(len(data), (batch,), generator=self.generator)
        chosen = index.to(device)
        k1, k2 = torch.rand(2, batch, CONTROLS, generator=self.generator).to(device)
        images, labels = data.pixels(index, device), data.labels[chosen]

        matrices = net.matrices(k1, k2)

        def transformed_logits(images: Tensor, *of_parts: Tensor) -> Tensor:
            return self.classifier.logits(net.render(images, dict(zip(matrices, of_parts, strict=True))))

        logits = self.sharded_forward(transformed_logits, images, *matrices.values())
        cross_entropy = F.cross_entropy(logits, labels)
        displacements = {part: self._displacement(matrix) for part, matrix in matrices.items()}
        displacement_loss = transformer_loss(
            displacements.get("color"), displacements.get("spatial"), k1, k2, self.c_theta
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

        asks_accuracy = correct < required_correct(self._acc_orig(clean / batch), config.tolerated, batch)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * number / config.steps))
        self.optimizer.zero_grad()
        # Displacement depends only on the matrices: its backward pass never enters the classifier
        (cross_entropy if asks_accuracy else displacement_loss).backward()
        self.optimizer.step()
        return LearnStep(
            step=number,
            cross_entropy=entropy,
            transformer_loss=transformers,
            accuracy=correct / batch,
            clean_accuracy=clean / batch,
            displacement=dict(zip(displacements, means, strict=True)),
            asked_cross_entropy=asks_accuracy,
        )

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

    def _acc_orig(self, batch_clean: float) -> float:
        match self.config.acc_orig:
            case "paired":
                return batch_clean
            case "measured":
                return self.accuracy
            case number:
                return float(number)

    def _displacement(self, matrix: Tensor) -> Tensor:
        if not self.config.displacement_samples:
            return displacement(matrix)
        vectors = unit_vectors(self.config.displacement_samples, matrix.shape[-1], self.generator)
        return sampled_displacement(matrix, vectors.to(matrix))


def weighted_displacement(displacements: Tensor, k: Tensor) -> Tensor:
    """Return -L_k(A), the mean over the batch of (k_0 + k_1) times the displacement; B and B x 2 in."""
    return (k.sum(-1) * displacements).mean()


def transformer_loss(
    color: Tensor | None, spatial: Tensor | None, k1: Tensor, k2: Tensor, c_theta: float
) -> Tensor:
    """Return the displacement branch of the switch: c_theta L_k1(A_phi) + L_k2(A_theta).

    Args:
        color: Displacements of the color matrices, B, or None without a color transformer.
        spatial: Displacements of the spatial matrices, B, or None without a spatial transformer.
        k1: Controls of color, B x 2.
        k2: Controls of the spatial part, B x 2.
        c_theta: Weight of color against spatial displacement.
    """
    loss = k1.new_zeros(())
    if color is not None:
        loss = loss - c_theta * weighted_displacement(color, k1)
    if spatial is not None:
        loss = loss - weighted_displacement(spatial, k2)
    return loss


def required_correct(accuracy: float, tolerance: float, batch: int) -> int:
    """Return how many images of a batch must be right for the switch to choose displacement.

    Cross-entropy is chosen if and only if ``correct / batch < accuracy - tolerance``; counting
    keeps rounding out of the comparison.
    """
    return math.ceil((accuracy - tolerance) * batch - 1e-6)
