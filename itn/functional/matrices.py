"""Affine matrices of any number of dimensions."""

import torch
from torch import Tensor


def square_matrix(matrix: Tensor) -> Tensor:
    """Return affine matrices, ... x (n-1) x n, with the row [0 ... 0 1] below: products compose them."""
    n = matrix.shape[-1]
    last = torch.eye(n, dtype=matrix.dtype, device=matrix.device)[-1:].expand(*matrix.shape[:-2], 1, n)
    return torch.cat([matrix, last], -2)


def is_homography(matrix: Tensor) -> bool:
    """Return whether spatial matrices are 3 x 3; affine ones are 2 x 3."""
    return matrix.shape[-2] == 3
