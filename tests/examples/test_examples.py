"""Transformers, an objective and a criterion of one's own, through everything that a run does."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
import torch

import itn
from itn.learning.checkpoint import save_checkpoint
from itn.learning.constrained.settings import ConstrainedSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES = {"blur": 40, "elastic": 60, "dual_ascent": 60, "top_five": 10}


def example(name):
    """Import an example by its path, as a user does who has copied it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Few restarts, so that a run takes seconds
FEW = itn.Constrained(settings=ConstrainedSettings(restarts=4))
QUICK = {"tolerance": 0.1, "steps": 6, "batch_size": 64, "objective": FEW}
SETTINGS = {
    "blur": lambda: {"parts": {"blur": example("blur").Blur(nonnegative=True)}},
    "elastic": lambda: {"parts": {"elastic": example("elastic").Elastic()}},
    "blur and color": lambda: {
        "parts": {"blur": example("blur").Blur(), "color": itn.ColorTransformer(channels=1)}
    },
    "dual_ascent": lambda: {"objective": example("dual_ascent").DualAscent(), "parts": ("spatial",)},
    "top_five": lambda: {"criterion": example("top_five").TopFive(), "parts": ("color",)},
}


@pytest.fixture(scope="module")
def classifier():
    return itn.load_classifier("lenet5")


@pytest.fixture(scope="module")
def digits():
    return itn.load_images("mnist:heldout", limit=200)


