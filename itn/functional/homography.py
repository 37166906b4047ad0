"""Homographies as pure functions: tilted pictures, and warps that affine maps are a special case of.

A homography is 3 x 3 and maps *output* to *input* in the normalized coordinates of
``itn.functional.spatial``: ``[x, y, w] = H @ [p, 1]``, and the output at p is the input at (x / w, y / w). An
affine map, 2 x 3, is the one whose last row is [0, 0, 1].
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional.matrices import square_matrix
from itn.functional.sampling import canvas_coordinates, exact_where, sample, sample_canvas
from itn.functional.spatial import pixel_centers, warp, warp_canvas
from itn.functional.surround import Surround, crops_of, fill_outside

FIELD_OF_VIEW = 50.0
"""Degrees that the camera of ``tilt_homography`` sees across the longer side of the frame."""
_NEAREST_TO_HORIZON = 1e-3  # depth, as a share of that of the center; beyond it lies what is seen there


def is_homography(matrix: Tensor) -> bool:
    """Return whether matrices are 3 x 3; affine ones are 2 x 3."""
    return matrix.shape[-2] == 3


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


def project(
    images: Tensor,
    matrix: Tensor,
    padding: str = "zeros",
    surround: Surround | None = None,
    interpolation: str = "bilinear",
) -> Tensor:
    """Sample images at positions given by an affine map or a homography.

    Args:
        images: B x C x H x W with any values; with a surround the canvases, B x C x H' x W'.
        matrix: 2 x 3, B x 2 x 3, 3 x 3 or B x 3 x 3, output to input, normalized coordinates of the frame, or
            of the crop; affine maps are left to ``itn.warp``.
        padding: As in ``itn.warp``. Beyond a horizon lies what is seen near it.
        surround: As in ``itn.warp``.
        interpolation: As in ``itn.warp``.

    Returns:
        Warped images of the same shape and dtype, or the warped crops, differentiable in images and matrix.
        Where a matrix is the identity, the image, or the crop, is returned bit for bit.

    Raises:
        ValueError: If the surround is not that of the canvases.
    """
    if not is_homography(matrix):
        return warp(images, matrix, padding, surround, interpolation)
    if surround is not None:
        surround.check(images)
    size = (images.shape[-2], images.shape[-1]) if surround is None else surround.size
    with torch.autocast(images.device.type, enabled=False):
        matrix = _prepared(matrix, images)
        unchanged = crops_of(images, surround)
        if surround is None:
            grid = _projected_grid(matrix, *size)
            warped = sample(images.to(matrix.dtype), grid, padding, interpolation)
        else:
            grid = _projected_grid(_to_canvas(matrix, surround, images.shape[-2:]), *size)
            warped = sample_canvas(images.to(matrix.dtype), grid, padding, surround, interpolation)
        return exact_where(_is_identity(matrix), unchanged, warped)


def project_canvas(
    images: Tensor, matrix: Tensor, padding: str, surround: Surround, interpolation: str = "bilinear"
) -> Tensor:
    """Return whole canvases warped as ``project`` does their crops, for a warp that follows.

    Args:
        images: Canvases, B x C x H' x W'.
        matrix: 2 x 3, B x 2 x 3, 3 x 3 or B x 3 x 3, output to input, normalized coordinates of the crop.
        padding: What lies outside the photograph.
        surround: Where the crops lie in the canvases, and where each photograph ends.
        interpolation: Bilinear or bicubic.

    Returns:
        Canvases of the same shape and dtype; the padding fills them, so that their surround is
        ``surround.filling(images)``.
    """
    if not is_homography(matrix):
        return warp_canvas(images, matrix, padding, surround, interpolation)
    with torch.autocast(images.device.type, enabled=False):
        matrix = _prepared(matrix, images)
        scale, shift = canvas_coordinates(surround, images.shape[-2:], matrix)
        columns = _to_canvas(matrix, surround, images.shape[-2:])
        linear = columns[:, :, :2] / scale
        whole = torch.cat([linear, columns[:, :, 2:] - (linear * shift).sum(2, keepdim=True)], 2)
        grid = _projected_grid(whole, *images.shape[-2:])
        warped = sample_canvas(images.to(matrix.dtype), grid, padding, surround, interpolation)
        return exact_where(_is_identity(matrix), fill_outside(images, surround, padding), warped)


def _prepared(matrix: Tensor, images: Tensor) -> Tensor:
    """Return the matrices of all images, B x 3 x 3, in the precision of the sampling."""
    dtype = torch.promote_types(images.dtype, matrix.dtype)
    return matrix.to(dtype).expand(images.shape[0], 3, 3)


def _is_identity(matrix: Tensor) -> Tensor:
    """Return which homographies, B x 3 x 3, are the identity, B."""
    return (matrix == torch.eye(3, dtype=matrix.dtype, device=matrix.device)).all(-1).all(-1)


def _to_canvas(matrix: Tensor, surround: Surround, canvas: Sequence[int]) -> Tensor:
    """Return homographies whose input is in coordinates of the canvas instead of the crop."""
    scale, shift = canvas_coordinates(surround, canvas, matrix)
    depth = matrix[:, 2:]
    return torch.cat([scale[:, None] * matrix[:, :2] + shift[:, None] * depth, depth], 1)


def _projected_grid(matrix: Tensor, height: int, width: int) -> Tensor:
    """Return the input position of every output pixel, B x H x W x 2."""
    x, y = (pixel_centers(n, matrix) for n in (width, height))
    row = x[:, None] * matrix[:, None, :, 0] + matrix[:, None, :, 2]  # B x W x 3
    position = row[:, None] + y[:, None, None] * matrix[:, None, None, :, 1]
    nearest = _NEAREST_TO_HORIZON * matrix[:, 2, 2].abs().clamp_min(1e-6).view(-1, 1, 1, 1)
    return position[..., :2] / torch.maximum(position[..., 2:], nearest)
