"""Color as pure functions: pixel values in [0, 1], and affine maps of a pixel's channels.

A color matrix A is C x (C+1): ``out = A[:, :C] @ pixel + A[:, C]``, per pixel, for any number C of
channels (the phi and phi_B of Bunne et al., section III.D).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from itn.runtime.wording import counted

LUMA = (0.299, 0.587, 0.114)
"""Of ITU-R BT.601: the weights of red, green and blue in gray."""
NEAR_FADE = 0.2  # how far from a fade to gray a matrix may be, as a share of what the fade changes
LEAST_FADE = 0.05


def check_images(images: Tensor, channels: int | None = None) -> None:
    """Raise ValueError unless ``images`` are B x C x H x W, uint8 or float in [0, 1].

    Args:
        images: Images given by a user.
        channels: Required number C of channels; None accepts any.
    """
    if not isinstance(images, Tensor):
        raise ValueError(
            f"images must be a torch.Tensor, got {type(images).__name__}: torch.from_numpy makes one of an "
            "array, torch.stack of a list of them"
        )
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be B x C x H x W with no size 0, got shape {tuple(images.shape)}")
    if channels is not None and images.shape[1] != channels:
        given = counted(images.shape[1], "channel")
        cure = f"images.expand(-1, {channels}, -1, -1)" if images.shape[1] == 1 else "others"
        if images.shape[3] == channels:
            cure = "images.permute(0, 3, 1, 2), as they look like B x H x W x C"
        raise ValueError(f"images have {given}, the classifier takes {channels}: give {cure}")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise ValueError(f"images must be uint8 or float in [0, 1], got {images.dtype}: convert them first")
    low, high = (value.item() for value in images.detach().aminmax())
    if math.isnan(low):
        raise ValueError("images must lie in [0, 1], and some values are NaN: find out what has made them")
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"images must lie in [0, 1] or be uint8, got values from {low:.4g} to {high:.4g}: "
            "divide by 255 or undo the normalization (the classifier normalizes by itself)"
        )


def unit_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images as floats in [0, 1]: uint8 is divided by 255, floats are returned unchanged."""
    return images.to(dtype) / 255 if images.dtype == torch.uint8 else images


def color_identity(channels: int, like: Tensor) -> Tensor:
    """Return the identity color matrix, C x (C+1), with the dtype and device of ``like``."""
    return torch.eye(channels, channels + 1, dtype=like.dtype, device=like.device)


def apply_color(images: Tensor, matrix: Tensor) -> Tensor:
    """Map every pixel's channels through an affine color matrix and clamp to [0, 1].

    Args:
        images: B x C x H x W in [0, 1].
        matrix: C x (C+1) or B x C x (C+1); the last column is the bias, in fractions of full range.

    Returns:
        Images of the same shape and dtype; the identity matrix returns them bit for bit.
    """
    channels = images.shape[1]
    with torch.autocast(images.device.type, enabled=False):  # it would round the product to half precision
        # Adding the deviation from the identity keeps the identity exact in any precision of the product.
        deviation = (matrix - color_identity(channels, matrix)).to(images.dtype)
        deviation = deviation.expand(images.shape[0], -1, -1)
        pixels = images.flatten(2)
        change = torch.baddbmm(deviation[..., channels:], deviation[..., :channels], pixels)
        return (pixels + change).clamp(0, 1).view_as(images)


class ColorParts(NamedTuple):
    """What a color matrix does; gain and bias have shape B x C, mixing has shape B."""

    gain: Tensor
    """Factor on each channel; 1 changes nothing."""
    bias: Tensor
    """Added to each channel, as a fraction of full range."""
    mixing: Tensor
    """Largest share, in absolute value, that one channel takes from another; 0 for gray images."""


def decompose_color(matrix: Tensor) -> ColorParts:
    """Return gain, bias and mixing of color matrices, B x C x (C+1)."""
    channels = matrix.shape[-2]
    square = matrix[..., :channels]
    gain = square.diagonal(dim1=-2, dim2=-1)
    mixing = (square - torch.diag_embed(gain)).abs().amax((-2, -1))
    return ColorParts(gain, matrix[..., channels], mixing)


def fade_to_gray(matrix: Tensor) -> Tensor:
    """Return how far color matrices fade towards gray, as v of F(I, v) = (1 - v) I + v gray(I) does.

    Gray is the luma of ITU-R BT.601 or the mean of the channels, whichever is nearer. A factor above 0 on all
    channels and any bias may come on top.

    Args:
        matrix: B x C x (C+1).

    Returns:
        B, in [0, 1]; 0 where a matrix is no such fade, by more than a fifth of what the fade changes, in the
        Frobenius norm, or by a fade of less than a twentieth.
    """
    channels = matrix.shape[-2]
    if channels == 1:
        return torch.zeros_like(matrix[:, 0, 0])
    square = matrix[..., :channels].to(torch.promote_types(matrix.dtype, torch.float32))
    grays = [(1 / channels,) * channels, *([LUMA] if channels == 3 else [])]
    fits = [_fitted_fade(square, square.new_tensor(gray)) for gray in grays]
    distance, v = torch.where(fits[0][:1] <= fits[-1][:1], fits[0], fits[-1])
    is_fade = (distance <= NEAR_FADE) & (v >= LEAST_FADE) & (v <= 1 + LEAST_FADE)
    return torch.where(is_fade, v.clamp_max(1), 0).to(matrix.dtype)


def _fitted_fade(square: Tensor, gray: Tensor) -> Tensor:
    """Return how far matrices, B x C x C, are from a I + b gray, in sizes of the fade, and its v, 2 x B.

    Where a + b is not above 0, v is infinite.
    """
    versions = torch.stack([torch.eye(len(gray)).to(gray), gray.expand(len(gray), -1)])
    factors = square.flatten(1) @ torch.linalg.pinv(versions.flatten(1))
    rest = square - torch.einsum("bv,vij->bij", factors, versions)
    size = factors[:, 1].abs() * (versions[1] - versions[0]).norm()
    whole = factors.sum(1)
    v = torch.where(whole > 0, factors[:, 1] / whole, torch.inf)
    return torch.stack([rest.flatten(1).norm(dim=1) / size.clamp_min(1e-12), v])
