"""Images and normalizations that are applied twice or not at all."""

import pytest
import torch
from torch import nn

import itn


class Level(nn.Module):
    """Says which of three levels is next to the mean of a normalized image."""

    def forward(self, images):
        distances = images.mean((1, 2, 3))[:, None] - torch.tensor([-1.0, 0.0, 1.0])
        return -distances.square()


@pytest.fixture
def levels():
    labels = torch.arange(300) % 3
    shades = torch.tensor([0.3, 0.5, 0.7])[labels]
    return shades.view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone(), labels


def test_a_normalization_that_is_missing_is_named(levels, through):
    expects = through(Level(), lambda x: 2 * x)
    assert itn.preflight(itn.Classifier(expects, (0.5,) * 3, (0.5,) * 3), *levels).clean.all()
    with pytest.raises(
        ValueError, match=r"\d+ of 256 are right, and 256 if normalized.*mean=\(0.5, 0.5, 0.5\)"
    ):
        itn.preflight(itn.Classifier(expects), *levels)
    bytes_wanted = through(Level(), lambda x: 4 * (x / 255 - 0.5))
    with pytest.raises(ValueError, match=r"range from 0 to 255: .*std=\(1 / 255, 1 / 255, 1 / 255,\)"):
        itn.preflight(itn.Classifier(bytes_wanted), *levels)


def test_a_normalization_that_is_done_twice_is_named(levels, through):
    own = through(Level(), lambda x: 4 * (x - 0.5))
    assert itn.preflight(itn.Classifier(own), *levels).clean.all()
    twice = itn.Classifier(own, (0.5,) * 3, (0.25,) * 3)
    with pytest.raises(
        ValueError, match=r"256 if it gets them in \[0, 1\]: leave out mean and std.*accept=.\"range"
    ):
        itn.preflight(twice, *levels)
    assert itn.preflight(twice, *levels, accept=("range",)).clean.float().mean() == pytest.approx(2 / 3)


@pytest.mark.parametrize("change", [lambda x: x / 255, lambda x: (x > 0.4).byte()])
def test_images_that_are_all_but_black_are_refused(change, levels, through):
    with pytest.raises(ValueError, match="divided by 255 twice"):
        itn.preflight(itn.Classifier(Level()), change(levels[0]), levels[1])
