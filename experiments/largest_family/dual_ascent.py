"""The constrained objective by dual ascent, the textbook's way."""

import torch

import itn
from itn.learning.records import LearnStep
from itn.models.classifier import margins
from itn.stats import generator

RATE = 0.01  # Adam's, of the net
DUAL_RATE = 0.05  # of the multiplier's logarithm


class DualAscentLearner:
    """Maximizes displacement minus a multiplier times breaks; the multiplier rises above the target.

    Displacement enters by the logarithm of its product over color and spatial, breaks by the sigmoid of the
    margin; half of the k are at full strength, the others uniform.

    Args:
        net: The net that learns.
        training: Training images.
        config: Settings: batch size, steps, seed.
        target: Share of the images that may break.
    """

    def __init__(
        self,
        net: itn.InvariantTransformerNet,
        training: itn.CheckedImages,
        config: itn.LearnConfig,
        target: float,
    ) -> None:
        self.net, self.config, self.target = net, config, target
        self.data, self.share = training.part(training.clean), int(training.clean.sum()) / len(training)
        self.generator = generator(config.seed, "dual ascent")
        self.optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=RATE)
        self.device = next(net.parameters()).device
        self.multiplier = 1.0

    def step(self, number: int) -> LearnStep:
        """Take a step of both players, and return what happened in it."""
        n = self.config.batch_size
        index = torch.randint(len(self.data), (n,), generator=self.generator)
        k1, k2 = torch.rand(2, n, 2, generator=self.generator)
        k1[: n // 2] = k2[: n // 2] = 1
        matrices = self.net.matrices(k1.to(self.device), k2.to(self.device))
        images = self.data.pixels(index, self.device)
        logits = self.net.classifier(self.net.render(images, matrices).clamp(0, 1))
        margin = margins(logits, self.data.labels[index].to(self.device))
        displacements = {part: itn.displacement(matrix) for part, matrix in matrices.items()}
        logs = [(displacement + 1e-9).log().mean() for displacement in displacements.values()]
        breaks = self.share * (-margin).sigmoid().mean() / self.target
        self.optimizer.zero_grad()
        (self.multiplier * breaks - torch.stack(logs).mean()).backward()
        self.optimizer.step()
        break_rate = self.share * (margin <= 0).float().mean()
        self.multiplier *= float((DUAL_RATE * (break_rate / self.target - 1).clamp(-1, 1)).exp())
        return LearnStep(
            step=number,
            displacement={part: displacement.mean().item() for part, displacement in displacements.items()},
            break_rate=break_rate.item(),
            multiplier=self.multiplier,
        )
