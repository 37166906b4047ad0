"""Photographs of any kind and size to 8-bit tensors, decoded in parallel."""

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
from tqdm import tqdm

from itn.models.classifier import Classifier
from itn.models.preprocessing import Preprocessing


def read_photo(path: Path, mode: str, preprocessing: Preprocessing | None = None) -> NDArray[np.uint8]:
    """Read an image file of any mode, H x W x C; of an animation, the first frame.

    Turned upright as its EXIF says; what is transparent lies on black; 16 bits are scaled to 8 by 1/257,
    floats by 255; color profiles are left aside, as torchvision and timm do.

    Args:
        path: The file.
        mode: "L" for gray, C = 1, or "RGB".
        preprocessing: Applied to the upright 8-bit image.

    Raises:
        ValueError: If pixels lie outside the range of their mode.
        Exception: Whatever else PIL's readers stumble on in a broken file.
    """
    kind = path.stat().st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):  # these would be waited for
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
        classifier: Whose channels (RGB if it takes any) and preprocessing to give them.
        skip_bad: Leave unreadable images out.
        progress: Show a bar; None: on a terminal only.
        workers: Threads; None: one for each processor.

    Returns:
        Images, uint8, M x C x H x W, in the order of the paths, and for each position among the N that was
        left out the reason why.

    Raises:
        ValueError: If an image cannot be read and is not to be left out, if none can, or if they differ in
            size and there is no preprocessing.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    preprocessing = classifier.preprocessing if classifier else None
    read = functools.partial(_try_to_read, folder, _mode(classifier), preprocessing)
    hidden = None if progress is None else not progress  # None: a bar on a terminal only
    images = np.empty((0, 0, 0, 0), np.uint8)
    first, kept, bad = "", 0, {}
    with _threads(workers) as pool, tqdm(total=len(paths), desc="read", unit="image", disable=hidden) as bar:
        # map answers in order, so nothing depends on the timing of threads
        for number, (path, pixels) in enumerate(zip(paths, pool.map(read, paths), strict=True)):
            bar.update()
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
    """Threads that end soon after the block, however it ends."""
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    with warnings.catch_warnings():
        # What PIL has to say of metadata and of large images; broken pixels are errors
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _try_to_read(
    folder: Path, mode: str, preprocessing: Preprocessing | None, path: str
) -> NDArray[np.uint8] | str:
    """Return the pixels, or why there are none."""
    try:
        return read_photo(folder / path, mode, preprocessing)
    except UnidentifiedImageError:
        return "no image that PIL knows"
    except Exception as error:  # PIL's readers raise whatever they stumble on
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale gray of 16 bits or floats to 8 bits; PIL would clip them."""
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
