"""Families of single classes: on classifiers where each class has a limit known on paper."""

import dataclasses
import json

import pytest
import torch

import itn
from itn.certification.records import PLANNED
from itn.cli.main import main
from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.records import PerClassRecord
from itn.runtime.run_dir import RunFolder, content_of
from itn.stats.intervals import clopper_pearson

QUICK = itn.LearnConfig(tolerance=0.06, steps=20, batch_size=64)


class Third(torch.nn.Module):
    """Never says 2."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        logits = self.net(images)
        return torch.cat([logits, logits.amin(1, keepdim=True) - 1], 1)


@pytest.fixture
def shifts(blobs, side, tmp_path):
    """Families of shifts along x, and the folder of their run."""
    config = dataclasses.replace(QUICK, parts=("spatial",), family="translation_x", spatial_bound=0.8)
    return itn.learn_per_class(side, *blobs, config, tmp_path / "run", progress=False), tmp_path / "run"


@pytest.mark.usefixtures("no_figures")
def test_each_class_goes_its_own_way(shifts):
    """What lies left stays left of the middle however far it goes left, but not 0.5 to the right."""
    result, _ = shifts
    square = torch.cartesian_prod(*2 * [torch.linspace(0, 1, 11)])
    # Matrices say where an output pixel comes from: a positive entry moves content to the left
    left, right = (result.nets[label].part("spatial").head(square) for label in (0, 1))
    assert -0.5 < left.min() < -0.4
    assert 0.7 < left.max() <= 0.8
    assert 0.4 < right.max() < 0.5
    assert -0.8 <= right.min() < -0.7
    certificate = result.record.certificate
    assert certificate.searched.accuracy_per_image == 1
    assert certificate.images == result.record.split["held_out"] == 120
    # Of 5 % one fifth, for all scales, three conditions and two bounds
    assert certificate.full.lower_bound == pytest.approx((0.01 / (6 * PLANNED)) ** (1 / 120))
    for family in result.record.classes:
        assert family.images == 60
        assert family.full.drop == family.worst.drop == 0
        assert family.worst.lower_bound == pytest.approx((0.05 / (4 * PLANNED)) ** (1 / 60))
        assert 0 < family.worst.drop_upper_bound < 0.2
        assert family.worst.k is not None
        by_sign = {b.sign: b for b in family.baselines["spatial"] if b.transform == "translate_x"}
        away, across = by_sign["-+"[family.label]], by_sign["+-"[family.label]]
        assert abs(across.estimated_magnitude) == pytest.approx(0.25, abs=0.02)  # a quarter of the width
        assert abs(away.estimated_magnitude) > 0.35


def test_a_run_is_written_and_read(shifts, side, blobs):
    result, folder = shifts
    content = json.loads((folder / "result.json").read_text())
    assert PerClassRecord.from_json(content) == result.record
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "allowed.png",
        "classes.png",
        "families.png",
        "losses.png",
    }
    k = torch.rand(5, 2)
    for label, net in result.nets.items():
        read = itn.load_net(folder, side, label)
        torch.testing.assert_close(
            read.part("spatial").matrix(k), net.part("spatial").matrix(k), rtol=0, atol=0
        )
        assert itn.load_augmentation(folder, label=label)(blobs[0][:2]).shape == (2, 1, 20, 20)
    for label in (None, 2):
        with pytest.raises(ValueError, match=rf"^label {label}: .* give its label, one of 0, 1$"):
            itn.load_net(folder, side, label)


@pytest.mark.usefixtures("no_figures")
def test_a_finished_run_is_read_instead_of_repeated(shifts, blobs, side, monkeypatch):
    first, folder = shifts
    before = content_of(folder)
    monkeypatch.setattr(ConstrainedLearner, "step", None)
    config = dataclasses.replace(QUICK, parts=("spatial",), family="translation_x", spatial_bound=0.8)
    again = itn.learn_per_class(side, *blobs, config, folder)
    assert (again.record, again.history, repr(again)) == (first.record, first.history, str(first))
    k = torch.tensor([0.3, 0.9])
    for label, net in first.nets.items():
        assert torch.equal(again.nets[label].part("spatial").matrix(k), net.part("spatial").matrix(k))
    assert content_of(folder) == before


def test_nothing_is_left_of_a_run_that_is_replaced(shifts):
    _, folder = shifts
    with RunFolder(folder, {"command": "learn", "config": {}}, overwrite=True):
        pass
    assert [path.name for path in folder.rglob("*.*")] == ["config.json"]


def test_the_pooled_counts_are_those_of_the_classes(brightness):
    """Grays of many shades, twice as many dark ones as bright ones; some near the middle break."""
    labels = (torch.arange(300) % 3 == 0).long()
    shades = torch.rand(300, generator=torch.Generator().manual_seed(0)) * 0.45 + 0.02 + 0.5 * labels
    images = shades.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    config = dataclasses.replace(QUICK, parts=("color",), color_family="bias", tolerance=0.1)
    record = itn.learn_per_class(brightness, images, labels, config, progress=False).record
    dark, bright = record.classes
    assert (dark.images, bright.images) == (120, 60)
    assert record.certificate.searched.accuracy < 1
    pooled = (2 * dark.searched.accuracy + bright.searched.accuracy) / 3
    assert record.certificate.searched.accuracy == pytest.approx(pooled)
    for name in ("clean_accuracy", "accuracy_uniform"):
        pooled = (2 * getattr(dark, name) + getattr(bright, name)) / 3
        assert getattr(record, name) == pytest.approx(pooled)
    for condition in ("full", "worst"):
        for name in ("accuracy", "drop"):
            pooled = sum(w * getattr(getattr(f, condition), name) for w, f in ((2, dark), (1, bright))) / 3
            assert getattr(getattr(record.certificate, condition), name) == pytest.approx(pooled)
    assert record.accuracy_full == record.certificate.full.accuracy
    displacements = [family.parts["color"].displacement_full for family in (dark, bright)]
    assert record.parts["color"].displacement_full == pytest.approx(
        (2 * displacements[0] + displacements[1]) / 3
    )
    right_full, level = round(180 * record.accuracy_full), 0.01 / (6 * PLANNED)
    assert record.certificate.full.lower_bound == clopper_pearson(right_full, 180, 1 - 2 * level)[0]
    assert set(record.parts) == {"color"}
    passed = [p for p in record.calibration if p.scale <= record.certificate.scale]
    assert 0 < max(max(p.drop_full, p.drop_worst) for p in passed) <= 0.1


@pytest.mark.usefixtures("no_figures")
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(blobs, side, tmp_path, monkeypatch):
    config = dataclasses.replace(QUICK, parts=("spatial",), steps=6)
    whole = itn.learn_per_class(side, *blobs, config, progress=False)
    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
    step = ConstrainedLearner.step

    def interrupted(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(ConstrainedLearner, "step", interrupted)
    with pytest.raises(itn.Interrupted):
        itn.learn_per_class(side, *blobs, config, tmp_path / "run", progress=False)
    monkeypatch.setattr(ConstrainedLearner, "step", step)
    resumed = itn.learn_per_class(side, *blobs, config, tmp_path / "run", progress=False)
    assert resumed.history == whole.history
    assert resumed.record == whole.record


def test_a_class_that_is_nearly_absent_is_named_wherever_it_lies(blobs, side):
    images, labels = blobs
    for seed in range(3):
        with pytest.raises(ValueError, match=r"^class 2 has 0 recognized training images"):
            itn.learn_per_class(
                itn.Classifier(Third(side.net)),
                images,
                labels.index_fill(0, torch.tensor(7), 2),
                dataclasses.replace(QUICK, seed=seed),
            )


def test_a_class_with_few_images_is_named(blobs, side, tmp_path):
    images, labels = blobs
    few = torch.cat([(labels == 0).nonzero().flatten(), (labels == 1).nonzero().flatten()[:40]])
    with pytest.raises(
        ValueError, match=r"^class 1 has 16 recognized training images .* needs at least 20 .* and 1 of"
    ):
        itn.learn_per_class(
            side, images[few], labels[few], dataclasses.replace(QUICK, tolerance=0.1), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="need the constrained objective, got switched"):
        itn.learn_per_class(side, *blobs, itn.LearnConfig(objective="switched"))


def test_the_command_line_says_what_each_class_allows(tmp_path, capsys):
    out = tmp_path / "run"
    command = ["learn", "--per-class", "--limit", "1000", "--steps", "3", "--tolerance", "0.05"]
    assert main([*command, "--parts", "spatial", "--family", "zoom", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    record = PerClassRecord.from_json(json.loads((out / "result.json").read_text()))
    assert [line.split()[0] for line in shown.splitlines()[3:13]] == [str(digit) for digit in range(10)]
    assert record.certificate.statement in shown
    assert "proven for all classes together, not for each" in shown
    for family in record.classes:
        assert f"{100 * family.worst.accuracy:.2f} %" in shown
