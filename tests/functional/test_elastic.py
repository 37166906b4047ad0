import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from itn.functional import PADDINGS, shift_pixels, sine_field

SCIPY = {"zeros": "grid-constant", "border": "nearest", "reflection": "reflect"}


def test_a_field_is_a_sum_of_sines():
    coefficients = torch.rand(2, 3, 4, dtype=torch.float64) - 0.5
    field = sine_field(coefficients, (9, 13)).numpy()
    expected = np.zeros((2, 9, 13))
    for m in range(3):
        for n in range(4):
            for i in range(9):
                for j in range(13):
                    y, x = (i + 0.5) / 9, (j + 0.5) / 13
                    wave = math.sin((m + 1) * math.pi * y) * math.sin((n + 1) * math.pi * x)
                    expected[:, i, j] += coefficients[:, m, n].numpy() * wave
    np.testing.assert_allclose(field, expected, atol=1e-12)
    square = (coefficients**2).sum((1, 2)) / 4
    np.testing.assert_allclose((field**2).mean((1, 2)), square, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
def test_each_pixel_is_read_at_its_shift(padding, odd_images):
    shifts = 0.6 * torch.rand(3, 2, 9, 13, dtype=torch.float64) - 0.3
    result = shift_pixels(odd_images, shifts, padding)
    for image, shift, changed in zip(odd_images.numpy(), shifts.numpy(), result.numpy(), strict=True):
        positions = np.mgrid[0:9, 0:13] + np.stack([9 * shift[1], 13 * shift[0]])
        for channel, seen in zip(image, changed, strict=True):
            expected = scipy.ndimage.map_coordinates(channel, positions, order=1, mode=SCIPY[padding])
            np.testing.assert_allclose(seen, expected, atol=1e-9)


def test_no_shift_is_exact_and_gradients_are_right(odd_images):
    coefficients = torch.rand(3, 2, 2, 2, dtype=torch.float64) / 10
    coefficients[1] = 0
    coefficients.requires_grad_()
    images = odd_images[..., :4, :5].clone()
    shifted = shift_pixels(images, sine_field(coefficients, (4, 5)))
    assert torch.equal(shifted[1], images[1])
    shifted.square().sum().backward()
    assert (coefficients.grad[1] != 0).any()
    assert torch.equal(shift_pixels(images.half(), torch.zeros(3, 2, 4, 5)), images.half())
    assert torch.autograd.gradcheck(
        lambda images, coefficients: shift_pixels(images, sine_field(coefficients, (4, 5))),
        (images[::2].requires_grad_(), coefficients[::2].detach().requires_grad_()),
    )
