"""What a preflight costs, how its checks are accepted, and what chance is."""

import json
from pathlib import Path
from typing import get_args

import pytest
import timm
import torch
from torch import nn

import itn
from itn.cli.main import main
from itn.models.checks import CheckName
from itn.models.gradient_check import check_gradient
from itn.models.preflight import balanced_accuracy
from itn.models.zoo import NETWORKS

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "checks.md"


def test_the_documents_have_a_paragraph_on_each_check():
    text = HOW_TO.read_text()
    for name in get_args(CheckName):
        assert f"\n- `{name}`: " in text


def test_an_unbalanced_detector_is_above_chance():
    labels = torch.zeros(500, dtype=torch.int64).index_fill(0, torch.arange(10), 1)
    detected = labels.index_fill(0, torch.arange(30), 1)
    accuracy, chance, deviations = balanced_accuracy(labels, detected, 2)
    assert (accuracy, chance) == pytest.approx(((1 + 470 / 490) / 2, 0.5))
    assert deviations > 10
    assert balanced_accuracy(labels, torch.zeros_like(labels), 2) == (0.5, 0.5, 0)


def test_two_of_a_thousand_classes_that_are_recognized_now_and_then_are_above_chance():
    labels = torch.arange(100) % 2 + 281
    weak = torch.where(torch.arange(100) < 30, labels, 700)
    accuracy, chance, deviations = balanced_accuracy(labels, weak, 1000)
    assert (accuracy, chance) == pytest.approx((0.3, 0.15))
    assert deviations > 3.1


def test_deviations_are_those_of_predictions_in_random_order():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    predictions = torch.tensor([0] * 20 + [1] * 20 + [2] * 10 + [3] * 10)
    accuracy, chance, deviations = balanced_accuracy(labels, predictions, 4)
    shuffled = torch.tensor(
        [
            balanced_accuracy(labels, predictions[torch.randperm(60, generator=generator)], 4)[0]
            for _ in range(4000)
        ]
    )
    assert shuffled.mean() == pytest.approx(chance, abs=0.005)
    assert shuffled.std() == pytest.approx((accuracy - chance) / deviations, rel=0.05)


class Counts(nn.Module):
    """Counts the images that another network classifies."""

    def __init__(self, net):
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, images):
        self.images += len(images)
        return self.net(images)


def test_a_preflight_costs_few_passes_beside_that_of_all_images(blobs, side):
    net = Counts(side.net)
    itn.preflight(itn.Classifier(net), *blobs)
    assert net.images - len(blobs[1]) <= 110


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "lenet5"])
def test_networks_that_are_in_order_raise_no_alarm(name):
    """Their weights are random, so that their accuracy may; benchmarks/architectures.py has more of them."""
    torch.manual_seed(0)
    net, shape = (
        (NETWORKS[name](), (1, 28, 28)) if name in NETWORKS else (timm.create_model(name), (3, 96, 96))
    )
    if name == "test_vit":
        net = timm.create_model(name, img_size=96)
    images = nn.functional.interpolate(torch.rand(12, shape[0], 6, 6), shape[1:], mode="bilinear")
    classifier = itn.Classifier(net, (0.5,) * shape[0], (0.25,) * shape[0])
    data = itn.preflight(classifier, images, torch.arange(12) % 3, accept=("chance", "range"))
    check_gradient(classifier, data)


def test_names_of_checks_are_checked(blobs, side):
    for config in (itn.ScreenConfig, itn.LearnConfig):
        assert config(accept=["chance"]).accept == ("chance",)
        with pytest.raises(ValueError, match=r"accept must be one of in-place, .*, got 'luck'"):
            config(accept=("luck",))
        with pytest.raises(ValueError, match="accept is a tuple of names, got 'chance'"):
            config(accept="chance")
    with pytest.raises(ValueError, match="accept must be one of"):
        itn.preflight(side, *blobs, accept=("luck",))


FACTORY = """
import torch

def make():
    linear = torch.nn.Linear(784, 10)
    torch.nn.init.zeros_(linear.weight)
    return torch.nn.Sequential(torch.nn.Flatten(), linear, torch.nn.Softmax(1))
"""


def test_what_is_accepted_on_the_command_line_is_in_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FACTORY)
    command = (
        "screen --model mine.py:make --limit 40 --transforms contrast --magnitudes contrast=0.5 --out run"
    )
    assert main(command.split()) == 2
    assert "returns probabilities" in capsys.readouterr().err
    assert main([*command.split(), "--accept", "logits"]) == 2
    assert "is at chance level" in capsys.readouterr().err
    assert not Path("run").exists()
    assert main([*command.split(), "--accept", "logits", "--accept", "chance"]) == 0
    shown = capsys.readouterr().out
    assert "accepted, logits: mine.py:make returns probabilities\n" in shown
    accepted = json.loads(Path("run/result.json").read_text())["provenance"]["accepted"]
    assert list(accepted) == ["logits", "chance"]
    assert "of 40 right" in accepted["chance"]
    assert str(itn.load_screen("run")) in shown


LABELS = {
    "text": (lambda y: ["left" if each == 0 else "right" for each in y.tolist()], "labels must be integers"),
    "nothing": (lambda y: [None] * len(y), "labels must be integers"),
    "one-hot": (nn.functional.one_hot, r"of shape \(\d+, 2\): take labels.argmax\(1\)"),
    "from 1": (lambda y: y + 1, "labels run from 1 to 2, .* 0 to 1: subtract 1"),
    "none": (lambda y: y - 1, "labels run from -1 to 0, .* or leave it out"),
}


@pytest.mark.parametrize("given", LABELS)
def test_labels_that_are_no_numbers_of_outputs_are_refused_with_what_to_write(given, blobs, side):
    change, message = LABELS[given]
    with pytest.raises(ValueError, match=message):
        itn.preflight(side, blobs[0], change(blobs[1]))


def test_what_no_run_can_use_is_refused_in_words(blobs, side):
    with pytest.raises(ValueError, match="3 names for 2 outputs: give one for each in class_names"):
        itn.preflight(itn.Classifier(side.net, class_names=["a", "b", "c"]), *blobs)
    with pytest.raises(ValueError, match="no weights, as its tensors are on the device meta"):
        itn.preflight(itn.Classifier(nn.Linear(2, 2, device="meta")), *blobs)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        itn.preflight(side, *blobs, batch_size=0)
    for net in (None, "resnet18", torch.relu, side.net.state_dict()):
        with pytest.raises(ValueError, match=r"net must be a torch.nn.Module, got .*itn.load_classifier"):
            itn.Classifier(net)
    with pytest.raises(ValueError, match=r"a path must be text or a pathlib.Path, got 3"):
        itn.screen(side, *blobs, {"transforms": ("contrast",)}, out=3)
