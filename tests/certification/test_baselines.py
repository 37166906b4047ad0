"""Single baselines: bounded as they say, and measured on a classifier whose answers are known on paper."""

import math

import pytest
import torch

import itn
from itn.certification.baselines import baseline_record, estimate_baselines
from itn.nn import Frame
from itn.stats import DropTest
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
    records = {(record.transform, record.sign): record for record in map(baseline_record, estimates)}
    up, down = records["contrast", "+"], records["contrast", "-"]
    assert up.reached_bound
    assert up.estimated_magnitude == 2.0
    assert (up.identity, up.unit) == (1.0, itn.TRANSFORMS["contrast"].unit)
    assert down.estimated_magnitude == pytest.approx(1 - 1 / 6, abs=0.03)
    assert records["brightness", "-"].estimated_magnitude == pytest.approx(-0.1, abs=0.03)
    assert down.magnitude is None  # not measured on held-out images
    assert not down.reached_bound
