"""The headline, on curves that are known on paper and where the truth is known."""

import math

import pytest
import torch

from itn.certification.headline import Compared, MeasuredCurve, compare, compare_pooled, drops_compared
from itn.stats import generator

WAYS = torch.linspace(0.02, 0.6, 30, dtype=torch.float64)
BOUND = {"part": math.inf}


def curve_of(radii, factor=1.0, name="one", bound=BOUND, ways=WAYS):
    """Image i breaks beyond a radius; the displacement is the square of the way, times a factor."""
    changes = torch.stack([(radii < way)[None] for way in ways]).to(torch.int8)
    return MeasuredCurve(name, ways, {"part": factor * ways**2}, changes, bound)


def radii_of(n, seed=0):
    return torch.rand(n, generator=generator(seed, "radii"))


def test_a_drop_is_reached_where_as_many_images_break():
    """Radii are uniform in (0, 1), so a share t is broken at way t; between ways it is interpolated."""
    curve = curve_of((torch.arange(1000) + 0.5) / 1000)
    drops = torch.tensor([0.1, 0.19, 0.3], dtype=torch.float64)
    (reached,), crossed = curve.reached(torch.ones(1, 1000), drops)
    assert crossed.all()
    between = (0.18**2 + 0.20**2) / 2
    torch.testing.assert_close(reached[0], torch.tensor([0.01, between, 0.09], dtype=torch.float64))
    assert curve.way_to(0.19) == (pytest.approx(0.19), True)
    assert curve.way_to(0.01) == (pytest.approx(0.01), True)  # from (0, 0)


def test_where_a_drop_is_never_reached_the_last_way_stands_for_it():
    curve = curve_of(torch.ones(100))
    reached, crossed = curve.reached(torch.ones(1, 100), torch.tensor([0.1], dtype=torch.float64))
    assert not crossed.any()
    assert reached.item() == pytest.approx(0.36)


def test_what_is_lost_first_counts_even_if_it_comes_back():
    """Half of the images break at the second way alone."""
    changes = torch.zeros(3, 1, 100, dtype=torch.int8)
    changes[1, 0, :50] = 1
    ways = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    curve = MeasuredCurve("one", ways, {"part": ways}, changes, BOUND)
    assert curve.way_to(0.25) == (pytest.approx(1.5), True)
    assert curve.record().drops == (0.0, 0.5, 0.0)


def test_the_condition_that_loses_more_counts():
    changes = torch.zeros(1, 2, 100, dtype=torch.int8)
    changes[0, 0, :10], changes[0, 1, :40] = 1, 1
    one = torch.ones(1, dtype=torch.float64)
    assert MeasuredCurve("one", one, {"part": one}, changes, BOUND).way_to(0.2) == (pytest.approx(0.5), True)


def test_a_family_that_moves_twice_as_far_has_two_in_every_sample():
    radii = radii_of(1000)
    found = compare(curve_of(radii, 2), [curve_of(radii, 1, "x +")], 0.1, generator(0, "b"))
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((2, 2, 2))
    assert found.rival == "x +"
    assert found.drops[0] == pytest.approx(0.05)
    assert found.drops[-1] == pytest.approx(0.2)


def test_the_best_of_several_rivals_is_the_one_that_counts():
    radii = radii_of(1000)
    rivals = [curve_of(radii, 0.5, "near"), curve_of(radii, 4.0, "far"), curve_of(radii, 1.0, "middle")]
    found = compare(curve_of(radii, 2), rivals, 0.1, generator(0, "b"))
    assert found.value == pytest.approx(0.5)
    assert found.rival == "far"


def pair_of(radii, first, second, name="pair"):
    """Color stays where it is, space grows; the bound of color is 0.5."""
    displacements = {"color": torch.full_like(WAYS, first), "spatial": second * WAYS**2}
    changes = curve_of(radii).changes
    return MeasuredCurve(name, WAYS, displacements, changes, {"color": 0.5, "spatial": math.inf})


def test_of_several_parts_the_geometric_mean_counts_but_not_a_part_at_its_bound_in_both():
    radii = radii_of(1000)
    reached = compare(pair_of(radii, 0.5, 2.0), [pair_of(radii, 0.5, 1.0)], 0.1, generator(0, "b"))
    assert reached.value == pytest.approx(2)
    assert reached.parts == ("spatial",)
    short = compare(pair_of(radii, 0.25, 2.0), [pair_of(radii, 0.5, 1.0)], 0.1, generator(0, "b"))
    assert short.value == pytest.approx(1)
    assert short.parts == ("color", "spatial")


def test_which_parts_count_is_the_same_for_all_rivals():
    """One rival has its color at the bound, as the family has: so color counts for neither."""
    radii = radii_of(1000)
    rivals = [pair_of(radii, 0.5, 1.0, "bound"), pair_of(radii, 0.1, 4.0, "other")]
    found = compare(pair_of(radii, 0.5, 2.0), rivals, 0.1, generator(0, "b"))
    assert found.parts == ("spatial",)
    assert found.rival == "other"
    assert found.value == pytest.approx(0.5)


