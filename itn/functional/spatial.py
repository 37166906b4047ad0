"""Geometry as pure functions: warping images, reading a matrix.

A spatial matrix A is 2 x 3 and maps *output* to *input* in the normalized coordinates of spatial
transformer networks (Jaderberg et al. 2015): x and y run from -1 to 1 between the outer edges of the
frame (``align_corners=False``), y points down, and ``output(p) = input(A @ [p, 1])``. A zoom factor above 1
therefore shrinks the content. A homography is 3 x 3; see ``itn.functional.homography``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.functional.homography import inverse_map
from itn.functional.matrices import is_homography
from itn.functional.sampling import canvas_coordinates, exact_where, sample, sample_canvas
from itn.functional.surround import Surround, crops_of, fill_outside

_NEAREST_TO_HORIZON = 1e-3  # depth, as a share of that of the center; beyond it lies what is seen there


def spatial_identity(like: Tensor) -> Tensor:
    """Return the 2 x 3 identity matrix, with the dtype and device of ``like``."""
    return torch.eye(2, 3, dtype=like.dtype, device=like.device)


def warp(
    images: Tensor,
    matrix: Tensor,
    padding: str = "zeros",
    surround: Surround | None = None,
    interpolation: str = "bilinear",
) -> Tensor:
    """Sample images at positions given by an affine map or a homography.

    Args:
        images: B x C x H x W with any values, such as feature maps; with a surround the canvases,
            B x C x H' x W'.
        matrix: 2 x 3 or B x 2 x 3, of a homography 3 x 3 or B x 3 x 3, output to input, normalized
            coordinates; with a surround those of the crop. Beyond a horizon lies what is seen near it.
        padding: What lies outside the frame: ``"zeros"``, ``"border"`` or ``"reflection"``. With a surround
            it begins where the photograph ends.
        surround: Where the crops lie in the canvases, and where each photograph ends; None: nothing is known
            beyond the frame.
        interpolation: How values between pixels are made: ``"bilinear"``, which softens what it moves by
            fractions of a pixel, or ``"bicubic"`` (the kernel of ``grid_sample``, with a = -0.75), which
            keeps more detail and may leave the range of the image by a little.

    Returns:
        Warped images of the same shape and dtype; with a surround the warped crops, B x C x H x W. Where a
        matrix is the identity, the image, or the crop, is returned bit for bit. Half precision is sampled in
        the precision of the matrix.

    Raises:
        ValueError: If the surround is not that of the canvases.
    """
    if surround is not None:
        surround.check(images)
    with torch.autocast(images.device.type, enabled=False):
        matrix = _prepared(matrix, images)
        unchanged = crops_of(images, surround)
        if surround is None:
            grid = _sampling_grid(matrix, *images.shape[-2:])
            warped = sample(images.to(matrix.dtype), grid, padding, interpolation)
        else:
            to_canvas = _to_canvas(matrix, surround, images.shape[-2:])
            grid = _sampling_grid(to_canvas, *surround.size)
            warped = sample_canvas(images.to(matrix.dtype), grid, padding, surround, interpolation)
        return exact_where(_is_identity(matrix), unchanged, warped)


def warp_canvas(
    images: Tensor, matrix: Tensor, padding: str, surround: Surround, interpolation: str = "bilinear"
) -> Tensor:
    """Return whole canvases warped as ``warp`` does their crops, for a warp that follows.

    Args:
        images: Canvases, B x C x H' x W'.
        matrix: As for ``warp``, in normalized coordinates of the crop.
        padding: What lies outside the photograph.
        surround: Where the crops lie in the canvases, and where each photograph ends.
        interpolation: Bilinear or bicubic, as for ``warp``.

    Returns:
        Canvases of the same shape and dtype; the padding fills them, so that their surround is
        ``surround.filling(images)``.
    """
    with torch.autocast(images.device.type, enabled=False):
        matrix = _prepared(matrix, images)
        height, width = images.shape[-2:]
        scale, shift = canvas_coordinates(surround, (height, width), matrix)
        columns = _to_canvas(matrix, surround, (height, width))
        linear = columns[:, :, :2] / scale
        whole = torch.cat([linear, columns[:, :, 2:] - (linear * shift).sum(2, keepdim=True)], 2)
        grid = _sampling_grid(whole, height, width)
        warped = sample_canvas(images.to(matrix.dtype), grid, padding, surround, interpolation)
        return exact_where(_is_identity(matrix), fill_outside(images, surround, padding), warped)


def warp_and_back(
    images: Tensor,
    matrix: Tensor,
    padding: str = "zeros",
    surround: Surround | None = None,
    interpolation: str = "bilinear",
) -> Tensor:
    """Return images warped and warped back, clamped to [0, 1]: what interpolation and cut-off alone do.

    With a surround whole canvases are warped, and what leaves these is cut off.

    Args:
        images: B x C x H x W in [0, 1]; with a surround the canvases, B x C x H' x W'.
        matrix: As for ``warp``, and invertible; it is inverted in its own precision.
        padding: What lies outside the frame, or the photograph.
        surround: Where the crops lie in the canvases; None: nothing is known beyond the frame.
        interpolation: Bilinear or bicubic, as for ``warp``.

    Returns:
        Images of the same shape and dtype; with a surround the crops, B x C x H x W.
    """
    if surround is None:
        there = warp(images, matrix.to(images), padding, None, interpolation)
    else:
        there = warp_canvas(images, matrix.to(images), padding, surround, interpolation)
        surround = surround.filling(there)
    back = inverse_map(matrix).to(images)
    return warp(there.clamp(0, 1), back, padding, surround, interpolation).clamp(0, 1)


def _prepared(matrix: Tensor, images: Tensor) -> Tensor:
    """Return the matrices of all images, B x 2 x 3 or B x 3 x 3, in the precision of the sampling."""
    dtype = torch.promote_types(images.dtype, matrix.dtype)
    return matrix.to(dtype).expand(len(images), *matrix.shape[-2:])


def _is_identity(matrix: Tensor) -> Tensor:
    """Return which matrices, B x 2 x 3 or B x 3 x 3, are the identity, B."""
    identity = torch.eye(*matrix.shape[-2:], dtype=matrix.dtype, device=matrix.device)
    return (matrix == identity).all(-1).all(-1)


def _to_canvas(matrix: Tensor, surround: Surround, canvas: Sequence[int]) -> Tensor:
    """Return matrices whose input is in coordinates of the canvas instead of the crop.

    No product of matrices, which TF32 would round.
    """
    scale, shift = canvas_coordinates(surround, canvas, matrix)
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    depth = matrix[:, 2:] if is_homography(matrix) else identity[2]
    return torch.cat([scale[:, None] * matrix[:, :2] + shift[:, None] * depth, matrix[:, 2:]], 1)


def _sampling_grid(matrix: Tensor, height: int, width: int) -> Tensor:
    """Return the input position of every output pixel, B x H x W x 2.

    The values of ``F.affine_grid``, several times faster on a CPU: one fused multiply-add over contiguous
    rows instead of a product with a tall thin matrix, which TF32 would also round.
    """
    if is_homography(matrix):
        return _projected_grid(matrix, height, width)
    x, y = (pixel_centers(n, matrix) for n in (width, height))
    row = (x.unsqueeze(-1) * matrix[:, None, :, 0] + matrix[:, None, :, 2]).flatten(1)
    slope = matrix[:, None, :, 1].expand(-1, width, -1).flatten(1)
    return torch.addcmul(row.unsqueeze(1), y.unsqueeze(-1), slope.unsqueeze(1)).unflatten(-1, (width, 2))


def _projected_grid(matrix: Tensor, height: int, width: int) -> Tensor:
    """Return the positions of ``_sampling_grid`` of homographies, B x 3 x 3."""
    x, y = (pixel_centers(n, matrix) for n in (width, height))
    row = x[:, None] * matrix[:, None, :, 0] + matrix[:, None, :, 2]  # B x W x 3
    position = row[:, None] + y[:, None, None] * matrix[:, None, None, :, 1]
    nearest = _NEAREST_TO_HORIZON * matrix[:, 2, 2].abs().clamp_min(1e-6).view(-1, 1, 1, 1)
    return position[..., :2] / torch.maximum(position[..., 2:], nearest)


def pixel_centers(n: int, like: Tensor) -> Tensor:
    """Return the normalized coordinates of n pixel centers, with the dtype and device of ``like``."""
    return (2 * torch.arange(n, dtype=like.dtype, device=like.device) + 1) / n - 1


def rms_displacement(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the root mean square shift of pixels over the frame, as a fraction of its width.

    Args:
        matrix: B x 2 x 3, output to input, normalized coordinates.
        size: Height and width of the images, in pixels.

    Returns:
        Shape B, >= 0. Exact: the mean over all pixel centers in closed form.
    """
    height, width = size
    d = matrix - spatial_identity(matrix)
    # Mean squares of the coordinates (2i + 1) / n - 1 of n pixel centers, and of the constant 1
    mean_squares = d.new_tensor([(1 - width**-2) / 3, (1 - height**-2) / 3, 1.0])
    x, y = (d.square() @ mean_squares).unbind(-1)
    return 0.5 * (x + y * (height / width) ** 2).sqrt()


