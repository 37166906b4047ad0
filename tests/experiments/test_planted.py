"""Both instruments on small classifiers with a planted range: the study's own functions, fewer digits."""

import math

import numpy as np
import pytest
import torch

import itn


@pytest.fixture
def planted(experiment):
    return experiment("planted.run")


def test_both_instruments_find_a_shift_to_one_side(planted):
    """Within a step of screening, and within 15 % of the parameter: 2,400 digits calibrate, not 12,000."""
    plant = planted.PLANTS["shift-right"]
    classifier = planted.planted(plant, digits=5_000, epochs=4, seed=0)
    images, labels = itn.load_images("mnist:heldout", limit=4000)
    sides = planted.screened(classifier, images[::4], labels[::4], plant.transform)
    assert [side["side"] for side in sides] == ["below", "above"]
    assert all(side["steps_apart"] <= 1 for side in sides)
    found = planted.learned(classifier, images, labels, plant.transform, seed=0, steps=30)
    assert all(-0.15 < off < 0.05 for off in found["off"])
    low, high = found["range"]
    assert high > 2 * -low


def test_share_of_rotation_is_that_on_paper(planted):
    for angle in (0.2, math.pi / 2, 3.0):
        turn = itn.functional.family_matrix("rotation", torch.tensor([[angle]], dtype=torch.float64))[
            0
        ].numpy()
        assert planted.rotation_share(turn) == pytest.approx(1)
    assert planted.rotation_share(np.array([[1.5, 0, 0], [0, 0.7, 0]])) == pytest.approx(0, abs=1e-12)
    assert planted.rotation_share(np.array([[1, 0, 0.3], [0, 1, 0]])) == pytest.approx(0, abs=1e-12)
    # The logarithm of a shear by s is the shear itself: half of its square is a turn
    assert planted.rotation_share(np.array([[1, 0.4, 0], [0, 1, 0]])) == pytest.approx(0.5)


def test_a_crossing_is_interpolated_in_its_stride(planted):
    assert planted._crossing(lambda x: x**2, 0.25, 0.2, 1.0) == pytest.approx(0.4 + 0.2 * 0.09 / 0.2)
    assert planted._crossing(lambda x: 0.1, 0.25, 0.2, 1.0) is None
