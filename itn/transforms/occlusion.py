"""A part of the frame is covered."""

import torch
from torch import Tensor

from itn.functional import Surround, change_crops
from itn.transforms.magnitudes import steps
from itn.transforms.registry import register


@register("share of the frame", 0.0, steps(0, 1, 0.1), domain=(0.0, 1.0), group="noises")
def occlusion(images: Tensor, v: Tensor, noise: Tensor, surround: Surround | None) -> Tensor:
    """Cover a share v of the frame by a black rectangle of its shape, at a place that the seed chooses.

    The place of an image is the same at all magnitudes, so that the rectangle grows. Not ``RandomErasing`` of
    kornia and torchvision, which cover whole pixels at places that they draw themselves.
    """
    place = noise if surround is None else surround.crops(noise)
    place = torch.special.ndtr(place.flatten(1))
    across, down = place[:, 0], place[:, -1]

    def cover(crops: Tensor) -> Tensor:
        height, width = crops.shape[-2:]
        side = v.flatten().clamp_min(1e-12).sqrt()  # the root of 0 has no gradient
        rows, columns = (_covered(share, side, n) for share, n in ((down, height), (across, width)))
        return crops * (1 - rows[:, None, :, None] * columns[:, None, None, :])

    return change_crops(images, surround, cover)


def _covered(place: Tensor, side: Tensor, n: int) -> Tensor:
    """Return how much of each of n pixels an interval covers, B x n.

    Args:
        place: Where it lies, B, from 0, at the beginning of the row, to 1, at its end.
        side: Its share of the row, B or 1.
        n: Number of pixels.
    """
    start = (place * (1 - side) * n)[:, None]
    pixel = torch.arange(n, dtype=side.dtype, device=side.device)
    end = start + (side * n)[:, None]
    return (torch.minimum(pixel + 1, end) - torch.maximum(pixel, start)).clamp(0, 1)
