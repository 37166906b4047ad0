"""Filters against scipy, their displacement against random images, and their members."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from itn import FilterTransformer
from itn.functional import filter_channels, filter_images

MODES = {"zeros": "constant", "border": "nearest", "reflection": "reflect"}
KINDS = {
    "one": {},
    "each": {"channels": 2},
    "mixing": {"channels": 2, "mixing": True},
    "brightness": {"channels": 2, "mixing": True, "keep_brightness": False},
}


@pytest.fixture(params=KINDS)
def module(request):
    return FilterTransformer(size=5, **KINDS[request.param]).double()


def parameters(module, rows=3, size=0.3):
    generator = torch.Generator().manual_seed(0)
    return size * torch.randn(rows, len(module.names), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("padding", MODES)
def test_each_output_is_a_sum_of_correlations(module, padding, odd_images):
    p = parameters(module)
    frame = module.frame(odd_images.shape)._replace(padding=padding)
    filtered = module.apply_parameters(odd_images, p, frame)
    kernels = module.kernels(p).numpy()
    for image, of_image, result in zip(odd_images.numpy(), kernels, filtered.numpy(), strict=True):
        for channel in range(2):
            kernel = of_image[channel if len(of_image) > 1 else 0]
            sources = range(2) if module.mixing else (channel,)
            expected = sum(
                scipy.ndimage.correlate(image[source], kernel[number], mode=MODES[padding])
                for number, source in enumerate(sources)
            )
            np.testing.assert_allclose(result[channel], expected, rtol=0, atol=1e-10)


def test_displacement_is_the_mean_change_of_random_images(module):
    p = parameters(module, 1)
    noise = np.random.default_rng(0).standard_normal((2, 300, 300))
    kernels = module.kernels(p).numpy()[0]
    changes = []
    for channel in range(2):
        kernel = kernels[channel if len(kernels) > 1 else 0]
        sources = range(2) if module.mixing else (channel,)
        filtered = sum(
            scipy.ndimage.correlate(noise[source], kernel[number], mode="wrap")
            for number, source in enumerate(sources)
        )
        changes.append(((filtered - noise[channel]) ** 2).mean())
    exact = module.displacement(p, module.frame((2, 9, 9))).item()
    assert np.mean(changes) == pytest.approx(exact, rel=0.03)
    sampled = module.sampled_displacement(p, 20000, torch.Generator().manual_seed(0), module.frame((2, 9, 9)))
    assert sampled.item() == pytest.approx(exact, rel=0.05)


def test_even_areas_stay_where_brightness_is_kept():
    for kind, settings in KINDS.items():
        module = FilterTransformer(size=3, padding="border", **settings).double()
        even = torch.full((3, 2, 5, 6), 0.6, dtype=torch.float64)
        filtered = module.apply_parameters(even, parameters(module), module.frame(even.shape)._replace())
        assert torch.allclose(filtered, even) == (kind != "brightness")


def test_baselines_are_the_known_filters_and_members():
    module = FilterTransformer(size=7).double()
    frame = module.frame((1, 9, 11))
    singles = {single.name: single for single in module.baselines(frame)}
    assert list(singles) == ["blur", "motion_blur", "motion_blur_vertical", "sharpness"]
    offset = np.arange(-3, 4)
    gaussian = np.exp(-0.5 * (offset / 1.5) ** 2)
    gaussian = np.outer(gaussian, gaussian) / gaussian.sum() ** 2
    travel = np.zeros((7, 7))
    travel[3, 2:5] = 1 / 4, 1 / 2, 1 / 4  # of 2 pixels, between pixels linearly interpolated: 1/8 + 3/4 + 1/8
    travel[3, 2:5] = 1 / 8 + 1 / 8, 1 / 2, 1 / 8 + 1 / 8
    smooth = np.zeros((7, 7))
    smooth[2:5, 2:5] = 1 / 13
    smooth[3, 3] = 5 / 13
    identity = np.zeros((7, 7))
    identity[3, 3] = 1
    for name, magnitude, expected in (
        ("blur", 1.5, gaussian),
        ("motion_blur", 2.0, travel),
        ("motion_blur_vertical", 2.0, travel.T),
        ("sharpness", 3.0, smooth + 3 * (identity - smooth)),
    ):
        single = singles[name]
        scale = (magnitude - single.identity) / single.max_offset
        assert single.magnitude(scale) == pytest.approx(magnitude)
        kernel = module.kernels(single.parameters(scale)[None].double())[0, 0, 0]
        np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-6, err_msg=name)
        assert (single.parameters(1.0).abs() <= module.head.bound * (1 + 1e-5)).all()
        assert not single.parameters(0.0).any()


def test_words_say_what_is_left_of_stripes():
    module = FilterTransformer(size=5)
    blur = module.baselines(module.frame((1, 9, 9)))[2]  # vertical motion of 4 pixels
    words = module.describe(blur.parameters(1.0)[None], module.frame((1, 9, 9)))
    assert words.startswith(
        "stripes that repeat every 4 pixels keep 100 % of their contrast across and 0 % down"
    )


def test_small_kernels_give_what_a_fourier_transform_gives(odd_images):
    kernels = torch.rand(3, 5, 5, dtype=torch.float64)
    expected = filter_images(odd_images, kernels, "reflection")
    torch.testing.assert_close(filter_channels(odd_images, kernels[:, None, None], "reflection"), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 4}, "size must be odd, from 3 to 15, got 4"),
        ({"mixing": True}, "mixing needs the number of channels, such as channels=3"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FilterTransformer(**settings)


def test_bad_kernels_and_channels_are_refused(odd_images):
    with pytest.raises(ValueError, match="kernels must be B x O x I x K x K with an odd K"):
        filter_channels(odd_images, torch.rand(3, 1, 1, 4, 4))
    with pytest.raises(ValueError, match="kernels map 3 to 3 channels, the images have 2"):
        filter_channels(odd_images, torch.rand(3, 3, 3, 3, 3))
    with pytest.raises(ValueError, match="images have 2 channels, the filter takes 3"):
        FilterTransformer(channels=3)(odd_images, torch.zeros(2))
