"""Classifiers known on paper, and a learned family, that the tests of the explorer share."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import itn


class Colors(nn.Module):
    """Linear in a fixed random projection of all pixels: every pixel counts, no symmetry."""

    def __init__(self, shape=(3, 14, 18), classes=6):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(classes, int(np.prod(shape)), generator=generator) / 10)

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


PREPROCESSING = itn.Preprocessing(resize=20, crop=(14, 18))


def photograph_file(width=40, height=26, kind="PNG"):
    """A photograph without symmetry, as a file in memory."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@pytest.fixture
def file():
    return photograph_file()


@pytest.fixture
def folder(tmp_path, file):
    """A folder that holds the same photograph, for the screen."""
    (tmp_path / "photos" / "one").mkdir(parents=True)
    (tmp_path / "photos" / "one" / "1.png").write_bytes(file)
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def colors():
    names = ["one", "two", "three", "four", "five", "six"]
    return itn.Classifier(
        Colors(), (0.5,) * 3, (0.5,) * 3, preprocessing=PREPROCESSING, class_names=names, name="colors"
    )


@pytest.fixture(scope="session")
def family(colors, tmp_path_factory):
    """A learned family of both parts, with weights that move far, and its folder."""
    path = tmp_path_factory.mktemp("family") / "run"
    images = torch.rand(60, 3, 14, 18, generator=torch.Generator().manual_seed(0))
    config = itn.LearnConfig(objective="switched", steps=2, batch_size=16)
    result = itn.learn(colors, images, itn.predict(colors, images), config, path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in result.net.transformer_state().values():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return result, path
