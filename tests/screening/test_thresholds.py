import math
from dataclasses import astuple

import numpy as np
import pytest
import torch

from itn.screening.flips import find_flips, median_flip
from itn.screening.thresholds import Threshold, crossing, curve_threshold, paths, recoveries
from itn.transforms.registry import TRANSFORMS

SHIFT, ZOOM, FLIP = TRANSFORMS["translate_x"], TRANSFORMS["zoom"], TRANSFORMS["horizontal_flip"]


class FlipsAt:
    """A classifier known on paper: image i is class 1 on its own stretches of magnitudes, else class 0.

    It notes the number of images of each call, and which they were at which magnitude.
    """

    def __init__(self, *stretches):
        self.stretches = stretches
        self.calls, self.seen = [], []

    def __call__(self, index, v):
        assert v.shape in ((1,), index.shape)
        pairs = list(zip(index.tolist(), v.expand(len(index)).tolist(), strict=True))
        self.calls.append(len(pairs))
        self.seen += pairs
        return torch.tensor([int(any(a <= v <= b for a, b in self.stretches[i])) for i, v in pairs])

    def find(self, transform, path, bisections):
        clean = torch.zeros(len(self.stretches), dtype=torch.int64)
        return find_flips(self, clean, transform, path, bisections)


def beyond(*flips):
    """Images that flip at a magnitude and stay flipped, on the side of its sign."""
    return FlipsAt(*[[(v, math.inf)] if v >= 0 else [(-math.inf, v)] for v in flips])


def test_paths_lead_away_from_the_identity():
    magnitudes = (0.3, -0.1, 0.0, 0.1, -0.4)
    assert paths(SHIFT, magnitudes) == {"below": (-0.1, -0.4), "above": (0.1, 0.3)}
    assert paths(ZOOM, (2.0, 0.25, 1.0, 0.5, 4.0)) == {"below": (0.5, 0.25), "above": (2.0, 4.0)}
    assert paths(SHIFT, (0.0, 0.2)) == {"above": (0.2,)}
    assert paths(SHIFT, (-0.2,)) == {"below": (-0.2,)}
    assert paths(SHIFT, (0.0,)) == {}


@pytest.mark.parametrize(
    ("transform", "path", "values", "expected"),
    [
        (SHIFT, (0, 1, 2, 3), (1.0, 0.9, 0.6, 0.2), 2.25),
        (SHIFT, (0, -1, -2, -3), (1.0, 0.9, 0.6, 0.2), -2.25),
        (SHIFT, (0, 0.1, 0.4), (1.0, 0.8, 0.4), 0.325),
        (SHIFT, (0, 1, 2, 3), (1.0, 0.6, 0.5, 0.2), 2.0),  # touches the level, falls only after it
        (SHIFT, (0, 1, 2, 3), (1.0, 0.4, 0.9, 0.2), 5 / 6),  # the first of two
        (SHIFT, (0, 1), (0.4, 0.9), 0),  # lost before it starts
        (SHIFT, (0, 1, 2), (1.0, 0.7, 0.5), None),  # the level itself is not below it
        (SHIFT, (0, 1, 2), (1.0, 0.9, 0.8), None),
        (ZOOM, (1, 2, 8), (1.0, 0.7, 0.1), 2 * 4 ** (1 / 3)),
        (ZOOM, (1, 0.5, 0.125), (1.0, 0.7, 0.1), 0.5 * 4 ** (-1 / 3)),
        (ZOOM, (1, 4), (0.6, 0.4), 2.0),
        (ZOOM, (1, 0.25), (0.6, 0.4), 0.5),
        (ZOOM, (1, 4), (0.3, 0.4), 1),
    ],
)
def test_crossing_of_one_half(transform, path, values, expected):
    found = crossing(transform, path, values, 0.5)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_an_end_without_a_bound_is_crossed_at_once():
    """A class of one image has an interval from minus to plus infinity."""
    infinite = (math.inf,) * 3
    low = tuple(-end for end in infinite)
    found = curve_threshold(SHIFT, (0, 1, 2), (1.0, 0.5, -0.5), low, infinite, 0.0)
    assert found == Threshold(1.5, 0, None)


@pytest.mark.parametrize("sign", [1, -1])
def test_interval_ends_are_in_the_order_of_magnitudes(sign):
    path = tuple(sign * v for v in (0, 1, 2, 3))
    values, low, high = (1.0, 0.8, 0.4, 0.0), (0.9, 0.5, 0.1, 0.0), (1.0, 0.9, 0.7, 0.3)
    found = curve_threshold(SHIFT, path, values, low, high, 0.6)
    near, at, far = 0.75, 1.5, 2.25
    expected = (at, near, far) if sign > 0 else (-at, -far, -near)
    assert isinstance(found, Threshold)
    assert astuple(found) == pytest.approx(expected)


