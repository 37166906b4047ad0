"""Runs that are killed and inputs that are damaged: a few here, with ``-m long`` as many as are recorded."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks"
NAMES = ("kills", "damage", "labels", "checkpoints")


@pytest.mark.parametrize(
    "arguments",
    [
        ("kills", "--kills", "1", "--commands", "screen"),
        ("damage", "--cases", "6"),
        ("labels", "--cases", "40"),
        ("checkpoints", "--cases", "60"),
        pytest.param(("kills",), marks=pytest.mark.long),
        pytest.param(("damage",), marks=pytest.mark.long),
        pytest.param(("labels",), marks=pytest.mark.long),
        pytest.param(("checkpoints",), marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_nothing_is_lost_and_nothing_escapes(arguments, tmp_path):
    name, *options = arguments
    command = [sys.executable, SCRIPTS / f"{name}.py", *options, "--out", tmp_path / "record.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    count, wrong = ("kills", "missing_or_different") if name == "kills" else ("cases", "wrong")
    assert record[count] == int(options[1]) if options else record[count] >= 200
    assert record[wrong] == []


def test_records_of_other_seeds_add_up(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(SCRIPTS)
    kills = importlib.import_module("kills")
    out = tmp_path / "record.json"
    for seed, wrong in ((0, []), (3, ["lost"])):
        monkeypatch.setattr(sys, "argv", ["kills.py", "--add", "--seed", str(seed), "--out", str(out)])
        options = kills.options_of(argparse.ArgumentParser(), kills.RESULTS)
        counted = {
            "learn": {"command": "itn learn", "seconds": 1.5 + seed, "killed": {f"at {seed}": 2, "all": 1}}
        }
        kills.report(options, {"kills": 3, "wrong": wrong, "commands": counted})
    record = json.loads(out.read_text())
    assert [chunk["seed"] for chunk in record.pop("chunks")] == [0, 3]
    killed = {"at 0": 2, "all": 2, "at 3": 2}
    assert record == {
        **{"kills": 6, "wrong": ["lost"]},
        "commands": {"learn": {"command": "itn learn", "seconds": 4.5, "killed": killed}},
    }
    with pytest.raises(SystemExit):
        kills.options_of(argparse.ArgumentParser(), kills.RESULTS)
    assert "the record has seeds 0, 3 already: give another --seed" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["docs/results.md", "benchmarks/README.md"])
def test_the_documents_say_what_is_recorded(page):
    text = (ROOT / page).read_text()
    kills, *damaged = (json.loads((SCRIPTS / f"results/{name}.json").read_text()) for name in NAMES)
    assert kills["missing_or_different"] == []
    runs = sum(command["runs"] for command in kills["commands"].values())
    assert f"{kills['kills']} kills of {runs} runs | 0 |" in text
    for record in damaged:
        assert record["wrong"] == []
        assert f"{record['cases']:,} files | 0 |" in text
