"""The house stays easy to walk through: imports inside the package run one way only."""

import ast
from pathlib import Path

import pytest

import itn

ORDER = [
    {"color", "spatial", "statistics", "errors"},
    {"transforms", "transformers", "processes"},
    {"net"},
    {"zoo", "preprocessing"},
    {"classifiers"},
    {"layers", "weights", "augmentation"},
    {"hubs"},
    {"loading"},
    {"losses"},
    {"class_folders", "photos", "thresholds"},
    {"data"},
    {"settings", "results", "screen_results"},
    {"class_results"},
    {"folder", "plots"},
    {"building", "screener", "learn_plots", "class_plots", "loop"},
    {"certificate"},
    {"axes"},
    {"certifying"},
    {"evaluation", "sweeps", "screen_plots"},
    {"screen_figures"},
    {"switched", "constrained", "runs"},
    {"learning", "screening"},
    {"per_class"},
    {"cli"},
    {"__main__", "__init__"},
]
FLOOR = {name: number for number, names in enumerate(ORDER) for name in names}
PACKAGE = Path(itn.__file__).parent


def imported(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("itn."))
        elif isinstance(node, ast.ImportFrom) and node.module == "itn":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("itn."):
            yield node.module.split(".")[1]


def test_every_module_has_a_floor():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(FLOOR)


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_imports_point_down(module):
    for other in imported(module):
        assert FLOOR[other] < FLOOR[module], f"itn/{module}.py imports itn/{other}.py"


def test_only_plots_draw():
    users = [
        path.stem
        for path in PACKAGE.glob("*.py")
        if any(
            line.lstrip().startswith(("import matplotlib", "from matplotlib"))
            for line in path.read_text().splitlines()
        )
    ]
    # the other names the type Figure, no more
    drawing = {"plots", "learn_plots", "class_plots", "screen_plots"}
    assert set(users) <= drawing | {"screen_figures"}
