"""``itn compare`` and ``--require`` as real command lines."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from itn.cli.main import main
from itn.runtime.run_dir import content_of

SCREEN = [
    *("screen", "--limit", "100", "--transforms", "rotate", "--magnitudes", "rotate=-40:40:20"),
    *("--bisections", "1", "--accuracy-bisections", "0"),
]


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """The folder of two finished screens, lenet5 and jennings-cnn."""
    folder = tmp_path_factory.mktemp("gate")
    for model in ("lenet5", "jennings-cnn"):
        assert main([*SCREEN, "--model", model, "--out", str(folder / model)]) == 0
    return folder


def test_a_finished_screen_passes_a_gate_or_does_not(screens, capsys):
    folder = screens / "lenet5"
    before = content_of(folder)
    assert main([*SCREEN, "--out", str(folder), "--require", "rotate>=5,accuracy>=80%"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert re.search(r"^met +rotate>=5 +accuracy above the identity +[\d.]+ \[", said.out, re.MULTILINE)
    report = json.loads((folder / "requirements.json").read_text())
    assert report["met"] is True
    assert [verdict["met"] for verdict in report["verdicts"]] == [True] * 3
    command = [*SCREEN, "--out", str(folder), "--require", "rotate>=40,drop<=1%"]
    assert main(command) == 3
    said = capsys.readouterr()
    assert said.err == "itn: 4 of 4 verdicts are not met: rotate>=40,drop<=1%\n"
    assert "NOT MET  rotate>=40" in said.out
    suite = ET.fromstring((folder / "requirements.xml").read_text()).find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("4", "4")
    assert main([*command, "--judge-by", "estimate"]) == 3
    after = {
        name: content for name, content in content_of(folder).items() if not name.startswith("requirements")
    }
    assert after == before
    # What a run has written goes when it is replaced
    assert main([*SCREEN, "--model", "lenet5", "--out", str(folder), "--overwrite"]) == 0
    assert content_of(folder) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "rotat>=5",
            "rotat>=5: rotat cannot be required here, only rotate, accuracy, drop; nearest are rotate",
        ),
        ("rotate=5", "'rotate=5' is no requirement: expected NAME>=NUMBER"),
        ("rotate>=50", "rotate>=50: rotate is only tried up to 40 below the identity"),
    ],
)
def test_a_wrong_requirement_ends_before_the_screen(text, message, tmp_path, capsys):
    assert main([*SCREEN, "--out", str(tmp_path / "run"), "--require", text]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"itn: {message}")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_two_screens_are_compared_and_gated(screens, tmp_path, capsys):
    command = [
        "compare",
        str(screens / "lenet5"),
        str(screens / "jennings-cnn"),
        "--out",
        str(tmp_path / "both"),
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "jennings-cnn against lenet5" in said
    assert "rank correlation" in said
    files = {path.name for path in (tmp_path / "both").iterdir()}
    assert files == {"comparison.csv", "images.csv", "config.json", "result.json", "timing.json", "figures"}
    assert main([*command, "--require", "rotate>=-30,drop<=20%"]) == 0
    assert main([*command, "--require", "rotate>=30"]) == 3
    assert capsys.readouterr().err.endswith("itn: 2 of 2 verdicts are not met: rotate>=30\n")
    report = json.loads((tmp_path / "both" / "requirements.json").read_text())
    assert [verdict["requirement"] for verdict in report["verdicts"]] == ["rotate>=30"] * 2
    assert main([*command, "--require", "accuracy>=3"]) == 2
    assert "accuracy cannot be required here, only rotate, drop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "give at least two runs to compare, got 0"),
        (["lenet5"], "give at least two runs to compare, got 1"),
        (["lenet5", "nowhere"], "nowhere does not hold a finished screen"),
        (["lenet5", "old"], "old"),
    ],
)
def test_what_cannot_be_compared_is_one_line(runs, message, screens, tmp_path, capsys):
    old = screens / "old"
    if not old.exists():
        old.mkdir()
        for path in (screens / "jennings-cnn").iterdir():
            if path.is_file() and path.name != "outcomes.npz":
                (old / path.name).write_bytes(path.read_bytes())
    folders = [str(screens / name) for name in runs]
    assert main(["compare", *folders, "--out", str(tmp_path / "both")]) == 2
    said = capsys.readouterr().err
    assert message in said or "repeat its run with --overwrite" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "both").exists()


SHADES = """
import torch, itn

class Shade(torch.nn.Module):
    def forward(self, images):
        excess = 20 * (images.mean((1, 2, 3)) - {at})
        return torch.stack([-excess, excess], 1)

def make():
    return itn.Classifier(Shade(), preprocessing=itn.Preprocessing(resize=(8, 8), crop=(8, 8)))
"""


def test_photographs_without_labels_are_screened_compared_and_shown(tmp_path, capsys, monkeypatch):
    """Agreement, and the change of the softmax; then without the photographs."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(60):
        shade = np.full((12, 10, 3), 20 + 3 * number, np.uint8)
        Image.fromarray(shade).save(photos / f"{number}.png")
    for name, at in (("half", 0.5), ("darker", 0.4)):
        (tmp_path / f"{name}.py").write_text(SHADES.format(at=at))
        command = ["screen", "--model", f"{name}.py:make", "--data", "photos", "--criterion", "agreement"]
        command += ["--transforms", "brightness", "--magnitudes", "brightness=-0.2:0.2:0.1", "--out", name]
        assert main(command) == 0
    header, *lines = (tmp_path / "half" / "curves.csv").read_text().splitlines()
    assert header.endswith(",softmax_change")
    changes = [float(line.split(",")[-1]) for line in lines if ",all," in line]
    assert changes[2] == 0
    assert min(changes[0], changes[4]) > changes[1] > 0.05
    assert main(["compare", "half", "darker", "--out", "both"]) == 0
    assert "images-1-2.png" in {path.name for path in (tmp_path / "both" / "figures").iterdir()}
    photos.rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["compare", "half", "darker", "--out", "again"]) == 0
    assert "the images are no longer in photos: no figure shows those that break" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "again" / "figures").iterdir()} == {
        "thresholds-1-2.png",
        "flips-1-2.png",
    }
