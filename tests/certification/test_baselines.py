"""Single baselines: bounded as they say, and measured on a classifier whose answers are known on paper."""

import math

import pytest
import torch

import itn
from itn.certification.baselines import (
    EstimatedBaseline,
    calibrate_baselines,
    displacement_ratio,
    estimate_baselines,
)
from itn.nn import Frame
from itn.stats import DropTest, FixedSequence, max_failures
from itn.stats.sampling import generator
from tests.certification.test_parametric import evaluation_set, flat_images


def spatial_baselines(aspect, bound=1.0):
    return itn.SpatialTransformer(bound=bound).baselines(Frame(1, 20, round(20 * aspect)))


def color_baselines(channels):
    return itn.ColorTransformer(channels).baselines(Frame(channels, 20, 20))


SPATIAL = ("rotate", "scale_x", "scale_y", "zoom", "shear_x", "shear_y", "translate_x", "translate_y")


@pytest.mark.parametrize("aspect", [1.0, 1.5, 0.5])
@pytest.mark.parametrize("bound", [1.0, 0.3])
def test_spatial_baselines_reach_their_bound_and_no_further(aspect, bound):
    baselines = spatial_baselines(aspect, bound)
    assert sorted(baseline.name for baseline in baselines) == sorted(2 * SPATIAL)
    for baseline in baselines:
        spatial = baseline.generate(torch.tensor([0.0, 0.5, 1.0]))
        deviation = (spatial - torch.eye(2, 3)).abs().amax((1, 2))
        assert deviation[0] == 0
        assert 0 < deviation[1] < deviation[2]
        assert deviation[2] == pytest.approx(bound, rel=1e-5)


@pytest.mark.parametrize(
    "baseline", spatial_baselines(1.5), ids=lambda baseline: f"{baseline.name} {baseline.max_offset:+.1f}"
)
def test_spatial_baselines_are_those_of_the_table(baseline):
    images = torch.rand(1, 3, 20, 30, generator=generator(0, "images"))
    spatial = baseline.generate(torch.tensor([0.25]))
    moved = itn.TRANSFORMS[baseline.name](images, baseline.magnitude(0.25))
    assert torch.equal(itn.warp(images, spatial).clamp(0, 1), moved)
    assert torch.equal(baseline.apply(images, spatial).clamp(0, 1), moved)
    table = itn.TRANSFORMS[baseline.name]
    assert (baseline.identity, baseline.unit) == (table.identity, table.unit)
    assert baseline.sign == ("+" if baseline.magnitude(0.25) > table.identity else "-")


@pytest.mark.parametrize("channels", [1, 3])
def test_color_baselines_are_those_of_the_table(channels):
    images = torch.rand(2, channels, 5, 7, generator=generator(0, "images"))
    baselines = color_baselines(channels)
    assert [baseline.name for baseline in baselines] == ["contrast"] * 2 + ["brightness"] * 2 + [
        "grayscale"
    ] * (channels > 1)
    for baseline in baselines:
        color = baseline.generate(torch.tensor([0.6]))
        moved = itn.TRANSFORMS[baseline.name](images, baseline.magnitude(0.6))
        torch.testing.assert_close(itn.functional.apply_color(images, color), moved, atol=1e-6, rtol=0)
        torch.testing.assert_close(baseline.apply(images, color), moved, atol=1e-6, rtol=0)
        table = itn.TRANSFORMS[baseline.name]
        assert (baseline.identity, baseline.unit) == (table.identity, table.unit)


def test_displacement_of_baselines_is_that_on_paper():
    by_name = {
        (baseline.name, baseline.max_offset > 0): baseline
        for baseline in spatial_baselines(1.0) + color_baselines(1)
    }
    assert by_name["scale_x", True].displacement(0.3) == pytest.approx(0.3**2 / 3)
    assert by_name["zoom", False].displacement(0.3) == pytest.approx(2 * 0.3**2 / 3)
    assert by_name["rotate", False].displacement(1 / 3) == pytest.approx(4 / 3 * (1 - math.cos(math.pi / 6)))
    assert by_name["contrast", True].displacement(0.5) == pytest.approx(0.125)


def fifth(data):
    return DropTest(len(data), 0.2, signed=False)


def test_baselines_go_as_far_as_on_paper():
    """Brightness is uniform in (1/2, 1): darkening by d breaks the share 2 d, a gain of 1 - s s / (1 - s)."""
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 4002)[1:-1])
    baselines = color_baselines(1)
    estimates = estimate_baselines(evaluation_set(data), baselines, fifth(data))
    calibrated, _ = calibrate_baselines(evaluation_set(data), estimates, fifth(data))
    records = {(record.transform, record.sign): record for record in calibrated}
    up, down = records["contrast", "+"], records["contrast", "-"]
    assert up.reached_bound
    assert up.magnitude == 2.0
    assert (up.identity, up.unit) == (1.0, itn.TRANSFORMS["contrast"].unit)
    assert down.estimated_magnitude == pytest.approx(1 - 1 / 6, abs=0.03)
    assert records["brightness", "-"].estimated_magnitude == pytest.approx(-0.1, abs=0.03)
    assert down.magnitude is None  # far from the largest, which is the gain above 1
    assert not down.reached_bound