def test_no_headline_where_family_and_a_rival_are_at_their_bound():
    """Also if another rival is far behind: what is left out is the part, not the rival."""
    radii = radii_of(1000)
    safe = curve_of(torch.ones(1000), bound={"part": 0.36})
    for rivals in ([safe], [safe, curve_of(radii, 0.1)]):
        found = compare(safe, rivals, 0.1, generator(0, "b"))
        assert found == "within the tolerance the family goes up to its bound, and so does a rival"
    assert compare(curve_of(radii), [], 0.1, generator(0, "b")) == "there is nothing to compare with"


def test_what_ends_at_its_bound_makes_the_headline_a_limit():
    """The rival would go farther, if it could; the family does, but only one of both is known."""
    radii = radii_of(1000)
    ends = curve_of(torch.ones(1000), bound={"part": 0.36})
    assert compare(curve_of(radii, 1.0), [ends], 0.1, generator(0, "b")).limit == "at most"
    assert compare(ends, [curve_of(radii, 1.0)], 0.1, generator(0, "b")).limit == "at least"
    assert compare(curve_of(radii), [curve_of(radii)], 0.1, generator(0, "b")).limit is None


def test_a_drop_that_is_just_reached_is_not_exceeded():
    """A tenth in single precision is more than a tenth."""
    changes = torch.zeros(1, 1, 1000, dtype=torch.int8)
    changes[0, 0, :100] = 1
    one = torch.ones(1, dtype=torch.float64)
    assert MeasuredCurve("one", one, {"part": one}, changes, BOUND).way_to(0.1) == (1.0, False)


def test_seeds_are_pooled_by_the_images_that_they_share():
    """Of 1,000 images one run has the first 800 and goes twice as far, one the last 800 and four times."""
    radii = radii_of(1000)
    rows = torch.arange(800), torch.arange(200, 1000)
    runs = [
        Compared(curve_of(radii[index], factor), [curve_of(radii[index], 1.0, name)], index)
        for index, factor, name in zip(rows, (2.0, 4.0), ("x +", "y +"), strict=True)
    ]
    found = compare_pooled(runs, 1000, 0.1, generator(0, "b"))
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx([math.sqrt(8)] * 3)
    assert found.rival == "x +; y +"


def test_a_curve_comes_back_from_its_arrays():
    curve = curve_of(radii_of(50), name="x +")
    again = MeasuredCurve.of_arrays("x +", ["part"], curve.arrays())
    assert again.bounds == curve.bounds
    assert torch.equal(again.changes, curve.changes)
    assert again.record() == curve.record()


def test_drops_that_the_images_cannot_measure_are_not_compared():
    many, few = curve_of(radii_of(4000)), curve_of(radii_of(100))
    assert drops_compared(many, 0.1)[0] == pytest.approx(0.05)
    first = drops_compared(few, 0.1)[0]
    assert first == pytest.approx(2 * math.sqrt(0.1 / 50), rel=0.3)  # two standard errors of a half
    changes = torch.ones(1, 1, 40, dtype=torch.int8)
    changes[0, 0, ::2] = -1  # as many mended as broken: a drop of 0, of which little is known
    one = torch.ones(1, dtype=torch.float64)
    noisy = MeasuredCurve("one", one, {"part": one}, changes, BOUND)
    assert len(drops_compared(noisy, 0.1)) == 0
    assert compare(noisy, [noisy], 0.1, generator(0, "b")).startswith("these are too few images")


def drawn(factor, name, random, mended=0.0):
    """A curve of which 800 images break or are mended by chance, as many at way w as the share w."""
    radii, sign = torch.rand(2, 800, generator=random)
    changes = torch.stack([(radii < way)[None] for way in WAYS]).to(torch.int8)
    # Of those that change, some become better: the drop is then smaller than the churn
    changes = torch.where(sign < mended / 2, -changes, changes)
    return MeasuredCurve(name, WAYS, {"part": factor * WAYS**2}, changes, BOUND)


def test_a_headline_hardly_depends_on_how_images_are_halved():
    """A single cut into halves scatters by a factor of 1.3 to 1.5: two rivals are equally good."""
    random = generator(0, "coverage")
    curves = [drawn(factor, name, random) for factor, name in ((1.5, "learned"), (1.0, "a"), (1.0, "b"))]
    values = [
        compare(curves[0], curves[1:], 0.1, generator(seed, "b"), resamples=100).value for seed in range(8)
    ]
    assert max(values) / min(values) < 1.1


@pytest.mark.parametrize("mended", [0.0, 0.5], ids=["broken", "accuracy"])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_intervals_cover_the_truth(mended, asymmetric):
    """Family and rivals break images of their own.

    A rival that is picked since it is ahead by chance would make intervals too low: the halves prevent that.
    """
    truth, hits, repetitions = 1.5, 0, 100
    for seed in range(repetitions):
        random = generator(seed, "coverage")
        second = 0.6 if asymmetric else 1.0
        family, *rivals = (
            drawn(factor, name, random, mended)
            for factor, name in ((truth, "learned"), (1.0, "a"), (second, "b"))
        )
        found = compare(family, rivals, 0.1, generator(seed, "b"), resamples=300)
        hits += found.ci_low <= truth <= found.ci_high
    assert hits >= 90  # of 95 expected; 4 standard deviations below would be 86
