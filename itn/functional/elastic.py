"""Elastic deformations as pure functions: smooth fields of shifts, and images sampled through them."""

import math

import torch
from torch import Tensor

from itn.functional.sampling import exact_where, sample
from itn.functional.spatial import pixel_centers


def sine_field(coefficients: Tensor, size: tuple[int, int]) -> Tensor:
    """Return smooth fields that vanish on the outer edges of the frame, as sums of products of sines.

    The field at (x, y), both from 0 to 1 across the frame, is the sum over m and n of
    ``coefficients[m - 1, n - 1] sin(m pi y) sin(n pi x)`` (Petrini et al. 2021, "Relative stability toward
    diffeomorphisms indicates performance in deep nets", equation 2). Its mean square over the frame is a
    quarter of the sum of the squared coefficients, exactly where there are more pixels than half waves.

    Args:
        coefficients: ... x M x N, for 1 to M half waves down the frame and 1 to N across it.
        size: Height and width in pixels.

    Returns:
        ... x H x W, at pixel centers; linear in the coefficients.
    """
    rows, columns = (
        ((pixel_centers(n, coefficients) + 1)[:, None] * _half_waves(waves, coefficients) / 2).sin()
        for n, waves in zip(size, coefficients.shape[-2:], strict=True)
    )
    return rows @ coefficients @ columns.mT


def steepness(rows: int, columns: int) -> Tensor:
    """Return by how much the map x + field(x) deviates from the identity for each coefficient, M x N.

    Of ``sine_field`` with a single coefficient of 1, the largest sum, anywhere in the frame, of the absolute
    values of both derivatives: pi times the larger number of half waves, since
    ``|cos a sin b| + |sin a cos b| <= 1``. Where the absolute coefficients along x, times these, sum to less
    than 1, and so do those along y, the map takes the frame onto itself and can be inverted.
    """
    m, n = (torch.arange(1, count + 1, dtype=torch.float64) for count in (rows, columns))
    return math.pi * torch.maximum(m[:, None], n)


def _half_waves(count: int, like: Tensor) -> Tensor:
    return math.pi * torch.arange(1, count + 1, dtype=like.dtype, device=like.device)


def shift_pixels(
    images: Tensor, shifts: Tensor, padding: str = "zeros", interpolation: str = "bilinear"
) -> Tensor:
    """Sample images, each output pixel from its own place.

    Args:
        images: B x C x H x W with any values.
        shifts: B x 2 x H x W: how far right of an output pixel, as a fraction of the width, and how far below
            it, as a fraction of the height, its value is read.
        padding: What lies outside the frame: ``"zeros"``, ``"border"`` or ``"reflection"``.
        interpolation: As in ``itn.warp``.

    Returns:
        Images of the same shape and dtype, differentiable in images and shifts. Where all shifts are 0 the
        image is returned bit for bit.
    """
    with torch.autocast(images.device.type, enabled=False):
        dtype = torch.promote_types(images.dtype, shifts.dtype)
        shifts = shifts.to(dtype)
        y, x = (pixel_centers(n, shifts) for n in images.shape[-2:])
        grid = torch.stack([x + 2 * shifts[:, 0], y[:, None] + 2 * shifts[:, 1]], -1)
        shifted = sample(images.to(dtype), grid, padding, interpolation)
        return exact_where((shifts == 0).flatten(1).all(1), images, shifted)