@pytest.mark.parametrize(("sign", "expected"), [(1, (1.5, 0.75, None)), (-1, (-1.5, None, -0.75))])
def test_an_interval_end_that_is_not_reached_is_none(sign, expected):
    path = tuple(sign * v for v in (0, 1, 2, 3))
    values, low, high = (1.0, 0.8, 0.4, 0.0), (0.9, 0.5, 0.1, 0.0), (1.0, 0.9, 0.7, 0.6)
    assert astuple(curve_threshold(SHIFT, path, values, low, high, 0.6)) == pytest.approx(expected)
    assert curve_threshold(SHIFT, path, high, high, high, 0.6) == Threshold(None, None, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("++++++++", []),  # never lost
        ("++++----", []),
        ("--------", []),
        ("++--+---", [(4, 4)]),
        ("++--++--", [(4, 5)]),
        ("+-+-++-+", [(2, 2), (4, 5), (7, 7)]),
        ("+------+", [(7, 7)]),  # at the very end
        ("+-----++", [(6, 7)]),
        ("-+++++++", [(1, 7)]),  # lost at the identity
    ],
)
def test_recoveries(values, expected):
    """Where a curve is at its level (+) or below it (-)."""
    curve = [0.5 if sign == "+" else 0.49 for sign in values]
    assert recoveries(range(8), curve, curve, 0.5) == expected


def test_recoveries_are_given_in_the_paths_magnitudes():
    assert recoveries((0, -0.5, -1, -1.5, -2), (1, 0, 1, 1, 0), (1, 0, 1, 1, 0), 0.5) == [(-1, -1.5)]


@pytest.mark.parametrize("bisections", [0, 1, 6])
@pytest.mark.parametrize("sign", [1, -1])
def test_flips_are_found_to_the_stated_resolution(sign, bisections):
    truth = [0.03, 0.1, 0.1001, 0.17, 0.249, 0.31, 0.4, 0.5, 0.77, 0.9]
    path = tuple(sign * v for v in (0.1, 0.2, 0.3, 0.4, 0.5))
    found = beyond(*[sign * v for v in truth]).find(SHIFT, path, bisections)
    magnitude = sign * found.magnitude.numpy()
    assert found.magnitude.dtype == torch.float64
    assert found.flipped.tolist() == [v <= 0.5 for v in truth]
    assert found.resolution == pytest.approx(0.1 / 2**bisections)
    for v, seen in zip(truth[:8], magnitude[:8], strict=True):
        assert seen - found.resolution * (1 + 1e-9) < v <= seen
    assert magnitude[8:].tolist() == [0.5, 0.5]  # censored at the last magnitude


@pytest.mark.parametrize("factor", [1, -1])
def test_factors_are_halved_on_the_logarithmic_scale(factor):
    """From 1 to 16 the middles are 4, 2, sqrt(8): the arithmetic ones would be 8.5 and 4.75."""
    model = FlipsAt([(3.0, 99)] if factor > 0 else [(0, 1 / 3)])
    found = model.find(ZOOM, (16.0**factor, 32.0**factor), 3)
    magnitudes = [v for _, v in model.seen]
    assert magnitudes == pytest.approx([v**factor for v in (16, 4, 2, 8**0.5)])
    assert found.magnitude.item() == pytest.approx(4**factor)
    assert found.resolution == pytest.approx(math.log(4 / 8**0.5))


def test_resolution_is_that_of_the_widest_bracket():
    found = beyond(0.05, 0.5).find(SHIFT, (0.1, 0.7), 1)
    assert found.resolution == pytest.approx(0.3)
    assert found.magnitude.tolist() == pytest.approx([0.05, 0.7])


def test_the_first_of_several_flips_counts():
    """Flips, comes back, flips again: within a coarse step it cannot be seen, beyond one it must be."""
    twice = [(0.15, 0.25), (0.45, 9)]
    found = FlipsAt(twice, [(0.45, 9)], [(0.15, 0.25)]).find(SHIFT, (0.1, 0.2, 0.3, 0.4, 0.5), 5)
    assert found.flipped.all()
    assert found.magnitude.tolist() == pytest.approx([0.15, 0.45, 0.15], abs=found.resolution)


def test_an_image_that_never_flips_is_censored_at_the_last_magnitude():
    model = FlipsAt([], [(-9, -0.1)])
    found = model.find(SHIFT, (0.2, 0.4), 6)
    assert found.magnitude.tolist() == [0.4, 0.4]
    assert not found.flipped.any()
    assert found.resolution == 0
    assert model.calls == [2, 2]  # and nothing is halved


def test_a_flip_is_a_change_from_the_clean_prediction_of_the_same_image():
    """Image 0 falls from class 5 to 0 and leaves; image 1 stays in 0; image 2 goes from 0 to 1."""

    def predict(index, v):
        changed = torch.stack([5 * (v <= 0.3), 0 * v, v > 0.5]).long().expand(3, len(index))
        return changed.gather(0, index.view(1, -1)).squeeze(0)

    found = find_flips(predict, torch.tensor([5, 0, 0]), SHIFT, (0.25, 0.5, 0.75), 8)
    assert found.flipped.tolist() == [True, False, True]
    assert found.magnitude.tolist() == pytest.approx([0.3, 0.75, 0.5], abs=0.001)


