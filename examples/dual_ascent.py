"""Dual ascent, the textbook's way, as an objective: ``python examples/dual_ascent.py`` learns with it."""

import dataclasses

import itn


@dataclasses.dataclass(frozen=True)
class DualAscent(itn.Objective):
    """Displacement minus a multiplier times the drop; the multiplier rises while it is above the target."""

    learning_rate: float = 0.01  # Adam's, of the net
    dual_rate: float = 0.05  # of the multiplier's logarithm
    columns = ("drop", "multiplier")

    def learner(self, problems: list, config: itn.LearnConfig) -> "DualAscentLearner":
        """Return what learns the family."""
        return DualAscentLearner(*problems, config, self)


class DualAscentLearner(itn.Learner):
    """Displacement enters by the logarithm of its product over parts, a drop by the sigmoid of the margin."""

    def __init__(self, problem: tuple, config: itn.LearnConfig, objective: DualAscent) -> None:
        super().__init__(problem, config, objective)
        able = problem.training.changeable
        self.data, self.share = self.data.part(able), int(able.sum()) / len(able)
        self.generator, self.multiplier = itn.stats.generator(config.seed, "dual ascent"), 1.0

    def step(self, number: int) -> itn.LearnStep:
        """Take a step of both players, with half of the images at full strength."""
        index, ks = self.draw(self.config.batch_size)
        for k in ks:
            k[: len(k) // 2] = 1
        parameters, images = self.net.generate(*ks), self.data.part(index)
        answers = self.logits(index, parameters), images.reference, images.labels
        margin = self.criterion.surrogate(*answers)
        displacements, target = self.displacements(parameters), self.problem.baselines.target
        gain = sum((values + 1e-9).log().mean() for values in displacements.values()) / len(displacements)
        self.optimizer.zero_grad()
        (self.multiplier * (self.share * (-margin).sigmoid().mean() / target) - gain).backward()
        self.optimizer.step()
        drop = self.share * self.criterion.change(*answers).float().mean()
        self.multiplier *= float((self.objective.dual_rate * (drop / target - 1).clamp(-1, 1)).exp())
        means = {part: values.mean().item() for part, values in displacements.items()}
        return itn.LearnStep(number, means, {"drop": drop.item(), "multiplier": self.multiplier})

    def state(self) -> dict:
        """Return all that the next step depends on, so that runs can be resumed."""
        return super().state() | {"multiplier": self.multiplier}

    def load_state(self, state: dict) -> None:
        """Restore a state."""
        super().load_state(state)
        self.multiplier = state["multiplier"]


if __name__ == "__main__":
    digits, config = itn.load_images("mnist:heldout"), itn.LearnConfig(objective=DualAscent())
    print(itn.learn(itn.load_classifier("lenet5"), *digits, config))
