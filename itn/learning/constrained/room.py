"""How much farther each restart may grow until it loses the target: an estimate that batches sharpen."""

import torch
from torch import Tensor

from itn.learning.constrained.controls import ControlDraw
from itn.learning.constrained.settings import ConstrainedSettings

MOST_AT_ONCE = 0.5  # change of an estimate by one batch


class Room:
    """Estimates the room of each row at full strength and at the worst k.

    Room is the logarithm of the factor by which the scale may grow until the drop is at the target; it is
    negative beyond. The drop is taken to grow with a power of the scale. What a batch shows of it is a
    difference of two shares, broken and mended, which may both be far larger. An extended Kalman filter
    weighs it against what is known. Far below the target drops are small, and accuracy may even rise: a batch
    then says little of the room, and what was known before counts, or scales would run away.

    Args:
        rows: Of the families.
        target: Drop at which there is no room left.
        expected: Room at the first step.
        settings: Settings.
        device: Where the estimates are kept.
    """

    def __init__(
        self, rows: int, target: float, expected: float, settings: ConstrainedSettings, device: torch.device
    ) -> None:
        self.target, self.settings = target, settings
        self.estimates = torch.full((rows, 2), expected, device=device)
        """At full strength and at the worst k, rows x 2."""
        self.variances = torch.full((rows, 2), settings.room_deviation**2, device=device)
        """Of the estimates, rows x 2."""
        self.change_variance = torch.full((rows,), target, device=device)
        """Mean square of a single weighted change, rows; at first that of broken images alone."""

    @property
    def least(self) -> Tensor:
        """The smaller estimate of each row."""
        return self.estimates.amin(1)

    @property
    def drops(self) -> Tensor:
        """The drops that go with the estimates, rows x 2."""
        return self.target * (-self.settings.growth_exponent * self.estimates).exp()

    def observe(self, rows: Tensor, change: Tensor, draw: ControlDraw, fade: float) -> None:
        """Learn from a batch.

        Args:
            rows: The remaining rows.
            change: Weight of each worse image, minus that of a better one, 0 for others, rows x draws.
            draw: The controls of the draws.
            fade: Learning rate as a fraction of the first: how much directions still change.
        """
        settings = self.settings
        memory = min(1.0, change.shape[1] / settings.average_over)
        self.change_variance[rows] += memory * (change.square().mean(1) - self.change_variance[rows])
        for column, part in enumerate((draw.full, draw.worst)):
            of_batch = change[:, part]
            expected, known = self.drops[rows, column], self.variances[rows, column]
            known = known + (fade * settings.room_drift) ** 2
            slope = settings.growth_exponent * expected
            noise = self.change_variance[rows] / of_batch.shape[1] + (0.1 * self.target) ** 2
            gain = known * slope / (known * slope.square() + noise)
            correction = gain * (expected - of_batch.mean(1))
            self.estimates[rows, column] += correction.clamp(-MOST_AT_ONCE, MOST_AT_ONCE)
            self.variances[rows, column] = known * (1 - gain * slope)

    def use(self, rows: Tensor, step: Tensor) -> None:
        """Take steps of the log scale, one for each of the rows, off what is left."""
        self.estimates[rows] -= step[:, None]
