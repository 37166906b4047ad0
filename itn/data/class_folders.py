"""Folders of class folders: the images in them, and the logit that each folder means to a classifier."""

import csv
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image

from itn.models.classifier import Classifier

ClassMap = Mapping[str, int | str] | str | Path
Vocabulary = dict[str, list[int]]
"""Folded text -> the logits that go by it."""

_WORDNET_ID = re.compile(r"n\d{8}")


def find_photos(folder: Path) -> tuple[list[str], list[str]]:
    """List a folder of class folders.

    An image is a file below a class folder, at any depth, with an extension that PIL reads. Hidden
    files and folders, other extensions, and what lies beside the class folders are left alone.

    Returns:
        The names of the class folders, empty ones too, and the paths of the images relative to the
        folder, with "/"; both sorted.

    Raises:
        ValueError: If a folder cannot be listed or there is no image.
    """
    formats = Image.registered_extensions()
    # An EPS file is a program, which PIL would have Ghostscript run
    readable = {extension for extension, name in formats.items() if name in Image.OPEN and name != "EPS"}
    _, classes, _ = next(os.walk(folder, onerror=_refuse))
    classes = sorted(name for name in classes if not name.startswith("."))
    paths = []
    for name in classes:
        for parent, folders, files in os.walk(folder / name, onerror=_refuse):
            folders[:] = [each for each in folders if not each.startswith(".")]
            below = Path(parent).relative_to(folder)
            paths += [
                (below / file).as_posix()
                for file in files
                if not file.startswith(".") and Path(file).suffix.lower() in readable
            ]
    if not paths:
        found = f"no image in its class folders {_some(classes)}" if classes else "no class folders"
        raise ValueError(
            f"{folder} has {found}: put images into one folder for each class, such as cat/1.jpg"
        )
    return classes, sorted(paths)


def class_indices(
    folders: Sequence[str], classifier: Classifier | None = None, class_map: ClassMap | None = None
) -> dict[str, int]:
    """Say which logit each class folder means.

    By the class map, if there is one. Otherwise all folders are called, in this order, by the
    classifier's ``class_names`` (case aside, "_" as good as " "), by its ``class_ids``, by WordNet ids if it
    may have the 1000 classes of ImageNet and has no ids of its own (in their sorted order), or by the
    logits' numbers if it has no names. Without a classifier: the rank among the sorted names.

    Args:
        folders: Names of class folders.
        classifier: Whose logits are meant.
        class_map: From folder names to logits or to what they may be called (a number counts as a name
            first), or a file: a JSON object, or lines ``folder,class`` or with a tab.

    Raises:
        ValueError: If a folder means no logit, or more than one.
    """
    if class_map is not None:
        known = class_map if isinstance(class_map, Mapping) else _read_class_map(Path(class_map))
        where = "class_map" if isinstance(class_map, Mapping) else str(class_map)
        if missing := [folder for folder in folders if folder not in known]:
            raise ValueError(f"{where} lacks the folders {_some(missing)}: add the class of each")
        return {folder: _mapped(known[folder], f"{where}: {folder!r}", classifier) for folder in folders}
    if classifier is None:
        return {folder: rank for rank, folder in enumerate(sorted(folders))}
    unknown = list(folders)
    for vocabulary in _vocabularies(classifier, folders):
        missing = [folder for folder in folders if _fold(folder) not in vocabulary]
        if not missing:
            return {folder: _only(vocabulary, folder) for folder in folders}
        unknown = min(unknown, missing, key=len)
    raise ValueError(
        f"the folders {_some(unknown)} are no classes of {classifier.name} ({_expected(classifier)}): "
        "rename them, or say what they are with --class-map FILE, lines of folder,class"
    )


def _vocabularies(classifier: Classifier | None, texts: Sequence[str]) -> Iterator[Vocabulary]:
    """The ways in which texts may name a classifier's logits, one after the other."""
    if classifier is None:
        return
    count = _count(classifier)
    if classifier.class_names:
        yield _vocabulary(classifier.class_names)
    if classifier.class_ids:
        yield _vocabulary(classifier.class_ids)
    elif count in (None, 1000) and any(_WORDNET_ID.fullmatch(text) for text in texts):
        from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  # seconds to import

        yield _vocabulary(ImageNetInfo("imagenet-1k").label_names())
    if not classifier.class_names:
        numbers = {text: _number(text) for text in texts}
        yield {
            text: [number]
            for text, number in numbers.items()
            if number is not None and (count is None or number < count)
        }


def _vocabulary(names: Iterable[str]) -> Vocabulary:
    vocabulary: Vocabulary = {}
    for number, name in enumerate(names):
        vocabulary.setdefault(_fold(name), []).append(number)
    return vocabulary


def _fold(text: str) -> str:
    """Make texts equal that differ in case, spaces, underscores, or how they encode an accent."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("_", " ").split())


def _only(vocabulary: Vocabulary, text: str) -> int:
    numbers = vocabulary[_fold(text)]
    if len(numbers) > 1:
        raise ValueError(
            f"{text!r} is the name of {len(numbers)} classes ({_some(numbers)}): "
            "name the folders by class ids, or give the number of each with --class-map FILE"
        )
    return numbers[0]


def _read_class_map(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            rows = json.loads(text, object_pairs_hook=list)
        else:
            lines = csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ",", strict=True)
            rows = [tuple(cell.strip() for cell in line) for line in lines if line]
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise ValueError(
            f"cannot read the class map {path} ({error}): expected a JSON object or lines of folder,class"
        ) from None
    known: dict[str, Any] = {}
    for row in rows:  # a header, if any, names a folder that nobody asks for
        if len(row) != 2:
            raise ValueError(f"{path}: expected two columns, folder,class, got {','.join(row)!r}")
        folder, meaning = row
        if known.setdefault(folder, meaning) != meaning:
            raise ValueError(f"{path} gives {folder!r} two classes, {known[folder]!r} and {meaning!r}")
    return known


def _mapped(meaning: object, where: str, classifier: Classifier | None) -> int:
    """Return the logit that a class map means."""
    number = meaning
    if isinstance(meaning, str):
        for vocabulary in _vocabularies(classifier, [meaning]):
            if _fold(meaning) in vocabulary:
                return _only(vocabulary, meaning)
        number = _number(meaning)
    count = _count(classifier)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < (count or sys.maxsize):
        raise ValueError(f"{where} cannot be class {meaning!r}: {_expected(classifier)}")
    return number


def _number(text: str) -> int | None:
    """Return the number that a text is, if a logit can have it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _count(classifier: Classifier | None) -> int | None:
    """Return the number of logits, if the classifier knows it without a run."""
    return len((classifier and (classifier.class_names or classifier.class_ids)) or ()) or None


def _expected(classifier: Classifier | None) -> str:
    names = classifier and (classifier.class_names or classifier.class_ids)
    if names:
        return f"its classes are {_some(names)}"
    return "without class names expected numbers from 0" + (", or WordNet ids" if classifier else "")


def _some(items: Sequence[object]) -> str:
    """List up to three."""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(repr(item) for item in items[:3]) + more


def _refuse(error: OSError) -> NoReturn:
    raise ValueError(
        f"cannot list {error.filename} ({error.strerror}): change its permissions, or name another folder"
    )
