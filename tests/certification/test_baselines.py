"""Single axes: bounded as they say, and measured on a classifier whose answers are known on paper."""

import math

import pytest
import torch

import itn
from itn.certification.baselines import (
    Estimate,
    certify_baselines,
    color_baselines,
    displacement_ratio,
    estimate_baselines,
    spatial_baselines,
)
from itn.stats.fixed_sequence import FixedSequence, max_failures
from itn.stats.sampling import generator
from tests.certification.test_worst_k import CLASSIFIER, flat_images

SPATIAL = ("rotate", "scale_x", "scale_y", "zoom", "shear_x", "shear_y", "translate_x", "translate_y")


@pytest.mark.parametrize("aspect", [1.0, 1.5, 0.5])
@pytest.mark.parametrize("bound", [1.0, 0.3])
def test_spatial_axes_reach_their_bound_and_no_further(aspect, bound):
    axes = spatial_baselines(aspect, bound)
    assert sorted(axis.name for axis in axes) == sorted(2 * SPATIAL)
    for axis in axes:
        _, spatial = axis.mover.matrices(torch.tensor([[0.0], [0.5], [1.0]]))
        deviation = (spatial - torch.eye(2, 3)).abs().amax((1, 2))
        assert deviation[0] == 0
        assert 0 < deviation[1] < deviation[2]
        assert deviation[2] == pytest.approx(bound, rel=1e-5)


@pytest.mark.parametrize("axis", spatial_baselines(1.5), ids=lambda axis: f"{axis.name} {axis.reach:+.1f}")
def test_spatial_axes_are_those_of_the_table(axis):
    images = torch.rand(1, 3, 20, 30, generator=generator(0, "images"))
    _, spatial = axis.mover.matrices(torch.tensor([[0.25]]))
    moved = itn.TRANSFORMS[axis.name](images, axis.magnitude(0.25))
    assert torch.equal(itn.warp(images, spatial).clamp(0, 1), moved)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_axes_are_those_of_the_table(channels):
    images = torch.rand(2, channels, 5, 7, generator=generator(0, "images"))
    axes = color_baselines(channels)
    assert [axis.name for axis in axes] == ["contrast"] * 2 + ["brightness"] * 2 + ["grayscale"] * (
        channels > 1
    )
    for axis in axes:
        color, _ = axis.mover.matrices(torch.tensor([[0.6]]))
        moved = itn.TRANSFORMS[axis.name](images, axis.magnitude(0.6))
        torch.testing.assert_close(itn.apply_color(images, color), moved, atol=1e-6, rtol=0)


def test_displacement_of_axes_is_that_on_paper():
    by_name = {(axis.name, axis.reach > 0): axis for axis in spatial_baselines(1.0) + color_baselines(1)}
    assert by_name["scale_x", True].displacement(0.3) == pytest.approx(0.3**2 / 3)
    assert by_name["zoom", False].displacement(0.3) == pytest.approx(2 * 0.3**2 / 3)
    assert by_name["rotate", False].displacement(1 / 3) == pytest.approx(4 / 3 * (1 - math.cos(math.pi / 6)))
    assert by_name["contrast", True].displacement(0.5) == pytest.approx(0.125)


def test_axes_go_as_far_as_on_paper():
    """Brightness is uniform in (1/2, 1): darkening by d loses the share 2 d, a gain of 1 - s s / (1 - s)."""
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 4002)[1:-1])
    axes = color_baselines(1)
    found, _ = certify_baselines(CLASSIFIER, data, axes, estimate_baselines(CLASSIFIER, data, axes, 0.2), 0.2)
    records = {(record.transform, record.sign): record for record in found}
    up, down = records["contrast", "+"], records["contrast", "-"]
    assert up.reached_bound
    assert up.certified_magnitude == 2.0
    assert down.estimated_magnitude == pytest.approx(1 - 1 / 6, abs=0.03)
    assert records["brightness", "-"].estimated_magnitude == pytest.approx(-0.1, abs=0.03)
    assert down.certified_magnitude is None  # far from the longest, which is the gain above 1
    assert not down.reached_bound


def test_an_axis_that_estimates_put_second_can_be_the_longest():
    """Estimates are of few images. Here half as far, by them, as darkening, brightening is unbroken."""
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 402)[1:-1])
    darker, brighter = (
        next(axis for axis in color_baselines(1) if (axis.name, axis.reach > 0) == ("brightness", up))
        for up in (False, True)
    )
    estimates = [Estimate(0.5, ()), Estimate(0.5 * 0.5**0.5, ())]
    _, certified = certify_baselines(CLASSIFIER, data, [darker, brighter], estimates, 0.2)
    assert len(certified) == 2
    assert max(certified, key=lambda each: each[0].displacement(each[1].scale))[0] is brighter


