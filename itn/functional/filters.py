"""Filters as pure functions: kernels, one for each image, and images that are filtered by them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from itn.functional.surround import folded

_CHORDS = 128  # of a disk, into which its kernel is cut


def filter_images(images: Tensor, kernels: Tensor, padding: str = "zeros") -> Tensor:
    """Filter every channel of each image by the kernel of the image, through a Fourier transform.

    The kernel is not mirrored, as in convolutional networks: the output at (y, x) is the sum over i and j of
    ``kernels[i, j]`` times the image at (y + i - r, x + j - r), where r is half of the kernel's odd size.

    Args:
        images: B x C x H x W with any values.
        kernels: B x K x K or 1 x K x K, of odd size.
        padding: What lies outside the frame: ``"zeros"``, ``"border"`` or ``"reflection"``.

    Returns:
        Images of the same shape, in the wider of the two dtypes, differentiable in images and kernels. They
        are rounded as the transform rounds, by about 1e-6 of the largest value in float32. The time does not
        depend on the size of the kernels.

    Raises:
        ValueError: If the kernels are not square, or of even size.
    """
    size = kernels.shape[-1]
    if kernels.ndim != 3 or kernels.shape[-2] != size or size % 2 == 0:
        raise ValueError(f"kernels must be B x K x K with an odd K, got shape {tuple(kernels.shape)}")
    from scipy.fft import next_fast_len  # noqa: PLC0415  # slow to import

    height, width = images.shape[-2:]
    dtype = torch.promote_types(torch.promote_types(images.dtype, kernels.dtype), torch.float32)
    padded = _padded(images.to(dtype), size // 2, padding)
    shape = [next_fast_len(n, real=True) for n in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(kernels.to(dtype).flip(-2, -1), shape)[:, None] * torch.fft.rfft2(
        padded, shape
    )
    filtered: Tensor = torch.fft.irfft2(spectrum, shape)
    return filtered[..., size - 1 : size - 1 + height, size - 1 : size - 1 + width]


def filter_channels(images: Tensor, kernels: Tensor, padding: str = "zeros") -> Tensor:
    """Filter images by small kernels, which may differ by channel or mix channels.

    Kernels are not mirrored, as in ``filter_images``. The time grows with their area; up to about 9 x 9 this
    is faster than a Fourier transform.

    Args:
        images: B x C x H x W with any values.
        kernels: B x O x I x K x K, of odd size K: one for all channels (O = I = 1), one for each (O = C,
            I = 1), or from each of the C channels to each (O = I = C).
        padding: As for ``filter_images``.

    Returns:
        Images of the same shape, in the wider of the two dtypes, differentiable in images and kernels.

    Raises:
        ValueError: If the kernels are not square, of even size, or for other numbers of channels.
    """
    batch, channels = images.shape[:2]
    outputs, inputs, size = (*kernels.shape[1:3], kernels.shape[-1])
    if kernels.ndim != 5 or kernels.shape[-2] != size or size % 2 == 0:
        raise ValueError(f"kernels must be B x O x I x K x K with an odd K, got shape {tuple(kernels.shape)}")
    if (outputs, inputs) not in ((1, 1), (channels, 1), (channels, channels)):
        raise ValueError(f"kernels map {inputs} to {outputs} channels, the images have {channels}")
    with torch.autocast(images.device.type, enabled=False):
        dtype = torch.promote_types(images.dtype, kernels.dtype)
        padded = _padded(images.to(dtype), size // 2, padding)
        # One group of channels for each kernel: the images of a batch become channels of a single image
        weights = kernels.to(dtype).expand(batch, channels, inputs, size, size).flatten(0, 1)
        flat = padded.reshape(1, -1, *padded.shape[-2:])
        return F.conv2d(flat, weights, groups=batch * channels // inputs).view(images.shape)


def cosine_basis(n: int, like: Tensor) -> Tensor:
    """Return the orthonormal cosines of the discrete cosine transform (DCT-II), n x n, the constant first."""
    center = torch.arange(n, dtype=like.dtype, device=like.device) + 0.5
    waves = torch.arange(n, dtype=like.dtype, device=like.device)[:, None]
    basis = (math.pi / n * waves * center).cos() * math.sqrt(2 / n)
    basis[0] = 1 / math.sqrt(n)
    return basis


def filter_matrix(weights: Tensor, n: int, padding: str) -> Tensor:
    """Return the matrices, B x n x n, that filter rows of n pixels by symmetric kernels with a padding.

    Dense products are faster than a convolution on CPU and GPU, for any kernels and one for each image.

    Args:
        weights: B x (R + 1), the weights at distances 0 to R.
        n: Number of pixels.
        padding: What lies beyond the row: ``"zeros"``, ``"border"`` or ``"reflection"``.
    """
    radius = weights.shape[1] - 1
    weights = F.pad(weights, (0, n - 1))
    output = torch.arange(n, device=weights.device)
    if padding == "zeros":
        return weights[:, (output.unsqueeze(-1) - output).abs()]
    source = torch.arange(-radius, n + radius, device=weights.device)
    # A product, since adding by index is not reproducible on GPUs
    fold = (folded(source, 0, n, padding).unsqueeze(-1) == output).to(weights.dtype)
    return weights[:, (output.unsqueeze(-1) - source).abs()] @ fold


def gaussian_weights(sigma: Tensor) -> Tensor:
    """Return the weights, B x (R + 1), of Gaussians of standard deviations B, in pixels, cut at 4 of them."""
    sigma = sigma.unsqueeze(-1)
    radius = (4 * sigma + 0.5).floor()
    distance = torch.arange(int(radius.max()) + 1, dtype=sigma.dtype, device=sigma.device)
    weights = torch.exp(-0.5 * (distance / sigma.clamp_min(1e-6)).square()) * (distance <= radius)
    return weights / (2 * weights.sum(-1, keepdim=True) - 1)


def motion_weights(length: Tensor) -> Tensor:
    """Return the weights, B x (R + 1), of straight motions of lengths, B, in pixels, at least 0.

    They take the mean of what a pixel sees on the way, between pixels linearly interpolated.
    """
    reach = int((length.detach().max() / 2).floor()) + 1
    distance = torch.arange(reach + 1, dtype=length.dtype, device=length.device)
    weights = _mean_tent(distance, length.unsqueeze(-1))
    return weights / (2 * weights.sum(-1, keepdim=True) - weights[:, :1])


def disk_kernels(radius: Tensor) -> Tensor:
    """Return the kernels, B x K x K, of disks of radii, B, in pixels, at least 0.

    They take the mean over the disk around a pixel, between pixels linearly interpolated. The disk is cut
    into 128 chords.
    """
    reach = int(radius.detach().max().floor()) + 1
    offset = torch.arange(-reach, reach + 1, dtype=radius.dtype, device=radius.device)
    angle = math.pi * torch.arange(1, _CHORDS + 1, dtype=radius.dtype, device=radius.device) / (_CHORDS + 1)
    height, half = (radius[:, None, None] * part[:, None] for part in (angle.cos(), angle.sin()))
    # Chords at cos(angle), twice sin(angle) long, with the weights of a quadrature of Gauss and Chebyshev
    across = angle.sin().square()[:, None] * _mean_tent(offset.abs(), 2 * half)
    kernels = (1 - (offset - height).abs()).clamp_min(0).mT @ across
    return kernels / kernels.sum((-2, -1), keepdim=True)


def _mean_tent(distance: Tensor, length: Tensor) -> Tensor:
    """Return the mean of the tent of linear interpolation over an interval of a length around a distance."""
    length = length.clamp_min(1e-4)
    return (_tent_integral(distance + length / 2) - _tent_integral(distance - length / 2)) / length


def _tent_integral(x: Tensor) -> Tensor:
    """Return the integral from 0 to x of the tent, which falls from 1 at 0 to 0 at -1 and 1."""
    x = x.clamp(-1, 1)
    return x - x * x.abs() / 2


def _padded(images: Tensor, margin: int, padding: str) -> Tensor:
    """Return images, ... x H x W, with a margin on all sides."""
    if padding == "zeros":
        return F.pad(images, 4 * [margin])
    rows, columns = (
        folded(torch.arange(-margin, n + margin, device=images.device), 0, n, padding)
        for n in images.shape[-2:]
    )
    return images[..., rows, :][..., columns]
