"""Whole searches in a box of classifiers that are known on paper, and their folders."""

import csv
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

import itn
from itn import WorstConfig, worst_case
from itn.boxes.examples import shown_images
from itn.boxes.figures import draw_worst
from itn.boxes.records import RoundTrip, WorstRecord
from itn.cli.main import main
from itn.runtime import run_dir
from itn.runtime.run_dir import content_of

QUICK = {"passes": 24, "single_steps": 3, "growth_passes": 12}
BOX = {"rotate": (-60.0, 60.0), "translate_x": (-0.2, 0.2)}


@pytest.fixture
def spread():
    """40 blobs at 0.2 to 0.8 left (class 0) or right (class 1) of the middle, evenly; 1 x 12 x 24."""
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in (12, 24))
    labels = torch.arange(40) % 2
    distance = 0.2 + 0.6 * (torch.arange(40) // 2 + 0.5) / 20
    centres = torch.where(labels == 0, -distance, distance).view(-1, 1, 1)
    return torch.exp(-((x - centres) ** 2 + (y[:, None] / 2) ** 2) / (2 * 0.08**2)).unsqueeze(1), labels


class Counting(nn.Module):
    """Counts images, and fails when it has been called often enough."""

    def __init__(self, net, calls=10**9):
        super().__init__()
        self.net, self.calls, self.images = net, calls, 0

    def forward(self, images):
        self.calls -= 1
        self.images += len(images)
        if self.calls < 0:
            raise RuntimeError("out of memory\nmore lines")
        return self.net(images)


def test_the_range_of_each_image_is_found_alone_and_together(side, spread):
    """A blob d from the middle crosses it, shifted by v of the width, at v = d / 2.

    A turn of 60 degrees brings it to d / 2, so that with shifts of 0.2 all up to d = 0.8 break.
    """
    found = worst_case(side, *spread, WorstConfig(box=BOX, passes=24, single_steps=20, growth_passes=24))
    record = found.record
    assert (record.n, record.searched, record.clean_accuracy) == (40, 40, 1)
    assert record.survival_single["translate_x"] == pytest.approx(2 / 3, abs=0.05)
    assert record.survival_single["rotate"] == 1
    assert record.survival_every_single == record.survival_single["translate_x"]
    assert record.survival.value == 0
    assert record.survival.ci_high == pytest.approx(1 - 0.025 ** (1 / 40))
    for row in found.images:
        assert (row.survives, row.searched) == (False, True)
        assert row.prediction != row.class_
        assert row.margin < 0
        # Turned by s 60 degrees and shifted by s 0.2
        distance = 0.2 + 0.6 * (int(row.image) // 2 + 0.5) / 20
        scales = torch.linspace(0, 1, 1001)
        breaks = distance * (60 * scales).deg2rad().cos() < 0.4 * scales
        truth = float(scales[breaks][0])
        assert truth - 0.03 < row.scale < truth + 0.12
    assert "at most 0.0 % [0.0 %" in record.statement
    assert "an upper bound" in record.statement


def test_along_one_axis_images_break_where_a_screen_says(side, spread):
    magnitudes = {"translate_x": tuple(n / 50 for n in range(-15, 16))}
    config = itn.ScreenConfig(transforms=("translate_x",), magnitudes=magnitudes, round_trip=False)
    flips = itn.screen(side, *spread, config).flips
    nearest = {}
    for row in flips:
        if row.flipped:
            nearest[row.image] = min(abs(row.magnitude), nearest.get(row.image, 1.0))
    found = worst_case(side, *spread, box={"translate_x": (-0.3, 0.3)})
    assert {row.image for row in found.images if not row.survives} == set(nearest)
    for row in found.images:
        if not row.survives:
            assert row.scale * 0.3 == pytest.approx(nearest[row.image], rel=0.06)
    assert found.record.survival.value == found.record.survival_single["translate_x"]


def test_in_a_box_that_does_nothing_all_survive(side, spread):
    found = worst_case(side, *spread, config=QUICK, box={"rotate": (-1e-3, 1e-3), "translate_y": (0, 0.3)})
    assert found.record.survival.value == found.record.growth.survival[-1] == 1
    assert found.record.growth.threshold.value is None
    assert {row.passes for row in found.images} == {24 + 3 * 3}
    assert "at least 90.0 % survive in the full box, as far as was tried" in str(found)
    assert all(row.survives and row.margin > 0 and row.scale is None for row in found.images)


def test_passes_are_those_that_the_network_has_seen(side, spread):
    seen = {}
    for passes in (2, 24):
        net = Counting(side.net)
        found = worst_case(itn.Classifier(net), *spread, config=QUICK | {"passes": passes}, box=BOX)
        total = sum(row.passes for row in found.images)
        assert total == sum(found.record.passes.values())
        assert found.record.passes_per_image == pytest.approx(total / 40)
        seen[passes] = net.images - total - found.record.round_trip.images
    assert seen[2] == seen[24]  # the preflight, and the unchanged images once


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_results_do_not_depend_on_the_batch_size(batch_size, side, spread):
    config = WorstConfig(box=BOX | {"noise": (0, 0.1)}, **QUICK)
    usual = worst_case(side, *spread, config)
    other = worst_case(side, *spread, WorstConfig(box=config.box, batch_size=batch_size, **QUICK))
    for mine, theirs in zip(usual.images, other.images, strict=True):
        assert (mine.survives, mine.passes, mine.prediction) == (
            theirs.survives,
            theirs.passes,
            theirs.prediction,
        )
        assert mine.point == pytest.approx(theirs.point, abs=1e-4)


@pytest.mark.parametrize("calls", [20, 45, 90])
def test_a_run_that_failed_goes_on_and_ends_as_if_it_had_not(calls, side, spread, tmp_path, monkeypatch):
    monkeypatch.setattr("itn.boxes.work.KEPT_TOGETHER", 20)
    config = WorstConfig(box=BOX, batch_size=10, **QUICK)
    worst_case(side, *spread, config, tmp_path / "whole")
    fragile = itn.Classifier(Counting(side.net, calls), name="side")
    with pytest.raises(itn.RunError, match=r"out of memory.* evaluations? (is|are) kept in .*evaluations"):
        worst_case(fragile, *spread, config, tmp_path / "parts")
    again = itn.Classifier(Counting(side.net), name="side")
    found = worst_case(again, *spread, config, tmp_path / "parts")
    assert content_of(tmp_path / "parts") == content_of(tmp_path / "whole")
    whole = sum(row.passes for row in found.images)
    if calls == 90:
        assert again.net.images < whole  # what was kept was not done again
    before = again.net.images
    repeated = worst_case(again, *spread, config, tmp_path / "parts")
    assert repeated.record == found.record
    assert again.net.images - before < 200  # the preflight alone


def test_the_folder_holds_what_others_read(side, spread, tmp_path):
    found = worst_case(side, *spread, WorstConfig(box=BOX, **QUICK), tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"clean_accuracy", "box", "survival", "survival_single", "passes_per_image"} <= set(result)
    assert set(result["survival"]) == {"value", "ci_low", "ci_high"}
    assert set(result["survival_single"]) == set(BOX)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(
            "config.json",
            "result.json",
            "timing.json",
            "worst.csv",
            "outcomes.npz",
            "examples.json",
            "figures",
            "report.html",
        )
    }
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"worst.png", "growth.png"}
    known = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert known <= set(run_dir.written_by(json.loads((tmp_path / "config.json").read_text())))
    with (tmp_path / "worst.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 40
    images, labels = spread
    for line, image, label in zip(lines, images, labels, strict=True):
        point = torch.tensor([float(line[name]) for name in BOX])
        turned = itn.functional.square_matrix(itn.TRANSFORMS["rotate"].function(point[:1], 2.0))
        shifted = itn.functional.square_matrix(itn.TRANSFORMS["translate_x"].function(point[1:], 2.0))
        logits = side(itn.warp(image[None], (turned @ shifted)[:, :2]).clamp(0, 1))[0]
        assert str(int(logits.argmax())) == line["prediction"]
        assert line["survives"] == str(int(logits.argmax() == label))
        assert float(line["margin"]) == pytest.approx(float(logits[label] - logits[1 - label]), abs=1e-3)
    later = itn.load_worst(tmp_path)
    assert later.record == found.record
    assert later.examples == found.examples
    assert [row.point for row in later.images] == [row.point for row in found.images]
    assert str(later) == str(found)
    with pytest.raises(ValueError, match="does not hold a finished search"):
        itn.load_worst(tmp_path / "figures")
    (tmp_path / "worst.csv").write_text("image\n")
    with pytest.raises(ValueError, match="a finished search that can be read"):
        itn.load_worst(tmp_path)


def test_without_labels_predictions_have_to_survive(side, spread):
    images, labels = spread
    config = WorstConfig(box=BOX, criterion="agreement", **QUICK)
    found = worst_case(side, images, None, config)
    with_labels = worst_case(side, images, labels, WorstConfig(box=BOX, **QUICK))
    assert found.record.survival == with_labels.record.survival
    assert "predictions for the unchanged images stay what they are" in found.record.statement
    assert "no labels were given" in str(found)
    with pytest.raises(ValueError, match="labels are missing"):
        worst_case(side, images, None, WorstConfig(box=BOX, **QUICK))


def test_images_that_are_wrong_unchanged_are_not_searched(side, spread):
    images, labels = spread
    wrong = labels.clone()
    wrong[:4] = 1 - wrong[:4]
    found = worst_case(side, images, wrong, WorstConfig(box={"translate_x": (-0.2, 0.2)}, **QUICK))
    assert (found.record.searched, found.record.n) == (36, 40)
    assert [row.searched for row in found.images] == [False] * 4 + [True] * 36
    assert found.images[0].passes == 0
    assert found.images[0].point == ()
    assert found.record.survival_of_all.value == pytest.approx(found.record.survival.value * 36 / 40)
    assert f"of all 40 images that is {100 * found.record.survival_of_all.value:.1f} %" in str(found)


class Stripes(nn.Module):
    """Says whether neighboring columns differ by more than 0.3 on average: 0 flat, 1 striped."""

    def forward(self, images):
        excess = 20 * (images.diff(dim=-1).abs().mean((1, 2, 3)) - 0.3)
        return torch.stack([-excess, excess], 1)


def test_it_is_said_where_sampling_may_be_what_breaks_and_only_there(side, spread):
    """A shift by a quarter of the 8 columns and another half pixel makes stripes of one pixel flat.

    Back by as much does not bring them back. A blob that has crossed the middle is back where it was.
    """
    stripes = (torch.arange(8) % 2).float().expand(40, 1, 6, 8).clone()
    net, box = itn.Classifier(Stripes(), name="stripes"), {"translate_x": (0.0, 2.5 / 8)}
    labels = torch.ones(40, dtype=torch.int64)
    found = worst_case(net, stripes, labels, config={**QUICK, "accept": ("chance",)}, box=box)
    assert found.record.round_trip == RoundTrip(images=40, broken=40)
    assert "what is cut off, may be what breaks here, rather than the motion: of 40 images" in str(found)
    assert WorstRecord.from_json(json.loads(json.dumps(found.record.to_json()))) == found.record
    bicubic = worst_case(
        net, stripes, labels, config={**QUICK, "accept": ("chance",), "interpolation": "bicubic"}, box=box
    )
    assert "sampling may" not in str(bicubic)  # what it would tell to do is done
    moved = worst_case(side, *spread, WorstConfig(box={"translate_x": (-0.2, 0.2)}, **QUICK))
    assert moved.record.round_trip.images > 0
    assert moved.record.round_trip.broken == 0
    assert "sampling may" not in str(moved)
    colors = worst_case(side, *spread, WorstConfig(box={"brightness": (-1.0, 1.0)}, **QUICK))
    assert colors.record.round_trip is None
    assert "round_trip" not in colors.record.to_json()


def test_discrete_and_own_transformations_take_part(side, spread, tmp_path):
    darken = itn.Transform(
        "darken", "share", 0.0, (0.0, 0.5), lambda images, v: images * (1 - v), domain=(0, 1)
    )
    config = WorstConfig(box={"horizontal_flip": (0, 1), darken: (0, 0.5)}, **QUICK)
    found = worst_case(side, *spread, config, tmp_path)
    assert found.record.survival.value == found.record.survival_single["horizontal_flip"] == 0
    assert found.record.survival_single["darken"] == 1
    assert {row.scale for row in found.images} == {1.0}
    assert {row.point[0] for row in found.images} == {1.0}
    with pytest.raises(ValueError, match="leave hue out of the box: images of one channel are gray"):
        worst_case(side, *spread, box={"hue": (-90, 90)})
    with pytest.raises(ValueError, match="leave grayscale out of the box: images of one channel are gray"):
        worst_case(side, *spread, box={"grayscale": (0, 1)})
    figure = draw_worst(side, spread[0], itn.load_worst(tmp_path), [0, 1], (darken,))
    assert len(figure.axes) == 4


def test_figures_show_each_image_above_its_worst_point(side, spread, texts):
    found = worst_case(side, *spread, WorstConfig(box=BOX, **QUICK))
    numbers = shown_images(found.images, spread[1])
    assert len(numbers) == 12
    assert numbers == [n for pair in zip(numbers[::2], numbers[1::2], strict=True) for n in pair]
    written = texts(draw_worst(side, spread[0], found, numbers[:3]))
    for row in (found.images[n] for n in numbers[:3]):
        assert any(text.startswith(f"rotate {row.point[0]:.3g}") for text in written)
        assert any(text.endswith(f"\nsays {row.prediction}") for text in written)
    calm = worst_case(side, *spread, WorstConfig(box={"translate_x": (-0.001, 0.001)}, **QUICK))
    near = shown_images(calm.images, spread[1])
    assert near[0] == min(range(40), key=lambda n: calm.images[n].margin)
    assert any("still" in text for text in texts(draw_worst(side, spread[0], calm, near)))


SMALL = ["worst", "--limit", "30", "--passes", "12", "--single-steps", "2", "--growth-passes", "8"]


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = [*SMALL, "--box", "rotate=-40:40,brightness=-0.2:0.2"]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert re.search(r"all together +\d+\.\d % \[", shown)
    assert "at most" in shown
    assert "everywhere in the box brightness -0.2 to 0.2, rotate -40 to 40" in shown
    before = content_of(tmp_path / "runs" / "worst")
    assert main(asked) == 0
    assert capsys.readouterr().out == shown
    assert content_of(tmp_path / "runs" / "worst") == before
    assert main([*SMALL, "--box", "brightness=-0.2:0.2,rotate=-40:40"]) == 0  # in the same order after all
    assert main([*SMALL, "--box", "rotate=-40:41,brightness=-0.2:0.2"]) == 2
    assert "other settings (config.box.rotate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "rotate"], "--box rotate: expected NAME=LOW:HIGH,NAME=LOW:HIGH"),
        (["--box", "rotate=1:2:3"], "--box rotate=1:2:3: expected"),
        (["--box", "rotate=-1:1,rotate=-2:2"], "rotate has its range already"),
        (["--box", "rotat=-1:1"], "nearest are rotate"),
        (["--box", "grayscale=0:1"], "leave grayscale out of the box"),
        (["--passes", "0"], "--passes must be at least 1"),
        (["--criterion", "accuracy"], "accuracy"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["worst", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_two_processes_write_what_one_writes(tmp_path):
    command = ["-m", "itn", *SMALL]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, start in (("one", []), ("two", torchrun)):
        words = [sys.executable, *start, *command, "--batch-size", "8", "--out", name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")
