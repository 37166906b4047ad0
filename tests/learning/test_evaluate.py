import pytest
import torch
from torch import nn

import itn
from itn.certification.parametric import EvaluationSet
from itn.learning.evaluate import curves, respond
from itn.learning.figures import grid, strips
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


@pytest.mark.parametrize("batch_size", [7, 200])
def test_response_is_what_paper_and_pencil_say(net, data, side, batch_size):
    """A blob at +0.5 crosses the middle when the shift exceeds 0.5; one at -0.5 never does."""
    k2 = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    shift = torch.tanh(torch.atanh(torch.tensor(0.6)) * k2[:, 0])
    response = respond(net, EvaluationSet(side, data, batch_size), torch.zeros(1, 2), k2)
    expected = (data.labels == 0) | (shift < 0.5)
    near = (shift - 0.5).abs() < 0.02
    assert torch.equal(response.right[~near], expected[~near])
    torch.testing.assert_close(response.displacement["spatial"], shift**2 / 3)
    torch.testing.assert_close(response.rms_shift["spatial"], shift / 2)
    assert set(response.displacement) == {"spatial"}
    assert 0 < expected.sum() < 200


def test_curves_fall_where_the_blob_crosses(net, data, side):
    points = {(point.ray, point.t): point for point in curves(net, EvaluationSet(side, data, 64))}
    assert points[(1, 0), 0.0].accuracy == 1
    assert points[(1, 0), 0.6].accuracy == 1  # shift 0.39
    assert points[(1, 0), 1.0].accuracy == 0.5
    assert points[(0, 1), 1.0].accuracy == 1
    assert points[(0, 1), 1.0].displacement == 0
    assert points[(1, 1), 1.0].displacement == pytest.approx(0.36 / 3)
    assert points[(1, 0), 1.0].ci_low < 0.5 < points[(1, 0), 1.0].ci_high


def test_strips_show_what_the_classifier_says(net, data):
    pictures, predictions = strips(net, data.images[:2], (0.0, 1.0))
    assert predictions["spatial"].tolist() == [[0, 0], [1, 0]]
    assert torch.equal(pictures["spatial"][:, 0], data.images[:2])
    assert pictures["spatial"].shape == (2, 2, 1, 20, 20)


def test_grid_has_the_original_in_its_first_cell(side, data):
    net = itn.InvariantTransformerNet(side, itn.ColorTransformer(1), itn.SpatialTransformer())
    for part in (net.color, net.spatial):
        nn.init.normal_(part.head.output.weight, std=0.2, generator=torch.Generator().manual_seed(0))
    cells = grid(net, data.images[:4], (0.0, 1.0), (0.0, 0.5, 1.0))
    assert cells.shape == (2, 3, 4, 1, 20, 20)
    assert torch.equal(cells[0, 0], data.images[:4])
    one = torch.ones(2)
    assert torch.equal(cells[1, 2], net.transform(data.images[:4], one, one))
    assert torch.equal(cells[0, 2], net.transform(data.images[:4], 0 * one, one))


def test_images_are_chosen_class_by_class():
    labels = torch.tensor([2, 2, 0, 2, 0, 5])
    assert one_per_class(labels, 2).tolist() == [2, 0]
    assert one_per_class(labels, 5).tolist() == [2, 0, 5, 4, 1]
    assert one_per_class(labels, 10).tolist() == [2, 0, 5, 4, 1, 3]
