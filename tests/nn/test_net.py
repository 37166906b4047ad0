import copy

import pytest
import torch
from torch import nn

import itn
from itn import ColorTransformer, InvariantTransformerNet, SpatialTransformer
from itn.models import classifier as classifier_module
from itn.nn import composition
from itn.nn import transformer as transformer_module


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.LazyLinear(5)
    )
    net(torch.rand(8, 3, 9, 13))
    return itn.Classifier(net, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def net(classifier):
    net = InvariantTransformerNet(classifier, ColorTransformer(3), SpatialTransformer())
    for part in net.members:
        nn.init.normal_(part.head.output.weight, std=0.2, generator=torch.Generator().manual_seed(1))
    return net


def test_zero_is_exactly_the_classifier(net, classifier):
    images = torch.rand(4, 3, 9, 13)
    zero = torch.zeros(2)
    assert torch.equal(net.transform(images, zero, zero), images)
    assert torch.equal(net(images, zero, zero), classifier(images))


def test_color_comes_before_geometry(net):
    images, k1, k2 = torch.rand(4, 3, 9, 13), torch.rand(4, 2), torch.rand(4, 2)
    assert torch.equal(net.transform(images, k1, k2), net.part("spatial")(net.part("color")(images, k1), k2))
    assert not torch.allclose(
        net.transform(images, k1, k2), net.part("color")(net.part("spatial")(images, k2), k1)
    )


def test_k1_drives_color_and_k2_drives_geometry(net):
    zero, k = torch.zeros(2), torch.tensor([0.9, 0.8])
    net.part("spatial").padding = "border"  # so that no warp changes a constant image
    flat = torch.full((1, 3, 9, 13), 0.5)
    assert not torch.allclose(net.transform(flat, k, zero), flat)
    torch.testing.assert_close(net.transform(flat, zero, k), flat)
    images = torch.rand(1, 3, 9, 13)
    assert not torch.allclose(net.transform(images, zero, k), images)


def test_bytes_and_floats_are_the_same_images(net):
    images = torch.randint(0, 256, (4, 3, 9, 13), dtype=torch.uint8)
    k = torch.rand(4, 2)
    assert torch.equal(net(images, k, k), net(images.float() / 255, k, k))


def test_render_is_transform_without_checks(net):
    images, k1, k2 = torch.rand(4, 3, 9, 13), torch.rand(4, 2), torch.rand(4, 2)
    rendered = net.render(images, net.generate(k1, k2))
    torch.testing.assert_close(rendered, net.transform(images, k1, k2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", ["color", "spatial"])
def test_a_part_may_be_missing(classifier, missing):
    parts = {"color": ColorTransformer(3), "spatial": SpatialTransformer()} | {missing: None}
    net = InvariantTransformerNet(classifier, **parts)
    assert net.parts == tuple(part for part in ("color", "spatial") if part != missing)
    images = torch.rand(2, 3, 9, 13)
    assert net(images, torch.rand(2, 2), torch.rand(2, 2)).shape == (2, 5)
    k1, k2 = (torch.ones(2), torch.zeros(2)) if missing == "color" else (torch.zeros(2), torch.ones(2))
    assert torch.equal(net.transform(images, k1, k2), images)
    with pytest.raises(ValueError, match="nothing to learn"):
        InvariantTransformerNet(classifier, None, None)


def test_training_leaves_the_classifier_unchanged_bit_for_bit(net, classifier):
    before = copy.deepcopy(classifier.state_dict())
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=0.1, momentum=0.9)
    for _ in range(3):
        net(torch.rand(8, 3, 9, 13), torch.rand(8, 2), torch.rand(8, 2)).square().sum().backward()
        optimizer.step()
    after = classifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module.training for module in classifier.modules() if module is not classifier)
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_any_module_may_be_the_classifier():
    raw = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(16, 2))
    net = InvariantTransformerNet(raw, None, SpatialTransformer()).train()
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(net(images, torch.zeros(2), torch.ones(2)), net(images, torch.zeros(2), torch.ones(2)))


