import numpy as np
import pytest
import scipy.ndimage
import torch

from itn.functional import (
    PADDINGS,
    disk_kernels,
    filter_images,
    filter_matrix,
    gaussian_weights,
    motion_weights,
)

SCIPY = {"zeros": "constant", "border": "nearest", "reflection": "reflect"}


def close(result, expected, atol=1e-12):
    np.testing.assert_allclose(result.detach().numpy(), np.asarray(expected), rtol=0, atol=atol)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [1, 3, 7, 31])
def test_each_image_is_filtered_by_its_kernel(size, padding, odd_images):
    """Kernels without symmetry, up to larger than the images."""
    randomness = torch.Generator().manual_seed(2)
    kernels = torch.rand(3, size, size, generator=randomness, dtype=torch.float64) - 0.3
    result = filter_images(odd_images, kernels, padding)
    for image, kernel, filtered in zip(odd_images.numpy(), kernels.numpy(), result, strict=True):
        for channel, seen in zip(image, filtered, strict=True):
            close(seen, scipy.ndimage.correlate(channel, kernel, mode=SCIPY[padding]))
    one = filter_images(odd_images, kernels[:1], padding)
    close(one[0], result[0])
    assert not torch.allclose(one[1], result[1])


def test_precision_and_gradients(odd_images):
    kernels = disk_kernels(torch.tensor([1.0, 2.5, 0.3]))
    assert filter_images(odd_images.half(), kernels.half()).dtype == torch.float32
    close(filter_images(odd_images.float(), kernels), filter_images(odd_images, kernels), atol=1e-6)
    images = odd_images[:2, :, :4, :5].clone().requires_grad_()
    kernels = torch.rand(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(filter_images, (images, kernels))


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 3, 5), (3, 3)])
def test_other_kernels_are_refused(shape, odd_images):
    with pytest.raises(ValueError, match=r"kernels must be B x K x K with an odd K, got shape \(3, "):
        filter_images(odd_images, torch.rand(shape))


@pytest.mark.parametrize("padding", PADDINGS)
def test_matrices_filter_rows(padding):
    row = torch.rand(11, dtype=torch.float64)
    weights = torch.rand(2, 15, dtype=torch.float64)  # reaching beyond the row
    for matrix, half in zip(filter_matrix(weights, 11, padding), weights.numpy(), strict=True):
        kernel = np.concatenate([half[:0:-1], half])
        close(matrix @ row, scipy.ndimage.correlate1d(row.numpy(), kernel, mode=SCIPY[padding]))


@pytest.mark.parametrize("weights", [gaussian_weights, motion_weights])
def test_weights_sum_to_1_and_are_one_for_nothing(weights):
    values = weights(torch.tensor([0.0, 0.2, 1.7, 6.3], dtype=torch.float64))
    close(2 * values.sum(1) - values[:, 0], np.ones(4))
    close(values[0], np.eye(len(values[0]))[0], atol=1e-4)


def test_disks_sum_to_1_have_their_variance_and_are_symmetric():
    radius = torch.tensor([0.0, 0.4, 1.7, 6.3], dtype=torch.float64, requires_grad=True)
    kernels = disk_kernels(radius)
    close(kernels.sum((1, 2)), np.ones(4))
    for same in (kernels.flip(1), kernels.flip(2)):
        close(same, kernels.detach())
    close(kernels.mT, kernels.detach(), atol=2e-3)  # cut into chords one way only
    offset = torch.arange(-7, 8, dtype=torch.float64)
    variance = (kernels[3].sum(0) * offset.square()).sum().item()
    # A quarter of the squared radius, and what linear interpolation adds, at most a quarter
    assert 6.3**2 / 4 < variance < 6.3**2 / 4 + 0.25
    (gradient,) = torch.autograd.grad(kernels[2, 7, 7], radius)
    assert gradient[2] < 0  # the center loses weight as the disk grows
