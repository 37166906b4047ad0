"""Transformers in front of a warp that looks around the crop, and behind it."""

import pytest
import torch
from torch import Tensor

import itn
from itn.certification.parametric import ParametricTransform
from itn.functional import Surround, crops_of, fill_outside
from itn.functional.spatial import warp
from itn.nn import ColorTransformer, SpatialTransformer

CANVAS, CROP = (20, 24), (11, 12)


class Smear(itn.Transformer):
    """Mixes each pixel with its right neighbor, black at the edge: what it is given matters."""

    names, bound = ("share",), 0.9

    def apply_parameters(self, images, p, frame):
        assert images.shape[-2:] == frame.size
        share = p[:, :, None, None]
        return images + share * (torch.nn.functional.pad(images[..., 1:], (0, 1)) - images)

    def displacement(self, p, frame):
        return p[:, 0].square()


class Peek(Smear):
    """Takes the mean of a crop and what lies to its left."""

    takes_surround = True

    def apply_parameters(self, images, p, frame):
        share = p[:, :, None, None]
        if frame.surround is None:
            return images * (1 - share)
        left = frame.surround._replace(left=frame.surround.left - 1)
        crops = frame.surround.crops(images)
        return crops + share * (left.crops(images) - crops)


class Slide(Smear):
    """Shifts along x by a share of the width, and sees no more than it is given."""

    def apply_parameters(self, images, p, frame):
        assert images.shape[-2:] == frame.size
        zeros, ones = torch.zeros_like(p), torch.ones_like(p)
        rows = torch.cat([ones, zeros, -2 * p, zeros, ones, zeros], 1)
        return warp(images, rows.view(-1, 2, 3))

    def rms_shift(self, p, frame):
        return p[:, 0].abs()


@pytest.fixture
def canvases():
    return 0.25 + 0.5 * torch.rand(4, 3, *CANVAS, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def surround():
    boxes = torch.tensor([[0, 0, 24, 20], [2, 3, 22, 17], [6, 1, 19, 20], [0, 4, 24, 16]])
    return Surround(4, 6, *CROP, boxes)


def trained(transformer, seed, size=0.5):
    with torch.no_grad():
        for weight in transformer.head.parameters():
            weight.copy_(size * torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)))
    return transformer


def rendered(parts: dict[str, itn.Transformer], images: Tensor, around: Surround) -> tuple:
    """The crops, and of each part its parameters."""
    net = itn.InvariantTransformerNet(torch.nn.Identity(), parts)
    k = torch.rand(len(parts), len(images), 2, generator=torch.Generator().manual_seed(3))
    parameters = net.generate(*k)
    return net.transform(images, *k, surround=around), dict(zip(parts, parameters, strict=True))


def matrix_of(part, p):
    return part.matrix_from(p, part.frame((3, *CROP)))


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_colors_change_the_whole_photograph_and_black_stays_black(padding, canvases, surround):
    color, spatial = (
        trained(ColorTransformer(3), 1, 0.15),
        trained(SpatialTransformer(padding=padding), 2, 0.2),
    )
    result, p = rendered({"color": color, "spatial": spatial}, canvases, surround)
    colored = color.apply_parameters(canvases, p["color"], color.frame(canvases.shape))
    expected = warp(colored, matrix_of(spatial, p["spatial"]), padding, surround)
    torch.testing.assert_close(result, expected.clamp(0, 1))
    assert (result == 0).any() == (padding == "zeros")
    plain = color.apply_parameters(torch.zeros(1, 3, 1, 1), p["color"][:1], color.frame((3, 1, 1)))
    assert plain.max() > 0.01  # black would not stay black if colors came last


def test_colors_behind_the_warp_change_the_crop(canvases, surround):
    color, spatial = trained(ColorTransformer(3), 1, 0.15), trained(SpatialTransformer(), 2, 0.2)
    result, p = rendered({"spatial": spatial, "color": color}, canvases, surround)
    moved = warp(canvases, matrix_of(spatial, p["spatial"]), "zeros", surround)
    expected = color.apply_parameters(moved, p["color"], color.frame(moved.shape))
    torch.testing.assert_close(result, expected.clamp(0, 1))


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_any_transformer_in_front_of_a_warp_sees_the_padded_photograph(padding, canvases, surround):
    smear, spatial = trained(Smear(padding=padding), 1), trained(SpatialTransformer(), 2, 0.2)
    result, p = rendered({"smear": smear, "spatial": spatial}, canvases, surround)
    filled = fill_outside(canvases, surround, padding)
    smeared = smear.apply_parameters(filled, p["smear"], smear.frame(canvases.shape))
    expected = warp(smeared, matrix_of(spatial, p["spatial"]), "zeros", surround)
    torch.testing.assert_close(result, expected.clamp(0, 1))


def slid(images, p):
    """What ``Slide`` does, as a function."""
    return Slide().apply_parameters(images, p, Slide().frame(images.shape))


MOVED = {"displacement": lambda p, frame: p[:, 0].square(), "moves_pixels": True}


