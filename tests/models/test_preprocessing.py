from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torchvision.models import (
    EfficientNet_B0_Weights,
    Inception_V3_Weights,
    ResNet18_Weights,
    get_model_weights,
)
from torchvision.transforms.functional import pil_to_tensor

import itn
from itn.data.decoding import read_photos
from itn.models.preprocessing import Preprocessing
from itn.models.timm_models import timm_preprocessing
from itn.models.torchvision_models import torchvision_preprocessing


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
def test_a_photograph_is_preprocessed_as_by_torchvision(photo, weights, preprocessing, photos):
    clf = itn.Classifier(nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=preprocessing)
    images, _ = read_photos(photos, [photo], clf)
    transform = weights.transforms(mean=(0, 0, 0), std=(1, 1, 1))  # all but the normalization
    with Image.open(photos / photo) as image:
        expected = transform(image.convert("RGB"))
    np.testing.assert_array_equal(images[0].numpy() / np.float32(255), expected.numpy())


SIZES = ((401, 307), (233, 517), (640, 480), (97, 97))  # width, height


def noise_image(size):
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name", ["resnet18", "efficientnet_b1", "inception_v3", "vit_b_16", "convnext_tiny", "mobilenet_v3_large"]
)
def test_preprocessing_equals_torchvisions_transforms(name, size):
    transform = get_model_weights(name).DEFAULT.transforms(mean=(0, 0, 0), std=(1, 1, 1))
    pixels = pil_to_tensor(torchvision_preprocessing(transform)(noise_image(size)))
    assert torch.equal(pixels / 255, transform(noise_image(size)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name", ["resnet50", "efficientnet_b0", "vit_base_patch16_224", "convnext_tiny", "tf_efficientnet_lite0"]
)
def test_preprocessing_equals_timms_transform(name, size):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    expected = timm.data.create_transform(**config, is_training=False, normalize=False)(noise_image(size))
    assert torch.equal(pil_to_tensor(timm_preprocessing(config, name)(noise_image(size))), expected)


def test_resizing_to_a_height_and_a_width_changes_the_aspect_ratio(photos):
    with Image.open(photos / "coffee.png") as image:
        resized = Preprocessing((40, 70), (31, 51), "lanczos")(image)
        # PIL counts from the left: (70 - 51) / 2 = 9.5 and (40 - 31) / 2 = 4.5, rounded to even
        expected = image.resize((70, 40), Image.Resampling.LANCZOS).crop((10, 4, 61, 35))
    np.testing.assert_array_equal(np.asarray(resized), np.asarray(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (1, 1)), r"resize must be positive pixels, height and width, got \(0, 0\)"),
        (((8, -8), (1, 1)), r"resize must be positive pixels, height and width, got \(8, -8\)"),
        ((8, (4,)), r"crop must be positive pixels, height and width, got \(4,\)"),
        ((8.5, (4, 4)), r"resize must be positive pixels, height and width, got \(8.5, 8.5\)"),
        ((np.float32("inf"), (4, 4)), "resize must be positive pixels"),
        ((True, (1, 1)), "resize must be positive pixels"),
        (("256", (4, 4)), "resize must be positive pixels, height and width, got 256"),
        ((8, 4), "crop must be positive pixels, height and width, got 4"),
        ((8, (4, 9)), r"crop \(4, 9\) exceeds resize 8, which leaves a black border: resize to at least"),
        (((9, 8), (9, 9)), r"crop \(9, 9\) exceeds resize \(9, 8\)"),
        ((8, (8, 8), "cubic"), "unknown interpolation 'cubic': give one of nearest, bilinear, bicubic"),
    ],
)
def test_invalid_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(*arguments)


@pytest.mark.parametrize(
    ("resize", "crop"),
    [
        (np.int64(9), np.array([8, 7])),
        (np.float32(9), (8.0, np.float64(7))),
        (np.array(9)[()], [np.uint8(8), 7]),
    ],
)
def test_numbers_of_any_type_are_pixels(resize, crop):
    preprocessing = Preprocessing(resize, crop)
    assert preprocessing == Preprocessing(9, (8, 7))
    assert repr(preprocessing) == repr(Preprocessing(9, (8, 7)))
    assert Preprocessing(np.array([9, 10]), crop) == Preprocessing((9, 10), (8, 7))
    assert preprocessing(Image.new("L", (30, 20))).size == (7, 8)


def test_a_very_thin_image_is_refused_before_it_fills_the_memory():
    with pytest.raises(ValueError, match="60000 x 1 pixels are too thin to resize the short side"):
        Preprocessing(256, (224, 224))(Image.new("L", (60_000, 1)))
    assert Preprocessing((8, 8), (8, 8))(Image.new("L", (60_000, 1))).size == (8, 8)


RATIOS = (1.0, 1.2, 1.5, 3.0)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(256, (224, 224), "bicubic"),
        Preprocessing(61, (51, 44)),
        Preprocessing(37, (37, 30), "nearest"),
        Preprocessing((43, 70), (31, 51), "lanczos"),
        Preprocessing((40, 40), (40, 40)),
    ],
    ids=str,
)
def test_a_canvas_is_the_resized_photograph_around_the_crop(preprocessing, size, ratio):
    image = noise_image(size)
    margins = preprocessing.margins(ratio)
    canvas, (left, top, right, bottom) = preprocessing.canvas(image, margins)
    height, width = preprocessing.crop
    crop = canvas[margins.top : margins.top + height, margins.left : margins.left + width]
    np.testing.assert_array_equal(crop, np.asarray(preprocessing(image)))
    assert canvas.shape[:2] == (margins.top + height + margins.bottom, margins.left + width + margins.right)

    # An oracle: the same crop of an image to which PIL has added a black border
    resized = preprocessing._resized(image)
    y, x = (round((n - c) / 2) for n, c in zip(resized.size[::-1], preprocessing.crop, strict=True))
    corners = (x - margins.left, y - margins.top, x + width + margins.right, y + height + margins.bottom)
    np.testing.assert_array_equal(canvas, np.asarray(resized.crop(corners)))
    white = Image.new("L", resized.size, 255).crop(corners)
    inside = np.zeros(canvas.shape[:2], np.uint8)
    inside[top:bottom, left:right] = 255
    np.testing.assert_array_equal(np.asarray(white), inside)


def test_a_canvas_is_as_large_as_was_asked_for_where_photographs_differ():
    assert Preprocessing(256, (224, 224)).margins(1.5) == (56, 56, 56, 56)
    assert Preprocessing(61, (51, 44)).margins(2) == (26, 26, 22, 22)


def test_a_canvas_is_no_larger_than_what_all_photographs_are_resized_to():
    assert Preprocessing((43, 70), (31, 51)).margins(3) == (6, 6, 10, 9)
    assert Preprocessing((40, 40), (40, 40)).margins(3) == (0, 0, 0, 0)
