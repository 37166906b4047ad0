"""Two searches in the same box set side by side, against arithmetic on the lines of worst.csv."""

import dataclasses

import numpy as np
import pytest

import itn
from itn.boxes.run import worst_case
from itn.cli.main import main

BOX = {"rotate": (-60.0, 60.0), "translate_x": (-0.2, 0.2)}
CONFIG = itn.WorstConfig(box=BOX, passes=20, single_steps=0, growth_passes=8)


@pytest.fixture(scope="module")
def data():
    return itn.load_images("mnist", limit=150)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    folders = []
    for name in ("lenet5", "jennings-cnn"):
        folders.append(tmp_path_factory.mktemp("runs") / name)
        worst_case(itn.load_classifier(name), *data, CONFIG, folders[-1], source="mnist")
    return folders


@pytest.fixture(scope="module")
def pair(runs):
    """The comparison, and the rows of the images that both have right unchanged."""
    tables = [itn.load_worst(folder).images for folder in runs]
    both = [(a, b) for a, b in zip(*tables, strict=True) if a.searched and b.searched]
    return itn.compare(runs), both


def test_survival_differs_by_the_images_that_survive_in_one(pair):
    compared, both = pair
    found = compared.record.pairs[0].transforms["box"]
    assert found.accuracy.magnitudes[-1] == 1
    survive = [sum(rows[k].survives for rows in both) / len(both) for k in (0, 1)]
    assert (found.accuracy.first[-1], found.accuracy.second[-1]) == pytest.approx(survive)
    assert found.accuracy.value[-1] == pytest.approx(survive[1] - survive[0])
    assert found.accuracy.ci_low[-1] < found.accuracy.value[-1] < found.accuracy.ci_high[-1]
    breaks = found.breaks["above"]
    assert breaks.n == len(both)
    assert breaks.first_only == sum(not a.survives and b.survives for a, b in both)
    assert breaks.second_only == sum(a.survives and not b.survives for a, b in both)


def test_the_threshold_is_where_too_few_survive_of_those_right_in_both(pair):
    compared, both = pair
    assert set(compared.record.pairs[0].transforms["box"].thresholds) == {"broken"}
    found = compared.record.pairs[0].transforms["box"].thresholds["broken"]["above"]
    for k, value in ((0, found.first), (1, found.second)):
        scales = np.sort([np.inf if rows[k].scale is None else rows[k].scale for rows in both])
        below = scales[int(np.floor(0.1 * len(scales) + 1e-9))]  # more than a tenth is broken from there on
        assert value == pytest.approx(below, abs=0.02)  # sizes are 0.02 apart


def test_networks_that_break_on_the_same_images_correlate(pair, runs):
    compared, _ = pair
    found = compared.record.pairs[0].transforms["box"].correlation["above"]
    assert 0 < found.ci_low < found.value < found.ci_high < 1
    itself = itn.compare([runs[0], runs[0]]).record.pairs[0].transforms["box"]
    assert itself.correlation["above"].value == pytest.approx(1)
    assert set(itself.accuracy.value) == {0.0}


def test_results_in_memory_are_compared_as_folders_are(pair, runs):
    loaded = [itn.load_worst(folder) for folder in runs]
    again = itn.compare(loaded).record
    assert dataclasses.replace(again, provenance={}) == dataclasses.replace(pair[0].record, provenance={})


def test_other_boxes_and_other_kinds_of_runs_are_refused(runs, data):
    smaller = dataclasses.replace(CONFIG, box={"rotate": (-10.0, 10.0)})
    other = worst_case(itn.load_classifier("lenet5"), *data, smaller)
    with pytest.raises(ValueError, match="mean something else by box: its unit and identity are share of"):
        itn.compare([itn.load_worst(runs[0]), other])
    settings = itn.ScreenConfig(transforms=("brightness",), magnitudes={"brightness": (0, 0.5)})
    screen = itn.screen(itn.load_classifier("lenet5"), *data, settings)
    with pytest.raises(
        ValueError,
        match="no transformation in common: compare screens of the same transformations, or searches",
    ):
        itn.compare([itn.load_worst(runs[0]), screen])


def test_the_command_line_and_a_requirement(runs, tmp_path, capsys):
    asked = ["compare", *map(str, runs), "--out", str(tmp_path / "both"), "--require", "box>=1"]
    assert main(asked) == 3
    assert "jennings-cnn against lenet5" in capsys.readouterr().out
    assert (tmp_path / "both" / "figures" / "flips-1-2.png").exists()
    assert "box,above" in (tmp_path / "both" / "comparison.csv").read_text()
