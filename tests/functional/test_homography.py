import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from itn.functional import (
    PADDINGS,
    Surround,
    compose_maps,
    family_matrix,
    inverse_map,
    map_points,
    tilt_homography,
    warp,
    warp_canvas,
)

SCIPY = {"zeros": "grid-constant", "border": "nearest", "reflection": "reflect"}
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def homographies(count=3, seed=2, size=0.2):
    randomness = torch.Generator().manual_seed(seed)
    off = torch.rand(count, 3, 3, generator=randomness, dtype=torch.float64) - 0.5
    return torch.eye(3, dtype=torch.float64) + size * off


def read_by_hand(image, matrix, padding, frame, output):
    """One channel through a homography, pixel by pixel; the frame (top, left, height, width) lies in it."""
    top, left, height, width = frame
    positions = np.empty((2, *output))
    for i in range(output[0]):
        for j in range(output[1]):
            down, across = (i, j) if output == (height, width) else (i - top, j - left)
            x, y, w = matrix @ [2 * (across + 0.5) / width - 1, 2 * (down + 0.5) / height - 1, 1]
            positions[:, i, j] = (y / w + 1) * height / 2 - 0.5 + top, (x / w + 1) * width / 2 - 0.5 + left
    return scipy.ndimage.map_coordinates(image, positions, order=1, mode=SCIPY[padding])


@every_padding
def test_projections_match_scipy(padding, odd_images):
    matrices = homographies()
    result = warp(odd_images, matrices, padding)
    for image, changed, matrix in zip(odd_images.numpy(), result.numpy(), matrices.numpy(), strict=True):
        for channel, seen in zip(image, changed, strict=True):
            expected = read_by_hand(channel, matrix, padding, (0, 0, 9, 13), (9, 13))
            np.testing.assert_allclose(seen, expected, atol=1e-10)


@every_padding
def test_crops_are_read_from_their_canvases(padding, odd_images):
    """The padding begins where the photograph ends, which here fills its canvas."""
    matrices, surround = homographies(), Surround(2, 3, 5, 7, torch.tensor([[0, 0, 13, 9]]).expand(3, 4))
    crops = warp(odd_images, matrices, padding, surround)
    whole = warp_canvas(odd_images, matrices, padding, surround)
    assert crops.shape == (3, 2, 5, 7)
    for n in range(3):
        for output, result in (((5, 7), crops), ((9, 13), whole)):
            expected = read_by_hand(
                odd_images[n, 1].numpy(), matrices[n].numpy(), padding, (2, 3, 5, 7), output
            )
            np.testing.assert_allclose(result[n, 1], expected, atol=1e-10)
    torch.testing.assert_close(surround.crops(whole), crops)


@every_padding
def test_an_affine_map_is_a_homography_with_a_plain_last_row(padding, odd_images):
    affine = family_matrix("affine", 0.4 * torch.rand(3, 6, dtype=torch.float64) - 0.2)
    last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(3, 1, 3)
    square = torch.cat([affine, last], 1)
    surround = Surround(2, 3, 5, 7, torch.tensor([[1, 1, 12, 9]]).expand(3, 4))
    for around in (None, surround):
        torch.testing.assert_close(
            warp(odd_images, square, padding, around), warp(odd_images, affine, padding, around)
        )
    torch.testing.assert_close(
        warp_canvas(odd_images, square, padding, surround),
        warp_canvas(odd_images, affine, padding, surround),
    )
    # A homography has no scale
    torch.testing.assert_close(warp(odd_images, 3 * square, padding), warp(odd_images, square, padding))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_identity_is_exact_in_values_and_has_gradients(dtype, odd_images):
    images = odd_images.to(dtype)
    matrices = homographies().float()
    matrices[1] = torch.eye(3)
    matrices.requires_grad_()
    result = warp(images, matrices)
    assert result.dtype == dtype
    assert torch.equal(result[1], images[1])
    result.float().square().sum().backward()
    assert (matrices.grad[1].abs() > 0).any()


def test_gradients(odd_images):
    images = odd_images[:2, :, :4, :5].clone().requires_grad_()
    tilts = torch.tensor([[0.3, -0.1], [-0.5, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda images, tilts: warp(images, tilt_homography(tilts, 1.25)), (images, tilts)
    )


def test_maps_compose_and_invert():
    affine = family_matrix("affine", 0.3 * torch.rand(3, 6, dtype=torch.float64))
    assert compose_maps(affine, affine).shape == (3, 2, 3)
    points = 2 * torch.rand(2, 20, dtype=torch.float64) - 1
    for first, second in ((homographies(), affine), (affine, homographies()), (affine, affine)):
        both = compose_maps(first, second)
        halfway = map_points(second, points)
        expected = torch.cat([map_points(first[[n]], halfway[n]) for n in range(3)])
        torch.testing.assert_close(map_points(both, points), expected)
        back = torch.cat([map_points(inverse_map(both)[[n]], expected[n]) for n in range(3)])
        torch.testing.assert_close(back, points.expand(3, -1, -1))


def test_beyond_the_horizon_there_is_nothing():
    matrix = tilt_homography(torch.tensor([[math.radians(80), 0.0]]).double())
    x, _ = map_points(matrix, torch.tensor([[0.0, 0.3, 0.9], [0.0, 0.0, 0.0]]).double())[0]
    assert x[0] == 0
    assert math.isfinite(x[1])
    assert x[2] == math.inf
    seen = warp(torch.ones(1, 1, 21, 21, dtype=torch.float64), matrix)[0, 0]
    assert (seen[:, 13:] == 0).all()  # the board is nearly on edge
    assert seen.isfinite().all()


@pytest.mark.parametrize("aspect", [1.0, 1.6, 0.6])
@pytest.mark.parametrize("tilt", [(0.3, 0.0), (0.0, -0.4), (0.5, -0.3)])
def test_tilts_meet_the_board_where_rays_do(tilt, aspect):
    """Turned about the vertical, then about its own horizontal line."""
    h, v = tilt
    half = math.tan(math.radians(40) / 2)
    width, height = half * min(1, aspect), half * min(1, 1 / aspect)
    right = np.array([math.cos(h), 0, math.sin(h)])
    down = np.array([-math.sin(h) * math.sin(v), math.cos(v), math.cos(h) * math.sin(v)])
    matrix = tilt_homography(torch.tensor([tilt]).double(), aspect, 40)
    for x, y in ((0.3, -0.7), (-1, 1), (0.2, 0.1)):
        ray = np.array([x * width, y * height, 1])
        across, along, _ = np.linalg.solve(np.stack([right, down, -ray], 1), [0, 0, -1])
        seen = map_points(matrix, torch.tensor([[x], [y]]).double())[0, :, 0]
        np.testing.assert_allclose(seen, [across / width, along / height], atol=1e-12)
    assert torch.equal(tilt_homography(torch.zeros(2), aspect), torch.eye(3))
