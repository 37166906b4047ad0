"""The switched objective: its losses, the switch between them, and how far it goes."""

import copy
import dataclasses
from fractions import Fraction

import pytest
import torch
from torch import nn

import itn
from itn import ColorTransformer, LearnConfig, SpatialTransformer, Switched
from itn.certification.parametric import EvaluationSet
from itn.functional.displacements import displacement
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem
from itn.learning.switched import required_correct, transformer_loss

QUICK = LearnConfig(objective="switched", steps=40, batch_size=32)
CONTROLS = ("color", "spatial")


def learner(classifier, data, acc_orig="paired", **settings):
    config = dataclasses.replace(QUICK, objective=Switched(acc_orig=acc_orig), **settings)
    net = make_net(classifier, config, data.images.shape)
    return config.goal.learner([LearnProblem(net, EvaluationSet(classifier, data))], config)


def matrices(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.eye(*shape, dtype=torch.float64) + 0.3 * torch.randn(5, *shape, generator=generator).double()


def test_loss_is_the_papers_sum():
    """c_theta (k_0 + k_1) L(A_phi) + (k_0 + k_1) L(A_theta), averaged over the batch, term by term."""
    color, spatial = displacement(matrices(3, 4)), displacement(matrices(2, 3))
    k1, k2 = torch.rand(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = sum(
        -7 * (k1[i, 0] + k1[i, 1]) * color[i] - (k2[i, 0] + k2[i, 1]) * spatial[i] for i in range(5)
    ).item()
    displacements, ks = {"color": color, "spatial": spatial}, {"color": k1, "spatial": k2}
    weights = Switched(c_theta=7.0).weights(CONTROLS)
    assert transformer_loss(displacements, ks, weights).item() == pytest.approx(expected / 5)
    without = sum(transformer_loss({part: displacements[part]}, ks, weights) for part in CONTROLS)
    assert without.item() == pytest.approx(expected / 5)


def test_weights_are_those_of_the_paper_or_given_by_name():
    """The first part is color; where it is by itself there is nothing to weigh it against."""
    assert Switched().weights(CONTROLS) == {"color": 0.01, "spatial": 1.0}
    assert Switched(c_theta=7.0).weights(("a", "b", "c")) == {"a": 7.0, "b": 1.0, "c": 1.0}
    assert Switched(c_theta=7.0).weights(("color",)) == {"color": 1.0}
    given = Switched(c_theta={"spatial": 3, "color": 0.5})
    assert given.weights(CONTROLS) == {"color": 0.5, "spatial": 3}
    assert given.weights(("color", "other")) == {"color": 0.5, "other": 1.0}
    assert given.weights(("color",)) == {"color": 0.5}


@pytest.mark.parametrize("parts", [("color",), ("color", "spatial")])
def test_a_weight_of_a_part_that_is_not_learned_is_refused(parts):
    for other in ("typo", 3):
        given = Switched(c_theta={"color": 0.5, other: 0.1})
        message = f"c_theta has weights of {other}, but the parts are {', '.join(parts)}$"
        with pytest.raises(ValueError, match=message):
            LearnConfig(parts=parts, objective=given)
    assert LearnConfig(parts=parts, objective=Switched(c_theta={"color": 0.5})).parts == parts
    with pytest.raises(ValueError, match="weights of color, but the parts are dim"):
        LearnConfig(parts={"dim": Dim()}, objective=Switched(c_theta={"color": 0.5}))


class Dim(itn.Transformer):
    """Brightness falls by a fraction of p."""

    names = ("p",)
    bound = 0.9

    def apply_parameters(self, images, p, frame):
        return images * (1 - p[:, :, None, None].abs())

    def displacement(self, p, frame):
        return p[:, 0].square()


def test_a_part_without_samples_is_refused_where_they_are_asked_for(blobs, side, tmp_path):
    """Before anything is written."""
    config = LearnConfig(parts={"dim": Dim()}, objective=Switched(displacement_samples=4), steps=2)
    with pytest.raises(ValueError, match=r"Dim has no sampled displacement: .* displacement_samples=0"):
        itn.learn(side, *blobs, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    exact = dataclasses.replace(config, objective=Switched())
    assert itn.learn(side, *blobs, exact).history[0].displacement.keys() == {"dim"}


def test_more_displacement_is_less_loss():
    for transformer in (ColorTransformer(3), SpatialTransformer()):
        k = torch.rand(64, 2)
        before = displacement(transformer.matrix(k))
        loss = transformer_loss({"part": before}, {"part": k}, {"part": 1.0})
        loss.backward()
        with torch.no_grad():
            for weight in transformer.parameters():
                weight.sub_(100 * weight.grad)
        assert displacement(transformer.matrix(k)).mean() > before.mean()


@pytest.mark.parametrize("batch", [1, 7, 100, 128, 256])
def test_switch_is_exact_at_its_boundary(batch):
    """Every accuracy that a batch can have, against exact rational arithmetic."""
    for reference in range(batch + 1):
        for tolerance in ("0", "0.005", "0.01", "0.02", "0.3"):
            required = required_correct(reference / batch, float(tolerance), batch)
            limit = (Fraction(reference, batch) - Fraction(tolerance)) * batch
            assert required - 1 < limit <= required


def test_finds_how_far_a_blob_may_move(blobs, side):
    """The classifier reads the horizontal centre alone. Blobs sit at x = -0.5 and 0.5, so horizontal
    shifts below 0.5 change nothing and larger ones break one class; vertical shifts never do while the
    blob is in sight. The family must reach both limits (and the switch, which asks for accuracy on
    average over k only, may overstep the first by a little at full strength)."""
    config = LearnConfig(
        objective="switched",
        parts=("spatial",),
        family="translation",
        steps=300,
        batch_size=64,
        spatial_bound=0.8,
    )
    record = itn.learn(side, *blobs, config).record
    assert record.accuracy_uniform >= 0.98
    ((_, _, x), (_, _, y)) = record.parts["spatial"].matrix_full
    assert 0.45 < abs(x) < 0.55
    assert 0.75 < abs(y) <= 0.8
    assert record.parts["spatial"].displacement_full == pytest.approx((x**2 + y**2) / 3, rel=1e-5)
    # every pixel moves by the same vector, half of it in units of the width
    assert record.parts["spatial"].rms_shift_full == pytest.approx(0.5 * (x**2 + y**2) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_gain_and_bias_that_a_threshold_allows(seed, flats, brightness):
    """Images are 0.25 or 0.75 and the threshold is one half, so gain g and bias b hold if and only if
    0.25 g + b <= 0.5 <= 0.75 g + b. The farthest points inside the bounds are (2, -1) and (0, 0.5)."""
    config = LearnConfig(objective="switched", parts=("color",), steps=400, batch_size=64, seed=seed)
    record = itn.learn(brightness, *flats, config).record
    ((gain, bias),) = record.parts["color"].matrix_full
    assert record.accuracy_uniform >= 0.98
    assert min(abs(gain - 2) + abs(bias + 1), abs(gain) + abs(bias - 0.5)) < 0.15


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise AssertionError("backward pass through the classifier")


def test_displacement_costs_no_backward_pass_through_the_classifier(blobs, side):
    data = itn.preflight(side, *blobs)
    side.net.register_forward_hook(lambda module, args, output: NoWayBack.apply(output))
    assert not learner(side, data, acc_orig=0.0).step(0).values["asked_cross_entropy"]
    all_wrong = dataclasses.replace(data, labels=1 - data.labels)
    with pytest.raises(AssertionError, match="through the classifier"):
        learner(side, all_wrong, acc_orig=1.0).step(0)


@pytest.fixture
def half_right(blobs, side):
    """Images of which the classifier gets every second of each class right."""
    data = itn.preflight(side, *blobs)
    return dataclasses.replace(
        data, labels=torch.where(torch.arange(200) % 4 < 2, data.labels, 1 - data.labels)
    )


def test_the_switch_at_its_boundary(half_right, side):
    """One image more or less in the first batch decides; equality asks for displacement."""

    def first(**settings):
        return learner(side, half_right, batch_size=100, **settings).step(0).values

    accuracy = first(acc_orig=0.0)["accuracy"]
    assert 0.3 < accuracy < 0.7
    assert not first(acc_orig=accuracy)["asked_cross_entropy"]
    assert first(acc_orig=accuracy + 0.01)["asked_cross_entropy"]
    assert not first(acc_orig=accuracy + 0.01, tolerance=0.01)["asked_cross_entropy"]
    assert first(acc_orig=accuracy + 0.02, tolerance=0.01)["asked_cross_entropy"]


def test_the_three_references(half_right, side):
    """Paired compares with the same batch's clean accuracy, measured with that of all images."""

    def first(**settings):
        return learner(side, half_right, batch_size=99, **settings).step(0).values

    paired = first(acc_orig="paired")
    assert paired["clean_accuracy"] == paired["accuracy"]
    assert not paired["asked_cross_entropy"]
    # an odd batch is never right exactly half of the time, as all images are
    assert first(acc_orig="measured")["asked_cross_entropy"] == (paired["accuracy"] < 0.5)
    claimed = dataclasses.replace(half_right, predictions=half_right.labels)
    assert learner(side, claimed, acc_orig="paired").step(0).values["asked_cross_entropy"]


def test_the_branch_taken_is_the_loss_that_falls(half_right, side):
    """One step down the branch lowers that branch's loss on the same batch."""
    for acc_orig, name in ((0.0, "transformer_loss"), (1.0, "cross_entropy")):
        made = learner(side, half_right, acc_orig=acc_orig, learning_rate=1e-3)
        for part in made.net.members:
            nn.init.normal_(part.head.output.weight, std=0.1, generator=torch.Generator().manual_seed(0))
        before_step = made.generator.get_state()
        first = made.step(0)
        made.generator.set_state(before_step)
        assert made.step(0).values[name] < first.values[name]


def test_sampled_displacement_is_learned_too(blobs, side):
    config = dataclasses.replace(
        QUICK, parts=("spatial",), objective=Switched(displacement_samples=16), steps=100
    )
    exact_config = dataclasses.replace(config, objective="switched")
    sampled, exact = (
        itn.learn(side, *blobs, settings).record.parts["spatial"].displacement_uniform
        for settings in (config, exact_config)
    )
    assert sampled == pytest.approx(exact, rel=0.5)
    assert sampled != exact


def test_learner_state_round_trip(blobs, side):
    data = itn.preflight(side, *blobs)
    made = learner(side, data)
    for number in range(5):
        made.step(number)
    state = copy.deepcopy(made.state())
    expected = [made.step(number) for number in range(5, 10)]
    fresh = learner(side, data)
    fresh.load_state(state)
    assert [fresh.step(number) for number in range(5, 10)] == expected
