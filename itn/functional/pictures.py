"""A picture that stands for photographs where none are at hand."""

import math

import torch
from torch import Tensor

_DEVIATION = 0.2  # of its values, around 1/2
_SLOPE = 1.2  # amplitudes fall with this power of the frequency
_CORRELATION = 0.9  # of its channels, about that of photographs


def standard_picture(channels: int, size: tuple[int, int]) -> Tensor:
    """Return noise with the spectrum of photographs: amplitudes fall with the frequency to the power 1.2.

    (Tolhurst, Tadmor and Chao 1992, "Amplitude spectra of natural images".) It is the same at every call, and
    the same in its mirror images, so that a shift to the left and one to the right change it alike. Only the
    signs of its waves are random, so that chance hardly favors a direction.

    Args:
        channels: C; they are alike but for a tenth of their variance.
        size: Height and width in pixels.

    Returns:
        C x H x W, float32 in [0, 1], with the mean 1/2 and, before it is clamped, the deviation 0.2.
    """
    down, across = (_even_waves(pixels) for pixels in size)
    rows, columns = (torch.arange(len(waves), dtype=torch.float64) for waves in (down, across))
    frequency = torch.hypot(rows[:, None] / size[0], columns / size[1])
    frequency[0, 0] = math.inf  # the mean is given
    signs = torch.randint(
        2, (channels + 1, *frequency.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    waves = down.T @ ((2 * signs - 1) / frequency**_SLOPE) @ across
    shared, own = waves[:1], waves[1:]
    noise = math.sqrt(_CORRELATION) * shared + math.sqrt(1 - _CORRELATION) * own
    deviation = noise.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)
    return (0.5 + _DEVIATION * noise / deviation).clamp(0, 1).float()


def _even_waves(pixels: int) -> Tensor:
    """Return cosines that repeat 0, 1, 2, ... times along a side, waves x pixels: the same in a mirror."""
    place = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
    waves = torch.arange(max(1, (pixels + 1) // 2), dtype=torch.float64)
    return (2 * math.pi * waves[:, None] * place).cos()
