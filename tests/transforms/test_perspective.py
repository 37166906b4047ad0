import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from itn.functional.sampling import PADDINGS
from itn.transforms import TRANSFORMS

SCIPY = {"zeros": "grid-constant", "border": "nearest", "reflection": "reflect"}


def seen(name, v, size):
    """Where each output pixel is read, rows and columns, by rays that meet a tilted board in space."""
    height, width = size
    distance = max(size) / 2 / math.tan(math.radians(25))  # from which the board fills 50 degrees
    c, s = math.cos(math.radians(v)), math.sin(math.radians(v))
    right, down = (np.array([c, 0, s]), np.array([0, 1, 0]))
    if name == "perspective_y":
        right, down = np.array([1, 0, 0]), np.array([0, c, s])
    positions = np.empty((2, height, width))
    for i in range(height):
        for j in range(width):
            ray = np.array([j + 0.5 - width / 2, i + 0.5 - height / 2, distance])
            across, along, _ = np.linalg.solve(np.stack([right, down, -ray], 1), [0, 0, -distance])
            positions[:, i, j] = along + height / 2 - 0.5, across + width / 2 - 0.5
    return positions


@pytest.mark.parametrize("name", ["perspective_x", "perspective_y"])
@pytest.mark.parametrize("v", [-60.0, -17.0, 33.0, 60.0])
@pytest.mark.parametrize("size", [(9, 13), (14, 6)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_it_is_what_a_camera_sees_of_a_tilted_board(name, v, size, padding):
    images = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    result = TRANSFORMS[name](images, v, padding=padding)
    positions = seen(name, v, size)
    for image, changed in zip(images.flatten(0, 1), result.flatten(0, 1), strict=True):
        expected = scipy.ndimage.map_coordinates(image.numpy(), positions, order=1, mode=SCIPY[padding])
        np.testing.assert_allclose(changed, expected, atol=1e-9)


@pytest.mark.parametrize(("name", "axis"), [("perspective_x", 2), ("perspective_y", 1)])
def test_above_0_the_right_and_the_lower_side_recede(name, axis):
    """A side that recedes is smaller, so that more of its height, or width, is black."""
    seen = TRANSFORMS[name](torch.ones(1, 1, 30, 30), 30.0)[0]
    sizes = seen.sum(3 - axis)[0]
    assert sizes[3] > sizes[-4] + 2


def test_the_center_stays():
    images = torch.rand(1, 1, 9, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for name in ("perspective_x", "perspective_y"):
        for v in (-60, 25):
            changed = TRANSFORMS[name](images, v)
            assert abs(changed[0, 0, 4, 6] - images[0, 0, 4, 6]) < 1e-12


def test_the_horizon_is_out_of_the_range():
    with pytest.raises(ValueError, match=r"perspective_x .* takes magnitudes from -60 to 60, got 65"):
        TRANSFORMS["perspective_x"](torch.rand(1, 1, 9, 9), 65)