def test_certified_axes_keep_to_the_tolerance():
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 4002)[1:-1])
    darker = [axis for axis in color_baselines(1) if axis.name == "brightness" and axis.reach < 0]
    estimates = estimate_baselines(CLASSIFIER, data, darker, 0.2)
    (record,), ((_, calibration),) = certify_baselines(CLASSIFIER, data, darker, estimates, 0.2)
    assert record.estimated_magnitude == pytest.approx(-0.1, abs=0.01)
    provable = max_failures(4000, 0.2) / 4000 / 2  # darker by d, the share 2 d is lost
    assert provable / 1.03 <= -record.certified_magnitude <= provable + 1e-3  # scales are 3 % apart
    assert calibration.scale == -record.certified_magnitude
    assert record.certified_displacement == pytest.approx(record.certified_magnitude**2 / 2)


AXIS = next(axis for axis in color_baselines(1) if axis.name == "brightness")
SCALES = tuple(0.02 * i for i in range(1, 15))


def calibration_of(radii):
    return FixedSequence(SCALES, torch.stack([(radii < scale)[None] for scale in SCALES]), tolerance=0.1)


def test_ratio_of_a_family_that_moves_twice_as_far_is_two_in_every_sample():
    radii = torch.rand(500, generator=generator(0, "radii"))
    calibration = calibration_of(radii)
    moved = [2 * AXIS.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(calibration, moved, [(AXIS, calibration)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == pytest.approx((2, 2, 2))


def test_ratio_to_several_axes_is_to_the_longest():
    radii = torch.rand(500, generator=generator(0, "radii"))
    near, far = calibration_of(radii), calibration_of(radii / 1.5)
    moved = [AXIS.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(far, moved, [(AXIS, near), (AXIS, far)], generator(0, "bootstrap"))
    assert ratio.value == pytest.approx((far.scale / near.scale) ** 2)
    assert ratio.ci_low <= ratio.value <= ratio.ci_high < 1


def test_no_ratio_where_an_axis_is_unbroken():
    whole = FixedSequence((0.5, 1.0), torch.zeros(2, 1, 500, dtype=torch.bool), tolerance=0.1)
    assert displacement_ratio(whole, [1.0, 2.0], [(AXIS, whole)], generator(0, "bootstrap")) is None


def test_an_unbroken_axis_that_is_not_the_longest_leaves_the_ratio():
    """A zoom within narrow bounds holds up to them, and is still shorter than a brightness that breaks."""
    shorter = next(axis for axis in spatial_baselines(1.0, 0.1) if axis.name == "zoom")
    whole = FixedSequence((0.5, 1.0), torch.zeros(2, 1, 500, dtype=torch.bool), tolerance=0.1)
    broken = calibration_of(torch.full((500,), 0.2))
    assert shorter.displacement(1.0) < AXIS.displacement(0.2)
    moved = [2 * AXIS.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(broken, moved, [(AXIS, broken), (shorter, whole)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == pytest.approx((2, 2, 2))


def test_an_axis_that_half_of_the_resamples_stop_leaves_no_upper_end():
    """As many images are lost at the first scale as may be: one more, and the axis cannot move at all."""
    radii = torch.ones(500)
    radii[: max_failures(500, 0.1)] = 0.0
    barely = calibration_of(radii)
    assert barely.scale == SCALES[-1]
    moved = [AXIS.displacement(scale) for scale in SCALES]
    free = calibration_of(torch.ones(500))
    ratio = displacement_ratio(free, moved, [(AXIS, barely)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (1.0, 1.0, None)
    # Where family and axis stop together, such a sample says nothing at either end
    ratio = displacement_ratio(barely, moved, [(AXIS, barely)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (1.0, 0.0, None)


def test_resampled_images_give_the_ratio_an_interval():
    """Family and axis that lose different images are uncertain against each other."""
    first, second = (calibration_of(torch.rand(500, generator=generator(seed, "radii"))) for seed in (0, 1))
    moved = [AXIS.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(first, moved, [(AXIS, second)], generator(0, "bootstrap"))
    assert ratio.ci_low < 1 < ratio.ci_high
