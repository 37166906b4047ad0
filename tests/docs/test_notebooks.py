"""The notebooks run from the first cell to the last, on what the package ships, and hold no outputs."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def cells(path):
    """Return the cells of code."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path)):
        code = "".join(line for line in cell["source"] if not line.startswith("%"))  # of Jupyter
        exec(compile(code, f"{path.name}, cell {number}", "exec"), names)
    from matplotlib import pyplot  # noqa: PLC0415  # after the choice of where to draw

    pyplot.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    content = json.loads(path.read_text())
    assert content["nbformat"] == 4
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_there_are_three_notebooks():
    assert len(NOTEBOOKS) == 3
