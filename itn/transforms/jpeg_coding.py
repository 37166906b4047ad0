"""JPEG, as libjpeg codes with its defaults: blocks of 8 x 8, colors at half the resolution.

A codec of our own: kornia's rounds softly, so that it loses less than a file does, and those of Pillow and
torchvision take whole qualities, one image at a time. It differs from Pillow's by the rounding of values.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from itn.transforms.registry import register

# Tables K.1 and K.2 of ITU-T T.81, for luma and color
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61), *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56), *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77), *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101), *(72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_COLOR = (
    *(17, 18, 24, 47), *4 * (99,), *(18, 21, 26, 66), *4 * (99,),
    *(24, 26, 56), *5 * (99,), *(47, 66), *38 * (99,),
)  # fmt: skip
# From red, green and blue to luma, blue and red difference (JFIF), and back
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@register(
    "100 minus the quality",
    0.0,
    (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0),
    domain=(0.0, 99.0),
    group="detail",
    severities=(75.0, 82.0, 85.0, 90.0, 93.0),
)
def jpeg(images: Tensor, v: Tensor) -> Tensor:
    """Code as JPEG of quality 100 - v, and decode; fractions of a quality scale the tables between.

    Three channels are coded as luma and colors, each channel of any other number as luma. Values are first
    rounded to 8 bits. At 0 nothing is coded, though a file of quality 100 would lose a little.
    """
    quality = 100 - v
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    values = _repeated(images.mul(255).round())
    height, width = images.shape[-2:]
    if images.shape[1] == 3:
        luma, differences = _mixed(values, _TO_YCC).split((1, 2), 1)
        luma, differences = luma.round(), (differences - 0.5 - 1e-3).ceil()  # halves down, as libjpeg does
        colors = _coded(_halved(differences), scale, _COLOR)
        colors = _doubled(colors)
        decoded = _mixed(torch.cat([_coded(luma - 128, scale, _LUMA) + 128, colors], 1), _TO_RGB)
    else:
        decoded = _coded(values - 128, scale, _LUMA) + 128
    return decoded[..., :height, :width].round().clamp(0, 255) / 255


def _mixed(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return images whose channels are mixed by a matrix."""
    red, green, blue = images.unbind(1)
    return torch.stack([r * red + g * green + b * blue for r, g, b in matrix], 1)


def _repeated(images: Tensor) -> Tensor:
    """Return images whose last row and column are repeated until their sides are multiples of 16."""
    bottom, right = (-n % 16 for n in images.shape[-2:])
    return F.pad(images, (0, right, 0, bottom), "replicate")


def _halved(images: Tensor) -> Tensor:
    """Return the means of 2 x 2 whole numbers, rounded as libjpeg does: halves down and up in turn."""
    means = F.avg_pool2d(images, 2)
    odd = torch.arange(means.shape[-1], device=images.device) % 2
    return (means + 0.25 * (1 + odd).to(images.dtype)).floor()


def _doubled(images: Tensor) -> Tensor:
    """Return images of twice the size, linearly interpolated and rounded as libjpeg does."""
    doubled = F.interpolate(images, scale_factor=2.0, mode="bilinear")
    even = torch.arange(doubled.shape[-1], device=images.device) % 2 == 0
    return (doubled + torch.where(even, 8 / 16, 7 / 16).to(images.dtype)).floor()


def _nearest(values: Tensor) -> Tensor:
    """Return the nearest whole numbers, halves away from 0: means of blocks often lie halfway."""
    return values.sign() * (values.abs() + (0.5 + 1e-4)).floor()


def _coded(images: Tensor, scale: Tensor, table: tuple[int, ...]) -> Tensor:
    """Return values from -128 to 127 after the cosine transforms of their blocks are rounded.

    Args:
        images: B x C x H x W, with sides that are multiples of 8.
        scale: Percent of the table, B x 1 x 1 x 1.
        table: The steps to which the 64 frequencies are rounded, at 100 percent.
    """
    steps_at = images.new_tensor(table).view(8, 8) * scale
    steps_at = ((steps_at + 50) / 100).floor().clamp(1, 255)[:, :, None, None]  # B x 1 x 1 x 1 x 8 x 8
    cosines = _cosines(images)
    blocks = images.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-3, -2)
    frequencies = cosines @ blocks @ cosines.T
    blocks = cosines.T @ (_nearest(frequencies / steps_at) * steps_at) @ cosines
    decoded = (blocks + (0.5 + 1e-4)).floor().clamp(-128, 127)
    return decoded.transpose(-3, -2).flatten(-2).flatten(-3, -2)


def _cosines(like: Tensor) -> Tensor:
    """Return the orthonormal cosine transform of 8 values, 8 x 8, frequencies in rows."""
    n = torch.arange(8, dtype=like.dtype, device=like.device)
    cosines = (math.pi / 8 * (n + 0.5) * n[:, None]).cos() / 2
    return torch.cat([cosines[:1] / math.sqrt(2), cosines[1:]])
