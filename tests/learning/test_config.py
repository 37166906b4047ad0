import dataclasses
import json
import math
import re

import pytest
import torch

import itn.transforms.registry
from itn import LearnConfig
from itn.screening.config import ScreenConfig
from itn.transforms.registry import TRANSFORMS, register


def test_defaults_are_those_of_the_objective():
    switched, constrained = LearnConfig(objective="switched"), LearnConfig()
    assert (switched.tolerance, switched.steps, switched.learning_rate) == (0.0, 1000, 0.005)
    assert (constrained.tolerance, constrained.steps, constrained.learning_rate) == (0.01, 500, 0.03)
    given = LearnConfig(tolerance=0.05, steps=7, learning_rate=0.1)
    assert (given.tolerance, given.steps, given.learning_rate) == (0.05, 7, 0.1)
    with pytest.raises(ValueError, match="needs a tolerance above 0"):
        LearnConfig(tolerance=0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parts": ()}, "parts must be color, spatial, or both, got none"),
        ({"parts": ("spatial", "spatial")}, "got spatial,spatial"),
        ({"parts": ("colour",)}, "got colour"),
        ({"objective": "best"}, "objective must be constrained"),
        ({"color_family": "hue"}, "color-family must be one of affine, gain, bias, got 'hue'"),
        ({"family": "afine"}, "family must be one of affine, rotation"),
        ({"padding": "wrap"}, "padding must be one of zeros"),
        ({"acc_orig": "mean"}, "paired, measured or a number"),
        ({"acc_orig": 98.0}, "paired, measured or a number"),
        ({"tolerance": 1.0}, r"tolerance must lie in \[0, 1\)"),
        ({"tolerance": -0.1}, "tolerance must lie"),
        ({"train_fraction": 1.0}, r"train-fraction must lie in \(0, 1\)"),
        ({"steps": -1}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch-size must be at least 1"),
        ({"c_theta": float("nan")}, "c-theta must be positive"),
        ({"learning_rate": float("inf")}, "learning-rate must be positive"),
        ({"color_bound": 0.0}, "color-bound must be positive"),
        ({"spatial_bound": -1.0}, "spatial-bound must be positive"),
        ({"displacement_samples": -1}, "displacement-samples must be 0"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LearnConfig(**settings)


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
        ({"magnitudes": {"zoom": (-1.0, 2.0)}}, r"zoom \(factor\) takes magnitudes from 0 to inf, got -1"),
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
        ({"accuracy_fraction": 0.0}, r"accuracy-fraction must lie in \(0, 1\), got 0.0"),
        ({"accuracy_fraction": 1.0}, r"accuracy-fraction must lie in \(0, 1\), got 1.0"),
        ({"confidence": 95}, r"confidence must lie in \(0, 1\), got 95"),
        ({"confidence": 0}, "confidence must lie"),
        ({"confidence": math.nan}, "confidence must lie .*, got nan"),
        ({"bisections": -1}, "bisections must be at least 0, got -1"),
        ({"bisections": 2.5}, "bisections must be an integer, got 2.5"),
        ({"batch_size": -1}, "batch-size must be at least 0, got -1"),
        ({"batch_size": 2.0}, "batch-size must be an integer, got 2.0"),
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
