"""Transformations of fine detail: motion blur, defocus, sharpness, pixels that grow."""

import math

import torch
from torch import Tensor

from itn.functional import disk_kernels, filter_images, filter_matrix, motion_weights
from itn.transforms.magnitudes import octaves
from itn.transforms.registry import register


@register(
    "pixels of travel",
    0.0,
    (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0),
    domain=(0.0, 1000.0),
    group="detail",
)
def motion_blur(images: Tensor, v: Tensor, padding: str) -> Tensor:
    """Take the mean over a horizontal motion of v pixels, centered, linearly interpolated between pixels.

    Not kornia's ``motion_blur``, whose kernels have odd sizes only, one for all images. ImageNet-C draws a
    direction for each image and weights the trail, so its severities are not known here.
    """
    columns = filter_matrix(motion_weights(v.flatten()), images.shape[-1], padding)
    return images @ (columns[0] if len(v) == 1 else columns[:, None]).mT


@register(
    "radius in pixels",
    0.0,
    (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0),
    domain=(0.0, 100.0),
    group="detail",
    severities=(3.0, 4.0, 6.0, 8.0, 10.0),  # of which the edges are smoothed there
)
def defocus(images: Tensor, v: Tensor, padding: str) -> Tensor:
    """Take the mean over a disk of radius v pixels, linearly interpolated between pixels."""
    return filter_images(images, disk_kernels(v.flatten()), padding)


@register(
    "factor, above 1 sharpens",
    1.0,
    octaves(-4, 6, 1),
    domain=(0.0, math.inf),
    logarithmic=True,
    group="detail",
)
def sharpness(images: Tensor, v: Tensor) -> Tensor:
    """Move v times as far from a smoothed image: S + v (I - S), S of 3 x 3 pixels as in PIL; edges stay."""
    if min(images.shape[-2:]) < 3:  # nothing but edges
        return images
    from kornia.enhance import sharpness as kornia_sharpness  # noqa: PLC0415  # slow to import

    return kornia_sharpness(images, v.flatten().expand(len(images)))


@register(
    "side of a block in pixels",
    1.0,
    octaves(0, 5, 2),
    domain=(1.0, 1000.0),
    logarithmic=True,
    group="detail",
    severities=(1 / 0.6, 2.0, 2.5, 1 / 0.3, 4.0),
)
def pixelate(images: Tensor, v: Tensor) -> Tensor:
    """Replace blocks of v x v pixels, from the upper left, by their means; parts of pixels count."""
    rows, columns = (_block_means(v.flatten(), n).unsqueeze(1) for n in images.shape[-2:])
    if len(v) == 1:
        rows, columns = rows[0, 0], columns[0, 0]
    return rows @ images @ columns.mT


def _block_means(side: Tensor, n: int) -> Tensor:
    """Return the matrices, B x n x n, from rows of n pixels to the mean of the block of each pixel."""
    pixel = torch.arange(n, dtype=side.dtype, device=side.device)
    side = side[:, None, None]
    start = ((pixel[:, None] + 0.5) / side).floor() * side
    end = (start + side).clamp_max(n)
    overlap = torch.minimum(pixel + 1, end) - torch.maximum(pixel, start)
    return overlap.clamp_min(0) / (end - start)
