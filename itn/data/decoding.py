"""Photographs of any format and size as 8-bit tensors, decoded in parallel."""

import contextlib
import functools
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError
from torch import Tensor

from itn.functional import Surround
from itn.models.canvases import Canvases
from itn.models.classifier import Classifier
from itn.models.preprocessing import Preprocessing
from itn.runtime.progress import progress_bar
from itn.runtime.wording import counted

CANVAS_SHARE = 0.25  # of the memory, that canvases may fill; learning copies them once for its split

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, which may have less than the machine


def read_photo(
    path: Path, mode: str, preprocessing: Preprocessing | None = None, background: str | None = None
) -> NDArray[np.uint8]:
    """Read an image file of any mode, H x W x C; for an animation the first frame.

    It is rotated upright as its EXIF data says; 16 bits are scaled to 8 by 1/257, floats by 255. Color
    profiles are ignored, as in torchvision and timm, and so is transparency, unless there is a background.

    Args:
        path: The file.
        mode: "L" for gray, C = 1, or "RGB".
        preprocessing: Applied to the upright 8-bit image.
        background: Color that is seen through transparent pixels; None: the color they have themselves.

    Raises:
        ValueError: If pixels lie outside the range of their mode.
        Exception: Any other exception of PIL's readers on a broken file.
    """
    image, _ = open_photo(path, mode, background)
    return np.atleast_3d(np.asarray(preprocessing(image) if preprocessing else image))


def open_photo(path: Path, mode: str, background: str | None = None) -> tuple[Image.Image, bool]:
    """Return what ``read_photo`` reads before its preprocessing, and whether any of it is transparent."""
    kind = path.stat().st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):  # reading these would block
        raise ValueError("a pipe or a device")
    return decode_photo(path, mode, background)


def decode_photo(file: Path | BinaryIO, mode: str, background: str | None = None) -> tuple[Image.Image, bool]:
    """Return what ``open_photo`` does, of a regular file or of one in memory."""
    with Image.open(file) as opened:
        if opened.format == "EPS":  # whatever its name; PIL would pass it to Ghostscript
            raise ValueError("an EPS file is a program")
        ImageOps.exif_transpose(opened, in_place=True)
        image = _eight_bits(opened)
        transparent = False
        if image.has_transparency_data:
            image = image.convert("RGBA")
            transparent = image.getchannel("A").getextrema() != (255, 255)
            if background is not None:
                image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
        return image.convert("RGB").convert(mode), transparent  # not every mode becomes gray directly


class Reading(NamedTuple):
    """What came of the files that were to be read."""

    bad: dict[int, str]
    """Positions of those that were left out, and the reason of each."""
    transparent: int
    """Number of images of which some pixels are transparent."""


