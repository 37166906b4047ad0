"""What the study of family sizes keeps of a run, and how it shows it."""

import json
from pathlib import Path

import pytest
import torch

import itn

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(experiment):
    return experiment("family_sizes.run")


@pytest.fixture
def run(script, flats, brightness, tmp_path):
    images = itn.ImageSet(flats[0].mul(255).round().to(torch.uint8), flats[1], torch.arange(200))
    config = itn.LearnConfig(parts=("color",), tolerance=0.1, steps=5)
    kept = script.learned(brightness, images, config, tmp_path / "unfinished", tmp_path / "outcomes.npz")
    return json.loads(json.dumps(kept)) | {"objective": "constrained", "learned": "color", "seed": 0}


def test_a_finished_run_keeps_its_outcomes_and_its_time(script, run, tmp_path):
    whole = script.measured_run(tmp_path / "outcomes.npz", run)
    assert whole.family.record().drops == tuple(run["drop_curves"][0]["drops"])
    assert len(whole.rivals) == len(run["drop_curves"]) - 1
    assert set(run["seconds"]) == {*script.PHASES, "comparison"}
    assert run["certificate"]["statement"]
    assert "holds" not in run  # the claims are about both parts
    text = script.times({"runs": [run]})
    assert text.startswith("preparation, steps, calibration, evaluation and figures take ")


def test_committed_headlines_are_those_of_the_committed_outcomes(script):
    folder = EXPERIMENTS / "family_sizes" / "resnet20"
    runs = json.loads((folder / "result.json").read_text())["runs"]
    (committed,) = (run for run in runs if (run["learned"], run["seed"]) == ("spatial", 0))
    path = folder / "parts" / "constrained-spatial-seed0.json"
    again = script.compared(path, json.loads(path.read_text()))
    assert again["headline"]["spatial"]["value"] == pytest.approx(committed["headline"]["spatial"]["value"])
    assert again["headline"]["spatial"]["rival"] == "zoom +"


def test_where_there_is_no_headline_the_reason_is_found_again(script, run, tmp_path):
    again = script.compared(tmp_path / "outcomes.npz", run | {"no_headline": "?"})
    assert json.loads(json.dumps(again["headline"])) == run["headline"]
    assert again["no_headline"] == run["no_headline"]


def test_rows_are_ordered_and_say_what_was_learned(script, run):
    runs = [run | {"seed": 1}, run | {"learned": "both"}, run]
    names = [name for name, _ in script.named({"runs": runs})]
    assert names == [f"constrained, {name}" for name in ("color, seed 0", "color, seed 1", "both, seed 0")]
    member = json.loads(json.dumps(run))
    member["parts"]["color"]["member"] = "contrast +"
    assert script.row(member)[-1].endswith("(plain contrast +)")
    assert "plain" not in script.row(run | {"parts": {"color": run["parts"]["color"] | {"member": None}}})[-1]


def test_claims_are_those_of_bunne_with_their_limits(script):
    family = {"zoom": 1.3, "least_zoom": 0.8, "most_rotation": 3.0, "pixel_change": 0.2}
    holds = {claim.number: claim.holds(family[claim.number]) for claim in script.CLAIMS}
    both = {"objective": "constrained", "learned": "both", "seed": 0, "family": family, "holds": holds}
    other = both | {"seed": 1, "family": family | {"zoom": 0.9}, "holds": holds | {"zoom": False}}
    text = script.claims({"runs": [both, other, both | {"objective": "switched"}]})
    assert "1.100 (0.900 to 1.300); holds in 1 of 2 | 1.300; holds in 1 of 1" in text
    assert "0.800 (0.800 to 0.800); holds in 0 of 2" in text
    assert "3.0 (3.0 to 3.0); holds in 2 of 2" in text
    assert "| claim | taken as | constrained | switched |" in text
    assert script.claims({"runs": []}) == "No family of both parts has been learned."
