"""The constrained objective on classifiers whose limits are known on paper."""

import dataclasses
import json
import math

import pytest
import torch

import itn
from itn.certification.records import PLANNED
from itn.learning.constrained.learner import ConstrainedLearner

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=60, batch_size=64)


@pytest.mark.parametrize("seed", range(2))
def test_rotation_is_learned_up_to_its_limit(seed, blobs, side):
    """Less than a right angle changes nothing, more changes every answer."""
    config = dataclasses.replace(QUICK, parts=("spatial",), family="rotation", steps=150, seed=seed)
    result = itn.learn(side, *blobs, config)
    record, (full,) = result.record, result.net.part("spatial").head(torch.ones(1, 2)).abs()
    assert 0.9 * math.pi / 2 < full.item() < math.pi / 2  # scales are tested in steps of 2 %
    assert record.accuracy_full == record.certificate.searched.accuracy_per_image == 1
    # Of 5 % one fifth, for all scales, three conditions and two bounds
    assert record.certificate.full.lower_bound == pytest.approx((0.01 / (6 * PLANNED)) ** (1 / 120))


@pytest.mark.parametrize("seed", range(2))
def test_shifts_reach_the_bound_where_the_classifier_is_invariant(seed, blobs, side):
    """Shifts along x below 0.5 change nothing, larger ones break one class; along y only the bound limits."""
    config = dataclasses.replace(
        QUICK, parts=("spatial",), family="translation", spatial_bound=0.8, steps=150, seed=seed
    )
    result = itn.learn(side, *blobs, config)
    vertices = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    x, y = result.net.part("spatial").matrix(vertices)[:, :, 2].abs().unbind(1)
    assert 0.75 < y[-1] <= 0.8
    assert x.max() < 0.5
    assert result.record.certificate.searched.accuracy_per_image == 1


def test_color_goes_as_far_as_a_threshold_allows(flats, brightness):
    """Gain g and bias b hold if and only if 0.25 g + b <= 0.5 <= 0.75 g + b, best at (2, -1), (0, 0.5)."""
    config = dataclasses.replace(QUICK, parts=("color",), steps=150)
    record = itn.learn(brightness, *flats, config).record
    ((gain, bias),) = record.parts["color"].matrix_full
    assert 0.25 * gain + bias <= 0.5 <= 0.75 * gain + bias
    assert record.parts["color"].displacement_full > 0.3  # of at most 1; a gain alone has 0.06 or 0.5
    assert record.certificate.searched.accuracy == 1


@pytest.mark.parametrize("family", ["rotation", "zoom"])
def test_a_single_parameter_has_both_signs(family, blobs, side):
    """Right angles both ways, and zooms down to nothing and up to twice the size, change no answer."""
    config = dataclasses.replace(QUICK, parts=("spatial",), family=family, steps=150)
    net = itn.learn(side, *blobs, config).net
    limit = {"rotation": math.pi / 2, "zoom": 1.0}[family]
    low, high = net.part("spatial").head(torch.cartesian_prod(*2 * [torch.linspace(0, 1, 11)])).aminmax()
    assert -limit <= low.item() < -0.9 * limit
    assert 0.9 * limit < high.item() <= limit


def test_the_ends_of_a_range_may_differ(flats, brightness):
    """A gain holds if and only if 0.25 g <= 0.5 <= 0.75 g: from 2/3 to the bound, which is 2."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="gain", steps=150)
    result = itn.learn(brightness, *flats, config)
    gain = result.record.parts["color"].range
    assert gain.transform == "contrast"
    assert 2 / 3 <= gain.low < 0.72
    assert 1.9 < gain.high <= 2
    assert f"over all k, contrast from {gain.low:.3g} to {gain.high:.3g} (factor, above 1 brightens)" in str(
        result
    )
    gains = 1 + result.net.part("color").head(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.5]]))
    torch.testing.assert_close(gains[:, 0], torch.tensor([gain.high, gain.low, gain.high, gain.high]))


def test_a_nonnegative_range_has_one_end(flats, brightness):
    """A bias holds if and only if it is in [-1/4, 1/4]; what is nonnegative starts at 0."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="bias", nonnegative=True)
    bias = itn.learn(brightness, *flats, config).record.parts["color"].range
    assert bias.low == 0
    assert 0.2 < bias.high <= 0.25


class Unreplaced(itn.Constrained):
    """Calibrates what was learned, also where a single transformation would go farther."""

    members = False


def test_both_controls_have_directions_of_their_own(blobs, side):
    config = dataclasses.replace(QUICK, objective=Unreplaced(), parts=("spatial",), steps=150)
    net = itn.learn(side, *blobs, config).net
    first, second = (net.part("spatial").matrix(k) - torch.eye(2, 3) for k in torch.eye(2))
    assert torch.cosine_similarity(first.flatten(), second.flatten(), dim=0).abs() < 0.9
    assert min(itn.displacement(matrix + torch.eye(2, 3)).item() for matrix in (first, second)) > 1e-3


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"hidden": 1}])
def test_the_smallest_settings_are_learned_with(settings, blobs, side):
    config = dataclasses.replace(QUICK, tolerance=0.3, steps=3, **settings)
    few = (part[:60] for part in blobs)  # each is a batch
    assert itn.learn(side, *few, config).record.certificate.clean_accuracy == 1


def test_the_family_is_the_identity_where_every_transformation_breaks(blobs):
    """A classifier of exact images: no single transformation is tolerated, nor any family."""
    images, labels = blobs

    class Exact(torch.nn.Module):
        def forward(self, x):
            same = (x[:, None] - images[:2]).abs().amax((2, 3, 4)) < 1e-6
            slope = 1e-3 * x.mean((1, 2, 3))[:, None] * torch.tensor([1.0, -1.0])  # learning asks for one
            return 20 * same.float() - 10 * torch.eye(2)[0] + slope

    repeated = images[:2].repeat(60, 1, 1, 1), labels[:2].repeat(60)
    record = itn.learn(
        itn.Classifier(Exact()), *repeated, dataclasses.replace(QUICK, tolerance=0.1, steps=5)
    ).record
    assert record.certificate.scale == 0
    assert record.parts["spatial"].displacement_full == record.parts["color"].displacement_full == 0
    assert record.headline == {"joint": None}
    assert record.no_headline == "nothing is certified"
    assert record.certificate.searched.accuracy_per_image == 1


@pytest.mark.usefixtures("no_figures")
def test_interrupted_and_resumed_equals_uninterrupted(blobs, side, tmp_path, monkeypatch):
    config = dataclasses.replace(QUICK, parts=("spatial",), family="translation", steps=12)
    whole = itn.learn(side, *blobs, config, tmp_path / "whole")
    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
    step = ConstrainedLearner.step

    def interrupted(self, number):
        if number == 6:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(ConstrainedLearner, "step", interrupted)
    with pytest.raises(itn.Interrupted, match="state after 6 steps is kept"):
        itn.learn(side, *blobs, config, tmp_path / "run")
    monkeypatch.setattr(ConstrainedLearner, "step", step)
    itn.learn(side, *blobs, config, tmp_path / "run")
    for name in ("result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    content = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert itn.LearnRecord.from_json(content) == whole.record


def test_an_interrupt_before_the_first_step_is_explained(blobs, side, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("itn.learning.family.choose_interpolation", interrupted)
    with pytest.raises(itn.Interrupted, match="interrupted; nothing was kept; repeat it to start again"):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")
