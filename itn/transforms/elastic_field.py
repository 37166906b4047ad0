"""Elastic deformation by a random field of shifts."""

import torch
from torch import Tensor

from itn.functional import Surround, change_crops, shift_pixels, sine_field
from itn.transforms.magnitudes import steps
from itn.transforms.registry import register

_MOST_WAVES = 5  # half waves across the frame


@register("RMS shift, fraction of the width", 0.0, steps(0, 0.1, 0.01), domain=(0.0, 1.0), group="spatial")
def elastic(images: Tensor, v: Tensor, noise: Tensor, padding: str, surround: Surround | None) -> Tensor:
    """Shift pixels by a smooth random field, v of the width on average (RMS), that the seed chooses.

    The field is a sum of sines of up to five half waves, and 0 on the edge of the frame: nothing comes in, so
    that a surround changes nothing. Not kornia's ``elastic_transform2d``, whose field depends on the
    resolution, and draws in from beyond the edge.
    """
    pattern = noise if surround is None else surround.crops(noise)

    def deform(crops: Tensor) -> Tensor:
        height, width = crops.shape[-2:]
        field = sine_field(_coefficients(pattern.flatten(1)), (height, width))  # in widths, B x 2 x H x W
        across, down = (v.view(-1, 1, 1, 1) * field).unbind(1)
        return shift_pixels(crops, torch.stack([across, down * width / height], 1), padding)

    return change_crops(images, surround, deform)


def _coefficients(pattern: Tensor) -> Tensor:
    """Return the coefficients, B x 2 x M x M, of fields along x and y whose squares together have the mean 1.

    Args:
        pattern: Standard normal numbers, B x N; the first ones are used, again and again if they are too few.
    """
    wave = torch.arange(1, _MOST_WAVES + 1, dtype=pattern.dtype, device=pattern.device)
    squared = wave.square() + wave.square()[:, None]
    decay = (squared <= _MOST_WAVES**2) / squared.sqrt()  # long waves move farther than short ones
    numbers = torch.arange(2 * _MOST_WAVES**2, device=pattern.device) % pattern.shape[1]
    drawn = pattern[:, numbers].unflatten(1, (2, _MOST_WAVES, _MOST_WAVES)) * decay
    return 2 * drawn / drawn.flatten(1).norm(dim=1).clamp_min(1e-6).view(-1, 1, 1, 1)
