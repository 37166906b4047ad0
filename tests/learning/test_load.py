"""Nets and augmentations from the folders of finished runs."""

import dataclasses
import json

import pytest
import torch

import itn
from itn import LearnConfig

pytestmark = pytest.mark.usefixtures("no_figures")
QUICK = LearnConfig(objective="switched", steps=5, batch_size=32)


def test_an_option_is_read_from_the_folder_and_a_run_from_before_it_has_its_default(blobs, side, tmp_path):
    config = dataclasses.replace(QUICK, nonnegative=True)
    result = itn.learn(side, *blobs, config, tmp_path / "run")
    k = torch.rand(7, 2)
    loaded = itn.load_net(tmp_path / "run", side).part("spatial")
    assert torch.equal(loaded.matrix(k), result.net.part("spatial").matrix(k))
    path = tmp_path / "run" / "config.json"
    settings = json.loads(path.read_text())
    assert settings["config"].pop("nonnegative")
    path.write_text(json.dumps(settings))
    assert not itn.load_net(tmp_path / "run", side).part("spatial").head.nonnegative


def test_loading_from_no_run_is_refused(tmp_path, side):
    with pytest.raises(ValueError, match="holds no finished run of itn learn"):
        itn.load_net(tmp_path, side)


def test_loading_a_run_of_an_older_schema_says_so(blobs, side, tmp_path):
    itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=1), tmp_path)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 1}))
    message = (
        "^the record of itn learn has schema version 1, this itn reads 6: run it again into a new folder"
    )
    with pytest.raises(ValueError, match=message):
        itn.load_net(tmp_path, side)
    with pytest.raises(ValueError, match=message):
        itn.load_augmentation(tmp_path)


def test_a_run_is_read_from_the_home_folder(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=1), tmp_path / "run")
    expected = result.net.transformer_state()
    for loaded in (
        itn.load_net("~/run", side).transformer_state(),
        itn.load_augmentation("~/run").transformers.state_dict(),
    ):
        assert expected.keys() == loaded.keys()
        assert all(torch.equal(value, loaded[name]) for name, value in expected.items())
    assert itn.read_history("~/run") == list(result.history)


def test_a_run_is_what_learning_has_returned(blobs, side, tmp_path):
    given = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=2), tmp_path)
    run = itn.load_run(tmp_path, side)
    assert (run.record, run.history) == (given.record, given.history)
    settings = json.loads(json.dumps(given.settings))
    assert {name: run.settings[name] for name in settings} == settings
    assert str(run) == str(given)
    k = torch.rand(4, 2)
    assert torch.equal(run.net(blobs[0][:4], k, k), given.net(blobs[0][:4], k, k))


def test_a_run_without_its_classifier_transforms_draws_and_says_what_is_missing(blobs, side, tmp_path):
    given = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=2), tmp_path)
    run = itn.load_run(tmp_path)
    k = torch.rand(4, 2)
    assert torch.equal(run.net.transform(blobs[0][:4], k, k), given.net.transform(blobs[0][:4], k, k))
    assert run.plot("curves").get_axes()
    assert run.page().title == given.page().title
    assert len(run.to_frame()) == 2
    with pytest.raises(ValueError, match="since no classifier was given: load it with side"):
        run.net(blobs[0][:4], k, k)


def test_a_run_of_classes_has_a_net_for_each(blobs, side, tmp_path):
    given = itn.learn_per_class(side, *blobs, LearnConfig(tolerance=0.3, steps=2, batch_size=32), tmp_path)
    run = itn.load_run(tmp_path, side)
    assert run.record == given.record
    assert run.nets.keys() == given.nets.keys()
    k = torch.rand(4, 2)
    for label, net in run.nets.items():
        assert torch.equal(net.transform(blobs[0][:4], k, k), given.nets[label].transform(blobs[0][:4], k, k))


def shifts(hidden=4):
    """Transformers of names of one's own."""
    return {name: itn.SpatialTransformer(name, hidden) for name in ("translation_x", "translation_y", "zoom")}


def test_transformers_of_ones_own_are_given_again_to_be_loaded(blobs, side, tmp_path):
    parts = shifts()
    before = parts["zoom"].head.output.weight.clone()
    result = itn.learn(side, *blobs, dataclasses.replace(QUICK, parts=parts), tmp_path / "run")
    assert torch.equal(parts["zoom"].head.output.weight, before)  # copies are learned
    described = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["parts"]
    assert described["zoom"] == {
        "family": "zoom",
        "class": "SpatialTransformer",
        "names": ["zoom - 1"],
        "bound": 1.0,
        "hidden": 4,
        "nonnegative": False,
        "padding": "zeros",
        "interpolation": "bilinear",
    }
    ks = torch.rand(3, 5, 2)
    loaded = itn.load_net(tmp_path / "run", side, transformers=shifts())
    assert torch.equal(loaded(blobs[0][:5], *ks), result.net(blobs[0][:5], *ks))
    augmentation = itn.load_augmentation(tmp_path / "run", transformers=shifts())
    torch.manual_seed(0)
    assert augmentation(blobs[0][:5]).shape == (5, 1, 20, 20)
    for given in (None, dict(reversed(shifts().items())), {"zoom": shifts()["zoom"]}):
        with pytest.raises(ValueError, match=r'give transformers=\{"translation_x": SpatialTransformer'):
            itn.load_net(tmp_path / "run", side, transformers=given)
    with pytest.raises(
        ValueError, match=r"holds no finished run of itn learn \(weights are those of another"
    ):
        itn.load_net(tmp_path / "run", side, transformers=shifts(hidden=5))
    other = shifts() | {"zoom": itn.SpatialTransformer("zoom", 4, padding="border")}
    with pytest.raises(ValueError, match="its padding was zeros, that of the one given is border"):
        itn.load_net(tmp_path / "run", side, transformers=other)


def test_transformers_are_not_given_to_a_run_that_had_none(blobs, side, tmp_path):
    itn.learn(side, *blobs, QUICK, tmp_path / "run")
    with pytest.raises(ValueError, match="was learned with color, spatial alone: give no transformers"):
        itn.load_net(tmp_path / "run", side, transformers=shifts())
