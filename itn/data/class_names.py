"""The logit of a classifier that the name of a class folder, or a label, stands for."""

import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path

from itn.data.class_folders import first_three
from itn.data.class_maps import (
    ClassMap,
    Vocabulary,
    as_number,
    class_meanings,
    in_order,
    normalized,
    only,
    vocabulary,
)
from itn.models.classifier import Classifier

_WORDNET_ID = re.compile(r"n\d{8}")


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
        class_map: From folder names to logits or their names (a number is first looked up as a name), or from
            logits to folder names, or a file with either; see ``class_maps.class_meanings``.

    Raises:
        ValueError: If a folder stands for no logit, or for more than one.
    """
    if class_map is not None:
        source = str(class_map) if isinstance(class_map, str | Path) else "class_map"
        meanings = class_meanings(class_map, folders, _count(classifier))
        return _logits(meanings, {folder: f"{source}: {folder!r}" for folder in folders}, classifier)
    if classifier is None:
        return {folder: rank for rank, folder in enumerate(sorted(folders))}
    unknown = list(folders)
    for known in _vocabularies(classifier, folders):
        missing = [folder for folder in folders if normalized(folder) not in known]
        if not missing:
            return {folder: only(known[normalized(folder)], folder) for folder in folders}
        unknown = min(unknown, missing, key=len)
    raise ValueError(
        f"the folders {first_three(unknown)} are not classes of {classifier.name} "
        f"({_expected(classifier)}): rename them, or give their classes with class_map=FILE, "
        "lines of folder,class; or let your function return an itn.Classifier with class_names"
    )


def label_indices(
    labels: Sequence[str], source: str, classifier: Classifier | None, class_map: ClassMap | None
) -> dict[str, int]:
    """Return the logit that each label of a file stands for.

    A label is what a folder's name is to ``class_indices`` if there is a class map, or neither a classifier
    nor a number; otherwise what the meaning in a class map is.

    Raises:
        ValueError: If a label stands for no logit, or for more than one.
    """
    if class_map is not None or (classifier is None and None in map(as_number, labels)):
        return class_indices(labels, classifier, class_map)
    return _logits({label: label for label in labels}, dict.fromkeys(labels, source), classifier)


def _logits(
    meanings: Mapping[str, object], sources: Mapping[str, str], classifier: Classifier | None
) -> dict[str, int]:
    """Return the logits of meanings: numbers, or names. Where a meaning is from is for messages."""
    known = list(_vocabularies(classifier, [each for each in meanings.values() if isinstance(each, str)]))
    count, logits = _count(classifier), {}
    for name, meaning in meanings.items():
        number = meaning
        if isinstance(meaning, str):
            named = [each[normalized(meaning)] for each in known if normalized(meaning) in each]
            number = only(named[0], meaning) if named else as_number(meaning)
        index = int(number) if isinstance(number, Integral) and not isinstance(number, bool) else -1
        if not 0 <= index < (count or sys.maxsize):
            raise ValueError(
                f"{sources[name]} cannot be class {meaning!r}: {_expected(classifier)}"
                + ("; classes count from 0: subtract 1" if index == count else "")
            )
        logits[name] = index
    return logits


def _vocabularies(classifier: Classifier | None, texts: Sequence[str]) -> Iterator[Vocabulary]:
    """Yield the vocabularies in which texts may name a classifier's logits, in order of preference."""
    if classifier is None:
        return
    count = _count(classifier)
    if classifier.class_names:
        yield vocabulary(in_order(classifier.class_names))
    if classifier.class_ids:
        yield vocabulary(in_order(classifier.class_ids))
    elif count in (None, 1000) and any(_WORDNET_ID.fullmatch(text) for text in texts):
        yield _imagenet()
    if not classifier.class_names:
        numbers = {text: as_number(text) for text in texts}
        yield {
            text: [number]
            for text, number in numbers.items()
            if number is not None and (count is None or number < count)
        }


@functools.cache
def _imagenet() -> Vocabulary:
    from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  # slow to import

    return vocabulary(in_order(ImageNetInfo("imagenet-1k").label_names()))


def _count(classifier: Classifier | None) -> int | None:
    """Return the number of logits, if the classifier's names tell."""
    return len((classifier and (classifier.class_names or classifier.class_ids)) or ()) or None


def _expected(classifier: Classifier | None) -> str:
    names = classifier and (classifier.class_names or classifier.class_ids)
    if names:
        return f"its classes are {first_three(names)}"
    return "without class names expected numbers from 0" + (", or WordNet ids" if classifier else "")
