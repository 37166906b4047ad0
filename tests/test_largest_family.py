"""What the comparison of objectives says of runs that learned one part alone."""

import json
from pathlib import Path

import pytest

import itn
from itn.building import make_net
from itn.certifying import yardsticks

COMMITTED = Path(__file__).parent.parent / "experiments" / "results" / "largest_family" / "result.json"


def only(record, part):
    """Return a record as if nothing but one part had been learned."""
    other = {"color": "spatial", "spatial": "color"}[part]
    runs = [
        {
            **run,
            "axis_ratio": {part: run["axis_ratio"][part]},
            **{key: None for key in run if key.startswith(f"{other}_")},
        }
        for run in record["runs"]
    ]
    return record | {"runs": runs}


@pytest.mark.parametrize(
    ("part", "columns", "drawn"), [("color", (2, 3, 4), set()), ("spatial", (5, 6), {"ratios"})]
)
def test_a_part_that_was_not_learned_has_no_figures(part, columns, drawn, experiment):
    record, study = only(json.loads(COMMITTED.read_text()), part), experiment("largest_family")
    rows = [line.split(" | ") for line in study.table(record).splitlines()[2:]]
    assert len(rows) == 2
    for row in rows:
        assert [number for number, cell in enumerate(row) if cell == "-"] == list(columns)
    assert set(study.figures(record)) == drawn


def test_only_seen_is_shown_the_images_that_calibrate_and_certify(experiment, monkeypatch):
    study, shown = experiment("largest_family"), {}
    classifier = itn.load_classifier("jennings-cnn")
    digits = itn.load_images("mnist:unseen", limit=200)
    config = itn.LearnConfig(steps=1, tolerance=0.1, parts=("space",))

    def first_look(net, learned, *_):
        shown[design] = len(learned)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "yardsticks", first_look)
    for design in (study.SEEN, study.SEARCH):
        with pytest.raises(KeyboardInterrupt):
            study._otherwise(design, classifier, *digits, config)
    assert shown == {study.SEEN: 200, study.SEARCH: 80}


def test_what_has_seen_all_images_is_learned_at_the_tolerance_itself(experiment):
    """Others lose twice as many while they learn, since few images at the tolerance decide."""
    study, classifier = experiment("largest_family"), itn.load_classifier("jennings-cnn")
    config = itn.LearnConfig(steps=1, tolerance=0.1, parts=("space",))
    data = itn.preflight(classifier, *itn.load_images("mnist:unseen", limit=200))
    net = make_net(classifier, config, data.images.shape)
    measures = yardsticks(net, data, len(data), config)
    learner = study._learner(study.SEEN, net, data, measures, config)
    assert learner.target == pytest.approx(measures.target)
