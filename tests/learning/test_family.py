import copy
import dataclasses
import json
import time

import pytest
import torch
from torch import nn

import itn
from itn import LearnConfig
from itn.learning.load import make_net
from itn.learning.switched import SwitchedLearner

QUICK = LearnConfig(objective="switched", steps=40, batch_size=32)


def learner(classifier, data, **settings):
    config = dataclasses.replace(QUICK, **settings)
    return SwitchedLearner(make_net(classifier, config, data.images.shape), data, config)


def test_finds_how_far_a_blob_may_move(blobs, side):
    """The classifier reads the horizontal centre alone. Blobs sit at x = -0.5 and 0.5, so horizontal
    shifts below 0.5 change nothing and larger ones break one class; vertical shifts never do while the
    blob is in sight. The family must reach both limits (and the switch, which asks for accuracy on
    average over k only, may overstep the first by a little at full strength)."""
    config = LearnConfig(
        objective="switched",
        parts=("spatial",),
        family="translation",
        steps=300,
        batch_size=64,
        spatial_bound=0.8,
    )
    record = itn.learn(side, *blobs, config).record
    assert record.accuracy_uniform >= 0.98
    ((_, _, x), (_, _, y)) = record.parts["spatial"].matrix_full
    assert 0.45 < abs(x) < 0.55
    assert 0.75 < abs(y) <= 0.8
    assert record.parts["spatial"].displacement_full == pytest.approx((x**2 + y**2) / 3, rel=1e-5)
    # every pixel moves by the same vector, half of it in units of the width
    assert record.parts["spatial"].rms_shift_full == pytest.approx(0.5 * (x**2 + y**2) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_gain_and_bias_that_a_threshold_allows(seed, flats, brightness):
    """Images are 0.25 or 0.75 and the threshold is one half, so gain g and bias b hold if and only if
    0.25 g + b <= 0.5 <= 0.75 g + b. The farthest points inside the bounds are (2, -1) and (0, 0.5)."""
    config = LearnConfig(objective="switched", parts=("color",), steps=400, batch_size=64, seed=seed)
    record = itn.learn(brightness, *flats, config).record
    ((gain, bias),) = record.parts["color"].matrix_full
    assert record.accuracy_uniform >= 0.98
    assert min(abs(gain - 2) + abs(bias + 1), abs(gain) + abs(bias - 0.5)) < 0.15


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
    result = itn.learn(classifier, *blobs, dataclasses.replace(QUICK, acc_orig=1.0))
    assert result.record.cross_entropy_share > 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise AssertionError("backward pass through the classifier")


def test_displacement_costs_no_backward_pass_through_the_classifier(blobs, side):
    data = itn.preflight(side, *blobs)
    side.net.register_forward_hook(lambda module, args, output: NoWayBack.apply(output))
    assert not learner(side, data, acc_orig=0.0).step(0).asked_cross_entropy
    all_wrong = dataclasses.replace(data, labels=1 - data.labels)
    with pytest.raises(AssertionError, match="through the classifier"):
        learner(side, all_wrong, acc_orig=1.0).step(0)


@pytest.fixture
def half_right(blobs, side):
    """Images of which the classifier gets every second of each class right."""
    data = itn.preflight(side, *blobs)
    return dataclasses.replace(
        data, labels=torch.where(torch.arange(200) % 4 < 2, data.labels, 1 - data.labels)
    )


def test_the_switch_at_its_boundary(half_right, side):
    """One image more or less in the first batch decides; equality asks for displacement."""

    def first(**settings):
        return learner(side, half_right, batch_size=100, **settings).step(0)

    accuracy = first(acc_orig=0.0).accuracy
    assert 0.3 < accuracy < 0.7
    assert not first(acc_orig=accuracy).asked_cross_entropy
    assert first(acc_orig=accuracy + 0.01).asked_cross_entropy
    assert not first(acc_orig=accuracy + 0.01, tolerance=0.01).asked_cross_entropy
    assert first(acc_orig=accuracy + 0.02, tolerance=0.01).asked_cross_entropy


def test_the_three_references(half_right, side):
    """Paired compares with the same batch's clean accuracy, measured with that of all images."""

    def first(**settings):
        return learner(side, half_right, batch_size=99, **settings).step(0)

    paired = first(acc_orig="paired")
    assert paired.clean_accuracy == paired.accuracy
    assert not paired.asked_cross_entropy
    # an odd batch is never right exactly half of the time, as all images are
    assert first(acc_orig="measured").asked_cross_entropy == (paired.accuracy < 0.5)
    claimed = dataclasses.replace(half_right, predictions=half_right.labels)
    assert learner(side, claimed, acc_orig="paired").step(0).asked_cross_entropy


def test_the_branch_taken_is_the_loss_that_falls(half_right, side):
    """One step down the branch lowers that branch's loss on the same batch."""
    for acc_orig, name in ((0.0, "transformer_loss"), (1.0, "cross_entropy")):
        made = learner(side, half_right, acc_orig=acc_orig, learning_rate=1e-3)
        for part in (made.net.color, made.net.spatial):
            nn.init.normal_(part.head.output.weight, std=0.1, generator=torch.Generator().manual_seed(0))
        before_step = made.generator.get_state()
        first = made.step(0)
        made.generator.set_state(before_step)
        assert getattr(made.step(0), name) < getattr(first, name)


def test_sampled_displacement_is_learned_too(blobs, side):
    config = dataclasses.replace(QUICK, parts=("spatial",), displacement_samples=16, steps=100)
    exact_config = dataclasses.replace(config, displacement_samples=0)
    sampled, exact = (
        itn.learn(side, *blobs, settings).record.parts["spatial"].displacement_uniform
        for settings in (config, exact_config)
    )
    assert sampled == pytest.approx(exact, rel=0.5)
    assert sampled != exact


def test_learner_state_round_trip(blobs, side):
    data = itn.preflight(side, *blobs)
    made = learner(side, data)
    for number in range(5):
        made.step(number)
    state = copy.deepcopy(made.state())
    expected = [made.step(number) for number in range(5, 10)]
    fresh = learner(side, data)
    fresh.load_state(state)
    assert [fresh.step(number) for number in range(5, 10)] == expected


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
        "figures/classes.png",
        "figures/curves.png",
        "figures/directions.png",
        "figures/grid.png",
        "figures/losses.png",
        "history.jsonl",
        "model.safetensors",
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
    assert torch.equal(loaded.spatial.matrix(k), result.net.spatial.matrix(k))
    assert torch.equal(loaded.color.matrix(k), result.net.color.matrix(k))


@pytest.mark.parametrize("objective", ["switched", "constrained"])
def test_the_seconds_of_a_run_are_those_of_its_parts(objective, blobs, side, tmp_path):
    config = LearnConfig(objective=objective, tolerance=0.1, steps=3, batch_size=32)
    clock = time.perf_counter()
    itn.learn(side, *blobs, config, tmp_path / "run")
    whole = time.perf_counter() - clock
    seconds = json.loads((tmp_path / "run" / "timing.json").read_text())["seconds"]
    parts = {"preparation", "learning", "evaluation"}
    assert set(seconds) == (parts if objective == "switched" else parts | {"calibration"})
    assert min(seconds.values()) > 0
    assert 0.5 * whole < sum(seconds.values()) <= whole


def test_rectified_runs_never_fall_below_the_identity(blobs, side):
    """And without the option the same run does, in color and in geometry."""
    ks = torch.cartesian_prod(*[torch.linspace(0, 1, 6)] * 2)
    lowest = {}
    for nonnegative in (False, True):
        learned = itn.learn(side, *blobs, dataclasses.replace(QUICK, nonnegative=nonnegative)).net
        lowest[nonnegative] = [
            (part.matrix(ks) - torch.eye(*part.matrix(ks).shape[1:])).min()
            for part in (learned.color, learned.spatial)
        ]
    assert max(lowest[False]) < -1e-2
    assert min(lowest[True]) == 0


def test_an_option_is_read_from_the_folder_and_a_run_from_before_it_has_its_default(blobs, side, tmp_path):
    config = dataclasses.replace(QUICK, nonnegative=True)
    result = itn.learn(side, *blobs, config, tmp_path / "run")
    k = torch.rand(7, 2)
    assert torch.equal(itn.load_net(tmp_path / "run", side).spatial.matrix(k), result.net.spatial.matrix(k))
    path = tmp_path / "run" / "config.json"
    settings = json.loads(path.read_text())
    assert settings["config"].pop("nonnegative")
    path.write_text(json.dumps(settings))
    assert not itn.load_net(tmp_path / "run", side).spatial.head.nonnegative


def test_loading_from_no_run_is_refused(tmp_path, side):
    with pytest.raises(ValueError, match="holds no finished run of itn learn"):
        itn.load_net(tmp_path, side)


def test_loading_a_run_of_an_older_schema_says_so(blobs, side, tmp_path):
    itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=1), tmp_path)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 1}))
    message = (
        "^the record of itn learn has schema version 1, this itn reads 2: run it again into a new folder"
    )
    with pytest.raises(ValueError, match=message):
        itn.load_net(tmp_path, side)
    with pytest.raises(ValueError, match=message):
        itn.load_augmentation(tmp_path)


