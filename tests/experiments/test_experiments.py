"""Every study through its command line, in seconds; committed figures and READMEs made again from JSON."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from itn import plotting

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = {path.parent.name: path.read_text() for path in sorted(EXPERIMENTS.glob("*/run.py"))}
STUDIES = [name for name, text in SCRIPTS.items() if "def measure(" in text]
DOCUMENTED = [name for name, text in SCRIPTS.items() if "def readme(" in text]
OWN = {  # in no document
    *("fine_tune", "planted", "learned_invariances"),
    "exact_tests",
    "photographs",
    "threshold_coverage",
    "headline_coverage",
    "compare_networks",
    "three_criteria",
    "family_sizes",
    "small_networks",
    "resampling",
    "worst_case",
}
COMMITTED = sorted(path for name in STUDIES for path in (EXPERIMENTS / name).rglob("result.json"))
FIGURES = {path: {figure.name for figure in path.parent.glob("*.png")} for path in COMMITTED}
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.fixture
def script(monkeypatch):
    """Return a function that runs a command from a folder, in this process: it has imported torch already."""

    def run(folder, *arguments):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", [str(EXPERIMENTS), *map(str, arguments)])
            runpy.run_path(str(EXPERIMENTS), run_name="__main__")

    return run


def drawn(folder):
    """Return the names of the figures in a folder; each must show something, at print resolution."""
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.width >= 680, path  # a column, at 200 dots per inch
            assert np.array(image.convert("L")).std() > 5, path
    return {path.name for path in folder.glob("*.png")}


def redraw(record, folder, experiment):
    """Draw the figures of a record again, and return their names."""
    folder.mkdir(exist_ok=True)
    for name, figure in experiment(f"{record['study']}.run").figures(record).items():
        plotting.save(figure, folder / f"{name}.png")
    return drawn(folder)


def test_there_is_a_script_for_each_document():
    assert {"jennings_rotation", "jaloli_lenet", "soni_translation", "poddar_cnn"} <= set(STUDIES)
    assert {"bunne_screening", "bunne_itn"} <= set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_runs_from_an_empty_folder(name, tmp_path, script, capsys):
    script(tmp_path, name, "--smoke")
    out = tmp_path / "runs" / name
    record = json.loads((out / "result.json").read_text())
    assert (record["study"], record["protocol"]) == (name, "smoke")
    assert name in OWN or "published" in capsys.readouterr().out
    figures = drawn(out)
    assert figures
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_command_that_draws_again_trains_nothing(tmp_path):
    path = next(path for path in COMMITTED if path.parent.name == "jennings_rotation")
    command = [sys.executable, EXPERIMENTS, "jennings_rotation", "--draw", path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "runs" / "jennings_rotation").iterdir()} == FIGURES[path]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_results_make_their_figures(path, tmp_path, experiment):
    record = json.loads(path.read_text())
    assert record["protocol"] in ("short", "full")
    assert redraw(record, tmp_path, experiment) == FIGURES[path]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_readme_is_what_the_command_makes_of_the_results(name, experiment):
    texts = experiment("readme").texts(name)
    assert EXPERIMENTS / name / "README.md" in texts
    for path, text in texts.items():
        assert path.read_text() == text, f"python experiments readme {name}"
        assert "| --- |" in text
        assert all((path.parent / link).exists() for link in LINK.findall(text)), path


def test_the_index_names_every_study_and_every_figure_of_bunne():
    index = (EXPERIMENTS / "README.md").read_text()
    assert len(index.splitlines()) <= 120
    assert all((EXPERIMENTS / link).exists() for link in LINK.findall(index))
    for name in SCRIPTS:
        assert f"({name}/" in index, name
        assert f"python experiments {name}" in index, name
    for figure in ("2", "3", "4a", "4b", "5", "6", "7"):
        assert f"figure {figure}" in index, figure


def test_no_figure_is_large():
    for path in EXPERIMENTS.rglob("*.png"):
        assert path.stat().st_size <= 500_000, path
