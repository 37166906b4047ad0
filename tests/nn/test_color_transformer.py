"""What a color transformer says of itself, on matrices known on paper."""

import pytest
import torch

from itn import ColorTransformer


def described(matrix):
    module = ColorTransformer(len(matrix), bound=2.0)
    p = (matrix - torch.eye(*matrix.shape)).flatten()[None]
    torch.testing.assert_close(module.matrix_from(p, module.frame((len(matrix), 4, 4)))[0], matrix)
    return module.describe(p, module.frame((len(matrix), 4, 4)))


@pytest.mark.parametrize("gray", [[0.299, 0.587, 0.114], [1 / 3, 1 / 3, 1 / 3]])
def test_a_fade_to_gray_is_called_one(gray):
    matrix = torch.cat([0.2 * torch.eye(3) + 0.8 * torch.tensor(gray), torch.zeros(3, 1)], 1)
    assert described(matrix).endswith(": this fades towards grayscale (80 %)")
    assert described(1.5 * matrix).endswith(": this fades towards grayscale (80 %)")


def test_other_matrices_are_not():
    gain = torch.tensor([[1.5, 0, 0, 0.1], [0, 1.5, 0, 0.1], [0, 0, 1.5, 0.1]])
    said = "colors have gain 1.50 / 1.50 / 1.50 and bias +0.10 / +0.10 / +0.10 of full range"
    assert described(gain) == said
    swapped = torch.eye(3, 4)[[1, 0, 2]]
    assert described(swapped).endswith(", mixing up to 1.00")
    assert described(torch.tensor([[1.2, -0.1]])) == "colors have gain 1.20 and bias -0.10 of full range"
