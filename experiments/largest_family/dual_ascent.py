"""The constrained objective by dual ascent, the textbook's way: a design of ``largest_family.py``."""

import torch

import itn
from itn.models.classifier import margins
from itn.nn.control_head import CONTROLS
from itn.stats.sampling import generator

RATE = 0.01  # Adam's, of the net
DUAL_RATE = 0.05  # of the price's logarithm


class DualAscentLearner:
    """Climbs displacement minus a price times losses; the price rises while more is lost than the target.

    Displacement enters by the logarithm of its product over color and space, losses by the sigmoid of the
    margin; half of the k are at the corner, the others uniform.

    Args:
        net: What is learned.
        data: Images to learn from.
        config: Settings: batch size, steps, seed.
        target: Share of the images that may be lost.
    """

    def __init__(
        self,
        net: itn.InvariantTransformerNet,
        data: itn.CheckedImages,
        config: itn.LearnConfig,
        target: float,
    ) -> None:
        self.net, self.config, self.target = net, config, target
        self.data, self.share = data.part(data.clean), int(data.clean.sum()) / len(data)
        self.generator = generator(config.seed, "dual ascent")
        self.optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=RATE)
        self.device = next(net.parameters()).device
        self.price = 1.0

    def step(self, number: int) -> itn.LearnStep:
        """Take a step of both players, and return what happened in it."""
        n = self.config.batch_size
        index = torch.randint(len(self.data), (n,), generator=self.generator)
        k1, k2 = torch.rand(2, n, CONTROLS, generator=self.generator)
        k1[: n // 2] = k2[: n // 2] = 1
        color, spatial = self.net.matrices(k1.to(self.device), k2.to(self.device))
        images = self.data.pixels(index, self.device)
        logits = self.net.classifier(self.net.render(images, color, spatial).clamp(0, 1))
        margin = margins(logits, self.data.labels[index].to(self.device))
        moved = {
            part: itn.displacement(m) for part, m in (("color", color), ("spatial", spatial)) if m is not None
        }
        reach = torch.stack([(each + 1e-9).log().mean() for each in moved.values()]).mean()
        losses = self.share * (-margin).sigmoid().mean() / self.target
        self.optimizer.zero_grad()
        (self.price * losses - reach).backward()
        self.optimizer.step()
        lost = self.share * (margin <= 0).float().mean()
        self.price *= float((DUAL_RATE * (lost / self.target - 1).clamp(-1, 1)).exp())
        at = {part: each.mean().item() for part, each in moved.items()}
        return itn.LearnStep(
            step=number,
            color_displacement=at.get("color"),
            spatial_displacement=at.get("spatial"),
            lost=lost.item(),
            price=self.price,
        )
