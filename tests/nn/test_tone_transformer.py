"""Curves of tone increase by their bounds, gamma is among them, and closed forms are those of numpy."""

import numpy as np
import pytest
import torch

from itn import ToneTransformer

VALUES = np.linspace(0, 1, 2001)


def exponents(p, values):
    """In octaves, of one curve, by its definition."""
    return sum(wave * np.cos(n * np.pi * values) for n, wave in enumerate(p))


@pytest.mark.parametrize("waves", [0, 1, 2, 4])
def test_every_curve_within_the_bounds_increases_and_is_the_power_that_it_says(waves):
    module = ToneTransformer(waves=waves).double()
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (32, waves + 1), generator=generator) * 2 - 1
    p = (signs * module.head.bound).double()
    p[:, 0] *= torch.linspace(-1, 1, 32)
    images = torch.from_numpy(VALUES).expand(32, 1, 1, -1)
    curves = module.apply_parameters(images, p, module.frame((1, 1, len(VALUES))))[:, 0, 0].numpy()
    for row, curve in zip(p.numpy(), curves, strict=True):
        np.testing.assert_allclose(curve, VALUES ** (2 ** exponents(row, VALUES)), atol=1e-12)
        assert (np.diff(curve) > -1e-15).all()
        assert (np.diff(curve[200:-200]) > 0).all()
        assert curve[0] == 0
        assert curve[-1] == 1


def test_displacement_is_the_mean_square_of_the_exponent():
    module = ToneTransformer(channels=2).double()
    p = 0.3 * torch.randn(1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = np.random.default_rng(0).uniform(size=200_000)
    curves = module.apply_parameters(torch.from_numpy(values).expand(1, 2, 1, -1), p, module.frame((2, 1, 1)))
    octaves = np.log2(np.log(curves.numpy()[0, :, 0]) / np.log(values))
    assert module.displacement(p, module.frame((2, 1, 1))).item() == pytest.approx(
        (octaves**2).mean(), rel=0.02
    )


def test_gamma_is_a_member_as_far_as_the_bound():
    module = ToneTransformer(channels=3, bound=2.0)
    images = torch.rand(2, 3, 4, 5)
    frame = module.frame(images.shape)
    darker, lighter = module.baselines(frame)[:2]
    assert darker.magnitude(1.0) == 4.0
    assert lighter.magnitude(1.0) == 0.25
    for single, exponent in ((darker, 2.5), (lighter, 0.625)):
        scale = torch.full((2,), 0.5)
        assert single.magnitude(0.5) == exponent
        torch.testing.assert_close(single.apply(images, single.generate(scale)), images**exponent)
        assert single.displacement(0.5) == pytest.approx(np.log2(exponent) ** 2, rel=1e-5)


def test_words_say_what_values_become():
    module = ToneTransformer(waves=0)
    words = module.describe(torch.tensor([[1.0]]), module.frame((1, 4, 4)))
    assert words == "values of 0.25 become 0.06, 0.5 become 0.25, 0.75 become 0.56"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"waves": -1}, "waves must be"),
        ({"channels": 0}, "channels must be"),
        ({"bound": 11}, "at most 10 octaves"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ToneTransformer(**settings)
    with pytest.raises(ValueError, match="images have 1 channel, the curves take 3"):
        ToneTransformer(3)(torch.rand(2, 1, 4, 4), torch.zeros(2))
