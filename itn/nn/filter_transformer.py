"""The filter transformer: every pixel becomes a weighted mean of its neighbors."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from itn.functional import cosine_basis, filter_channels, motion_weights, unit_vectors
from itn.nn.frame import Frame
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation
from itn.nn.transformer import Transformer
from itn.runtime.validation import require
from itn.runtime.wording import counted
from itn.transforms import TRANSFORMS

LARGEST = 15
"""Largest side of a kernel, in pixels."""
SHARPEST = 64.0  # factor of sharpness, as in the screening table; the bound comes first


class FilterTransformer(Transformer):
    """A kernel of K x K pixels, driven by k: blurs, sharpening, motion blurs and whatever lies between them.

    Parameters are the coefficients of the kernel minus that of the identity in an orthonormal basis, products
    of the cosines of the discrete cosine transform. The constant is left out where brightness is kept.

    Args:
        size: Side K of the kernel in pixels, odd, from 3 to 15.
        channels: None: every channel is filtered by the same kernel. A number of channels: each has a kernel
            of its own.
        mixing: Each channel becomes a sum of all filtered channels; needs their number.
        keep_brightness: The weights that make a pixel sum to 1, so that even areas stay as they are.
        hidden: Width of the hidden layer.
        bound: Bound on each parameter.
        padding: What lies outside the frame: zeros (which darken its edges), border or reflection.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below 0, see ``ControlHead``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> blurred = FilterTransformer(size=3)(torch.rand(2, 3, 16, 16), torch.ones(2))
    """

    part = "filter"
    """Its name in a run that names its parts."""

    displacement_text = "squared change of an image of random pixels, over its squared length"

    basis: Tensor
    """Rows x inputs x K x K, orthonormal."""

    def __init__(
        self,
        size: int = 5,
        channels: int | None = None,
        mixing: bool = False,
        keep_brightness: bool = True,
        hidden: int = 32,
        bound: float = 1.0,
        padding: str = "zeros",
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
    ) -> None:
        require(size % 2 == 1 and 3 <= size <= LARGEST, f"size must be odd, from 3 to {LARGEST}, got {size}")
        require(channels is not None or not mixing, "mixing needs the number of channels, such as channels=3")
        require(channels is None or channels >= 1, f"channels must be at least 1, got {channels}")
        outputs = 1 if channels is None else channels
        inputs = outputs if mixing else 1
        waves = [
            f"{'' if channel == 0 else f'color {channel}, '}wave {down} {across}"
            for channel in range(inputs)
            for down in range(size)
            for across in range(size)
        ][int(keep_brightness) :]
        names = [f"{wave}{f' to {o}' if outputs > 1 else ''}" for o in range(outputs) for wave in waves]
        super().__init__(names, bound, hidden, padding, generator, nonnegative)
        self.size, self.channels, self.mixing, self.keep_brightness = size, channels, mixing, keep_brightness
        self.outputs = outputs
        cosines = cosine_basis(size, torch.zeros(1, dtype=torch.float64))
        colors = cosine_basis(inputs, cosines)
        products = torch.einsum("ac,by,dx->abdcyx", colors, cosines, cosines).flatten(0, 2)
        self.register_buffer("basis", products[int(keep_brightness) :].float(), persistent=False)

    @classmethod
    @override
    def of_settings(cls, settings: PartSettings) -> Self:
        return cls(hidden=settings.hidden, padding=settings.padding, nonnegative=settings.nonnegative)

    def difference(self, p: Tensor) -> Tensor:
        """Return the kernels minus those of the identity, B x outputs x inputs x K x K."""
        return torch.einsum("bor,riyx->boiyx", p.unflatten(1, (self.outputs, -1)), self.basis.to(p))

    def kernels(self, p: Tensor) -> Tensor:
        """Return the kernels, B x outputs x inputs x K x K, not mirrored, of parameters, B x P."""
        own = torch.eye(self.outputs) if self.mixing else torch.ones(self.outputs, 1)
        return own.to(p)[:, :, None, None] * _identity(self.size // 2).to(p) + self.difference(p)

    def coefficients(self, difference: Tensor) -> Tensor:
        """Return the parameters, B x P, of one kernel minus the identity, B x K x K, for every channel."""
        rows = self.basis.to(difference).expand(-1, self.outputs, -1, -1)
        return torch.einsum("byx,royx->bor", difference, rows).flatten(1)

    @override
    def check_frame(self, shape: Sequence[int]) -> None:
        if self.channels not in (None, shape[-3]):
            raise ValueError(f"images have {counted(shape[-3], 'channel')}, the filter takes {self.channels}")

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        # What is added is exactly 0 where the parameters are
        return images + filter_channels(images, self.difference(p), frame.padding).to(images.dtype)

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the mean squared change of a random image of unit length, n pixels, times n.

        As of a matrix, with the image in place of the vector: the sum of the squared differences of the
        kernel, mean over channels. Exact away from the edges of the frame.
        """
        return p.square().sum(1) / self.outputs

    @override
    def sampled_displacement(
        self, p: Tensor, samples: int, generator: torch.Generator, frame: Frame
    ) -> Tensor:
        rows = self.difference(p).flatten(2)
        vectors = unit_vectors(samples, rows.shape[-1], generator).to(rows)
        return rows.shape[-1] * (rows @ vectors.T).square().mean((1, 2))

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        gray = self.kernels(p).double().sum(2).mean(1)[0]  # what becomes of gray images
        offset = torch.arange(self.size, dtype=gray.dtype, device=gray.device) - self.size // 2
        kept = []
        for period in (2, 4):
            wave = torch.exp(2j * torch.pi * offset / period)
            kept.append([100 * (line.to(wave) @ wave).abs().item() for line in (gray.sum(0), gray.sum(1))])
        (fine_x, fine_y), (x, y) = kept
        brightness = gray.sum().item()
        right, down = (-(line @ offset).item() / brightness for line in (gray.sum(0), gray.sum(1)))
        return (
            f"stripes that repeat every 4 pixels keep {x:.0f} % of their contrast across and {y:.0f} % down, "
            f"every 2 pixels {fine_x:.0f} % and {fine_y:.0f} %; content shifts by {abs(right):.2f} "
            f"pixels {'left' if right < 0 else 'right'} and {abs(down):.2f} {'up' if down < 0 else 'down'}"
            + ("" if self.keep_brightness else f"; even areas are {brightness:.2f} times as bright")
        )

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return blur, horizontal and vertical motion blur, as far as they fit the kernel, and sharpening.

        A Gaussian is cut at the edge of the kernel. Edges of the frame are filtered like the rest.
        """
        reach = self.size // 2
        fitting, travel = 2.0 * reach, TRANSFORMS["motion_blur"].unit

        def baseline(
            name: str, kernels: Callable[[Tensor, int], Tensor], offset: MagnitudeOffset
        ) -> SingleTransformation:
            def parameters(scale: Tensor) -> Tensor:
                difference = kernels(offset.identity + offset.most * scale, reach) - _identity(reach)
                return self.coefficients(difference.where(scale[:, None, None] > 0, 0.0))

            return self.path(name, parameters, offset, frame)

        cut = f"sigma in pixels, cut at {reach}"
        sharper = MagnitudeOffset(SHARPEST - 1, 1.0, TRANSFORMS["sharpness"].unit)
        return [
            baseline("blur", _gaussian, MagnitudeOffset(float(reach), unit=cut)),
            baseline("motion_blur", _motion, MagnitudeOffset(fitting, unit=travel)),
            baseline("motion_blur_vertical", _vertical_motion, MagnitudeOffset(fitting, unit=travel)),
            baseline("sharpness", _sharpening, sharper),
        ]


def _identity(reach: int) -> Tensor:
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    kernel[reach, reach] = 1
    return kernel


def _gaussian(sigma: Tensor, reach: int) -> Tensor:
    """Return Gaussian kernels, B x K x K, of standard deviations, B."""
    offset = torch.arange(-reach, reach + 1, dtype=sigma.dtype)
    weights = torch.exp(-0.5 * (offset / sigma.clamp_min(1e-6)[:, None]).square())
    weights = weights / weights.sum(1, keepdim=True)
    return weights[:, :, None] * weights[:, None]


def _motion(length: Tensor, reach: int) -> Tensor:
    """Return kernels, B x K x K, of horizontal motions of lengths, B, of at most twice the reach."""
    side = motion_weights(length)[:, : reach + 1]
    side = F.pad(side, (0, reach + 1 - side.shape[1]))
    kernels = length.new_zeros(len(length), 2 * reach + 1, 2 * reach + 1)
    kernels[:, reach] = torch.cat([side.flip(1), side[:, 1:]], 1)
    return kernels


def _vertical_motion(length: Tensor, reach: int) -> Tensor:
    return _motion(length, reach).mT


def _sharpening(v: Tensor, reach: int) -> Tensor:
    """Return kernels, B x K x K, that move v times, B, as far from the smoothed image of PIL."""
    smooth = F.pad((torch.ones(3, 3) + 4 * _identity(1)) / 13, 4 * (reach - 1,))
    return smooth + v[:, None, None] * (_identity(reach) - smooth)
