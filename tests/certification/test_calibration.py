"""From a learned family to its certificate: what is compared, chosen, refused and written."""

import dataclasses
import itertools
import json

import pytest
import torch

import itn
from itn.certification.baselines import EstimatedBaseline, spatial_baselines
from itn.certification.calibration import check_certifiable
from itn.certification.family_baselines import FamilyBaselines, estimate_family_baselines
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.learning.load import make_net
from itn.learning.split import split_images

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=30, batch_size=64)


def test_too_few_images_are_refused_with_the_tolerance_that_they_can_prove(blobs, side, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"^60 calibration images .* 1 %, 4\.87 % at best: give a tolerance of 0\.049 or more",
    ):
        itn.learn(side, *blobs, dataclasses.replace(QUICK, tolerance=0.01), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_certifiable(60, 0.049, 0.95)


def test_references_are_the_largest_displacements_of_baselines(blobs, side):
    """Shifts along y and all that leaves the horizontal centre alone go to their bounds."""
    data = itn.preflight(side, *blobs)
    net = make_net(side, QUICK, data.images.shape)
    baselines = estimate_family_baselines(net, EvaluationSet(side, data), 200, QUICK.terms)
    assert (
        baselines.target == (6 + 0.5) / 200
    )  # of 200 images 6 may be broken: below 6 % with 95 % confidence
    by_name = {
        (estimate.baseline.name, estimate.baseline.max_offset > 0): estimate.scale
        for estimate in baselines.estimates["spatial"]
    }
    assert by_name["translate_x", True] == pytest.approx(0.5, abs=0.04)  # a quarter of the width
    assert by_name["shear_x", True] == 1.0
    assert baselines.references["spatial"] >= 1 / 3
    assert baselines.references["color"] == pytest.approx(0.5)
    assert baselines.bounded == {
        "color"
    }  # a rotation that ends at a right angle has more displacement than a shear


def test_pairs_are_of_the_furthest_baselines_and_never_opposite():
    """Shears of 0.4 and -0.32 and a scale of 0.35 are among the furthest; shifts are far from that."""
    scales = {("shear_x", 1): 0.4, ("shear_x", -1): 0.32, ("scale_y", 1): 0.35}
    estimates = [
        EstimatedBaseline(baseline, scales.get((baseline.name, 1 if baseline.max_offset > 0 else -1), 0.01))
        for baseline in spatial_baselines(1.0)
        if baseline.name in ("shear_x", "scale_y", "translate_x")
    ]
    baselines = FamilyBaselines({"spatial": estimates}, 0.01)
    assert baselines.bounded == set()
    found = baselines.promising_pairs("spatial")
    # Matrices say where an output pixel comes from: a shear to the right has a negative entry
    up, down, taller = ([0, -0.4, 0, 0, 0, 0], [0, 0.32, 0, 0, 0, 0], [0, 0, 0, 0, 0.35, 0])
    none = [0.0] * 6
    expected = [[up, taller], [taller, down], [up, none], [taller, none], [down, none]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("parts", [("color",), ("spatial",), ("color", "spatial")])
def test_controls_of_a_net_are_those_that_it_listens_to(parts, blobs, side):
    config = dataclasses.replace(QUICK, parts=parts)
    net = make_net(side, config, blobs[0].shape)
    k = torch.rand(5, 2 * len(parts))
    matrices = ParametricTransform.of_net(net).matrices(k)
    expected = net.matrices(k[:, :2], k[:, -2:])
    assert tuple(matrices) == tuple(expected) == parts
    for part in parts:
        assert torch.equal(matrices[part], expected[part])


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
    assert torch.equal(loaded.spatial.matrix(k), result.net.spatial.matrix(k))
    written = str(result)
    assert "With 95 % confidence, accuracy is at least" in written
    assert "worst k of each image" in written


def test_images_of_the_three_parts_are_disjoint(blobs, side):
    data = itn.preflight(side, *blobs)
    numbered = dataclasses.replace(data, images=torch.arange(200.0).view(-1, 1, 1, 1))
    parts = [part.images.flatten().tolist() for part in split_images(numbered, QUICK)]
    assert list(map(len, parts)) == [80, 60, 60]
    assert sorted(itertools.chain(*parts)) == list(range(200))


def test_classes_of_one_image_can_be_split(side):
    data = itn.CheckedImages(torch.zeros(200, 1, 1, 1), torch.arange(200), torch.arange(200))
    assert [len(part) for part in split_images(data, QUICK)] == [80, 60, 60]


def test_the_worst_k_is_searched_again_at_the_scale_that_it_led_to(flats, brightness):
    """Gains above 1 reach their bound, so the search begins where all gains below 1 are broken."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="gain", steps=5)
    result = itn.learn(brightness, *flats, config)
    assert result.record.certificate.searched.accuracy == 1
    assert result.record.parts["color"].range.low > 0.6
