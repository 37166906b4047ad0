"""Thresholds by three criteria, on a classifier whose answers are known on paper."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import itn


@pytest.fixture
def script(experiment):
    return experiment("three_criteria.run")


def test_a_crossing_is_the_first_and_is_interpolated(script):
    assert script.crossing([0.0, 1.0, 2.0, 4.0], [0.0, 0.01, 0.05, 0.0], 0.02) == pytest.approx(1.25)
    assert script.crossing([0.0, 1.0], [0.0, 0.02], 0.02) is None


def test_resamples_weigh_to_one(script):
    weights = script.resampled(50, 0)
    assert weights.shape == (script.RESAMPLES, 50)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert not np.array_equal(weights, script.resampled(50, 1))


def test_mended_images_count_for_accuracy_alone(script, blobs, side):
    """All blobs of one class are shifted across the middle; 40 of them were wrong, and are mended."""
    images, labels = blobs[0].mul(255).round().to(torch.uint8), blobs[1].clone()
    left = (labels == 0).nonzero().flatten()
    labels[left[:40]] = 1  # seen on the left: wrong unchanged
    data = SimpleNamespace(images=images, labels=labels, canvases=None)
    part = itn.SpatialTransformer()
    single = next(
        one
        for one in part.baselines(part.frame(images.shape))
        if (one.name, one.sign) == ("translate_x", "+")
    )
    found = script.thresholds(side, data, single, False, {"tolerance": 0.05, "batch_size": 64}, 0)
    assert found["magnitudes"][0] == 0
    across = next(number for number, v in enumerate(found["magnitudes"]) if v > 0.26)
    assert found["magnitudes"][across] < 0.31  # beyond, the other blob leaves the frame
    assert {name: drops[across] for name, drops in found["drops"].items()} == {
        "accuracy": pytest.approx((60 - 40) / 200),
        "broken": pytest.approx(60 / 200),
        "agreement": pytest.approx(100 / 200),
    }
    for criterion in script.CRITERIA:
        assert found["thresholds"][criterion]["magnitude"] == pytest.approx(0.25, abs=0.03)
