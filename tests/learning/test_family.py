"""Runs of learning as a whole: what they find, write, refuse, and what is left of one that ends early."""

import copy
import dataclasses
import json
import time

import numpy as np
import pytest
import torch
from torch import nn

import itn
from itn import LearnConfig

QUICK = LearnConfig(objective="switched", steps=40, batch_size=32)


@pytest.mark.parametrize("parts", [("color",), ("spatial",), ("color", "spatial")])
def test_same_seed_same_result_other_seed_other_result(blobs, side, parts):
    config = dataclasses.replace(QUICK, parts=parts)
    first, second = (itn.learn(side, *blobs, config) for _ in range(2))
    assert first.history == second.history
    assert first.record == second.record
    other = itn.learn(side, *blobs, dataclasses.replace(config, seed=1))
    assert other.history != first.history


def test_the_classifier_is_frozen_bit_for_bit(blobs):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 18 * 18, 2)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(blobs[0]), blobs[1]).backward()
        optimizer.step()
    optimizer.zero_grad()
    classifier = itn.Classifier(net)
    before = copy.deepcopy(net.state_dict())
    result = itn.learn(classifier, *blobs, dataclasses.replace(QUICK, objective=itn.Switched(acc_orig=1.0)))
    assert result.record.cross_entropy_share > 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.usefixtures("no_figures")
def test_a_classifier_of_double_precision_is_learned_about(blobs, side, tmp_path):
    result = itn.learn(side.double(), *blobs, dataclasses.replace(QUICK, steps=2), tmp_path / "run")
    assert set(result.record.parts) == {"color", "spatial"}


def test_overwritten_figures_are_gone(blobs, side, tmp_path):
    constrained = LearnConfig(tolerance=0.06, steps=2, batch_size=64)
    itn.learn(side, *blobs, constrained, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "baselines.png").exists()
    itn.learn(side, *blobs, QUICK, tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "figures" / "baselines.png").exists()


