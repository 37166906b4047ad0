"""Photographs without class folders: their predictions stand in for labels, where none are needed."""

import numpy as np
import pytest
import torch
from PIL import Image

import itn

AGREEMENT = itn.ScreenConfig(transforms=("brightness",), criterion="agreement")


class Pair(torch.nn.Module):
    """A network that returns two things."""

    def forward(self, images):
        return images.flatten(1), images


@pytest.fixture
def folder(tmp_path):
    """Forty flat images, dark and light, and a hidden file."""
    for number in range(40):
        shade = 40 + 4 * number
        Image.fromarray(np.full((4, 4), shade, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / ".notes.txt").write_text("none")
    return tmp_path


@pytest.fixture
def shade(brightness):
    return itn.Classifier(
        brightness.net, name="brightness", preprocessing=itn.Preprocessing(resize=(4, 4), crop=(4, 4))
    )


def test_photographs_without_class_folders_have_no_labels(folder, shade):
    """They do not unpack, so that nothing is measured against labels that are none."""
    images = itn.load_images(folder, shade)
    assert not images.labeled
    assert len(images.images) == 40
    assert images.labels.tolist() == 40 * [-1]
    assert not images.part(torch.arange(3)).labeled
    assert len(itn.load_images(folder, shade, limit=7).labels) == 7
    with pytest.raises(ValueError, match="these photographs have no labels"):
        _, _ = images
    with pytest.raises(ValueError, match="labels run from -1"):
        itn.screen(shade, images.images, images.labels)
    with pytest.raises(ValueError, match="a class map is for class folders"):
        itn.load_images(folder, shade, {"a": 0})


def test_predictions_stand_in_for_labels_once_the_classifier_has_been_checked(folder, shade):
    images = itn.load_images(folder, shade).images
    checked = itn.preflight(shade, images, None)
    assert torch.equal(checked.labels, itn.predict(shade, images))
    assert checked.clean.all()
    with pytest.raises(ValueError, match=r"returns tuple\(32x48, 32x3x4x4\), in which"):
        itn.screen(itn.Classifier(Pair()), images, config=AGREEMENT)


def test_agreement_needs_no_labels_and_says_so(folder, shade):
    images = itn.load_images(folder, shade)
    sweep = itn.screen(shade, images, config=AGREEMENT)
    assert str(sweep).startswith("no labels were given: below, right means the prediction")
    assert sweep.record.clean_accuracy == 1
    of_tensor = itn.screen(shade, images.images, config=AGREEMENT).record
    assert of_tensor.transforms["brightness"].agreement == sweep.record.transforms["brightness"].agreement
    labels = itn.predict(shade, images.images)
    labeled = itn.screen(shade, images.images, labels, AGREEMENT)
    assert "no labels" not in str(labeled)
    learned = itn.learn(
        shade,
        torch.cat([images.images] * 5),
        config=itn.LearnConfig(parts=("color",), criterion="agreement", tolerance=0.1, steps=10),
    )
    assert "no labels were given" in str(learned)
    assert "predictions on images like these change" in learned.record.certificate.statement


@pytest.mark.parametrize("criterion", ["accuracy", "broken"])
def test_other_criteria_ask_for_labels(folder, shade, criterion):
    images = itn.load_images(folder, shade)
    config = itn.ScreenConfig(transforms=("brightness",), criterion=criterion)
    for given in (images, images.images):
        with pytest.raises(ValueError, match=r"labels are missing.*criterion=.agreement"):
            itn.screen(shade, given, config=config)
        with pytest.raises(ValueError, match=r"labels are missing.*criterion=.agreement"):
            itn.learn(shade, given, config=itn.LearnConfig(criterion=criterion))
