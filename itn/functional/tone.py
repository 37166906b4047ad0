"""Tone as pure functions: curves for the values of an image."""

import math

import torch
from torch import Tensor


def gamma_curve(images: Tensor, exponent: Tensor) -> Tensor:
    """Return images to the power of an exponent, value by value.

    Args:
        images: B x C x H x W in [0, 1].
        exponent: At least 0, of a shape that broadcasts, such as B x 1 x 1 x 1; above 1 is darker.

    Returns:
        Images in [0, 1] of the same shape, differentiable in both: black stays black, with gradient 0, where
        that of the power is infinite for exponents below 1.
    """
    black = images == 0
    curved = torch.where(black, 1.0, images) ** exponent
    return torch.where(black & (exponent > 0), 0.0, curved)


def tone_curve(images: Tensor, waves: Tensor) -> Tensor:
    """Return images to the power of an exponent that varies smoothly with the value.

    A value v becomes ``v ** 2 ** q(v)``, where q(v) is the sum over n from 0 of ``waves[n] cos(n pi v)``: the
    exponent in octaves. ``waves[0]`` alone is a gamma curve. The curve increases strictly where the sum of
    ``n |waves[n]|`` is below ``MOST_WAVES``: then ``|q'(v) v ln v|``, at most ``max |q'| / e``, is below
    ``1 / ln 2``.

    Args:
        images: B x C x H x W in [0, 1].
        waves: B x C x N, or B x 1 x N for all channels.

    Returns:
        Images in [0, 1] of the same shape, in the wider of the two dtypes, differentiable in both; black and
        white stay. The mean of q squared over v uniform in [0, 1] is
        ``waves[0] ** 2 + sum(waves[1:] ** 2) / 2``.
    """
    octaves = waves[..., 0, None, None].expand(-1, -1, *images.shape[-2:])
    for n in range(1, waves.shape[-1]):
        octaves = octaves + waves[..., n, None, None] * (n * math.pi * images).cos()
    return gamma_curve(images, octaves.exp2())


MOST_WAVES = math.e / (math.pi * math.log(2))
"""Bound on the sum of ``n |waves[n]|`` below which every ``tone_curve`` increases strictly."""
