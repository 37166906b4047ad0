"""What photographs show around the crop: loaded with them, chosen by a setting, kept within the memory."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import itn
from itn.data import decoding
from itn.data.inputs import labeled_images
from itn.models.canvases import Canvases, chosen_canvases

SIZES = ((30, 20), (20, 33), (20, 20), (27, 41))  # width, height
PREPROCESSING = itn.Preprocessing(resize=12, crop=(8, 10))


@pytest.fixture
def classifier():
    return itn.Classifier(nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=PREPROCESSING)


@pytest.fixture
def folder(tmp_path):
    """A photograph for each of the sizes, in two classes."""
    for number, (width, height) in enumerate(SIZES):
        pixels = np.random.default_rng(number).integers(1, 256, (height, width, 3), dtype=np.uint8)
        path = tmp_path / str(number % 2) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path


@pytest.fixture
def photographs(folder, classifier):
    return itn.load_images(folder, classifier)


def test_crops_are_the_same_whatever_is_kept_around_them(folder, classifier):
    plain = itn.load_images(folder, classifier, surround="none")
    assert plain.canvases is None
    for surround, size in (("auto", (12, 16)), (1.25, (10, 14)), (3.0, (24, 30))):
        images = itn.load_images(folder, classifier, surround=surround)
        crops, labels = images
        assert torch.equal(crops, plain.images)
        assert torch.equal(labels, plain.labels)
        assert images.canvases.pixels.shape == (4, 3, *size)
        assert torch.equal(images.canvases.crops, plain.images)
        assert crops.data_ptr() != plain.images.data_ptr()
        assert crops.untyped_storage().data_ptr() == images.canvases.pixels.untyped_storage().data_ptr()
    assert itn.load_images(folder, classifier, surround=1).canvases is None


def test_boxes_end_where_the_photographs_do(photographs):
    """All pixels of these are above 0; beyond them canvases are black."""
    canvases = photographs.canvases
    assert photographs.paths == ("0/0.png", "0/2.png", "1/1.png", "1/3.png")
    for pixels, (left, top, right, bottom) in zip(
        canvases.pixels, canvases.surround.boxes.tolist(), strict=True
    ):
        inside = torch.zeros(pixels.shape[1:], dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert torch.equal(pixels.amin(0) > 0, inside)
    # 30 x 20 becomes 18 x 12: wider than the canvas, and as high
    assert canvases.surround.boxes[0].tolist() == [0, 0, 16, 12]
    # 20 x 20 becomes 12 x 12: two columns are missing on each side
    assert canvases.surround.boxes[1].tolist() == [2, 0, 14, 12]


def test_unreadable_photographs_are_left_out_of_the_canvases_too(folder, classifier):
    (folder / "0" / "1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"cannot read .*1\.png \(not an image that PIL can read\)"):
        itn.load_images(folder, classifier)
    images = itn.load_images(folder, classifier, skip_bad=True)
    assert len(images.images) == len(images.canvases.pixels) == len(images.canvases.surround.boxes) == 4
    assert images.skipped == ("0/1.png: not an image that PIL can read",)


def test_what_nothing_is_cropped_from_has_no_surround(folder):
    digits = itn.load_images("mnist", limit=20)
    assert digits.canvases is None
    fixed = itn.Preprocessing(resize=(8, 10), crop=(8, 10))
    clf = itn.Classifier(nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=fixed)
    assert itn.load_images(folder, clf).canvases is None
    for source, classifier in (("mnist", None), (folder, None), (folder, clf)):
        with pytest.raises(ValueError, match=r"surround is 1\.5, but nothing is cropped"):
            itn.load_images(source, classifier, surround=1.5)


def test_photographs_that_end_with_their_crops_have_no_surround_and_cost_nothing(tmp_path):
    """Square images such as those of CIFAR, resized by the shorter side to what the crop takes."""
    square = itn.Classifier(
        nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=itn.Preprocessing(resize=8, crop=(8, 8))
    )
    (tmp_path / "0").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(1, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "0" / f"{number}.png")
    images = itn.load_images(tmp_path, square)
    assert images.canvases is None
    assert images.images.untyped_storage().nbytes() == 3 * 3 * 8 * 8
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "0" / "wider.png")
    assert itn.load_images(tmp_path, square).canvases is not None


@pytest.mark.parametrize("surround", ["all", 0.9, -1, float("nan"), float("inf"), True, None])
def test_other_settings_are_refused(surround):
    message = "surround must be auto, none, or the size of the canvas over that of the crop, at least 1"
    with pytest.raises(ValueError, match=message):
        itn.load_images("mnist", surround=surround)
    with pytest.raises(ValueError, match=message):
        itn.ScreenConfig(surround=surround)
    with pytest.raises(ValueError, match=message):
        itn.LearnConfig(surround=surround)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system does not say how much memory there is")
def test_canvases_that_would_fill_the_memory_are_refused(folder, classifier, monkeypatch):
    size = 4 * 3 * 12 * 16
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 4 * size - 1}.get)
    with pytest.raises(ValueError, match=r"4 photographs .* more than a quarter .*surround=\"none\""):
        itn.load_images(folder, classifier)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 4 * size}.get)
    assert itn.load_images(folder, classifier).canvases is not None
    monkeypatch.setattr(decoding, "CANVAS_SHARE", 0)
    assert itn.load_images(folder, classifier, surround="none").canvases is None


def test_memory_is_that_of_the_container_shared_by_the_processes(
    folder, classifier, monkeypatch, tmp_path_factory
):
    size, limit = 4 * 3 * 12 * 16, tmp_path_factory.mktemp("cgroup") / "memory.max"
    monkeypatch.setattr(decoding, "CGROUP_LIMIT", limit)
    limit.write_text("max\n")
    assert itn.load_images(folder, classifier).canvases is not None
    limit.write_text(f"{4 * size - 1}\n")
    with pytest.raises(ValueError, match=r"4 photographs .* GB, more than a quarter"):
        itn.load_images(folder, classifier)
    limit.write_text(f"{12 * size}\n")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert itn.load_images(folder, classifier).canvases is not None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="GB in each of 4 processes, more than a quarter"):
        itn.load_images(folder, classifier)


def test_a_setting_takes_what_there_is(photographs):
    canvases = photographs.canvases
    assert chosen_canvases(canvases, "auto") is canvases
    assert chosen_canvases(canvases, "none") is None
    assert chosen_canvases(canvases, 1) is None
    assert chosen_canvases(None, "auto") is None
    with pytest.raises(ValueError, match=r"surround is 2, but the canvases .* are 1\.6 times"):
        chosen_canvases(canvases, 2)
    with pytest.raises(ValueError, match=r"surround is 1\.5, but nothing is known around these images"):
        chosen_canvases(None, 1.5)


def test_smaller_canvases_are_those_that_would_have_been_loaded(photographs, folder, classifier):
    for ratio in (1.25, 1.4):
        loaded = itn.load_images(folder, classifier, surround=ratio).canvases
        cut = photographs.canvases.cut(ratio)
        assert torch.equal(cut.pixels, loaded.pixels)
        assert torch.equal(cut.surround.boxes, loaded.surround.boxes)
        assert cut.surround[:4] == loaded.surround[:4]


@pytest.mark.parametrize(
    ("resize", "crop", "asked"), [(33, 28, 1.1), (33, 28, 1.01), (52, 48, 1.1), (12, 10, 1.2), (32, 28, 1.5)]
)
def test_what_has_been_loaded_can_be_used(resize, crop, asked, folder):
    """Margins are rounded up, in both places."""
    size = (resize, resize) if resize == 32 else resize
    preprocessing = itn.Preprocessing(resize=size, crop=(crop, crop))
    clf = itn.Classifier(nn.Flatten(), (0.5,) * 3, (0.5,) * 3, preprocessing=preprocessing)
    if resize == 32:  # there is less than was asked for
        with pytest.warns(UserWarning, match=r"1\.5, but all .* to 32 x 32 .* canvases are 1\.14 times"):
            images = itn.load_images(folder, clf, surround=asked)
        assert images.canvases.pixels.shape[-2:] == (32, 32)
        with pytest.raises(ValueError, match=r"the canvases of these images are 1\.14 times"):
            chosen_canvases(images.canvases, asked)
    else:
        images = itn.load_images(folder, clf, surround=asked)
        margin = (images.canvases.pixels.shape[-1] - crop) / 2
        assert 0 <= margin - (asked - 1) * crop / 2 < 1
        assert margin > 0
    _, _, canvases = labeled_images(images, None, asked, preprocessing)
    assert torch.equal(canvases.pixels, images.canvases.pixels)
    fewer = itn.load_images(folder, clf, surround=1 + 1 / crop).canvases
    with pytest.raises(ValueError, match=r"load them with load_images\(..., surround=2\)"):
        chosen_canvases(fewer, 2)


def test_labels_are_those_of_the_images_unless_others_are_given(photographs):
    images, labels, canvases = labeled_images(photographs, None, "auto")
    assert images is photographs.images
    assert labels is photographs.labels
    assert canvases is photographs.canvases
    other = torch.zeros(4).long()
    assert labeled_images(photographs, other, "none")[1:] == (other, None)
    with pytest.raises(ValueError, match="labels are missing: give one for each image, or photographs"):
        labeled_images(photographs.images, None, "auto")


def test_images_that_are_no_crops_of_the_canvases_are_refused(photographs):
    """A set whose images were replaced would be studied on the old ones."""
    images, order = photographs.images, torch.tensor([3, 2, 1, 0])
    for other in (images[order], images[:2], 255 - images, images.float()):
        with pytest.raises(ValueError, match="images are not the crops of the canvases"):
            dataclasses.replace(photographs, images=other)
    copied = dataclasses.replace(photographs, images=images.clone())
    assert copied.canvases is photographs.canvases
    own = dataclasses.replace(photographs, images=255 - images, canvases=None)
    assert torch.equal(own.images, 255 - images)


@pytest.mark.parametrize("surround", ["auto", "none"])
def test_a_part_takes_all_that_belongs_to_its_images(surround, folder, classifier):
    whole = itn.load_images(folder, classifier, surround=surround)
    order = torch.tensor([3, 0])
    part = whole.part(order)
    for name in ("images", "labels", "index"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[order])
    assert part.paths == (whole.paths[3], whole.paths[0])
    if surround == "none":
        assert part.canvases is None
    else:
        assert torch.equal(part.canvases.pixels, whole.canvases.pixels[order])
        assert torch.equal(part.canvases.surround.boxes, whole.canvases.surround.boxes[order])
    masked = whole.part(torch.tensor([True, False, False, True]))
    assert masked.paths == (whole.paths[0], whole.paths[3])
    assert torch.equal(masked.images, whole.images[[0, 3]])
    digits = itn.load_images("mnist", limit=20).part(torch.tensor([5]))
    assert (len(digits.images), digits.paths) == (1, ())


def test_canvases_follow_the_images(photographs):
    canvases, said = photographs.canvases, torch.tensor([0, 1, 1, 1])
    data = itn.CheckedImages(canvases.crops, photographs.labels, said, canvases=canvases)
    one, two = data.part(torch.tensor([3, 1])), data.part(torch.tensor([2]))
    joined = itn.CheckedImages.joined([one, two])
    order = torch.tensor([3, 1, 2])
    for part, index in ((one, order[:2]), (joined, order), (data.spread(2), torch.tensor([0, 3]))):
        assert torch.equal(part.images, data.images[index])
        assert torch.equal(part.canvases.pixels, canvases.pixels[index])
        assert torch.equal(part.canvases.surround.boxes, canvases.surround.boxes[index])
        pixels, surround = part.with_surround(slice(1, 2), torch.device("cpu"))
        assert torch.equal(pixels, canvases.pixels[index[1:2]] / 255)
        assert torch.equal(surround.crops(pixels), part.pixels(slice(1, 2), torch.device("cpu")))
        assert torch.equal(surround.boxes, canvases.surround.boxes[index[1:2]])
    moved = data.to(torch.device("cpu"))
    assert torch.equal(moved.canvases.pixels, canvases.pixels)
    without = itn.CheckedImages(data.images, data.labels, said)
    assert itn.CheckedImages.joined([one, without]).canvases is None
    assert without.with_surround(slice(2), torch.device("cpu"))[1] is None


def test_joined_canvases_are_those_of_the_whole(photographs):
    canvases = photographs.canvases
    parts = [canvases.part(torch.tensor(index)) for index in ([0, 1], [2, 3])]
    assert torch.equal(Canvases.joined(parts).pixels, canvases.pixels)
