"""Records of a screen in words and in CSV."""

import csv
import io
import json

import pytest
import torch
from matplotlib.text import Text

import itn
from itn.screening import plot_overview
from itn.screening.records import CurveRow, FlipRow, ScreenRecord
from itn.screening.summary import breaking_order, statement
from itn.screening.tables import to_csv


@pytest.fixture(scope="module")
def record():
    """A real screen of 100 digits: small numbers, all fields."""
    images, labels = itn.load_images("mnist", limit=100)
    config = itn.ScreenConfig(
        ("rotate", "blur", "contrast"),
        (("translate_x", "zoom"),),
        {"rotate": (-90.0, -45.0, 0.0, 45.0, 90.0), "translate_x": (0.0, 0.3), "zoom": (1.0, 3.0)},
        bisections=1,
    )
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config).record


def test_csv_is_what_a_reader_reads_back():
    rows = [
        CurveRow(
            "zoom", 0.3536, 'the "big" cat, gray', 7, 1 / 3, 0.1, 0.9, 0.5, 1e-9, None, 0.25, 0.5, 0.0, 0.75
        ),
        CurveRow("zoom", 1.0, "all", 7, 1.0, 0.5, 1.0, 1.0, 0.123456789, 1.0, 0.0, 0.0, 0.0, 0.0),
    ]
    header, first, second = csv.reader(io.StringIO(to_csv(rows, CurveRow)))
    assert ",".join(header[:7]) == "transform,magnitude,class,n,accuracy,ci_low,ci_high"
    assert header[7:11] == ["agreement", "softmax_true", "control_accuracy", "lost_content"]
    assert header[11:] == ["broken", "mended", "softmax_change"]
    assert first == [
        "zoom",
        "0.3536",
        'the "big" cat, gray',
        "7",
        "0.333333",
        "0.1",
        "0.9",
        "0.5",
        "1e-09",
        "",
        "0.25",
        "0.5",
        "0",
        "0.75",
    ]
    assert second[1:4] == ["1", "all", "7"]
    flip = FlipRow("blur", "above", "cat/1.jpg", "cat", 2.5, flipped=True)
    assert to_csv([flip], FlipRow).splitlines() == [
        "transform,side,image,class,magnitude,flipped",
        "blur,above,cat/1.jpg,cat,2.5,1",
    ]
    assert to_csv([], FlipRow).count("\n") == 1


def test_json_names_the_ends_of_thresholds(record):
    content = json.loads(json.dumps(record.to_json(), allow_nan=False))
    above = content["transforms"]["rotate"]["thresholds"]["accuracy"]["above"]
    assert set(above) == {"value", "ci_low", "ci_high"}
    assert above["ci_low"] <= above["value"] <= above["ci_high"]
    flips = content["transforms"]["rotate"]["thresholds"]["flips"]["below"]
    assert flips["n"] == 100
    assert flips["flipped"] <= 100
    assert content["pairs"]["translate_x,zoom"]["accuracy"][0][0] == content["clean_accuracy"]
    # Curves stand in the order of the magnitudes
    sweep = content["transforms"]["contrast"]
    assert sweep["magnitudes"] == sorted(sweep["magnitudes"])
    assert sweep["accuracy"][sweep["magnitudes"].index(1)] == content["clean_accuracy"]


def test_what_breaks_first_stands_on_top(record):
    order = breaking_order(record)
    changes = [change for _, change in order if change is not None]
    assert changes == sorted(changes)
    assert {name for name, _ in order} == {"rotate", "blur", "contrast"}
    images = itn.load_images("mnist", limit=100).images
    for name, change in order:
        at = [t.value for t in record.transforms[name].thresholds.accuracy.values() if t.value is not None]
        changed = [
            (itn.TRANSFORMS[name](images, v) - images / 255).square().mean((1, 2, 3)).sqrt().mean()
            for v in at
        ]
        assert change == pytest.approx(min(changed).item(), rel=0.03)
        least = at[changed.index(min(changed))]
        assert f"  {change:.3f} at {least:.3g}  " in str(record)
    text = str(itn.ScreenResult(record, (), (), (), ())).splitlines()
    table = [line.split()[0] for line in text[3:6]]
    assert table == [name for name, _ in order]


