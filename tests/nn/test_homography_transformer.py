"""Homographies against scipy, their bounds, and what they do to canvases."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from itn import HomographyTransformer, SpatialTransformer
from itn.functional import Surround, compose_maps, warp
from itn.nn.rendering import render


def corners(family, rows=64):
    """Parameters at their bounds, of random signs."""
    module = HomographyTransformer(family)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (rows, len(module.names)), generator=generator) * 2 - 1
    return module, signs * module.head.bound


@pytest.mark.parametrize("family", ["homography", "tilts"])
@pytest.mark.parametrize("size", [(9, 13), (16, 16), (40, 8)])
def test_the_horizon_stays_out_of_the_frame(family, size):
    module, p = corners(family)
    matrix = module.homography(p, module.frame((1, *size))).double().numpy()
    for x in (-1, 1):
        for y in (-1, 1):
            assert (matrix[:, 2] @ [x, y, 1] > 0.05).all()


@pytest.mark.parametrize("family", ["homography", "tilts"])
def test_each_pixel_comes_from_where_the_matrix_says(family, odd_images):
    module, p = corners(family, 3)
    p = 0.4 * p.double()
    frame = module.frame(odd_images.shape)
    moved = module.apply_parameters(odd_images, p, frame).numpy()
    height, width = frame.size
    rows, columns = np.mgrid[:height, :width]
    points = np.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1, np.ones((height, width))])
    for image, matrix, result, shift in zip(
        odd_images.numpy(),
        module.homography(p, frame).numpy(),
        moved,
        module.rms_shift(p, frame),
        strict=True,
    ):
        x, y, depth = np.tensordot(matrix, points, 1)
        x, y = x / depth, y / depth
        place = [((y + 1) * height - 1) / 2 + 1, ((x + 1) * width - 1) / 2 + 1]
        expected = [
            scipy.ndimage.map_coordinates(np.pad(channel, 1), place, order=1, mode="constant")
            for channel in image
        ]
        np.testing.assert_allclose(result, expected, atol=1e-10)
        squares = ((x - points[0]) / 2) ** 2 + ((y - points[1]) / 2 * height / width) ** 2
        assert shift.item() == pytest.approx(math.sqrt(squares.mean()))


def test_affine_maps_are_members_with_their_own_displacement():
    module, affine = HomographyTransformer(), SpatialTransformer()
    frame = module.frame((1, 9, 13))
    p = torch.rand(4, 6) - 0.5
    own = torch.cat([p, torch.zeros(4, 2)], 1)
    torch.testing.assert_close(module.displacement(own, frame), affine.displacement(p, frame))


@pytest.mark.parametrize("family", ["homography", "tilts"])
def test_displacement_is_the_mean_over_unit_vectors(family):
    module, p = corners(family, 2)
    frame = module.frame((1, 9, 13))
    sampled = module.sampled_displacement(p, 40000, torch.Generator().manual_seed(0), frame)
    torch.testing.assert_close(sampled, module.displacement(p, frame), rtol=0.05, atol=0)


@pytest.mark.parametrize("family", ["homography", "tilts"])
def test_baselines_are_members_within_the_bounds(family):
    module = HomographyTransformer(family)
    frame = module.frame((1, 9, 13))
    singles = module.baselines(frame)
    assert {single.name for single in singles} >= {"perspective_x", "perspective_y", "rotate", "zoom"}
    assert all(single.takes_surround for single in singles)
    images = torch.rand(1, 1, 9, 13)
    for single in singles:
        if single.parameters is not None:
            p = single.parameters(0.7)[None]
            assert (p.abs() <= module.head.bound * (1 + 1e-5)).all()
            expected = single.apply(images, single.generate(torch.tensor([0.7])))
            torch.testing.assert_close(module.apply_parameters(images, p, frame), expected, atol=1e-4, rtol=0)
            assert single.displacement(0.7) == pytest.approx(module.displacement(p, frame).item(), rel=1e-4)
    assert singles[0].parameters is not None
    assert (singles[-1].parameters is None) == (family == "tilts")


def test_before_another_map_it_moves_whole_canvases_as_far_as_crops():
    generator = torch.Generator().manual_seed(0)
    canvases = torch.nn.functional.interpolate(
        torch.rand(2, 1, 6, 6, generator=generator), (48, 48), mode="bicubic"
    )
    canvases = canvases.clamp(0, 1)
    surround = Surround.central((48, 48), (32, 32), 2)
    module, spatial = HomographyTransformer(), SpatialTransformer()
    p = torch.tensor([[0.1, 0, 0.1, 0, 0, 0, 0.1, 0.0]]).expand(2, -1)
    q = torch.tensor([[0.0, 0.1, 0, 0, -0.1, 0.1]]).expand(2, -1)
    frame = module.frame((1, 32, 32))
    both = compose_maps(module.homography(p, frame), spatial.matrix_from(q, frame))
    expected = warp(canvases, both, surround=surround)
    rendered = render([module, spatial], canvases, [p, q], surround)
    assert (rendered - expected)[..., 3:-3, 3:-3].abs().mean() < 0.01  # sampled twice
    alone = render([module], canvases, [p], surround)
    torch.testing.assert_close(alone, warp(canvases, module.homography(p, frame), surround=surround))


def test_words_name_the_side_that_recedes():
    module = HomographyTransformer("tilts")
    words = module.describe(torch.tensor([[math.radians(20), math.radians(-10)]]), module.frame((1, 8, 8)))
    assert words == (
        "the picture is tilted by 20.0 degrees, so that its right side recedes, and by 10.0, so that its "
        "upper side does"
    )


def test_bounds_that_bring_in_the_horizon_are_refused():
    with pytest.raises(ValueError, match=r"tilts are bounded by at most 0.733 \(42 degrees\), got 0.8"):
        HomographyTransformer("tilts", bound=0.8)
    with pytest.raises(ValueError, match="family must be"):
        HomographyTransformer("pans")
