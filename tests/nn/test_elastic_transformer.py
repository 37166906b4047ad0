"""Elastic deformations are one-to-one by their bounds, and their closed forms are those of numpy."""

import numpy as np
import pytest
import torch

from itn import ElasticTransformer, SpatialTransformer
from itn.functional import Surround
from itn.nn.rendering import render


def at_bounds(module, rows=32):
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (rows, len(module.names)), generator=generator) * 2 - 1
    signs[0] = 1
    return (signs * module.head.bound).double()


def field(p, waves, x, y):
    """Of one row of parameters, by its definition."""
    waves_of = np.arange(1, waves + 1)
    coefficients = p.numpy().reshape(2, waves, waves)
    down, across = (np.sin(np.pi * waves_of[:, None] * axis) for axis in (y, x))
    return np.einsum("amn,mh,nw->ahw", coefficients, down, across)


@pytest.mark.parametrize("waves", [1, 2, 3, 5])
def test_no_deformation_within_the_bounds_folds(waves):
    module = ElasticTransformer(waves)
    grid = np.linspace(0, 1, 161)
    for p in at_bounds(module):
        shift = field(p, waves, grid, grid)
        slopes = np.array([np.gradient(axis, grid, grid) for axis in shift])  # of x and y, along y and x
        assert np.abs(slopes).sum(1).max() < 0.92  # finite differences
        by_y, by_x = slopes[:, 0], slopes[:, 1]
        determinant = (1 + by_x[0]) * (1 + by_y[1]) - by_y[0] * by_x[1]
        assert determinant.min() > 0
        assert np.allclose(shift[:, [0, -1]], 0, atol=1e-12)
        assert np.allclose(shift[:, :, [0, -1]], 0, atol=1e-12)


def test_the_bound_is_reached_by_a_wave_that_has_it_all():
    module = ElasticTransformer(1, bound=0.5)
    grid = np.linspace(0, 1, 401)
    slopes = np.gradient(field(module.head.bound.double(), 1, grid, grid)[0], grid, grid)
    assert np.abs(slopes).sum(0).max() == pytest.approx(0.5, rel=1e-3)


def test_displacement_is_the_mean_squared_shift_of_pixels():
    module = ElasticTransformer(3)
    frame = module.frame((1, 9, 13))
    for p in at_bounds(module, 4):
        across, down = field(p, 3, (np.arange(13) + 0.5) / 13, (np.arange(9) + 0.5) / 9)
        squares = (across**2).mean() + (down**2).mean()
        assert module.displacement(p[None], frame).item() == pytest.approx(squares)
        shift = np.sqrt((across**2).mean() + ((down * 9 / 13) ** 2).mean())
        assert module.rms_shift(p[None], frame).item() == pytest.approx(shift)
        expected = torch.from_numpy(np.stack([across, down]))[None]
        torch.testing.assert_close(module.field(p[None], frame), expected)


def test_before_a_map_the_crop_is_deformed_and_what_lies_around_it_is_kept():
    canvases = torch.rand(2, 1, 12, 12)
    surround = Surround.central((12, 12), (8, 8), 2)
    elastic, spatial = ElasticTransformer(2), SpatialTransformer()
    p, still = at_bounds(elastic, 2).float(), torch.zeros(2, 6)
    deformed = elastic(surround.crops(canvases), torch.zeros(2))
    assert torch.equal(deformed, surround.crops(canvases))
    crops = elastic.apply_parameters(surround.crops(canvases), p, elastic.frame((1, 8, 8)))
    assert torch.equal(render([elastic, spatial], canvases, [p, still], surround), crops)
    smaller = still.clone()
    smaller[:, [0, 4]] = 0.2  # brings in what lies around
    around = render([elastic, spatial], canvases, [p, smaller], surround)
    assert (around[..., 0, :] > 0).all()
    assert torch.equal(render([spatial, elastic], canvases, [still, p], surround), crops)


@pytest.mark.parametrize(
    ("settings", "message"), [({"waves": 0}, "from 1 to 8"), ({"bound": 1.0}, "would fold")]
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ElasticTransformer(**settings)
