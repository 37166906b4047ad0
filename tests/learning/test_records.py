import json

import pytest

import itn

QUICK = itn.LearnConfig(objective="switched", steps=5, batch_size=32)


@pytest.fixture
def record(blobs, side):
    return itn.learn(side, *blobs, QUICK).record


def test_record_round_trip_through_a_file(record):
    content = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert itn.LearnRecord.from_json(content) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.pop("schema_version"),
            "has schema version 1, this itn reads 6: run it again",
        ),
        (
            lambda content: (content.update(schema_version=2), content.pop("criterion")),
            "has schema version 2, this itn reads 6: run it again",
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
