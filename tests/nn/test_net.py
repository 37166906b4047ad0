import copy

import pytest
import torch
from torch import nn

import itn
from itn import ColorTransformer, InvariantTransformerNet, SpatialTransformer


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
    net = InvariantTransformerNet(classifier, ColorTransformer(3), SpatialTransformer(aspect=13 / 9))
    for part in (net.color, net.spatial):
        nn.init.normal_(part.head.output.weight, std=0.2, generator=torch.Generator().manual_seed(1))
    return net


def test_zero_is_exactly_the_classifier(net, classifier):
    images = torch.rand(4, 3, 9, 13)
    zero = torch.zeros(2)
    assert torch.equal(net.transform(images, zero, zero), images)
    assert torch.equal(net(images, zero, zero), classifier(images))


def test_color_comes_before_geometry(net):
    images, k1, k2 = torch.rand(4, 3, 9, 13), torch.rand(4, 2), torch.rand(4, 2)
    assert torch.equal(net.transform(images, k1, k2), net.spatial(net.color(images, k1), k2))
    assert not torch.allclose(net.transform(images, k1, k2), net.color(net.spatial(images, k2), k1))


def test_k1_drives_color_and_k2_drives_geometry(net):
    zero, k = torch.zeros(2), torch.tensor([0.9, 0.8])
    net.spatial.padding = "border"  # so that no warp changes a constant image
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
    rendered = net.render(images, net.matrices(k1, k2))
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
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert learning == {name for name in net.transformer_state() if name.endswith("weight")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_follows_the_module(dtype, net):
    net = net.to(dtype)
    logits = net(torch.rand(2, 3, 9, 13, dtype=dtype), torch.rand(2, 2), torch.rand(2, 2))
    assert logits.dtype == dtype
