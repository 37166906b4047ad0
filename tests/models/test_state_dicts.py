"""Names that trainers give to tensors, and the networks that they belong to."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

from itn.models.checkpoints import Checkpoint, read_checkpoint
from itn.models.state_dicts import fit, load_weights, matched


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


@pytest.fixture
def net():
    torch.manual_seed(3)
    return Net()


def fitted(net, state, tmp_path, key=None):
    """Save a state, load it into another network of the same kind; return its record."""
    torch.save(state, tmp_path / "w.pth")
    other = type(net)()
    record = load_weights(other, tmp_path / "w.pth", key, "net")
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in other.state_dict().items())
    return record


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "prefix", ["", "net.", "backbone.", "_orig_mod.module.", "model._orig_mod.model.", "student.encoder.0."]
)
def test_a_prefix_is_removed_and_named(prefix, net, tmp_path):
    record = fitted(net, under(prefix, net.state_dict()), tmp_path)
    assert record.get("prefix", "") == prefix


def test_the_counter_of_averaged_weights_is_no_weight(net, tmp_path):
    averaged = AveragedModel(nn.DataParallel(net))
    assert "n_averaged" in averaged.state_dict()
    assert fitted(net, averaged.state_dict(), tmp_path)["prefix"] == "module.module."


def test_a_wrapped_network_takes_bare_weights(net):
    """A network that is compiled or parallel itself, and weights of the one inside."""
    wrapped = nn.DataParallel(Net())
    checkpoint = matched(Checkpoint(Path("w.pth"), under("model.", net.state_dict())), wrapped.state_dict())
    fit(wrapped, checkpoint.state, "w.pth")
    assert torch.equal(wrapped.module.fc.weight, net.fc.weight)


def test_old_weights_without_counters_are_found_under_a_prefix(net, tmp_path):
    state = {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
    assert fitted(net, under("model.", state), tmp_path)["prefix"] == "model."


def test_what_a_trainer_keeps_beside_its_network_is_left_out_and_said(net, tmp_path, capsys):
    metrics = {"loss.weight": torch.ones(3), "accuracy.total": torch.zeros(1)}
    state = under("model.", net.state_dict()) | metrics
    record = fitted(net, {"state_dict": state}, tmp_path)
    said = "left out, as they are not under model.: loss.weight, accuracy.total"
    assert record["notes"] == [said]
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["backbone.", "encoder."])
def test_tensors_beside_a_part_of_a_network_are_not_left_out(prefix, net, tmp_path):
    """A network without its head would return features."""
    state = under(prefix, net.state_dict()) | {"head.weight": torch.ones(3, 3)}
    with pytest.raises(ValueError, match=r"weights do not fit .*head\.weight is unknown"):
        fitted(net, state, tmp_path)


def test_a_layer_of_another_network_is_not_taken_for_a_network():
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for number, message in ((1, r"weights under 0\., 1\.: choose with weights_key=KEY"), (2, "is unknown")):
        state = dict(list(layers.state_dict().items())[: 2 + 2 * (2 - number)]) | {"2.scale": torch.ones(2)}
        with pytest.raises(ValueError, match=message):
            fit(nn.Linear(2, 2), matched(Checkpoint(Path("w"), state), {"weight", "bias"}).state, "w")


def test_one_of_two_networks_is_chosen_by_its_name(net, tmp_path):
    state = under("student.", Net().state_dict()) | under("teacher.", net.state_dict())
    with pytest.raises(ValueError, match=r"under student\., teacher\.: choose with weights_key=KEY"):
        fitted(net, state, tmp_path)
    assert fitted(net, state, tmp_path, "teacher") == {"file": "w.pth", "prefix": "teacher."}
    with pytest.raises(ValueError, match="no weights under pupil, only under student, teacher"):
        fitted(net, state, tmp_path, "pupil")


def test_versions_of_modules_follow_their_names(tmp_path):
    """MNASNet refuses tensors without them."""
    torch.manual_seed(0)
    mnasnet = models.mnasnet0_5()
    wrapped = nn.DataParallel(nn.Sequential(mnasnet))
    torch.save({"model": wrapped.state_dict()}, tmp_path / "w.pth")
    other = models.mnasnet0_5()
    load_weights(other, tmp_path / "w.pth", None, "net")
    assert torch.equal(other.classifier[1].weight, mnasnet.classifier[1].weight)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_quantized_weights_without_their_scale_are_refused(dtype, net, tmp_path):
    state = net.state_dict()
    state["fc.weight"] = state["fc.weight"].to(dtype)
    with pytest.raises(ValueError, match=f"fc.weight is {dtype}, expected torch.float32"):
        fitted(net, state, tmp_path)


def test_tensors_that_cannot_be_copied_are_refused_in_one_line(net, tmp_path):
    state = net.state_dict()
    state["fc.weight"] = state["fc.weight"].to("meta")
    with pytest.raises(ValueError, match=r"weights do not fit \(w.pth\)") as caught:
        fit(Net(), state, "w.pth")
    assert "\n" not in str(caught.value)


def test_reduced_precision_is_converted(net, tmp_path):
    torch.save(net.half().state_dict(), tmp_path / "w.pth")
    other = Net()
    fit(other, read_checkpoint(tmp_path / "w.pth").state, "w.pth")
    assert other.fc.weight.dtype == torch.float32
    assert torch.equal(other.fc.weight, net.fc.weight.float())


@pytest.mark.parametrize(
    "inner", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module._orig_mod"]
)
def test_what_torch_puts_in_front_of_a_part_of_a_network_is_removed_and_said(inner, net, tmp_path):
    state = {
        name.replace("conv.", f"conv.{inner}.").replace("fc.", f"fc.{inner}."): value
        for name, value in net.state_dict().items()
    }
    record = fitted(net, under("model.", state), tmp_path)
    assert record["prefix"] == "model."
    assert record["notes"] == [f"left out of names: {', '.join(sorted(inner.split('.'))[::-1])}"]


def test_weights_that_do_not_fit_are_refused_with_names_of_each_kind_and_what_to_write(net, tmp_path):
    state = {name.replace("conv.", "stem."): value for name, value in net.state_dict().items()}
    state |= {"fc.weight": state["fc.weight"].to("meta")}
    with pytest.raises(ValueError, match=r"conv.weight is missing.*stem.weight is unknown.*device meta.*KEY"):
        fit(net, state, "w.pth")
    torch.save({**under("classifier.", net.state_dict()), "loss.weight": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"loss.weight is unknown.*weights_key=KEY those under a prefix"):
        load_weights(net, tmp_path / "w.pth", None, "net")
    assert load_weights(net, tmp_path / "w.pth", "classifier", "net")["prefix"] == "classifier."
