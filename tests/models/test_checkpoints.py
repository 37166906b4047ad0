import argparse
import datetime
import hashlib
import pathlib
import pickle
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

import itn
from itn.cli.main import main
from itn.models.checkpoints import read_checkpoint
from itn.models.downloads import hub_file
from itn.models.zoo import jennings_cnn


@pytest.mark.parametrize("form", ["safetensors", "plain", "state_dict", "model-module"])
def test_local_weights_in_their_usual_wrappings(form, tmp_path):
    torch.manual_seed(1)
    state = jennings_cnn().state_dict()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(state, path)
    elif form == "plain":
        torch.save(state, path)
    elif form == "state_dict":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, path)
    loaded = itn.load_classifier("jennings-cnn", weights=path).net.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "w.pth"
    state = jennings_cnn().state_dict()
    del state["fc2.bias"]
    state["fc2.weight"] = torch.zeros(7, 500)
    torch.save(state | {"extra": torch.zeros(1)}, path)
    with pytest.raises(
        ValueError, match=r"fc2.bias is missing; extra is unknown; fc2.weight is \(7, 500\)"
    ) as caught:
        itn.load_classifier("jennings-cnn", weights=path)
    assert "\n" not in str(caught.value)


def test_old_weights_do_not_count_batches(tmp_path):
    torch.manual_seed(1)
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))\n"
    )
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net(torch.rand(2, 3, 8, 8))
    state = net.state_dict()
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pth")
    loaded = itn.load_classifier(f"{file}:net", weights=tmp_path / "w.pth").net.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_names_of_a_parallel_network_stay_where_it_is_parallel_itself(tmp_path):
    net = nn.DataParallel(nn.Linear(2, 2))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    file = tmp_path / "mine.py"
    file.write_text("import torch\ndef net(): return torch.nn.DataParallel(torch.nn.Linear(2, 2))\n")
    loaded = itn.load_classifier(f"{file}:net", weights=tmp_path / "w.pth").net
    assert torch.equal(loaded.module.weight, net.module.weight)


class Exploit:
    def __reduce__(self):
        return (open, ("exploited", "w"))


@pytest.mark.parametrize("content", ["pickle", "garbage", "list", "missing"])
def test_unusable_weights_are_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    if content == "pickle":
        path.write_bytes(pickle.dumps(Exploit()))
    elif content == "garbage":
        path.write_bytes(b"not weights at all")
    elif content == "list":
        torch.save([torch.zeros(2)], path)
    message = {
        "pickle": "refused, since loading it could run code",
        "garbage": "not a file of weights: give",
        "list": "no state dict",
        "missing": "no weights at",
    }
    with pytest.raises(ValueError, match=message[content]) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_download_is_what_its_name_promises_or_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    source = tmp_path / f"net-{digest}.pth"
    source.write_bytes(content if whole else content[:-1])
    kept = tmp_path / "torch" / "hub" / "checkpoints" / source.name
    if whole:
        assert hub_file(source.as_uri(), "net") == kept
        assert kept.read_bytes() == content
        source.unlink()
        assert hub_file(source.as_uri(), "net") == kept
    else:
        with pytest.raises(ValueError, match=r"net needs .* download failed .invalid hash"):
            hub_file(source.as_uri(), "net")
        assert not any(kept.parent.iterdir())


A, B = {"weight": torch.tensor([1.0])}, {"weight": torch.tensor([2.0])}


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"params": A, "iteration": 3}, "params"),
        ({"model": B, "model_ema": A}, "model_ema"),
        ({"state_dict": B, "state_dict_ema": A, "model_ema": B}, "state_dict_ema"),
        ({"model": A, "state_dict_ema": None, "ema": {}}, "model"),
        ({"checkpoint": {"state_dict": A, "metrics": {"accuracy": torch.ones(())}}}, "checkpoint/state_dict"),
        ({"generator": A, "step": torch.ones(())}, "generator"),
        ({"model": A, "optimizer": {"state": {0: B}, "param_groups": [{"lr": 0.1}]}}, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_state_dict_is_found_in_its_container(content, key, tmp_path):
    torch.save(content, tmp_path / "w.ckpt")
    found = read_checkpoint(tmp_path / "w.ckpt")
    assert (found.key, dict(found.state)) == (key, A)


def test_a_choice_is_announced_recorded_and_can_be_made(tmp_path, capsys, flats):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(1, 2))\n"
    )
    slow = {"2.weight": torch.tensor([[-20.0], [20.0]]), "2.bias": torch.tensor([10.0, -10.0])}
    fast = {f"module.{name}": value / 2 for name, value in slow.items()}
    torch.save({"model": fast, "model_ema": slow, "epoch": 3}, tmp_path / "w.pth")
    clf = itn.load_classifier(f"{tmp_path}/net.py:make", tmp_path / "w.pth")
    said = "the weights under model_ema are taken, of model, model_ema; weights_key=KEY takes others"
    assert capsys.readouterr().err == f"{tmp_path / 'w.pth'}: {said}\n"
    assert torch.equal(clf.net[2].weight, slow["2.weight"])
    record = itn.screen(clf, *flats, itn.ScreenConfig(transforms=("brightness",))).record
    assert record.provenance["weights"] == {"file": "w.pth", "key": "model_ema", "notes": [said]}
    chosen = itn.load_classifier(f"{tmp_path}/net.py:make", tmp_path / "w.pth", "model")
    assert torch.equal(chosen.net[2].weight, fast["module.2.weight"])
    assert chosen.weights == {"file": "w.pth", "key": "model", "prefix": "module."}
    assert capsys.readouterr().err == ""
    status = main(
        [
            *("screen", "--model", f"{tmp_path}/net.py:make", "--out", f"{tmp_path}/out"),
            *("--weights", f"{tmp_path}/w.pth", "--weights-key", "ema"),
        ]
    )
    assert status == 2
    assert capsys.readouterr().err.endswith("has no weights under ema, only under model, model_ema, 2\n")


