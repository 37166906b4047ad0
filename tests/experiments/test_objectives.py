"""The objectives that are compared in the study of family sizes."""

import pytest

import itn


@pytest.fixture
def objectives(experiment):
    return experiment("family_sizes.objectives")


@pytest.mark.parametrize("given", [{}, {"tolerance": 0.02, "steps": 200, "batch_size": 64}])
def test_all_have_the_same_tolerance_and_images_and_a_certificate(given, objectives):
    default = itn.LearnConfig(seed=3, **given)
    assert objectives.with_objective(default, "constrained") is default
    for name in objectives.OBJECTIVES[1:-1]:
        config = objectives.with_objective(default, name)
        assert (config.goal.tolerance, config.goal.steps) == (default.goal.tolerance, default.goal.steps)
        assert config.goal.certifies
        assert (config.batch_size, config.seed) == (default.batch_size, 3)
    search = objectives.with_objective(default, objectives.OBJECTIVES[-1]).goal
    assert search.images == 30 * default.goal.steps * default.batch_size
    assert (search.steps, search.tolerance) == (3, default.goal.tolerance)


@pytest.fixture
def ascended(objectives, flats, brightness):
    """Return a function that learns colors of gray images by dual ascent."""
    objective = objectives.dual_ascent.DualAscent()

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


@pytest.mark.usefixtures("no_figures")
def test_dual_ascent_goes_on_with_its_multiplier(ascended, objectives, tmp_path, monkeypatch):
    learner, whole = objectives.dual_ascent.DualAscentLearner, ascended()
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
