"""The layout of the package: imports between folders run one way, and files stay short."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import itn

PACKAGE = Path(itn.__file__).parent
ORDER = (  # a folder may import from itself and from the folders before it
    *("runtime", "functional", "stats", "models", "transforms"),
    *("plotting", "reports", "nn", "data", "screening", "boxes", "certification", "learning"),
    *("explorer", "cli"),
)


def test_imports_between_folders_run_one_way():
    wrong = []
    for path in sorted(PACKAGE.glob("*/**/*.py")):
        folder = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("itn"):
                names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
                wrong += [f"{path}: {name}" for name in names if name not in ORDER[: ORDER.index(folder) + 1]]
    assert not wrong


def test_files_and_folders_are_few_and_short():
    assert not [path for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 350]
    entries = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert len(entries - {"pretrained"}) <= 16  # the weights lie there only once they are installed


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in PACKAGE.rglob("__init__.py")), ids=lambda path: path.name
)
def test_no_object_hides_a_module_of_its_name(folder):
    package = importlib.import_module(".".join(("itn", *folder.relative_to(PACKAGE).parts)))
    for path in folder.iterdir():
        if (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists():
            assert isinstance(getattr(package, path.stem, package), ModuleType), path
            assert path.stem not in getattr(package, "__all__", ())
