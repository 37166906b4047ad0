"""Files of labels: the class of each image in a folder, for folders that are not sorted by class."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from itn.data.class_folders import (
    Photos,
    files_below,
    first_three,
    is_image,
    refuse_vanished,
    unreadable_note,
)
from itn.data.text_tables import line_of_another_kind, read_text, two_columns
from itn.runtime.wording import counted

_EXPECTED = "lines of file,label, with the path of an image below its folder, and a number or a class"
_SPACED = re.compile(r"(\S.*?)\s+(\d+|n\d{8})")


class _Files(set[str]):
    """The files of a folder, also by names without their ending, composed, as far as these are unique."""

    def __init__(self, files: Iterable[str]) -> None:
        super().__init__(files)
        self.by_name: dict[str, str] = {}
        for file in self:
            for name in {_name(file), _name(str(PurePosixPath(file).with_suffix("")))}:
                self.by_name[name] = "" if name in self.by_name else file


def find_labeled(folder: Path, labels_file: Path) -> Photos:
    """List the images of a folder, at any depth, that a file of labels names.

    A path may be that of another machine, if the name of the folder is in it, and may lack its ending.
    The file has two columns, file and label, separated by comma, semicolon or tab, or by a space if all
    labels are numbers or WordNet ids; a header is allowed. Images without a label, and labels without an
    image, are left out and noted. Results of earlier runs and hidden files are ignored.

    Raises:
        ValueError: If the file cannot be read, gives an image two labels or none of the images one, or if a
            class has files but none that can be read as an image.
    """
    results: list[str] = []
    found = _Files(files_below(folder, "", results))
    labels = _read(labels_file, folder, found)
    listed = {path: label for path, label in labels.items() if path in found}
    missing = [path for path in labels if path not in found]
    if not listed:
        raise ValueError(
            f"none of the files of {labels_file} is in {folder}; the first is {first_three(missing[:1])}: "
            f"expected {_EXPECTED}"
        )
    paths = sorted(path for path in listed if is_image(path))
    unreadable = [path for path in listed if not is_image(path)]
    filled = {listed[path] for path in paths}
    vanished: dict[str, list[str]] = {}
    for path in unreadable:
        if listed[path] not in filled:
            vanished.setdefault(listed[path], []).append(path)
    refuse_vanished(vanished)
    notes = unreadable_note(unreadable)
    if missing:
        absent = sorted(set(labels.values()) - set(listed.values()))
        notes.append(
            f"{len(missing):,} of {len(labels):,} files of {labels_file.name} are not in the folder: "
            + first_three(missing)
            + (f"; of the classes {first_three(absent)} there is none" if absent else "")
        )
    if unlabeled := sorted(path for path in found - listed.keys() if is_image(path)):
        notes.append(
            f"{len(unlabeled):,} of {counted(len(paths) + len(unlabeled), 'image')} have no label in "
            f"{labels_file.name} and were left out: {first_three(unlabeled)}"
        )
    return Photos(paths, [listed[path] for path in paths], sorted(filled), notes)


def _read(labels_file: Path, folder: Path, found: _Files) -> dict[str, str]:
    """Return the label of each file, by its path below a folder with "/"."""
    text = read_text(labels_file, "the labels", _EXPECTED)
    rows = two_columns(text, lambda file: _below(file, folder, found) in found)
    if rows is None:
        spaced = [_SPACED.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
        rows = [(match[1], match[2]) for match in spaced if match]
        if not rows or len(rows) < len(spaced):
            raise ValueError(f"{labels_file}: expected {_EXPECTED}, got {line_of_another_kind(text)}")
    first = _below(rows[0][0], folder, found)
    others = {label for _, label in rows[1:]}
    if first not in found and not PurePosixPath(first).suffix and rows[0][1] not in others:
        del rows[0]  # a header
    labels: dict[str, str] = {}
    for file, label in rows:
        path = _below(file, folder, found)
        if labels.setdefault(path, label) != label:
            raise ValueError(f"{labels_file} gives {path!r} two labels, {labels[path]!r} and {label!r}")
    return labels


def _below(file: str, folder: Path, found: _Files) -> str:
    """Return a path of any platform, absolute or not, as one below the folder."""
    if file in found:
        return file
    path = file if "/" in file else file.replace("\\", "/")
    near = os.path.relpath(path, os.path.abspath(folder)) if os.path.isabs(path) else os.path.normpath(path)
    if near in found:
        return near
    # As another machine calls it: up to the last folder of that name
    _, name, below = f"/{path}".rpartition(f"/{folder.resolve().name}/")
    for other in (near, below if name else ""):
        if match := found.by_name.get(_name(other)):
            return match
    return near


def _name(path: str) -> str:
    """Return a path with accents as one character each, and its ending in small letters."""
    start, ending = os.path.splitext(unicodedata.normalize("NFC", path))
    return start + ending.lower()