class SpatialParts(NamedTuple):
    """What a spatial matrix does, in the terms of the screening transformations; every field has shape B.

    The matrix is rotation @ shear @ scale, followed by the shift.
    """

    rotation: Tensor
    """Degrees by which the content turns clockwise on the screen."""
    scale_x: Tensor
    """Factor; above 1 the content becomes narrower."""
    scale_y: Tensor
    """Factor; above 1 the content becomes lower; negative if it is mirrored."""
    shear: Tensor
    """Horizontal shear of the sampling positions: their offset along x for each pixel along y."""
    shift_x: Tensor
    """Shift of the center of the content to the right, as a fraction of the width."""
    shift_y: Tensor
    """Downward shift of the center of the content, as a fraction of the height."""


def decompose_spatial(matrix: Tensor, aspect: float = 1.0) -> SpatialParts:
    """Return rotation, scales, shear and shift of spatial matrices, B x 2 x 3.

    Args:
        matrix: Output to input, normalized coordinates, invertible.
        aspect: Width over height of the frame; angles and shears are those of square pixels.
    """
    (a, b, tx), (c, d, ty) = ((row.unbind(-1)) for row in matrix.unbind(-2))
    determinant = a * d - b * c
    shift_x = -(d * tx - b * ty) / determinant / 2
    shift_y = -(a * ty - c * tx) / determinant / 2
    b, c = b * aspect, c / aspect  # from normalized to isotropic coordinates
    scale_x = torch.hypot(a, c)
    scale_y = determinant / scale_x
    shear = (a * b + c * d) / (scale_x * scale_y)
    rotation = torch.rad2deg(torch.atan2(-c, a))
    return SpatialParts(rotation, scale_x, scale_y, shear, shift_x, shift_y)