@pytest.mark.parametrize("name", LINES)
def test_examples_are_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= LINES[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_an_example_is_learned_certified_drawn_resumed_loaded_and_used(
    name, classifier, digits, tmp_path, monkeypatch, cut_after_three_steps
):
    images, labels = digits
    settings = SETTINGS[name]()
    config = itn.LearnConfig(**QUICK | settings)
    whole = itn.learn(classifier, images, labels, config, tmp_path / "whole")
    assert whole.record.certificate.tolerance == 0.1
    assert whole.record.certificate.scale > 0
    parts = list(whole.record.parts)
    assert set(parts) == set(settings.get("parts", whole.record.parts))
    assert all(part.displacement_full > 0 for part in whole.record.parts.values())
    drawn = {path.name for path in (tmp_path / "whole" / "figures").iterdir()}
    assert drawn == {
        *("losses.png", "classes.png", "grid.png", "curves.png", "directions.png", "baselines.png")
    }
    assert all(part in str(whole) for part in parts)

    with cut_after_three_steps():
        itn.learn(classifier, images, labels, config, tmp_path / "cut")
    monkeypatch.setattr("itn.learning.figures.draw", lambda *_: {})  # those of the whole run were looked at
    itn.learn(classifier, images, labels, itn.LearnConfig(**QUICK | SETTINGS[name]()), tmp_path / "cut")
    for file in ("config.json", "result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()

    own = settings["parts"] if isinstance(settings.get("parts"), dict) else None
    net = itn.load_net(tmp_path / "whole", classifier, transformers=own)
    ks = [torch.rand(len(images), 2) for _ in net.controls]
    assert torch.equal(net.transform(images, *ks), whole.net.transform(images, *ks))
    augment = itn.load_augmentation(tmp_path / "whole", transformers=own)
    torch.manual_seed(0)
    moved = augment(images)
    assert moved.shape == images.shape
    assert not torch.equal(moved, images.float() / 255)


def test_transformers_of_ones_own_are_asked_for_on_loading(classifier, digits, tmp_path):
    blur = example("blur").Blur()
    config = itn.LearnConfig(parts={"blur": blur}, tolerance=0.1, steps=2, batch_size=32)
    itn.learn(classifier, *digits, config, tmp_path / "run")
    assert not any(weight.grad is not None for weight in blur.parameters())
    for given in (None, {"other": blur}):
        with pytest.raises(ValueError, match=r'give transformers=\{"blur": Blur\(...\)\}'):
            itn.load_net(tmp_path / "run", classifier, transformers=given)
    other = {"blur": example("blur").Blur(nonnegative=True)}
    with pytest.raises(ValueError, match="its nonnegative was False, that of the one given is True"):
        itn.load_net(tmp_path / "run", classifier, transformers=other)

    class Blur(type(blur)):
        """The same, with other code."""

        def describe(self, p, frame):
            return "blurred"

    with pytest.warns(UserWarning, match="the code or the settings of blur have changed"):
        itn.load_augmentation(tmp_path / "run", transformers={"blur": Blur()})
    described = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["parts"]
    assert described["blur"]["names"] == ["sigma in pixels"]
    assert len(described["blur"]["code_sha256"]) == 64


def test_a_change_of_ones_own_code_or_settings_does_not_resume(classifier, digits, tmp_path, monkeypatch):
    module = example("blur")
    config = itn.LearnConfig(parts={"blur": module.Blur()}, tolerance=0.1, steps=4, batch_size=32)

    def interrupted(*arguments):
        save_checkpoint(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("itn.learning.trainer.save_checkpoint", interrupted)
        with pytest.raises(itn.Interrupted):
            itn.learn(classifier, *digits, config, tmp_path / "run")

    class Blur(module.Blur):
        """Another one of the same name."""

        def displacement(self, p, frame):
            return p[:, 0].abs()

    for blur in (Blur(), module.Blur(bound=3.0)):
        other = dataclasses.replace(config, parts={"blur": blur})
        with pytest.raises(ValueError, match="other settings"):
            itn.learn(classifier, *digits, other, tmp_path / "run")


def test_the_elastic_warp_at_zero_has_the_gradient_of_the_warp():
    """On a ramp along x, whose slope is the same on both sides of a pixel."""
    elastic = example("elastic").Elastic()
    images = torch.linspace(0, 1, 14, dtype=torch.float64).expand(2, 3, 9, 14)
    frame = elastic.frame(images.shape)
    p = torch.zeros(2, len(elastic.names), dtype=torch.float64, requires_grad=True)
    moved = elastic.apply_parameters(images, p, frame)
    assert torch.equal(moved, images)
    (gradient,) = torch.autograd.grad(moved[..., 1:-1].sum(), p)
    step = 1e-6
    shifted = torch.zeros_like(p)
    shifted[:, 4] = step  # the center, along x
    there = elastic.apply_parameters(images, shifted, frame)
    slope = (there - images)[..., 1:-1].sum((1, 2, 3)) / step
    torch.testing.assert_close(gradient[:, 4], slope, rtol=1e-3, atol=1e-3)
    assert slope.abs().min() > 1


def test_settings_of_ones_own_count_for_resuming():
    class Top(itn.Criterion):
        """Of a number that it is given."""

        def __init__(self, k):
            self.k = k

        def surrogate(self, logits, reference, labels):
            return logits.amax(1)

    described = [itn.LearnConfig(criterion=Top(k)).describe()["criterion"] for k in (2, 2, 3)]
    assert described[0] == described[1] != described[2]


def test_code_beside_ones_own_objective_counts_for_resuming(tmp_path):
    """The work is done in its learner, another class of the file."""
    text = (EXAMPLES / "dual_ascent.py").read_text()
    described = []
    for number, content in enumerate(
        (text, text, text.replace("class DualAscentLearner", "# new\nclass DualAscentLearner"))
    ):
        path = tmp_path / str(number) / "dual_ascent.py"
        path.parent.mkdir()
        path.write_text(content)
        spec = importlib.util.spec_from_file_location("dual_ascent", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        described.append(itn.LearnConfig(objective=module.DualAscent()).describe()["objective"])
    assert described[0] == described[1] != described[2]


def test_the_code_of_ones_own_family_counts_for_resuming():
    described = []
    for factor in (1.0, 1.0, 2.0):
        itn.nn.register_family(
            "own", ["p"], 1.0, lambda p, aspect, f=factor: [f * p[0], 0, 0, 0, 0, 0], replace=True
        )
        described.append(itn.LearnConfig(family="own").describe()["families"])
    assert described[0] == described[1] != described[2]
    assert "families" not in itn.LearnConfig().describe()


class Wrong(itn.Transformer):
    """A transformer that says what a test makes it say."""

    names = ("p",)

    def apply_parameters(self, images, p, frame):
        return images + p[:, :, None, None]

    def displacement(self, p, frame):
        return p[:, 0].square()


@pytest.mark.parametrize(
    ("method", "function", "message"),
    [
        (
            "apply_parameters",
            lambda self, images, p, frame: images * 0.999 + p.sum(),
            "changes images at p = 0",
        ),
        (
            "apply_parameters",
            lambda self, images, p, frame: images.clone(),
            "apply_parameters of own passes no grad",
        ),
        ("displacement", lambda self, p, frame: p.square(), r"shape \(B,\), got shape \(2, 1\)"),
        ("displacement", lambda self, p, frame: 1 + p[:, 0], "must be 0 at p = 0"),
        (
            "displacement",
            lambda self, p, frame: p.detach()[:, 0] * 0,
            "displacement of own passes no gradient",
        ),
        (
            "apply_parameters",
            lambda self, images, p, frame: images + p[:, :, None, None].sign(),
            "changes images by up to .* at parameters of almost 0",
        ),
        (
            "apply_parameters",
            lambda self, images, p, frame: images + p[:1, :, None, None],
            "own changes an image otherwise in a batch than alone",
        ),
        (
            "apply_parameters",
            lambda self, images, p, frame: images + p[:, :, None, None] / (p[:, :, None, None].abs() < 0.1),
            "values that are not finite",
        ),
        ("displacement", lambda self, p, frame: p[:, 0].round(), "displacement of own has no slope"),
    ],
)
def test_what_a_transformer_has_to_keep_is_checked_before_the_run(
    method, function, message, blobs, side, tmp_path
):
    own = type("Own", (Wrong,), {method: function})()
    config = itn.LearnConfig(parts={"own": own}, tolerance=0.1, steps=1, batch_size=32)
    with pytest.raises(ValueError, match=message):
        itn.learn(side, *blobs, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_learner_may_evaluate_in_its_steps_and_is_resumed(blobs, side, tmp_path, monkeypatch):
    """Its evaluations do not take the places of those of the phases around it."""
    module = example("dual_ascent")

    class Evaluating(module.DualAscentLearner):
        """Counts what breaks in each step."""

        def step(self, number):
            transform = itn.certification.parametric.ParametricTransform.of_net(self.net)
            self.problem.training.tally(transform, transform.full_strength)
            return super().step(number)

    class Objective(module.DualAscent):
        """Of that learner."""

        def learner(self, problems, config):
            return Evaluating(*problems, config, self)

    config = itn.LearnConfig(
        objective=Objective(), parts=("spatial",), family="translation", tolerance=0.1, steps=6, batch_size=32
    )
    itn.learn(side, *blobs, config, tmp_path / "whole")
    step = Evaluating.step

    def stopped(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluating, "step", stopped)
        with pytest.raises(itn.Interrupted, match="the state after"):
            itn.learn(side, *blobs, config, tmp_path / "cut")
    itn.learn(side, *blobs, config, tmp_path / "cut")
    for file in ("result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
