"""What learning minimises: displacement of matrices, and the switched objective of Bunne et al."""

import math

import torch
from torch import Tensor


def displacement(matrix: Tensor) -> Tensor:
    """Return how far a color or spatial matrix is from the identity: E ||A_hat x - x||^2.

    x is uniform on the unit sphere of R^n and A_hat is A with the row [0 ... 0 1] below, n x n; the
    expectation is ``||A_hat - I||_F^2 / n``. It is -L(A) of Bunne et al., section III.D, exactly.

    Args:
        matrix: B x (n-1) x n: 2 x 3 for space, C x (C+1) for color.

    Returns:
        Shape B, >= 0, no unit.
    """
    return _deviation(matrix).square().sum((-2, -1)) / matrix.shape[-1]


def sampled_displacement(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Return displacement as the paper samples it: the mean of ||A_hat x - x||^2 over given unit vectors.

    Args:
        matrix: B x (n-1) x n.
        vectors: S x n, of length 1, as ``unit_vectors`` makes them.

    Returns:
        Shape B; its expectation is ``displacement(matrix)``.
    """
    moved = _deviation(matrix) @ vectors.T
    return moved.square().sum(-2).mean(-1)


def unit_vectors(count: int, dimension: int, generator: torch.Generator | None = None) -> Tensor:
    """Return random unit vectors, count x dimension, uniform on the sphere, on the generator's device."""
    device = None if generator is None else generator.device
    return torch.nn.functional.normalize(
        torch.randn(count, dimension, generator=generator, device=device), dim=-1
    )


def weighted_displacement(displacements: Tensor, k: Tensor) -> Tensor:
    """Return -L_k(A), the mean over the batch of (k_0 + k_1) times the displacement; B and B x 2 in."""
    return (k.sum(-1) * displacements).mean()


def transformer_loss(
    color: Tensor | None, space: Tensor | None, k1: Tensor, k2: Tensor, c_theta: float
) -> Tensor:
    """Return the displacement branch of the switch: c_theta L_k1(A_phi) + L_k2(A_theta).

    Args:
        color: Displacements of the color matrices, B, or None without a color transformer.
        space: Displacements of the spatial matrices, B, or None without a spatial transformer.
        k1: Controls of color, B x 2.
        k2: Controls of space, B x 2.
        c_theta: Weight of color against space.
    """
    loss = k1.new_zeros(())
    if color is not None:
        loss = loss - c_theta * weighted_displacement(color, k1)
    if space is not None:
        loss = loss - weighted_displacement(space, k2)
    return loss


def required_correct(accuracy: float, tolerance: float, batch: int) -> int:
    """Return how many of a batch must be right for the switch to ask for displacement.

    Cross-entropy is asked for if and only if ``correct / batch < accuracy - tolerance``; counting
    keeps rounding out of the comparison.
    """
    return math.ceil((accuracy - tolerance) * batch - 1e-6)


def _deviation(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape[-2:]
    if columns != rows + 1:
        raise ValueError(f"a matrix must be (n-1) x n, got {rows} x {columns}")
    return matrix - torch.eye(rows, columns, dtype=matrix.dtype, device=matrix.device)
