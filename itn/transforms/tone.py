"""Transformations of tone and color, pixel by pixel."""

import math

from torch import Tensor

from itn.functional import Surround, gamma_curve, pixel_centers
from itn.runtime.validation import require
from itn.runtime.wording import counted
from itn.transforms.magnitudes import octaves, steps
from itn.transforms.registry import register

_FACTOR = (0.0, math.inf)


@register(
    "exponent, above 1 darkens", 1.0, octaves(-3, 3, 2), domain=_FACTOR, logarithmic=True, group="color"
)
def gamma(images: Tensor, v: Tensor) -> Tensor:
    """Raise every value to the power v: I^v; black and white stay.

    Not kornia's ``adjust_gamma``, whose gradient is infinite at black pixels.
    """
    return gamma_curve(images, v)


@register(
    "factor, above 1 more colorful",
    1.0,
    octaves(-4, 4, 1),
    domain=_FACTOR,
    logarithmic=True,
    color_only=True,
    group="color",
    severities=(0.3, 0.1, 2.0),  # 4 and 5 also add to the saturation
)
def saturation(images: Tensor, v: Tensor) -> Tensor:
    """Multiply the saturation of HSV by v, up to 1; the value of HSV stays, 0 is gray.

    One channel is gray already: the identity, whatever v. Numbers of channels other than 1 and 3 are refused.
    """
    if _is_gray(images, "saturation"):
        return images
    from kornia.enhance import adjust_saturation  # noqa: PLC0415  # slow to import

    return adjust_saturation(images, v.flatten())


@register("degrees", 0.0, steps(-180, 180, 15), domain=(-180.0, 180.0), color_only=True, group="color")
def hue(images: Tensor, v: Tensor) -> Tensor:
    """Turn the hue of HSV by v degrees, from red towards green; 180 is the opposite color.

    One channel has no hue: the identity, whatever v. Numbers of channels other than 1 and 3 are refused.
    """
    if _is_gray(images, "hue"):
        return images
    from kornia.enhance import adjust_hue  # noqa: PLC0415  # slow to import

    return adjust_hue(images, v.flatten().deg2rad())


@register("bits per channel, fewer is coarser", 8.0, steps(0, 8, 0.5), domain=(0.0, 8.0), group="color")
def posterize(images: Tensor, v: Tensor) -> Tensor:
    """Round every value down to one of 2^v levels, as if v of its 8 bits were kept.

    Not kornia's ``posterize``, which takes whole numbers of bits only. Levels lie 2^(8 - v) / 255 apart.
    """
    step = 2 ** (8 - v)
    # Values of 8 bits lie at whole numbers, which must not round below themselves
    return (images.mul(255).add(1e-3) / step).floor() * step / 255


@register("threshold, lower inverts more", 1.0, steps(0, 1, 0.1), domain=(0.0, 1.0), group="color")
def solarize(images: Tensor, v: Tensor) -> Tensor:
    """Invert every value from v on: 1 - I where I >= v; at 1 none."""
    from kornia.enhance import solarize as kornia_solarize  # noqa: PLC0415  # slow to import

    return kornia_solarize(images, v.flatten().expand(len(images)))


@register("share of light lost in the corners", 0.0, steps(0, 1, 0.1), domain=(0.0, 1.0), group="color")
def vignette(images: Tensor, v: Tensor, surround: Surround | None) -> Tensor:
    """Darken towards the corners: (1 - v)^(r^2) I, where r is 0 at the center and 1 in the corners."""
    y, x = (pixel_centers(n, v) for n in images.shape[-2:])
    if surround is not None:  # in units of the crop, on the whole canvas
        height, width = images.shape[-2:]
        x = (x + 1) * width / surround.width - 2 * surround.left / surround.width - 1
        y = (y + 1) * height / surround.height - 2 * surround.top / surround.height - 1
    squared_radius = (x.square() + y.square()[:, None]) / 2
    return images * (1 - v).clamp_min(0) ** squared_radius


def _is_gray(images: Tensor, name: str) -> bool:
    """Return whether images have one channel; raise ValueError unless it is one or three."""
    channels = images.shape[1]
    require(channels in (1, 3), f"{name} takes images of 1 or 3 channels, got {counted(channels, 'channel')}")
    return channels == 1