def test_a_statement_can_be_quoted(record):
    sweep = record.transforms["rotate"]
    words = statement("rotate", sweep, 0.95)
    below, above = (sweep.thresholds.accuracy[side] for side in ("below", "above"))
    assert words == (
        f"rotate: accuracy stays at or above 90 % of its clean value from {below.value:.3g} "
        f"[{below.ci_low:.3g}, {below.ci_high:.3g}] to {above.value:.3g} "
        f"[{above.ci_low:.3g}, {above.ci_high:.3g}] (degrees; in brackets 95 % intervals)"
    )
    contrast = statement("contrast", record.transforms["contrast"], 0.95)
    assert "to beyond 16 (factor" in contrast


@pytest.fixture
def registered_quarters():
    """Quarter turns, of which there are four and nothing between them."""

    def quarters(v, aspect):
        return itn.functional.family_matrix("rotation", (90 * v).deg2rad().unsqueeze(-1), aspect)

    return itn.Transform(
        "quarters", "quarter turns", 0.0, (0.0, 1.0, 2.0, 3.0), quarters, spatial=True, discrete=True
    )


def discrete(classifier, blobs, *transforms, **settings):
    images, labels = blobs
    return itn.screen(classifier, images, labels, itn.ScreenConfig(transforms, **settings))


def test_a_discrete_transformation_has_a_verdict_on_each_magnitude(side, blobs, registered_quarters):
    """A blob on the left is on the right after two quarters, in the middle after one or three."""
    result = discrete(side, blobs, "horizontal_flip", registered_quarters)
    sweep = result.record.transforms["quarters"]
    assert sweep.kept == (True, False, False, False)
    assert [round(share, 1) for share in sweep.accuracy] == [1, 0.5, 0, 0.5]
    assert result.record.transforms["horizontal_flip"].kept == (True, False)
    lines = {line.split()[0]: line for line in str(result).splitlines() if line}
    assert "breaks at 1: 0.0 % right    " in lines["horizontal_flip"]
    assert "breaks at 1: 0.0 % unchanged" in lines["horizontal_flip"]
    assert " 0, 1 " in lines["horizontal_flip"]
    assert "at 2: 0.0 % right, at 3: 50" in lines["quarters"]
    for line in (lines["horizontal_flip"], lines["quarters"]):
        assert " to " not in line
    words = statement("horizontal_flip", result.record.transforms["horizontal_flip"], 0.95)
    assert words == (
        "horizontal_flip: accuracy falls below 90 % of its clean value at 1 (0.00 % [0.00 %, 1.83 %]) "
        "(0 or 1; in brackets 95 % intervals)"
    )
    first, _ = breaking_order(result.record)[0]
    assert statement(first, result.record.transforms[first], 0.95) in str(result)


@pytest.fixture
def lenet5_flips():
    images, labels = itn.load_images("mnist", limit=100)
    config = itn.ScreenConfig(("horizontal_flip", "brightness"), topk=5, bisections=0, accuracy_bisections=0)
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config)


def figure_texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_predictions_are_unchanged_by_the_first_answer_whatever_counts_as_right(lenet5_flips):
    """Half of the predictions unchanged is about predictions; agreement is among the answers."""
    result = lenet5_flips
    sweep = result.record.transforms["horizontal_flip"]
    flips = sweep.thresholds.flips["above"]
    assert sweep.unchanged == (1, (flips.n - flips.flipped) / flips.n)
    assert sweep.unchanged[1] < 0.5 < sweep.agreement[1]
    lines = {line.split()[0]: line for line in str(result).splitlines() if line}
    assert f"breaks at 1: {100 * sweep.unchanged[1]:.1f} % unchanged" in lines["horizontal_flip"]
    assert "broken - mended, still among the top 5 there" in lines["transformation"]
    assert "still among the top 5: the share of predictions still among the top 5" in str(result)
    assert f"{100 * sweep.unchanged[1]:.1f} %" in figure_texts(
        plot_overview.thresholds(result.record, itn.TRANSFORMS)
    )
    content = json.loads(json.dumps(result.record.to_json()))
    assert ScreenRecord.from_json(content) == result.record
    assert "first_unchanged" not in content["transforms"]["brightness"]


