"""Settings of a screen that name transformations or hold them."""

import dataclasses
import json
import re

import pytest

import itn
from itn import ScreenConfig, Transform


def darken(images, v):
    return images * (1 - v)


def lighten(images, v):
    return images + v


DARKEN = Transform("darken", "share", 0.0, (0.0, 0.25, 0.5, 0.75), darken, domain=(0, 1))
OTHER = dataclasses.replace(DARKEN, function=lighten)


@pytest.fixture
def registered():
    """What registers a function as darken; it is removed afterwards."""

    yield itn.register("share", 0.0, DARKEN.magnitudes, domain=(0, 1), name="darken", replace=True)
    if "darken" in itn.TRANSFORMS:
        itn.unregister("darken")


def test_transformations_are_known_by_their_names():
    config = ScreenConfig(("rotate", DARKEN), (("zoom", DARKEN),), {"darken": [0.5, 0.0]})
    assert config.names == ("rotate", "darken")
    assert config.pair_names == (("zoom", "darken"),)
    assert list(config.resolved) == ["rotate", "darken", "zoom"]
    assert config.resolved["darken"] is DARKEN
    assert config.resolved["zoom"] is itn.TRANSFORMS["zoom"]
    assert config.sweep("darken") == config.pair_sweep("darken") == (0.0, 0.5)
    assert ScreenConfig(pairs=(("zoom", DARKEN),)).pair_sweep("darken") == (0.0, 0.5)
    assert ScreenConfig((DARKEN,)).sweep("darken") == DARKEN.magnitudes


def test_settings_can_be_changed_and_written_by_name():
    config = dataclasses.replace(ScreenConfig(["rotate", DARKEN], [("zoom", DARKEN)]), seed=3)
    named = config.by_name()
    assert (named.transforms, named.pairs) == (("rotate", "darken"), (("zoom", "darken"),))
    assert config.transforms == ("rotate", DARKEN)
    assert named.resolved["darken"] is DARKEN
    plain = ScreenConfig(("rotate", "noise"), (("zoom", "blur"),), seed=3)
    changed = {"transforms": ["rotate", "noise"], "pairs": [["zoom", "blur"]]}
    assert json.loads(json.dumps(dataclasses.asdict(named))) | changed == json.loads(
        json.dumps(dataclasses.asdict(plain))
    )
    settings = dataclasses.asdict(named)
    assert settings.pop("accept") == ()  # what was found is in the provenance
    assert config.describe() == settings
    assert json.loads(json.dumps(config.describe())) | changed == json.loads(json.dumps(plain.describe()))
    assert dataclasses.asdict(ScreenConfig().by_name()) == dataclasses.asdict(ScreenConfig())


def test_a_transformation_may_be_given_twice_over_but_not_two_of_one_name(registered):
    ScreenConfig((DARKEN, "rotate"), ((DARKEN, itn.TRANSFORMS["rotate"]),))
    again = registered(darken)
    assert ScreenConfig(("darken",), ((again, "zoom"),)).names == ("darken",)
    message = re.escape("two different transformations are called 'darken': rename one of them")
    for settings in (
        {"transforms": (DARKEN, OTHER)},
        {"transforms": ("rotate", DARKEN), "pairs": ((OTHER, "zoom"),)},
        {"transforms": ("darken", OTHER)},
        {"transforms": (DARKEN, dataclasses.replace(DARKEN, magnitudes=(0.0, 1.0)))},
    ):
        with pytest.raises(ValueError, match=message):
            ScreenConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transforms": (darken,)}, "transforms are a tuple of names, got (<function darken"),
        ({"transforms": DARKEN}, "transforms are a tuple of names, got Transform("),
        ({"pairs": ((DARKEN, DARKEN),)}, "a pair is two different names, got darken,darken"),
        ({"pairs": ((DARKEN, 3),)}, "a pair is a tuple of names, got (Transform("),
        ({"transforms": (DARKEN, DARKEN)}, "transforms name one twice: ('darken', 'darken')"),
        ({"transforms": (DARKEN,), "magnitudes": {"darkn": (1.0,)}}, "'darkn': nearest are darken"),
        ({"transforms": (DARKEN,), "magnitudes": {"darken": (2.0,)}}, "magnitudes from 0 to 1, got 2"),
        ({"transforms": ("darken",)}, "unknown transformation 'darken': nearest are"),
    ],
)
def test_transformations_that_cannot_be_screened_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ScreenConfig(**settings)


def test_names_mean_what_was_registered_when_the_settings_were_made(registered):
    registered(darken)
    config = ScreenConfig(("darken",))
    registered(lighten)
    assert config.resolved["darken"].function is darken
    assert dataclasses.replace(config).resolved["darken"].function is lighten
