"""Displacement: the mean squared distance of a matrix from the identity (Bunne et al., section III.D)."""

import torch
from torch import Tensor


def displacement(matrix: Tensor) -> Tensor:
    """Return how far a color or spatial matrix is from the identity: E ||A_hat x - x||^2.

    x is uniform on the unit sphere of R^n and A_hat is A with the row [0 ... 0 1] below, n x n; the
    expectation is ``||A_hat - I||_F^2 / n``. It is -L(A) of Bunne et al., section III.D, exactly.

    Args:
        matrix: B x (n-1) x n: 2 x 3 for geometry, C x (C+1) for color.

    Returns:
        Shape B, >= 0, without unit.
    """
    return _deviation(matrix).square().sum((-2, -1)) / matrix.shape[-1]


def sampled_displacement(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Return displacement estimated as in the paper: the mean of ||A_hat x - x||^2 over unit vectors.

    Args:
        matrix: B x (n-1) x n.
        vectors: S x n, of length 1, such as those of ``unit_vectors``.

    Returns:
        Shape B; its expectation is ``displacement(matrix)``.
    """
    differences = _deviation(matrix) @ vectors.T
    return differences.square().sum(-2).mean(-1)


def unit_vectors(count: int, dimension: int, generator: torch.Generator | None = None) -> Tensor:
    """Return random unit vectors, count x dimension, uniform on the sphere, on the generator's device."""
    device = None if generator is None else generator.device
    return torch.nn.functional.normalize(
        torch.randn(count, dimension, generator=generator, device=device), dim=-1
    )


def _deviation(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape[-2:]
    if columns != rows + 1:
        raise ValueError(f"a matrix must be (n-1) x n, got {rows} x {columns}")
    return matrix - torch.eye(rows, columns, dtype=matrix.dtype, device=matrix.device)
