import pytest
import torch

from itn.functional.displacements import displacement, sampled_displacement, unit_vectors

SHAPES = [(1, 2), (2, 3), (3, 4)]


def matrices(shape, n=5):
    generator = torch.Generator().manual_seed(0)
    return torch.eye(*shape, dtype=torch.float64) + 0.3 * torch.randn(n, *shape, generator=generator).double()


@pytest.mark.parametrize("shape", SHAPES)
def test_closed_form_is_the_mean_over_the_sphere(shape):
    """An average over many sampled vectors, each pushed through the explicit square matrix."""
    generator = torch.Generator().manual_seed(1)
    vectors = unit_vectors(400_000, shape[1], generator).double()
    for matrix in matrices(shape):
        square = torch.cat([matrix, torch.eye(shape[1], dtype=torch.float64)[-1:]])
        squares = (vectors @ square.T - vectors).square().sum(1)
        error = 5 * squares.std() / len(squares) ** 0.5
        assert abs(displacement(matrix[None]).item() - squares.mean()) < error
        assert sampled_displacement(matrix[None], vectors).item() == pytest.approx(squares.mean().item())


def test_known_values():
    assert displacement(torch.eye(2, 3)[None]).tolist() == [0]
    assert displacement(torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]])).item() == pytest.approx(0.25 / 3)
    half_turn = torch.tensor([[[-1.0, 0, 0], [0, -1, 0]]])
    assert displacement(half_turn).item() == pytest.approx(8 / 3)
    gain_and_bias = torch.tensor([[[1.5, 0.2]]])
    assert displacement(gain_and_bias).item() == pytest.approx((0.25 + 0.04) / 2)


def test_unit_vectors_have_length_one_and_no_direction():
    vectors = unit_vectors(100_000, 3, torch.Generator().manual_seed(2))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(100_000))
    assert vectors.mean(0).abs().max() < 0.01
