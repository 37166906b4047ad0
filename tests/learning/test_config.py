import dataclasses
import json
import math
import re

import pytest
import torch

import itn
import itn.transforms.registry
from itn import LearnConfig
from itn.screening.config import ScreenConfig
from itn.transforms.registry import TRANSFORMS, register


def goal_of(config):
    return config.goal.tolerance, config.goal.steps, config.goal.learning_rate


def test_defaults_are_those_of_the_objective():
    switched, constrained = LearnConfig(objective="switched"), LearnConfig()
    assert goal_of(switched) == (0.0, 1000, 0.005)
    assert goal_of(constrained) == (0.01, 500, 0.03)
    assert constrained.terms == (0.01, 0.95, 0)
    assert (switched.goal, constrained.goal) == (itn.Switched(), itn.Constrained())
    assert goal_of(LearnConfig(tolerance=0.05, steps=7, learning_rate=0.1)) == (0.05, 7, 0.1)
    with pytest.raises(ValueError, match="needs a tolerance above 0"):
        LearnConfig(tolerance=0.0)


def test_another_objective_brings_its_own_defaults():
    """What was not given does not stay behind as if it had been."""
    config = dataclasses.replace(LearnConfig(steps=7), objective="switched")
    assert goal_of(config) == (0.0, 7, 0.005)
    assert goal_of(dataclasses.replace(config, objective="constrained", steps=None)) == (0.01, 500, 0.03)
    assert goal_of(dataclasses.replace(LearnConfig(), objective="switched")) == (0.0, 1000, 0.005)


def test_settings_given_beside_an_objective_hold_before_its_own():
    objective = itn.Switched(tolerance=0.3, steps=5, learning_rate=0.2, acc_orig=0.5, c_theta={"color": 2})
    config = LearnConfig(objective=objective)
    assert config.goal == objective
    assert goal_of(config) == (0.3, 5, 0.2)
    changed = dataclasses.replace(config, tolerance=0.0, steps=9)
    assert goal_of(changed) == (0.0, 9, 0.2)
    assert (changed.goal.acc_orig, changed.goal.c_theta) == (0.5, {"color": 2})


def test_settings_of_an_objective_are_described_beside_its_name():
    written = LearnConfig(objective=itn.Switched(acc_orig=0.5), steps=3).describe()
    assert written["objective"] == {
        **{"name": "switched", "acc_orig": 0.5, "c_theta": 0.01, "displacement_samples": 0}
    }
    assert written["criterion"] == {"name": "accuracy"}
    assert [written[name] for name in ("tolerance", "steps", "learning_rate")] == [0.0, 3, 0.005]
    assert (
        written
        == LearnConfig(
            objective=itn.Switched(acc_orig=0.5, steps=3), criterion=itn.certification.criteria.Accuracy()
        ).describe()
    )
    assert json.loads(json.dumps(written)) == {**written, "parts": ["color", "spatial"]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"parts": ()},
            "parts must be among color, spatial, filter, homography, elastic, tone, each once, got none",
        ),
        ({"parts": ("spatial", "spatial")}, "got spatial,spatial"),
        ({"parts": ("colour",)}, "got colour"),
        ({"parts": {}}, "nothing to learn"),
        ({"parts": {"spatial": torch.nn.Identity()}}, "spatial must be an itn.nn.Transformer, got Identity"),
        ({"parts": {1: itn.ColorTransformer()}}, "names of transformers must be strings, got 1"),
        ({"parts": {"a b": itn.ColorTransformer()}}, "'a b' cannot name a transformer"),
        ({"objective": "best"}, "objective must be constrained or switched, or an itn.Objective, got 'best'"),
        ({"objective": itn.Switched}, "objective must be constrained"),
        ({"objective": "switched", "criterion": "agreement"}, "switched compares accuracies"),
        ({"objective": "switched", "topk": 5}, "switched compares accuracies"),
        ({"criterion": itn.certification.criteria.Accuracy(), "topk": 5}, "give it to the criterion itself"),
        ({"topk": 0}, "topk must be at least 1, got 0"),
        (
            {"criterion": "kept"},
            "criterion must be accuracy, broken, agreement, or an itn.Criterion, got 'kept'",
        ),
        ({"objective": "switched", "tolerance": 1.0}, r"tolerance must lie in \[0, 1\)"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 2.5}, "steps must be an integer, got 2.5"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"family": "rotation", "hidden": 1}, "hidden must be at least 2 where a family has one parameter"),
        ({"color_family": "hue"}, "color_family must be one of affine, gain, bias, got 'hue'"),
        ({"family": "afine"}, "family must be one of affine, rotation"),
        ({"padding": "wrap"}, "padding must be one of zeros"),
        ({"tolerance": 1.0}, r"tolerance must lie in \[0, 1\)"),
        ({"tolerance": -0.1}, "tolerance must lie"),
        ({"train_fraction": 1.0}, r"train_fraction must lie in \(0, 1\)"),
        ({"steps": -1}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive"),
        ({"color_bound": 0.0}, "color_bound must be positive"),
        ({"spatial_bound": -1.0}, "spatial_bound must be positive"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LearnConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"acc_orig": "mean"}, "paired, measured or a number"),
        ({"acc_orig": 98.0}, "paired, measured or a number"),
        ({"acc_orig": True}, "paired, measured or a number"),
        ({"c_theta": float("nan")}, "c_theta must be positive"),
        ({"c_theta": {"color": -1.0}}, "c_theta must be positive, got -1"),
        ({"displacement_samples": -1}, "displacement_samples must be 0"),
        ({"displacement_samples": 2.5}, "displacement_samples must be an integer, got 2.5"),
        ({"tolerance": 1.0}, r"tolerance must lie in \[0, 1\)"),
        ({"tolerance": None}, "tolerance must be a number, got None"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": "7"}, "steps must be an integer, got '7'"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
    ],
)
def test_settings_of_an_objective_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        itn.Switched(**settings)