def test_a_key_without_a_file_is_refused():
    with pytest.raises(
        ValueError, match="weights_key='ema' chooses in a file: give it too, with weights=FILE"
    ):
        itn.load_classifier("lenet5", weights_key="ema")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"student": A, "teacher": B}, "several state dicts, student, teacher: choose with weights_key=KEY"),
        ({"a": {"model": A}, "b": {"model": B}}, "several state dicts, a/model, b/model: choose"),
        ({"epoch": 3, "weights": [1.0]}, "no state dict .*: its keys are epoch, weights"),
        ({"epoch": 3, "line\nbreak": 1}, r"its keys are epoch, 'line\\nbreak'"),
    ],
)
def test_what_only_the_user_knows_is_asked(content, names, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=names):
        read_checkpoint(tmp_path / "w.pth")


def test_names_that_cannot_be_written_are_escaped(tmp_path, capsys):
    torch.save({"\ud800\n": {"model": A, "model_ema": A}}, tmp_path / "w.pth")
    record = read_checkpoint(tmp_path / "w.pth").record()
    assert record["key"] == r"'\ud800\n/model_ema'"
    assert capsys.readouterr().err.count("\n") == 1


def test_containers_that_hold_themselves_end(tmp_path):
    content = {"model": A}
    content.update(again=content, more=[content])
    torch.save(content, tmp_path / "w.pth")
    assert dict(read_checkpoint(tmp_path / "w.pth").state) == A


def test_what_trainers_keep_beside_weights_is_read_by_nobody(tmp_path):
    beside = {
        "args": argparse.Namespace(out=pathlib.Path("runs"), classes=["cat"], lr=np.float32(0.1)),
        "confusion": np.eye(3),
        "random": np.random.default_rng(0).bytes(3),
        "history": defaultdict(list, loss=[0.5]),
        "date": datetime.datetime(2026, 1, 1),
        "torch": torch.__version__,
    }
    for old in (False, True):
        torch.save({"model": A} | beside, tmp_path / "w.pth", _use_new_zipfile_serialization=not old)
        assert dict(read_checkpoint(tmp_path / "w.pth").state) == A


class Hyperparameters:
    """What only its trainer knows."""

    def __init__(self):
        self.rate = 0.1


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("bare", [True, False])
def test_a_refusal_names_the_type_in_one_line(protocol, bare, tmp_path):
    content = {"model": A, "config": Hyperparameters()}
    if bare:
        (tmp_path / "w.pth").write_bytes(pickle.dumps(content["config"], protocol=protocol))
    else:
        torch.save(content, tmp_path / "w.pth", pickle_protocol=max(protocol, 1))
    with pytest.raises(ValueError, match=r"could run code \(it holds .*Hyperparameters, more") as caught:
        read_checkpoint(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_a_whole_network_is_refused_by_its_type(tmp_path):
    torch.save({"model": nn.Sequential(nn.Linear(2, 2)), "epoch": 1}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"holds torch\.nn\.modules\.container\.Sequential, .*: save only"):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.ckpt", "w"])
def test_safetensors_are_known_by_their_content(name, tmp_path):
    (tmp_path / name).write_bytes(save(A))
    assert read_checkpoint(tmp_path / name).state == A
    (tmp_path / name).write_bytes(save(A)[:-2])
    with pytest.raises(ValueError, match=rf"{name} holds no readable weights \(.*\): give"):
        read_checkpoint(tmp_path / name)


def test_what_torch_wrote_is_known_under_the_ending_of_safetensors(tmp_path):
    torch.save({"net": A}, tmp_path / "w.safetensors")
    assert read_checkpoint(tmp_path / "w.safetensors").key == "net"


def test_attributes_of_a_state_dict_do_no_harm(tmp_path):
    """A file may give its dictionaries any attributes."""
    state = OrderedDict(A)
    state.__dict__.update(keys=3, values=None, _metadata={"": {"version": 1}, 3: "x"})
    torch.save(state, tmp_path / "w.pth")
    assert dict(read_checkpoint(tmp_path / "w.pth").state) == A


def test_the_type_that_is_named_is_the_one_that_was_met(tmp_path):
    """Pickles since protocol 4 refer to strings that they have used before."""
    content = {"date": "builtins", "eval": "posix", "builtins": Exploit(), "again": Exploit()}
    for protocol in (2, 4, 5):
        (tmp_path / "w.pth").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match=r"it holds (io|_io)\.open, more than tensors"):
            read_checkpoint(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"w.pth is empty: give a"):
        read_checkpoint(tmp_path / "w.pth")
