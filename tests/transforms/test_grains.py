import math

import numpy as np
import pytest
import scipy.stats
import torch

from itn.transforms import TRANSFORMS
from itn.transforms.grains import poisson_quantile


def flat(level, size=200):
    return torch.full((1, 3, size, size), level)


@pytest.mark.parametrize("v", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.1, 0.5])
def test_shot_noise_keeps_the_mean_and_has_the_variance_of_counting(v, level):
    """Of numbers before they are clamped, which the images' own formula gives."""
    z = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counted = v**2 * poisson_quantile(torch.full_like(z, level / v**2), z)
    n = len(z)
    assert abs(counted.mean() - level) < 5 * v * math.sqrt(level / n)
    kurtosis = 3 + v**2 / level
    assert abs(counted.var() / (v**2 * level) - 1) < 5 * math.sqrt((kurtosis - 1) / n)


def test_shot_noise_is_counted_and_clamped():
    noisy = TRANSFORMS["shot_noise"](flat(0.4), 0.5)
    counts = noisy / 0.25
    assert (counts - counts.round()).abs().max() < 1e-5
    assert set(counts.round().unique().tolist()) == {0, 1, 2, 3, 4}
    assert (TRANSFORMS["shot_noise"](flat(0.0), 0.5) == 0).all()


def test_poisson_quantiles_match_scipy():
    rate = torch.cat([torch.linspace(0, 9.99, 400), torch.logspace(1, 4, 400)]).double()
    z = torch.linspace(-4, 4, 101, dtype=torch.float64)
    ours = poisson_quantile(rate[:, None].expand(-1, 101), z.expand(800, -1)).numpy()
    theirs = scipy.stats.poisson.ppf(scipy.stats.norm.cdf(z.numpy()), rate.numpy()[:, None])
    assert np.array_equal(ours[:400], np.maximum(theirs[:400], 0))
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.002


@pytest.mark.parametrize("v", [0.02, 0.3, 1.0])
def test_salt_and_pepper_replaces_a_share_of_the_values(v):
    noisy = TRANSFORMS["salt_and_pepper"](flat(0.4), v)
    n, salt, pepper = noisy.numel(), int((noisy == 1).sum()), int((noisy == 0).sum())
    deviation = 5 * math.sqrt(n * v / 2)
    assert abs(salt - n * v / 2) < deviation
    assert abs(pepper - n * v / 2) < deviation
    assert salt + pepper + int((noisy == 0.4).sum()) == n
    pixels = (noisy != 0.4).all(1).double().mean()
    assert pixels < 2 * v**3 + 1e-3  # channels are replaced one by one


@pytest.mark.parametrize("name", ["salt_and_pepper", "shot_noise", "occlusion", "elastic"])
def test_the_pattern_is_the_seeds_and_the_same_at_all_magnitudes(name):
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(1))

    def changed(v, seed):
        return TRANSFORMS[name](images, v, generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(5)
    state = torch.get_rng_state()
    default = TRANSFORMS[name](images, 0.1)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is unchanged
    assert torch.equal(TRANSFORMS[name](images, 0.1), default)
    assert torch.equal(changed(0.1, 3), changed(0.1, 3))
    assert not torch.equal(changed(0.1, 3), changed(0.1, 4))
    if name == "salt_and_pepper":  # what is replaced stays replaced
        few, more = changed(0.1, 3), changed(0.3, 3)
        assert torch.equal(more[few != images], few[few != images])
