"""Every study through its real command line, in seconds; every committed figure drawn again from its JSON."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
STUDIES = sorted(
    path.stem
    for path in EXPERIMENTS.glob("*.py")
    if "study.run(" in path.read_text() and path.stem != "study"
)
COMMITTED = sorted((EXPERIMENTS / "results").glob("*/result*.json"))


def script(folder, name, *arguments):
    """Run a script as a user does, from an empty folder."""
    return subprocess.run(
        [sys.executable, str(EXPERIMENTS / f"{name}.py"), *map(str, arguments)],
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
            assert image.width >= 1000, path
            assert np.array(image.convert("L")).std() > 5, path
    return {path.name for path in folder.glob("*.png")}


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
    assert "published" in done.stdout
    figures = drawn(out)
    assert figures
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    again = script(tmp_path, name, "--draw", out / "result.json", "--out", "again")
    assert again.returncode == 0, again.stderr
    assert {name: (out / name).read_bytes() for name in figures} == {
        name: (tmp_path / "again" / name).read_bytes() for name in drawn(tmp_path / "again")
    }


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_figures_are_drawn_again_from_their_json(path, tmp_path):
    record = json.loads(path.read_text())
    assert record["protocol"] in ("short", "full")
    done = script(tmp_path, record["study"], "--draw", path, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert drawn(tmp_path) == {figure.name for figure in path.parent.glob("*.png")}