def test_transformer_state_is_all_that_learning_changes(net):
    assert set(net.transformer_state()) == {
        f"{part}.head.{name}"
        for part in ("color", "spatial")
        for name in ("hidden.weight", "output.weight", "bound")
    }
    learning = {name for name, parameter in net.transformers.named_parameters() if parameter.requires_grad}
    assert learning == {name for name in net.transformer_state() if name.endswith("weight")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_follows_the_module(dtype, net):
    net = net.to(dtype)
    logits = net(torch.rand(2, 3, 9, 13, dtype=dtype), torch.rand(2, 2), torch.rand(2, 2))
    assert logits.dtype == dtype


class Offset(itn.Transformer):
    """Adds its parameter: one that has no matrix, so that nothing can be fused across it."""

    names = ("offset",)

    def apply_parameters(self, images, p, frame):
        return images + p[:, :, None, None]

    def displacement(self, p, frame):
        return p[:, 0].square()


def trained(part, seed=1):
    nn.init.normal_(part.head.output.weight, std=0.1, generator=torch.Generator().manual_seed(seed))
    return part


def test_any_transformers_are_applied_in_their_order(classifier):
    parts = {"offset": trained(Offset()), "turn": trained(SpatialTransformer("rotation"))}
    net = InvariantTransformerNet(classifier, parts)
    assert net.parts == net.controls == ("offset", "turn")
    images, k1, k2 = 0.5 * torch.rand(4, 3, 9, 13), torch.rand(4, 2), torch.rand(4, 2)
    expected = parts["turn"](parts["offset"](images, k1), k2)
    torch.testing.assert_close(net.transform(images, k1, k2), expected, rtol=0, atol=1e-6)
    assert net(images, k1, k2).shape == (4, 5)
    with pytest.raises(ValueError, match=r"a k for each part, k1 \(offset\), k2 \(turn\); got k1$"):
        net(images, k1)


def test_controls_may_be_lists_and_have_names(net):
    images = torch.rand(2, 3, 9, 13)
    expected = net(images, torch.tensor([0.0, 1.0]), torch.ones(2))
    assert torch.equal(net(images, k1=[0, 1], k2=[1, 1]), expected)
    assert torch.equal(net(images, [0, 1], k2=[1, 1]), expected)
    for wrong in ({"k1": [0, 1]}, {"k1": [0, 1], "k3": [1, 1]}):
        with pytest.raises(ValueError, match="give a k for each part"):
            net.transform(images, **wrong)
    with pytest.raises(ValueError, match="got k1, k2, k2"):
        net(images, [0, 1], [1, 1], k2=[1, 1])


@pytest.mark.parametrize("kind", ["spatial", "color"])
def test_neighbors_that_have_a_matrix_are_fused_into_one(kind, classifier, monkeypatch):
    make = {"spatial": SpatialTransformer, "color": lambda: ColorTransformer(3, bound=0.1)}[kind]
    parts = {"a": trained(make(), 1), "b": trained(make(), 2)}
    net = InvariantTransformerNet(classifier, parts)
    calls = []
    original = type(parts["a"]).apply_matrix

    def counted(images, matrix, frame):
        calls.append(matrix)
        return original(images, matrix, frame)

    monkeypatch.setattr(type(parts["a"]), "apply_matrix", staticmethod(counted))
    images, ks = 0.25 + 0.5 * torch.rand(4, 3, 9, 13), torch.rand(2, 4, 2)
    moved = net.transform(images, *ks)
    assert len(calls) == 1
    if kind == "color":  # colors inside [0, 1] are not clamped between the two
        torch.testing.assert_close(moved, parts["b"](parts["a"](images, ks[0]), ks[1]), rtol=0, atol=1e-5)
    else:  # the position that b reads is where a has put what it reads there
        frame = parts["a"].frame(images.shape)
        first, second = (
            part.matrix_from(part.generate(k), frame) for part, k in zip(parts.values(), ks, strict=True)
        )
        points = torch.rand(4, 2, 1) - 0.5
        through = second[:, :, :2] @ points + second[:, :, 2:]
        through = first[:, :, :2] @ through + first[:, :, 2:]
        torch.testing.assert_close(calls[0][:, :, :2] @ points + calls[0][:, :, 2:], through)


def test_neighbors_with_other_padding_or_something_between_are_not_fused(classifier):
    border, black = SpatialTransformer(padding="border"), SpatialTransformer()
    assert not border.fuses_with(black)
    assert not black.fuses_with(ColorTransformer(3))
    net = InvariantTransformerNet(classifier, {"a": black, "offset": Offset(), "b": SpatialTransformer()})
    images = torch.rand(2, 3, 9, 13)
    assert torch.equal(net.transform(images, *[torch.zeros(2)] * 3), images)


def test_images_and_controls_are_checked_once(net, monkeypatch):
    checks = []
    for name in ("check_images", "check_controls"):
        original = getattr(composition, name)

        def counted(*arguments, name=name, original=original):
            checks.append(name)
            return original(*arguments)

        monkeypatch.setattr(composition, name, counted)
    for module in (classifier_module, transformer_module):
        monkeypatch.setattr(module, "check_images", lambda *_: pytest.fail("images are checked again"))
    net(torch.rand(4, 3, 9, 13), torch.rand(4, 2), torch.rand(4, 2))
    assert checks == ["check_images", "check_controls", "check_controls"]
    with pytest.raises(ValueError, match="images have 1 channel, the classifier takes 3"):
        net(torch.rand(4, 1, 9, 13), torch.rand(4, 2), torch.rand(4, 2))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "nothing to learn"),
        ({"a": nn.Identity()}, "a must be an itn.nn.Transformer, got Identity"),
        ({1: Offset()}, "names of transformers must be strings, got 1"),
        ({"keys": Offset()}, "'keys' cannot name a transformer"),
        ({"a.b": Offset()}, "'a.b' cannot name a transformer"),
    ],
)
def test_what_is_no_transformer_is_refused(parts, message, classifier):
    with pytest.raises(ValueError, match=message):
        InvariantTransformerNet(classifier, parts)
