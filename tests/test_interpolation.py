"""Bicubic interpolation from transformations to learned families, on lines that bilinear sampling softens.

Lines one pixel wide, every third pixel, 0 1 0 0 1 0, read half a pixel further: bilinearly they become
1/2 1/2 0, with half of their contrast, bicubically 19/32 19/32 -6/32, with 25/32 of it (the kernel at 1/2
and 3/2 is 19/32 and -3/32).
"""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import itn

WIDTH = 18
HALF_A_PIXEL = 0.5 / WIDTH
VALUES = {"bilinear": (0.4, 0.5), "bicubic": (0.4 - 0.2 * 6 / 32, 0.4 + 0.2 * 19 / 32)}


class Contrast(nn.Module):
    """Class 1 where the contrast away from the edges is above 0.13, class 0 elsewhere."""

    def forward(self, images):
        inside = images[:, 0, 4:-4, 4:-4]
        contrast = inside.amax((1, 2)) - inside.amin((1, 2))
        return 20 * torch.stack([0.13 - contrast, contrast - 0.13], 1)


class Brightness(nn.Module):
    """Class 0 where the middle is light, class 1 elsewhere."""

    def forward(self, images):
        light = images[:, 0, 4:-4, 4:-4].mean((1, 2))
        return 20 * torch.stack([light - 0.35, 0.35 - light], 1)


