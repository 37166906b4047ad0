"""Class maps: what class each folder is, in the forms that people have."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from itn.data.class_folders import first_three
from itn.data.text_tables import line_of_another_kind, read_text, two_columns
from itn.runtime.validation import user_path

ClassMap = Mapping[Any, Any] | Sequence[str] | str | Path
Entry = tuple[int, Sequence[str]]
"""A logit and its names."""
Vocabulary = dict[str, list[int]]
"""Normalized text -> the logits with that name."""

_EXPECTED = (
    "lines of folder,class, one name a line in the order of the logits, or a JSON object such as "
    '{"folder": class} or {"id2label": {"0": "folder"}}'
)
_HEADERS = {"class", "classes", "name", "names", "label", "labels", "folder", "category", "synset", "wnid"}


def class_meanings(class_map: ClassMap, folders: Sequence[str], count: int | None) -> dict[str, Any]:
    """Return what a class map says of each folder: the number of a logit, or the name of one.

    It may go from folders to classes; or from the numbers of logits to names of folders, as ``id2label`` of
    Hugging Face and the class index of Keras do (which gives two names, of which one must be the folder's).
    What could be read both ways goes from folders to classes, unless it is one of these two.

    Args:
        class_map: A mapping; names in the order of the logits; or a file: JSON; two columns separated by
            comma, semicolon or tab; or one name a line, in the order of the logits, as timm writes it.
        folders: The folders to look up.
        count: Number of logits; None: unknown.

    Raises:
        ValueError: If it is none of these, lacks a folder, or contradicts itself or the number of logits.
    """
    if isinstance(class_map, Mapping):
        return _looked_up(list(class_map.items()), "class_map", folders, count)
    if not isinstance(class_map, str | Path):
        if not isinstance(class_map, Sequence):
            raise ValueError(
                f"class_map is a {type(class_map).__name__}: give a mapping from folders to classes, a list "
                "of names in the order of the logits, or a file"
            )
        return _in_order(list(class_map), "class_map", folders, count)
    path = user_path(class_map)
    text = read_text(path, "the class map", _EXPECTED)
    content: Any = None
    if text.lstrip().startswith(("{", "[")):
        try:
            content = json.loads(text, object_pairs_hook=tuple)  # arrays are lists, objects tuples
        except (ValueError, RecursionError) as error:
            if text.lstrip().startswith("{"):
                raise ValueError(
                    f"cannot read the class map {path} ({error}): expected {_EXPECTED}"
                ) from None
    if isinstance(content, tuple):
        parts = dict(content)
        content = parts.get("id2label", parts.get("label2id", content))
        if isinstance(content, tuple):
            return _looked_up(content, str(path), folders, count, "id2label" in parts)
    if content is not None:
        return _in_order(content if isinstance(content, list) else [content], path, folders, count)
    known = set(map(_composed, folders))
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if known <= set(map(_composed, lines)) or not any(separator in text for separator in "\t,;"):
        return _in_order(lines, path, folders, count)
    rows = two_columns(text, lambda left: _composed(left) in known)
    if rows is None:
        raise ValueError(
            f"{path}: expected two columns, folder,class, got {line_of_another_kind(text)}; names with "
            "commas can be given as a JSON array, in the order of the logits"
        )
    return _looked_up(rows, str(path), folders, count)


def normalized(text: str) -> str:
    """Return text without differences in case, spaces, underscores and the encoding of accents."""
    return " ".join(_composed(text).casefold().replace("_", " ").split())


def in_order(names: Iterable[str]) -> list[Entry]:
    """Return names as those of the logits 0, 1, ..."""
    return [(number, [name]) for number, name in enumerate(names)]


def vocabulary(entries: Iterable[Entry], key: Callable[[str], str] = normalized) -> Vocabulary:
    """Return the logits of each name; names that the key makes equal are one."""
    logits: Vocabulary = {}
    for number, names in entries:
        for name in set(map(key, names)):
            logits.setdefault(name, []).append(number)
    return logits


def only(numbers: Sequence[int], text: str) -> int:
    """Return the one logit of a name.

    Raises:
        ValueError: If there are several.
    """
    if len(numbers) > 1:
        raise ValueError(
            f"{text!r} is the name of {len(numbers)} classes ({first_three(numbers)}): "
            "name the folders by class ids, or give the number of each with class_map=FILE"
        )
    return numbers[0]


def as_number(text: str) -> int | None:
    """Return a text as the number of a logit, None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _in_order(
    names: Sequence[Any], path: Path | str, folders: Sequence[str], count: int | None
) -> dict[str, Any]:
    """Look folders up in names that are in the order of the logits."""
    if not names:
        raise ValueError(f"{path} is empty: expected {_EXPECTED}")
    if wrong := [name for name in names if not (isinstance(name, str) and name)]:
        raise ValueError(f"{path} has {wrong[0]!r} for a name: expected {_EXPECTED}")
    if names[0].lower() in _HEADERS and names[0] not in folders:
        raise ValueError(f"{path} begins with {names[0]!r}, which would be class 0: remove the header")
    if count not in (None, len(names)):
        raise ValueError(
            f"{path} names {len(names):,}, the classifier has {count:,} classes: give all, in the order "
            "of the logits, or lines of folder,class"
        )
    return _by_name(in_order(names), str(path), folders)


def _looked_up(
    rows: Sequence[tuple[Any, Any]],
    source: str,
    folders: Sequence[str],
    count: int | None,
    numbered: bool = False,
) -> dict[str, Any]:
    """Look folders up in pairs of folder and class, or of the number of a logit and its name or names."""
    classes: dict[str, Any] = {}
    if not rows:
        raise ValueError(f"{source} is empty: expected {_EXPECTED}")
    for left, meaning in rows:  # a header, if any, is an entry that is never looked up
        folder = _composed(str(left))
        if classes.setdefault(folder, meaning) != meaning:
            raise ValueError(f"{source} gives {folder!r} two classes, {classes[folder]!r} and {meaning!r}")
    numbered = numbered or all(map(_are_texts, classes.values()))
    missing = [folder for folder in folders if _composed(folder) not in classes]
    if not (missing or numbered):
        return {folder: classes[_composed(folder)] for folder in folders}
    rest = list(classes.items())
    if not numbered and as_number(rest[0][0]) is None:
        del rest[0]  # a header
    named = [(as_number(left), [name] if isinstance(name, str) else name) for left, name in rest]
    entries = [(number, names) for number, names in named if number is not None and _are_texts(names)]
    if numbered and len(entries) < len(named):
        raise ValueError(f"{source} must go from the numbers of logits to names of folders, all of it")
    if len(entries) < len(named) or not entries:
        raise ValueError(f"{source} lacks the folders {first_three(missing)}: add the class of each")
    numbers = sorted(number for number, _ in entries)
    if numbers == list(range(1, len(numbers) + 1)):
        raise ValueError(f"{source} counts classes from 1, and logits from 0: subtract 1, or add 0")
    if count is not None and numbers[-1] >= count:
        raise ValueError(f"{source} has a class {numbers[-1]}: expected numbers from 0 to {count - 1}")
    return _by_name(entries, source, folders)


def _by_name(entries: Sequence[Entry], source: str, folders: Sequence[str]) -> dict[str, Any]:
    """Look folders up by names of logits; exactly, or else as names of classes are compared."""
    missing: list[str] = []
    for key in (_composed, normalized):
        logits = vocabulary(entries, key)
        missing = [folder for folder in folders if key(folder) not in logits]
        if not missing:
            several = next((folder for folder in folders if len(logits[key(folder)]) > 1), None)
            if several is not None:
                numbers = first_three(logits[key(several)])
                raise ValueError(
                    f"{source} gives the folder {several!r} to several classes ({numbers}): leave it to one"
                )
            return {folder: logits[key(folder)][0] for folder in folders}
    raise ValueError(
        f"{source} names the classes {first_three([names[0] for _, names in entries])}, but lacks the "
        f"folders {first_three(missing)}: rename them, or write lines of folder,class"
    )


def _are_texts(names: Any) -> bool:
    return isinstance(names, list | tuple) and len(names) > 0 and all(isinstance(name, str) for name in names)


def _composed(text: str) -> str:
    """Return a text with accents as one character each, as macOS does not store file names."""
    return unicodedata.normalize("NFC", text)
