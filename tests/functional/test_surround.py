"""Warps that look around the crop, against scipy on photographs that are not square, and of odd sizes."""

import itertools
import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from torchvision.transforms.functional import center_crop

import itn
from itn.functional import (
    INTERPOLATIONS,
    PADDINGS,
    Surround,
    crops_of,
    family_matrix,
    fill_outside,
    warp,
    warp_and_back,
    warp_canvas,
)
from itn.functional.spatial import spatial_identity

CROP = (9, 13)
CANVAS = (17, 24)
SURROUND = Surround(4, 6, *CROP, torch.tensor([[0, 0, 24, 17], [3, 4, 22, 14], [6, 1, 19, 17]]))
"""Photographs that fill the canvas, end inside it on all sides, and end with the crop on the left."""
SCIPY_MODES = {"border": "nearest", "reflection": "reflect"}
NUMPY_MODES = {"zeros": "constant", "border": "edge", "reflection": "symmetric"}


@pytest.fixture
def canvases():
    """Float64, with other values than 0 outside the photographs too."""
    return torch.rand(3, 2, *CANVAS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def random_matrices(size, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.eye(2, 3, dtype=dtype) + size * torch.randn(3, 2, 3, generator=generator, dtype=dtype)


def cubic_weight(distance):
    """Keys' kernel with a = -0.75."""
    x, a = np.abs(distance), -0.75
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def cubic(photograph, y, x, padding):
    """Bicubic values of a photograph at pixel indices: the kernel over all of the padded plane."""
    margin = int(max(np.abs(y).max(), np.abs(x).max())) + 3
    plane = np.pad(photograph, margin, NUMPY_MODES[padding])
    rows, columns = (np.arange(n) - margin for n in plane.shape)
    return np.einsum(
        "ijr,rc,ijc->ij", cubic_weight(y[..., None] - rows), plane, cubic_weight(x[..., None] - columns)
    )


def sampled(photograph, y, x, padding, interpolation="bilinear"):
    """Values of a photograph at pixel indices, bilinear ones by scipy."""
    if interpolation == "bicubic":
        return cubic(photograph, y, x, padding)
    if padding == "zeros":  # black pixels around, between which and the photograph values are interpolated
        return scipy.ndimage.map_coordinates(np.pad(photograph, 1), (y + 1, x + 1), order=1, mode="constant")
    return scipy.ndimage.map_coordinates(photograph, (y, x), order=1, mode=SCIPY_MODES[padding])


def expected_warp(canvas, box, matrix, padding, interpolation):
    """Where each pixel of the crop comes from, in crop coordinates, then in pixels of the photograph."""
    left, top, right, bottom = box
    photograph = canvas[top:bottom, left:right]
    rows, columns = np.mgrid[: CROP[0], : CROP[1]]
    u, v = (2 * columns + 1) / CROP[1] - 1, (2 * rows + 1) / CROP[0] - 1
    (a, b, tx), (c, d, ty) = matrix
    x = ((a * u + b * v + tx + 1) * CROP[1] - 1) / 2 + SURROUND.left - left
    y = ((c * u + d * v + ty + 1) * CROP[0] - 1) / 2 + SURROUND.top - top
    return sampled(photograph, y, x, padding, interpolation)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [0.1, 0.6, 2.0])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_warp_reads_the_photograph_and_beyond_it_the_padding(canvases, padding, size, interpolation):
    matrix = random_matrices(size)
    result = warp(canvases, matrix, padding, SURROUND, interpolation)
    assert result.shape == (3, 2, *CROP)
    for n, c in np.ndindex(3, 2):
        box = SURROUND.boxes[n].tolist()
        expected = expected_warp(canvases[n, c].numpy(), box, matrix[n].numpy(), padding, interpolation)
        np.testing.assert_allclose(result[n, c].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_identity_returns_the_crop_bit_for_bit(canvases, padding, dtype, interpolation):
    canvases = canvases.to(dtype)
    matrix = spatial_identity(torch.zeros(0))
    result = warp(canvases, matrix, padding, SURROUND, interpolation)
    assert torch.equal(result, canvases[..., 4:13, 6:19])


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_identity_has_a_gradient(canvases, padding):
    """It is the one of sampling: that of a matrix close by, up to the kink of bilinear sampling."""
    gradients = []
    for offset in (0, 1e-9):
        matrix = (spatial_identity(canvases) + offset).expand(3, -1, -1).clone().requires_grad_()
        images = canvases.clone().requires_grad_()
        (warp(images, matrix, padding, SURROUND) * torch.arange(13)).sum().backward()
        gradients.append((matrix.grad, images.grad))
    (at_matrix, at_images), (_, near_images) = gradients
    assert at_matrix.abs().min() > 0
    torch.testing.assert_close(at_images, near_images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients(canvases, padding, interpolation):
    images, matrix = canvases[..., 2:15, 3:21].clone().requires_grad_(), random_matrices(0.3).requires_grad_()
    surround = Surround(2, 3, 5, 7, torch.tensor([[0, 0, 18, 13], [1, 2, 15, 11], [3, 0, 18, 12]]))
    assert torch.autograd.gradcheck(
        lambda i, m: warp(i, m, padding, surround, interpolation), (images, matrix)
    )


def test_a_turned_photograph_is_cropped_afterwards(canvases):
    """scipy turns the whole photograph about the center of the crop, which is then cut out."""
    photograph = np.zeros((31, 45))
    photograph[3:29, 4:42] = np.random.default_rng(1).random((26, 38))  # black at its edges
    surround = Surround.central((31, 45), CROP, 1)
    angle = math.radians(25)
    matrix = family_matrix("rotation", torch.tensor([[angle]], dtype=torch.float64), CROP[1] / CROP[0])
    turned = scipy.ndimage.rotate(photograph, -25, reshape=False, order=1)
    images = torch.from_numpy(photograph)[None, None]
    result = warp(images, matrix, surround=surround)
    np.testing.assert_allclose(result[0, 0].numpy(), turned[11:20, 16:29], atol=1e-10)


@pytest.mark.parametrize(
    ("surround", "message"),
    [
        (SURROUND.part(slice(1)), r"boxes of shape \(1, 4\) for 3 canvases"),
        (SURROUND._replace(boxes=SURROUND.boxes[:3, :3]), r"boxes of shape \(3, 3\) for 3 canvases"),
        (SURROUND._replace(height=100), r"crops of 100 x \d+ at row .* do not fit into canvases of"),
        (SURROUND._replace(left=-1), "do not fit"),
        (SURROUND._replace(width=0), "do not fit"),
    ],
)
def test_a_surround_of_other_canvases_is_refused(surround, message, canvases):
    canvases = canvases[:3]
    eye, two = torch.eye(2, 3), torch.zeros(2)
    net = itn.InvariantTransformerNet(torch.nn.Identity(), None, itn.SpatialTransformer())
    colors = itn.InvariantTransformerNet(torch.nn.Identity(), itn.ColorTransformer(canvases.shape[1]))
    canvases = canvases.float()
    assert warp(canvases, eye, surround=SURROUND.part(slice(3))).shape[-2:] == SURROUND.size
    for call in (
        lambda: warp(canvases, eye, surround=surround),
        lambda: net(canvases, two, two, surround=surround),
        lambda: colors.transform(canvases, two, two, surround=surround),
        lambda: itn.TRANSFORMS["rotate"].apply(canvases, two[:1], surround=surround),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_where_the_crop_is_not_left_its_surround_does_not_matter(canvases):
    matrix = random_matrices(0.0) * 0.7
    with_surround = warp(canvases, matrix, surround=SURROUND)
    torch.testing.assert_close(with_surround, warp(SURROUND.crops(canvases), matrix))


def test_what_lies_outside_the_photograph_is_never_seen(canvases):
    other = canvases.clone()
    other[1, :, :4], other[1, :, 14:] = 7.0, -7.0
    other[1, :, :, :3], other[1, :, :, 22:] = 7.0, -7.0
    for padding, interpolation in itertools.product(PADDINGS, INTERPOLATIONS):
        matrix = random_matrices(0.8)
        before, after = (
            warp(images, matrix, padding, SURROUND, interpolation) for images in (canvases, other)
        )
        torch.testing.assert_close(before, after, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_fills_the_canvas(canvases, padding):
    filled = fill_outside(canvases, SURROUND, padding)
    for n, (left, top, right, bottom) in enumerate(SURROUND.boxes.tolist()):
        margins = ((0, 0), (top, CANVAS[0] - bottom), (left, CANVAS[1] - right))
        photograph = canvases[n, :, top:bottom, left:right].numpy()
        np.testing.assert_array_equal(filled[n].numpy(), np.pad(photograph, margins, NUMPY_MODES[padding]))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_warped_canvas_has_the_warped_crop_in_it(canvases, padding, interpolation):
    matrix = random_matrices(0.3)
    whole = warp_canvas(canvases, matrix, padding, SURROUND, interpolation)
    assert whole.shape == canvases.shape
    crops = warp(canvases, matrix, padding, SURROUND, interpolation)
    torch.testing.assert_close(SURROUND.crops(whole), crops)
    identity = spatial_identity(canvases)
    unchanged = warp_canvas(canvases, identity, padding, SURROUND, interpolation)
    assert torch.equal(unchanged, fill_outside(canvases, SURROUND, padding))


def test_two_warps_of_shifts_by_whole_pixels_are_one(canvases):
    """The first one keeps what the second one brings in."""
    shift = [
        family_matrix("translation", torch.tensor([[2 * n / 13, 0.0]], dtype=torch.float64))
        for n in (-3, 4, 1)
    ]
    there = warp_canvas(canvases, shift[0], "zeros", SURROUND)
    result = warp(there, shift[1], "zeros", SURROUND.filling(there))
    torch.testing.assert_close(result, warp(canvases, shift[2], "zeros", SURROUND))


def test_back_from_whole_pixels_is_where_one_was_less_what_was_cut_off(canvases):
    """By 3 of 13 columns to the right and back: without a surround the last 3 are lost, to what is black."""
    shift = family_matrix("translation", torch.tensor([[6 / 13, 0.0]], dtype=torch.float64))
    crops = SURROUND.crops(canvases).contiguous()
    back = warp_and_back(crops, shift)
    expected = torch.cat([torch.zeros_like(crops[..., :3]), crops[..., 3:]], -1)
    torch.testing.assert_close(back, expected)
    filled = fill_outside(canvases, SURROUND, "zeros")
    torch.testing.assert_close(warp_and_back(canvases, shift, surround=SURROUND), SURROUND.crops(filled))


def test_central_crops_are_those_of_torchvision():
    for canvas in ((9, 13), (10, 16), (11, 14), (12, 15)):
        image = torch.rand(1, 1, *canvas)
        surround = Surround.central(canvas, CROP, 1)
        assert torch.equal(crops_of(image, surround), center_crop(image, list(CROP)))
        assert surround.boxes.tolist() == [[0, 0, canvas[1], canvas[0]]]
    with pytest.raises(ValueError, match="a crop of 9 x 13 does not fit into 8 x 20"):
        Surround.central((8, 20), CROP, 1)
