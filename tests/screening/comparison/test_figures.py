"""Figures of comparisons say what they show, and show the images that break in one screen alone."""

import dataclasses

import numpy as np
import pytest
import torch

import itn
from itn.screening.comparison import plots
from itn.screening.comparison.figures import PER_ROW, _flips, _pictures, _shown, chosen
from itn.screening.comparison.records import ImageRow


@pytest.fixture(scope="module")
def compared(middle, right):
    return itn.compare([middle, right])


def row(magnitude, breaks, transform="rotate", image="0"):
    return ImageRow("a", "b", transform, "above", image, "cat", breaks, magnitude, 40.0)


def test_shown_are_the_first_to_break_of_either_screen():
    rows = [row(v, "first") for v in (9.0, 3.0, 5.0, 7.0)] + [row(v, "second") for v in (8.0, 2.0)]
    taken = chosen(rows)
    assert [(each.magnitude, each.breaks) for each in taken] == [
        (3, "first"),
        (5, "first"),
        (2, "second"),
        (8, "second"),
    ]
    assert [each.magnitude for each in chosen(rows[:4])] == [3, 5, 7, 9]
    assert chosen([row(1.0, "first", transform="nowhere_registered")]) == []
    many = [
        row(v, which, name)
        for name in ("rotate", "zoom")
        for which in ("first", "second")
        for v in range(1, 9)
    ]
    assert len(chosen(many)) == 2 * PER_ROW


@pytest.mark.parametrize(
    "sampling",
    [
        {"padding": "zeros", "interpolation": "bilinear"},
        {"padding": "reflection", "interpolation": "bicubic"},
    ],
)
def test_images_are_shown_unchanged_and_where_they_break(compared, middle, spread, texts, sampling):
    (pair,) = compared.record.pairs
    images, _ = spread
    rows = chosen(compared.images)
    shown = _shown(pair, rows, middle.outcomes, images, sampling)
    assert shown.images.shape[:2] == (1, 2 * PER_ROW)
    for number, each in enumerate(rows):
        torch.testing.assert_close(shown.images[0, 2 * number], images[int(each.image)])
        changed = itn.TRANSFORMS["translate_x"](images[[int(each.image)]], each.magnitude, **sampling)[0]
        torch.testing.assert_close(shown.images[0, 2 * number + 1], changed)
    said = texts(plots.broken_images(pair, shown))
    assert any("break only in middle or only in right" in " ".join(text.split()) for text in said)
    assert any(text.startswith("translate_x") and "breaks only in\nmiddle" in text for text in said)
    assert _shown(pair, rows, middle.outcomes, None, sampling) is None  # a tensor comes from nowhere


def test_images_come_back_from_where_they_were(middle, tmp_path):
    digits = dataclasses.replace(middle.outcomes, source="mnist")
    expected = itn.load_images("mnist").images[3]
    torch.testing.assert_close(_pictures(["3"], digits, None)["3"], expected / 255)
    assert _pictures(["3.png"], dataclasses.replace(digits, source=str(tmp_path)), None) == {}


def test_figures_name_the_screens_and_mark_what_is_beyond(compared, middle, right, texts):
    (pair,) = compared.record.pairs
    said = texts(plots.threshold_differences(pair, "accuracy", 1, 0.95))
    assert any("right (right of 0) or by middle (left)" in " ".join(text.split()) for text in said)
    assert "translate_x, above 0" in said
    side = dataclasses.replace(
        pair.transforms["translate_x"].thresholds["accuracy"]["above"], second_beyond=True
    )
    both = dataclasses.replace(side, first_beyond=True)
    changed = dataclasses.replace(
        pair.transforms["translate_x"], thresholds={"accuracy": {"above": side, "below": both}}
    )
    said = texts(
        plots.threshold_differences(
            dataclasses.replace(pair, transforms={"translate_x": changed}), "accuracy", 1, 0.95
        )
    )
    assert any(text.startswith("at least +0.05") for text in said)
    assert "both beyond" in said
    flips = _flips(pair, (middle.outcomes, right.outcomes))
    said = texts(plots.flip_scatter(pair, flips, 240))
    correlation = pair.transforms["translate_x"].correlation
    below, above = (correlation[side].value for side in ("below", "above"))
    assert f"below 0: {below:.2f}; above 0: {above:.2f}" in said
    assert np.isfinite(below)