def test_a_family_of_one_parameter_needs_two_units_only_where_its_ends_are_known():
    assert LearnConfig(objective="switched", family="rotation", hidden=1).hidden == 1
    assert LearnConfig(parts=("color",), family="rotation", hidden=1).hidden == 1
    narrow = {"turn": itn.SpatialTransformer("rotation", hidden=1)}
    with pytest.raises(ValueError, match="hidden must be at least 2"):
        LearnConfig(parts=narrow)
    assert LearnConfig(parts=narrow, objective="switched").goal.name == "switched"


PAPERS = (
    *("translate_x", "translate_y", "rotate", "scale_x", "scale_y", "zoom"),
    *("brightness", "contrast", "grayscale", "blur", "noise"),
)


@pytest.fixture
def coarse():
    """A transformation whose sweep leaves the identity out."""

    @register("step", identity=0.0, magnitudes=(1.0, 2.0, 3.0))
    def coarse(images, v):
        return images

    yield coarse
    itn.transforms.registry._TRANSFORMS.pop("coarse")


def test_screen_defaults_are_the_papers():
    config = ScreenConfig()
    assert config.names == PAPERS
    assert config.pairs == ()
    assert (config.accuracy_fraction, config.confidence, config.bisections) == (0.9, 0.95, 4)
    assert (config.padding, config.precision, config.batch_size, config.seed) == ("zeros", "float32", 0, 0)
    assert config.round_trip
    assert not config.fresh_noise
    assert not config.channels_last
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


def test_screen_names_are_those_given_or_none_beside_pairs():
    assert ScreenConfig(transforms=("shear_x", "blur")).names == ("shear_x", "blur")
    pair = (("translate_x", "translate_y"),)
    assert ScreenConfig(pairs=pair).names == ()
    assert ScreenConfig(pairs=pair, transforms=("blur",)).names == ("blur",)
    assert ScreenConfig(pairs=pair, transforms=()).names == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transforms": ("rotat",)}, "unknown transformation 'rotat': nearest are rotate"),
        ({"transforms": ("blur", "translatex")}, "'translatex': nearest are translate_x, translate_y"),
        ({"transforms": ("qqq",)}, "'qqq': nearest are translate_x, .*, horizontal_flip"),
        ({"pairs": (("rotate", "zom"),)}, "unknown transformation 'zom': nearest are zoom"),
        ({"transforms": ("blur", "zoom", "blur")}, r"transforms name one twice: \('blur', 'zoom', 'blur'\)"),
        ({"transforms": ()}, "there is nothing to screen: give transforms or pairs"),
        ({"pairs": (("rotate",),)}, "a pair is two different names, got rotate"),
        ({"pairs": (("rotate", "zoom", "blur"),)}, "a pair is two different names, got rotate,zoom,blur"),
        (
            {"transforms": ("blur",), "magnitudes": {"rotate": (0.0, 5.0)}},
            "magnitudes are given for 'rotate', which is not screened: add it",
        ),
        ({"magnitudes": {"shear_x": (0.5,)}}, "given for 'shear_x', which is not screened"),
        ({"magnitudes": {"rotat": (0.5,)}}, "unknown transformation 'rotat': nearest are rotate"),
        ({"magnitudes": {"zoom": (0.0, 1.0, 2.0)}}, "zoom is a factor: .* must be above 0, got 0"),
        ({"magnitudes": {"contrast": (0.0, 2.0)}}, "contrast is a factor: .* must be above 0, got 0"),
        (
            {"magnitudes": {"zoom": (-1.0, 2.0)}},
            "zoom .* takes magnitudes from 0 to inf, got -1",
        ),
        ({"magnitudes": {"brightness": (0.0, 1.5)}}, "brightness .* from -1 to 1, got 1.5"),
        ({"magnitudes": {"rotate": (0.0, math.nan)}}, "rotate .*, got nan"),
        ({"magnitudes": {"rotate": (0.0,)}}, "rotate needs a magnitude other than its identity, 0"),
        ({"magnitudes": {"zoom": (1.0, 1.0)}}, "zoom needs a magnitude other than its identity, 1"),
        ({"magnitudes": {"rotate": ()}}, "rotate needs a magnitude other than its identity"),
        (
            {"transforms": ("horizontal_flip",), "magnitudes": {"horizontal_flip": (0.0, 0.5)}},
            "horizontal_flip .*, got 0.5",
        ),
        ({"padding": "wrap"}, "padding must be one of zeros, border, reflection, got 'wrap'"),
        ({"precision": "int8"}, "precision must be one of float32, bfloat16, float16, got 'int8'"),
        ({"accuracy_fraction": 0.0}, r"accuracy_fraction must lie in \(0, 1\), got 0.0"),
        ({"accuracy_fraction": 1.0}, r"accuracy_fraction must lie in \(0, 1\), got 1.0"),
        ({"confidence": 95}, r"confidence must lie in \(0, 1\), got 95"),
        ({"confidence": 0}, "confidence must lie"),
        ({"confidence": math.nan}, "confidence must lie .*, got nan"),
        ({"bisections": -1}, "bisections must be at least 0, got -1"),
        ({"bisections": 2.5}, "bisections must be an integer, got 2.5"),
        ({"batch_size": -1}, "batch_size must be at least 0, got -1"),
        ({"batch_size": 2.0}, "batch_size must be an integer, got 2.0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer, got 0.5"),
        ({"seed": "0"}, "seed must be an integer, got '0'"),
        ({"seed": 2**63}, f"seed must be .*got {2**63}"),
    ],
)
def test_screen_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScreenConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"bisections": 0, "batch_size": 1, "seed": 2**63 - 1},
        {"transforms": ("horizontal_flip",), "magnitudes": {"horizontal_flip": (1.0,)}},
        {"pairs": (("rotate", "zoom"),), "magnitudes": {"zoom": (0.5,)}},
        {"precision": "bfloat16", "padding": "reflection", "confidence": 0.5, "accuracy_fraction": 0.01},
    ],
)
def test_screen_settings_at_the_edge_are_accepted(settings):
    config = ScreenConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_a_sweep_is_sorted_and_free_of_duplicates():
    config = ScreenConfig(magnitudes={"rotate": (30.0, -5.0, 30.0, 0.0)})
    assert config.sweep("rotate") == (-5.0, 0.0, 30.0)
    assert config.sweep("zoom") == TRANSFORMS["zoom"].magnitudes


