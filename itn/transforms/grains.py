"""Random transformations of single values: shot noise, salt and pepper.

Both turn the standard normal pattern that belongs to an image into uniform numbers, and these into the
distribution that v asks for: an image has the same pattern at all magnitudes, as it has for ``noise``.
"""

import torch
from torch import Tensor

from itn.transforms.magnitudes import steps
from itn.transforms.registry import register

_SMALL_RATE = 10.0  # up to here the quantile is counted out, beyond the expansion is within 0.001 of a photon
_AT_ONCE = 4  # counts before those that have been found are left out
_MOST_PHOTONS = 64  # at rates below _SMALL_RATE; more have a probability below 1e-25


@register(
    "sigma of white, fraction of range",
    0.0,
    steps(0, 1, 0.1),
    domain=(0.0, 1000.0),
    group="noises",
    severities=tuple(photons**-0.5 for photons in (60, 25, 12, 5, 3)),
)
def shot_noise(images: Tensor, v: Tensor, noise: Tensor) -> Tensor:
    """Count photons, of which white has 1 / v^2 on average: v^2 Poisson(I / v^2), of variance v^2 I."""
    of_photon = v.clamp_min(1e-6).square()
    return of_photon * poisson_quantile(images / of_photon, noise)


@register(
    "share of the values",
    0.0,
    (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    domain=(0.0, 1.0),
    group="noises",
    severities=(0.03, 0.06, 0.09, 0.17, 0.27),
)
def salt_and_pepper(images: Tensor, v: Tensor, noise: Tensor) -> Tensor:
    """Replace a share v of the values by 0 or 1, as many each; of colors each channel by itself.

    So do scikit-image and ImageNet-C; kornia, which draws its own numbers for the whole batch, and
    albumentations replace whole pixels.
    """
    uniform = torch.special.ndtr(noise)
    extreme = (uniform > 0.5).to(images.dtype)
    return torch.where((uniform - 0.5).abs() >= (1 - v) / 2, extreme, images)


def poisson_quantile(rate: Tensor, z: Tensor) -> Tensor:
    """Return the quantiles of Poisson distributions at the probabilities below z of a normal distribution.

    Exact for rates below 10; beyond, the expansion of Giles 2016 ("Algorithm 955", equation for Q_N2).

    Args:
        rate: Means, at least 0.
        z: Of the same shape; standard normal numbers give Poisson numbers.
    """
    large = rate.detach().clamp_min(_SMALL_RATE)
    root = large.sqrt()
    quantile = (large + root * z + 1 / 3 + z.square() / 6 - (z / 36 + z**3 / 72) / root).floor().clamp_min(0)
    small = rate < _SMALL_RATE
    quantile[small] = _counted_quantile(rate.detach()[small], torch.special.ndtr(z[small]))
    return quantile


def _counted_quantile(rate: Tensor, probability: Tensor) -> Tensor:
    """Return for each rate the least number whose cumulative probability reaches a probability."""
    term = torch.exp(-rate)
    cumulative, quantile = term.clone(), torch.zeros_like(rate)
    active = torch.arange(len(rate), device=rate.device)
    for start in range(1, _MOST_PHOTONS, _AT_ONCE):
        counted = torch.zeros_like(rate)
        for count in range(start, start + _AT_ONCE):
            counted += probability > cumulative
            term = term * rate / count
            cumulative += term
        quantile[active] += counted
        beyond = probability > cumulative  # fewer and fewer
        if not beyond.any():
            break
        rate, probability, term = rate[beyond], probability[beyond], term[beyond]
        cumulative, active = cumulative[beyond], active[beyond]
    return quantile
