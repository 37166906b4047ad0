"""The images and the judge of the study of small networks, on what is known on paper."""

import pytest
import torch

import itn


@pytest.fixture
def judge(experiment):
    return experiment("small_networks.judge")


@pytest.fixture
def pools(experiment):
    return experiment("small_networks.pools")


@pytest.fixture
def pool(judge, side, blobs):
    """Two blobs, told apart at x = 0: shifts by a quarter of the width break one of both."""
    return judge.Pool.of(side, *(blobs[0].mul(255).round().to(torch.uint8), blobs[1]))


@pytest.mark.parametrize("kind", ["shapes", "digits"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_their_seed_and_of_no_other(pools, kind, channels):
    images, labels = pools.draw(kind, channels, 50, 1)
    again, others = pools.draw(kind, channels, 50, 1), pools.draw(kind, channels, 50, 2)
    assert images.shape[:2] == (50, channels)
    assert images.dtype == torch.uint8
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])
    assert not torch.equal(images, others[0])
    assert len(labels.unique()) == (5 if kind == "shapes" else 10)
    if channels == 3:
        assert not torch.equal(images[:, 0], images[:, 1])


def test_a_crossing_is_where_a_line_meets_the_tolerance(judge):
    assert judge.crossing(lambda scale: 0.1 * scale, 1.0, 0.02) == pytest.approx(0.2)
    assert judge.crossing(lambda scale: 0.0, 1.0, 0.02, bound=3.0) == 3.0
    # The first of several
    assert judge.crossing(lambda scale: 0.1 * (0.5 < scale < 0.8), 1.0, 0.02) <= 0.6


def test_thresholds_and_families_are_those_on_paper(judge, pool, side):
    part = itn.SpatialTransformer("translation")
    shifts = {
        f"{one.name} {one.sign}": one
        for one in part.baselines(part.frame(pool.images.shape))
        if one.name.startswith("translate")
    }
    found = {name: one.magnitude(judge.threshold(pool, one, 0.02)) for name, one in shifts.items()}
    # Scales that are tried are 12 % apart, and the drop is a step
    assert found["translate_x +"] == pytest.approx(0.25, abs=0.03)
    assert found["translate_x -"] == pytest.approx(-0.25, abs=0.03)
    largest = judge.largest_first(pool, list(shifts.values()), 0.02)
    assert {one.single.name for one in largest} == {"translate_y"}  # breaks nothing
    with torch.no_grad():
        part.head.hidden.weight.fill_(0.5)
        part.head.output.weight.zero_()
        part.head.output.weight[0] = 0.1 / part.head.hidden.out_features  # 0.1 along x at full strength
    net = itn.InvariantTransformerNet(side, spatial=part)
    full = torch.ones(1, 2)
    assert pool.drop(judge.family_at(net, 4.5, full)) == 0
    assert pool.drop(judge.family_at(net, 6.0, full)) == 0.5
    assert judge.displacements(net, 1.0, pool.images.shape)["spatial"] == pytest.approx(0.1**2 / 3, rel=0.01)
