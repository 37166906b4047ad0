"""A map is as far as it may go if no more images break there, and more break a little farther out."""

import pytest
import torch

import itn
from itn.stats import stratified_subset

DIGITS, TOLERATED = 1500, 15


@pytest.fixture(scope="module")
def digits():
    classifier = itn.load_classifier("lenet5")
    return classifier, itn.preflight(classifier, *itn.load_images("mnist:heldout", limit=DIGITS))


def broken(classifier, data, matrix):
    """Return how many of all digits break."""
    pixels = data.pixels(slice(None), classifier.device)
    predictions = itn.predict(classifier, itn.warp(pixels, matrix.expand(len(data), -1, -1)).clamp(0, 1))
    return int((data.clean & (predictions != data.labels)).sum())


@pytest.mark.parametrize("name", ["rotate", "zoom", "shear_x", "translate_y"])
def test_a_baseline_goes_as_far_as_the_tolerance(name, digits, experiment):
    study = experiment("furthest_map.run")
    named = [single for single in study.baselines_of(digits[1]) if single.name == name]
    assert [baseline.sign for baseline in named] == ["+", "-"]
    for baseline in named:
        path = study.alone(baseline)
        scale = study.largest_scale(*digits, path, 1.0)
        assert broken(*digits, path(scale)) <= TOLERATED, baseline
        assert broken(*digits, path(1.02 * scale)) > TOLERATED, baseline
        deviation = study.deviation_of(baseline, scale)
        torch.testing.assert_close(study.ray(deviation)(1.0), path(scale))


def test_climbing_leads_on_and_keeps_to_the_tolerance(digits, experiment):
    study = experiment("furthest_map.run")
    start = study.scaled(*digits, torch.tensor([[0.0, 0.3, 0.0], [-0.3, 0.0, 0.0]]))
    top = study.climb(*digits, start, steps=6)
    for deviation in (start, top):
        assert broken(*digits, study.ray(deviation)(1.0)) <= TOLERATED
        assert broken(*digits, study.ray(deviation)(1.02)) > TOLERATED
    assert study.displacement(top) > 1.2 * study.displacement(start)


def test_the_displacement_of_what_is_added_to_the_identity(experiment):
    deviation = torch.tensor([[0.3, 0.0, 0.0], [0.0, -0.4, 0.5]])
    assert experiment("furthest_map.run").displacement(deviation) == pytest.approx((0.09 + 0.16 + 0.25) / 3)


def test_others_are_all_that_a_seed_has_not_learned_from(digits, experiment, monkeypatch):
    study, evaluated = experiment("furthest_map.run"), []
    monkeypatch.setattr(study, "largest_scale", lambda _, data, *rest: evaluated.append(data) or 0.5)
    baselines, direction = study.baselines_of(digits[1])[:3], torch.full((2, 3), 0.2)
    result = study._on_others(*digits, direction, baselines, seed=3)
    training = stratified_subset(digits[1].labels, 600, 3)
    for data in evaluated:
        both = [*digits[1].images[training], *data.images]
        assert sorted(image.numpy().tobytes() for image in both) == sorted(
            image.numpy().tobytes() for image in digits[1].images
        )
    assert result["images"] == 900
    assert result["displacement"] == pytest.approx(study.displacement(0.5 * direction))
    assert result["baseline_displacement"] == max(baseline.displacement(0.5) for baseline in baselines)
