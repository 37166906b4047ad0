"""Requirements of a screen whose thresholds are known on paper."""

import dataclasses

import pytest

import itn
from itn.screening.requirements import check_requirements
from itn.stats import drop_upper_bound

MAGNITUDES = {
    "rotate": (-40.0, -20.0, 0.0, 20.0, 40.0),
    "zoom": (0.5, 1.0, 2.0),
    "horizontal_flip": (0.0, 1.0),
}
CONFIG = itn.ScreenConfig(
    tuple(MAGNITUDES), magnitudes=MAGNITUDES, round_trip=False, bisections=0, accuracy_bisections=0
)


@pytest.fixture(scope="module")
def sweep():
    images, labels = itn.load_images("mnist", limit=100)
    return itn.screen(itn.load_classifier("lenet5"), images, labels, CONFIG)


@pytest.fixture(scope="module")
def known(sweep):
    """The same screen with thresholds that are written here."""
    rotate = sweep.record.transforms["rotate"]
    sides = {"below": itn.Threshold(-30.0, -33.0, -26.0), "above": itn.Threshold(None, 38.0, None)}
    curves = {"broken": (0.2, 0.05, 0.0, 0.02, 0.1), "mended": (0.0, 0.01, 0.0, 0.02, 0.0)}
    zoom = sweep.record.transforms["zoom"]
    factors = {"below": itn.Threshold(0.8, 0.75, 0.9), "above": itn.Threshold(1.5, 1.4, 1.6)}
    changed = {
        "rotate": dataclasses.replace(
            rotate, thresholds=dataclasses.replace(rotate.thresholds, accuracy=sides), **curves
        ),
        "zoom": dataclasses.replace(zoom, thresholds=dataclasses.replace(zoom.thresholds, accuracy=factors)),
    }
    record = dataclasses.replace(sweep.record, transforms=sweep.record.transforms | changed)
    return dataclasses.replace(sweep, record=record)


def verdicts(found):
    return [(v.value, v.ci_low, v.ci_high, v.met) for v in found.verdicts]


def test_a_reach_is_the_distance_on_both_sides(known):
    found = known.require("rotate>=26")
    assert verdicts(found) == [
        (30, 26, 33, True),
        (40, 38, None, True),
    ]  # beyond counts as the last one tried
    assert found.met
    assert [v.met for v in known.require("rotate>=27").verdicts] == [False, True]
    assert known.require("rotate>=27", judge_by="estimate").met
    assert [v.met for v in known.require("rotate>=31", judge_by="estimate").verdicts] == [False, True]
    assert known.require("rotate.above>=38").met
    assert not known.require("rotate.above>=39").met


def test_the_reach_of_a_factor_is_a_factor(known):
    found = known.require("zoom>=1.1")
    assert [v[:3] for v in verdicts(found)] == [
        pytest.approx((1.25, 1 / 0.9, 1 / 0.75)),
        pytest.approx((1.5, 1.4, 1.6)),
    ]
    assert found.met
    assert [v.met for v in known.require("zoom>=1.2").verdicts] == [False, True]
    assert known.require("zoom.below>=1.25", judge_by="estimate").met


def test_a_drop_is_the_largest_up_to_the_magnitudes_that_are_named(known):
    (below, above) = known.require("rotate.below>=20,drop<=5%").verdicts[1:] * 2
    assert below == above
    assert below.value == pytest.approx(4)
    bound = drop_upper_bound(5, 1, 100, 0.975)
    assert below.ci_high == below.judged == pytest.approx(100 * bound)
    assert not below.met
    assert known.require("rotate.below>=20,drop<=5%", judge_by="estimate").met
    # 21 was not tried: what comes next, 40, counts
    assert known.require("rotate.below>=21,drop<=5%").verdicts[1].value == pytest.approx(20)
    assert len(known.require("rotate>=20,zoom>=1.1,drop<=5%").verdicts) == 8


def test_accuracy_is_of_unchanged_images(sweep):
    low, high = sweep.record.clean_accuracy_ci
    value = sweep.record.clean_accuracy
    (verdict,) = sweep.require("accuracy>=50%").verdicts
    assert (verdict.value, verdict.ci_low, verdict.ci_high) == pytest.approx(
        (100 * value, 100 * low, 100 * high)
    )
    between = f"accuracy>={100 * (value + low) / 2}%"
    assert not sweep.require(between).met
    assert sweep.require(between, judge_by="estimate").met


def test_a_discrete_transformation_is_kept_or_not(sweep):
    assert sweep.record.transforms["horizontal_flip"].kept == (True, False)
    assert not sweep.require("horizontal_flip>=1").met
    assert sweep.require("horizontal_flip>=0").met


def test_what_cannot_be_decided_is_refused_before_the_screen():
    for text, message in [
        ("rotat>=15", "rotat cannot be required here, only rotate, zoom, horizontal_flip, accuracy, drop"),
        ("rotate>=41", "rotate>=41: rotate is only tried up to 40 below the identity"),
        ("rotate>=-3", "rotate>=-3: a distance from the identity is at least 0"),
        ("zoom>=0.5", "zoom>=0.5: a factor is at least 1"),
        ("zoom>=2.1", "zoom is only tried up to 2 below"),
        ("horizontal_flip.below>=1", "horizontal_flip.below cannot be required"),
        ("drop<=1%", "say up to where accuracy may not fall further, as in rotate>=15,drop<=1%"),
        ("rotate>=15,drop<=3", "write a percentage from 0% to 100%, such as 97%"),
        ("accuracy<=97%", "accuracy takes >="),
    ]:
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            check_requirements(text, CONFIG)
    check_requirements("rotate>=40,zoom>=2,horizontal_flip>=1,drop<=2%,accuracy>=90%", CONFIG)
    without = dataclasses.replace(CONFIG, criterion="agreement")
    with pytest.raises(ValueError, match="accuracy needs labels"):
        check_requirements("accuracy>=97%", without)


def test_what_was_left_out_is_said(sweep):
    record = dataclasses.replace(
        sweep.record, left_out={"grayscale": "images of one channel are gray already"}
    )
    with pytest.raises(ValueError, match="grayscale was left out, since images of one channel are gray"):
        dataclasses.replace(sweep, record=record).require("grayscale>=0.5")
