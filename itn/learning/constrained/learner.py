"""The learner of the constrained objective: what the training loop calls."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from itn.certification.parametric import classifier_of
from itn.learning.constrained.controls import draw_controls
from itn.learning.constrained.importance_sampling import ImageSampler
from itn.learning.constrained.initialization import initial_families
from itn.learning.constrained.primal_dual import PrimalDual
from itn.learning.constrained.problem import family_problem
from itn.learning.constrained.restarts import scores, standings
from itn.learning.constrained.worst_controls import search_worst_controls
from itn.learning.objective import LearnProblem, boxes_of, transformed_logits
from itn.learning.records import LearnStep
from itn.nn import CONTROLS
from itn.runtime import distributed
from itn.runtime.errors import RunError
from itn.runtime.sharded_forward import ShardedForward
from itn.stats import generator

if TYPE_CHECKING:
    from itn.learning.config import LearnConfig
    from itn.learning.constrained.objective import Constrained

MOST_AT_ONCE = 1.0  # change of a log scale when restarts are compared


class ConstrainedLearner:
    """Draws images and controls, takes primal-dual steps for all remaining restarts, and prunes restarts.

    Args:
        problems: Families to learn side by side, in front of one classifier.
        config: What the user has set.
        objective: Settings of the objective.
    """

    def __init__(
        self, problems: Sequence[LearnProblem], config: "LearnConfig", objective: "Constrained"
    ) -> None:
        settings, all_baselines = objective.settings, [problem.baselines for problem in problems]
        restarts = settings.restarts if len(problems) == 1 else settings.restarts_of_class
        self.problems = [family_problem(problem, config.seed, restarts) for problem in problems]
        self.config, self.objective, self.settings = config, objective, settings
        self.net = problems[0].net  # all nets have the same parts
        self.classifier, self.criterion = classifier_of(self.net), problems[0].training.criterion
        tolerated = sum(b.target for b in all_baselines if b is not None) / len(problems)
        self.target = settings.target_odds * tolerated / (1 + (settings.target_odds - 1) * tolerated)
        self.sharded_forward = ShardedForward(config.batch_size)
        self.generator = generator(config.seed, "batches")
        self.families = initial_families(self.problems, self.classifier, config.batch_size, settings)
        self.primal_dual = PrimalDual(self.families, self.target, objective.learning_rate, settings)
        controls = len(self.net.controls)
        self.worst = self.families.log_scale.new_ones(len(self.families.log_scale), controls, CONTROLS)
        """The worst controls that are known of each row, rows x ks x 2."""
        self.sampler = ImageSampler(
            self.problems, self.classifier, config.batch_size, settings.vulnerable_share
        )

    def step(self, number: int) -> LearnStep:
        """Take one step; return what happened in it to the best restart so far, the mean over problems.

        Args:
            number: Index of the step, from 0.

        Raises:
            RunError: If a logit is not finite.
        """
        objective, settings, families = self.objective, self.settings, self.families
        primal_dual, remaining, restarts = self.primal_dual, families.remaining, families.restarts
        draws = self._draws()
        # A search of many restarts takes as long as many steps: seldom, until most are pruned
        seldom = max(1, restarts // settings.keep_one_in)
        if number % max(1, seldom * round(settings.search_every * objective.steps)) == 0:
            self._search_worst()
        controls = draw_controls(self.worst[remaining], draws, self.generator, settings)
        index, weight = self.sampler.draw(draws, self.generator)
        weight = weight.to(self.classifier.device).repeat_interleave(restarts, 0)

        log_scale = families.log_scale[remaining].requires_grad_()
        parameters = families.parameters(log_scale, self.net.of_parts(controls.ks))
        logits = self.logits(index, parameters)
        known = self.sampler.known(index, restarts)
        margin = self.criterion.surrogate(logits, *known).view(-1, draws)
        if not margin.isfinite().all():
            raise RunError(
                f"logits are not finite at step {number}: look at the classifier on transformed images"
            )
        breaking = torch.sigmoid(-margin)
        change = self.criterion.change(logits, *known).view(-1, draws) * weight
        loss = (breaking * weight * primal_dual.factors(controls)).mean(1)
        importance = weight.new_full((draws,), settings.partial_strength_weight)
        importance[controls.full] = 1
        aligned, lacking = families.directions(log_scale, settings.least_arm)
        gain = (importance * families.log_displacement(parameters)).mean(1)
        gain = gain - settings.alignment_weight * aligned + settings.arm_weight * lacking

        learned = [log_scale, *families.weights]
        loss_slopes, *loss_gradients = torch.autograd.grad(loss.sum(), learned, retain_graph=True)
        gain_slopes, *gain_gradients = torch.autograd.grad(gain.sum(), learned)
        with torch.no_grad():
            turning = torch.where(self.criterion.held(known[0]).view(-1, draws), breaking, 1 - breaking)
            self.sampler.update(index, turning.sqrt().view(-1, restarts, draws).mean(1))
            memory = max(min(1.0, draws / settings.average_over), 1 / (number + 1))
            fade = 0.5 * (1 + math.cos(math.pi * number / objective.steps))
            primal_dual.observe(change, controls, loss_slopes.sum(1), memory, fade)
            multiplier = primal_dual.multiplier(gain_slopes.sum(1))
            primal_dual.step_directions(
                objective.learning_rate * fade, gain_gradients, loss_gradients, multiplier
            )
            primal_dual.step_scales(gain_slopes, loss_slopes, multiplier)
            best, displacements = self._best()
            if restarts > 1 and number + 1 in [round(share * objective.steps) for share in settings.prune_at]:
                self._prune()
        return LearnStep(
            step=number,
            displacement=dict(zip(self.net.parts, displacements.mean(0).tolist(), strict=True)),
            values={
                "drop": primal_dual.room.drops[remaining[best]].amax(1).mean().item(),
                "multiplier": multiplier[best].mean().item(),
                "restarts": restarts,
            },
        )

    def finish(self) -> None:
        """Give the weights of the best restart of each problem to its net."""
        families, best = self.families, self.families.remaining[self._best()[0]]
        with torch.no_grad():
            for number in range(len(self.net.parts)):
                outputs = families.output_weights(number, families.log_scale[best], best)
                for problem, row, output in zip(self.problems, best, outputs, strict=True):
                    head = problem.net.members[number].head
                    head.hidden.weight.copy_(families.hidden[number][row])
                    head.output.weight.copy_(output)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, as references to the live tensors."""
        return {
            "tensors": self._tensors(),
            "remaining": self.families.remaining,
            "optimizer": self.primal_dual.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        with torch.no_grad():
            for live, saved in zip(self._tensors(), state["tensors"], strict=True):
                live.copy_(saved)
        self.families.remaining = state["remaining"]
        self.primal_dual.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        tensors = (*self.families.weights, self.families.log_scale)
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def logits(self, index: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return logits of transformed images, rows times draws x K.

        Args:
            index: Images of each problem, problems x draws.
            parameters: For each part those of the remaining families, rows x draws x P; each family
                transforms the images of its problem.
        """
        images, surround = self.sampler.pixels(index, self.families.restarts)
        logits = transformed_logits(self.net, self.classifier, surround)
        return self.sharded_forward(
            logits, images, boxes_of(surround), *(p.flatten(0, 1) for p in parameters)
        )

    def soft_changes(self, index: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return smooth changes of transformed images, rows x draws in [-1, 1]; arguments: ``logits``."""
        known = self.sampler.known(index, self.families.restarts)
        breaking = torch.sigmoid(-self.criterion.surrogate(self.logits(index, parameters), *known))
        return torch.where(self.criterion.held(known[0]), breaking, breaking - 1).view(-1, index.shape[1])

    @property
    def images_at_once(self) -> int | None:
        """How many images were in the last pass."""
        return self.sharded_forward.last_chunk

    def _draws(self) -> int:
        """Return how many images each restart gets in a step."""
        batch = self.config.batch_size
        batch = max(batch // len(self.problems), min(batch, self.settings.min_batch))
        return max(2, batch // self.families.restarts)

    def _search_worst(self) -> None:
        """Look again for the k at which each of the remaining families is worst."""
        remaining = self.families.remaining
        found = search_worst_controls(
            self.families,
            self.worst[remaining],
            self.sampler,
            self.soft_changes,
            self.generator,
            self.config.batch_size,
            self.settings,
        )
        # As for restarts, one process decides for all
        self.worst[remaining] = distributed.on_rank_zero(found.cpu).to(self.worst)

    def _prune(self) -> None:
        """Keep only the best restarts of each problem."""
        families, settings = self.families, self.settings
        self._search_worst()
        worst = self.worst[families.remaining]
        table, steps = standings(
            families, self.sampler, self.soft_changes, worst, self.config.batch_size, settings
        )
        # One process decides for all: others may round differently and would keep other restarts
        table, steps = distributed.on_rank_zero(lambda: (table.cpu(), steps.cpu()))
        self._move(steps.clamp(-MOST_AT_ONCE, MOST_AT_ONCE))
        order = table.view(-1, families.restarts).argsort(descending=True)
        kept = order[:, : max(1, families.restarts // settings.keep_one_in)]
        families.remaining = families.remaining.view(-1, families.restarts).gather(1, kept).flatten()

    def _move(self, steps: Tensor) -> None:
        """Change the log scales of the remaining families, and what is known of their drops with them.

        They go on from where they were compared: all lose about as much there, whatever their scale was.
        """
        families = self.families
        steps = steps.to(families.log_scale)
        families.log_scale[families.remaining] += steps[:, None]
        self.primal_dual.moved(steps)

    @torch.no_grad()
    def _best(self) -> tuple[Tensor, Tensor]:
        """Return which remaining row is best for each problem, and its displacements, problems x parts."""
        families, remaining = self.families, self.families.remaining
        parameters = families.full_strength(families.log_scale[remaining])
        ranking = scores(
            families.log_displacement(parameters)[:, 0],
            self.primal_dual.room.least[remaining],
        )
        table = ranking.view(len(self.problems), -1)
        best = table.argmax(1).cpu() + torch.arange(len(table)) * table.shape[1]
        displacements = families.ratios(parameters)[:, 0] * families.references[remaining]
        return best, displacements[best]

    def _tensors(self) -> list[Tensor]:
        """Return all tensors that a step changes in place, and the units, which processes must share."""
        families, primal_dual = self.families, self.primal_dual
        return [
            *families.weights,
            *families.units,
            families.log_scale,
            primal_dual.loss_slope,
            primal_dual.room.estimates,
            primal_dual.room.variances,
            primal_dual.room.change_variance,
            self.worst,
            self.sampler.vulnerability,
        ]
