"""The primal-dual step: scales follow the target drop, directions ascend the Lagrangian."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.learning.constrained.controls import ControlDraw
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
        self.drops = torch.full((rows, 2), target, device=device)
        """Running means at full strength and at the worst k, by row."""
        self.loss_slope = torch.full((rows,), math.nan, device=device)
        """Running mean of the slope of the loss along the log scale."""
        self.variance = self.loss_slope.clone()
        """Running mean of the square of a single change, by row."""

    @property
    def largest_drop(self) -> Tensor:
        """The larger running mean of each row."""
        return self.drops.amax(1)

    def update_means(
        self, change: Tensor, draw: ControlDraw, loss_slope: Tensor, memory: float, number: int
    ) -> None:
        """Update the running means of the remaining rows.

        A drop is the difference of two shares, broken and mended, which may both be far larger. So it is
        averaged over as many images as its variance asks for.

        Args:
            change: Weight of each worse image, minus that of a better one, 0 for others, rows x draws.
            draw: The controls of the draws.
            loss_slope: Of the batch, rows.
            memory: Weight of the batch in the other means, in (0, 1].
            number: Index of the step.
        """
        rows, settings = self.families.remaining, self.settings
        self.loss_slope[rows] = _follow(self.loss_slope[rows], loss_slope, memory)
        self.variance[rows] = _follow(self.variance[rows], change.square().mean(1), memory)
        needed, draws = self._needed(rows), change.shape[1]
        # At first as if the target had been lost before, or few draws of many changes send scales anywhere
        seen = needed - settings.average_over + draws * (number + 1)
        weight = torch.maximum(draws / needed, draws / seen).clamp(max=1)
        for column, part in enumerate((draw.full, draw.worst)):
            self.drops[rows, column] = _follow(self.drops[rows, column], change[:, part].mean(1), weight)

    def _needed(self, rows: Tensor) -> Tensor:
        """Return over how many images the drops of rows are averaged, rows."""
        settings = self.settings
        needed = self.variance[rows] / (settings.drop_precision * self.target) ** 2
        return needed.nan_to_num(0.0).clamp(settings.average_over, settings.most_average_over)

    def multiplier(self, gain_slope: Tensor) -> Tensor:
        """Return the multiplier at which gain and loss have the same slope along the scale; rows."""
        return gain_slope / self.loss_slope[self.families.remaining].clamp_min(0.3 * self.target)

    def factors(self, draw: ControlDraw) -> Tensor:
        """Return factors on the multiplier, rows x draws: 1 where a row loses more, less where less.

        Full strength and the worst k are two constraints; the one that binds gets the multiplier.
        """
        settings = self.settings
        drops = self.drops[self.families.remaining].clamp_min(0) + 0.1 * self.target
        shares = (drops / drops.amax(1, keepdim=True)).pow(3).clamp_min(settings.least_factor)
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

    def move_drops(self, step: Tensor) -> None:
        """Let what is known of the drops follow a step of the log scale, rows: their means are older than it.

        The more so, the longer they reach back. A gain, a negative drop, is not taken to grow.
        """
        rows, settings = self.families.remaining, self.settings
        old = 1 - settings.average_over / self._needed(rows)
        growth = (settings.growth_exponent * old * step).exp()[:, None]
        self.drops[rows] *= growth.where(self.drops[rows] > 0, 1.0)

    def step_scales(self, gain_slopes: Tensor, loss_slopes: Tensor, multiplier: Tensor, rate: float) -> None:
        """Let scales follow the target, and the parts find their balance.

        Args:
            gain_slopes: Slope of the gain along each log scale, rows x parts.
            loss_slopes: The same of the loss.
            multiplier: rows.
            rate: Step towards the target, in (0, 1].
        """
        families, settings = self.families, self.settings
        remaining, log_scale = families.remaining, families.log_scale
        missing = (self.target / (self.largest_drop[remaining].clamp_min(0) + 0.1 * self.target)).log()
        missing = missing / settings.growth_exponent
        slopes = gain_slopes - multiplier[:, None] * loss_slopes
        uneven = (slopes - slopes.mean(1, keepdim=True)).clamp(-2, 2)
        step = 2 * rate * missing.clamp(-0.3, 0.3)
        log_scale[remaining] += step[:, None] + settings.balance_rate * uneven
        self.move_drops(step)
        for number, weights in enumerate(families.hidden):
            hidden = weights.sum(-1).relu()  # at k = (1, 1)
            output = families.output_weights(number, log_scale, torch.arange(len(log_scale)))
            raw = output @ hidden[..., None]
            beyond = raw[..., 0].abs() / (settings.saturation * families.head(number).bound)
            log_scale[:, number] -= beyond.amax(1).log().clamp_min(0)
        log_scale.clamp_(max=settings.max_log_scale)  # of a family that cannot move


def _follow(mean: Tensor, value: Tensor, memory: float | Tensor) -> Tensor:
    """Return a running mean after one more value; the first value replaces nan."""
    return value.where(mean.isnan(), mean + memory * (value - mean))
