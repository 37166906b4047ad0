import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import itn
from itn.models.checkpoints import hub_file, read_state_dict
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
        read_state_dict(path)
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
