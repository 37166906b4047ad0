"""The elastic transformer: a smooth deformation of the frame onto itself."""

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import Surround, change_crops, crops_of, shift_pixels, sine_field, steepness
from itn.nn.frame import Frame
from itn.nn.single_transformation import SingleTransformation
from itn.nn.transformer import Transformer
from itn.runtime.validation import require

MOST_WAVES = 8
"""Largest number of half waves along a side."""
_LONG = 2  # half waves along a side of the baselines, at most


class ElasticTransformer(Transformer):
    """A smooth field of shifts, 0 on the edge of the frame, driven by k.

    Parameters are the coefficients of ``itn.functional.sine_field``, first of shifts along x, as fractions of
    the width, then of those along y, as fractions of the height. Their bounds keep the map one-to-one: its
    Jacobian deviates from the identity by less than 1 everywhere, in the maximum norm. Long waves are given
    more of that than short ones.

    Args:
        waves: Largest number of half waves along a side, from 1 to 8; there are 2 waves^2 parameters.
        hidden: Width of the hidden layer.
        bound: Largest deviation of the Jacobian from the identity, below 1.
        padding: Of no effect, since nothing comes in from outside; for records.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below 0, see ``ControlHead``.
        interpolation: How values between pixels are made: bilinear or bicubic, see ``itn.warp``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> moved = ElasticTransformer(waves=2)(torch.rand(2, 3, 16, 16), torch.ones(2))
    """

    part = "elastic"
    """Its name in a run that names its parts."""
    displacement_text = "mean squared shift of pixels, in fractions of width and height"
    samples = True

    def __init__(
        self,
        waves: int = 3,
        hidden: int = 32,
        bound: float = 0.9,
        padding: str = "zeros",
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        interpolation: str = "bilinear",
    ) -> None:
        require(1 <= waves <= MOST_WAVES, f"waves must be from 1 to {MOST_WAVES}, got {waves}")
        require(0 < bound < 1, f"bound must be above 0 and below 1, got {bound}: the image would fold")
        names = [
            f"{axis}, half waves {down} down {across} across"
            for axis in "xy"
            for down in range(1, waves + 1)
            for across in range(1, waves + 1)
        ]
        steep = steepness(waves, waves)
        share = 1 / steep / (1 / steep).sum()  # of the Jacobian's deviation
        bounds = (bound * share / steep).flatten().repeat(2).tolist()
        super().__init__(names, bounds, hidden, padding, generator, nonnegative, interpolation)
        self.waves = waves

    def field(self, p: Tensor, frame: Frame) -> Tensor:
        """Return from how far right and below each pixel is read, B x 2 x H x W."""
        return sine_field(p.unflatten(1, (2, self.waves, self.waves)), frame.size)

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        images = crops_of(images, frame.surround)
        return shift_pixels(images, self.field(p, frame), frame.padding, frame.interpolation)

    @override
    def apply_to_canvases(self, canvases: Tensor, p: Tensor, frame: Frame) -> tuple[Tensor, Surround]:
        """Return canvases whose crops are deformed; what lies around these stays as it is."""
        assert frame.surround is not None
        alone = frame._replace(surround=None)
        changed = change_crops(canvases, frame.surround, lambda crops: self.apply_parameters(crops, p, alone))
        return changed, frame.surround

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the mean squared shift of pixels, in fractions of width and height, in closed form."""
        return p.square().sum(1) / 4

    @override
    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor:
        across, down = p.square().unflatten(1, (2, -1)).sum(2).unbind(1)
        return 0.5 * (across + down / frame.aspect**2).sqrt()

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        field = self.field(p, frame)[0]
        across, down = (100 * axis.abs().max().item() for axis in field)
        return (
            f"pixels move by up to {across:.1f} % of the width and {down:.1f} % of the height, on average "
            f"(root mean square) by {100 * self.rms_shift(p, frame).item():.1f} % of the width"
        )

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return each of the long waves by itself, along x and y, with both signs."""
        bounds = self.head.bound.cpu().tolist()
        units = torch.eye(len(self.names))
        places = torch.arange(len(self.names)).unflatten(0, (2, self.waves, self.waves))
        return [
            self.along(self.names[place], sign * bounds[place] * units[place], sign * bounds[place], frame)
            for place in places[:, :_LONG, :_LONG].flatten().tolist()
            for sign in ((1,) if self.head.nonnegative else (1, -1))
        ]
