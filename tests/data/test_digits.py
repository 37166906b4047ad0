import gzip
import shutil

import pytest
import torch
from torchvision.datasets.mnist import read_image_file, read_label_file

import itn
from itn.data import digits


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
        unpacked.write_bytes(gzip.decompress((digits._MNIST / f"{name}.gz").read_bytes()))
        assert torch.equal(read(unpacked), expected)


def test_heldout_is_the_last_training_digits_and_the_test_digits():
    images, labels = itn.load_images("mnist:heldout")
    train, test = itn.load_images("mnist:train"), itn.load_images("mnist")
    assert torch.equal(images, torch.cat([train.images[50_000:], test.images]))
    assert torch.equal(labels, torch.cat([train.labels[50_000:], test.labels]))


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "remove"])
def test_a_damaged_file_is_named(damage, tmp_path, monkeypatch):
    for file in digits._MNIST.glob("t10k*.gz"):
        shutil.copy(file, tmp_path)
    damaged = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(damaged.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 255
    elif damage == "cut":
        del content[2000:]
    elif damage == "swap":
        content = gzip.compress(bytes(10_008))
    damaged.write_bytes(content)
    if damage == "remove":
        damaged.unlink()
    monkeypatch.setattr(digits, "_MNIST", tmp_path)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz is (damaged|missing).*reinstall itn"):
        itn.load_images("mnist")
