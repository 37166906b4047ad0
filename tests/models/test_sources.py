import sys

import pytest
import torch

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
        "def number(): return 3\n"
        "def broken(): raise KeyError('weights')\n"
    )
    assert itn.load_classifier(f"{file}:module").name == f"{file}:module"
    assert itn.load_classifier(f"{file}:classifier").name == "own"
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