def test_a_pair_sweep_takes_every_other_default_and_the_identity():
    """The identity of translation is the 9th of 17, of grayscale the 1st, of a zoom the 7th of 13."""
    config = ScreenConfig(
        pairs=(("translate_x", "rotate"), ("grayscale", "zoom"), ("horizontal_flip", "blur")),
        magnitudes={"blur": (3.0, 0.0, 1.0)},
    )
    assert config.pair_sweep("translate_x") == (-0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4)
    assert config.pair_sweep("grayscale") == (0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert config.pair_sweep("zoom") == (0.25, 0.3969, 0.63, 1, 1.587, 2.52, 4)
    assert config.pair_sweep("rotate") == tuple(range(-180, 181, 30))
    assert config.pair_sweep("horizontal_flip") == (0, 1)
    assert config.pair_sweep("blur") == (0, 1, 3)


def test_a_pair_sweep_keeps_an_identity_at_an_odd_place():
    @register("step", identity=0.0, magnitudes=(-1.0, 0.0, 1.0, 2.0))
    def uneven(images, v):
        return images

    try:
        assert ScreenConfig(pairs=(("uneven", "blur"),)).pair_sweep("uneven") == (0, 2)
    finally:
        itn.transforms.registry._TRANSFORMS.pop("uneven")


def test_a_pair_sweep_without_the_identity(coarse):
    config = ScreenConfig(pairs=(("coarse", "blur"),))
    assert set(config.pair_sweep("coarse")) <= {0.0, *coarse.magnitudes}


def test_magnitudes_are_numbers_however_they_are_given():
    config = ScreenConfig(
        ("rotate",),
        [["zoom", "blur"]],
        {"rotate": range(-10, 11, 10), "zoom": [torch.tensor(2), 1], "blur": {-0.0, 1}},
    )
    assert config.pairs == (("zoom", "blur"),)
    assert config.magnitudes == {"rotate": (-10.0, 0.0, 10.0), "zoom": (2.0, 1.0), "blur": (0.0, 1.0)}
    assert json.dumps(config.magnitudes["blur"]) == "[0.0, 1.0]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transforms": "rotate"}, "transforms are a tuple of names, got 'rotate'"),
        ({"pairs": (("zoom", "blur"), ("zoom", "blur"))}, "pairs name one twice"),
        ({"pairs": (("noise", "noise"),)}, "a pair is two different names, got noise,noise"),
        ({"magnitudes": {"rotate": (float("nan"),)}}, "rotate takes finite magnitudes, got nan"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ScreenConfig(**settings)