def test_a_run_is_read_from_the_home_folder(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=1), tmp_path / "run")
    expected = result.net.transformer_state()
    for loaded in (
        itn.load_net("~/run", side).transformer_state(),
        itn.load_augmentation("~/run").state_dict(),
    ):
        assert expected.keys() == loaded.keys()
        assert all(torch.equal(value, loaded[name]) for name, value in expected.items())
    assert itn.read_history("~/run") == list(result.history)


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
        (lambda images, labels: (images, 1 - labels), "at chance level"),
    ],
)
def test_unusable_input_writes_nothing(change, message, blobs, side, tmp_path):
    with pytest.raises(ValueError, match=message):
        itn.learn(side, *change(*blobs), QUICK, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


@pytest.mark.parametrize("damaged", [truncated, flipped])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damaged, blobs, side, tmp_path, monkeypatch):
    whole = itn.learn(side, *blobs, QUICK)
    with monkeypatch.context() as stopped:
        stopped.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
        stopped.setattr(
            "itn.learning.family.evaluate", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(itn.Interrupted, match="state after 40 steps is"):
            itn.learn(side, *blobs, QUICK, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(damaged(checkpoint.read_bytes()))
    again = itn.learn(side, *blobs, QUICK, tmp_path / "run")
    assert again.history == whole.history
    assert all(map(torch.equal, again.net.parameters(), whole.net.parameters()))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("config.json", "result.json", "timing.json", "history.jsonl", "model.safetensors", "figures")
    }


def test_where_all_checkpoints_are_damaged_the_run_is_refused(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "itn.learning.family.evaluate", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(itn.Interrupted):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")
    for checkpoint in (tmp_path / "run").glob("*.pt"):
        checkpoint.write_bytes(truncated(checkpoint.read_bytes()))
    with pytest.raises(ValueError, match=r"checkpoint.pt is damaged .*--overwrite"):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")


@pytest.mark.parametrize("overwrite", [False, True])
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
