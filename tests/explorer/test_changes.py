"""Where the answer changes along a slider, for classifiers whose changes are known on paper."""

import math

import pytest
import torch

import itn
from itn.explorer.changes import COARSE, find_changes
from itn.explorer.explorer import Explorer
from itn.explorer.photograph import Photograph
from itn.explorer.sliders import Slider

LINE = Slider("line", "unit", -1.0, 1.0, 0.0)
FACTOR = Slider("factor", "factor", 1 / 16, 16.0, 1.0, logarithmic=True)


def found(edges, slider=LINE, at=0.0):
    """The changes of an answer that grows by one at each edge; and how many values were looked at."""
    looked, edges = [], torch.tensor(edges, dtype=torch.float64)

    def classify(values):
        looked.append(len(values))
        return (values[:, None] >= edges).sum(1)

    return find_changes(classify, slider, at, str), looked


def test_changes_are_found_where_they_are():
    changes, looked = found([-0.71, -0.301, 0.4567, 0.88])
    step, fine = 2 / (COARSE - 1), 2 / (COARSE - 1) / 256
    assert [change.before + change.after for change in changes.found] == ["01", "12", "23", "34"]
    for change, edge, width in zip(
        changes.found, (-0.71, -0.301, 0.4567, 0.88), (step, fine, fine, step), strict=True
    ):
        assert change.low < edge <= change.high
        assert change.high - change.low <= width * (1 + 1e-9)
        assert change.value == pytest.approx((change.low + change.high) / 2)
    assert changes.nearest == changes.found[1:3]
    assert changes.answer == "2"
    assert looked == [COARSE] + [2] * 8


def test_the_nearest_are_those_to_where_the_slider_is():
    changes, _ = found([-0.71, -0.301, 0.4567], at=-0.5)
    assert changes.nearest == changes.found[:2]
    changes, _ = found([-0.71], at=-0.71)
    assert changes.answer == "1"
    assert changes.found[0].high == -0.71
    assert changes.nearest == (changes.found[0], None)


def test_factors_are_halved_on_their_own_scale():
    changes, _ = found([0.2, 3.3], FACTOR, 1.0)
    for change, edge in zip(changes.found, (0.2, 3.3), strict=True):
        assert change.low < edge <= change.high
        assert math.log(change.high / change.low) <= 8 * math.log(2) / 32 / 256 * (1 + 1e-9)
        assert change.value == pytest.approx(math.sqrt(change.low * change.high))


def test_a_third_answer_within_a_step_is_another_change():
    step = 2 / (COARSE - 1)
    changes, _ = found([3.2 * step, 3.4 * step])
    assert [change.before + change.after for change in changes.found] == ["01", "12"]
    assert changes.found[0].low < 3.2 * step <= changes.found[0].high


def test_an_island_that_is_finer_than_a_step_can_be_missed_and_that_is_said():
    step = 2 / (COARSE - 1)

    def classify(values):
        return ((values - 3.5 * step).abs() < step / 4).long()

    changes = find_changes(classify, LINE, 0.0, str)
    assert changes.found == ()
    assert str(changes) == (
        "line: no change of the answer 0 was found between -1 and 1. 33 values were tried, and finer "
        "islands of other answers can be missed."
    )


def test_what_is_found_is_said_with_at_least():
    assert str(found([-0.301, 0.4567])[0]) == (
        "line: the answer changes at least 2 times between -1 and 1; nearest to 0: below at -0.301 (0 to "
        "1), above at 0.457 (1 to 2). 33 values were tried, and finer islands of other answers can be missed."
    )
    assert "at least 1 time between" in str(found([0.2])[0])


def test_no_more_digits_are_said_than_are_known():
    changes, _ = found([-0.71, -0.301])
    assert [str(change) for change in changes.found] == ["-0.7 (0 to 1)", "-0.301 (1 to 2)"]
    assert str(found([1e-9])[0].found[0]) == "0 (0 to 1)"


def test_all_values_of_a_discrete_slider_are_tried():
    slider = Slider("flip", "0 or 1", 0.0, 1.0, 0.0, values=(0.0, 1.0))
    changes, looked = found([0.5], slider)
    assert looked == [2]
    assert [change.value for change in changes.found] == [1.0]
    assert str(changes) == (
        "flip: the answer changes 1 time between 0 and 1; nearest to 0: above at 1 (0 to 1). All values were "
        "tried: 0, 1."
    )


def test_the_place_of_the_slider_is_tried_too():
    step = 2 / (COARSE - 1)
    changes, looked = found([3.5 * step], at=3.6 * step)
    assert looked[0] == COARSE + 1
    assert changes.answer == "1"


class Shade(torch.nn.Module):
    """0 where the mean is below 0.25, 1 up to 0.75, 2 above: both changes are known on paper."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([0.25 - mean, (mean - 0.25).clamp_max(0.75 - mean), mean - 0.75], 1) * 50


@pytest.fixture
def gray():
    return Photograph(torch.full((1, 1, 6, 8), 0.4))


def test_the_changes_of_an_image_are_where_paper_says(gray):
    explorer = Explorer(itn.Classifier(Shade(), class_names=("dark", "middle", "light")))
    changes = explorer.changes(gray, "brightness")
    below, above = changes.nearest
    assert (below.before, below.after, above.before, above.after) == ("dark", "middle", "middle", "light")
    assert below.value == pytest.approx(-0.15, abs=2 / 32 / 256)
    assert above.value == pytest.approx(0.35, abs=2 / 32 / 256)
    assert explorer.changes(gray, "contrast").nearest[1].value == pytest.approx(0.75 / 0.4, rel=1e-2)
    assert explorer.changes(gray, "contrast").nearest[0].value == pytest.approx(0.25 / 0.4, rel=1e-2)


def test_the_other_sliders_stay_where_they_are(gray):
    explorer = Explorer(itn.Classifier(Shade(), class_names=("dark", "middle", "light")))
    changes = explorer.changes(gray, "brightness", {"contrast": 2.0, "brightness": -0.2})  # contrast is later
    assert changes.at == -0.2
    assert changes.answer == "middle"
    assert changes.nearest[1].value == pytest.approx(0.375 - 0.4, abs=2 / 32 / 256)
    assert changes.nearest[0].value == pytest.approx(0.125 - 0.4, abs=2 / 32 / 256)
    gone = explorer.changes(gray, "zoom", {"contrast": 1 / 16})
    assert (gone.found, gone.answer) == ((), "dark")


def test_both_ends_of_a_change_have_the_answers_that_are_said(gray):
    explorer = Explorer(itn.Classifier(Shade(), class_names=("dark", "middle", "light")))
    for change in explorer.changes(gray, "zoom").found:  # smaller content has more black around it
        for value, answer in ((change.low, change.before), (change.high, change.after)):
            assert explorer.answer(gray, {"zoom": value}).top[0][0] == answer
    assert explorer.changes(gray, "zoom").nearest[1].value == pytest.approx(math.sqrt(0.4 / 0.25), rel=0.1)