def test_nothing_lies_between_discrete_magnitudes():
    model = beyond(1, 2, 0.5)
    found = model.find(FLIP, (1.0,), 6)
    assert found.magnitude.tolist() == [1, 1, 1]
    assert found.flipped.tolist() == [True, False, True]
    assert model.calls == [3]


def test_images_that_have_flipped_are_not_passed_again():
    """10 images stand at 0.1, 9 at 0.2, 6 at 0.3, 6 at 0.4; then 6 flipped ones are halved 3 times."""
    truth = [0.15] * 3 + [0.05] + [0.35] * 2 + [0.9] * 4
    model = beyond(*truth)
    model.find(SHIFT, (0.1, 0.2, 0.3, 0.4), 3)
    assert model.calls == [10, 9, 6, 6, 6, 6, 6]
    coarse = model.seen[:31]
    for image, flip in enumerate(truth):
        tried = [v for i, v in coarse if i == image]
        assert tried == [v for v in (0.1, 0.2, 0.3, 0.4) if v - 0.1 < flip]


def test_the_path_is_left_when_no_image_stands():
    model = beyond(0.05, 0.15)
    model.find(SHIFT, (0.1, 0.2, 0.3, 0.4), 2)
    assert model.calls == [2, 1, 2, 2]


def test_flips_do_not_depend_on_order_or_company():
    truth = [0.03, 0.9, 0.17, 0.22, 0.31, 0.11, 0.29]
    path = (0.1, 0.2, 0.3, 0.4)
    found = beyond(*truth).find(SHIFT, path, 5)
    order = [4, 2, 6, 0, 1, 5, 3]
    shuffled = beyond(*[truth[i] for i in order]).find(SHIFT, path, 5)
    assert torch.equal(shuffled.magnitude, found.magnitude[order])
    assert torch.equal(shuffled.flipped, found.flipped[order])
    alone = [beyond(v).find(SHIFT, path, 5) for v in truth]
    assert torch.equal(torch.cat([flips.magnitude for flips in alone]), found.magnitude)


# Ten images and their survival by hand. At 1 two of ten flip, 0.8; at 2 one of eight is lost from sight;
# at 3 two of seven flip, 0.8 * 5/7 = 0.571; at 4 one of five, 0.457; at 5 one of four, 0.343; three stand.
TIMES = (1, 1, 2, 3, 3, 4, 5, 6, 6, 6)
ENDED = np.array([1, 1, 0, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
PATH = (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("sign", [1, -1])
def test_median_flip_matches_a_table_by_hand(sign):
    """The interval, from log(-log S) +- 1.96 sd: S = 0.8 at 1 has [0.409, 0.946], which holds one half."""
    magnitude = sign * np.array(TIMES, dtype=float)
    found = median_flip(SHIFT, [sign * v for v in PATH], magnitude, ENDED, 0.95)
    assert astuple(found) == ((4, 1, None) if sign > 0 else (-4, None, -1))


@pytest.mark.parametrize("sign", [1, -1])
def test_median_flip_of_factors(sign):
    magnitude = 2.0 ** (sign * np.array(TIMES))
    found = median_flip(ZOOM, [2.0 ** (sign * v) for v in PATH], magnitude, ENDED, 0.95)
    expected = (16, 2, None) if sign > 0 else (1 / 16, None, 1 / 2)
    assert astuple(found) == tuple(end if end is None else pytest.approx(end) for end in expected)


def test_a_narrow_interval_has_two_ends():
    """At 50 % confidence 0.571, at 3, has [0.454, 0.673], and 0.343, at 5, has [0.238, 0.450]."""
    found = median_flip(SHIFT, PATH, np.array(TIMES, dtype=float), ENDED, 0.5)
    assert found == Threshold(4, 3, 5)


def test_the_median_of_images_that_mostly_stand_is_not_reached():
    ended = np.arange(10) < 4
    magnitude = np.where(ended, 0.1, 0.5)
    assert median_flip(SHIFT, (0.1, 0.5), magnitude, ended, 0.95) == Threshold(None, 0.1, None)
    never = np.zeros(10, dtype=bool)
    assert median_flip(SHIFT, (0.1, 0.5), np.full(10, 0.5), never, 0.95) == Threshold(None, None, None)


def test_a_curve_that_scatters_about_the_level_is_no_recovery():
    low, high = (1, 0.85, 0.86, 0.89, 0.86), (1, 0.89, 0.91, 0.94, 0.91)
    assert recoveries(range(5), low, high, 0.9) == []
    assert recoveries(range(5), (*low[:4], 0.9), high, 0.9) == [(4, 4)]
    assert recoveries(range(5), low, (1, 0.95, 0.95, 0.95, 0.95), 0.84) == []


def test_a_discrete_transformation_breaks_at_one_of_its_magnitudes():
    assert crossing(FLIP, (0.0, 1.0), (1.0, 0.2), 0.9) == 1
    assert median_flip(FLIP, (1.0,), np.array([1.0, 1.0, 1.0]), ENDED[:3], 0.95).value == 1
