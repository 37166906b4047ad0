"""Rivals of a family: on a classifier whose answers are known on paper."""

import pytest
import torch

import itn
from itn.certification.baselines import EstimatedBaseline, estimate_baselines
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import ParametricTransform
from itn.certification.records import Terms
from itn.certification.rivals import (
    alone,
    combined,
    likely_largest,
    measure,
    measure_rival,
    measured_baseline,
)
from itn.stats import DropTest
from tests.certification.test_baselines import color_baselines
from tests.certification.test_parametric import CLASSIFIER, DARKEN, evaluation_set, flat_images

GRAYS = 0.5 + 0.5 * torch.linspace(0, 1, 4002)[1:-1]


def baseline_of(name, sign):
    return next(b for b in color_baselines(1) if (b.name, b.sign) == (name, sign))


def test_a_single_transformation_goes_as_far_as_on_paper():
    """Brightness is uniform in (1/2, 1): darkening by d breaks the share 2 d."""
    images, darker = evaluation_set(flat_images(GRAYS)), baseline_of("brightness", "-")
    (estimate,) = estimate_baselines(images, [darker], DropTest(4000, 0.2, signed=False))
    rival = alone("color", estimate)
    curve = measure_rival(rival, images, 0.2)
    record = measured_baseline(estimate, rival, curve, 0.2)
    assert rival.name == curve.name == "brightness -"
    assert record.magnitude == pytest.approx(-0.1, abs=1e-3)
    assert record.displacement == pytest.approx(0.1**2 / 2, rel=0.02)
    assert not record.reached_bound
    drops = curve.record().drops
    assert min(drops) < 0.1  # half the tolerance
    assert max(drops) > 0.4  # and twice
    assert [displacement for displacement, _ in record.evaluations] == list(curve.record().displacements)


def test_what_changes_nothing_is_measured_up_to_its_bound():
    images, brighter = evaluation_set(flat_images(GRAYS)), baseline_of("contrast", "+")
    rival = alone("color", EstimatedBaseline(brighter, 0.7))
    curve = measure_rival(rival, images, 0.2)
    record = measured_baseline(EstimatedBaseline(brighter, 0.7), rival, curve, 0.2)
    assert record.reached_bound
    assert record.magnitude == pytest.approx(2.0)
    assert curve.bounds == {"color": pytest.approx(brighter.displacement(1.0))}


def test_a_transformation_that_estimates_put_second_can_be_the_largest():
    darker, brighter = baseline_of("brightness", "-"), baseline_of("brightness", "+")
    estimates = [EstimatedBaseline(darker, 0.5), EstimatedBaseline(brighter, 0.5 * 0.5**0.5)]
    assert likely_largest(estimates) == estimates
    assert likely_largest([estimates[0], EstimatedBaseline(brighter, 0.1)]) == estimates[:1]


def test_a_path_that_loses_too_much_at_first_is_followed_back():
    """The estimate is ten times too large; twice the tolerance need not be tried beyond it."""
    images = evaluation_set(flat_images(GRAYS))
    tried = []

    def changes_at(way):
        tried.append(way)
        return images.changes(DARKEN, torch.tensor([[way]]))[None]

    curve = measure("darker", changes_at, lambda way: {"color": way**2}, 0.02)
    assert curve.way_to(0.02) == (pytest.approx(0.01, rel=0.05), True)
    assert min(tried) <= 0.005
    assert tried == sorted(tried, reverse=True)
    assert len(tried) == len(set(tried)) < 15


def both(tolerance=0.2):
    """A net of two color transformers, with single transformations of which two are known on paper."""
    parts = {"first": itn.ColorTransformer(1), "second": itn.ColorTransformer(1)}
    net = itn.InvariantTransformerNet(CLASSIFIER, parts)
    estimates = {
        "first": [EstimatedBaseline(baseline_of("brightness", "-"), 0.1)],
        "second": [
            EstimatedBaseline(baseline_of("contrast", "-"), 1 / 6),
            EstimatedBaseline(baseline_of("brightness", "-"), 0.1),
        ],
    }
    baselines = FamilyBaselines(estimates, DropTest(4000, tolerance, signed=False))
    return net, baselines, Terms(tolerance, 0.95, 0)


