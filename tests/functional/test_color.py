import numpy as np
import pytest
import torch

from itn import TRANSFORMS
from itn.functional import color_family_matrix
from itn.functional.color import (
    apply_color,
    check_images,
    color_identity,
    decompose_color,
    fade_to_gray,
    unit_float,
)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_identity_is_exact(channels, dtype):
    images = torch.rand(2, channels, 5, 7).to(dtype)
    assert torch.equal(apply_color(images, color_identity(channels, images)), images)


def test_matches_a_loop_over_pixels(odd_images):
    matrix = torch.randn(3, 2, 3, dtype=torch.float64)
    result = apply_color(odd_images, matrix).numpy()
    for b, image in enumerate(odd_images.numpy()):
        for y, x in np.ndindex(9, 13):
            expected = matrix[b].numpy() @ np.append(image[:, y, x], 1.0)
            np.testing.assert_allclose(result[b, :, y, x], expected.clip(0, 1), atol=1e-12)


def test_one_matrix_applies_to_the_batch(odd_images):
    matrix = torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(apply_color(odd_images, matrix), apply_color(odd_images, matrix.expand(3, -1, -1)))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(half):
    """As a transformer meets it in a training loop with mixed precision."""
    images = torch.rand(3, 2, 9, 13)
    matrix = (color_identity(2, images) + 0.1 * torch.randn(3, 2, 3)).requires_grad_()
    expected = apply_color(images, matrix)
    with torch.autocast("cpu", half):
        result = apply_color(images, matrix)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    gradients = [torch.autograd.grad(values.square().sum(), matrix)[0] for values in (result, expected)]
    assert torch.equal(*gradients)


def test_gradients():
    images = (0.3 + 0.2 * torch.rand(2, 2, 3, 4, dtype=torch.float64)).requires_grad_()
    matrix = color_identity(2, images) + 0.05 * torch.rand(2, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(apply_color, (images, matrix.requires_grad_()))


@pytest.mark.parametrize("channels", [1, 3])
def test_families_are_gain_and_bias_of_the_table(channels):
    images, parameters = torch.rand(2, channels, 5, 7), torch.tensor([[0.3], [-0.4]])
    for family, table, identity in (("gain", "contrast", 1), ("bias", "brightness", 0)):
        result = apply_color(images, color_family_matrix(family, parameters, channels))
        torch.testing.assert_close(result, TRANSFORMS[table](images, identity + parameters[:, 0]))
    with pytest.raises(ValueError, match="unknown color family 'hue': give one of affine, gain, bias"):
        color_family_matrix("hue", parameters, channels)


def test_decomposition_reads_the_entries():
    matrix = torch.tensor([[[1.2, -0.3, 0.1], [0.05, 0.8, -0.2]]])
    gain, bias, mixing = decompose_color(matrix)
    assert torch.equal(gain, torch.tensor([[1.2, 0.8]]))
    assert torch.equal(bias, torch.tensor([[0.1, -0.2]]))
    assert mixing.item() == pytest.approx(0.3)
    assert decompose_color(torch.tensor([[[2.0, 0.5]]])).mixing.item() == 0


LUMA = torch.tensor([[0.299, 0.587, 0.114]] * 3)  # three rows that all make gray of a pixel


@pytest.mark.parametrize("v", [0.1, 0.8, 1.0])
@pytest.mark.parametrize("gray", [LUMA, torch.full((3, 3), 1 / 3), torch.full((5, 5), 1 / 5)])
def test_a_fade_to_gray_is_read_with_any_contrast_and_bias(v, gray):
    channels = len(gray)
    fade = (1 - v) * torch.eye(channels) + v * gray
    bias = torch.linspace(-0.2, 0.3, channels)[:, None]
    matrices = torch.stack([torch.cat([factor * fade, bias], 1) for factor in (1.0, 0.5, 1.7)])
    assert fade_to_gray(matrices).tolist() == pytest.approx([v] * 3, abs=1e-5)


def test_what_is_near_a_fade_is_one_and_what_is_not_is_none():
    fade = torch.cat([0.2 * torch.eye(3) + 0.8 * LUMA, torch.zeros(3, 1)], 1)
    near, far, swap, colorful = fade.clone(), fade.clone(), torch.eye(3, 4), torch.eye(3, 4)
    near[0, 0] += 0.1
    far[0, 0] += 0.5
    swap[[0, 1]] = swap[[1, 0]]  # red and green
    colorful[:, :3] = 1.5 * torch.eye(3) - 0.5 * LUMA
    found = fade_to_gray(
        torch.stack([near, far, swap, colorful, -fade, torch.eye(3, 4), 2 * torch.eye(3, 4)])
    )
    assert found[0].item() == pytest.approx(0.8, abs=0.05)
    assert found[1:].tolist() == [0] * 6
    assert fade_to_gray(torch.tensor([[[0.5, 0.2]]])).tolist() == [0]


@pytest.mark.parametrize("channels", [3, 4])
def test_a_fade_that_is_read_is_what_the_screen_calls_grayscale(odd_images, channels):
    images = torch.rand(1, channels, 5, 7, dtype=torch.float64)
    gray = LUMA[0].double() if channels == 3 else torch.full((4,), 0.25, dtype=torch.float64)
    matrix = 0.4 * torch.eye(channels, channels + 1, dtype=torch.float64)
    matrix[:, :-1] += 0.6 * gray
    torch.testing.assert_close(apply_color(images, matrix), TRANSFORMS["grayscale"](images, 0.6))
    assert fade_to_gray(matrix[None]).item() == pytest.approx(0.6)


def test_unit_float_divides_bytes_only():
    assert torch.equal(unit_float(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0, 0.2, 1]))
    images = torch.rand(2, 1, 3, 3)
    assert unit_float(images) is images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 1, 2, 2)), "must be a torch.Tensor, got ndarray: torch.from_numpy"),
        (torch.rand(3, 5, 5), r"B x C x H x W.*\(3, 5, 5\)"),
        (torch.rand(0, 1, 5, 5), "with no size 0"),
        (torch.rand(2, 1, 5, 5).long(), "uint8 or float.*int64"),
        (torch.rand(2, 1, 5, 5) - 0.5, r"\[0, 1\].*undo the normalization"),
        (torch.rand(2, 1, 5, 5) * 255, "divide by 255"),
        (torch.rand(2, 1, 5, 5), r"have 1 channel, the classifier takes 3: give images.expand\(-1, 3"),
        (torch.rand(2, 5, 5, 3), r"have 5 channels, .* takes 3: give images.permute\(0, 3, 1, 2\)"),
        (torch.full((2, 3, 5, 5), torch.nan), "some values are NaN"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images, 3 if "takes 3" in message else None)
