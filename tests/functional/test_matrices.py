import pytest
import torch

from itn.functional import square_matrix


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_product_of_square_matrices_is_one_map_after_another(n):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 4, n - 1, n, generator=generator, dtype=torch.float64)
    point = torch.randn(n - 1, generator=generator, dtype=torch.float64)
    product = square_matrix(second) @ square_matrix(first)
    assert product.shape == (4, n, n)
    assert product[:, -1].tolist() == [[0.0] * (n - 1) + [1.0]] * 4
    for one, other, both in zip(first, second, product, strict=True):
        once = one[:, :-1] @ point + one[:, -1]
        twice = other[:, :-1] @ once + other[:, -1]
        torch.testing.assert_close(both[:-1, :-1] @ point + both[:-1, -1], twice)
