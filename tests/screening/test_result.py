"""A finished screen comes back from its folder as it was; anything else is refused."""

import dataclasses
import json

import pytest

import itn
from itn.screening.records import CurveRow
from itn.screening.tables import from_csv, to_csv

FLIPS = "transform,side,image,class,magnitude,flipped\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A screen of 60 digits, and its folder."""
    folder = tmp_path_factory.mktemp("screen")
    images, labels = itn.load_images("mnist", limit=60)
    config = itn.ScreenConfig(
        ("rotate", "blur", "grayscale"),
        (("translate_x", "zoom"),),
        {"rotate": (-45.0, 0.0, 45.0), "blur": (2.0,), "translate_x": (0.0, 0.3), "zoom": (1.0, 3.0)},
        bisections=1,
        accuracy_bisections=1,
    )
    names = [f'a,b/"{number}"\n.png' for number in range(60)]
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config, folder, names=names), folder


def rounded(row):
    return tuple(float(f"{v:.6g}") if isinstance(v, float) else v for v in dataclasses.astuple(row))


def test_a_screen_comes_back_from_its_folder(finished):
    result, folder = finished
    loaded = itn.load_screen(folder)
    assert loaded.record == result.record
    assert loaded.record.schema_version == 6
    assert str(loaded) == str(result)
    for name in ("curves", "pairs", "softmax", "flips"):
        rows, expected = getattr(loaded, name), getattr(result, name)
        assert len(rows) > 0
        assert [dataclasses.astuple(row) for row in rows] == [rounded(row) for row in expected]
        assert to_csv(rows, type(rows[0])) == to_csv(expected, type(rows[0]))


def test_a_record_comes_back_from_json(finished):
    record = finished[0].record
    content = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert next(iter(content)) == "schema_version"
    assert itn.ScreenRecord.from_json(content) == record


def test_a_record_with_an_unknown_key_is_refused(finished):
    content = finished[0].record.to_json()
    with pytest.raises(ValueError, match="no record of itn screen"):
        itn.ScreenRecord.from_json(content | {"more": 1})
    content["transforms"]["rotate"]["islands"] = content["transforms"]["rotate"].pop("recoveries")
    with pytest.raises(ValueError, match="no record of itn screen"):
        itn.ScreenRecord.from_json(content)


def test_a_record_of_an_older_schema_is_refused(finished):
    content = finished[0].record.to_json()
    unversioned = {key: value for key, value in content.items() if key != "schema_version"}
    for older in (content | {"schema_version": 1}, unversioned):
        with pytest.raises(ValueError, match="schema version 1, this itn reads 6"):
            itn.ScreenRecord.from_json(older)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("result.json", None, "does not hold a finished screen: name"),
        ("result.json", "{", "Expecting property name.*: repeat the screen"),
        ("result.json", '{"clean_accuracy": 1.0}', "schema version 1, this itn reads 6.*: repeat the screen"),
        ("result.json", '{"schema_version": 6, "steps": 3}', "no record of itn screen.*: repeat the screen"),
        ("curves.csv", None, "No such file.*: repeat the screen"),
        ("curves.csv", "", "curves.csv: its columns are .*: repeat the screen"),
        (
            "flips.csv",
            f"{FLIPS}rotate,above,1\n",
            "flips.csv: .*: repeat",
        ),
        ("flips.csv", f"{FLIPS}a,b,c,d,e,f\n", "flips.csv: could not"),
    ],
)
def test_what_is_no_finished_screen_is_refused(finished, tmp_path, file, content, message):
    for path in finished[1].iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message) as refused:
        itn.load_screen(tmp_path)
    assert "\n" not in str(refused.value)


def test_cells_keep_the_types_of_their_columns():
    rows = (CurveRow("zoom", 0.5, "7", 3, 1.0, 0.5, 1.0, 1.0, 0.25, None, 0.0, 0.25, 0.125, 0.5),)
    assert from_csv(to_csv(rows, CurveRow), CurveRow) == rows
