"""Photographs of any format and size as 8-bit tensors, decoded in parallel."""

import contextlib
import functools
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from itn.models.classifier import Classifier
from itn.models.preprocessing import Preprocessing
from itn.runtime.progress import progress_bar


def read_photo(path: Path, mode: str, preprocessing: Preprocessing | None = None) -> NDArray[np.uint8]:
    """Read an image file of any mode, H x W x C; for an animation the first frame.

    It is rotated upright as its EXIF data says, and transparency is composited on black; 16 bits are scaled
    to 8 by 1/257, floats by 255; color profiles are ignored, as in torchvision and timm.

    Args:
        path: The file.
        mode: "L" for gray, C = 1, or "RGB".
        preprocessing: Applied to the upright 8-bit image.

    Raises:
        ValueError: If pixels lie outside the range of their mode.
        Exception: Any other exception of PIL's readers on a broken file.
    """
    kind = path.stat().st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):  # reading these would block
        raise ValueError("a pipe or a device")
    with Image.open(path) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        image = _eight_bits(opened)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        image = image.convert("RGB").convert(mode)  # RGB first: not every mode becomes gray directly
    return np.atleast_3d(np.asarray(preprocessing(image) if preprocessing else image))


def read_photos(
    folder: Path,
    paths: Sequence[str],
    classifier: Classifier | None = None,
    *,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> tuple[Tensor, dict[int, str]]:
    """Read image files in parallel, into one tensor.

    Args:
        folder: What the paths are relative to.
        paths: N >= 1 files.
        classifier: Determines channels (RGB if it takes any) and preprocessing.
        skip_bad: Leave out unreadable images.
        progress: Show a bar; None: on a terminal only.
        workers: Threads; None: one for each processor.

    Returns:
        Images, uint8, M x C x H x W, in the order of the paths, and the reason for each of the N positions
        that was left out.

    Raises:
        ValueError: If an image cannot be read and ``skip_bad`` is not set, if none can be read, or if they
            differ in size and there is no preprocessing.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    preprocessing = classifier.preprocessing if classifier else None
    read = functools.partial(_try_to_read, folder, _mode(classifier), preprocessing)
    images = np.empty((0, 0, 0, 0), np.uint8)
    first, kept, bad = "", 0, {}
    with _threads(workers) as pool, progress_bar("read", len(paths), "images", progress) as bar:
        # map yields results in order, so nothing depends on the timing of the threads
        for number, (path, pixels) in enumerate(zip(paths, pool.map(read, paths), strict=True)):
            bar.advance()
            if isinstance(pixels, str):
                if not skip_bad:
                    raise ValueError(
                        f"cannot read {folder / path} ({pixels}): remove it, or leave it out with --skip-bad"
                    )
                bad[number] = pixels
                continue
            if not kept:
                first, images = path, np.empty((len(paths), pixels.shape[2], *pixels.shape[:2]), np.uint8)
            if pixels.shape[:2] != images.shape[2:]:
                raise ValueError(
                    f"{folder / first} has {_size(images.shape[2:])} pixels, {path} has "
                    f"{_size(pixels.shape)}: give the Classifier a "
                    "preprocessing=itn.Preprocessing(resize=..., crop=...), or images of one size"
                )
            images[kept] = pixels.transpose(2, 0, 1)
            kept += 1
    if not kept:
        raise ValueError(
            f"none of the {len(paths)} images of {folder} can be read; the first, {paths[0]}: {bad[0]}"
        )
    return torch.from_numpy(images[:kept]), bad


@contextlib.contextmanager
def _threads(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that are shut down at the end of the block, however it ends."""
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    with warnings.catch_warnings():
        # PIL's warnings about metadata and large images; broken pixels are errors
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _try_to_read(
    folder: Path, mode: str, preprocessing: Preprocessing | None, path: str
) -> NDArray[np.uint8] | str:
    """Return the pixels, or the reason why they cannot be read."""
    try:
        return read_photo(folder / path, mode, preprocessing)
    except UnidentifiedImageError:
        return "not an image that PIL can read"
    except Exception as error:  # PIL's readers raise many types
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit or float gray to 8 bits; PIL would clip the values."""
    match image.mode:
        case "I" | "I;16" | "I;16B" | "I;16L" | "I;16N":
            values, full = np.asarray(image).astype(np.int64), 65535
            scaled = np.where(values == image.info.get("transparency"), 0, (values + 128) // 257)
        case "F":
            values, full = np.asarray(image), 1
            scaled = (255 * values).round()
        case _:
            return image
    if not (values.min() >= 0 and values.max() <= full):
        raise ValueError(f"values from {values.min():g} to {values.max():g}, expected 0 to {full}")
    return Image.fromarray(scaled.astype(np.uint8))


def _mode(classifier: Classifier | None) -> str:
    match classifier and classifier.channels:
        case 1:
            return "L"
        case 3 | None:
            return "RGB"
        case channels:
            raise ValueError(
                f"the classifier takes {channels} channels, image files give 1 (gray) or 3 (RGB)"
            )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"
