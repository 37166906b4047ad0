"""From a learned family to its certificate: what is chosen, refused and written."""

import dataclasses
import json

import pytest
import torch

import itn
from itn.certification.calibration import check_certifiable

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=30, batch_size=64)


def test_too_few_images_are_refused_with_the_tolerance_that_they_can_prove(blobs, side, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"^60 calibration images .* 1 %, 4\.87 % at best: give a tolerance of 0\.049 or more",
    ):
        itn.learn(side, *blobs, dataclasses.replace(QUICK, tolerance=0.01), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_certifiable(60, 0.049, 0.95)


def test_the_record_holds_what_the_contract_says(blobs, side, tmp_path):
    result = itn.learn(side, *blobs, QUICK, tmp_path / "run")
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert content["objective"] == "constrained"
    assert content["tolerance"] == 0.06
    assert {
        *("confidence", "tolerance", "scale", "uniform", "full", "searched", "statement"),
    } <= set(content["certificate"])
    assert set(content["headline"]) == {"color", "spatial"}
    assert content["split"] | {"held_out_sha256": None} == {
        **{"training": 80, "calibration": 60, "held_out": 60, "seed": 0, "held_out_sha256": None}
    }
    assert content["certificate"]["uniform"]["accuracy"] == content["accuracy_uniform"]
    assert content["certificate"]["full"]["accuracy"] == content["accuracy_full"]
    assert itn.LearnRecord.from_json(content) == result.record
    k = torch.rand(7, 2)
    loaded = itn.load_net(tmp_path / "run", side)
    assert torch.equal(loaded.part("spatial").matrix(k), result.net.part("spatial").matrix(k))
    written = str(result)
    assert "With 95 % confidence, accuracy is at least" in written
    assert "worst k of each image" in written


def test_the_worst_k_is_searched_again_at_the_scale_that_it_led_to(flats, brightness):
    """Gains above 1 reach their bound, so the search begins where all gains below 1 are broken."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="gain", steps=5)
    result = itn.learn(brightness, *flats, config)
    assert result.record.certificate.searched.accuracy == 1
    assert result.record.parts["color"].range.low > 0.6
