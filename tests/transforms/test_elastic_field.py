import math

import numpy as np
import scipy.ndimage
import torch

from itn.transforms import TRANSFORMS, standard_noise
from itn.transforms.elastic_field import _coefficients

elastic = TRANSFORMS["elastic"]


def field(noise, size):
    """Shifts in widths, B x 2 x H x W, as a sum of sines one by one."""
    coefficients = _coefficients(noise.flatten(1)).numpy()
    y, x = ((np.arange(n) + 0.5) / n for n in size)
    total = np.zeros((len(noise), 2, *size))
    for m in range(5):
        for n in range(5):
            wave = np.outer(np.sin((m + 1) * math.pi * y), np.sin((n + 1) * math.pi * x))
            total += coefficients[:, :, m, n, None, None] * wave
    return total


def test_pixels_are_read_where_the_field_says():
    images = torch.rand(3, 2, 18, 26, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = standard_noise(images, torch.Generator().manual_seed(2))
    shifts, v = field(noise, (18, 26)), 0.04
    result = elastic(images, v, noise=noise, padding="border")
    for image, changed, (across, down) in zip(images, result, shifts, strict=True):
        positions = np.mgrid[0:18, 0:26] + 26 * v * np.stack([down, across])
        for channel, seen in zip(image.numpy(), changed.numpy(), strict=True):
            expected = scipy.ndimage.map_coordinates(channel, positions, order=1, mode="nearest")
            np.testing.assert_allclose(seen, expected, atol=1e-9)


def test_the_shift_is_1_on_average_and_0_at_the_edge():
    noise = standard_noise(torch.empty(50, 1, 60, 90, dtype=torch.float64), torch.Generator().manual_seed(2))
    shifts = field(noise, (60, 90))
    np.testing.assert_allclose((shifts**2).sum(1).mean((1, 2)), 1, atol=1e-9)
    edge = np.concatenate([shifts[:, :, 0].ravel(), shifts[:, :, :, -1].ravel()])
    assert np.sqrt((edge**2).mean()) < 0.1
    assert (shifts[:, 0] ** 2).mean() / (shifts[:, 1] ** 2).mean() < 2  # neither direction is preferred
    assert (shifts[:, 1] ** 2).mean() / (shifts[:, 0] ** 2).mean() < 2
