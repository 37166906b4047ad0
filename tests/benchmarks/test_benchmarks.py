"""The benchmarks run, and the README says what they have found."""

import importlib
import json
import math
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

import itn

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
LONG = ("growth", "rivals", "threads")


@pytest.fixture
def beside(monkeypatch):
    """Import a script as its neighbours do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def leaves(content):
    """The values in nested JSON, by path."""
    if not isinstance(content, dict | list):
        return {"": content}
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return {f"{key}/{path}": leaf for key, each in items for path, leaf in leaves(each).items()}


@pytest.mark.parametrize(
    "name",
    ["floors", *(pytest.param(name, marks=pytest.mark.long) for name in LONG)],
)
def test_a_benchmark_measures_what_is_finite_and_says_by_what(name, tmp_path):
    if name == "rivals":
        for package in ("captum", "foolbox", "imagecorruptions"):
            pytest.importorskip(package)
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--smoke", "--threads", "1", "--out"]
    done = subprocess.run(
        [*command, tmp_path / "found.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
    found = leaves(json.loads((tmp_path / "found.json").read_text()))
    measured = [
        leaf
        for path, leaf in found.items()
        if any(word in path for word in ("ratio", "_over_", "seconds", "ms"))
    ]
    assert measured
    assert all(math.isfinite(each) and each > 0 for each in measured if isinstance(each, float))
    assert any(path.endswith("provenance/itn/") for path in found)


def test_calls_take_turns(beside):
    calls = []
    work = {name: lambda name=name: (calls.append(name), time.sleep(0.001)) for name in "ab"}
    times = beside("clock").alternate(work, repeats=3, warmup=1)
    assert calls == list("abababab")
    assert [len(each) for each in times.values()] == [3, 3]
    assert min(times["a"] + times["b"]) > 0.001


def test_the_preflight_raised_no_false_alarm_and_was_cheap():
    record = json.loads((BENCHMARKS / "results" / "architectures.json").read_text())
    assert len(record["untrained"]) >= 20
    assert {each["pixels"] for each in record["untrained"].values()} >= {28, 384}
    assert all(set(each["found"]) <= {"chance", "labels", "range"} for each in record["untrained"].values())
    names = {name.partition(",")[0] for name in record["trained"]}
    assert names >= {*itn.model_cards(), "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"}
    assert any("resnet20" in name for name in names)
    assert all(not each["found"] for each in record["trained"].values())
    assert max(each["share"] for each in record["trained"].values()) < 0.02


def test_the_documents_hold_the_table_of_the_committed_results():
    names = runpy.run_path(str(BENCHMARKS / "__main__.py"), run_name="benchmarks")
    lines = names["table"](BENCHMARKS / "results").splitlines()
    page = (ROOT / "docs" / "results.md").read_text().splitlines()
    missing = [line for line in lines if line not in page]
    assert len(lines) > 20
    assert not missing
    assert (BENCHMARKS / "README.md").read_text() == names["readme"](BENCHMARKS / "results")
