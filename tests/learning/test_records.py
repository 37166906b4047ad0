import dataclasses
import json

import pytest

import itn
from itn.learning.summary import describe_color, describe_spatial, summary

QUICK = itn.LearnConfig(objective="switched", steps=5, batch_size=32)


@pytest.fixture
def record(blobs, side):
    return itn.learn(side, *blobs, QUICK).record


def test_record_round_trip_through_a_file(record):
    content = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert itn.LearnRecord.from_json(content) == record


def test_summary_says_what_the_matrices_do(record):
    """Known matrices, known words: a gain of 1.5, and a clockwise turn that also moves left."""
    color = {"gain": [1.5], "bias": [-0.25], "mixing": 0.0}
    spatial = {
        "rotation": 12.34,
        "scale_x": 1.25,
        "scale_y": 0.9,
        "shear": -0.05,
        "shift_x": -0.034,
        "shift_y": 0.021,
    }
    words = {"color": describe_color(color), "spatial": describe_spatial(spatial)}
    parts = {name: dataclasses.replace(part, description=words[name]) for name, part in record.parts.items()}
    told = summary(
        dataclasses.replace(record, accuracy_uniform=0.9876, accuracy_uniform_ci=(0.98, 0.99), parts=parts)
    )
    assert "98.76 % [98.00, 99.00] " in told
    assert "gain 1.50 and bias -0.25 of full range" in told
    assert (
        "turned 12.3 degrees clockwise, scaled x 1.25 and y 0.90 (above 1 shrinks), sampled with shear -0.05"
        in told
    )
    assert "shifted 3.4 % of the width left and 2.1 % of the height down" in told


@pytest.mark.parametrize("part", ["color", "spatial"])
def test_summary_and_record_leave_out_what_was_not_learned(part, blobs, side):
    record = itn.learn(side, *blobs, dataclasses.replace(QUICK, parts=(part,))).record
    told = summary(record)
    assert ("colors have gain" in told) == (part == "color")
    assert ("content is turned" in told) == (part == "spatial")
    assert set(record.parts) == {part}
    assert (record.parts[part].rms_shift_full is None) == (part == "color")
    assert {point.part for point in record.curves} == {part}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.pop("schema_version"),
            "has schema version 1, this itn reads 2: run it again",
        ),
        (lambda content: content.update(surprise=1), "it has unknown keys"),
        (lambda content: content.update(clean_accuracy="high"), "Expected `float`, got `str`"),
        (lambda content: content.pop("curves"), "missing required field `curves`"),
    ],
)
def test_what_is_no_record_is_refused(change, message, record):
    content = json.loads(json.dumps(record.to_json()))
    change(content)
    with pytest.raises(ValueError, match=message):
        itn.LearnRecord.from_json(content)
