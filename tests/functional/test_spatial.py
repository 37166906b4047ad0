import math

import kornia
import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from itn import TRANSFORMS
from itn.functional.families import FAMILIES, family_matrix
from itn.functional.sampling import INTERPOLATIONS, PADDINGS
from itn.functional.spatial import (
    decompose_spatial,
    rms_displacement,
    spatial_identity,
    warp,
)


def random_matrices(n, seed=0, size=0.2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.eye(2, 3, dtype=dtype) + size * torch.randn(n, 2, 3, generator=generator, dtype=dtype)


@pytest.mark.parametrize("size", [(9, 13), (28, 28), (37, 224), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_identity_is_exact(size, dtype, padding, interpolation):
    images = torch.rand(2, 3, *size).to(dtype)
    identity = spatial_identity(torch.zeros(0))
    assert torch.equal(warp(images, identity, padding, None, interpolation), images)


def test_identity_of_one_image_leaves_the_others_unchanged(odd_images):
    matrix = random_matrices(3)
    matrix[1] = spatial_identity(matrix)
    result = warp(odd_images, matrix)
    assert torch.equal(result[1], odd_images[1])
    assert torch.equal(result[[0, 2]], warp(odd_images[[0, 2]], matrix[[0, 2]]))


def test_the_identity_has_a_gradient(odd_images):
    """At the identity, values are exact and gradients are still those of sampling."""
    near = spatial_identity(odd_images) + 1e-9
    gradients = []
    for start in (spatial_identity(odd_images), near):
        matrix = start.expand(3, -1, -1).clone().requires_grad_()
        images = odd_images.clone().requires_grad_()
        (warp(images, matrix) * torch.arange(13)).sum().backward()
        gradients.append((matrix.grad, images.grad))
    (at_matrix, at_images), (near_matrix, near_images) = gradients
    assert at_matrix.abs().min() > 0
    # bilinear sampling has a kink at the identity: the two sides agree in size, not to rounding
    assert torch.allclose(at_images, near_images, atol=1e-6)
    assert torch.isfinite(near_matrix).all()


def test_matches_scipy(odd_images):
    """scipy samples in pixel coordinates, rows first; with spline order 1 that is bilinear."""
    _, _, height, width = odd_images.shape
    matrix = random_matrices(3)
    result = warp(odd_images, matrix).numpy()
    # pixel index <-> normalized coordinate, homogeneous, (x, y): n = (2 i + 1) / size - 1
    to_normal = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    for b in range(3):
        square = np.vstack([matrix[b].numpy(), [0, 0, 1]])
        pixel = swap @ np.linalg.inv(to_normal) @ square @ to_normal @ swap
        for c in range(2):
            # zeros beyond the frame, blended over the last half pixel as grid_sample does
            expected = scipy.ndimage.affine_transform(
                np.pad(odd_images[b, c].numpy(), 2), _shifted(pixel, 2), order=1, mode="constant", cval=0
            )[2:-2, 2:-2]
            np.testing.assert_allclose(result[b, c], expected, atol=1e-12)


def _shifted(pixel, margin):
    """Return a pixel-to-pixel matrix for images with a margin added on every side."""
    apply_matrices = np.array([[1, 0, margin], [0, 1, margin], [0, 0, 1]])
    return apply_matrices @ pixel @ np.linalg.inv(apply_matrices)


def test_matches_kornia(odd_images):
    matrix = random_matrices(3)
    square = torch.cat([matrix, torch.tensor([0.0, 0, 1]).expand(3, 1, 3)], 1)
    expected = kornia.geometry.transform.homography_warp(odd_images, square, (9, 13), align_corners=False)
    torch.testing.assert_close(warp(odd_images, matrix), expected)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_matches_affine_grid(odd_images, padding, interpolation):
    matrix = random_matrices(3, size=0.6)
    grid = F.affine_grid(matrix, list(odd_images.shape), align_corners=False)
    expected = F.grid_sample(odd_images, grid, interpolation, padding, align_corners=False)
    torch.testing.assert_close(warp(odd_images, matrix, padding, None, interpolation), expected)


def test_whole_pixel_translation_is_a_slice(odd_images):
    """Sampling 3 pixels to the right moves content 3 pixels to the left."""
    matrix = family_matrix("translation", torch.tensor([[2 * 3 / 13, 0.0]], dtype=torch.float64))
    expected = F.pad(odd_images[..., 3:], (0, 3))
    torch.testing.assert_close(warp(odd_images, matrix), expected)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_match_rot90(turns):
    images = torch.rand(2, 3, 11, 11, dtype=torch.float64)
    angle = torch.full((2, 1), turns * math.pi / 2, dtype=torch.float64)
    clockwise = torch.rot90(images, -turns, (2, 3))  # rot90 turns the other way
    torch.testing.assert_close(warp(images, family_matrix("rotation", angle)), clockwise)


def test_rotation_of_an_oblong_frame_keeps_lengths():
    """With its aspect given, a rotation turns pixels; scipy's rotation of the array is the oracle."""
    image = torch.zeros(1, 1, 21, 33, dtype=torch.float64)
    image[..., 6:15, 10:24] = torch.rand(9, 14, dtype=torch.float64)
    angle = math.radians(25)
    matrix = family_matrix("rotation", torch.tensor([[angle]], dtype=torch.float64), aspect=33 / 21)
    expected = scipy.ndimage.rotate(image[0, 0].numpy(), -25, reshape=False, order=1)
    np.testing.assert_allclose(warp(image, matrix)[0, 0].numpy(), expected, atol=1e-10)


def test_inverse_undoes_inside_the_frame():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    smooth = torch.exp(-4 * ((x - 0.2) ** 2 + y**2)).view(1, 1, 65, 65).double()
    matrix = random_matrices(1, size=0.1)
    inverse = torch.linalg.inv(torch.cat([matrix[0], torch.tensor([[0.0, 0, 1]])]))[:2]
    round_trip = warp(warp(smooth, matrix), inverse)
    assert (round_trip - smooth)[..., 20:45, 20:45].abs().max() < 5e-3


def test_gradients():
    images = torch.rand(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    matrix = random_matrices(2, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(warp, (images, matrix))


def test_half_precision_images_are_sampled_at_full_precision_positions():
    images = torch.rand(1, 1, 28, 300)
    matrix = random_matrices(1, dtype=torch.float32)
    result = warp(images.bfloat16(), matrix)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, warp(images.bfloat16().float(), matrix).bfloat16())


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_the_identity_at_zero(family):
    parameters = torch.zeros(2, len(FAMILIES[family].parameters))
    matrix = family_matrix(family, parameters, aspect=1.7)
    assert torch.equal(matrix, torch.eye(2, 3).expand(2, -1, -1))


def test_families_do_what_their_names_say():
    p = torch.tensor([[0.3, -0.2, 0.1, 0.4]], dtype=torch.float64)
    aspect = 1.5
    similarity = family_matrix("similarity", p, aspect)[0, :, :2]
    stretch = torch.diag(torch.tensor([aspect, 1.0], dtype=torch.float64))
    isotropic = stretch @ similarity @ stretch.inverse()
    gram = isotropic.T @ isotropic
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(2, dtype=torch.float64))
    rotation = family_matrix("rotation", p[:, :1])[0, :, :2]
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    assert family_matrix("scale", p[:, :2])[0].tolist() == [[1.3, 0, 0], [0, 0.8, 0]]
    assert family_matrix("shear", p[:, :2])[0].tolist() == [[1, 0.3, 0], [-0.2, 1, 0]]
    assert family_matrix("translation", p[:, :2])[0].tolist() == [[1, 0, 0.3], [0, 1, -0.2]]
    with pytest.raises(ValueError, match="unknown family 'afine'"):
        family_matrix("afine", p)


@pytest.mark.parametrize(
    ("family", "table", "magnitude"),
    [
        ("translation_x", "translate_x", lambda p: -p / 2),
        ("translation_y", "translate_y", lambda p: -p / 2),
        ("zoom", "zoom", lambda p: 1 + p),
        ("rotation", "rotate", math.degrees),
    ],
)
def test_families_of_one_parameter_are_those_of_the_table(family, table, magnitude):
    matrix = family_matrix(family, torch.tensor([[0.3]]), aspect=1.5)
    expected = TRANSFORMS[table].function(torch.tensor([magnitude(0.3)]), 1.5)
    torch.testing.assert_close(matrix, expected)


def test_decomposition_recomposes():
    """Rotation @ shear @ scale, then the shift of the center, built from the words alone."""
    matrix = random_matrices(20, seed=5)
    aspect = 1.6
    v, sx, sy, m, shift_x, shift_y = (part.numpy() for part in decompose_spatial(matrix, aspect))
    for i in range(20):
        c, s = np.cos(np.radians(v[i])), np.sin(np.radians(v[i]))
        isotropic = np.array([[c, s], [-s, c]]) @ [[1, m[i]], [0, 1]] @ np.diag([sx[i], sy[i]])
        linear = np.diag([1 / aspect, 1]) @ isotropic @ np.diag([aspect, 1])
        np.testing.assert_allclose(linear, matrix[i, :, :2], atol=1e-12)
        # the center of the content, input 0, appears at the output that maps to it
        center = np.array([2 * shift_x[i], 2 * shift_y[i]])
        np.testing.assert_allclose(linear @ center + matrix[i, :, 2].numpy(), 0, atol=1e-12)


def test_decomposition_of_a_clockwise_turn_is_positive():
    matrix = family_matrix("rotation", torch.tensor([[math.radians(30)]]), aspect=2.0)
    assert decompose_spatial(matrix, 2.0).rotation.item() == pytest.approx(30, abs=1e-4)


def test_rms_displacement_matches_a_loop_over_pixels():
    height, width = 9, 13
    matrix = random_matrices(4)
    for i in range(4):
        squares = []
        for row, column in np.ndindex(height, width):
            out = np.array([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1])
            moved = matrix[i].numpy() @ np.append(out, 1) - out
            pixels = moved * [width / 2, height / 2]
            squares.append(pixels @ pixels)
        expected = math.sqrt(np.mean(squares)) / width
        assert rms_displacement(matrix, (height, width))[i].item() == pytest.approx(expected, rel=1e-12)
