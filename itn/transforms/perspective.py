"""Perspective: the image as a picture on a board that turns before a camera.

The camera sees 50 degrees across the longer side of the frame. The horizon of the board is out of the frame
below a tilt of 65 degrees, and out of canvases of 1.5 times the frame below 55.
"""

import torch
from torch import Tensor

from itn.functional import tilt_homography
from itn.transforms.magnitudes import steps
from itn.transforms.registry import register

_TILTS = (-60.0, 60.0)


@register(
    "degrees, above 0 right recedes", 0.0, steps(-60, 60, 10), spatial=True, domain=_TILTS, group="spatial"
)
def perspective_x(v: Tensor, aspect: float) -> Tensor:
    """Tilt the picture by v degrees about its vertical middle line; above 0 the right side recedes.

    A matrix of its own, B x 3 x 3: kornia's ``homography_warp`` knows no surround.
    """
    return tilt_homography(torch.stack([v.deg2rad(), 0 * v], -1), aspect)


@register(
    "degrees, above 0 bottom recedes", 0.0, steps(-60, 60, 10), spatial=True, domain=_TILTS, group="spatial"
)
def perspective_y(v: Tensor, aspect: float) -> Tensor:
    """Tilt the picture by v degrees about its horizontal middle line; above 0 the lower side recedes."""
    return tilt_homography(torch.stack([0 * v, v.deg2rad()], -1), aspect)
