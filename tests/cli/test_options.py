"""Options become settings."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest
import torch
from cyclopts import Token

import itn
from itn.cli.main import main
from itn.cli.options import LearnOptions, ScreenOptions, chosen_device, in_options, parse_surround


def test_no_option_gives_the_default_settings():
    assert LearnOptions().config == itn.LearnConfig()
    assert type(LearnOptions().config) is itn.LearnConfig


def test_options_of_an_objective_are_its_settings():
    config = LearnOptions(objective="switched", acc_orig=0.5, c_theta=2.0, steps=7, seed=3).config
    assert config.objective == itn.Switched(acc_orig=0.5, c_theta=2.0)
    assert config.goal == itn.Switched(acc_orig=0.5, c_theta=2.0, steps=7)
    assert config.seed == 3
    assert LearnOptions(objective="switched", displacement_samples=0).config.goal == itn.Switched()
    assert LearnOptions(objective="switched").config == itn.LearnConfig(objective="switched")


def test_help_shows_lists_as_they_are_typed_and_no_empty_ones(capsys):
    assert main(["learn", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "[default: color,spatial]" in text
    assert "[default: (" not in text


@pytest.mark.parametrize("given", [{"acc_orig": 0.0}, {"c_theta": 0.01}, {"displacement_samples": 0}])
def test_options_of_another_objective_are_refused(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} belongs to --objective switched"):
        LearnOptions(**given).config  # noqa: B018


def test_every_setting_has_an_option_and_every_setting_of_the_switch():
    options = {field.name for field in dataclasses.fields(LearnOptions)}
    assert {field.name for field in dataclasses.fields(itn.LearnConfig)} <= options
    assert {field.name for field in dataclasses.fields(itn.Switched)} <= options


@pytest.mark.parametrize("command", ["screen", "learn"])
def test_help_says_what_a_surround_is_to_users_of_the_command_line(command, capsys):
    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())  # however wide the terminal is
    said = text[text.index("--surround") :][:300]
    assert "around the crop of photographs: auto (canvases 1.5 times the crop; digits have none)" in said
    assert "or a number, canvas over crop" in said
    assert "ImageSet" not in said


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("none", "none"), ("1.25", 1.25), ("2", 2.0)])
def test_a_surround_is_a_word_or_a_number(text, value):
    assert parse_surround(object, [Token(value=text)]) == value


def test_the_criterion_of_a_screen_is_an_option():
    config = ScreenOptions(criterion="broken", topk=5).settings((), ())
    assert (config.criterion, config.topk) == ("broken", 5)
    assert ScreenOptions().settings((), ()) == itn.ScreenConfig()


@pytest.mark.parametrize(
    ("python", "options"),
    [
        ("name a new folder, or add overwrite=True", "name a new folder, or add --overwrite"),
        ('use precision="bfloat16"', "use --precision bfloat16"),
        ("give class_map=FILE, lines", "give --class-map FILE, lines"),
        ("batch_size must be at least 1, got 0", "--batch-size must be at least 1, got 0"),
        ("displacement_samples must be 0", "--displacement-samples must be 0"),
        ("runs/overwrite=True holds other files", "runs/overwrite=True holds other files"),
        ("give itn.Classifier(net, mean=..., std=...)", "give itn.Classifier(net, mean=..., std=...)"),
        ("(config.learning_rate: 0.1, now 0.2)", "(config.learning_rate: 0.1, now 0.2)"),
    ],
)
def test_messages_name_options_on_the_command_line(python, options):
    assert in_options(python) == options


def test_messages_of_the_package_name_no_options():
    """The command line puts them there; Python's users have none."""
    texts = [
        (path.name, node.value)
        for path in sorted(Path(itn.__file__).parent.rglob("*.py"))
        if path.parent.name != "cli"
        for raised in ast.walk(ast.parse(path.read_text()))
        if isinstance(raised, ast.Raise | ast.Return | ast.Call)
        for node in ast.walk(raised)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    allowed = {"--always", "--dirty", "--abbrev=40", "--exclude=*"}  # of git; hf download has --local-dir
    assert not [
        (name, text)
        for name, text in texts
        if re.search("--(?!local-dir)[a-z]", text) and text not in allowed
    ]


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert main(["screen", "--device", name]) == 2
    said = capsys.readouterr().err
    assert said == f"itn: --device {name}: no {name.upper()} device is available here; use --device cpu\n"


def test_a_mac_is_taken_where_asked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert chosen_device("mps").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto").type == "cpu"
