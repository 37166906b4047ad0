"""Every study through its real command line, in seconds; every committed figure drawn again from its JSON."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from itn import plotting

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUDIES = sorted(
    path.parent.name for path in EXPERIMENTS.glob("*/run.py") if "def measure(" in path.read_text()
)
OWN = {"largest_family", "furthest_map", "fine_tune", "planted"}  # questions that no document has asked
COMMITTED = sorted(EXPERIMENTS.rglob("result.json"))
FIGURES = {path: {figure.name for figure in path.parent.glob("*.png")} for path in COMMITTED}


def script(folder, name, *arguments):
    """Run a script as a user does, from an empty folder."""
    return subprocess.run(
        [sys.executable, str(EXPERIMENTS), name, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def drawn(folder):
    """Return the names of the figures in a folder; each must show something, at print resolution."""
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.width >= 850, path  # the narrowest, at 200 dots per inch
            assert np.array(image.convert("L")).std() > 5, path
    return {path.name for path in folder.glob("*.png")}


def redraw(record, folder, experiment):
    """Draw the figures of a record again, and return their names."""
    folder.mkdir(exist_ok=True)
    for name, figure in experiment(record["study"]).figures(record).items():
        plotting.save(figure, folder / f"{name}.png")
    return drawn(folder)


def test_there_is_a_script_for_each_study():
    assert {"jennings_rotation", "jaloli_lenet", "soni_translation", "poddar_cnn"} <= set(STUDIES)
    assert {"bunne_screening", "bunne_itn"} <= set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_runs_from_an_empty_folder(name, tmp_path):
    done = script(tmp_path, name, "--smoke")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / name
    record = json.loads((out / "result.json").read_text())
    assert (record["study"], record["protocol"]) == (name, "smoke")
    assert name in OWN or "published" in done.stdout
    figures = drawn(out)
    assert figures
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_command_that_draws_again_trains_nothing(tmp_path):
    path = next(path for path in COMMITTED if path.parent.name == "jennings_rotation")
    done = script(tmp_path, "jennings_rotation", "--draw", path)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "runs" / "jennings_rotation").iterdir()} == FIGURES[path]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_results_make_their_figures_and_the_lines_of_the_readme(path, tmp_path, experiment):
    record = json.loads(path.read_text())
    assert record["protocol"] in ("short", "full")
    assert redraw(record, tmp_path, experiment) == FIGURES[path]
    readme = (EXPERIMENTS / "README.md").read_text().splitlines()
    lines = [line for line in experiment(record["study"]).table(record).splitlines() if line[:1] == "|"]
    assert len(lines) > 2
    missing = [line for line in lines if line not in readme]
    assert not missing