def test_the_folder_holds_what_the_contract_says(blobs, side, tmp_path):
    result = itn.learn(side, *blobs, QUICK, tmp_path / "run", source="blobs")
    files = sorted(str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*.*"))
    assert files == [
        "config.json",
        "examples.json",
        "figures/classes.png",
        "figures/curves.png",
        "figures/directions.png",
        "figures/grid.png",
        "figures/losses.png",
        "history.jsonl",
        "model.safetensors",
        "report.html",
        "result.json",
        "timing.json",
    ]
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert itn.LearnRecord.from_json(content) == result.record
    assert itn.read_history(tmp_path / "run") == list(result.history)
    assert content["provenance"]["seed"] == 0
    assert content["split"]["training"] == 80
    assert content["split"]["held_out"] == 120
    k = torch.rand(7, 2)
    loaded = itn.load_net(tmp_path / "run", side)
    for part in ("color", "spatial"):
        assert torch.equal(loaded.part(part).matrix(k), result.net.part(part).matrix(k))


@pytest.mark.parametrize("objective", ["switched", "constrained"])
def test_the_seconds_of_a_run_are_those_of_its_parts(objective, blobs, side, tmp_path):
    config = LearnConfig(objective=objective, tolerance=0.1, steps=3, batch_size=32)
    clock = time.perf_counter()
    itn.learn(side, *blobs, config, tmp_path / "run")
    whole = time.perf_counter() - clock
    seconds = json.loads((tmp_path / "run" / "timing.json").read_text())["seconds"]
    parts = {"preparation", "learning", "evaluation"}
    assert set(seconds) == (parts if objective == "switched" else parts | {"calibration", "comparison"})
    assert min(seconds.values()) > 0
    assert 0.5 * whole < sum(seconds.values()) <= whole


def test_rectified_runs_never_fall_below_the_identity(blobs, side):
    """And without the option the same run does, in color and in geometry."""
    ks = torch.cartesian_prod(*[torch.linspace(0, 1, 6)] * 2)
    lowest = {}
    for nonnegative in (False, True):
        learned = itn.learn(side, *blobs, dataclasses.replace(QUICK, nonnegative=nonnegative)).net
        lowest[nonnegative] = [
            (part.matrix(ks) - torch.eye(*part.matrix(ks).shape[1:])).min() for part in learned.members
        ]
    assert max(lowest[False]) < -1e-2
    assert min(lowest[True]) == 0


class BreaksLater(nn.Module):
    """Becomes non-finite once images have moved."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        rows = images.sum((1, 3))
        moved = (rows.argmax(1) - 9.5).abs() > 2
        return self.net(images).masked_fill(moved.unsqueeze(1), torch.nan)


def test_a_non_finite_loss_stops_and_names_the_last_good_state(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
    config = LearnConfig(
        objective="switched", parts=("spatial",), family="translation", steps=300, batch_size=32
    )
    with pytest.raises(
        itn.RunError, match=r"not finite at step \d+.*state after \d+ steps is kept in .*checkpoint"
    ):
        itn.learn(itn.Classifier(BreaksLater(side.net)), *blobs, config, tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["learner"]["transformers"]
    assert all(value.isfinite().all() for value in kept.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, labels: (images * 300, labels), r"must lie in \[0, 1\]"),
        (lambda images, labels: (images.squeeze(1), labels), "B x C x H x W"),
        (lambda images, labels: (images.long(), labels), "uint8 or float"),
        (lambda images, labels: (images, labels + 5), "labels run from 5 to 6"),
        (lambda images, labels: (images, 1 - labels), "another order"),
    ],
)
def test_unusable_input_writes_nothing(change, message, blobs, side, tmp_path):
    with pytest.raises(ValueError, match=message):
        itn.learn(side, *change(*blobs), QUICK, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.usefixtures("no_figures")
def test_two_runs_in_one_folder_are_refused(overwrite, blobs, side, tmp_path, monkeypatch):
    def during(*arguments):
        with pytest.raises(ValueError, match=r"another run is at work in .*: wait for its end"):
            itn.learn(side, *blobs, QUICK, tmp_path / "run", overwrite=overwrite)
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("itn.learning.family.evaluate", during)
        with pytest.raises(itn.Interrupted):
            itn.learn(side, *blobs, QUICK, tmp_path / "run")
    itn.learn(side, *blobs, QUICK, tmp_path / "run")
    assert not (tmp_path / "run" / ".itn-lock").exists()


class BlindToScale(nn.Module):
    """Reads the middle of the frame alone, which no scaling about it moves."""

    def forward(self, images):
        middle = 20 * (images[:, 0, 9:11, 9:11].mean((1, 2)) - 0.5)
        return torch.stack([-middle, middle], 1)


@pytest.mark.usefixtures("no_figures")
def test_a_family_at_its_bound_still_makes_a_record(tmp_path):
    """Constant images under a blind classifier: the scale runs to its bound, 0 or 2, where it is singular."""
    labels = torch.arange(100) % 2
    images = labels.float().view(-1, 1, 1, 1).expand(-1, 1, 20, 20).clone()
    config = LearnConfig(
        objective="switched", parts=("spatial",), family="scale", padding="border", steps=400, batch_size=32
    )
    record = itn.learn(itn.Classifier(BlindToScale()), images, labels, config, tmp_path / "run").record
    ((a, _, _), (_, d, _)) = record.parts["spatial"].matrix_full
    assert min(abs(a), abs(a - 2)) < 1e-3
    assert min(abs(d), abs(d - 2)) < 1e-3
    assert (record.parts["spatial"].decomposition_full is None) == (a * d == 0)
    assert (tmp_path / "run" / "result.json").exists()


def test_two_channels_and_too_few_class_names_make_figures(blobs, tmp_path):
    images, labels = blobs

    class FirstChannel(nn.Module):
        def forward(self, images):
            x = torch.linspace(-20, 20, images.shape[-1])
            centre = (images[:, 0] * x).sum((1, 2)) / images[:, 0].sum((1, 2)).clamp_min(1e-6)
            return torch.stack([-centre, centre], 1)

    classifier = itn.Classifier(FirstChannel(), class_names=("left",))
    itn.learn(classifier, images.repeat(1, 2, 1, 1), labels, QUICK, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "classes.png").exists()


def test_any_failure_in_a_run_names_the_last_good_state(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setattr("itn.learning.family.evaluate", lambda *args: {}["absent"])
    with pytest.raises(itn.RunError, match=r"KeyError: .*state after 40 steps is kept in"):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")


def test_learning_in_half_precision_finds_what_full_precision_does(blobs):
    """A linear network that says on which side the brightness lies: shifts along x move it, in both alike."""
    x = torch.linspace(-20, 20, 20).expand(20, 20).flatten()
    linear = nn.Linear(400, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.stack([-x, x]) / 20)
        linear.bias.zero_()
    classifier = itn.Classifier(nn.Sequential(nn.Flatten(), linear))
    config = LearnConfig(parts=("spatial",), family="translation_x", tolerance=0.1, steps=30)
    whole, half = (
        itn.learn(classifier, *blobs, dataclasses.replace(config, **other)).record
        for other in ({}, {"precision": "bfloat16", "channels_last": True})
    )
    assert half.parts["spatial"].displacement_full == pytest.approx(
        whole.parts["spatial"].displacement_full, rel=0.1
    )
    assert half.parts["spatial"].range.high == pytest.approx(whole.parts["spatial"].range.high, rel=0.05)


class Dim(itn.Transformer):
    """Brightness falls by a fraction of p[0], less so on the left by p[1]."""

    names = ("everywhere", "left")
    bound = (0.9, 0.5)

    def apply_parameters(self, images, p, frame):
        left = torch.linspace(1, 0, frame.width, device=images.device)
        dimmed = p[:, :1].abs() + p[:, 1:].abs() * left
        return images * (1 - dimmed[:, None, None]).clamp_min(0)

    def displacement(self, p, frame):
        return p.square().sum(1)


@pytest.mark.parametrize("objective", ["constrained", "switched"])
def test_transformers_of_ones_own_are_learned_beside_others(objective, blobs, side, tmp_path):
    """A brightness that falls everywhere breaks nothing, and shifts along x below 0.5 break nothing."""
    parts = {
        "dim": Dim(),
        "shift": itn.SpatialTransformer("translation_x", bound=0.8, padding="border"),
        "gain": itn.ColorTransformer(1, family="gain"),
    }
    config = LearnConfig(parts=parts, objective=objective, tolerance=0.06, steps=30, batch_size=64)
    result = itn.learn(side, *blobs, config, tmp_path / "run")
    record = result.record
    assert list(record.parts) == list(parts) == list(result.net.controls)
    assert {point.part for point in record.curves} == set(parts)
    assert result.net.part("shift").padding == "border"
    dim, shift = record.parts["dim"], record.parts["shift"]
    assert dim.bound == pytest.approx([0.9, 0.5])
    assert set(dim.parameters_full) == {"everywhere", "left"}
    assert dim.matrix_full is dim.decomposition_full is dim.rms_shift_full is dim.range is None
    assert dim.displacement_full == pytest.approx(sum(p**2 for p in dim.parameters_full.values()), rel=1e-5)
    assert dim.description.startswith("Dim has everywhere ")
    assert shift.range.transform == "translate_x"
    assert len(shift.matrix_full) == 2
    assert set(result.history[0].displacement) == set(parts)
    told = str(result)
    assert "0.9 / 0.5" in told
    assert dim.description in told
    assert (tmp_path / "run" / "figures" / "directions.png").exists()
    if objective == "constrained":
        assert record.certificate.scale > 0
        assert len(record.certificate.searched.k) == 6
        assert set(record.headline) == {"joint"}
        assert set(record.baselines) == set(parts)
        assert {b.transform for b in record.baselines["dim"]} == {"everywhere", "left"}
        assert max(abs(shift.range.low), abs(shift.range.high)) <= 0.25  # of the width


def test_two_transformers_of_one_kind_have_ends_of_their_own(blobs, side):
    """Along x a shift ends before the middle, along y it may go on while the blob is in sight."""
    parts = {name: itn.SpatialTransformer(f"translation_{name}", bound=0.8) for name in "xy"}
    config = LearnConfig(parts=parts, tolerance=0.06, steps=60, batch_size=64)
    record = itn.learn(side, *blobs, config).record
    x, y = (record.parts[name].range for name in "xy")
    assert max(abs(x.low), abs(x.high)) <= 0.25
    assert max(abs(y.low), abs(y.high)) > 0.27
    assert record.certificate.searched.accuracy_per_image > 0.9


@pytest.mark.usefixtures("no_figures")
def test_the_outcomes_of_calibration_are_kept_for_each_image(blobs, side, tmp_path):
    """They say again what the record says: at the chosen scale the drop is that of the certificate."""
    config = LearnConfig(parts=("spatial",), family="translation", tolerance=0.06, steps=20, batch_size=64)
    result = itn.learn(side, *blobs, config, tmp_path / "run")
    with np.load(tmp_path / "run" / "outcomes.npz", allow_pickle=False) as file:
        kept = dict(file)
    certificate = result.record.certificate
    place = kept["scales"].tolist().index(certificate.scale)
    drops = kept["changes"].mean(2)
    assert drops[place].tolist() == pytest.approx([certificate.full.drop, certificate.worst.drop])
    points = result.record.calibration
    assert kept["spatial.displacement"].tolist() == [point.displacement_full["spatial"] for point in points]
    index, labels = kept["index"], blobs[1]
    assert len(index) == certificate.images == kept["changes"].shape[2]
    # Images are named by their position in what was given: what broke at a large scale is of one class
    broken = labels[index[kept["changes"][-1].max(0) > 0]]
    assert len(broken)
    assert len(broken.unique()) == 1
    for curve in result.record.drop_curves:
        changes = kept[f"{curve.name}.changes"]
        assert changes.shape[2] == len(index)
        assert changes.mean(2).max(1).tolist() == pytest.approx(list(curve.drops))
        assert kept[f"{curve.name}.spatial.displacement"].tolist() == pytest.approx(list(curve.displacements))
    measured = [b for b in result.record.baselines["spatial"] if b.displacement is not None]
    assert len(measured) == len(result.record.drop_curves) - 1 > 0
    assert "outcomes.npz" not in {path.name for path in _run_of(QUICK, side, blobs, tmp_path).iterdir()}


def _run_of(config, classifier, blobs, tmp_path):
    itn.learn(classifier, *blobs, config, tmp_path / "other")
    return tmp_path / "other"
