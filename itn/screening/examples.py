"""Images at the point where their prediction changes, for the report of a screen."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from itn.reports.pictures import encoded
from itn.screening.criteria import is_right
from itn.screening.flips import last_unchanged
from itn.screening.passes import Screener, unchanged
from itn.screening.sweep import Samples, Sweep
from itn.screening.thresholds import paths

TRIES = 5
RANKS = ("changes first", "in the middle of those that change", "changes last of these")


@dataclasses.dataclass(frozen=True)
class Moment:
    """An image at one magnitude."""

    magnitude: float
    answer: str
    """The predicted class."""
    picture: bytes
    """PNG or JPEG; base64 in JSON."""


@dataclasses.dataclass(frozen=True)
class FlipExample:
    """An image whose prediction changes, and where."""

    transform: str
    rank: str
    """Among the images whose prediction changes: first, the middle one, last."""
    image: str
    """Its name in flips.csv."""
    class_: str
    moments: tuple[Moment, Moment, Moment]
    """Unchanged; the last magnitude tried at which the prediction was the same; the first one of another."""


@torch.inference_mode()
def flip_examples(screener: Screener, sweep: Sweep, samples: Samples) -> tuple[FlipExample, ...]:
    """Return up to three images whose prediction changes: the first, the middle one, the last.

    They are right unchanged, if there are such, and are classified again here: where rounding decides, the
    next image is taken.
    """
    order = _order(sweep, samples)
    found: list[FlipExample] = []
    for rank, candidates in zip(RANKS, _candidates(order), strict=True):
        for number, side in candidates:
            example = _example(screener, sweep, samples, number, side, rank)
            if example is not None and example.image not in {other.image for other in found}:
                found.append(example)
                break
    return tuple(found)


def _order(sweep: Sweep, samples: Samples) -> list[tuple[int, str]]:
    """Return images, the first to change first, with the side of the identity on which they do."""
    right = is_right(sweep.clean, samples.labels)
    nearest: dict[int, tuple[float, str]] = {}
    for side, flips in sweep.flips.items():
        for number in np.flatnonzero(flips.flipped.numpy() & (right | ~right.any())).tolist():
            distance = sweep.transform.distance(flips.magnitude[number].item())
            if number not in nearest or distance < nearest[number][0]:
                nearest[number] = distance, side
    return [(number, nearest[number][1]) for number in sorted(nearest, key=lambda n: (nearest[n][0], n))]


def _candidates(order: Sequence[tuple[int, str]]) -> Iterator[Sequence[tuple[int, str]]]:
    """Yield, for each rank, the images to try."""
    yield order[:TRIES]
    yield order[len(order) // 2 :][:TRIES]
    yield order[::-1][:TRIES]


def _example(
    screener: Screener, sweep: Sweep, samples: Samples, number: int, side: str, rank: str
) -> FlipExample | None:
    """Return an image as an example; None if it does not change where it did among others."""
    transform, index = sweep.transform, torch.tensor([number])
    path = paths(transform, sweep.magnitudes)[side]
    first = sweep.flips[side].magnitude[number].item()
    last = last_unchanged(transform, path, first, screener.config.bisections)
    moments = []
    for v in (transform.identity, last, first):
        change = unchanged if v == transform.identity else screener.at(transform, v)
        output = screener.output(change, index)
        answer = int(output.logits.argmax(1))
        moments.append((answer, Moment(v, samples.outputs[answer], encoded(output.changed[0]))))
    answers, shown = zip(*moments, strict=True)
    if answers[0] != answers[1] or answers[1] == answers[2]:
        return None
    class_ = samples.classes[int(samples.labels[number])]
    return FlipExample(transform.name, rank, samples.names[number], class_, shown)
