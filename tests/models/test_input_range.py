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


def test_a_network_that_refuses_other_images_is_no_failure(levels, through):
    """Its accuracy is low, so that other normalizations are tried, which it takes for bad input."""

    def guarded(images):
        assert images.min() >= 0, "images must be in [0, 1]"
        assert images.max() <= 1, "images must be in [0, 1]"
        return 4 * (images - 0.5)

    images, labels = levels
    wrong = torch.where(torch.arange(300) % 5 == 0, (labels + 1) % 3, labels)
    checked = itn.preflight(itn.Classifier(through(Level(), guarded)), images, wrong)
    assert checked.clean.float().mean() == pytest.approx(0.8)


class Linear(nn.Module):
    """Says which channel is the largest; a bias makes it the last one where images are dark."""

    def forward(self, images):
        return images.mean((2, 3)) + torch.tensor([0.0, 0.0, 0.3])


def test_of_normalizations_that_do_as_well_the_usual_one_is_named(through):
    """A network that takes any scale above a smallest one is right with values up to 255 as well."""
    labels = torch.arange(300) % 3
    images = nn.functional.one_hot(labels, 3).float().view(300, 3, 1, 1).expand(-1, -1, 4, 4) / 2
    halved = itn.Classifier(through(Linear()), (0.0,) * 3, (2.0,) * 3)
    with pytest.raises(ValueError, match=r"256 if it gets them in .* leave out mean and std"):
        itn.preflight(halved, images.contiguous(), labels)
