"""Each user's file gets the modules of its own folder, whenever it imports them."""

import pickle
import sys

import pytest
import torch

import itn

FILES = {  # by how and when the file imports its neighbor
    "statement": "from {parts} import Scale\ndef make(): return Scale()\n",
    "in the factory": "def make():\n    from {parts} import Scale\n    return Scale()\n",
    "by importlib": ("import importlib\ndef make(): return importlib.import_module('{parts}').Scale()\n"),
    "in forward": (
        "import torch\n"
        "class Late(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        from {parts} import Scale\n"
        "        return Scale()(x)\n"
        "def make(): return Late()\n"
    ),
}
SCALE = """
import torch
class Scale(torch.nn.Module):
    def forward(self, x):
        from {factor} import FACTOR
        return FACTOR * x.flatten(1)
"""


def user_file(folder, text, factor, layout="module"):
    """A file whose neighbor has a neighbor of its own, which it imports late."""
    names = {
        "module": ("parts", "factor"),
        "package": ("parts", "parts.factor"),
        "folder": ("parts.scale", "parts.factor"),
    }
    parts, of_factor = names[layout]
    folder.mkdir(exist_ok=True)
    target = folder / "parts"
    if layout == "module":
        (folder / "parts.py").write_text(SCALE.format(factor=of_factor))
        (folder / "factor.py").write_text(f"FACTOR = {factor}\n")
    else:
        target.mkdir()
        (target / ("__init__.py" if layout == "package" else "scale.py")).write_text(
            SCALE.format(factor=of_factor)
        )
        (target / "factor.py").write_text(f"FACTOR = {factor}\n")
    (folder / "mine.py").write_text(text.format(parts=parts))
    return f"{folder / 'mine.py'}:make"


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    """Imports of the test itself are as before, in the test and after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules), list(sys.path), list(sys.meta_path)
    yield
    assert (sys.path, sys.meta_path) == before[1:]
    assert all(sys.modules[name] is module for name, module in before[0].items())
    for name in sys.modules.keys() - before[0].keys():
        if name.partition(".")[0] in ("parts", "factor", "utils", "mine"):
            del sys.modules[name]


@pytest.mark.parametrize("layout", ["module", "package", "folder"])
@pytest.mark.parametrize("when", FILES)
def test_two_files_with_neighbors_of_the_same_names(when, layout, tmp_path):
    images = torch.ones(1, 1, 1, 2)
    names = [user_file(tmp_path / f"of_{k}", FILES[when], k, layout) for k in (2, 3)]
    classifiers = [itn.load_classifier(name) for name in (*names, names[0])]
    for _ in range(2):
        assert [classifier(images)[0, 0].item() for classifier in classifiers] == [2, 3, 2]


def test_what_only_another_file_has_beside_it_is_missing(tmp_path):
    itn.load_classifier(user_file(tmp_path / "first", FILES["statement"], 2))
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "mine.py").write_text("import parts\n")
    with pytest.raises(ValueError, match="No module named 'parts'"):
        itn.load_classifier(f"{tmp_path}/second/mine.py:make")


def test_the_main_program_keeps_its_own_modules(tmp_path):
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "parts.py").write_text("WHOSE = 'main'\n")
    sys.path.insert(0, str(tmp_path / "main"))
    import parts  # noqa: PLC0415

    classifier = itn.load_classifier(user_file(tmp_path / "mine", FILES["in forward"], 2))
    assert classifier(torch.ones(1, 1, 1, 1)).item() == 2
    assert sys.modules["parts"] is parts
    assert parts.WHOSE == "main"
    sys.path.remove(str(tmp_path / "main"))


def test_a_module_that_the_main_program_has_imported_from_there_is_the_same(tmp_path):
    name = user_file(tmp_path / "mine", FILES["statement"], 2)
    sys.path.insert(0, str(tmp_path / "mine"))
    import parts  # noqa: PLC0415

    assert type(itn.load_classifier(name).net) is parts.Scale
    sys.path.remove(str(tmp_path / "mine"))


def test_python_and_installed_packages_are_not_replaced(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "itn.py").write_text("")
    (tmp_path / "types.py").write_text("")
    (tmp_path / "safetensors").mkdir()  # a folder of weights, say
    (tmp_path / "mine.py").write_text(
        "import itn, torch, types, safetensors.torch\n"
        "def make(): return itn.Classifier(torch.nn.Flatten(), name=types.SimpleNamespace(a='own').a)\n"
    )
    assert itn.load_classifier(f"{tmp_path}/mine.py:make").name == "own"


def test_classes_of_equal_names_in_files_of_equal_names_are_two(tmp_path):
    text = "import torch\nclass Net(torch.nn.Flatten): number = {}\ndef make(): return Net()\n"
    nets = []
    for k in (1, 2):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "mine.py").write_text(text.format(k))
        nets.append(itn.load_classifier(f"{tmp_path}/{k}/mine.py:make").net)
    assert [pickle.loads(pickle.dumps(net)).number for net in nets] == [1, 2]


def test_a_late_import_survives_compilation(tmp_path):
    net = itn.load_classifier(user_file(tmp_path / "mine", FILES["statement"], 2)).net
    assert torch.compile(net, backend="eager")(torch.ones(1, 1, 1, 1)).item() == 2
