"""Geometry in the frame of the images, whatever its shape."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

import itn
from itn.functional import FAMILIES
from itn.functional.families import _FAMILIES
from itn.nn import Frame


@pytest.fixture
def turned():
    """A rotation whose full strength is 30 degrees."""
    spatial = itn.SpatialTransformer("rotation")
    with torch.no_grad():
        spatial.head.hidden.weight.zero_()
        spatial.head.output.weight.zero_()
        spatial.head.hidden.weight[0, 0] = 1
        spatial.head.output.weight[0, 0] = math.pi * math.atanh(math.radians(30) / math.pi)
    return spatial


@pytest.mark.parametrize("size", [(32, 64), (33, 21), (20, 20)])
def test_a_rotation_is_one_on_images_that_are_not_square(size, turned):
    """Against scipy, which turns pixels and knows no normalized coordinates."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    smooth = 0.5 + 0.4 * torch.sin(3 * x) * torch.cos(2 * y)
    angle = math.radians(30)  # clockwise on the screen; y points down
    matrix = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    center = [(n - 1) / 2 for n in size]
    offset = [c - row[0] * center[0] - row[1] * center[1] for c, row in zip(center, matrix, strict=True)]
    expected = ndimage.affine_transform(smooth.double().numpy(), matrix, offset, order=1, cval=math.nan)
    moved = turned(smooth[None, None], torch.ones(2))[0, 0]
    inside = torch.from_numpy(~ndimage.binary_dilation(np.isnan(expected)))
    assert inside.float().mean() > 0.3
    torch.testing.assert_close(moved[inside], torch.from_numpy(expected)[inside].float(), rtol=0, atol=1e-3)
    through_matrix = itn.warp(smooth[None, None], turned.matrix(torch.ones(2), size))[0, 0]
    torch.testing.assert_close(through_matrix.clamp(0, 1), moved)


def test_the_same_family_serves_images_of_any_shape(turned):
    for size in ((32, 64), (64, 32)):
        frame = Frame(1, *size)
        parts = itn.functional.decompose_spatial(
            turned.matrix_from(turned.generate(torch.ones(1, 2)), frame), frame.aspect
        )
        assert parts.rotation.item() == pytest.approx(30, abs=1e-3)
        assert parts.shear.item() == pytest.approx(0, abs=1e-6)


def test_a_family_of_ones_own_is_learned_by_its_name(blobs, side):
    """A shift along the diagonal: half as far along x as the parameter says."""
    itn.nn.register_family("diagonal", ["shift"], 1.0, lambda p, aspect: [0, 0, p[0] / 2, 0, 0, p[0] / 2])
    try:
        assert "diagonal" in FAMILIES
        with pytest.raises(ValueError, match="there is a family 'diagonal' already"):
            itn.nn.register_family("diagonal", ["shift"], 1.0, lambda p, aspect: [0] * 6)
        config = itn.LearnConfig(
            parts=("spatial",), family="diagonal", tolerance=0.06, steps=5, batch_size=32
        )
        record = itn.learn(side, *blobs, config).record
        reach = record.parts["spatial"].range
        assert (reach.transform, reach.unit) == ("shift", "")
        # Blobs lie half of the way to the middle: they change sides at a shift of 0.5
        assert reach.high == pytest.approx(1.0, abs=0.1) or reach.low == pytest.approx(-1.0, abs=0.1)
    finally:
        del _FAMILIES["diagonal"]
