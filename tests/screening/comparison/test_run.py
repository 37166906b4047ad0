"""Whole comparisons of classifiers whose decision changes are known on paper, and their folders."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch

import itn
from itn.runtime.run_dir import content_of
from itn.screening.comparison.summary import _farther, _magnitude

SHIFT = 0.1  # of the second line, see conftest.py


def test_differences_are_what_arithmetic_says(middle, right):
    """Moved right by v of the width, a blob d left of the middle crosses a line at s at v = (d + s) / 2."""
    found = itn.compare([middle, right])
    (pair,) = found.record.pairs
    assert (pair.first, pair.second) == ("middle", "right")
    compared = pair.transforms["translate_x"]
    for side, sign in (("above", 1), ("below", -1)):
        for criterion in ("accuracy", "broken", "agreement"):
            threshold = compared.thresholds[criterion][side]
            assert threshold.first == pytest.approx(0.16, abs=0.004)
            assert threshold.value == pytest.approx(sign * SHIFT / 2, abs=0.004)
            assert threshold.ci_low <= threshold.value <= threshold.ci_high
            assert not threshold.first_beyond
    # Moved right, 80 and 60 of class 0 change, in the same order; all others are tied
    pairs = {n: n * (n - 1) / 2 + n * (240 - n) for n in (60, 80)}
    assert compared.correlation["above"].value == pytest.approx((pairs[60] / pairs[80]) ** 0.5, abs=0.01)
    assert compared.correlation_by_class["0"]["above"].value > 0.9
    assert compared.correlation_by_class["1"]["above"].value is None
    # Up to 0.3 the first loses those with d < 0.6, the second those with d < 0.5
    breaks = compared.breaks["above"]
    assert (breaks.n, breaks.second_only) == (240, 0)
    assert breaks.first_only == pytest.approx(20, abs=1)
    assert breaks.both == pytest.approx(60, abs=1)
    rows = [row for row in found.images if row.side == "above"]
    assert len(rows) == breaks.first_only
    for row in rows:
        assert (row.breaks, row.tested) == ("first", pytest.approx(0.3))
        assert 0.25 < row.magnitude <= 0.3
        assert int(row.image) % 2 == 0
    assert pair.clean.value == pair.clean.first_only == 0
    assert "right against middle" in str(found)


def test_the_table_says_at_which_magnitudes_and_which_goes_farther(middle, right):
    """Below 0 the first goes farther, above 0 the second: at -0.16 and -0.11, 0.16 and 0.21."""
    found = itn.compare([middle, right])
    lines = {
        tuple(line.split()[:2]): line.split()
        for line in str(found).splitlines()
        if line.startswith("translate_x ")
    }
    below, above = lines["translate_x", "below"], lines["translate_x", "above"]
    assert [float(v) for v in below[2:4]] == pytest.approx([-0.16, -0.11], abs=0.004)
    assert [float(v) for v in above[2:4]] == pytest.approx([0.16, 0.21], abs=0.004)
    assert (below[4][0], below[7]) == ("-", "middle")
    assert (above[4][0], above[7]) == ("+", "right")


def test_of_factors_the_table_says_the_factor_on_either_side(middle):
    (pair,) = itn.compare([middle, middle]).record.pairs
    compared = dataclasses.replace(pair.transforms["translate_x"], logarithmic=True, identity=1.0)
    assert _magnitude(1.6, False, "below", compared) == "0.625"
    assert _magnitude(1.6, True, "above", compared) == "beyond 1.6"
    less = dataclasses.replace(compared.thresholds["accuracy"]["above"], value=0.9, ci_low=0.8, ci_high=0.95)
    assert _farther(less, pair, True) == pair.first
    assert _farther(dataclasses.replace(less, value=1.1, ci_low=1.05, ci_high=1.2), pair, True) == pair.second
    assert _farther(dataclasses.replace(less, ci_high=1.2), pair, True) == "-"
    assert _farther(dataclasses.replace(less, first_beyond=True, second_beyond=True), pair, True) == "-"


def test_accuracy_differs_at_each_magnitude_by_the_images_between_the_lines(middle, right):
    accuracy = itn.compare([middle, right]).record.pairs[0].transforms["translate_x"].accuracy
    assert accuracy.magnitudes == middle.record.transforms["translate_x"].magnitudes
    assert accuracy.first == middle.record.transforms["translate_x"].accuracy
    np.testing.assert_allclose(np.subtract(accuracy.second, accuracy.first), accuracy.value, atol=1e-12)
    at = accuracy.magnitudes.index(0.2)
    assert accuracy.value[at] == pytest.approx((0.1 / 0.6) / 2, abs=0.01)  # a sixth of one class
    assert all(
        low <= v <= high
        for low, v, high in zip(accuracy.ci_low, accuracy.value, accuracy.ci_high, strict=True)
    )


def test_a_screen_against_itself_differs_in_nothing(middle):
    found = itn.compare([middle, middle])
    (pair,) = found.record.pairs
    assert (pair.first, pair.second) == ("middle (1)", "middle (2)")
    compared = pair.transforms["translate_x"]
    threshold = compared.thresholds["accuracy"]["above"]
    assert (threshold.value, threshold.ci_low, threshold.ci_high) == (0, 0, 0)
    assert compared.correlation["above"].value == pytest.approx(1)
    assert found.images == ()
    assert pair.clean.same_prediction == 1


def test_images_are_matched_by_name_in_whatever_order(middle, right, line, spread, config):
    images, labels = spread
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))[:200]
    names = [str(number) for number in order.tolist()]
    some = itn.screen(line(SHIFT, "right"), images[order], labels[order], config, names=names)
    found = itn.compare([middle, some])
    assert found.record.n == 200
    assert found.record.notes == ("compared are the 200 images that all have; middle 240, right 200",)
    whole = itn.compare([some, right])
    assert whole.record.pairs[0].transforms["translate_x"].correlation["above"].value == pytest.approx(1)


def test_what_is_not_comparable_is_refused(middle, right, line, spread, config):
    images, labels = spread

    def screened(**changes):
        given = {"images": images, "labels": labels, "config": config} | changes
        return itn.screen(line(SHIFT, "other"), **given)

    without = dataclasses.replace(right, outcomes=None)
    turned = screened(images=images.flip(-1), labels=1 - labels)
    swapped = labels.clone()
    swapped[:3] = 1 - swapped[:3]
    refused = [
        ([middle], "give at least two runs to compare, got 1"),
        ("runs", "runs must be a list, got 'runs'"),
        (
            [middle, without],
            "right has not kept what became of each image, .*: repeat its run with overwrite",
        ),
        (
            [middle, screened(names=[f"x{n}" for n in range(240)])],
            "the runs share 0 images of 240 and 240",
        ),
        ([middle, turned], "240 of 240 images called alike differ in their pixels, the first is 0"),
        ([middle, screened(labels=swapped)], "3 of 240 images have another label"),
        ([middle, screened(names=["a"] * 240)], "images of other share a name"),
        (
            [middle, screened(config=dataclasses.replace(config, accuracy_fraction=0.8))],
            "middle and other cannot be compared, their accuracy_fraction is 0.9 and 0.8",
        ),
        (
            [middle, screened(config=itn.ScreenConfig(("brightness",), round_trip=False, bisections=0))],
            "middle, other have no transformation in common",
        ),
    ]
    for runs, message in refused:
        with pytest.raises(ValueError, match=message):
            itn.compare(runs)
    with pytest.raises(ValueError, match="resamples must be at least 100"):
        itn.compare([middle, right], resamples=3)
    with pytest.raises(ValueError, match="confidence must lie in"):
        itn.compare([middle, right], confidence=95)


def test_without_labels_agreement_is_compared(middle, line, spread, config):
    config = dataclasses.replace(config, criterion="agreement")
    images, _ = spread
    pair = [itn.screen(line(at, name), images, config=config) for at, name in ((0.0, "a"), (SHIFT, "b"))]
    found = itn.compare(pair)
    assert not found.record.labeled
    compared = found.record.pairs[0].transforms["translate_x"]
    assert compared.thresholds["agreement"]["above"].value == pytest.approx(SHIFT / 2, abs=0.004)
    assert compared.correlation_by_class == {}
    assert "% right" not in str(found)
    with pytest.raises(ValueError, match="drop needs labels"):
        found.require("drop<=1%")
    assert found.require("translate_x.above>=0.02").met
    labeled = dataclasses.replace(middle, record=dataclasses.replace(middle.record, criterion="agreement"))
    with pytest.raises(ValueError, match="one of middle and b was made without labels"):
        itn.compare([labeled, pair[1]])


def test_a_comparison_comes_back_from_its_folder_and_is_shown_again(folders, tmp_path):
    found = itn.compare(folders, tmp_path / "both")
    again = itn.load_comparison(tmp_path / "both")
    assert again.record == found.record
    assert str(again) == str(found)
    assert len(again.images) == len(found.images) > 0
    before = (tmp_path / "both" / "timing.json").read_bytes()
    assert itn.compare(folders, tmp_path / "both").record == found.record
    assert (tmp_path / "both" / "timing.json").read_bytes() == before
    itn.compare([str(folder) for folder in folders], tmp_path / "again")
    assert content_of(tmp_path / "again") == content_of(tmp_path / "both")
    figures = {path.name for path in (tmp_path / "both" / "figures").iterdir()}
    assert figures == {"thresholds-1-2.png", "flips-1-2.png", "images-1-2.png"}
    with pytest.raises(ValueError, match="holds a finished run with other settings"):
        itn.compare(folders, tmp_path / "both", resamples=200)
    itn.compare(folders, tmp_path / "both", resamples=200, overwrite=True)
    assert itn.load_comparison(tmp_path / "both").record.resamples == 200
    with (tmp_path / "again" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["quantity"] for row in rows} == {
        *("accuracy", "threshold_accuracy", "threshold_broken", "threshold_agreement"),
        *("median_flip", "correlation", "breaks"),
    }


def test_what_is_no_screen_is_refused(folders, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(folders[0], old)
    (old / "outcomes.npz").unlink()
    with pytest.raises(ValueError, match=r"jennings-cnn|lenet5.*repeat its run with overwrite=True"):
        itn.compare([old, folders[1]])
    (old / "outcomes.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"outcomes\.npz is damaged"):
        itn.compare([old, folders[1]])
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"command": "learn"}))
    with pytest.raises(
        ValueError, match=re.escape(f"{old} is a run of itn learn: itn compare takes runs of itn screen")
    ):
        itn.compare([old, folders[1]])
    with pytest.raises(ValueError, match="does not hold a finished screen"):
        itn.compare([tmp_path, folders[1]])
    for damage in (None, "{"):
        (tmp_path / "result.json").unlink(missing_ok=True)
        if damage:
            (tmp_path / "result.json").write_text(damage)
        with pytest.raises(ValueError, match="does not hold a finished comparison"):
            itn.load_comparison(tmp_path)


def test_three_screens_are_compared_two_by_two(middle, right, line, spread, config):
    images, labels = spread
    third = itn.screen(line(-SHIFT, "left"), images, labels, config)
    record = itn.compare([middle, right, third]).record
    assert [(pair.first, pair.second) for pair in record.pairs] == [
        ("middle", "right"),
        ("middle", "left"),
        ("right", "left"),
    ]
    thresholds = [pair.transforms["translate_x"].thresholds["accuracy"]["above"] for pair in record.pairs]
    assert [t.value for t in thresholds] == pytest.approx([SHIFT / 2, -SHIFT / 2, -SHIFT], abs=0.004)


def test_what_only_some_have_swept_is_left_out(middle, right, line, spread, config):
    images, labels = spread
    more = dataclasses.replace(config, transforms=("brightness", "translate_x"), bisections=0)
    third = itn.screen(line(-SHIFT, "left"), images, labels, more)
    found = itn.compare([third, middle, right])
    assert found.record.notes == ("left out, since not all runs have them: brightness",)
    assert all(list(pair.transforms) == ["translate_x"] for pair in found.record.pairs)
    with pytest.raises(ValueError, match="brightness cannot be required here, only translate_x, drop"):
        found.require("brightness>=0")
    verdicts = found.require("translate_x.above>=0.09,drop<=5%").verdicts
    assert [verdict.met for verdict in verdicts] == [False, True, True, True]
    assert verdicts[2].subject.endswith("right against left")
    sweep = middle.record.transforms["translate_x"]
    other = dataclasses.replace(sweep, unit="pixels")
    record = dataclasses.replace(middle.record, transforms={"translate_x": other})
    with pytest.raises(ValueError, match="right and middle mean something else by translate_x"):
        itn.compare([right, dataclasses.replace(middle, record=record)])
