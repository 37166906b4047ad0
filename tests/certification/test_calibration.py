"""From a learned family to its certificate: what is chosen, refused and written."""

import dataclasses
import json

import pytest
import torch

import itn
from itn.certification.calibration import check_certifiable
from itn.stats import DropTest, smallest_tolerance

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=30, batch_size=64)


def test_too_few_images_are_refused_with_the_tolerance_that_they_can_prove(blobs, side, tmp_path):
    config = dataclasses.replace(QUICK, tolerance=0.01, criterion="broken")
    with pytest.raises(
        ValueError,
        match=r"^120 images that are not .* 1 %, 2\.65 % at best: give a tolerance of 0\.027 or more",
    ):
        itn.learn(side, *blobs, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert smallest_tolerance(120, 0.96) == pytest.approx(0.0265, abs=5e-5)  # four fifths of 5 %
    check_certifiable(DropTest(120, 0.027, 0.96, signed=False))
    with pytest.raises(ValueError, match=r"120 images .* % at best"):
        check_certifiable(DropTest(120, 0.027, 0.96))  # the more so where some may be mended


@pytest.mark.usefixtures("no_figures")
def test_the_record_holds_what_the_contract_says(blobs, side, tmp_path):
    result = itn.learn(side, *blobs, dataclasses.replace(QUICK, steps=8), tmp_path / "run")
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert content["objective"] == "constrained"
    assert content["tolerance"] == 0.06
    assert {
        *("confidence", "criterion", "tolerance", "images", "scale", "statement"),
        *("uniform", "full", "worst", "searched"),
    } <= set(content["certificate"])
    for condition in ("full", "worst", "uniform"):
        assert {"accuracy", "lower_bound", "drop", "drop_upper_bound"} <= set(
            content["certificate"][condition]
        )
    assert {"k", "accuracy", "drop"} <= set(content["certificate"]["searched"])
    assert len(content["certificate"]["worst"]["k"]) == 4
    assert set(content["headline"]) == {"joint"}
    assert content["drop_curves"][0]["name"] == "learned"
    assert content["split"] | {"held_out_sha256": None} == {
        **{"training": 80, "held_out": 120, "seed": 0, "held_out_sha256": None}
    }
    assert content["certificate"]["uniform"]["accuracy"] == content["accuracy_uniform"]
    assert content["certificate"]["full"]["accuracy"] == content["accuracy_full"]
    assert itn.LearnRecord.from_json(content) == result.record
    k = torch.rand(7, 2)
    loaded = itn.load_net(tmp_path / "run", side)
    assert torch.equal(loaded.part("spatial").matrix(k), result.net.part("spatial").matrix(k))
    written = str(result)
    assert "With 95 % confidence, accuracy falls by at most 6 points at full strength" in written
    assert "measured after that choice" in written
    assert "same prediction" in written


def test_the_worst_k_is_searched_again_at_the_scale_that_it_led_to(flats, brightness):
    """Gains above 1 reach their bound, so the search begins where all gains below 1 are broken."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="gain", steps=5)
    result = itn.learn(brightness, *flats, config)
    assert result.record.certificate.searched.accuracy == 1
    assert result.record.parts["color"].range.low > 0.6
