"""From arrays to rows, on arrays written out by hand."""

import numpy as np
import pytest
import torch

import itn
from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips
from itn.screening.passes import IMAGE_STATISTICS
from itn.screening.rows import curve_rows, flip_rows, pair_record, pair_rows, softmax_rows
from itn.screening.sweep import Samples, Sweep
from itn.transforms.registry import TRANSFORMS

SAMPLES = Samples(
    np.array([0, 2, 2]),
    ("a.png", "b.png", "c.png"),
    {0: "cat", 2: "dog"},
    ("cat", "cow", "dog", "eel", "fox"),
)


def point(predictions, softmax_true, class_softmax):
    return {
        "predictions": np.array(predictions),
        "softmax_true": np.array(softmax_true, dtype=np.float32),
        "class_softmax": np.array(class_softmax, dtype=np.float32),
        "softmax_change": np.array([1.0, 0.25, 0.75]) - np.array(softmax_true),
    }


@pytest.fixture
def sweep():
    clean = point([0, 2, 3], [0.9, 0.8, 0.3], [[0.9, 0.1, 0, 0, 0], [0, 0, 0.5, 0.3, 0.2]])
    near = point([1, 2, 2], [0.2, 0.6, 0.5], [[0.2, 0.5, 0.1, 0.2, 0], [0.1, 0, 0.4, 0.1, 0.4]])
    far = point([4, 4, 4], [0.1, 0.1, 0.2], [[0.1, 0.1, 0.1, 0.1, 0.6], [0.45, 0, 0.15, 0, 0.4]])
    return Sweep(
        TRANSFORMS["rotate"],
        (0.0, 10.0, 20.0),
        clean,
        (clean, near, far),
        {},
        tuple({"predictions": np.array(classes)} for classes in ([0, 2, 3], [0, 2, 2], [0, 1, 1])),
        {"area": np.array([0.0, 0.1, 0.2]), "intensity": np.array([0.0, 0.2, 0.3])},
        {"above": Flips(torch.tensor([10.0, 20.0, 5.5]).double(), torch.tensor([True, False, True]), 0.1)},
    )


def test_curve_rows_count_what_a_reader_would_count(sweep):
    rows = list(curve_rows(sweep, SAMPLES, ScreenConfig()))
    assert [(row.magnitude, row.class_, row.n) for row in rows[:3]] == [
        (0, "all", 3),
        (0, "cat", 1),
        (0, "dog", 2),
    ]
    near = {row.class_: row for row in rows if row.magnitude == 10}
    assert (near["all"].accuracy, near["cat"].accuracy, near["dog"].accuracy) == (2 / 3, 0, 1)
    # Agreement is with the clean prediction: the second dog was wrong, and is right now
    assert (near["all"].agreement, near["cat"].agreement, near["dog"].agreement) == (1 / 3, 0, 1 / 2)
    assert [(near[name].broken, near[name].mended) for name in near] == [(1 / 3, 1 / 3), (1, 0), (0, 1 / 2)]
    assert near["dog"].softmax_true == pytest.approx(0.55)
    assert near["dog"].softmax_change == pytest.approx((0.25 + 0.75) / 2 - 0.55)
    assert (near["all"].control_accuracy, near["dog"].lost_content) == (1, 0.1)
    assert rows[-1].control_accuracy == 0
    assert (near["dog"].ci_low, near["dog"].ci_high) == (pytest.approx(0.025**0.5), 1)


def test_a_statistic_of_images_is_averaged_wherever_a_record_has_its_name(side, blobs, monkeypatch):
    """The first pixel, in place of the softmax: what is measured is not repeated in rows and records."""
    images, labels = blobs
    images = (images + torch.arange(200).view(-1, 1, 1, 1) / 1000).clamp(0, 1)
    monkeypatch.setitem(IMAGE_STATISTICS, "softmax_true", lambda output, softmax: output.changed[:, 0, 0, 0])
    monkeypatch.setitem(IMAGE_STATISTICS, "unused", lambda output, softmax: output.logits[:, 0])
    magnitudes = {"brightness": (0.0, 0.1), "contrast": (0.5, 2.0)}
    config = ScreenConfig(("brightness",), (("brightness", "contrast"),), magnitudes)
    found = itn.screen(side, images, labels, config)
    first = images[:, 0, 0, 0].double().numpy()
    all_images = pytest.approx([first.mean(), first.mean() + 0.1], abs=1e-6)
    assert list(found.record.transforms["brightness"].softmax_true) == all_images
    ones = [row.softmax_true for row in found.curves if row.class_ == "1"]
    assert ones == pytest.approx([first[1::2].mean(), first[1::2].mean() + 0.1], abs=1e-6)
    pair = found.record.pairs["brightness,contrast"].softmax_true
    assert pair[1][0] == pytest.approx(2 * first.mean(), abs=1e-6)
    assert [row.softmax_true for row in found.pairs if row.class_ == "all"][1] == pair[1][0]


def test_softmax_rows_name_who_reaches_the_top_and_hold_the_largest_of_the_rest(sweep):
    rows = list(softmax_rows(sweep, SAMPLES))
    cat = {(row.output, row.magnitude): row.softmax for row in rows if row.class_ == "cat"}
    # Cow is on top at 10, fox at 20; dog and eel never: the larger of them is "others"
    assert {output for output, _ in cat} == {"cat", "cow", "fox", "others"}
    assert [cat["others", v] for v in (0, 10, 20)] == pytest.approx([0, 0.2, 0.1])
    assert [cat["cow", v] for v in (0, 10, 20)] == pytest.approx([0.1, 0.5, 0.1])
    dog = {(row.output, row.magnitude): row.softmax for row in rows if row.class_ == "dog"}
    # Fox ties with dog at 10 and is never above it: only cat reaches the top
    assert {output for output, _ in dog} == {"dog", "cat", "others"}
    assert [dog["others", v] for v in (0, 10, 20)] == pytest.approx([0.3, 0.4, 0.4])


def test_flip_rows_name_the_images(sweep):
    rows = list(flip_rows(sweep, SAMPLES))
    assert [(row.side, row.image, row.class_, row.magnitude, row.flipped) for row in rows] == [
        ("above", "a.png", "cat", 10, True),
        ("above", "b.png", "dog", 20, False),
        ("above", "c.png", "dog", 5.5, True),
    ]


def test_a_pair_record_has_x_along_its_rows():
    clean = point([0, 2, 2], [1, 1, 1], np.eye(5)[[0, 2]])
    seen = {
        (v, w): point([0 if v else 1, 2, 2 if w else 1], [v, w, w], np.eye(5)[[0, 2]])
        for v in (0.0, 0.3)
        for w in (0.0, 0.5, 1.0)
    }
    x, y = TRANSFORMS["translate_x"], TRANSFORMS["grayscale"]
    rows = list(pair_rows(x, y, seen, clean, SAMPLES, ScreenConfig()))
    record = pair_record(rows, ScreenConfig(accuracy_fraction=0.8))
    assert (record.magnitudes_x, record.magnitudes_y) == ((0, 0.3), (0, 0.5, 1))
    assert record.accuracy == ((1 / 3, 2 / 3), (2 / 3, 1), (2 / 3, 1))
    assert record.accuracy_fraction == 0.8
    dogs = [row.accuracy for row in rows if row.class_ == "dog" and row.magnitude_x == 0]
    assert dogs == [0.5, 1, 1]