def test_of_several_parts_single_transformations_are_combined_in_several_proportions():
    net, baselines, terms = both()
    images = evaluation_set(flat_images(GRAYS))
    rivals = combined(net, images, baselines, terms)
    assert len(rivals) == 3
    names = {tuple(single.name for single in rival.singles.values()) for rival in rivals}
    assert names <= {("brightness", "contrast"), ("brightness", "brightness")}
    for rival in rivals:
        lost = images.changes(rival.transform, rival.controls(1.0)).float().mean()
        assert 0.1 < lost <= 0.21  # where the tolerance is lost, as the path is laid
    assert any(":" in rival.name for rival in rivals)
    assert len({rival.name for rival in rivals}) == 3


def test_an_estimate_that_is_too_small_does_not_change_the_best_combination():
    """By its estimate contrast goes as far as brightness; by more images it goes to 1/6 and is larger."""
    net, baselines, terms = both()
    contrast, darker = baselines.estimates["second"]
    images = evaluation_set(flat_images(GRAYS))
    estimates = baselines.estimates | {"second": [contrast._replace(scale=0.1), darker]}
    found = combined(net, images, FamilyBaselines(estimates, baselines.test), terms)[0]
    same = combined(net, images, baselines, terms)[0]
    assert found.name == same.name == "brightness - and contrast - (1 : 0.75)"
    assert torch.equal(found.scales, same.scales)


def test_combined_transformations_are_applied_one_after_another():
    """Darkened by 0.1 and by 0.1 again is darkened by 0.2: the share 0.4 breaks."""
    net, baselines, terms = both()
    images, estimates = evaluation_set(flat_images(GRAYS)), baselines.estimates
    darker = FamilyBaselines(estimates | {"second": estimates["first"]}, baselines.test)
    rival = combined(net, images, darker, terms)[0]
    assert isinstance(rival.transform, ParametricTransform)
    lost = images.changes(rival.transform, torch.tensor([[0.1, 0.1]])).float().mean()
    assert lost == pytest.approx(0.4, abs=1e-3)
    assert rival.displacements(1e9) == {
        part: pytest.approx(single.displacement(1.0)) for part, single in rival.singles.items()
    }


def test_an_estimate_of_nothing_does_not_pose_as_a_bound():
    """Nothing breaks, and the estimate is a thousandth of the bound: the path is followed up to it."""
    images = evaluation_set(flat_images(GRAYS))
    brighter = baseline_of("brightness", "+")
    estimate = EstimatedBaseline(brighter, 0.0)
    rival = alone("color", estimate)
    curve = measure_rival(rival, images, 0.2)
    assert curve.ways[-1] == rival.longest
    assert measured_baseline(estimate, rival, curve, 0.2).reached_bound


def test_a_family_that_no_longer_grows_is_not_followed():
    tried = []

    def changes_at(way):
        tried.append(way)
        return torch.zeros(1, 10, dtype=torch.int8)

    curve = measure("learned", changes_at, lambda way: {"color": min(way, 2.0)}, 0.02)
    assert max(tried) < 3
    assert curve.bounds == {"color": float("inf")}


def test_there_is_no_rival_where_a_part_has_none_with_parameters():
    net, baselines, terms = both()
    bare = [e._replace(baseline=e.baseline._replace(parameters=None)) for e in baselines.estimates["second"]]
    estimates = baselines.estimates | {"second": bare}
    images = evaluation_set(flat_images(GRAYS))
    assert combined(net, images, FamilyBaselines(estimates, baselines.test), terms) == []
