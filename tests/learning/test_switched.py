"""The losses of the switched objective, and the switch between them."""

from fractions import Fraction

import pytest
import torch

from itn import ColorTransformer, SpatialTransformer
from itn.functional.displacements import displacement
from itn.learning.switched import required_correct, transformer_loss


def matrices(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.eye(*shape, dtype=torch.float64) + 0.3 * torch.randn(5, *shape, generator=generator).double()


def test_loss_is_the_papers_sum():
    """c_theta (k_0 + k_1) L(A_phi) + (k_0 + k_1) L(A_theta), averaged over the batch, term by term."""
    color, spatial = displacement(matrices(3, 4)), displacement(matrices(2, 3))
    k1, k2 = torch.rand(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = sum(
        -7 * (k1[i, 0] + k1[i, 1]) * color[i] - (k2[i, 0] + k2[i, 1]) * spatial[i] for i in range(5)
    ).item()
    assert transformer_loss(color, spatial, k1, k2, 7.0).item() == pytest.approx(expected / 5)
    without = transformer_loss(None, spatial, k1, k2, 7.0) + transformer_loss(color, None, k1, k2, 7.0)
    assert without.item() == pytest.approx(expected / 5)


def test_more_displacement_is_less_loss():
    for transformer in (ColorTransformer(3), SpatialTransformer()):
        k = torch.rand(64, 2)
        before = displacement(transformer.matrix(k))
        loss = transformer_loss(None, before, k, k, 1.0)
        loss.backward()
        with torch.no_grad():
            for weight in transformer.parameters():
                weight.sub_(100 * weight.grad)
        assert displacement(transformer.matrix(k)).mean() > before.mean()


@pytest.mark.parametrize("batch", [1, 7, 100, 128, 256])
def test_switch_is_exact_at_its_boundary(batch):
    """Every accuracy that a batch can have, against exact rational arithmetic."""
    for reference in range(batch + 1):
        for tolerance in ("0", "0.005", "0.01", "0.02", "0.3"):
            required = required_correct(reference / batch, float(tolerance), batch)
            limit = (Fraction(reference, batch) - Fraction(tolerance)) * batch
            assert required - 1 < limit <= required
