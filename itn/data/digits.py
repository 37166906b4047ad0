"""MNIST, whose files are part of the package."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_MNIST = Path(__file__).parent / "mnist"


# md5 of the unpacked original files, so that a recompressed copy is as good as the original
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


HELDOUT = 10_000  # the last training digits, on which jennings-cnn and lenet5 were not trained


SOURCES = {
    "mnist": "the 10,000 test digits",
    "mnist:train": "the 60,000 training digits",
    "mnist:heldout": "the last 10,000 training digits, then the 10,000 test digits: "
    "20,000 that jennings-cnn and lenet5 were not trained on",
}


def load_digits(source: str) -> tuple[Tensor, Tensor]:
    """Return the images and labels of one of ``SOURCES``."""
    match source:
        case "mnist:train":
            return _mnist("train")
        case "mnist:heldout":
            (train_images, train_labels), (test_images, test_labels) = _mnist("train"), _mnist("t10k")
            return (
                torch.cat([train_images[-HELDOUT:], test_images]),
                torch.cat([train_labels[-HELDOUT:], test_labels]),
            )
        case _:
            return _mnist("t10k")


def _mnist(part: str) -> tuple[Tensor, Tensor]:
    return _idx(f"{part}-images-idx3-ubyte").unsqueeze(1), _idx(f"{part}-labels-idx1-ubyte").long()


def _idx(name: str) -> Tensor:
    """Read one file of the IDX format (http://yann.lecun.com/exdb/mnist): magic, sizes, bytes."""
    path = _MNIST / f"{name}.gz"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: reinstall itn") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): reinstall itn") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != _MNIST_MD5[name]:
        raise ValueError(f"{path} is damaged (its checksum differs from the original's): reinstall itn")
    dimensions = content[3]
    sizes = np.frombuffer(content, ">i4", dimensions, offset=4)
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(pixels.copy()).reshape(sizes.tolist())
