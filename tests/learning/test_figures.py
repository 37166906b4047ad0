"""The images that figures show."""

import math

import pytest
import torch
from torch import nn

import itn
from itn.learning.figures import control_names, directions, draw, grid, strip_titles, strips
from itn.stats.sampling import one_per_class


@pytest.fixture
def net(side):
    """Sampling moves 0.6 (k2)_0 to the right, so content moves to the left by as much: exactly known."""
    spatial = itn.SpatialTransformer("translation")
    with torch.no_grad():
        spatial.head.hidden.weight.zero_()
        spatial.head.output.weight.zero_()
        spatial.head.hidden.weight[0, 0] = 1
        spatial.head.output.weight[0, 0] = torch.atanh(torch.tensor(0.6))
    return itn.InvariantTransformerNet(side, None, spatial)


@pytest.fixture
def data(blobs, side):
    return itn.preflight(side, *blobs)


def test_strips_show_what_the_classifier_says(net, data):
    pictures, predictions = strips(net, data.images[:2], (0.0, 1.0))
    assert predictions["spatial"].tolist() == [[0, 0], [1, 0]]
    assert torch.equal(pictures["spatial"][:, 0], data.images[:2])
    assert pictures["spatial"].shape == (2, 2, 1, 20, 20)


def test_grid_has_the_original_in_its_first_cell(side, data):
    net = itn.InvariantTransformerNet(side, itn.ColorTransformer(1), itn.SpatialTransformer())
    for part in net.members:
        nn.init.normal_(part.head.output.weight, std=0.2, generator=torch.Generator().manual_seed(0))
    cells = grid(net, data.images[:4], (0.0, 1.0), (0.0, 0.5, 1.0))
    assert cells.shape == (2, 3, 4, 1, 20, 20)
    assert torch.equal(cells[0, 0], data.images[:4])
    one = torch.ones(2)
    assert torch.equal(cells[1, 2], net.transform(data.images[:4], one, one))
    assert torch.equal(cells[0, 2], net.transform(data.images[:4], 0 * one, one))


def moving(*names):
    """Transformers of one's own names that shift by up to 0.5, 0.4, ... along x."""
    parts = {name: itn.SpatialTransformer("translation_x", hidden=1) for name in names}
    for number, part in enumerate(parts.values()):
        with torch.no_grad():
            part.head.hidden.weight.fill_(0.5)
            part.head.output.weight.fill_(0.5 - 0.1 * number)
    return parts


def test_controls_and_strips_are_named_after_their_parts(side):
    net = itn.InvariantTransformerNet(side, None, itn.SpatialTransformer())
    assert control_names(net) == ["k1 (color)", "k2 (spatial)"]
    assert strip_titles(net) == {"spatial": "spatial: k1 = (0, 0), k2 = (t, 0)"}
    three = itn.InvariantTransformerNet(side, moving("a", "b", "c"))
    assert control_names(three) == ["k1 (a)", "k2 (b)", "k3 (c)"]
    assert strip_titles(three)["b"] == "b: k1 = (0, 0), k2 = (t, 0), k3 = (0, 0)"


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_grid_is_driven_by_the_last_two_controls(names, side, data):
    net = itn.InvariantTransformerNet(side, moving(*names))
    cells = grid(net, data.images[:2], (0.0, 1.0), (0.0, 1.0))
    for i, j in ((0, 1), (1, 0), (1, 1)):
        ends = [float(i), float(j)][-len(names) :]
        ks = [torch.zeros(2)] * (len(names) - 2) + [torch.full((2,), end) for end in ends]
        assert torch.equal(cells[i, j], net.transform(data.images[:2], *ks))


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("a", "b"), "k1 (a) and k2 (b) vary"),
        (("a", "b", "c"), "k2 (b) and k3 (c) vary; k1 (a) at (0, 0)"),
        (("a", "b", "c", "d"), "k3 (c) and k4 (d) vary; k1 (a), k2 (b) at (0, 0)"),
    ],
)
def test_the_figure_of_a_grid_says_which_parts_it_leaves_unchanged(names, title, side, blobs):
    config = itn.LearnConfig(parts=moving(*names), objective="switched", steps=1, batch_size=8)
    result = itn.learn(side, *blobs, config)
    data = itn.preflight(side, *blobs)
    losses = config.goal.figure(result.history)
    figure = draw(result.net, data, losses, result.record, side.class_name)["grid"]
    assert " ".join(figure.get_suptitle().split()) == f"side: the same images while {title}"
    right = figure.subfigs[1]
    assert (right.get_supylabel(), right.get_supxlabel()) == tuple(control_names(result.net)[-2:])


def test_directions_are_those_of_each_part(side, data):
    net = itn.InvariantTransformerNet(side, moving("a", "b"))
    grids, pictures = directions(net, data.images[:1], points=3)
    for part, shift in (("a", 0.5), ("b", 0.4)):
        assert grids[part].shape == (3, 3, 6)
        assert grids[part][-1, -1, 2] == pytest.approx(math.tanh(shift))
        assert grids[part][1, 0, 2] == pytest.approx(math.tanh(shift / 4))
        assert not grids[part][0, 0].any()
        k = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        expected = net.transform(data.images[:1].expand(4, -1, -1, -1), *net.driving(part, k))
        assert torch.equal(pictures[part], expected)
    assert not torch.equal(pictures["a"][3], pictures["b"][3])


def test_images_are_chosen_class_by_class():
    labels = torch.tensor([2, 2, 0, 2, 0, 5])
    assert one_per_class(labels, 2).tolist() == [2, 0]
    assert one_per_class(labels, 5).tolist() == [2, 0, 5, 4, 1]
    assert one_per_class(labels, 10).tolist() == [2, 0, 5, 4, 1, 3]
