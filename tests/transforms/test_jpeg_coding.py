import io

import numpy as np
import PIL.Image
import pytest
import torch

from itn.transforms import TRANSFORMS


def picture(mode, size=(53, 70)):
    """Smooth colors with edges and grain, of a size that no block divides."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 20
    waves = [np.sin(3 * x + y) + (x > y), np.cos(2 * y - x), np.sin(x * y) - (x + y > 3)]
    grain = np.random.default_rng(0).normal(size=(*size, 3)) / 8
    pixels = np.clip(128 + 70 * (np.stack(waves, -1) + grain), 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def batch(image):
    pixels = np.atleast_3d(np.asarray(image))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("quality", [95, 75, 50, 25, 10, 1])
def test_it_loses_what_a_file_of_pillow_loses(quality, mode):
    """The same coefficients but for ties: on average within a twentieth of what is lost."""
    image = picture(mode)
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=quality)
        decoded = np.asarray(PIL.Image.open(file)).astype(float)
    result = TRANSFORMS["jpeg"](batch(image), 100 - quality)[0].permute(1, 2, 0).numpy() * 255
    difference = np.abs(result.reshape(decoded.shape) - decoded)
    lost = np.abs(np.asarray(image) - decoded).mean()
    assert difference.mean() < 0.05 * lost + 0.3
    assert np.quantile(difference, 0.9) < 2.01
    assert np.abs(result.round() - result).max() < 1e-3  # whole numbers, as in a file


def test_qualities_between_lose_something_between():
    images = batch(picture("RGB"))

    def lost(v):
        return (TRANSFORMS["jpeg"](images, v) - images / 255).square().mean().item()

    losses = [lost(v) for v in (60, 60.5, 61, 75, 75.7, 90, 90.3, 99)]
    assert losses == sorted(losses)
    assert len(set(losses)) == len(losses)


def test_other_numbers_of_channels_are_coded_one_by_one():
    images = torch.rand(2, 5, 20, 9, generator=torch.Generator().manual_seed(1))
    coded = TRANSFORMS["jpeg"](images, 70)
    alone = [TRANSFORMS["jpeg"](images[:, [n]], 70) for n in range(5)]
    torch.testing.assert_close(coded, torch.cat(alone, 1))


@pytest.mark.parametrize("v", [-1, 99.5, 100])
def test_there_is_no_quality_below_1(v):
    with pytest.raises(
        ValueError, match=r"jpeg \(100 minus the quality\) takes magnitudes from 0 to 99, got"
    ):
        TRANSFORMS["jpeg"](torch.rand(1, 3, 8, 8), v)
