import gzip
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.datasets.mnist import read_image_file, read_label_file

import itn
from itn.data import loading


@pytest.mark.parametrize(
    ("source", "part", "n"), [("mnist", "t10k", 10_000), ("mnist:train", "train", 60_000)]
)
def test_mnist_is_what_torchvision_reads(source, part, n, tmp_path):
    images, labels = itn.load_images(source)
    assert images.shape == (n, 1, 28, 28)
    assert images.dtype == torch.uint8
    for name, read, expected in (
        (f"{part}-images-idx3-ubyte", read_image_file, images.squeeze(1)),
        (f"{part}-labels-idx1-ubyte", read_label_file, labels),
    ):
        unpacked = tmp_path / name
        unpacked.write_bytes(gzip.decompress((loading._MNIST / f"{name}.gz").read_bytes()))
        assert torch.equal(read(unpacked), expected)


def test_unseen_is_the_last_training_digits_and_the_test_digits():
    images, labels = itn.load_images("mnist:heldout")
    train, test = itn.load_images("mnist:train"), itn.load_images("mnist")
    assert torch.equal(images, torch.cat([train[0][50_000:], test[0]]))
    assert torch.equal(labels, torch.cat([train[1][50_000:], test[1]]))


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "remove"])
def test_a_damaged_file_is_named(damage, tmp_path, monkeypatch):
    for file in loading._MNIST.glob("t10k*.gz"):
        shutil.copy(file, tmp_path)
    victim = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 255
    elif damage == "cut":
        del content[2000:]
    elif damage == "swap":
        content = gzip.compress(bytes(10_008))
    victim.write_bytes(content)
    if damage == "remove":
        victim.unlink()
    monkeypatch.setattr(loading, "_MNIST", tmp_path)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz is (damaged|missing).*reinstall itn"):
        itn.load_images("mnist")


def test_unknown_images_are_refused():
    with pytest.raises(
        ValueError, match="unknown images 'mnits': give one of mnist, mnist:train, mnist:heldout, or a folder"
    ):
        itn.load_images("mnits")


def test_a_subset_of_the_digits_is_stratified_and_keeps_its_identity():
    images, labels = itn.load_images("mnist")
    subset = loading.read_images("mnist", limit=1000, seed=1)
    assert torch.equal(subset.images, images[subset.index])
    assert torch.equal(subset.labels, labels[subset.index])
    assert ((subset.labels.bincount() - labels.bincount() / 10).abs() < 1).all()
    assert (subset.paths, subset.skipped) == ((), ())
    assert torch.equal(itn.load_images("mnist", limit=1000, seed=1)[0], subset.images)
    assert not torch.equal(loading.read_images("mnist", limit=1000, seed=2).index, subset.index)


def photographs(folder, **classes):
    """Write for each class so many images that say their rank in the sorted whole."""
    rank = 0
    for name in sorted(classes):
        (folder / name).mkdir(parents=True)
        for i in range(classes[name]):
            Image.new("RGB", (4, 3), (rank, 100, 200)).save(folder / name / f"{i:02}.png")
            rank += 1


def test_a_folder_becomes_images_and_labels(tmp_path):
    photographs(tmp_path, cat=3, ant=2, empty=0, dog=1)
    images, labels = itn.load_images(tmp_path)
    assert images.shape == (6, 3, 3, 4)
    assert images[:, 0, 1, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 0, 1, 1, 1, 2]
    clf = itn.Classifier(nn.Flatten(), class_names=["dog", "cow", "ant", "cat"])
    assert itn.load_images(str(tmp_path), clf)[1].tolist() == [2, 2, 3, 3, 3, 0]
    mapped = {"ant": 9, "cat": 1, "dog": 9}
    assert itn.load_images(tmp_path, class_map=mapped)[1].tolist() == [9, 9, 1, 1, 1, 9]


def test_an_empty_folder_keeps_its_rank(tmp_path):
    photographs(tmp_path, ant=1, bee=0, cat=1)
    assert itn.load_images(tmp_path)[1].tolist() == [0, 2]


def test_images_keep_their_identity_when_some_are_left_out(tmp_path):
    photographs(tmp_path, ant=3, bee=3)
    (tmp_path / "ant" / "01.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"ant/01\.png \(not an image that PIL can read\): remove it, or .*--skip-bad"
    ):
        loading.read_images(tmp_path)
    got = loading.read_images(tmp_path, skip_bad=True)
    assert got.index.tolist() == got.images[:, 0, 0, 0].tolist() == [0, 2, 3, 4, 5]
    assert got.labels.tolist() == [0, 0, 1, 1, 1]
    assert got.paths == ("ant/00.png", "ant/02.png", "bee/00.png", "bee/01.png", "bee/02.png")
    assert got.skipped == ("ant/01.png: not an image that PIL can read",)


def test_a_subset_is_drawn_before_anything_is_read(tmp_path):
    photographs(tmp_path, ant=20, bee=10)
    got = loading.read_images(tmp_path, limit=6, seed=3)
    assert got.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert got.index.tolist() == got.images[:, 0, 0, 0].tolist()
    for path in tmp_path.rglob("*.png"):
        if path.relative_to(tmp_path).as_posix() not in got.paths:
            path.write_text("no image")
    again = loading.read_images(tmp_path, limit=6, seed=3)
    assert torch.equal(again.images, got.images)
    assert again.skipped == ()
    with pytest.raises(ValueError, match="cannot read"):
        loading.read_images(tmp_path, limit=6, seed=4)


def test_what_is_no_folder_of_images_is_refused(tmp_path):
    (tmp_path / "file.png").touch()
    message = "{}: give one of mnist, mnist:train, mnist:heldout, or a folder of class folders"
    with pytest.raises(ValueError, match=message.format(r"file\.png is a file")):
        itn.load_images(tmp_path / "file.png")
    with pytest.raises(ValueError, match=message.format("unknown images '.*missing'")):
        itn.load_images(tmp_path / "missing")
    with pytest.raises(ValueError, match=message.format("unknown images 'mnist'")):
        itn.load_images(Path("mnist"))  # a path is a folder, whatever its name
    with pytest.raises(ValueError, match="a class map is for folders of photographs; mnist has its labels"):
        itn.load_images("mnist", class_map={"a": 0})
    with pytest.raises(ValueError, match="limit must be a number of images, or 0 for all, got -1"):
        itn.load_images("mnist", limit=-1)
