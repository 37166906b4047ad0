"""A film of a screen: images are changed until their prediction changes."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from itn.plotting.film import Film, Frame, Tile, image_of
from itn.screening.examples import FlipExample
from itn.screening.records import ScreenRecord
from itn.screening.summary import breaking_order, unit_text
from itn.transforms import TRANSFORMS, Transform

if TYPE_CHECKING:
    from itn.screening.result import ScreenResult

STEPS = 24  # frames from no change to the last change
FAST, SLOW = 120, 1500  # milliseconds


def screen_film(result: "ScreenResult", name: str | None) -> Film:
    """Return the film of one transformation.

    Between its unchanged picture and the one that changes the prediction an image is changed again, if its
    picture is all that is needed for that; otherwise only what was stored is shown.

    Args:
        result: The screen.
        name: Of the transformation; None: the first to break the classifier that images were kept of.

    Raises:
        ValueError: If no image was kept of the transformation.
    """
    record = result.record
    kept = list(dict.fromkeys(example.transform for example in result.examples))
    order = [known for known, _ in breaking_order(record) if known in kept]
    name = name or next(iter(order), None)
    examples = [example for example in result.examples if example.transform == name]
    if name is None or not examples:
        cure = f"give one of {', '.join(order)}" if order else "screen again with this version of itn"
        raise ValueError(f"no image is kept whose prediction changes under {name or 'anything'}: {cure}")
    again = _transform(result, name, examples)
    strips = [_strip(example, again, record) for example in examples]
    count = max(map(len, strips))
    frames = []
    for number in range(count):
        tiles = tuple(strip[min(number, len(strip) - 1)] for strip in strips)
        changing = any(
            number < len(strip) and strip[number].kept != strip[number - 1].kept for strip in strips
        )
        pause = number in (0, count - 1) or changing or again is None
        frames.append(Frame("", tiles, SLOW if pause else FAST))
    unit = unit_text(name, record.transforms[name].unit)
    ranks = ", ".join(dict.fromkeys(example.rank for example in examples))
    what = f"{name} ({unit}) until the prediction changes; images: {ranks}"
    return Film(record.model, what, tuple(frames))


def _transform(result: "ScreenResult", name: str, examples: list[FlipExample]) -> Transform | None:
    """Return a transformation that changes the stored pictures as it did the images; None if none does."""
    transform = TRANSFORMS.get(name)
    described = result.settings.get("transforms", {}).get(name)
    if transform is None or transform.random or transform.discrete or transform.describe() != described:
        return None
    if transform.spatial and result.record.surround is not None:
        return None  # the surround was not stored
    shape = tuple(result.settings.get("images", {}).get("shape", ())[-2:])
    whole = all(image_of(e.moments[0].picture).shape[-2:] == shape for e in examples)
    return transform if whole else None


def _strip(example: FlipExample, transform: Transform | None, record: ScreenRecord) -> list[Tile]:
    """Return one image from no change to the first change of its prediction."""
    unchanged, last, first = example.moments
    tiles = [_tile(example, unchanged.magnitude, image_of(unchanged.picture), unchanged.answer)]
    if transform is not None:
        side = "above" if first.magnitude > transform.identity else "below"
        end = transform.distance(last.magnitude)
        for share in torch.linspace(0, 1, STEPS)[1:-1].tolist():
            v = transform.at_distance(share * end, side)
            images = image_of(unchanged.picture)[None]
            changed = transform(images, v, padding=record.padding, interpolation=record.interpolation)
            tiles.append(_tile(example, v, changed[0], unchanged.answer))
    tiles.append(_tile(example, last.magnitude, image_of(last.picture), last.answer))
    tiles.append(_tile(example, first.magnitude, image_of(first.picture), first.answer))
    return tiles


def _tile(example: FlipExample, magnitude: float, image: Tensor, answer: str) -> Tile:
    return Tile(image, f"{magnitude:.3g}", answer, answer == example.moments[0].answer)
