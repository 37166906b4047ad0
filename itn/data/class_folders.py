"""Folders of photographs: which files are images, what class each has, and what else lies there."""

import contextlib
import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from PIL import Image

from itn.runtime.run_dir import is_run

HEIF_HINT = 'pip install "itn[heic]"'
_HEIF = (".heic", ".heif", ".hif")
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # which Windows and archives of macOS leave


@dataclasses.dataclass(frozen=True)
class Photos:
    """The images of a folder, and what else was found there."""

    paths: list[str]
    """Of each image, relative to the folder, with "/"; sorted."""
    classes: list[str]
    """Class folder or label of each image; empty: there are no labels."""
    folders: list[str]
    """All class folders, those without images too; sorted."""
    notes: list[str]
    """What was left out, a sentence each."""


def find_photos(folder: Path) -> Photos:
    """List a folder of class folders, or one that holds images and no folders.

    An image is a file below a class folder, at any depth, with an extension that PIL reads; HEIC if
    pillow-heif is installed. Hidden files and folders, and files beside the class folders that are no images,
    are ignored. Results of earlier runs are no class; they and all else that is left out is noted.

    Raises:
        ValueError: If a folder cannot be listed, a class folder has files but no image, or there is no image.
    """
    _, classes, beside = next(os.walk(folder, onerror=_raise_unlistable))
    results: list[str] = []
    files = {name: list(files_below(folder, name, results)) for name in sorted(filter(_is_visible, classes))}
    holds_runs = {path.partition("/")[0] for path in results}
    classes = [name for name in files if files[name] or name not in holds_runs]
    beside = [file for file in beside if _is_visible(file)]
    listed = [path for name in classes for path in files[name]] if classes else beside
    paths = sorted(filter(is_image, listed))
    filled = {path.partition("/")[0] for path in paths}
    refuse_vanished({name: files[name] for name in classes if files[name] and name not in filled})
    readable = set(paths)
    unreadable = [path for path in listed if path not in readable]
    if not paths:
        content = f"no image in its class folders {first_three(classes)}" if classes else "no class folders"
        content += f" and no image, only {endings(unreadable)}" if unreadable else ""
        raise ValueError(
            f"{folder} has {content}: put images into one folder for each class, such as cat/1.jpg"
        )
    notes = [f"results of itn were left out: {first_three(sorted(results))}"] if results else []
    notes += unreadable_note(unreadable)
    if classes and (stray := [file for file in beside if is_image(file)]):
        notes.append(f"images beside the class folders were left out: {first_three(sorted(stray))}")
    if empty := [name for name in classes if not files[name]]:
        notes.append(f"class folders are empty: {first_three(empty)}")
    return Photos(paths, [path.partition("/")[0] for path in paths] if classes else [], classes, notes)


def files_below(folder: Path, name: str, results: list[str]) -> Iterator[str]:
    """Yield the visible files below a subfolder, relative to the folder; add folders of results to a list.

    Raises:
        ValueError: If a folder cannot be listed.
    """
    for parent, folders, files in os.walk(folder / name, onerror=_raise_unlistable):
        below = Path(parent).relative_to(folder)
        if is_run(Path(parent)):
            results.append(below.as_posix())
            folders.clear()
            continue
        folders[:] = filter(_is_visible, folders)
        yield from ((below / file).as_posix() for file in files if _is_visible(file))


def is_image(path: str) -> bool:
    """Return whether a file has the extension of an image that can be read."""
    return Path(path).suffix.lower() in readable_suffixes()


def endings(paths: Iterable[str]) -> str:
    """Return how many files there are of each extension."""
    counts = Counter(Path(path).suffix.lower() for path in paths)
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    parts = [f"{count:,} {_shown(suffix)}" for suffix, count in ranked[:5]]
    parts += [f"{sum(count for _, count in ranked[5:]):,} others"] * (len(ranked) > 5)
    return ", ".join(parts)


def unreadable_note(paths: Sequence[str]) -> list[str]:
    """Return a sentence about files that are no images by their extensions; nothing if there are none."""
    one = len(paths) == 1
    files, whose = ("1 file was", "its ending") if one else (f"{len(paths):,} files were", "their endings")
    return [f"{files} left out, since {whose} cannot be read: {endings(paths)}"] * bool(paths)


def refuse_vanished(vanished: Mapping[str, Iterable[str]]) -> None:
    """Raise ValueError if there are classes of which no file is an image; they are given with their files."""
    if vanished:
        files = endings(path for paths in vanished.values() for path in paths)
        raise ValueError(
            f"no image of {first_three(list(vanished))} can be read, since the only files are {files}: save "
            "them as PNG or JPEG, or move these classes elsewhere"
        )


def refuse_results(folder: Path) -> None:
    """Raise ValueError if a folder of images is the folder of a run."""
    if is_run(folder):
        raise ValueError(
            f"{folder} holds results of itn: name a folder of images, or move the results elsewhere"
        )


def refuse_results_inside(out: str | Path, folder: str | Path) -> None:
    """Raise ValueError if results would go into a folder of images, where they would be taken for a class."""
    inner, outer = map(os.path.expanduser, (out, folder))
    places = (os.path.abspath, os.path.realpath)
    if os.path.isdir(outer) and any(Path(place(inner)).is_relative_to(place(outer)) for place in places):
        raise ValueError(
            f"the results folder {out} lies in the folder of images {folder}, where it would be taken for a "
            "class: name one elsewhere"
        )


def first_three(items: Sequence[object]) -> str:
    """Return up to three items as text, and how many more there are."""
    more = f" and {len(items) - 3:,} more" if len(items) > 3 else ""
    return ", ".join(repr(item) for item in items[:3]) + more


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Return the extensions of images that can be read; from now on of HEIC too, if there is a reader."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # noqa: PLC0415  # an extra

        register_heif_opener()
    formats = Image.registered_extensions()
    # An EPS file is a program, which PIL would pass to Ghostscript
    return frozenset(end for end, name in formats.items() if name in Image.OPEN and name != "EPS")


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _LITTER


def _shown(suffix: str) -> str:
    if not suffix:
        return "without ending"
    name = suffix if suffix.isprintable() else ascii(suffix)
    return f"{name} ({HEIF_HINT})" if suffix in _HEIF else name


def _raise_unlistable(error: OSError) -> NoReturn:
    raise ValueError(
        f"cannot list {error.filename} ({error.strerror}): change its permissions, or name another folder"
    )
