"""Folders of class folders: their images, and the logit of a classifier that each folder stands for."""

import csv
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image

from itn.models.classifier import Classifier
from itn.runtime.validation import user_path

ClassMap = Mapping[str, int | str] | str | Path
Vocabulary = dict[str, list[int]]
"""Normalized text -> the logits with that name."""

_WORDNET_ID = re.compile(r"n\d{8}")


def find_photos(folder: Path) -> tuple[list[str], list[str]]:
    """List a folder of class folders, or one that holds images and no folders.

    An image is a file below a class folder, at any depth, with an extension that PIL reads. Hidden
    files and folders, other extensions, and files outside the class folders are ignored.

    Returns:
        The names of the class folders, empty ones too, and the paths of the images relative to the
        folder, with "/"; both sorted. Without class folders no names, and the files of the folder.

    Raises:
        ValueError: If a folder cannot be listed or there is no image.
    """
    formats = Image.registered_extensions()
    # An EPS file is a program, which PIL would pass to Ghostscript
    readable = {extension for extension, name in formats.items() if name in Image.OPEN and name != "EPS"}

    def is_image(file: str) -> bool:
        return not file.startswith(".") and Path(file).suffix.lower() in readable

    _, classes, files = next(os.walk(folder, onerror=_raise_unlistable))
    classes = sorted(name for name in classes if not name.startswith("."))
    paths = [] if classes else [file for file in files if is_image(file)]
    for name in classes:
        for parent, folders, files in os.walk(folder / name, onerror=_raise_unlistable):
            folders[:] = [subfolder for subfolder in folders if not subfolder.startswith(".")]
            below = Path(parent).relative_to(folder)
            paths += [(below / file).as_posix() for file in files if is_image(file)]
    if not paths:
        content = f"no image in its class folders {_first_three(classes)}" if classes else "no class folders"
        raise ValueError(
            f"{folder} has {content}: put images into one folder for each class, such as cat/1.jpg"
        )
    return classes, sorted(paths)


def class_indices(
    folders: Sequence[str], classifier: Classifier | None = None, class_map: ClassMap | None = None
) -> dict[str, int]:
    """Return the logit that each class folder stands for.

    The class map decides, if there is one. Otherwise the names of all folders must be, in this order of
    preference, the classifier's ``class_names`` (ignoring case, and with "_" for " "), its ``class_ids``,
    WordNet ids if it has no ids and may have the 1000 classes of ImageNet (in their sorted order), or the
    numbers of the logits if it has no names. Without a classifier it is the rank of the sorted names.

    Args:
        folders: Names of class folders.
        classifier: The classifier of the logits.
        class_map: From folder names to logits or their names (a number is first looked up as a name), or
            a file: a JSON object, or lines ``folder,class``, separated by comma or tab.

    Raises:
        ValueError: If a folder stands for no logit, or for more than one.
    """
    if class_map is not None:
        classes = class_map if isinstance(class_map, Mapping) else _read_class_map(user_path(class_map))
        source = "class_map" if isinstance(class_map, Mapping) else str(class_map)
        if missing := [folder for folder in folders if folder not in classes]:
            raise ValueError(f"{source} lacks the folders {_first_three(missing)}: add the class of each")
        return {folder: _mapped(classes[folder], f"{source}: {folder!r}", classifier) for folder in folders}
    if classifier is None:
        return {folder: rank for rank, folder in enumerate(sorted(folders))}
    unknown = list(folders)
    for vocabulary in _vocabularies(classifier, folders):
        missing = [folder for folder in folders if _normalized(folder) not in vocabulary]
        if not missing:
            return {folder: _only(vocabulary, folder) for folder in folders}
        unknown = min(unknown, missing, key=len)
    raise ValueError(
        f"the folders {_first_three(unknown)} are not classes of {classifier.name} "
        f"({_expected(classifier)}): rename them, or give their classes with class_map=FILE, "
        "lines of folder,class"
    )


def _vocabularies(classifier: Classifier | None, texts: Sequence[str]) -> Iterator[Vocabulary]:
    """Yield the vocabularies in which texts may name a classifier's logits, in order of preference."""
    if classifier is None:
        return
    count = _count(classifier)
    if classifier.class_names:
        yield _vocabulary(classifier.class_names)
    if classifier.class_ids:
        yield _vocabulary(classifier.class_ids)
    elif count in (None, 1000) and any(_WORDNET_ID.fullmatch(text) for text in texts):
        from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  # slow to import

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
        vocabulary.setdefault(_normalized(name), []).append(number)
    return vocabulary


def _normalized(text: str) -> str:
    """Return text without differences in case, spaces, underscores and the encoding of accents."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("_", " ").split())


def _only(vocabulary: Vocabulary, text: str) -> int:
    numbers = vocabulary[_normalized(text)]
    if len(numbers) > 1:
        raise ValueError(
            f"{text!r} is the name of {len(numbers)} classes ({_first_three(numbers)}): "
            "name the folders by class ids, or give the number of each with class_map=FILE"
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
    classes: dict[str, Any] = {}
    for row in rows:  # a header, if any, is an entry that is never looked up
        if len(row) != 2:
            raise ValueError(f"{path}: expected two columns, folder,class, got {','.join(row)!r}")
        folder, meaning = row
        if classes.setdefault(folder, meaning) != meaning:
            raise ValueError(f"{path} gives {folder!r} two classes, {classes[folder]!r} and {meaning!r}")
    return classes


def _mapped(meaning: object, source: str, classifier: Classifier | None) -> int:
    """Return the logit of an entry in a class map."""
    number = meaning
    if isinstance(meaning, str):
        for vocabulary in _vocabularies(classifier, [meaning]):
            if _normalized(meaning) in vocabulary:
                return _only(vocabulary, meaning)
        number = _number(meaning)
    count = _count(classifier)
    index = int(number) if isinstance(number, Integral) and not isinstance(number, bool) else -1
    if not 0 <= index < (count or sys.maxsize):
        raise ValueError(f"{source} cannot be class {meaning!r}: {_expected(classifier)}")
    return index


def _number(text: str) -> int | None:
    """Return a text as the number of a logit, None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _count(classifier: Classifier | None) -> int | None:
    """Return the number of logits, if the classifier's names tell."""
    return len((classifier and (classifier.class_names or classifier.class_ids)) or ()) or None


def _expected(classifier: Classifier | None) -> str:
    names = classifier and (classifier.class_names or classifier.class_ids)
    if names:
        return f"its classes are {_first_three(names)}"
    return "without class names expected numbers from 0" + (", or WordNet ids" if classifier else "")


def _first_three(items: Sequence[object]) -> str:
    """Return up to three items as text, and how many more there are."""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(repr(item) for item in items[:3]) + more


def _raise_unlistable(error: OSError) -> NoReturn:
    raise ValueError(
        f"cannot list {error.filename} ({error.strerror}): change its permissions, or name another folder"
    )