def test_a_baseline_that_estimates_put_second_can_be_the_largest():
    """By the estimates brightening goes half as far as darkening; in fact it reaches its bound."""
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 402)[1:-1])
    darker, brighter = (
        next(
            baseline
            for baseline in color_baselines(1)
            if (baseline.name, baseline.max_offset > 0) == ("brightness", up)
        )
        for up in (False, True)
    )
    estimates = [EstimatedBaseline(darker, 0.5), EstimatedBaseline(brighter, 0.5 * 0.5**0.5)]
    _, calibrated = calibrate_baselines(evaluation_set(data), estimates, fifth(data))
    assert len(calibrated) == 2
    assert max(calibrated, key=lambda pair: pair[0].displacement(pair[1].scale))[0] is brighter


def test_calibrated_baselines_keep_to_the_tolerance():
    data = flat_images(0.5 + 0.5 * torch.linspace(0, 1, 4002)[1:-1])
    darker = [
        baseline
        for baseline in color_baselines(1)
        if baseline.name == "brightness" and baseline.max_offset < 0
    ]
    estimates = estimate_baselines(evaluation_set(data), darker, fifth(data))
    (record,), ((_, test),) = calibrate_baselines(evaluation_set(data), estimates, fifth(data))
    assert record.estimated_magnitude == pytest.approx(-0.1, abs=0.01)
    provable = max_failures(4000, 0.2) / 4000 / 2  # darker by d, the share 2 d is broken
    assert provable / 1.05 <= -record.magnitude <= provable + 1e-3  # scales are 5 % apart
    assert test.scale == -record.magnitude
    assert record.displacement == pytest.approx(record.magnitude**2 / 2)


BASELINE = next(baseline for baseline in color_baselines(1) if baseline.name == "brightness")
TENTH = DropTest(500, 0.1, signed=False)
SCALES = tuple(0.02 * i for i in range(1, 15))


def sequence_of(radii):
    changes = torch.stack([(radii < scale)[None] for scale in SCALES]).to(torch.int8)
    return FixedSequence(SCALES, changes, TENTH)


def test_ratio_of_a_family_that_moves_twice_as_far_is_two_in_every_sample():
    radii = torch.rand(500, generator=generator(0, "radii"))
    calibration = sequence_of(radii)
    moved = [2 * BASELINE.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(calibration, moved, [(BASELINE, calibration)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == pytest.approx((2, 2, 2))


def test_ratio_to_several_baselines_is_to_the_largest():
    radii = torch.rand(500, generator=generator(0, "radii"))
    near, far = sequence_of(radii), sequence_of(radii / 1.5)
    moved = [BASELINE.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(far, moved, [(BASELINE, near), (BASELINE, far)], generator(0, "bootstrap"))
    assert ratio.value == pytest.approx((far.scale / near.scale) ** 2)
    assert ratio.ci_low <= ratio.value <= ratio.ci_high < 1


def test_no_ratio_where_a_baseline_reached_its_bound():
    whole = FixedSequence((0.5, 1.0), torch.zeros(2, 1, 500, dtype=torch.int8), TENTH)
    assert displacement_ratio(whole, [1.0, 2.0], [(BASELINE, whole)], generator(0, "bootstrap")) is None


def test_a_baseline_at_its_bound_that_is_not_the_largest_leaves_the_ratio():
    """A zoom that holds up to narrow bounds has a smaller displacement than a brightness that breaks."""
    smaller = next(baseline for baseline in spatial_baselines(1.0, 0.1) if baseline.name == "zoom")
    whole = FixedSequence((0.5, 1.0), torch.zeros(2, 1, 500, dtype=torch.int8), TENTH)
    breaking = sequence_of(torch.full((500,), 0.2))
    assert smaller.displacement(1.0) < BASELINE.displacement(0.2)
    moved = [2 * BASELINE.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(
        breaking, moved, [(BASELINE, breaking), (smaller, whole)], generator(0, "bootstrap")
    )
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == pytest.approx((2, 2, 2))


def test_a_baseline_that_half_of_the_resamples_stop_leaves_no_upper_end():
    """As many images break at the first scale as may: one more, and the baseline cannot move at all."""
    radii = torch.ones(500)
    radii[: max_failures(500, 0.1)] = 0.0
    barely = sequence_of(radii)
    assert barely.scale == SCALES[-1]
    moved = [BASELINE.displacement(scale) for scale in SCALES]
    free = sequence_of(torch.ones(500))
    ratio = displacement_ratio(free, moved, [(BASELINE, barely)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (1.0, 1.0, None)
    # Where family and baseline stop together, such a sample says nothing at either end
    ratio = displacement_ratio(barely, moved, [(BASELINE, barely)], generator(0, "bootstrap"))
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (1.0, 0.0, None)


def test_resampled_images_give_the_ratio_an_interval():
    """A family and a baseline that break different images are uncertain against each other."""
    first, second = (sequence_of(torch.rand(500, generator=generator(seed, "radii"))) for seed in (0, 1))
    moved = [BASELINE.displacement(scale) for scale in SCALES]
    ratio = displacement_ratio(first, moved, [(BASELINE, second)], generator(0, "bootstrap"))
    assert ratio.ci_low < 1 < ratio.ci_high