@pytest.fixture(scope="module")
def data():
    """Gray images, half of them flat, half with lines of 0.6 on 0.4."""
    images = torch.full((80, 1, 16, WIDTH), 0.5)
    images[40:] = torch.tensor([0.4, 0.6, 0.4]).repeat(WIDTH // 3)
    return images, (torch.arange(80) >= 40).long()


@pytest.fixture
def classifier():
    return itn.Classifier(Contrast(), name="contrast")


@pytest.mark.parametrize("interpolation", VALUES)
def test_lines_become_what_they_become_on_paper(interpolation, data):
    images, shift = data[0][-1:], torch.tensor([[1, 0, -2 * HALF_A_PIXEL], [0, 1, 0]])
    for moved in (
        itn.TRANSFORMS["translate_x"](images, HALF_A_PIXEL, interpolation=interpolation),
        itn.warp(images, shift, interpolation=interpolation),
    ):
        inside = moved[0, 0, 4:-4, 4:-4]
        assert (inside.min().item(), inside.max().item()) == pytest.approx(VALUES[interpolation], abs=1e-6)


@pytest.mark.parametrize(("interpolation", "kept"), [("bilinear", 0.5), ("bicubic", 1.0)])
def test_lines_that_sampling_softens_break_what_sharper_lines_do_not(interpolation, kept, classifier, data):
    settings = {"interpolation": interpolation, "accept": ("chance", "logits")}
    sweep = itn.screen(
        classifier,
        *data,
        itn.ScreenConfig(
            transforms=("translate_x",),
            pairs=(("translate_x", "brightness"), ("translate_x", "zoom")),
            magnitudes={"translate_x": (0, HALF_A_PIXEL), "brightness": (0, 0.1), "zoom": (1, 1.01)},
            accuracy_bisections=0,
            **settings,
        ),
    )
    assert sweep.record.interpolation == interpolation
    assert f"; {interpolation} interpolation" in str(sweep)
    assert ("bicubic interpolation goes farther" in str(sweep)) == (kept < 1)
    curve = sweep.record.transforms["translate_x"]
    assert dict(zip(curve.magnitudes, curve.accuracy, strict=True))[HALF_A_PIXEL] == kept
    box = {"translate_x": (0, HALF_A_PIXEL)}
    worst = itn.worst_case(classifier, *data, itn.WorstConfig(box, passes=20, **settings))
    assert worst.record.survival.value == kept
    assert f"; {interpolation} interpolation" in str(worst)


def test_a_clamped_first_warp_is_what_the_second_one_of_a_round_trip_reads(classifier, data):
    """White lines on black: what bicubic sampling throws beyond white is cut off before the way back."""
    from itn.screening.passes import Screener  # noqa: PLC0415

    config = itn.ScreenConfig(transforms=("translate_x",), interpolation="bicubic")
    images = (data[0][-2:] > 0.5).float()
    screener = Screener(classifier, itn.preflight(classifier, *data, accept=("chance", "logits")), config)
    back = screener.round_trip(itn.TRANSFORMS["translate_x"], HALF_A_PIXEL)(images, torch.arange(2))
    there = itn.TRANSFORMS["translate_x"](images, HALF_A_PIXEL, interpolation="bicubic")
    expected = itn.TRANSFORMS["translate_x"](there, -HALF_A_PIXEL, interpolation="bicubic")
    torch.testing.assert_close(back, expected, atol=1e-6, rtol=0)


def test_a_family_is_learned_certified_and_loaded_with_its_interpolation(classifier, data, tmp_path):
    config = itn.LearnConfig(
        parts=("spatial",),
        tolerance=0.2,
        steps=20,
        batch_size=64,
        interpolation="bicubic",
        accept=("logits",),
    )
    learned = itn.learn(classifier, *data, config, tmp_path / "run")
    assert "; bicubic interpolation" in str(learned)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["interpolation"] == "bicubic"
    net = itn.load_net(tmp_path / "run", classifier)
    assert net.part("spatial").interpolation == "bicubic"
    images, k = torch.rand(5, 1, 16, WIDTH), torch.rand(5, 2)
    grid = F.affine_grid(net.part("spatial").matrix(k, (16, WIDTH)), list(images.shape), align_corners=False)
    expected = F.grid_sample(images, grid, "bicubic", align_corners=False).clamp(0, 1)
    torch.testing.assert_close(net.transform(images, torch.zeros(2), k), expected, atol=1e-5, rtol=0)
    augmented = itn.load_augmentation(tmp_path / "run")
    assert augmented.part("spatial").interpolation == "bicubic"


def test_learning_chooses_bicubic_interpolation_where_softening_breaks(classifier, data, tmp_path):
    """Bilinearly all lines are broken, half of the images; bicubically none."""
    settings = {"tolerance": 0.2, "steps": 4, "batch_size": 32, "accept": ("logits",)}
    for parts, chosen, loss in ((("spatial",), "bicubic", 0.5), (("color",), "bilinear", None)):
        folder = tmp_path / parts[0]
        record = itn.learn(classifier, *data, itn.LearnConfig(parts=parts, **settings), folder).record
        assert record.interpolation == chosen
        if loss:
            assert (record.softening.bilinear, record.softening.bicubic) == (loss, 0.0)
            net = itn.load_net(folder, classifier)
            assert net.part("spatial").interpolation == "bicubic"
            again = itn.learn(classifier, *data, itn.LearnConfig(parts=parts, **settings), folder)
            assert again.net.part("spatial").interpolation == "bicubic"
            assert "; bicubic interpolation, since a shift by half a pixel loses 50.0 % bilinearly" in str(
                again
            )
        else:
            assert "softening" not in json.loads((folder / "result.json").read_text())


def test_bilinear_interpolation_stays_where_it_is_given_where_nothing_is_lost_and_in_the_paper(data):
    """A classifier by brightness does not mind softening; the switched objective is that of the paper."""
    images = data[0].clone()
    images[40:] -= 0.3
    flat = itn.Classifier(Brightness(), name="brightness")
    few = {"parts": ("spatial",), "steps": 4, "batch_size": 32, "accept": ("logits",)}
    record = itn.learn(flat, images, data[1], itn.LearnConfig(tolerance=0.2, **few)).record
    assert record.interpolation == "bilinear"
    assert record.softening.bilinear == 0
    lines = itn.Classifier(Contrast(), name="contrast")
    for settings in ({"interpolation": "bilinear", "tolerance": 0.2}, {"objective": "switched"}):
        record = itn.learn(lines, *data, itn.LearnConfig(**few, **settings)).record
        assert record.interpolation == "bilinear"
        assert record.softening is None


def test_the_families_of_all_classes_have_one_interpolation(classifier, data, tmp_path):
    repeated = [torch.cat([tensor] * 2) for tensor in data]
    config = itn.LearnConfig(parts=("spatial",), tolerance=0.2, steps=4, batch_size=32, accept=("logits",))
    families = itn.learn_per_class(classifier, *repeated, config, tmp_path / "classes")
    assert {net.part("spatial").interpolation for net in families.nets.values()} == {"bicubic"}
    assert families.record.interpolation == "bicubic"
    loaded = itn.load_net(tmp_path / "classes", classifier, label=0)
    assert loaded.part("spatial").interpolation == "bicubic"


@pytest.mark.parametrize("config", [itn.LearnConfig, itn.ScreenConfig, itn.SpatialTransformer])
def test_another_interpolation_is_refused(config):
    with pytest.raises(
        ValueError, match=r"interpolation must be one of (auto, )?bilinear, bicubic, got 'nearest'"
    ):
        config(interpolation="nearest")
