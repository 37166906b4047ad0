import pytest
import torch

import itn
from itn.certification.parametric import EvaluationSet
from itn.learning.evaluate import curves, respond


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
    response = respond(net, EvaluationSet(side, data, batch_size), [k2])
    expected = (data.labels == 0) | (shift < 0.5)
    near = (shift - 0.5).abs() < 0.02
    assert torch.equal(response.outcomes.right[~near], expected[~near])
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
