"""Every phase of a run goes on where an interruption has left it."""

import pytest
import torch

import itn
from itn.certification.parametric import EvaluationSet
from itn.runtime.journal import Journal
from itn.runtime.run_dir import content_of
from itn.runtime.run_files import JOURNAL

CONFIG = itn.LearnConfig(parts=("spatial",), family="translation", tolerance=0.06, steps=4, batch_size=64)
FILES = ("config.json", "result.json", "history.jsonl", "model.safetensors")


@pytest.fixture
def evaluations(monkeypatch):
    """Return the phase of each evaluation that images have gone through, and let one of them interrupt."""

    class Counted(list):
        interrupt_at = None

    counted, phases = Counted(), []
    original_map, original_phase = EvaluationSet._map, Journal.phase

    def evaluate(self, *arguments):
        if len(counted) == counted.interrupt_at:
            raise KeyboardInterrupt
        counted.append(phases[-1])
        return original_map(self, *arguments)

    def phase(self, name, progress):
        phases.append(name)
        return original_phase(self, name, progress)

    monkeypatch.setattr(EvaluationSet, "_map", evaluate)
    monkeypatch.setattr(Journal, "phase", phase)
    return counted


@pytest.mark.parametrize("phase", ["prepare", "calibrate", "compare", "evaluate"])
@pytest.mark.usefixtures("no_figures")
def test_an_interrupted_phase_goes_on_and_ends_in_the_same_files(phase, evaluations, blobs, side, tmp_path):
    itn.learn(side, *blobs, CONFIG, tmp_path / "whole")
    whole = list(evaluations)
    assert {"prepare", "calibrate", "compare", "evaluate"} == set(whole)
    before = whole.index(phase) + 3

    evaluations.clear()
    evaluations.interrupt_at = before
    kept = "evaluations? (is|are) kept in" if phase == "prepare" else "the state after 4 steps is kept in"
    with pytest.raises(itn.Interrupted, match=kept):
        itn.learn(side, *blobs, CONFIG, tmp_path / "cut")
    assert len(evaluations) == before
    assert (tmp_path / "cut" / JOURNAL).exists()

    evaluations.interrupt_at = None
    itn.learn(side, *blobs, CONFIG, tmp_path / "cut")
    # An evaluation that was under way is done again: those of several batches count once for each
    assert len(whole) <= len(evaluations) <= len(whole) + 5
    for file in FILES:
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (tmp_path / "cut" / JOURNAL).exists()


def test_every_phase_shows_a_bar(blobs, side, tmp_path, capfd):
    itn.learn(side, *blobs, CONFIG, progress=True)
    shown = capfd.readouterr().err
    for phase in ("prepare", "learn", "calibrate", "evaluate"):
        assert phase in shown


def test_a_finished_run_is_read_instead_of_repeated(evaluations, blobs, side, tmp_path):
    """Settings as a mapping are the same settings; a part that was damaged is named."""
    first = itn.learn(side, *blobs, CONFIG, tmp_path)
    before = content_of(tmp_path)
    evaluations.clear()
    settings = {"parts": ("spatial",), "family": "translation", "tolerance": 0.06, "steps": 4}
    again = itn.learn(side, *blobs, settings | {"batch_size": 64}, tmp_path)
    assert not evaluations
    assert (again.record, again.history, repr(again)) == (first.record, first.history, str(first))
    state = first.net.transformer_state()
    assert all(torch.equal(value, state[name]) for name, value in again.net.transformer_state().items())
    assert content_of(tmp_path) == before
    with pytest.raises(ValueError, match=r"finished run with other settings \(config.steps: 4, now 5\)"):
        itn.learn(side, *blobs, settings | {"batch_size": 64, "steps": 5}, tmp_path)
    (tmp_path / "history.jsonl").write_text("{")
    with pytest.raises(ValueError, match=r"history\.jsonl is no history"):
        itn.learn(side, *blobs, CONFIG, tmp_path)
