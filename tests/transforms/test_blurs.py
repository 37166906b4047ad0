import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import scipy.ndimage
import torch

from itn.functional.sampling import PADDINGS
from itn.transforms import TRANSFORMS

SCIPY = {"zeros": "constant", "border": "nearest", "reflection": "reflect"}
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def close(result, expected, atol=1e-12):
    np.testing.assert_allclose(result.numpy(), np.asarray(expected), rtol=0, atol=atol)


def interpolated(row, position):
    """The row between pixels, linearly, 0 beyond."""
    left = int(np.floor(position))
    at = [row[i] if 0 <= i < len(row) else 0.0 for i in (left, left + 1)]
    return at[0] + (position - left) * (at[1] - at[0])


@pytest.mark.parametrize("v", [0.3, 1.0, 2.7, 8.0])
def test_motion_blur_is_the_mean_over_the_way(v, odd_images):
    """The way of v pixels is gone in many small steps."""
    row = odd_images[1, 0, 4].numpy()
    way = (np.arange(4000) + 0.5) / 4000 * v - v / 2
    expected = [np.mean([interpolated(row, n + step) for step in way]) for n in range(0, 13, 4)]
    close(TRANSFORMS["motion_blur"](odd_images, v)[1, 0, 4, ::4], expected, atol=1e-6)


@every_padding
def test_motion_blur_of_whole_pixels_matches_scipy(padding, odd_images):
    """Two pixels each way: all five weigh the same but the outer two, which are reached only at the end."""
    result = TRANSFORMS["motion_blur"](odd_images, 4.0, padding=padding)
    weights = np.array([0.5, 1, 1, 1, 0.5]) / 4
    close(result, scipy.ndimage.correlate1d(odd_images.numpy(), weights, axis=-1, mode=SCIPY[padding]))


@pytest.mark.parametrize("v", [0.4, 1.3, 3.2])
@every_padding
def test_defocus_matches_scipy_with_the_mean_over_a_disk(v, padding, odd_images):
    """The kernel by drawing the points of the disk one by one, each shared by four pixels."""
    points = (np.arange(801) - 400) / 400 * v
    y, x = (part[np.hypot(*np.meshgrid(points, points)) <= v] for part in np.meshgrid(points, points))
    reach = int(v) + 1
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            weight = abs(1 - down - (y - top)) * abs(1 - right - (x - left))
            np.add.at(kernel, (top + reach + down, left + reach + right), weight)
    kernel = kernel[:-1, :-1] / kernel.sum()
    expected = [
        [scipy.ndimage.correlate(channel, kernel, mode=SCIPY[padding]) for channel in image]
        for image in odd_images.numpy()
    ]
    close(TRANSFORMS["defocus"](odd_images, v, padding=padding), expected, atol=2e-3)


def test_defocus_spreads_a_point_over_a_disk_of_its_radius():
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    disk = TRANSFORMS["defocus"](point, 8.0)[0, 0]
    distance = np.hypot(*np.mgrid[-20:21, -20:21])
    close(disk[torch.from_numpy(distance < 7)], 1 / (np.pi * 64), atol=2e-4)
    assert disk[torch.from_numpy(distance > 9.5)].abs().max() < 1e-12
    assert abs(disk.sum() - 1) < 1e-12


@pytest.mark.parametrize("v", [0.0, 0.3, 2.0, 10.0])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sharpness_is_that_of_pil(v, mode):
    """PIL rounds its smoothed image to 8 bits, and the difference grows with v."""
    channels = len(mode)
    randomness = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (1, channels, 16, 21), generator=randomness, dtype=torch.uint8)
    picture = PIL.Image.fromarray(images[0].permute(1, 2, 0).numpy().squeeze(), mode)
    expected = np.asarray(PIL.ImageEnhance.Sharpness(picture).enhance(v)).reshape(16, 21, channels)
    close(TRANSFORMS["sharpness"](images, v)[0].permute(1, 2, 0) * 255, expected, atol=1 + 0.51 * abs(1 - v))


def test_images_that_are_all_edge_are_not_sharpened():
    images = torch.rand(2, 3, 2, 9)
    assert torch.equal(TRANSFORMS["sharpness"](images, 5.0), images)


@pytest.mark.parametrize("side", [2, 3, 6])
def test_blocks_that_fill_the_frame_match_pil(side):
    image = torch.rand(1, 1, 12, 18, generator=torch.Generator().manual_seed(4))
    picture = PIL.Image.fromarray(image[0, 0].numpy())
    small = picture.resize((18 // side, 12 // side), PIL.Image.Resampling.BOX)
    expected = np.asarray(small.resize((18, 12), PIL.Image.Resampling.NEAREST))
    close(TRANSFORMS["pixelate"](image, side)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("side", [1.2, 2.5, 7.3, 40.0])
def test_blocks_with_parts_of_pixels_match_a_loop(side, odd_images):
    """The mean of the image from the edge of a block to the next, of a row as a step function."""

    def blocks(row):
        fine = np.repeat(row, 1000)
        found = []
        for n in range(len(row)):
            start = np.floor((n + 0.5) / side) * side
            found.append(fine[round(1000 * start) : round(1000 * (start + side))].mean())
        return found

    expected = np.apply_along_axis(blocks, -1, np.apply_along_axis(blocks, -2, odd_images.numpy()))
    close(TRANSFORMS["pixelate"](odd_images, side), expected, atol=2e-3)
