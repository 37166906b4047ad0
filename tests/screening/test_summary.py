"""Records of a screen in words and in CSV."""

import csv
import io
import json

import pytest

import itn
from itn.screening.records import ScreenRecord
from itn.screening.summary import breaking_order, statement
from itn.screening.tables import CurveRow, FlipRow, to_csv


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
        CurveRow("zoom", 0.3536, 'the "big" cat, gray', 7, 1 / 3, 0.1, 0.9, 0.5, 1e-9, None, 0.25),
        CurveRow("zoom", 1.0, "all", 7, 1.0, 0.5, 1.0, 1.0, 0.123456789, 1.0, 0.0),
    ]
    header, first, second = csv.reader(io.StringIO(to_csv(rows, CurveRow)))
    assert ",".join(header[:7]) == "transform,magnitude,class,n,accuracy,ci_low,ci_high"
    assert header[7:] == ["agreement", "softmax_true", "control_accuracy", "lost_content"]
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


def test_a_record_without_sweeps_speaks_of_its_pairs(record):
    import dataclasses  # noqa: PLC0415

    only = dataclasses.replace(record, transforms={})
    assert isinstance(only, ScreenRecord)
    text = str(itn.ScreenResult(only, (), (), (), ()))
    assert "translate_x x zoom: accuracy is at least 90 % of its clean value at " in text
    assert "of 4 pairs" in text
