"""The primal-dual step: scales follow the target drop, directions ascend the Lagrangian."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.learning.constrained.controls import ControlDraw
from itn.learning.constrained.room import Room
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.constrained.stacked_families import StackedFamilies, normalized


class PrimalDual:
    """Updates scales and directions of the remaining families, and computes their multipliers.

    The gain is the log displacement, the loss a smooth drop. The *primal* variables are scale and
    direction: the scale moves until the drop is at the target, the direction along the gradient of
    gain minus multiplier times loss. The *dual* variable is the multiplier, what a broken image costs. At
    the optimum, gain and multiplier times loss have the same slope along the scale; this gives the
    multiplier. Running means smooth out the noise of single batches.

    Args:
        families: The families to update.
        target: Drop to settle at, the larger of full strength and worst k.
        learning_rate: Adam's, of the directions.
        settings: Settings.
    """

    def __init__(
        self, families: StackedFamilies, target: float, learning_rate: float, settings: ConstrainedSettings
    ) -> None:
        self.families, self.target, self.settings = families, target, settings
        self.optimizer = torch.optim.Adam(families.weights, lr=learning_rate, betas=(0.9, 0.95))
        rows, device = len(families.log_scale), families.log_scale.device
        self.room = Room(rows, target, -math.log(settings.initial_ratio) / 2, settings, device)
        self.loss_slope = torch.full((rows,), math.nan, device=device)
        """Running mean of the slope of the loss along the log scale."""

    def observe(
        self, change: Tensor, draw: ControlDraw, loss_slope: Tensor, memory: float, fade: float
    ) -> None:
        """Learn from a batch what the remaining rows lose.

        Args:
            change: Weight of each worse image, minus that of a better one, 0 for others, rows x draws.
            draw: The controls of the draws.
            loss_slope: Of the batch, rows.
            memory: Weight of the batch in the mean slope, in (0, 1].
            fade: Learning rate as a fraction of the first.
        """
        rows = self.families.remaining
        self.loss_slope[rows] = _follow(self.loss_slope[rows], loss_slope, memory)
        self.room.observe(rows, change, draw, fade)

    def multiplier(self, gain_slope: Tensor) -> Tensor:
        """Return the multiplier at which gain and loss have the same slope along the scale; rows."""
        return gain_slope / self.loss_slope[self.families.remaining].clamp_min(0.3 * self.target)

    def factors(self, draw: ControlDraw) -> Tensor:
        """Return factors on the multiplier, rows x draws: 1 where a row loses more, less where less.

        Full strength and the worst k are two constraints; the one that binds gets the multiplier.
        """
        settings, room = self.settings, self.room.estimates[self.families.remaining]
        excess = settings.growth_exponent * (room.amin(1, keepdim=True) - room)
        shares = (3 * excess).exp().clamp_min(settings.least_factor)
        factors = shares.new_full((len(shares), draw.ks[0].shape[1]), settings.other_factor)
        factors[:, draw.full], factors[:, draw.worst] = shares[:, :1], shares[:, 1:]
        return factors

    def step_directions(
        self,
        rate: float,
        gain_gradients: Sequence[Tensor],
        loss_gradients: Sequence[Tensor],
        multiplier: Tensor,
    ) -> None:
        """Take a step in direction at a learning rate, and none in scale."""
        families = self.families
        multipliers = families.log_scale.new_zeros(len(families.log_scale))
        multipliers = multipliers.index_put((families.remaining,), multiplier).view(-1, 1, 1)
        for weights, gain, loss in zip(families.weights, gain_gradients, loss_gradients, strict=True):
            weights.grad = multipliers * loss - gain
        for hidden, output in zip(families.hidden, families.output, strict=True):
            if output.shape[1] == 1:  # the ends of a range are known from the start
                hidden.grad, output.grad = None, None
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        for weights in families.output:
            weights.copy_(normalized(weights))

    def step_scales(self, gain_slopes: Tensor, loss_slopes: Tensor, multiplier: Tensor) -> None:
        """Let scales follow the room that is left, and the parts find their balance.

        Args:
            gain_slopes: Slope of the gain along each log scale, rows x parts.
            loss_slopes: The same of the loss.
            multiplier: rows.
        """
        families, settings = self.families, self.settings
        remaining, log_scale = families.remaining, families.log_scale
        before = log_scale[remaining]
        slopes = gain_slopes - multiplier[:, None] * loss_slopes
        uneven = (slopes - slopes.mean(1, keepdim=True)).clamp(-2, 2)
        step = settings.scale_rate * self.room.least[remaining].clamp(-1, 1)
        log_scale[remaining] += step[:, None] + settings.balance_rate * uneven
        for number, weights in enumerate(families.hidden):
            hidden = weights.sum(-1).relu()  # at k = (1, 1)
            output = families.output_weights(number, log_scale, torch.arange(len(log_scale)))
            raw = output @ hidden[..., None]
            beyond = raw[..., 0].abs() / (settings.saturation * families.head(number).bound)
            log_scale[:, number] -= beyond.amax(1).log().clamp_min(0)
        log_scale.clamp_(max=settings.max_log_scale)  # of a family that cannot move
        self.moved((log_scale[remaining] - before).mean(1))

    def moved(self, step: Tensor) -> None:
        """Let what is known follow steps of the log scale, one for each remaining row."""
        rows = self.families.remaining
        self.room.use(rows, step)
        self.loss_slope[rows] *= (self.settings.growth_exponent * step).exp()


def _follow(mean: Tensor, value: Tensor, memory: float | Tensor) -> Tensor:
    """Return a running mean after one more value; the first value replaces nan."""
    return value.where(mean.isnan(), mean + memory * (value - mean))