def read_photos(
    folder: Path,
    paths: Sequence[str],
    classifier: Classifier | None = None,
    *,
    background: str | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> tuple[Tensor, Reading]:
    """Read image files in parallel, into one tensor.

    Args:
        folder: What the paths are relative to.
        paths: N >= 1 files.
        classifier: Determines channels (RGB if it takes any) and preprocessing.
        background: As that of ``read_photo``.
        skip_bad: Leave out unreadable images.
        progress: Show a bar; None: on a terminal only.
        workers: Threads; None: one for each processor.

    Returns:
        Images, uint8, M x C x H x W, in the order of the paths, and what was left out.

    Raises:
        ValueError: If an image cannot be read and ``skip_bad`` is not set, if none can be read, if they
            differ in size and there is no preprocessing, or if the background is no color.
    """
    preprocessing = classifier.preprocessing if classifier else None

    def finish(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        return np.atleast_3d(np.asarray(preprocessing(image) if preprocessing else image)), ()

    read = _reader(folder, classifier, finish, background)
    photos, _, reading = _read_all(folder, paths, read, skip_bad, progress, workers)
    return torch.from_numpy(photos), reading


def read_canvases(
    folder: Path,
    paths: Sequence[str],
    classifier: Classifier,
    ratio: float,
    *,
    background: str | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> tuple[Canvases, Reading]:
    """Read image files as ``read_photos`` does, and keep what they show around the crop.

    Args:
        folder: What the paths are relative to.
        paths: N image files.
        classifier: With a preprocessing, which crops.
        ratio: Size of the canvases over that of the crop, at least 1.
        background: As that of ``read_photo``.
        skip_bad: Leave out unreadable images.
        progress: Show a bar; None: on a terminal only.
        workers: Threads; None: one for each processor.

    Raises:
        ValueError: As ``read_photos`` does, or if the canvases would fill more than a quarter of the memory.
    """
    preprocessing = classifier.preprocessing
    assert preprocessing is not None
    margins = preprocessing.margins(ratio)
    read = _reader(folder, classifier, functools.partial(preprocessing.canvas, margins=margins), background)
    pixels, boxes, reading = _read_all(folder, paths, read, skip_bad, progress, workers)
    surround = Surround(margins.top, margins.left, *preprocessing.crop, torch.tensor(boxes))
    return Canvases(torch.from_numpy(pixels), surround), reading


Read = Callable[[str], "_Photo | str"]
"""From the path of a photograph to its pixels, or to the reason why it cannot be read."""


class _Photo(NamedTuple):
    pixels: NDArray[np.uint8]
    """H x W x C."""
    box: tuple[int, ...]
    """Where it ends in its canvas; empty if it has none."""
    transparent: bool
    """Whether some of its pixels are."""


def _read_all(
    folder: Path,
    paths: Sequence[str],
    read: Read,
    skip_bad: bool,
    progress: bool | None,
    workers: int | None,
) -> tuple[NDArray[np.uint8], list[tuple[int, ...]], Reading]:
    """Return the pixels, M x C x H x W, and boxes of readable photographs, and what was left out."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    images = np.empty((0, 0, 0, 0), np.uint8)
    first, bad, transparent = "", {}, 0
    boxes: list[tuple[int, ...]] = []
    with _threads(workers) as pool, progress_bar("read", len(paths), "images", progress) as bar:
        # map yields results in order, so nothing depends on the timing of the threads
        for number, (path, photo) in enumerate(zip(paths, pool.map(read, paths), strict=True)):
            bar.advance()
            if isinstance(photo, str):
                if not skip_bad:
                    raise ValueError(
                        f"cannot read {folder / path} ({photo}): remove it, or add skip_bad=True"
                    )
                bad[number] = photo
                continue
            pixels = photo.pixels
            if not boxes:
                if photo.box:
                    _check_memory(len(paths), pixels.nbytes)
                first, images = path, np.empty((len(paths), pixels.shape[2], *pixels.shape[:2]), np.uint8)
            if pixels.shape[:2] != images.shape[2:]:
                raise ValueError(
                    f"{folder / first} has {_size(images.shape[2:])} pixels, {path} has "
                    f"{_size(pixels.shape)}: give the Classifier a "
                    "preprocessing=itn.Preprocessing(resize=..., crop=...), or images of one size"
                )
            images[len(boxes)] = pixels.transpose(2, 0, 1)
            boxes.append(photo.box)
            transparent += photo.transparent
    if not boxes:
        raise ValueError(
            f"none of {counted(len(paths), 'image')} of {folder} can be read; the first, {paths[0]}: {bad[0]}"
        )
    return images[: len(boxes)], boxes, Reading(bad, transparent)


def _check_memory(images: int, size: int) -> None:
    """Raise ValueError if canvases of so many bytes each are too large to keep."""
    memory, processes = _memory(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if memory is not None and images * size > CANVAS_SHARE * memory / processes:
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"{images:,} photographs with what they show around the crop need {images * size / 1e9:.1f} GB"
            f"{each}, more than a quarter of the {memory / 1e9:.1f} GB of memory: take fewer (limit=N), "
            'surround=N such as 1.2, or surround="none"'
        )


def _memory() -> int | None:
    """Return the bytes of memory that processes on this machine share, None if unknown."""
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # there is none, or it is "max"
        limits.append(int(CGROUP_LIMIT.read_text()))
    return min(limits, default=None)


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


def _reader(
    folder: Path,
    classifier: Classifier | None,
    finish: Callable[[Image.Image], tuple[NDArray[np.uint8], tuple[int, ...]]],
    background: str | None,
) -> Read:
    """Return how to read a photograph; ``finish`` gives pixels and box of an upright 8-bit image."""
    mode = image_mode(classifier)
    check_color(background)

    def read(path: str) -> _Photo | str:
        try:
            image, transparent = open_photo(folder / path, mode, background)
            return _Photo(*finish(image), transparent)
        except UnidentifiedImageError:
            return "not an image that PIL can read"
        except Exception as error:  # PIL's readers raise many types
            return getattr(error, "strerror", None) or str(error) or type(error).__name__

    return read


def check_color(background: str | None) -> None:
    """Raise ValueError unless a background is None or an opaque color."""
    if background is None:
        return
    try:
        opaque = len(ImageColor.getrgb(background)) == 3
    except (ValueError, AttributeError, TypeError):
        opaque = False
    if not opaque:
        raise ValueError(f"background must be an opaque color such as white or #808080, got {background!r}")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit or float gray to 8 bits; PIL would clip the values."""
    match image.mode:
        case "I" | "I;16" | "I;16B" | "I;16L" | "I;16N":
            values, full = np.asarray(image).astype(np.int64), 65535
            scaled = (values + 128) // 257
        case "F":
            values, full = np.asarray(image), 1
            scaled = (255 * values).round()
        case _:
            return image
    if not (values.min() >= 0 and values.max() <= full):
        raise ValueError(f"values from {values.min():g} to {values.max():g}, expected 0 to {full}")
    gray = Image.fromarray(scaled.astype(np.uint8))
    if (key := image.info.get("transparency")) is None:
        return gray
    return Image.merge("LA", [gray, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))])


def image_mode(classifier: Classifier | None) -> str:
    """Return the mode of PIL in which a classifier takes photographs; raise ValueError if there is none."""
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
