"""Two classifiers whose decision changes are known on paper, and screens of them."""

import pytest
import torch
from torch import nn

import itn

ENDS = (-0.3, 0.3)
CONFIG = itn.ScreenConfig(
    ("translate_x",),
    magnitudes={"translate_x": itn.transforms.builtin.steps(*ENDS, 0.02)},
    round_trip=False,
)
SHIFT = 0.1
"""How far right of the middle the second classifier draws the line; the frame reaches from -1 to 1."""


class Line(nn.Module):
    """Says on which side of a vertical line the center of brightness lies: 0 left, 1 right."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def forward(self, images):
        width = images.shape[-1]
        x = (2 * torch.arange(width, dtype=images.dtype) + 1) / width - 1
        center = (images * x).sum((1, 2, 3)) / images.sum((1, 2, 3)).clamp_min(
            1e-30
        )  # of what has left the frame, a tail is left
        return 20 * torch.stack([self.at - center, center - self.at], 1)


def blobs_apart(n=240):
    """Blobs at 0.2 to 0.8 left (class 0) or right (class 1) of the middle, evenly; 1 x 20 x 40."""
    y, x = ((2 * torch.arange(k) + 1) / k - 1 for k in (20, 40))
    labels = torch.arange(n) % 2
    distance = 0.2 + 0.6 * (torch.arange(n) // 2 + 0.5) / (n / 2)
    centers = torch.where(labels == 0, -distance, distance).view(-1, 1, 1)
    return torch.exp(-((x - centers) ** 2 + (y[:, None] / 2) ** 2) / (2 * 0.05**2)).unsqueeze(1), labels


def classifier(at, name):
    return itn.Classifier(Line(at), name=name)


@pytest.fixture(scope="session")
def spread():
    return blobs_apart()


@pytest.fixture(scope="session")
def line():
    """What makes a classifier with its line at a place."""
    return classifier


@pytest.fixture(scope="session")
def config():
    return CONFIG


@pytest.fixture(scope="session")
def middle(spread):
    """The screen of the classifier that draws its line in the middle."""
    return itn.screen(classifier(0.0, "middle"), *spread, CONFIG)


@pytest.fixture(scope="session")
def right(spread):
    """The screen of the one that draws it farther right."""
    return itn.screen(classifier(SHIFT, "right"), *spread, CONFIG)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of screens of two digit classifiers on the same 120 digits, a few of their magnitudes."""
    root = tmp_path_factory.mktemp("screens")
    magnitudes = {
        "rotate": (-40.0, -20.0, 0.0, 20.0, 40.0),
        "zoom": (0.5, 1.0, 2.0),
        "horizontal_flip": (0, 1),
    }
    config = itn.ScreenConfig(
        tuple(magnitudes), magnitudes=magnitudes, round_trip=False, bisections=2, accuracy_bisections=1
    )
    data = itn.load_images("mnist", limit=120)
    names = [str(number) for number in data.index.tolist()]
    for model in ("lenet5", "jennings-cnn"):
        folder = root / model
        itn.screen(itn.load_classifier(model), data, None, config, folder, source="mnist", names=names)
    return root / "lenet5", root / "jennings-cnn"
