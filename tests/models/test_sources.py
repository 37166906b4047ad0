import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import itn


@pytest.mark.parametrize("name", ["jenings-cnn", "LeNet5"])
def test_unknown_models_get_the_nearest_names(name):
    nearest = {"jenings-cnn": "jennings-cnn", "LeNet5": "lenet5"}[name]
    with pytest.raises(ValueError, match=f"unknown model '{name}': nearest are .*{nearest}"):
        itn.load_classifier(name)


def test_factories(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import itn, torch\n"
        "def module(): return torch.nn.Flatten()\n"
        "def classifier(): return itn.Classifier(torch.nn.Flatten(), (0.1,), (0.2,), name='own')\n"
        "def unnamed(): return itn.Classifier(torch.nn.Flatten())\n"
        "def number(): return 3\n"
        "def broken(): raise KeyError('weights')\n"
    )
    assert itn.load_classifier(f"{file}:module").name == f"{file}:module"
    assert itn.load_classifier(f"{file}:classifier").name == "own"
    assert itn.load_classifier(f"{file}:unnamed").name == f"{file}:unnamed"
    for factory, message in {
        "number": "returned int, expected a torch.nn.Module",
        "broken": "failed: KeyError: 'weights'",
        "absent": "has no function absent, only",
    }.items():
        with pytest.raises(ValueError, match=message):
            itn.load_classifier(f"{file}:{factory}")
    with pytest.raises(ValueError, match=r"expected FILE\.py:factory"):
        itn.load_classifier(f"{tmp_path}/none.py:module")


def test_a_factory_may_import_modules_beside_it_and_leaves_the_path_unchanged(tmp_path, monkeypatch):
    (tmp_path / "layers_beside_it.py").write_text("import torch\nlayer = torch.nn.Flatten()\n")
    (tmp_path / "mine.py").write_text("from layers_beside_it import layer\ndef make(): return layer\n")
    monkeypatch.delitem(sys.modules, "layers_beside_it", raising=False)
    before = list(sys.path)
    assert isinstance(itn.load_classifier(f"{tmp_path}/mine.py:make").net, torch.nn.Flatten)
    assert sys.path == before
    (tmp_path / "mine.py").write_text("import no_such_module\n")
    with pytest.raises(ValueError, match="No module named 'no_such_module'"):
        itn.load_classifier(f"{tmp_path}/mine.py:make")
    assert sys.path == before


def test_a_file_without_a_function_is_refused():
    with pytest.raises(ValueError, match=r"name the function that makes one, nets/mine\.py:NAME"):
        itn.load_classifier("nets/mine.py")


def test_a_bare_name_of_torchvision_is_offered_in_full():
    with pytest.raises(ValueError, match="unknown model 'resnet18': nearest are torchvision:resnet18"):
        itn.load_classifier("resnet18")


def test_a_module_is_not_a_name():
    with pytest.raises(ValueError, match=r"takes a name, got Linear: of a module itn.Classifier\(net"):
        itn.load_classifier(torch.nn.Linear(2, 2))


def test_paths_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text("import torch\n\ndef make():\n    return torch.nn.Linear(2, 2)\n")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "net.pt")
    given = itn.load_classifier(Path("~/mine.py:make"), weights="~/net.pt")
    assert torch.equal(given.net.weight, torch.load(tmp_path / "net.pt")["weight"])
    (tmp_path / "photos" / "7").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "photos" / "7" / "a.png")
    (tmp_path / "map.json").write_text('{"7": 1}')
    assert itn.load_images("~/photos", class_map="~/map.json").labels.tolist() == [1]
