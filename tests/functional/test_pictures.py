"""The standard picture has the spectrum that it says, by numpy's Fourier transform, and no preferred side."""

import numpy as np
import pytest
import torch

from itn.functional import standard_picture


def test_amplitudes_fall_with_the_frequency_to_the_power_1_2():
    size = (96, 128)
    noise = standard_picture(1, size)[0].double().numpy() - 0.5
    amplitudes = np.abs(np.fft.fft2(noise))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1]))
    heard = (frequency > 0.02) & (frequency < 0.4) & (amplitudes > 1e-3 * amplitudes.max())
    slope, _ = np.polyfit(np.log(frequency[heard]), np.log(amplitudes[heard]), 1)
    assert slope == pytest.approx(-1.2, abs=0.05)


def test_it_is_its_own_mirror_image_and_the_same_at_every_call():
    picture = standard_picture(3, (31, 44))
    torch.testing.assert_close(picture.flip(-1), picture, rtol=0, atol=1e-6)
    torch.testing.assert_close(picture.flip(-2), picture, rtol=0, atol=1e-6)
    assert not torch.allclose(picture.flip(-1, -2)[:, 1:], picture[:, :-1], atol=0.05)
    torch.manual_seed(5)
    assert torch.equal(standard_picture(3, (31, 44)), picture)


def test_it_has_the_mean_the_deviation_and_the_correlation_that_it_says():
    picture = standard_picture(3, (224, 224)).double()
    assert picture.min() >= 0
    assert picture.max() <= 1
    np.testing.assert_allclose(picture.mean((1, 2)), 0.5, atol=0.01)
    np.testing.assert_allclose(picture.std((1, 2)), 0.2, atol=0.01)
    correlation = np.corrcoef(picture.flatten(1).numpy())
    np.testing.assert_allclose(correlation[np.triu_indices(3, 1)], 0.9, atol=0.08)  # low waves are few


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
def test_a_tiny_one_is_finite(size):
    picture = standard_picture(2, size)
    assert picture.shape == (2, *size)
    assert picture.isfinite().all()
