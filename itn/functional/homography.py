"""Homographies as pure functions: maps that affine ones are a special case of, and tilted pictures.

A homography is 3 x 3 and maps *output* to *input* in the normalized coordinates of
``itn.functional.spatial``: ``[x, y, w] = H @ [p, 1]``, and the output at p is the input at (x / w, y / w). An
affine map, 2 x 3, is the one whose last row is [0, 0, 1].
"""

import math

import torch
from torch import Tensor

from itn.functional.matrices import is_homography, square_matrix

FIELD_OF_VIEW = 50.0
"""Degrees that the camera of ``tilt_homography`` sees across the longer side of the frame."""


def as_homography(matrix: Tensor) -> Tensor:
    """Return spatial matrices, ... x 2 x 3 or ... x 3 x 3, as homographies, ... x 3 x 3."""
    return matrix if is_homography(matrix) else square_matrix(matrix)


def compose_maps(first: Tensor, second: Tensor) -> Tensor:
    """Return the matrices of one warp that equals two, the first applied first; affine where both are."""
    product = as_homography(first) @ as_homography(second)
    return product if is_homography(first) or is_homography(second) else product[..., :2, :]


def inverse_map(matrix: Tensor) -> Tensor:
    """Return the inverses of spatial matrices, ... x 2 x 3 or ... x 3 x 3, of the same shape."""
    return torch.linalg.inv(as_homography(matrix))[..., : matrix.shape[-2], :]


def map_points(matrix: Tensor, points: Tensor) -> Tensor:
    """Return where spatial matrices map points; inf beyond the horizon.

    Args:
        matrix: B x 2 x 3 or B x 3 x 3.
        points: 2 x N, x and y in normalized coordinates.

    Returns:
        B x 2 x N.
    """
    mapped = as_homography(matrix) @ torch.cat([points, torch.ones_like(points[:1])])
    depth = mapped[:, 2:]
    return torch.where(depth > 0, mapped[:, :2] / depth, math.inf)


def tilt_homography(tilt: Tensor, aspect: float = 1.0, field_of_view: float = FIELD_OF_VIEW) -> Tensor:
    """Return homographies that show the frame as a picture on a board that was turned before a camera.

    The camera looks at the center of the board, from where the upright board fills its view. The board turns
    about the vertical and then about the horizontal line through its center.

    Args:
        tilt: ... x 2, in radians, the horizontal and the vertical tilt: where the first is positive the right
            side recedes, where the second is positive the lower side. All must be below 90 degrees.
        aspect: Width over height of the frame.
        field_of_view: Degrees that the camera sees across the longer side of the frame.

    Returns:
        ... x 3 x 3, output to input, differentiable in the tilt; exactly the identity where the tilt is 0.
        The horizon, behind which there is no picture, stays out of the frame where the depth, the last row
        times [x, y, 1], is positive at all four corners.
    """
    half = math.tan(math.radians(field_of_view) / 2)
    x, y = half * min(1.0, aspect), half * min(1.0, 1 / aspect)  # half the sides, from the distance 1
    (cos_h, cos_v), (sin_h, sin_v) = tilt.cos().unbind(-1), tilt.sin().unbind(-1)
    zero = torch.zeros_like(cos_h)
    # A ray (x, y, 1) meets the board where the point is from its center, along the board's own sides. Those
    # are (cos_h, 0, sin_h) and, turned about the first, (-sin_h sin_v, cos_v, cos_h sin_v).
    rows = [
        [cos_v, sin_h * sin_v * y / x, zero],
        [zero, cos_h, zero],
        [-sin_h * cos_v * x, -sin_v * y, cos_h * cos_v],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
