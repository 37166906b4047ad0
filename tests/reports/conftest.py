"""Runs that the tests of reports read; each is made once."""

import pytest
import torch
from torch import nn

import itn


class Side(nn.Module):
    """Says on which side of the frame's middle the centre of brightness lies: 0 left, 1 right."""

    def forward(self, images):
        width = images.shape[-1]
        x = (2 * torch.arange(width, dtype=images.dtype) + 1) / width - 1
        centre = (images * x).sum((1, 2, 3)) / images.sum((1, 2, 3)).clamp_min(1e-6)
        return torch.stack([-20 * centre, 20 * centre], 1)


class Fade(itn.Transformer):
    names, bound = ("black",), 0.9

    def apply_parameters(self, images, p, frame):
        return images * (1 - p[:, :, None, None].abs())

    def displacement(self, p, frame):
        return p[:, 0].square()


SCREEN = itn.ScreenConfig(
    ("translate_x", "brightness"),
    pairs=(("translate_x", "brightness"),),
    magnitudes={"translate_x": (-0.4, -0.2, 0.0, 0.2, 0.4), "brightness": (0.0, 0.1)},
    bisections=3,
)
LEARN = itn.LearnConfig(tolerance=0.06, steps=3, batch_size=64)


@pytest.fixture(scope="session")
def spots():
    """200 bright spots on a little noise, left (class 0) or right (class 1); uint8, 1 x 12 x 16."""
    y, x = torch.meshgrid(*[(2 * torch.arange(n) + 1) / n - 1 for n in (12, 16)], indexing="ij")
    labels = torch.arange(200) % 2
    centres = (labels.float() - 0.5).view(-1, 1, 1)
    spot = torch.exp(-((x - centres) ** 2 + y**2) / (2 * 0.15**2)).unsqueeze(1)
    noise = torch.rand(200, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    return (250 * spot + 5 * noise).byte(), labels


@pytest.fixture(scope="session")
def sides():
    return itn.Classifier(Side(), name="side")


@pytest.fixture(scope="session")
def screened(spots, sides, tmp_path_factory):
    """A screen and its folder."""
    folder = tmp_path_factory.mktemp("screened") / "run"
    return itn.screen(sides, *spots, SCREEN, folder, source="spots"), folder


@pytest.fixture(scope="session")
def learned(spots, sides, tmp_path_factory):
    """A certified family and its folder."""
    folder = tmp_path_factory.mktemp("learned") / "run"
    return itn.learn(sides, *spots, LEARN, folder, source="spots"), folder


@pytest.fixture(scope="session")
def faded(spots, sides, tmp_path_factory):
    """A family of a transformer that the browser cannot compute, not certified, and its folder."""
    folder = tmp_path_factory.mktemp("faded") / "run"
    config = itn.LearnConfig(parts={"fade": Fade()}, objective="switched", steps=3, batch_size=64)
    return itn.learn(sides, *spots, config, folder), folder
