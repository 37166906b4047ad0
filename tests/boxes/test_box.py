"""Points of a box: their magnitudes, their scales, and what a box refuses."""

import math

import pytest
import torch

import itn
from itn import WorstConfig
from itn.boxes.box import Box


def box(**ranges):
    return WorstConfig(box=ranges).resolved


def test_what_moves_no_pixels_comes_first_and_the_given_order_stays():
    names = box(rotate=(-1, 1), brightness=(0, 0.1), zoom=(1, 2), contrast=(0.5, 1)).names
    assert names == ("brightness", "contrast", "rotate", "zoom")


def test_ways_lead_from_the_identity_to_the_ends():
    b = box(rotate=(-10, 20), zoom=(0.25, 4), brightness=(0, 0.3))
    ways = torch.tensor([[0, 0, 0], [1, 1, 1], [-1, -1, -1], [0.5, 0.5, 0.5], [0.5, -0.5, -0.5]]).double()
    got = b.magnitudes(ways).tolist()  # brightness, rotate, zoom
    assert got[0] == [0, 0, 1]
    assert got[1] == [0.3, 20, 4]
    assert got[2] == [0, -10, 0.25]
    assert got[3] == [0.15, 10, 2]
    assert got[4] == [0.15, -5, 0.5]
    assert b.scaled(0.5) == {"brightness": (0, 0.15), "rotate": (-5, 10), "zoom": (0.5, 2)}


def test_magnitudes_have_six_digits_and_ends_all_of_theirs():
    end = 1 / 3
    b = box(translate_x=(-end, end), contrast=(1e-4, 1e5), rotate=(-123456.7, 123456.7))
    got = b.magnitudes(2 * torch.rand(200, 3, generator=torch.manual_seed(0), dtype=torch.float64) - 1)
    for v in got.flatten().tolist():
        assert v == float(f"{v:.6g}")
    assert b.magnitudes(torch.ones(1, 3, dtype=torch.float64)).tolist() == [[1e5, end, 123456.7]]


def test_even_shares_are_even_in_the_box():
    b = box(rotate=(-10, 30), zoom=(1, 4))
    shares = torch.tensor([[0, 0], [0.25, 0.5], [0.5, 1], [1, 0.5]]).double()
    magnitudes = b.magnitudes(b.from_shares(shares)).tolist()
    assert magnitudes == [[-10, 1], [0, 2], [10, 4], [30, 2]]


def test_discrete_magnitudes_are_those_that_there_are():
    b = box(horizontal_flip=(0, 1), rotate=(-5, 5))
    ways = b.snapped(torch.tensor([[0.4, 0.5], [0.6, -2], [-1, 2]]).double())
    assert ways.tolist() == [[0, 0.5], [1, -1], [0, 1]]
    assert b.magnitudes(ways)[:, 0].tolist() == [0, 1, 0]
    assert b.sides() == ((1.0,), (-1.0, 1.0))


def test_a_point_in_words():
    assert box(rotate=(-9, 9), zoom=(0.5, 2)).describe((0.0, 1.25)) == "zoom 1.25"
    assert box(rotate=(-9, 9)).describe((0.0,)) == "unchanged"


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "the box is empty"),
        ({"rotat": (-1, 1)}, "unknown transformation 'rotat': nearest are rotate"),
        ({"rotate": (5, 20)}, "must hold its identity, 0"),
        ({"rotate": (0, 0)}, "leave it out of the box"),
        ({"rotate": (20, -20)}, "must hold its identity"),
        ({"rotate": 20}, r"low and its high end, such as \(-20, 20\), got 20"),
        ({"rotate": (1, 2, 3)}, "low and its high end"),
        ({"rotate": ("a", "b")}, "low and its high end"),
        ({"rotate": (-math.inf, 1)}, "finite magnitudes"),
        ({"contrast": (0, 2)}, "must begin above 0"),
        ({"brightness": (0, 7)}, "takes magnitudes from -1 to 1, got 7"),
        ({"horizontal_flip": (0, 0.5)}, "takes 0 or 1 as its magnitude"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused(ranges, message):
    with pytest.raises(ValueError, match=message):
        WorstConfig(box=ranges)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 0}, "passes must be at least 1"),
        ({"single_steps": -1}, "single_steps must be at least 0"),
        ({"criterion": "accuracy"}, "criterion must be one of broken, agreement"),
        ({"survival_fraction": 1.0}, "survival_fraction must lie in"),
        ({"box": [("rotate", (1, 2))]}, "a box is a mapping"),
        ({"padding": "ones"}, "padding must be one of"),
    ],
)
def test_other_settings_are_checked_too(settings, message):
    with pytest.raises(ValueError, match=message):
        WorstConfig(**settings)


def test_one_of_ones_own_can_be_part_of_a_box():
    darken = itn.Transform(
        "darken", "share", 0.0, (0.0, 0.5), lambda images, v: images * (1 - v), domain=(0, 1)
    )
    config = WorstConfig(box={darken: (0, 0.5), "rotate": (-5, 5)})
    assert config.resolved.names == ("darken", "rotate")
    assert config.describe()["box"] == {"darken": (0, 0.5), "rotate": (-5, 5)}
    assert Box.of({"darken": (0.0, 0.5)}, {"darken": darken}).text() == "darken 0 to 0.5 (share)"
