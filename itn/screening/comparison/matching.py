"""Which images several runs share, and what each of them found about these."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from itn.runtime.wording import counted
from itn.screening.comparison.subject import Subject
from itn.screening.outcomes import ImageOutcomes


def matched(names: Sequence[str], subjects: Sequence[Subject]) -> tuple[list[ImageOutcomes], list[str]]:
    """Return what all runs share, images in the same order and transformations, and notes on it.

    Images are the same if their paths, or their numbers, are. Where they have the same size, their pixels
    are compared too.

    Args:
        names: What to call the runs.
        subjects: At least two.

    Raises:
        ValueError: If the runs cannot be compared: no outcomes, no common images, other labels, other
            pixels, or thresholds of another kind.
    """
    known: list[ImageOutcomes] = []
    for name, subject in zip(names, subjects, strict=True):
        if subject.outcomes is None:
            raise ValueError(
                f"{name} has not kept what became of each image, since an earlier itn made it: repeat its "
                "run with overwrite=True"
            )
        if len(set(subject.outcomes.images)) < len(subject.outcomes.images):
            raise ValueError(f"images of {name} share a name, so that they cannot be matched: rename them")
        known.append(subject.outcomes)
    swept = set.intersection(*(set(subject.units) for subject in subjects))
    if not swept:
        raise ValueError(
            f"{', '.join(names)} have no transformation in common: compare screens of the same "
            "transformations, or searches in the same box"
        )
    _check_alike(names, subjects)
    common = set.intersection(*(set(each.images) for each in known))
    if len(common) < 2:
        sizes = " and ".join(str(len(each.images)) for each in known)
        raise ValueError(
            f"the runs share {counted(len(common), 'image')} of {sizes}, by path or number: take the "
            "same images, with the same data, limit and seed"
        )
    order = [name for name in known[0].images if name in common]
    parts = [_restricted(each, swept).part(_rows(each, order)) for each in known]
    for name, part in zip(names[1:], parts[1:], strict=True):
        _check_same(names[0], parts[0], name, part)
    return parts, _notes(names, subjects, known, len(common), swept)


def _restricted(outcomes: ImageOutcomes, swept: set[str]) -> ImageOutcomes:
    sweeps = {name: sweep for name, sweep in outcomes.sweeps.items() if name in swept}
    return dataclasses.replace(outcomes, sweeps=sweeps)


def _rows(outcomes: ImageOutcomes, order: Sequence[str]) -> NDArray[np.int64]:
    position = {name: row for row, name in enumerate(outcomes.images)}
    return np.array([position[name] for name in order])


def _check_alike(names: Sequence[str], subjects: Sequence[Subject]) -> None:
    """Raise ValueError unless the thresholds of all runs mean the same."""
    first = subjects[0]
    for name, other in zip(names[1:], subjects[1:], strict=True):
        pairs = {
            "criterion": (first.criterion, other.criterion),
            "topk": (first.topk, other.topk),
            "accuracy_fraction": (first.fraction, other.fraction),
        }
        for setting, (here, there) in pairs.items():
            if here != there:
                raise ValueError(
                    f"{names[0]} and {name} cannot be compared, their {setting} is {here} and {there}: "
                    "make both with the same"
                )
        for shared in set(first.units) & set(other.units):
            here, there = first.units[shared], other.units[shared]
            if here != there:
                raise ValueError(
                    f"{names[0]} and {name} mean something else by {shared}: its unit and identity are "
                    f"{here[0]}, {here[1]:g} and {there[0]}, {there[1]:g}"
                )
        if first.outcomes.labeled != other.outcomes.labeled:  # type: ignore[union-attr]
            raise ValueError(f"one of {names[0]} and {name} was made without labels: make both alike")


def _check_same(first: str, here: ImageOutcomes, second: str, there: ImageOutcomes) -> None:
    """Raise ValueError unless images that are called alike are the same."""
    of = f"of {counted(len(here.images), 'image')}"
    if here.shape == there.shape:
        other = int((here.digests != there.digests).sum())
        if other:
            raise ValueError(
                f"{first} and {second}: {other} {of} called alike differ in their pixels, "
                f"the first is {here.images[int((here.digests != there.digests).argmax())]}: screen the same "
                "images"
            )
    elif here.source != there.source and all(name.isdigit() for name in here.images):
        raise ValueError(
            f"{first} and {second} number images of different size, of {here.source or 'unknown source'} and "
            f"{there.source or 'unknown source'}: it is not known whether they are the same"
        )
    if here.labeled:
        # Classes are numbered in another way where the classifiers are
        names = [[part.classes[label] for label in part.labels.tolist()] for part in (here, there)]
        by_number = here.labels != there.labels
        by_name = np.array([a != b for a, b in zip(*names, strict=True)])
        if other := min(int(by_number.sum()), int(by_name.sum())):
            raise ValueError(
                f"{first} and {second}: {other} {of} have another label: give both the same labels"
            )


def _notes(
    names: Sequence[str],
    subjects: Sequence[Subject],
    known: Sequence[ImageOutcomes],
    common: int,
    swept: set[str],
) -> list[str]:
    """Return what is unusual, a sentence each."""
    notes = []
    if any(len(each.images) > common for each in known):
        of = ", ".join(f"{name} {len(each.images):,}" for name, each in zip(names, known, strict=True))
        notes.append(f"compared are the {counted(common, 'image')} that all have; {of}")
    for setting in ("padding", "interpolation", "surround"):
        values = [subject.settings.get(setting) for subject in subjects]
        if len(set(values)) > 1:
            notes.append(f"{setting} differs: {', '.join('none' if v is None else str(v) for v in values)}")
    rest = [name for subject in subjects for name in subject.units if name not in swept]
    if rest:
        notes.append(f"left out, since not all runs have them: {', '.join(dict.fromkeys(rest))}")
    return notes
