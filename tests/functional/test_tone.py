import numpy as np
import torch

from itn.functional import gamma_curve


def test_a_curve_of_its_own_for_each_image(odd_images):
    exponents = torch.tensor([0.25, 1.0, 7.0], dtype=torch.float64).view(3, 1, 1, 1)
    odd_images[:, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0] * 3 + [0.5], dtype=torch.float64)
    expected = odd_images.numpy() ** exponents.numpy()
    np.testing.assert_allclose(gamma_curve(odd_images, exponents), expected, atol=1e-12)
    assert (gamma_curve(odd_images, torch.zeros(1, dtype=torch.float64)) == 1).all()


def test_gradients_are_finite_and_right():
    images = torch.tensor([0.0, 1e-3, 0.4, 1.0], dtype=torch.float64).view(1, 1, 2, 2).requires_grad_()
    exponent = torch.tensor([[[[0.3]]]], dtype=torch.float64, requires_grad=True)
    gamma_curve(images, exponent).sum().backward()
    x, v = images.detach().numpy().ravel()[1:], 0.3
    np.testing.assert_allclose(images.grad.ravel(), [0, *(v * x ** (v - 1))], rtol=1e-12)
    np.testing.assert_allclose(exponent.grad.item(), (x**v * np.log(x)).sum(), rtol=1e-12)
