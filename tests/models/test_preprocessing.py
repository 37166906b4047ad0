from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torchvision.models import EfficientNet_B0_Weights, Inception_V3_Weights, ResNet18_Weights

import itn
from itn.data.decoding import read_photos
from itn.models.preprocessing import Preprocessing


@pytest.fixture
def photos():
    """Photographs that scikit-image ships."""
    return Path(pytest.importorskip("skimage").__file__).parent / "data"


@pytest.mark.parametrize("photo", ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"])
@pytest.mark.parametrize(
    ("weights", "preprocessing"),
    [
        (ResNet18_Weights.IMAGENET1K_V1, Preprocessing(256, (224, 224))),
        (Inception_V3_Weights.IMAGENET1K_V1, Preprocessing(342, (299, 299))),
        (EfficientNet_B0_Weights.IMAGENET1K_V1, Preprocessing(256, (224, 224), "bicubic")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_photograph_becomes_what_torchvision_makes_of_it(photo, weights, preprocessing, photos):
    clf = itn.Classifier(nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=preprocessing)
    images, _ = read_photos(photos, [photo], clf)
    transform = weights.transforms(mean=(0, 0, 0), std=(1, 1, 1))  # all but the normalisation
    with Image.open(photos / photo) as image:
        expected = transform(image.convert("RGB"))
    np.testing.assert_array_equal(images[0].numpy() / np.float32(255), expected.numpy())


def test_resizing_to_a_height_and_a_width_ignores_the_shape(photos):
    with Image.open(photos / "coffee.png") as image:
        made = Preprocessing((40, 70), (31, 51), "lanczos")(image)
        # PIL counts from the left: (70 - 51) / 2 = 9.5 and (40 - 31) / 2 = 4.5, rounded to even
        expected = image.resize((70, 40), Image.Resampling.LANCZOS).crop((10, 4, 61, 35))
    np.testing.assert_array_equal(np.asarray(made), np.asarray(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (1, 1)), r"resize must be positive pixels, height and width, got \(0, 0\)"),
        (((8, -8), (1, 1)), r"resize must be positive pixels, height and width, got \(8, -8\)"),
        ((8, (4,)), r"crop must be positive pixels, height and width, got \(4,\)"),
        ((8, (4, 9)), r"crop \(4, 9\) exceeds resize 8, which leaves a black border: resize to at least"),
        (((9, 8), (9, 9)), r"crop \(9, 9\) exceeds resize \(9, 8\)"),
        ((8, (8, 8), "cubic"), "unknown interpolation 'cubic': give one of nearest, bilinear, bicubic"),
    ],
)
def test_invalid_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(*arguments)


def test_a_sliver_is_refused_before_it_fills_the_memory():
    with pytest.raises(ValueError, match="60000 x 1 pixels are too thin to resize the short side"):
        Preprocessing(256, (224, 224))(Image.new("L", (60_000, 1)))
    assert Preprocessing((8, 8), (8, 8))(Image.new("L", (60_000, 1))).size == (8, 8)
