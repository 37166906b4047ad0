"""The built-in transformations: those of Bunne et al., section III.C, and three more."""

import math

import torch
from torch import Tensor

from itn.functional import family_matrix, filter_matrix, gaussian_weights
from itn.transforms.magnitudes import octaves, steps
from itn.transforms.registry import TRANSFORMS, register

_FACTOR = (0.0, math.inf)


@register("fraction of the width", 0.0, steps(-0.4, 0.4, 0.05), spatial=True, group="spatial")
def translate_x(v: Tensor, aspect: float) -> Tensor:
    """Move the content right by v of the width: I(x - vW, y)."""
    return family_matrix("translation", torch.stack([-2 * v, 0 * v], -1))


@register("fraction of the height", 0.0, steps(-0.4, 0.4, 0.05), spatial=True, group="spatial")
def translate_y(v: Tensor, aspect: float) -> Tensor:
    """Move the content down by v of the height: I(x, y - vH)."""
    return family_matrix("translation", torch.stack([0 * v, -2 * v], -1))


@register("degrees", 0.0, steps(-180, 180, 15), spatial=True, group="spatial")
def rotate(v: Tensor, aspect: float) -> Tensor:
    """Turn the content by v degrees about the center, clockwise on the screen: I(rot((x, y), -v))."""
    return family_matrix("rotation", v.deg2rad().unsqueeze(-1), aspect)


@register(
    "factor, above 1 narrows content",
    1.0,
    octaves(-2, 2, 3),
    spatial=True,
    domain=_FACTOR,
    logarithmic=True,
    group="spatial",
)
def scale_x(v: Tensor, aspect: float) -> Tensor:
    """Divide the width of the content by v, about the center: I(vx - (v - 1)W/2, y)."""
    return family_matrix("scale", torch.stack([v - 1, 0 * v], -1))


@register(
    "factor, above 1 flattens content",
    1.0,
    octaves(-2, 2, 3),
    spatial=True,
    domain=_FACTOR,
    logarithmic=True,
    group="spatial",
)
def scale_y(v: Tensor, aspect: float) -> Tensor:
    """Divide the height of the content by v, about the center: I(x, vy - (v - 1)H/2)."""
    return family_matrix("scale", torch.stack([0 * v, v - 1], -1))


@register(
    "factor, above 1 shrinks content",
    1.0,
    octaves(-2, 2, 3),
    spatial=True,
    domain=_FACTOR,
    logarithmic=True,
    group="spatial",
)
def zoom(v: Tensor, aspect: float) -> Tensor:
    """Divide width and height of the content by v: scale_x then scale_y. Above 1 the content shrinks."""
    return family_matrix("scale", torch.stack([v - 1, v - 1], -1))


@register("fraction of full range", 0.0, steps(-1, 1, 0.125), domain=(-1.0, 1.0), group="color")
def brightness(images: Tensor, v: Tensor) -> Tensor:
    """Add v to every value: I + v (the paper's I + 255 v, on [0, 255])."""
    return images + v


@register(
    "factor, above 1 brightens", 1.0, octaves(-4, 4, 1), domain=_FACTOR, logarithmic=True, group="color"
)
def contrast(images: Tensor, v: Tensor) -> Tensor:
    """Multiply every value by v: v I."""
    return images * v


@register("fraction", 0.0, steps(0, 1, 0.1), domain=(0.0, 1.0), color_only=True, group="color")
def grayscale(images: Tensor, v: Tensor) -> Tensor:
    """Fade to gray: (1 - v) I + v I_gray (the paper prints the last term without its v).

    The luma of ITU-R BT.601 for three channels, their mean for any other number. One channel is gray
    already: the identity, whatever v.
    """
    if images.shape[1] == 1:
        return images
    if images.shape[1] == 3:
        from kornia.color import rgb_to_grayscale  # noqa: PLC0415  # slow to import

        return images + v * (rgb_to_grayscale(images) - images)
    return images + v * (images.mean(1, keepdim=True) - images)


@register(
    "sigma in pixels",
    0.0,
    steps(0, 5, 0.5),
    domain=(0.0, 1000.0),
    group="detail",
    severities=(1.0, 2.0, 3.0, 4.0, 6.0),
)
def blur(images: Tensor, v: Tensor, padding: str) -> Tensor:
    """Convolve with a Gaussian of standard deviation v pixels, sampled at pixels and cut at 4 v."""
    weights = gaussian_weights(v.flatten())
    rows, columns = (filter_matrix(weights, n, padding).unsqueeze(1) for n in images.shape[-2:])
    if len(v) == 1:  # one product of two matrices, not one for each image
        rows, columns = rows[0, 0], columns[0, 0]
    return rows @ images @ columns.mT


@register(
    "sigma, fraction of full range",
    0.0,
    steps(0, 1, 0.1),
    domain=(0.0, math.inf),
    group="noises",
    severities=(0.08, 0.12, 0.18, 0.26, 0.38),
)
def noise(images: Tensor, v: Tensor, noise: Tensor) -> Tensor:
    """Add v z to every value, z standard normal: I + z, z ~ N(0, v) (the paper's 255 z)."""
    return images + v * noise


@register("pixels along x per pixel along y", 0.0, steps(-1, 1, 0.1), spatial=True, group="spatial")
def shear_x(v: Tensor, aspect: float) -> Tensor:
    """Move each row right by v times its distance below the center: I(x - v(y - H/2), y)."""
    return family_matrix("shear", torch.stack([-v / aspect, 0 * v], -1))


@register("pixels along y per pixel along x", 0.0, steps(-1, 1, 0.1), spatial=True, group="spatial")
def shear_y(v: Tensor, aspect: float) -> Tensor:
    """Move each column down by v times its distance right of the center: I(x, y - v(x - W/2))."""
    return family_matrix("shear", torch.stack([0 * v, -v * aspect], -1))


@register("0 or 1", 0.0, (0.0, 1.0), domain=(0.0, 1.0), discrete=True, group="spatial")
def horizontal_flip(images: Tensor, v: Tensor) -> Tensor:
    """Mirror left and right at v = 1: I(W - x, y)."""
    return torch.where(v == 1, images.flip(-1), images)


PAPER = tuple(name for name in TRANSFORMS if name not in ("shear_x", "shear_y", "horizontal_flip"))
