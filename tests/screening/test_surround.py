"""Screening photographs of which more is known than the crop, by classifiers that are known on paper."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

import itn
from itn.models.canvases import surround_text
from itn.models.checked_images import CheckedImages
from itn.screening.border import BorderCost, border_notes
from itn.screening.passes import Screener, unchanged
from itn.screening.summary import screen_summary
from tests.shades import shade_classifier, shade_photographs


@pytest.fixture
def classifier():
    return shade_classifier(0.3, 20)


@pytest.fixture
def photographs(tmp_path, classifier):
    """Of one shade each, 40 x 20: half the crop to its left and right, nothing above it."""
    return shade_photographs(tmp_path, classifier, 20)


def screened(classifier, images, **settings):
    config = itn.ScreenConfig(transforms=("translate_x", "translate_y"), **settings)
    magnitudes = {"translate_x": (-0.4, 0.0, 0.2, 0.4, 0.6), "translate_y": (0.0, 0.2, 0.4, 0.6)}
    return itn.screen(classifier, images, config=dataclasses.replace(config, magnitudes=magnitudes))


def test_a_shift_along_the_photograph_breaks_nothing_and_one_off_it_does(classifier, photographs):
    """Light images have a mean of 0.75, of which 1 - v remain if black comes in: below 0.3 from v = 0.6."""
    seen = screened(classifier, photographs).record
    blind = screened(classifier, photographs, surround="none").record
    assert (seen.surround, blind.surround) == (2, None)
    assert seen.transforms["translate_x"].accuracy == (1,) * 5
    assert blind.transforms["translate_x"].accuracy == (1, 1, 1, 1, 0.5)
    assert blind.transforms["translate_x"].accuracy[1:] == seen.transforms["translate_y"].accuracy
    assert seen.transforms["translate_x"].border == {}
    assert blind.transforms["translate_x"].border is None
    for record in (seen, blind):
        assert record.transforms["translate_x"].lost_content == pytest.approx((0.4, 0, 0.2, 0.4, 0.6))
        assert record.transforms["translate_x"].control_accuracy[:4] == (1, 1, 1, 1)
    flips = seen.transforms["translate_y"].thresholds.flips["above"]
    assert (flips.flipped, flips.n) == (20, 40)
    assert flips.median.value == pytest.approx(0.6, abs=0.02)
    assert seen == itn.ScreenRecord.from_json(json.loads(json.dumps(seen.to_json())))


def test_plain_tensors_have_no_surround(classifier, photographs):
    blind = screened(classifier, photographs, surround="none").record
    config = itn.ScreenConfig(
        transforms=("translate_x",), magnitudes={"translate_x": (-0.4, 0.0, 0.2, 0.4, 0.6)}
    )
    plain = itn.screen(classifier, *photographs, config)
    assert plain.record.transforms["translate_x"] == blind.transforms["translate_x"]
    assert "surround" not in plain.record.to_json()
    assert "surround: none" in str(plain)
    with pytest.raises(ValueError, match="nothing is known around these images"):
        itn.screen(classifier, *photographs, dataclasses.replace(config, surround=1.5))


def test_decision_changes_are_searched_in_the_photograph(classifier, photographs):
    def flipped(**settings):
        flips = itn.flip_magnitudes(classifier, photographs, "translate_x", (0.3, 0.7), **settings)
        return int(flips["above"].flipped.sum())

    assert (flipped(), flipped(surround="none"), flipped(surround=1.2)) == (0, 20, 20)


def test_at_its_threshold_a_transformation_is_told_from_the_border(classifier, photographs):
    """With canvases 1.4 times the crop black comes in from v = 0.2: there is a threshold at v = 0.8."""
    config = itn.ScreenConfig(
        transforms=("translate_x", "blur"),
        magnitudes={"translate_x": (0.0, 0.5, 1.0), "blur": (0.0, 1.0)},
        accuracy_fraction=0.75,
        surround=1.4,
    )
    sweep = itn.screen(classifier, photographs, config=config)
    border = sweep.record.transforms["translate_x"].border
    assert set(border) == {"above"}
    cost = border["above"]
    assert cost.magnitude == sweep.record.transforms["translate_x"].thresholds.accuracy["above"].value
    assert 0.6 < cost.magnitude < 0.9
    assert (cost.accuracy, cost.accuracy_without) == (1.0 if cost.magnitude < 0.8 else 0.5, 0.5)
    assert sweep.record.transforms["blur"].border is None
    # Nothing is mended, so that both are about the same images at the same magnitude
    there = sweep.record.transforms["translate_x"].thresholds.at["above"]
    assert (there.broken, there.mended) == (1 - cost.accuracy, 0)
    assert there.agreement == cost.accuracy
    text = screen_summary(sweep.record)
    lost = 100 * (1 - cost.accuracy)
    assert (
        f"at translate_x {cost.magnitude:.3g} (fraction of the width) accuracy is {lost:.1f} points lower; "
        f"without the surround it would be 50.0 points lower, {50 - lost:.1f} of them from the border"
    ) in text
    assert "up to 1.4 times their size" in text


def test_accuracy_that_rises_at_a_threshold_is_said_to_be_higher():
    """Which the other criteria allow; then there is no share of the border to name."""
    costs = {"zoom": {"above": BorderCost(1.25, 0.86, 0.84), "below": BorderCost(0.5, 0.81, 0.83)}}
    above, below = border_notes(costs, 0.85, {"zoom": "factor"})
    without = "; without the surround it would be"
    assert above == f"at zoom 1.25 (factor) accuracy is 1.0 points higher{without} 1.0 points lower"
    assert below == f"at zoom 0.5 (factor) accuracy is 4.0 points lower{without} 2.0 points lower"


@pytest.mark.parametrize(
    ("transforms", "pairs", "said"),
    [
        (("blur",), (), False),
        (("translate_y",), (), True),
        ((), (("blur", "contrast"),), False),
        ((), (("blur", "translate_y"),), True),
        (("blur",), (("translate_y", "blur"),), True),
    ],
)
def test_the_surround_is_named_where_there_is_geometry(transforms, pairs, said, classifier, photographs):
    magnitudes = {"blur": (0.0, 0.5), "translate_y": (0.0, 0.2), "contrast": (1.0, 1.2)}
    used = {*transforms, *(name for pair in pairs for name in pair)}
    config = itn.ScreenConfig(transforms, pairs, {name: magnitudes[name] for name in used}, bisections=0)
    text = str(itn.screen(classifier, photographs, config=config))
    assert ("surround: what moves in from outside" in text) == said


@pytest.fixture
def screener(classifier):
    """Noise with a box in the middle of its canvas."""
    pixels = torch.randint(0, 256, (3, 3, 19, 25), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    boxes = torch.tensor([[0, 0, 25, 19], [1, 2, 24, 17], [5, 0, 20, 19]])
    surround = itn.functional.Surround(4, 6, 11, 13, boxes)
    canvases = itn.functional.fill_outside(pixels, surround, "zeros")
    canvases = itn.models.canvases.Canvases(canvases, surround)
    labels = torch.zeros(3).long()
    data = CheckedImages(canvases.crops, labels, labels, canvases=canvases)
    return Screener(classifier, data, itn.ScreenConfig())


def changed(screener, change):
    return screener.output(change, screener.all_indices).changed


def test_pairs_look_around(screener):
    """Two warps are one; what comes before a warp changes the canvas, what comes behind it the crop."""
    rotate, blur, zoom = (itn.TRANSFORMS[name] for name in ("rotate", "blur", "zoom"))
    canvases, around = screener.data.with_surround(slice(None), torch.device("cpu"))
    thirty, two = torch.tensor([30.0]), torch.tensor([2.0])
    turned = rotate.apply(canvases, thirty, surround=around)
    assert torch.equal(changed(screener, screener.at(rotate, 30.0)), turned)
    assert torch.equal(changed(screener, screener.pair(rotate, 30.0, blur, 2.0)), blur.apply(turned, two))
    blurred = rotate.apply(blur.apply(canvases, two), thirty, surround=around)
    assert torch.equal(changed(screener, screener.pair(blur, 2.0, rotate, 30.0)), blurred)
    matrices = [
        t.function(torch.tensor([v], dtype=torch.float64), 13 / 11) for t, v in ((rotate, 30.0), (zoom, 1.2))
    ]
    matrix = (itn.functional.square_matrix(matrices[0]) @ itn.functional.square_matrix(matrices[1]))[:, :2]
    both = itn.warp(canvases, matrix.float(), "zeros", around).clamp(0, 1)
    torch.testing.assert_close(changed(screener, screener.pair(rotate, 30.0, zoom, 1.2)), both)
    assert torch.equal(changed(screener, screener.pair(blur, 0.0, rotate, 0.0)), changed(screener, unchanged))
    noise = itn.TRANSFORMS["noise"]
    assert changed(screener, screener.pair(noise, 0.1, rotate, 5.0)).shape == (3, 3, 11, 13)


def test_a_round_trip_cuts_off_what_leaves_the_canvas_alone(screener):
    """Shifts by whole pixels come back exactly, as far as they have stayed inside the photograph."""
    translate = itn.TRANSFORMS["translate_x"]
    crops = changed(screener, unchanged)
    back = changed(screener, screener.round_trip(translate, 6 / 13))
    torch.testing.assert_close(back, crops, atol=1e-5, rtol=0)
    back = changed(screener, screener.round_trip(translate, 9 / 13))
    torch.testing.assert_close(back[..., :10], crops[..., :10], atol=1e-5, rtol=0)
    assert not back[..., 10:].any()
    blind = dataclasses.replace(screener.data, canvases=None)
    blind = Screener(screener.classifier, blind, screener.config)
    back = changed(blind, blind.round_trip(translate, 6 / 13))
    np.testing.assert_allclose(back[..., 7:].numpy(), 0, atol=1e-6)


def test_a_tilt_and_a_turn_are_one_warp_that_looks_around(screener):
    """By hand: the product of two 3 x 3 matrices, from the crop to where its pixels lie in the canvas."""
    names = ("perspective_y", "rotate")
    perspective, rotate = (itn.TRANSFORMS[name] for name in names)
    result = changed(screener, screener.pair(perspective, 25.0, rotate, 20.0))
    tilt, turn = (
        itn.functional.as_homography(t.function(torch.tensor([v], dtype=torch.float64), 13 / 11))[0].numpy()
        for t, v in ((perspective, 25.0), (rotate, 20.0))
    )
    canvases, _ = screener.data.with_surround(slice(None), torch.device("cpu"))
    y, x = (2 * (np.arange(n) + 0.5) / n - 1 for n in (11, 13))
    points = np.stack([*np.meshgrid(x, y), np.ones((11, 13))]).reshape(3, -1)
    across, down, depth = tilt @ turn @ points
    positions = [4 + (down / depth + 1) * 11 / 2 - 0.5, 6 + (across / depth + 1) * 13 / 2 - 0.5]
    for canvas, crop in zip(canvases.numpy(), result.numpy(), strict=True):
        for channel, seen in zip(canvas, crop, strict=True):
            expected = map_coordinates(channel, positions, order=1, mode="grid-constant")
            np.testing.assert_allclose(seen.ravel(), expected, atol=1e-4)


def test_a_tilt_comes_back_where_it_has_stayed_in_the_canvas(screener):
    tilt = itn.TRANSFORMS["perspective_x"]
    flat = torch.full(screener.data.images.shape, 0.2)
    plain = Screener(
        screener.classifier, dataclasses.replace(screener.data, images=flat, canvases=None), screener.config
    )
    back = changed(plain, plain.round_trip(tilt, 40.0))
    np.testing.assert_allclose(back[..., 2:9, 2:11].numpy(), 0.2, atol=1e-6)
    assert back[0, 0, 0, 0] == 0
    lost = plain.lost_content(tilt, (0.0, 40.0, -40.0))["area"]
    assert lost[0] == 0
    assert lost[1] == lost[2] > 0  # the near side grows beyond the frame


def test_what_is_laid_over_the_frame_is_laid_over_the_crop_of_a_canvas(screener):
    """A rectangle that then turns with the content; around the crop nothing is covered."""
    cover, rotate = itn.TRANSFORMS["occlusion"], itn.TRANSFORMS["rotate"]
    covered = changed(screener, screener.pair(cover, 1.0, rotate, 0.0))
    assert (covered == 0).all()
    shifted = changed(screener, screener.pair(cover, 1.0, itn.TRANSFORMS["translate_x"], 3 / 13))
    canvases, _ = screener.data.with_surround(slice(None), torch.device("cpu"))
    torch.testing.assert_close(shifted[..., :3], canvases[..., 4:15, 3:6], atol=1e-5, rtol=0)
    assert shifted[..., 3:].abs().max() < 1e-5


def test_others_act_on_the_crop(screener):
    blur = itn.TRANSFORMS["blur"]
    expected = blur(screener.data.images, 1.5)
    assert torch.equal(changed(screener, screener.at(blur, 1.5)), expected)


def test_without_a_surround_black_is_said_to_move_in_where_padding_is_black():
    assert "is black, which may be what breaks: padding reflection" in surround_text(
        None, "bilinear", "zeros"
    )
    assert "is padding (border); bicubic" in surround_text(None, "bicubic", "border")
    assert "black" not in surround_text(1.5, "bilinear", "zeros")
