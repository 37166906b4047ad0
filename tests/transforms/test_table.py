import pytest
import torch

import itn
from itn.transforms import PAPER, TRANSFORMS, expand, groups, register, unregister


def test_every_transformation_of_the_table_is_in_one_group():
    of_kind = [groups()[name] for name in ("spatial", "color", "detail", "noises")]
    assert sorted(name for names in of_kind for name in names) == sorted(TRANSFORMS)
    assert groups()["all"] == tuple(TRANSFORMS)
    assert groups()["paper"] == PAPER
    with_severities = {name for name, transform in TRANSFORMS.items() if transform.severities}
    assert with_severities < set(groups()["imagenet-c"]) < set(TRANSFORMS)


def test_groups_and_names_mix_without_repeating():
    assert expand(("paper", "gamma")) == (*PAPER, "gamma")
    assert expand(("gamma",)) == ("gamma",)
    assert expand(("noises", "paper", "rotate"))[:4] == groups()["noises"]
    both = expand(("noises", "paper", "rotate"))
    assert len(set(both)) == len(both) == len({*groups()["noises"], *PAPER})
    assert both[-1] == "rotate"  # where it was named
    assert expand(("noise",)) == ("noise",)  # the transformation
    assert expand(("rotate", "rotate")) == ("rotate", "rotate")


def test_settings_name_the_members():
    config = itn.ScreenConfig(transforms=("paper", "gamma"))
    assert config.names == (*PAPER, "gamma")
    assert config.describe()["transforms"] == (*PAPER, "gamma")
    assert itn.ScreenConfig().names == PAPER
    with pytest.raises(ValueError, match="transforms name one twice"):
        itn.ScreenConfig(transforms=("rotate", "rotate", "paper"))
    with pytest.raises(ValueError, match="unknown transformation 'paper'"):
        itn.ScreenConfig(pairs=(("paper", "rotate"),))


def test_a_user_joins_a_group_and_cannot_take_its_name():
    @register("share", 0.0, (0.0, 1.0), group="color")
    def fade(images, v):
        return images * (1 - v)

    try:
        assert groups()["color"][-1] == groups()["all"][-1] == "fade"
    finally:
        unregister("fade")
    with pytest.raises(ValueError, match="'spatial' is the name of a group: give yours another name"):
        register("share", 0.0, (0.0, 1.0), name="spatial")(lambda images, v: images)


def test_severities_are_those_of_imagenet_c():
    assert TRANSFORMS["shot_noise"].severities[1] == pytest.approx(0.2)  # 25 photons
    assert TRANSFORMS["jpeg"].severities[-1] == 93  # quality 7
    photons = torch.tensor([60.0, 25, 12, 5, 3])
    assert TRANSFORMS["shot_noise"].severities == pytest.approx(photons.rsqrt().tolist(), rel=1e-6)