@pytest.mark.parametrize(
    "make", [Slide, lambda: itn.transformer_from(slid, bound=0.9, **MOVED)], ids=["class", "function"]
)
def test_one_that_moves_pixels_moves_them_as_far_in_front_of_a_warp(make, canvases, surround):
    """On a canvas of twice the width the same share would be twice as many pixels."""
    slide, spatial, color = trained(make(), 1), trained(SpatialTransformer(), 2, 0.2), ColorTransformer(3)
    color = trained(color, 3, 0.15)
    result, p = rendered({"color": color, "slide": slide, "spatial": spatial}, canvases, surround)
    crops = crops_of(canvases, surround)
    assert p["slide"].abs().min() > 0.05
    colored = color.apply_parameters(crops, p["color"], color.frame(crops.shape)).clamp(0, 1)
    slid = slide.apply_parameters(colored, p["slide"], slide.frame(crops.shape)).clamp(0, 1)
    expected = warp(slid, matrix_of(spatial, p["spatial"])).clamp(0, 1)
    torch.testing.assert_close(result, expected)
    alone, p = rendered({"slide": slide}, canvases, surround)
    assert torch.equal(alone, slide.apply_parameters(crops, p["slide"], slide.frame(crops.shape)))


def test_without_a_warp_behind_it_a_transformer_sees_the_crop(canvases, surround):
    smear, spatial = trained(Smear(), 1), trained(SpatialTransformer(), 2, 0.2)
    alone, p = rendered({"smear": smear}, canvases, surround)
    crops = crops_of(canvases, surround)
    assert torch.equal(alone, smear.apply_parameters(crops, p["smear"], smear.frame(crops.shape)))
    behind, p = rendered({"spatial": spatial, "smear": smear}, canvases, surround)
    moved = warp(canvases, matrix_of(spatial, p["spatial"]), "zeros", surround)
    expected = smear.apply_parameters(moved, p["smear"], smear.frame(moved.shape))
    torch.testing.assert_close(behind, expected)


def test_two_warps_are_one_and_keep_what_the_second_brings_in(canvases, surround):
    """Neighbors are fused; two warps with something between them keep what lies in the canvas."""
    first, second = (trained(SpatialTransformer("translation"), seed, 0.1) for seed in (1, 2))
    fused, p = rendered({"a": first, "b": second}, canvases, surround)
    shift = p["a"] + p["b"]
    matrix = torch.eye(2, 3).repeat(4, 1, 1)
    matrix[:, :, 2] = shift
    torch.testing.assert_close(fused, warp(canvases, matrix, "zeros", surround), atol=1e-5, rtol=0)
    smear = trained(Smear(), 3, 0.0)
    flat = canvases * 0 + 0.5
    apart, _ = rendered({"a": first, "smear": smear, "b": second}, flat, surround)
    whole = surround.filling(flat)
    inside, _ = rendered({"a": first, "smear": smear, "b": second}, flat, whole)
    assert inside.min() > 0.49  # all of it from within the canvas
    assert (apart < 0.49).any()


def test_a_transformer_of_ones_own_may_look_around(canvases, surround):
    peek, smear = trained(Peek(), 1), trained(Smear(), 2)
    result, p = rendered({"peek": peek}, canvases, surround)
    share = p["peek"][:, :, None, None]
    crops = canvases[..., 4:15, 6:18]
    torch.testing.assert_close(result, crops + share * (canvases[..., 4:15, 5:17] - crops))
    behind, q = rendered({"peek": peek, "smear": smear}, canvases, surround)
    seen = peek.apply_parameters(canvases, q["peek"], peek.frame((3, *CROP))._replace(surround=surround))
    torch.testing.assert_close(behind, smear.apply_parameters(seen, q["smear"], smear.frame(seen.shape)))


class Mirrored(SpatialTransformer):
    """More than its matrix, of crops alone."""

    def apply_parameters(self, images, p, frame):
        assert frame.surround is None
        return super().apply_parameters(images, p, frame).flip(-1).flip(-1)


def test_a_subclass_that_does_more_than_its_matrix_is_given_crops(canvases, surround):
    mine = trained(Mirrored(), 1, 0.2)
    result, p = rendered({"mine": mine}, canvases, surround)
    torch.testing.assert_close(
        result, warp(crops_of(canvases, surround), matrix_of(mine, p["mine"])).clamp(0, 1)
    )


def test_at_0_the_crops_are_returned_bit_for_bit(canvases, surround):
    parts = {"color": ColorTransformer(3), "smear": Smear(), "a": SpatialTransformer(), "peek": Peek()}
    net = itn.InvariantTransformerNet(torch.nn.Identity(), parts)
    zeros = [torch.zeros(2)] * 4
    assert torch.equal(net.transform(canvases, *zeros, surround=surround), crops_of(canvases, surround))


@pytest.mark.parametrize("part", [SpatialTransformer(), Peek(), ColorTransformer(3), Smear()])
def test_single_transformations_look_around_if_their_transformer_does(part, canvases, surround):
    for single in part.baselines(part.frame((3, *CROP))):
        transform = ParametricTransform.of_single(single)
        rows = transform.generate(torch.full((4, 1), 0.2))
        result = transform.apply(canvases, rows, surround)
        crops = crops_of(canvases, surround)
        assert result.shape == crops.shape
        as_crops = transform.apply(crops, rows)
        assert torch.equal(result, as_crops) != single.takes_surround
        assert single.takes_surround == part.takes_surround
