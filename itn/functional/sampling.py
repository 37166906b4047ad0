"""Sampling images at positions between their pixels, with what lies outside them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from itn.functional.surround import Surround, fill_outside, fold_into_box

PADDINGS = ("zeros", "border", "reflection")
INTERPOLATIONS = ("bilinear", "bicubic")
_TAPS = 2  # pixels on each side of a position that bicubic interpolation takes in


def sample(images: Tensor, grid: Tensor, padding: str, interpolation: str) -> Tensor:
    """Return images, B x C x H x W, at normalized positions, B x H' x W' x 2, of the same dtype."""
    return F.grid_sample(images, grid, interpolation, padding, align_corners=False)


def sample_canvas(
    canvases: Tensor, grid: Tensor, padding: str, surround: Surround, interpolation: str
) -> Tensor:
    """Return canvases at normalized positions; the padding begins where each photograph ends.

    Args:
        canvases: B x C x H x W.
        grid: Positions in coordinates of the canvas, B x H' x W' x 2, of the same dtype.
        padding: What lies outside the photographs.
        surround: Where these end.
        interpolation: Bilinear or bicubic.
    """
    height, width = canvases.shape[-2:]
    if padding == "zeros":
        canvases = fill_outside(canvases, surround, padding)
    elif interpolation == "bilinear":
        grid = fold_into_box(grid, surround, (height, width), padding, 0.5)
    else:  # takes in pixels beyond the edge, which must be there
        grid = fold_into_box(grid, surround, (height, width), padding, -0.5)
        canvases, surround = F.pad(canvases, 4 * (_TAPS,)), surround.moved(_TAPS)
        canvases = fill_outside(canvases, surround, padding)
        grid = grid * grid.new_tensor([width / (width + 2 * _TAPS), height / (height + 2 * _TAPS)])
    return sample(canvases, grid, "zeros", interpolation)


def exact_where(unchanged: Tensor, images: Tensor, sampled: Tensor) -> Tensor:
    """Return sampled images, but the images themselves where nothing is to change.

    grid_sample rounds its coordinates, but the identity must be exact: it takes its values from the image and
    its gradients from the sampling, so that learning can start from it.

    Args:
        unchanged: Of which images, bool, B.
        images: B x C x H x W; their dtype is that of the result.
        sampled: Of the same shape.
    """
    exact = images.detach() + (sampled - sampled.detach()) if sampled.requires_grad else images
    return torch.where(unchanged.view(-1, 1, 1, 1), exact, sampled).to(images.dtype)


def canvas_coordinates(surround: Surround, canvas: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift, x and y, from normalized coordinates of the crop to those of the canvas.

    Args:
        surround: Where the crops lie.
        canvas: Height and width of the canvases.
        like: Gives dtype and device.
    """
    height, width = canvas
    x, y = surround.width / width, surround.height / height
    shift = x + 2 * surround.left / width - 1, y + 2 * surround.top / height - 1
    return like.new_tensor([x, y]), like.new_tensor(shift)
