"""The designs that are compared, and what is said of runs that learned one part alone."""

import json
from pathlib import Path

import pytest
import torch

import itn

COMMITTED = Path(__file__).parents[2] / "experiments" / "largest_family" / "result.json"


def only(record, part):
    """Return a record as if nothing but one part had been learned."""
    runs = [
        {
            **run,
            "headline": {part: run["headline"][part]},
            "parts": {part: run["parts"][part]},
        }
        for run in record["runs"]
    ]
    return record | {"runs": runs}


@pytest.mark.parametrize(
    ("part", "columns", "drawn"), [("color", (2, 3, 4, 5, 6), set()), ("spatial", (7, 8), {"ratios"})]
)
def test_a_part_that_was_not_learned_has_no_figures(part, columns, drawn, experiment):
    record, study = only(json.loads(COMMITTED.read_text()), part), experiment("largest_family.run")
    rows = [line.split(" | ") for line in study.table(record).splitlines()[2:]]
    assert len(rows) == 4  # two classifiers, two designs
    for row in rows:
        assert [number for number, cell in enumerate(row) if cell == "-"] == list(columns)
    assert set(study.figures(record)) == drawn


def test_a_baseline_chosen_beforehand_is_no_larger_than_the_largest(experiment):
    study = experiment("largest_family.run")
    for run in json.loads(COMMITTED.read_text())["runs"]:
        (ratio,) = study._to_first([run])
        assert ratio >= run["headline"]["spatial"]["value"] * (1 - 1e-6)


def protocol(experiment, **options):
    asked = dict.fromkeys(("tolerance", "steps", "batch_size", "parts")) | options
    return experiment("study").Protocol("short", (0,), Path(), torch.device("cpu"), asked)


@pytest.mark.parametrize("given", [{}, {"tolerance": 0.02, "steps": 200, "batch_size": 64}])
def test_all_designs_have_the_same_tolerance_and_images_and_a_certificate(given, experiment):
    study = experiment("largest_family.run")
    default, *others = (study._config(d, 3, protocol(experiment, **given)) for d in study.DESIGNS)
    search = study._config(study.SEARCH, 3, protocol(experiment, **given)).goal
    for config in others:
        assert (config.goal.tolerance, config.goal.steps) == (default.goal.tolerance, default.goal.steps)
        assert config.goal.certifies
        assert (config.batch_size, config.seed) == (default.batch_size, 3)
    assert search.images == 30 * default.goal.steps * default.batch_size
    assert (search.steps, search.tolerance) == (3, default.goal.tolerance)


@pytest.fixture
def ascended(experiment, flats, brightness):
    """Return a function that learns colors of gray images by dual ascent."""
    objective = experiment("largest_family.run").dual_ascent.DualAscent()

    def learned(out=None):
        settings = {"tolerance": 0.1, "steps": 60, "batch_size": 64}
        config = itn.LearnConfig(("color",), objective=objective, **settings)
        return itn.learn(brightness, *flats, config, out, progress=False)

    return learned


def test_the_multiplier_of_dual_ascent_rises_above_the_target_and_falls_below_it(ascended):
    # With 120 images less could be proven than what learning aims at
    result, target = ascended(), 0.75 * 0.1
    before, rises = 1.0, []
    for step in result.history:
        rate, multiplier = step.values["drop"], step.values["multiplier"]
        assert (multiplier > before) == (rate > target)
        rises.append(multiplier > before)
        before = multiplier
    assert set(rises) == {True, False}
    assert result.history[-1].displacement["color"] > 10 * result.history[0].displacement["color"]
    assert result.record.objective == "DualAscent"
    assert result.record.certificate.scale > 0


def test_dual_ascent_goes_on_with_its_multiplier(ascended, experiment, tmp_path, monkeypatch):
    learner, whole = experiment("largest_family.run").dual_ascent.DualAscentLearner, ascended()
    step = learner.step

    def stopped(self, number):
        if number == 40:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(learner, "step", stopped)
    with pytest.raises(itn.Interrupted):
        ascended(tmp_path)
    monkeypatch.setattr(learner, "step", step)
    assert ascended(tmp_path).history == whole.history
