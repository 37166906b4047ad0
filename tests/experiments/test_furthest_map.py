"""A map is as far as it may go if no more images break there, and more break a little farther out."""

import pytest
import torch

import itn
from itn.certification.baselines import spatial_baselines
from itn.certification.parametric import break_rate
from itn.learning.split import split_images

DIGITS, TOLERATED = 1500, 15


@pytest.fixture(scope="module")
def digits():
    classifier = itn.load_classifier("lenet5")
    return classifier, itn.preflight(classifier, *itn.load_images("mnist:heldout", limit=DIGITS))


def lost(classifier, data, mover, scale):
    """Return how many of all digits are lost; about how many, if too many."""
    return round(DIGITS * break_rate(classifier, data, mover, torch.full((1, 1), scale), TOLERATED / DIGITS))


@pytest.mark.parametrize("name", ["rotate", "zoom", "shear_x", "translate_y"])
def test_an_axis_reaches_as_far_as_the_tolerance(name, digits, experiment):
    largest_scale = experiment("furthest_map.run").largest_scale
    for axis in (each for each in spatial_baselines(1.0) if each.name == name):
        scale = largest_scale(*digits, axis.mover, 1.0)
        assert lost(*digits, axis.mover, scale) <= TOLERATED, axis
        assert lost(*digits, axis.mover, 1.02 * scale) > TOLERATED, axis


def test_climbing_leads_on_and_keeps_to_the_tolerance(digits, experiment):
    study = experiment("furthest_map.run")
    start = study.scaled(*digits, torch.tensor([[0.0, 0.3, 0.0], [-0.3, 0.0, 0.0]]))
    top = study.climb(*digits, start, steps=6)
    for deviation in (start, top):
        assert lost(*digits, study.ray(deviation), 1.0) <= TOLERATED
        assert lost(*digits, study.ray(deviation), 1.02) > TOLERATED
    assert study.displacement(top) > 1.2 * study.displacement(start)


def test_what_is_added_moves_as_far_as_the_displacement_says(experiment):
    deviation = torch.tensor([[0.3, 0.0, 0.0], [0.0, -0.4, 0.5]])
    assert experiment("furthest_map.run").displacement(deviation) == pytest.approx((0.09 + 0.16 + 0.25) / 3)


def test_others_are_all_that_a_seed_has_not_learned_from(digits, experiment, monkeypatch):
    study, looked_at = experiment("furthest_map.run"), []
    monkeypatch.setattr(study, "largest_scale", lambda _, data, *rest: looked_at.append(data) or 0.5)
    axes, corner = spatial_baselines(1.0)[:3], torch.full((2, 3), 0.2)
    found = study._on_others(*digits, corner, axes, seed=3)
    learned, *_ = split_images(digits[1], itn.LearnConfig(seed=3))
    for data in looked_at:
        both = [*learned.images, *data.images]
        assert sorted(each.numpy().tobytes() for each in both) == sorted(
            each.numpy().tobytes() for each in digits[1].images
        )
    assert found["images"] == 900
    assert found["displacement"] == pytest.approx(study.displacement(0.5 * corner))
    assert found["baseline_displacement"] == max(axis.displacement(0.5) for axis in axes)
