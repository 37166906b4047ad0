"""Tone as a pure function: one curve for all values of an image."""

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
