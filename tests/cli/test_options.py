"""Options become settings."""

import dataclasses

import pytest
from cyclopts import Token

import itn
from itn.cli.main import main
from itn.cli.options import LearnOptions, ScreenOptions, parse_surround


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
