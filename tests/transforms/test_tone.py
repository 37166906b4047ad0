import colorsys

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch

from itn.functional import Surround
from itn.transforms import TRANSFORMS


def colors(channels=3, batch=3, size=(9, 13), seed=1):
    randomness = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, *size, generator=randomness, dtype=torch.float64)


def eight_bits(channels=3):
    """Every value of 8 bits, as B x C x H x W and as a picture."""
    values = torch.arange(256, dtype=torch.uint8)
    values = torch.stack([values, values.flip(0), values.roll(100)])[:channels].view(1, channels, 16, 16)
    pixels = values[0].permute(1, 2, 0).squeeze(-1).numpy()
    return values, PIL.Image.fromarray(pixels)


def close(result, expected, atol=1e-12):
    np.testing.assert_allclose(result.numpy(), np.asarray(expected), rtol=0, atol=atol)


@pytest.mark.parametrize("channels", [1, 3])
def test_gamma_is_a_power(channels):
    images = colors(channels)
    for v in (0.125, 0.7, 1.3, 8.0):
        close(TRANSFORMS["gamma"](images, v), images.numpy() ** v)
    assert torch.equal(TRANSFORMS["gamma"](images.round(), 0.3), images.round())
    assert (TRANSFORMS["gamma"](images.round(), 0.0) == 1).all()


@pytest.mark.parametrize("v", [0.0, 0.4, 1.7, 9.0])
def test_saturation_is_that_of_colorsys(v):
    images = colors()
    images[0] *= 0.2
    images[1, :, 0, :5] = torch.tensor([0.0, 0.3, 1.0, 0.6, 0.9], dtype=torch.float64)  # black, grays, white

    def saturated(red, green, blue):
        h, s, value = colorsys.rgb_to_hsv(red, green, blue)
        return colorsys.hsv_to_rgb(h, min(1.0, s * v), value)

    expected = np.stack(np.vectorize(saturated)(*images.unbind(1)), 1)
    close(TRANSFORMS["saturation"](images, v), expected, atol=1e-7)  # kornia guards a division by 1e-8


@pytest.mark.parametrize("v", [-180.0, -95.0, 30.0, 120.0, 180.0])
def test_hue_is_that_of_colorsys(v):
    images = colors()
    images[1, :, 0, :5] = torch.tensor([0.0, 0.3, 1.0, 0.6, 0.9], dtype=torch.float64)

    def turned(red, green, blue):
        h, s, value = colorsys.rgb_to_hsv(red, green, blue)
        return colorsys.hsv_to_rgb((h + v / 360) % 1, s, value)

    expected = np.stack(np.vectorize(turned)(*images.unbind(1)), 1)
    close(TRANSFORMS["hue"](images, v), expected, atol=1e-6)


def test_hue_turns_from_red_to_green():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    close(TRANSFORMS["hue"](red, 120).flatten(), [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_gray_images_keep_their_gray_and_other_numbers_of_channels_are_refused(name):
    assert torch.equal(TRANSFORMS[name](colors(1), 2.0), colors(1))
    gray = colors(1).expand(-1, 3, -1, -1)
    close(TRANSFORMS[name](gray, 2.0), gray, atol=1e-7)
    with pytest.raises(ValueError, match=f"{name} takes images of 1 or 3 channels, got 2 channels"):
        TRANSFORMS[name](colors(2), 2.0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_by_whole_bits_is_that_of_pil(bits, channels):
    values, picture = eight_bits(channels)
    expected = np.asarray(PIL.ImageOps.posterize(picture, bits)).reshape(16, 16, channels)
    close(TRANSFORMS["posterize"](values, bits)[0].permute(1, 2, 0) * 255, expected, atol=1e-4)


def test_posterize_by_fractions_of_bits_has_as_many_levels():
    ramp = torch.linspace(0, 1, 1000, dtype=torch.float64).view(1, 1, 1, -1)
    levels = [len(TRANSFORMS["posterize"](ramp, v).unique()) for v in (0.0, 1.0, 1.5, 2.5, 3.7)]
    assert levels == [1, 2, 3, 6, 13]  # 2^v, rounded up
    assert (TRANSFORMS["posterize"](ramp, 2.5) <= ramp + 1e-5).all()


@pytest.mark.parametrize("threshold", [0, 1, 64, 128, 254])
def test_solarize_is_that_of_pil(threshold):
    values, picture = eight_bits()
    expected = np.asarray(PIL.ImageOps.solarize(picture, threshold))
    close(TRANSFORMS["solarize"](values, threshold / 255)[0].permute(1, 2, 0) * 255, expected, atol=1e-4)


def test_vignette_is_a_power_of_the_light_in_the_corners():
    images = colors(2)
    for v in (0.2, 0.9, 1.0):
        expected = np.empty(images.shape)
        for i in range(9):
            for j in range(13):
                squared = (((i + 0.5) / 4.5 - 1) ** 2 + ((j + 0.5) / 6.5 - 1) ** 2) / 2
                expected[:, :, i, j] = images[:, :, i, j] * (1 - v) ** squared
        close(TRANSFORMS["vignette"](images, v), expected)


def test_vignette_of_a_canvas_is_that_of_its_crop_and_goes_on_around_it():
    canvases = colors(2, size=(15, 21))
    surround = Surround.central((15, 21), (9, 13), 3)
    v = torch.tensor([0.3, 0.0, 0.8], dtype=torch.float64)
    changed = TRANSFORMS["vignette"].apply(canvases, v, surround=surround)
    close(surround.crops(changed), TRANSFORMS["vignette"](surround.crops(canvases), v))
    assert (changed[0, :, 0, 0] / canvases[0, :, 0, 0] < 0.7).all()
