import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import itn
from itn.models.zoo import NETWORKS, jennings_cnn, lenet5


class Tokens(nn.Module):
    """A parameter without a layer, one layer in two places and called three times, one never called."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(7))
        self.mix = nn.Linear(5, 5)
        self.again = self.mix
        self.tied = nn.Linear(5, 5)
        self.tied.weight = self.mix.weight
        self.idle = nn.Linear(2, 3)

    def forward(self, images):
        return self.tied(self.again(self.mix(self.mix(images.flatten(1))))) + self.token.sum()


def hooks(net):
    return sum(len(module._forward_hooks) for module in net.modules())


@pytest.fixture
def images():
    return torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(2))


def test_outputs_are_those_of_the_layers_run_by_hand(images):
    net = lenet5().eval()
    outputs = itn.plotting.layer_outputs(net, images)
    conv1 = F.conv2d(images, net.conv1.weight, net.conv1.bias, padding=2)
    pool1 = F.max_pool2d(conv1.relu(), 2)
    pool2 = F.max_pool2d(F.conv2d(pool1, net.conv2.weight, net.conv2.bias, padding=2).relu(), 2)
    relu3 = F.conv2d(pool2, net.conv3.weight, net.conv3.bias, padding=2).relu()
    fc1 = relu3.flatten(1) @ net.fc1.weight.T + net.fc1.bias
    by_hand = {"conv1": conv1, "relu1": conv1.relu(), "pool1": pool1, "pool2": pool2, "relu3": relu3}
    for name, expected in (by_hand | {"fc1": fc1, "fc3": net(images)}).items():
        torch.testing.assert_close(outputs[name], expected)
    assert list(outputs) == [name for name, _ in net.named_children()]
    assert not any(output.requires_grad for output in outputs.values())


def test_a_layer_in_place_does_not_overwrite_the_one_before():
    clip = nn.Hardtanh(0, 0.1, inplace=True)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Flatten(), clip)
    images = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    outputs = itn.plotting.layer_outputs(net, images)
    linear = images @ net[0].weight.T + net[0].bias
    assert (linear < 0).any()
    assert (linear > 0.1).any()
    expected = (linear, linear.relu(), linear.relu(), linear.clamp(0, 0.1))
    for output, of_layer in zip(outputs.values(), expected, strict=True):
        torch.testing.assert_close(output, of_layer)


def test_a_layer_called_again_appears_again_under_its_first_name():
    net = Tokens()
    images = torch.randn(2, 1, 1, 5, generator=torch.Generator().manual_seed(0))
    outputs = itn.plotting.layer_outputs(net, images)
    assert list(outputs) == ["mix", "mix:2", "mix:3", "tied"]
    x = images.flatten(1)
    for name in ("mix", "mix:2", "mix:3"):
        x = net.mix(x)
        torch.testing.assert_close(outputs[name], x)


def test_names_are_dotted_and_only_tensors_are_kept():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(2), nn.Sequential(nn.LSTM(6, 4, batch_first=True)))

        def forward(self, images):
            return self.body(images)[0]

    outputs = itn.plotting.layer_outputs(Recurrent(), torch.rand(2, 3, 2, 3))
    assert list(outputs) == ["body.0"]
    summary = itn.plotting.model_summary(Recurrent(), (3, 2, 3))
    assert [(row.name, row.kind, row.output_shape) for row in summary.rows] == [
        ("body.0", "Flatten", (3, 6)),
        ("body.1.0", "LSTM", None),
    ]
    assert summary.parameters == 4 * (6 * 4 + 4 * 4 + 2 * 4)


def test_a_container_without_children_is_a_layer():
    net = nn.Sequential(nn.Sequential(nn.Sequential()), nn.Linear(3, 2))
    images = torch.rand(2, 3)
    outputs = itn.plotting.layer_outputs(net, images)
    torch.testing.assert_close(outputs["0.0"], images)
    assert list(outputs) == ["0.0", "1"]


def test_computes_in_eval_mode_and_restores_the_mode_of_every_module(images):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.9)).train()
    net[1].eval()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    outputs = itn.plotting.layer_outputs(net, images)
    assert outputs["2"].equal(outputs["1"])
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert all(buffer.equal(before[name]) for name, buffer in net.named_buffers())
    net[1].train()
    itn.plotting.layer_outputs(net, images)
    itn.plotting.model_summary(net, (1, 28, 28))
    assert all(buffer.equal(before[name]) for name, buffer in net.named_buffers())
    assert all(module.training for module in net.modules())


def test_hooks_and_modes_are_as_before_even_after_an_error(images):
    net = lenet5()
    kept = []
    handle = net.conv1.register_forward_hook(lambda *_: kept.append(1))
    itn.plotting.layer_outputs(net, images)
    assert hooks(net) == 1
    with pytest.raises(RuntimeError):
        itn.plotting.layer_outputs(net, images[..., :20])  # fails at fc1, after hooks have been called
    with pytest.raises(ValueError, match=r"Sequential cannot take images of 1x28x20: .*mat1"):
        itn.plotting.model_summary(net, (1, 28, 20))
    assert kept == [1, 1, 1]
    assert hooks(net) == 1
    assert all(module.training for module in net.modules())
    handle.remove()


def test_a_classifier_takes_pixels_and_has_the_names_of_its_network():
    classifier = itn.load_classifier("lenet5")
    images, _ = itn.load_images("mnist", limit=20)
    assert images.dtype == torch.uint8
    outputs = itn.plotting.layer_outputs(classifier, images)
    normalized = (images.float() / 255 - classifier.mean) / classifier.std
    inside = itn.plotting.layer_outputs(classifier.net, normalized)
    assert list(outputs) == list(inside) == [name for name, _ in lenet5().named_children()]
    for name, output in outputs.items():
        torch.testing.assert_close(output, inside[name])
    torch.testing.assert_close(outputs["fc3"], classifier(images))
    assert hooks(classifier) == 0
    with pytest.raises(ValueError, match="must lie in"):
        itn.plotting.layer_outputs(classifier, normalized)
    assert hooks(classifier) == 0


def test_pixels_for_a_bare_net_are_refused():
    with pytest.raises(ValueError, match=r"Sequential takes normalized float images, got torch\.uint8"):
        itn.plotting.layer_outputs(lenet5(), torch.zeros(1, 1, 28, 28, dtype=torch.uint8))


def test_summary_of_jennings_has_the_published_counts():
    summary = itn.plotting.model_summary(jennings_cnn(), (1, 28, 28))
    counts = {row.name: row.parameters for row in summary.rows if row.parameters}
    assert counts == {"conv1": 520, "conv2": 25_050, "fc1": 400_500, "fc2": 5_010}
    assert summary.parameters == summary.trainable_parameters == 431_080
    shapes = {row.name: (row.kind, row.output_shape) for row in summary.rows}
    assert shapes["conv1"] == ("Conv2d", (20, 24, 24))
    assert shapes["pool2"] == ("MaxPool2d", (50, 4, 4))
    assert shapes["flatten"] == ("Flatten", (800,))
    assert shapes["fc2"] == ("Linear", (10,))


def test_a_frozen_classifier_has_nothing_to_train():
    summary = itn.plotting.model_summary(itn.load_classifier("lenet5"), (1, 28, 28))
    assert (summary.parameters, summary.trainable_parameters) == (767_426, 0)
    assert summary.rows[0] == itn.plotting.LayerRow("conv1", "Conv2d", (6, 28, 28), 156)
    net = lenet5()
    net.fc1.requires_grad_(False)
    assert itn.plotting.model_summary(net, (1, 28, 28)).trainable_parameters == 767_426 - (5880 + 1) * 120


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_sum_to_the_total(name):
    net = NETWORKS[name]()
    summary = itn.plotting.model_summary(net, (1, 28, 28))
    assert sum(row.parameters for row in summary.rows) == summary.parameters
    assert summary.parameters == sum(p.numel() for p in net.parameters())


def test_shared_parameters_count_once_and_those_of_no_layer_are_not_lost():
    summary = itn.plotting.model_summary(Tokens(), (1, 1, 5))
    assert [(row.name, row.output_shape, row.parameters) for row in summary.rows] == [
        ("mix", (5,), 30),
        ("mix:2", (5,), 0),
        ("mix:3", (5,), 0),
        ("tied", (5,), 5),  # its bias; the weight is that of mix
        ("token", None, 7),
        ("idle.weight", None, 6),
        ("idle.bias", None, 3),
    ]
    assert summary.rows[-1].kind == "Parameter"
    assert summary.parameters == summary.trainable_parameters == 51


def test_summary_prints_a_table_and_is_plain_data():
    summary = itn.plotting.model_summary(jennings_cnn(), (1, 28, 28))
    lines = str(summary).splitlines()
    assert lines[0].split() == ["layer", "(type)", "output", "shape", "parameters"]
    assert lines[2].split() == ["conv1", "(Conv2d)", "20", "x", "24", "x", "24", "520"]
    assert lines[-2].split() == ["total", "431,080"]
    assert lines[-1].split() == ["trainable", "431,080"]
    assert len({len(line) for line in lines}) == 1
    content = json.loads(json.dumps(summary.to_json()))
    rows = tuple(
        itn.plotting.LayerRow(**{**row, "output_shape": tuple(row["output_shape"])})
        for row in content["rows"]
    )
    assert itn.plotting.ModelSummary(**{**content, "rows": rows}) == summary
    with pytest.raises(dataclasses.FrozenInstanceError):
        summary.parameters = 0


def test_summary_in_double_precision():
    summary = itn.plotting.model_summary(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double(), (3, 2, 2))
    assert summary.parameters == 39


@pytest.mark.parametrize("shape", [(28, 28), (1, 0, 28), (2, 1, 28, 28)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"images_shape is \(channels, height, width\)"):
        itn.plotting.model_summary(lenet5(), shape)
