"""What the comparison of objectives says of runs that learned one part alone."""

import json
from pathlib import Path

import pytest

COMMITTED = Path(__file__).parents[2] / "experiments" / "largest_family" / "result.json"


def only(record, part):
    """Return a record as if nothing but one part had been learned."""
    runs = [
        {
            **run,
            "headline": {part: run["headline"][part]},
            "parts": {part: run["parts"][part]},
        }
        for run in record["runs"]
    ]
    return record | {"runs": runs}


@pytest.mark.parametrize(
    ("part", "columns", "drawn"), [("color", (2, 3, 4, 5, 6), set()), ("spatial", (7, 8), {"ratios"})]
)
def test_a_part_that_was_not_learned_has_no_figures(part, columns, drawn, experiment):
    record, study = only(json.loads(COMMITTED.read_text()), part), experiment("largest_family.run")
    rows = [line.split(" | ") for line in study.table(record).splitlines()[2:]]
    assert len(rows) == 4  # two classifiers, two designs
    for row in rows:
        assert [number for number, cell in enumerate(row) if cell == "-"] == list(columns)
    assert set(study.figures(record)) == drawn


def test_a_baseline_chosen_beforehand_is_no_larger_than_the_largest(experiment):
    study = experiment("largest_family.run")
    for run in json.loads(COMMITTED.read_text())["runs"]:
        (ratio,) = study._to_first([run])
        assert ratio >= run["headline"]["spatial"]["value"] * (1 - 1e-6)