def test_a_discrete_transformation_is_kept_where_nothing_changes(brightness, flats, registered_quarters):
    result = discrete(brightness, flats, "horizontal_flip", registered_quarters)
    sweep = result.record.transforms["quarters"]
    assert sweep.kept == (True,) * 4
    assert sweep.thresholds.accuracy["above"] == itn.Threshold(None, None, None)
    assert statement("quarters", sweep, 0.95) == (
        "quarters: accuracy stays at or above 90 % of its clean value at 1, 2 and 3, all that was tested "
        "(quarter turns)"
    )
    lines = {line.split()[0]: line for line in str(result).splitlines() if line}
    assert "horizontal_flip  kept at 1        " in lines["horizontal_flip"]
    assert "nothing breaks it" in str(result)


def test_of_several_discrete_magnitudes_some_are_kept(brightness, flats):
    """Bright images of 0.75 are dark after -0.5, and dark ones of 0.25 bright after 0.6."""
    steps = (-0.5, -0.1, 0.1, 0.6)
    jump = itn.Transform("jump", "step", 0.0, (0.0, *steps), lambda images, v: images + v, discrete=True)
    result = discrete(brightness, flats, jump, magnitudes={"jump": steps})
    sweep = result.record.transforms["jump"]
    assert sweep.kept == (False, True, True, False)
    assert sweep.recoveries.accuracy == ()
    assert breaking_order(result.record) == [("jump", min(sweep.pixel_change[0], sweep.pixel_change[3]))]
    assert statement("jump", sweep, 0.95) == (
        "jump: accuracy stays at or above 90 % of its clean value at -0.1 and 0.1 and falls below it at -0.5 "
        "(50.00 % [42.87 %, 57.13 %]) and 0.6 (50.00 % [42.87 %, 57.13 %]) (step; in brackets 95 % intervals)"
    )
    assert "kept at -0.1 and 0.1; breaks at -0.5: 50.0 % right, at 0.6: 50.0 % right" in str(result)
    assert f"{min(sweep.pixel_change[0], sweep.pixel_change[3]):.3f} at -0.5 " in str(result)


def test_thresholds_of_a_discrete_transformation_are_its_own_magnitudes(side, blobs):
    """0.9 is not the identity, 0.2, plus its distance from it, in floating point."""
    assert 0.2 + (0.9 - 0.2) != 0.9

    def late(images, v):
        return torch.where(v > 0.6, images.flip(-1), images)

    turned = itn.Transform("turned", "", 0.2, (0.2, 0.5, 0.9), late, discrete=True)
    thresholds = discrete(side, blobs, turned).record.transforms["turned"].thresholds
    assert thresholds.accuracy["above"] == itn.Threshold(0.9, 0.9, 0.9)
    assert thresholds.flips["above"].median == itn.Threshold(0.9, 0.9, 0.9)
    assert thresholds.classes["0"]["above"] == itn.Threshold(0.9, 0.9, 0.9)


def test_a_discrete_record_comes_back_from_json_and_others_have_no_verdicts(side, blobs):
    record = discrete(side, blobs, "horizontal_flip", "brightness").record
    content = json.loads(json.dumps(record.to_json()))
    assert content["transforms"]["horizontal_flip"]["kept"] == [True, False]
    assert "kept" not in content["transforms"]["brightness"]
    assert ScreenRecord.from_json(content) == record


def test_a_record_without_sweeps_speaks_of_its_pairs(record):
    import dataclasses  # noqa: PLC0415

    only = dataclasses.replace(record, transforms={})
    assert isinstance(only, ScreenRecord)
    text = str(itn.ScreenResult(only, (), (), (), ()))
    assert "translate_x x zoom: accuracy is at least 90 % of its clean value at " in text
    assert "of 4 pairs" in text
