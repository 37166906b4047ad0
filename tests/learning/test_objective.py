"""An objective of one's own: learned, certified, resumed and drawn like those that itn has."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch

import itn
from itn.certification.parametric import EvaluationSet
from itn.learning.load import make_net
from itn.learning.objective import Learner, LearnProblem, Objective, mean


@dataclasses.dataclass(frozen=True)
class Push(itn.Objective):
    """Displacement is raised, and every image that comes near to breaking pushes back."""

    tolerance: float = 0.06
    steps: int = 40
    push: float = 20.0
    """Weight of images that nearly break."""

    name = "push"
    columns = ("pushed", "gain")

    def learner(self, problems, config):
        (problem,) = problems
        return PushLearner(problem, config, self)


class PushLearner(itn.Learner):
    def step(self, number):
        index, ks = self.draw(self.config.batch_size)
        parameters = self.net.generate(*ks)
        logits = self.logits(index, parameters)
        margins = self.criterion.surrogate(logits, self.data.reference[index], self.data.labels[index])
        displacements = self.displacements(parameters)
        gain = sum(values.mean() for values in displacements.values()).log()
        pushed = torch.sigmoid(-margins).mean()
        self.optimizer.zero_grad()
        (self.objective.push * pushed - gain).backward()
        self.optimizer.step()
        means = {part: values.mean().item() for part, values in displacements.items()}
        return itn.learning.records.LearnStep(number, means, {"pushed": pushed.item(), "gain": gain.item()})


QUICK = itn.LearnConfig(
    objective=Push(), parts=("spatial",), family="translation", spatial_bound=0.8, batch_size=64
)


@pytest.mark.usefixtures("no_figures")
def test_an_objective_of_ones_own_is_certified(blobs, side, tmp_path):
    """Shifts along x below 0.5 change nothing, larger ones break one class; along y only the bound limits."""
    result = itn.learn(side, *blobs, QUICK, tmp_path / "run")
    record = result.record
    assert (record.objective, record.criterion, record.tolerance) == ("push", "accuracy", 0.06)
    assert record.certificate.scale > 0
    assert record.certificate.searched.accuracy_per_image == 1
    shifts = result.net.part("spatial").matrix(torch.eye(2))[:, :, 2].abs()
    assert 0.3 < shifts.amax(0)[0] < 0.5
    assert record.parts["spatial"].displacement_full > 0.03
    assert record.cross_entropy_share is None
    assert set(record.headline) == {"spatial"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["objective"] | {"code_sha256": None} == {"name": "push", "push": 20.0, "code_sha256": None}
    assert len(config["objective"]["code_sha256"]) == 64
    assert (config["tolerance"], config["steps"], config["learning_rate"]) == (0.06, 40, 0.03)


def test_its_columns_are_in_the_history_and_in_a_figure(blobs, side, tmp_path, texts):
    result = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=6), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"step", "displacement", "pushed", "gain"}] * 6
    assert [line["step"] for line in lines] == list(range(6))
    assert [line["gain"] for line in lines] == [step.values["gain"] for step in result.history]
    assert itn.read_history(tmp_path / "run") == list(result.history)
    assert (tmp_path / "run" / "figures" / "losses.png").exists()
    figure = Push().figure(result.history)
    displacement, pushed, gain, empty = figure.axes
    for ax, values in (
        (displacement, [step.displacement["spatial"] for step in result.history]),
        (pushed, [step.values["pushed"] for step in result.history]),
        (gain, [step.values["gain"] for step in result.history]),
    ):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), values)
        assert ax.get_xlabel() == "step"
    assert {"displacement", "pushed", "gain", "spatial"} <= set(texts(figure))
    assert not empty.axison


@pytest.mark.usefixtures("no_figures")
def test_interrupted_and_resumed_equals_uninterrupted(blobs, side, tmp_path, monkeypatch):
    config = dataclasses.replace(QUICK, steps=12)
    whole = itn.learn(side, *blobs, config, tmp_path / "whole")
    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
    step = PushLearner.step

    def interrupted(self, number):
        if number == 6:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(PushLearner, "step", interrupted)
    with pytest.raises(itn.Interrupted, match="state after 6 steps is kept"):
        itn.learn(side, *blobs, config, tmp_path / "run")
    monkeypatch.setattr(PushLearner, "step", step)
    other = dataclasses.replace(config, objective=Push(push=5.0))
    with pytest.raises(ValueError, match=r"other settings \(config\.objective.*push"):
        itn.learn(side, *blobs, other, tmp_path / "run")
    resumed = itn.learn(side, *blobs, config, tmp_path / "run")
    assert resumed.history == whole.history
    for name in ("result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_certifies_nothing_needs_no_baselines(blobs, side, monkeypatch):
    class Uncertain(Push):
        certifies = False

    monkeypatch.delattr("itn.learning.family.estimate_family_baselines")
    record = itn.learn(side, *blobs, dataclasses.replace(QUICK, objective=Uncertain(0.0), steps=3)).record
    assert record.certificate is record.headline is record.baselines is record.drop_curves is None
    assert record.split["training"] + record.split["held_out"] == 200


def test_families_of_classes_are_learned_side_by_side_or_not_at_all(blobs, side):
    with pytest.raises(ValueError, match="need the constrained objective, got push"):
        itn.learn_per_class(side, *blobs, QUICK)


def test_what_is_missing_is_named(blobs, side):
    class Half(Objective):
        """Without a learner."""

    with pytest.raises(NotImplementedError, match=r"Half lacks learner\(problems, config\)"):
        Half().learner([], QUICK)
    with pytest.raises(ValueError, match="the objective Half needs a tolerance above 0"):
        Half(tolerance=0.0)
    data = itn.preflight(side, *blobs)
    problem = LearnProblem(make_net(side, QUICK, data.images.shape), EvaluationSet(side, data))
    with pytest.raises(NotImplementedError, match=r"Learner lacks step\(number\)"):
        Learner(problem, QUICK, Half()).step(0)


def make_learner(side, data, parts=("color", "spatial")):
    config = dataclasses.replace(QUICK, parts=parts)
    net = make_net(side, config, data.images.shape)
    return config.goal.learner([LearnProblem(net, EvaluationSet(side, data))], config)


def test_learner_state_round_trip(blobs, side):
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data)
    for number in range(3):
        learner.step(number)
    state = copy.deepcopy(learner.state())
    expected = [learner.step(number) for number in range(3, 6)]
    fresh = make_learner(side, data)
    fresh.load_state(state)
    assert [fresh.step(number) for number in range(3, 6)] == expected
    assert learner.is_finite()
    learner.parameters[0].data.fill_(torch.nan)
    assert not learner.is_finite()


def test_logits_and_displacements_are_those_of_the_net(blobs, side):
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data)
    for part in learner.net.members:
        torch.nn.init.normal_(part.head.output.weight, std=0.2, generator=torch.Generator().manual_seed(0))
    index, ks = learner.draw(7)
    assert len(index) == 7
    assert [k.shape for k in ks] == [(7, 2), (7, 2)]
    assert all(((k >= 0) & (k <= 1)).all() for k in ks)
    assert not torch.equal(*ks)
    parameters = learner.net.generate(*ks)
    expected = learner.net(data.images[index], *ks)
    torch.testing.assert_close(learner.logits(index, parameters), expected, rtol=0, atol=1e-4)
    assert learner.images_at_once == 7
    displacements = learner.displacements(parameters)
    for part, k in zip(("color", "spatial"), ks, strict=True):
        torch.testing.assert_close(displacements[part], itn.displacement(learner.net.part(part).matrix(k)))


def test_a_part_that_is_missing_leaves_the_draws_of_the_other_as_they_are(blobs, side):
    data = itn.preflight(side, *blobs)
    both, (index, ks) = make_learner(side, data).draw(5), make_learner(side, data, parts=("spatial",)).draw(5)
    assert torch.equal(index, both[0])
    assert len(ks) == 1
    assert torch.equal(ks[0], both[1][1])


def test_progress_is_the_mean_of_the_columns_that_are_known():
    steps = [
        itn.learning.records.LearnStep(number, {"spatial": 0.5}, {"pushed": value, "gain": None})
        for number, value in enumerate((0.25, 0.75))
    ]
    assert Push().progress(steps) == "pushed 0.5, gain nan"
    assert mean(steps, "pushed") == 0.5
