"""The single transformations beside a family: how far they go, and where learning begins."""

import pytest
import torch

import itn
from itn.certification.baselines import EstimatedBaseline
from itn.certification.criteria import Accuracy, Broken
from itn.certification.family_baselines import FamilyBaselines, estimate_family_baselines
from itn.certification.parametric import Count, EvaluationSet
from itn.learning.load import make_net
from itn.nn import Frame
from itn.stats import DropTest

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=30, batch_size=64)


def test_references_are_the_largest_displacements_of_baselines(blobs, side):
    """Shifts along y and all that leaves the horizontal centre alone go to their bounds."""
    data = itn.preflight(side, *blobs)
    net = make_net(side, QUICK, data.images.shape)
    test = DropTest(200, 0.06, 0.95, signed=False)
    baselines = estimate_family_baselines(net, EvaluationSet(side, data, criterion=Broken()), test)
    assert (
        baselines.target == (6 + 0.5) / 200
    )  # of 200 images 6 may be broken: below 6 % with 95 % confidence
    by_name = {
        (estimate.baseline.name, estimate.baseline.max_offset > 0): estimate.scale
        for estimate in baselines.estimates["spatial"]
    }
    assert by_name["translate_x", True] == pytest.approx(0.5, abs=0.04)  # a quarter of the width
    assert by_name["shear_x", True] == 1.0
    assert baselines.references["spatial"] >= 1 / 3
    assert baselines.references["color"] == pytest.approx(0.5)
    assert baselines.bounded == {
        "color"
    }  # a rotation that ends at a right angle has more displacement than a shear


def test_pairs_are_of_the_furthest_baselines_and_never_opposite():
    """Shears of 0.4 and -0.32 and a scale of 0.35 are among the furthest; shifts are far from that."""
    scales = {("shear_x", 1): 0.4, ("shear_x", -1): 0.32, ("scale_y", 1): 0.35}
    estimates = [
        EstimatedBaseline(baseline, scales.get((baseline.name, 1 if baseline.max_offset > 0 else -1), 0.01))
        for baseline in itn.SpatialTransformer().baselines(Frame(1, 20, 20))
        if baseline.name in ("shear_x", "scale_y", "translate_x")
    ]
    baselines = FamilyBaselines({"spatial": estimates}, DropTest(1000, 0.01))
    assert baselines.bounded == set()
    found = baselines.promising_pairs("spatial")
    # Matrices say where an output pixel comes from: a shear to the right has a negative entry
    up, down, taller = ([0, -0.4, 0, 0, 0, 0], [0, 0.32, 0, 0, 0, 0], [0, 0, 0, 0, 0.35, 0])
    none = [0.0] * 6
    expected = [[up, taller], [taller, down], [up, none], [taller, none], [down, none]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_what_is_no_member_of_the_family_is_no_direction_and_no_bound():
    """A family of shifts is compared with rotations, but none of these can be learned with its parameters."""
    shifts = itn.SpatialTransformer("translation")
    estimates = [EstimatedBaseline(baseline, 1.0) for baseline in shifts.baselines(Frame(1, 20, 20))]
    baselines = FamilyBaselines({"spatial": estimates}, DropTest(1000, 0.01))
    assert {estimate.baseline.name for estimate in estimates} >= {"rotate", "translate_x"}
    assert baselines.references["spatial"] > 1  # a rotation by a right angle
    assert baselines.bounded == set()
    assert len(baselines.promising_pairs("spatial")) == 0


def test_the_ends_of_a_range_are_those_on_paper(flats, brightness):
    """A gain holds from 2/3 to the bound, a bias from -1/4 to 1/4: the longer end comes first."""
    data = itn.preflight(brightness, *flats)
    for family, (longer, shorter), nonnegative in (
        ("gain", (1.0, -1 / 3), False),
        ("bias", (0.25, -0.25), False),
        ("bias", (0.25, 0.0), True),
    ):
        config = itn.LearnConfig(
            parts=("color",), color_family=family, nonnegative=nonnegative, tolerance=0.06
        )
        net = make_net(brightness, config, data.images.shape)
        test = config.terms.test(200, Broken())
        found = estimate_family_baselines(net, EvaluationSet(brightness, data, criterion=Broken()), test)
        assert sorted(found.ranges["color"], key=abs, reverse=True) == list(found.ranges["color"])
        assert sorted(found.ranges["color"]) == pytest.approx(sorted((longer, shorter)), abs=2e-3)


def test_the_target_is_smaller_where_more_images_change():
    """By accuracy a family with much churn has to stay further below the tolerance to be certified."""
    baseline = itn.SpatialTransformer().baselines(Frame(1, 20, 20))[0]
    test = QUICK.terms.test(2000, Accuracy())

    def target(broken, mended):
        evaluations = ((0.25, Count(broken, mended, 1000)), (0.5, Count(400, 0, 1000)))
        return FamilyBaselines({"spatial": [EstimatedBaseline(baseline, 0.3, evaluations)]}, test).target

    assert 0.06 > target(30, 0) > target(50, 20) > target(300, 270)
    assert target(50, 20) == (test.largest(140) + 0.5) / 2000
    assert target(0, 0) == test.target(0)
    # Learning never aims at less than three quarters of the tolerance, where images can be mended
    assert target(300, 270) == 0.75 * 0.06
    few = DropTest(200, 0.06, signed=False)
    assert FamilyBaselines({"spatial": [EstimatedBaseline(baseline, 0.3)]}, few).target == few.target(0)
