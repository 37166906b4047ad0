"""What the screening study makes of thresholds and curves, on ones that are known on paper."""

from types import SimpleNamespace

import pytest
import torch

import itn


@pytest.fixture
def study(experiment):
    return experiment("bunne_screening.run")


def sides(**values):
    """Return thresholds with intervals of a tenth to both sides."""
    return {
        side: dict.fromkeys(("value", "ci_low", "ci_high"))
        if v is None
        else {"value": v, "ci_low": v - 0.1, "ci_high": v + 0.1}
        for side, v in values.items()
    }


def test_every_nth_magnitude_keeps_the_identity(study):
    for transform in itn.TRANSFORMS.values():
        for every in (1, 2, 3, 4):
            thinned = study.every_nth(transform, every)
            assert transform.identity in thinned
            assert set(thinned) <= set(transform.magnitudes)
    assert study.every_nth(itn.TRANSFORMS["rotate"], 6) == (-180, -90, 0, 90, 180)
    assert study.every_nth(itn.TRANSFORMS["horizontal_flip"], 2) == (0, 1)


def test_a_discrete_transformation_has_verdicts_not_a_range(study):
    flips = {"above": {"median": {"value": 1.0, "ci_low": 1.0, "ci_high": None}}}
    sweep = {
        "identity": 0.0,
        "magnitudes": (0.0, 1.0),
        "accuracy": (0.99, 0.44),
        "agreement": (1.0, 0.5),
        "accuracy_thresholds": sides(above=1.0),
        "flips": flips,
    }
    assert study.extents(sweep) == ("0 to 1 [0.9, 1.1]", "0 to 1 [1, beyond]")
    assert study.extents(sweep | {"kept": (True, False)}) == ("breaks at 1: 44.0 % right", "kept at 1")


def test_classes_are_shown_by_number_of_images_if_one_is_recognized(study, side):
    classifier = itn.Classifier(side.net, class_names=("left", "right"))
    images = torch.zeros(5, 1, 4, 4)
    images[:, :, :, 0] = 1  # all on the left
    data = itn.ImageSet(images, torch.tensor([1, 0, 0, 1, 1]), torch.arange(5))
    assert study.shown_labels(classifier, data, None) == [0]
    assert study.shown_labels(classifier, data, ("right", "left", "right")) == [1, 0, 1]
    few = itn.ImageSet(images[:1], torch.tensor([1]), torch.arange(1))
    with pytest.raises(ValueError, match="no image of left"):
        study.shown_labels(classifier, few, ("right", "left"))


def test_spread_orders_by_distance_and_counts_what_has_no_threshold(study):
    spread = study.statements.class_spread(
        itn.TRANSFORMS["zoom"], {"a": 0.25, "b": None, "c": 0.5, "d": 1.0, "e": 0.9}
    )
    assert (spread["classes"], spread["reached"], spread["unrecognized"]) == (4, 3, 1)
    assert spread["nearest"] == {"class": "e", "value": 0.9}
    assert spread["median"] == {"class": "c", "value": 0.5}
    assert spread["farthest"] == {"class": "b", "value": None}


@pytest.mark.parametrize(
    ("values", "differ"),
    [((0.3, 0.4), False), ((0.3, 0.6), True), ((0.3, None), False), ((None, None), False)],
)
def test_noise_needs_two_classes_whose_intervals_are_apart(study, values, differ):
    found = {str(number): sides(above=v) for number, v in enumerate(values)}
    spread = study.statements.class_spread(
        itn.TRANSFORMS["noise"], {name: of["above"]["value"] for name, of in found.items()}
    )
    sweep = {"identity": 0.0, "class_thresholds": found, "class_spread": {"above": spread}}
    assert study.statements.noise({"noise": sweep}, single=False)["differ"] is differ
    assert study.statements.noise({"noise": sweep}, single=True) is None


def test_rotation_tells_constant_lost_and_back_apart(study):
    softmax = {"orange": (0.9, 0.85, 0.9), "broom": (0.8, 0.1, 0.7), "cup": (1.0, 0.2, 0.3)}
    rows = [
        SimpleNamespace(transform="rotate", class_=name, magnitude=v, softmax_true=value)
        for name, curve in softmax.items()
        for v, value in zip((0.0, 90.0, 180.0), curve, strict=True)
    ]
    lost = itn.Threshold(40.0, 30.0, 50.0)
    sweep = SimpleNamespace(
        identity=0.0,
        magnitudes=(0.0, 90.0, 180.0),
        thresholds=SimpleNamespace(
            classes={
                "orange": {"above": itn.Threshold(None, None, None)},
                "broom": {"above": lost},
                "cup": {"above": lost},
            }
        ),
        recoveries=SimpleNamespace(classes={"broom": ((180.0, 180.0),)}, returned=(0.0, 0.1, 0.3)),
    )
    result = SimpleNamespace(record=SimpleNamespace(transforms={"rotate": sweep}), curves=rows)
    found = study.statements.rotation(result, single=False)
    assert (found["constant"], found["never_broken"], found["back_at_180"]) == (
        ["orange"],
        ["orange"],
        ["broom"],
    )
    assert (found["strongly_reduced"], found["images_returned_at_180"]) == (2, 0.3)
    assert found["median_remaining"] == pytest.approx(0.2)


def test_similarity_ranks_classes_within_each_transformation(study):
    def record(noise, rotation):
        return {
            "model": "it",
            "transforms": {
                "noise": {"class_thresholds": {str(k): sides(above=v) for k, v in enumerate(noise)}},
                "rotate": {"class_thresholds": {str(k): sides(above=v) for k, v in enumerate(rotation)}},
            },
        }

    here = record((0.1, 0.2, 0.3, None), (10.0, 20.0, 30.0, 0.0))
    same = study.statements.similarity(here, record((0.2, 0.4, 0.5, 0.6), (11.0, 22.0, 33.0, 44.0)))
    assert (same["thresholds"], same["censored"], same["unrecognized"]) == (6, 1, 1)
    assert same["rho"] == pytest.approx(1)
    assert same["rho_within"] == pytest.approx(1)
    # Units alone make the ranks agree, though the classes are in opposite order
    opposite = study.statements.similarity(here, record((0.5, 0.4, 0.2, 0.6), (33.0, 22.0, 11.0, 44.0)))
    assert opposite["rho"] > 0.5
    assert opposite["rho_within"] == pytest.approx(-1)
