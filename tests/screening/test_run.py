"""Whole screens of classifiers whose thresholds are known on paper, and their folders."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import itn
from itn import ScreenConfig, screen
from itn.runtime.run_dir import content_of


@pytest.fixture
def spread():
    """240 blobs at 0.2 to 0.8 left (class 0) or right (class 1) of the middle, evenly; 1 x 20 x 40."""
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in (20, 40))
    labels = torch.arange(240) % 2
    distance = 0.2 + 0.6 * (torch.arange(240) // 2 + 0.5) / 120
    centres = torch.where(labels == 0, -distance, distance).view(-1, 1, 1)
    return torch.exp(-((x - centres) ** 2 + (y[:, None] / 2) ** 2) / (2 * 0.05**2)).unsqueeze(1), labels


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_all_three_kinds_of_threshold_on_paper(side, spread):
    """Moved right by v of the width, a blob d left of the middle crosses it at v = d / 2.

    Class 0 has lost (v - 0.1) / 0.3 of its images then, class 1 none: accuracy is 90 % at v = 0.16,
    and class 0 has lost the half of its images, and the majority of its softmax, at v = 0.25.
    """
    images, labels = spread
    grid = itn.transforms.builtin.steps(-0.3, 0.3, 0.02)
    found = screen(side, images, labels, ScreenConfig(("translate_x",), magnitudes={"translate_x": grid}))
    sweep = found.record.transforms["translate_x"]
    assert found.record.clean_accuracy == 1
    for way, sign, moved, safe in (("above", 1, "0", "1"), ("below", -1, "1", "0")):
        accuracy = sweep.thresholds.accuracy[way]
        assert accuracy.value == pytest.approx(sign * 0.16, abs=0.004)
        assert accuracy.ci_low < accuracy.value < accuracy.ci_high
        assert sweep.thresholds.classes[moved][way].value == pytest.approx(sign * 0.25, abs=0.004)
        assert sweep.thresholds.classes[safe][way].value is None
        of_class = sweep.thresholds.flips_by_class
        assert of_class[moved][way].median.value == pytest.approx(sign * 0.25, abs=0.004)
        assert (of_class[moved][way].n, of_class[moved][way].flipped) == (120, pytest.approx(80, abs=1))
        assert of_class[safe][way].flipped == 0
        assert of_class[safe][way].median == itn.Threshold(None, None, None)
        assert sweep.thresholds.flips[way].median.value is None  # a third of all images, not the half
    assert sweep.thresholds.flip_resolution == pytest.approx(0.02 / 2**4, rel=0.01)
    # Each image on its own: within the resolution of its flip, plus what bilinear sampling does
    for row in found.flips:
        distance = 0.2 + 0.6 * (int(row.image) // 2 + 0.5) / 120
        if row.flipped:
            assert abs(abs(row.magnitude) - distance / 2) < 0.02 / 2**4 + 0.002
        else:
            assert abs(row.magnitude) == 0.3
            assert row.class_ == ("0" if row.side == "below" else "1") or distance / 2 > 0.298
    exact = [1 if abs(v) < 0.1 else 1 - (abs(v) - 0.1) / 0.6 for v in sweep.magnitudes]
    assert sweep.accuracy == pytest.approx(exact, abs=0.006)
    assert sweep.agreement == sweep.accuracy
    assert sweep.lost_content == pytest.approx([math.floor(abs(v) * 40 + 0.5) / 40 for v in grid], abs=0.013)


def test_factors_break_where_arithmetic_says(brightness, flats):
    """Flat images of 0.25 and 0.75 cross one half at factors 2 and 2/3, and at +0.25 and -0.25."""
    config = ScreenConfig(("contrast", "brightness"), bisections=12)
    found = screen(brightness, *flats, config).record.transforms
    flips = found["contrast"].thresholds.flips_by_class
    assert flips["0"]["above"].median.value == pytest.approx(2, rel=1e-3)
    assert flips["1"]["below"].median.value == pytest.approx(2 / 3, rel=1e-3)
    assert flips["0"]["below"].flipped == flips["1"]["above"].flipped == 0
    added = found["brightness"].thresholds.flips_by_class
    assert added["0"]["above"].median.value == pytest.approx(0.25, abs=1e-3)
    assert added["1"]["below"].median.value == pytest.approx(-0.25, abs=1e-3)
    assert found["contrast"].control_accuracy is None
    assert found["contrast"].lost_content is None


@pytest.mark.parametrize("criterion", ["accuracy", "broken", "agreement"])
def test_a_recovery_of_accuracy_is_found_by_the_sweep_and_reported(criterion, side, blobs):
    """Turned by 90 to 270 degrees the blobs lie on the other side; from there they are back."""
    magnitudes = {"rotate": itn.transforms.builtin.steps(0, 360, 40)}
    config = ScreenConfig(("rotate",), magnitudes=magnitudes, criterion=criterion)
    found = screen(side, *blobs, config)
    assert (
        "breaks, then recovers under rotate (degrees): accuracy from 280 to 360; class 0 from 280 to 360; "
        "class 1"
    ) in str(found)
    sweep = found.record.transforms["rotate"]
    assert sweep.recoveries.accuracy == ((280, 360),)
    assert sweep.recoveries.classes == {"0": ((280, 360),), "1": ((280, 360),)}
    assert sweep.recoveries.returned == (0, 0, 0, 0, 0, 0, 0, 1, 1, 1)
    assert sweep.thresholds.flips["above"].median.value == pytest.approx(90, abs=1)
    # 90 lies between 80 and 120, after three halvings in a bracket of 5 beside it
    assert sweep.thresholds.accuracy["above"].value == pytest.approx(90, abs=5)


def test_nothing_breaks_what_nothing_touches(side, blobs):
    found = screen(side, *blobs, ScreenConfig(("translate_y", "blur")))
    sweep = found.record.transforms["translate_y"]
    assert set(sweep.accuracy) == {1.0}
    assert sweep.thresholds.accuracy == dict.fromkeys(("below", "above"), itn.Threshold(*(None,) * 3))
    assert sweep.thresholds.flips["above"].flipped == 0
    assert list(found.record.transforms["blur"].thresholds.accuracy) == ["above"]
    assert "nothing breaks it" in str(found)
    assert "-0.4 to beyond 0.4" in str(found)


def test_the_control_shows_what_cut_off_alone_does(side, blobs):
    """Moved out of the frame and back, a blob is gone: the classifier sees black and says 0."""
    config = ScreenConfig(("translate_x",), magnitudes={"translate_x": (-0.9, 0.0, 0.9)})
    sweep = screen(side, *blobs, config).record.transforms["translate_x"]
    assert sweep.control_accuracy == (0.5, 1.0, 0.5)
    assert sweep.lost_intensity == pytest.approx((1, 0, 1), abs=0.01)
    without = ScreenConfig(("translate_x",), magnitudes=config.magnitudes, round_trip=False)
    assert screen(side, *blobs, without).record.transforms["translate_x"].control_accuracy is None


def test_a_pair_is_a_table_of_both(side, spread):
    """Translations along x add up; along y nothing happens."""
    magnitudes = {"translate_x": (-0.2, 0.0, 0.2), "translate_y": (0.0, 0.1)}
    config = ScreenConfig((), (("translate_x", "translate_y"),), magnitudes)
    found = screen(side, *spread, config)
    pair = found.record.pairs["translate_x,translate_y"]
    assert (pair.magnitudes_x, pair.magnitudes_y) == ((-0.2, 0.0, 0.2), (0.0, 0.1))
    assert pair.accuracy == (
        pytest.approx((5 / 6, 1, 5 / 6), abs=0.01),
        pytest.approx((5 / 6, 1, 5 / 6), abs=0.01),
    )
    assert [row.accuracy for row in found.pairs if row.class_ == "1" and row.magnitude_y == 0.1] == [
        pytest.approx(2 / 3, abs=0.01),
        1,
        1,
    ]
    one = ScreenConfig(("translate_x",), magnitudes={"translate_x": (-0.2, 0.2)})
    single = screen(side, *spread, one).record.transforms["translate_x"]
    assert single.magnitudes == (-0.2, 0.0, 0.2)  # curves go through the identity, listed or not
    assert pair.accuracy[0] == single.accuracy


def test_the_classifier_keeps_its_weights_and_its_mode(blobs):
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(400), nn.Dropout(), nn.Linear(400, 2))
    x = (2 * torch.arange(20) + 1) / 20 - 1
    net[3].weight.data = torch.stack([-x.repeat(20), x.repeat(20)])
    net[3].bias.data.zero_()
    classifier = itn.Classifier(net)
    before = classifier.sha256()
    screen(classifier, *blobs, ScreenConfig(("rotate",), magnitudes={"rotate": (90.0,)}))
    assert classifier.sha256() == before
    assert not net.training


def test_the_tables_have_the_columns_that_others_read(side, blobs, tmp_path):
    config = ScreenConfig(("rotate", "brightness"), (("zoom", "blur"),), {"rotate": (-90.0, 0.0, 45.0)})
    found = screen(side, *blobs, config, tmp_path)
    text = (tmp_path / "curves.csv").read_text()
    assert text.startswith(
        "transform,magnitude,class,n,accuracy,ci_low,ci_high,agreement,softmax_true,control_accuracy,lost_content,"
    )
    lines = rows(tmp_path / "curves.csv")
    assert len(lines) == (3 + 17) * 3 == len(found.curves)
    at = {(line["transform"], float(line["magnitude"]), line["class"]): line for line in lines}
    assert at["rotate", 0, "all"]["accuracy"] == "1"
    assert at["rotate", 45, "0"]["n"] == "100"
    assert float(at["rotate", 45, "0"]["lost_content"]) == pytest.approx(3 - 2 * 2**0.5, abs=0.03)
    assert at["brightness", 0.5, "all"]["control_accuracy"] == ""
    assert at["brightness", 0.5, "all"]["lost_content"] == ""
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["clean_accuracy"] == 1
    rotate = result["transforms"]["rotate"]
    assert {"magnitudes", "accuracy", "ci_low", "ci_high", "thresholds"} <= set(rotate)
    assert rotate["magnitudes"] == [-90, 0, 45]
    for line, value, low, high in zip(
        [line for line in lines if line["transform"] == "rotate" and line["class"] == "all"],
        *(rotate[key] for key in ("accuracy", "ci_low", "ci_high")),
        strict=True,
    ):
        assert [float(line[key]) for key in ("accuracy", "ci_low", "ci_high")] == pytest.approx(
            [value, low, high], abs=1e-6
        )
    assert len(rows(tmp_path / "pairs.csv")) == 7 * 6 * 3
    softmax: dict[tuple[str, ...], float] = {}
    for line in rows(tmp_path / "softmax.csv"):
        key = line["transform"], line["magnitude"], line["class"]
        softmax[key] = softmax.get(key, 0) + float(line["softmax"])
    assert len(softmax) == 20 * 2
    # Two outputs, each by its name or as "others"
    assert list(softmax.values()) == pytest.approx([1] * 40, abs=1e-5)
    assert {"commit", "itn", "torch", "device", "seed"} <= set(result["provenance"])
    assert not (tmp_path / ".itn-points").exists()
    pictures = {path.name for path in (tmp_path / "figures").iterdir()}
    kinds = ("accuracy", "softmax", "survival")
    assert pictures == {
        *(f"{kind}-{name}.png" for kind in kinds for name in ("rotate", "brightness")),
        "pair-zoom-blur.png",
        "thresholds.png",
    }


PREFLIGHT = 14  # passes


class Fragile(nn.Module):
    """Works like another network until it has been called often enough after the preflight."""

    def __init__(self, net, calls):
        super().__init__()
        self.net, self.calls = net, PREFLIGHT + calls

    def forward(self, images):
        self.calls -= 1
        if self.calls < 0:
            raise RuntimeError("out of memory\nmore lines")
        return self.net(images)


@pytest.mark.parametrize("calls", [3, 8, 14, 27])
def test_a_run_that_failed_goes_on_and_ends_as_if_it_had_not(side, blobs, tmp_path, calls):
    config = ScreenConfig(
        ("rotate", "noise"),
        (("zoom", "blur"),),
        {"rotate": (-120.0, -60.0, 60.0), "noise": (0.1, 0.4), "zoom": (0.5, 2.0), "blur": (1.0,)},
        batch_size=200,
    )
    screen(side, *blobs, config, tmp_path / "whole")
    fragile = itn.Classifier(Fragile(side.net, calls), name="side")
    with pytest.raises(itn.RunError, match=r"RuntimeError: out of memory.* passes are kept in .*points"):
        screen(fragile, *blobs, config, tmp_path / "parts")
    kept = len(list((tmp_path / "parts" / ".itn-points").rglob("*.npz")))
    again = itn.Classifier(Fragile(side.net, 10**6), name="side")
    screen(again, *blobs, config, tmp_path / "parts")
    assert content_of(tmp_path / "parts") == content_of(tmp_path / "whole")
    assert again.net.calls > 10**6 - 100
    if calls > 3:
        assert kept > 0


def test_what_is_kept_is_not_done_again(side, blobs, tmp_path):
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (30.0, 60.0, 120.0)}, batch_size=200)
    calls = {}
    for first in (10**6, 7):
        net = Fragile(side.net, first)
        classifier = itn.Classifier(net, name="side")
        out = tmp_path / str(first)
        if first == 7:
            with pytest.raises(itn.RunError):
                screen(classifier, *blobs, config, out)
            net.calls = PREFLIGHT + 10**6
        screen(classifier, *blobs, config, out)
        calls[first] = 10**6 - net.calls
    assert calls[7] < calls[10**6]


def cut(content):
    return content[:-7]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


@pytest.mark.parametrize("damaged", [cut, flipped])
def test_a_damaged_point_is_done_again(damaged, side, blobs, tmp_path):
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (30.0, 60.0)}, batch_size=200)
    screen(side, *blobs, config, tmp_path / "whole")
    fragile = itn.Classifier(Fragile(side.net, 4), name="side")
    with pytest.raises(itn.RunError):
        screen(fragile, *blobs, config, tmp_path / "parts")
    point = next((tmp_path / "parts" / ".itn-points" / "rotate").iterdir())
    point.write_bytes(damaged(point.read_bytes()))
    screen(side, *blobs, config, tmp_path / "parts")
    assert content_of(tmp_path / "parts") == content_of(tmp_path / "whole")


def test_other_settings_are_refused_by_name(side, blobs, tmp_path):
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (30.0, 60.0)}, batch_size=200)
    with pytest.raises(itn.RunError):
        screen(itn.Classifier(Fragile(side.net, 2), name="side"), *blobs, config, tmp_path)
    before = content_of(tmp_path)
    other = ScreenConfig(("rotate",), magnitudes={"rotate": (30.0, 90.0)}, batch_size=200)
    with pytest.raises(ValueError, match=r"other settings \(config.magnitudes.rotate: \[30.0, 60.0\], now"):
        screen(side, *blobs, other, tmp_path)
    images, labels = blobs
    with pytest.raises(ValueError, match=r"images.sha256"):
        screen(side, images.flip(0), labels.flip(0), config, tmp_path)
    assert content_of(tmp_path) == before
    done = screen(side, *blobs, config, tmp_path)
    finished = content_of(tmp_path)
    again = screen(side, *blobs, config, tmp_path)
    assert (again.record, str(again)) == (done.record, str(done))
    with pytest.raises(ValueError, match=r"holds a finished run with other settings \(config.magnitudes"):
        screen(side, *blobs, other, tmp_path)
    assert content_of(tmp_path) == finished


def test_gray_images_need_no_grayscale(side, blobs):
    magnitudes = {name: (itn.TRANSFORMS[name].magnitudes[-1],) for name in itn.transforms.builtin.PAPER}
    found = screen(side, *blobs, ScreenConfig(magnitudes=magnitudes))
    assert set(found.record.transforms) == set(itn.transforms.builtin.PAPER) - {"grayscale"}
    assert "gray already" in found.record.left_out["grayscale"]
    assert "grayscale is left out" in str(found)


def test_gray_images_need_no_colors(side, blobs):
    swept = ("hue", "saturation", "gamma")
    found = screen(side, *blobs, ScreenConfig(swept, magnitudes=dict.fromkeys(swept, (2.0,))))
    assert set(found.record.transforms) == {"gamma"}
    assert set(found.record.left_out) == {"hue", "saturation"}


def test_nothing_left_to_sweep_is_an_error(side, blobs, tmp_path):
    with pytest.raises(ValueError, match="nothing to screen: images of one channel are gray already"):
        screen(side, *blobs, ScreenConfig(("grayscale",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_few_images_that_are_right_are_enough_to_begin(side, blobs):
    images, labels = blobs
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (90.0,)})
    assert screen(side, images[:3], labels[:3], config).record.clean_accuracy == 1
    with pytest.raises(ValueError, match="at chance level"):
        screen(side, images[:3], 1 - labels[:3], config)


def test_names_must_fit_the_images(side, blobs):
    with pytest.raises(ValueError, match="names must be 200"):
        screen(side, *blobs, ScreenConfig(("rotate",)), names=["a"])


@pytest.mark.parametrize("names", [np.arange(200), np.arange(200).astype(str), list(range(200)), None])
def test_names_may_be_an_array(side, blobs, names):
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (90.0,)})
    found = screen(side, *blobs, config, names=names)
    assert [row.image for row in found.flips] == [str(number) for number in range(200)]
    assert {type(row.image) for row in found.flips} == {str}


def test_outputs_of_one_name_are_told_apart(side, blobs):
    classifier = itn.Classifier(side.net, class_names=("crane", "crane"))
    found = screen(classifier, *blobs, ScreenConfig(("rotate",), magnitudes={"rotate": (90.0,)}))
    assert set(found.record.transforms["rotate"].thresholds.classes) == {"crane (0)", "crane (1)"}


def test_classes_may_be_called_like_our_columns(side, blobs):
    classifier = itn.Classifier(side.net, class_names=("all", "others"))
    found = screen(classifier, *blobs, ScreenConfig(("rotate",), magnitudes={"rotate": (100.0,)}))
    thresholds = found.record.transforms["rotate"].thresholds
    assert thresholds.flips["above"].n == 200
    assert {name: sides["above"].n for name, sides in thresholds.flips_by_class.items()} == {
        "all (0)": 100,
        "others (1)": 100,
    }


def test_pictures_do_not_depend_on_the_batch(side, blobs, tmp_path):
    images, labels = blobs
    files = {}
    for size in (1, 30):
        config = ScreenConfig(("rotate",), magnitudes={"rotate": (-100.0, 0.0, 100.0)}, batch_size=size)
        screen(side, images[:30], labels[:30], config, tmp_path / str(size))
        files[size] = content_of(tmp_path / str(size))
    for name in ("figures/accuracy-rotate.png", "curves.csv", "flips.csv"):
        assert files[1][name] == files[30][name]


def test_overwriting_leaves_what_is_not_ours(side, blobs, tmp_path):
    config = ScreenConfig(("rotate",), magnitudes={"rotate": (100.0,)})
    screen(side, *blobs, config, tmp_path)
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "mine.txt").write_text("mine")
    (tmp_path / "figures" / "accuracy-zoom.png").write_text("mine")  # no run has written it
    other = ScreenConfig(("contrast",), magnitudes={"contrast": (0.5,)})
    screen(side, *blobs, other, tmp_path, overwrite=True)
    assert (tmp_path / "points" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "figures" / "accuracy-zoom.png").read_text() == "mine"
    assert (tmp_path / "figures" / "accuracy-contrast.png").exists()
    assert not (tmp_path / "figures" / "accuracy-rotate.png").exists()


def darken(images, v, padding):
    return images * (1 - v)


def shifted(v, aspect):
    return itn.functional.family_matrix("translation", torch.stack([-2 * v, 0 * v], -1))


OWN = (
    itn.Transform("darken", "share", 0.0, (0.0, 0.5), darken, domain=(0, 1)),
    itn.Transform("shifted", "fraction", 0.0, (-0.3, 0.0, 0.3), shifted, spatial=True),
)


def test_transformations_need_not_be_registered(side, blobs, tmp_path):
    """Interrupted and continued, the files are those of a screen of registered ones, byte for byte."""
    dark, shift = OWN
    config = ScreenConfig(("rotate", dark, shift), ((shift, "zoom"),), {"rotate": (60.0,)}, batch_size=200)
    with pytest.raises(itn.RunError):
        screen(itn.Classifier(Fragile(side.net, 4), name="side"), *blobs, config, tmp_path / "own")
    result = screen(side, *blobs, config, tmp_path / "own")
    assert not {"darken", "shifted"} & set(itn.TRANSFORMS)
    try:
        for each in OWN:
            settings = {"domain": each.domain, "spatial": each.spatial}
            itn.register(each.unit, each.identity, each.magnitudes, **settings)(each.function)
        named = ScreenConfig(
            ("rotate", "darken", "shifted"), (("shifted", "zoom"),), {"rotate": (60.0,)}, batch_size=200
        )
        screen(side, *blobs, named, tmp_path / "named")
    finally:
        for each in OWN:
            itn.unregister(each.name)
    assert content_of(tmp_path / "own") == content_of(tmp_path / "named")
    assert str(itn.load_screen(tmp_path / "own")) == str(result)
    above = result.record.transforms["shifted"].thresholds.accuracy["above"]
    assert above.value == pytest.approx(0.25, abs=0.1)


def test_a_transformation_of_ones_own_that_is_called_grayscale_is_swept(side, blobs):
    images, labels = blobs
    config = ScreenConfig((dataclasses.replace(OWN[0], name="grayscale"),))
    assert list(screen(side, images, labels, config).record.transforms) == ["grayscale"]


def test_a_changed_transformation_is_another_run(side, blobs, tmp_path):
    def fade(images, v):
        return images * (1 - v)

    faded = fade
    settings = {"unit": "share", "identity": 0.0, "magnitudes": (0.0, 0.5), "domain": (0, 1)}
    try:
        itn.register(**settings)(fade)
        config = ScreenConfig(("fade",), batch_size=200)
        with pytest.raises(itn.RunError):
            screen(itn.Classifier(Fragile(side.net, 2), name="side"), *blobs, config, tmp_path)

        def fade(images, v):
            return images * (1 - v / 2)

        assert fade is not faded
        itn.transforms.registry._TRANSFORMS.pop("fade")
        itn.register(**settings)(fade)
        with pytest.raises(ValueError, match=r"other settings \(transforms.fade.code_sha256"):
            screen(side, *blobs, config, tmp_path)
    finally:
        itn.transforms.registry._TRANSFORMS.pop("fade", None)


class Viewing(nn.Module):
    """A network that insists on the memory format that it was written for."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1)
        self.convolution.weight.data = torch.tensor([[1.0, 1, 1], [-1, -1, -1]]).view(2, 3, 1, 1)
        self.convolution.bias.data = torch.tensor([-1.5, 1.5])

    def forward(self, images):
        features = self.convolution(images)
        return features.view(len(features), -1).unflatten(1, (2, -1)).mean(-1)


def test_what_a_network_cannot_take_is_refused_before_work(flats, tmp_path):
    images, labels = flats[0].expand(-1, 3, -1, -1).contiguous(), 1 - flats[1]
    classifier = itn.Classifier(Viewing())
    screen(classifier, images, labels, ScreenConfig(("contrast",)))
    with pytest.raises(ValueError, match=r"cannot run with channels_last=True.*view size"):
        screen(classifier, images, labels, ScreenConfig(("contrast",), channels_last=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()
