"""A film of a learned family: k goes from 0 to full strength and back, on a closed path."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from itn.functional import Surround
from itn.learning.examples import LearnExamples, Rays, SliderImage
from itn.learning.figures import model_name
from itn.nn import CONTROLS, Composition, InvariantTransformerNet
from itn.plotting.film import Film, Frame, Tile, image_of
from itn.plotting.names import class_label

STEPS = 48  # frames of the path
ASIDE = 0.3  # how far the path leaves the straight line to full strength, on each side
FAST, SLOW, OF_RAYS = 100, 1200, 450  # milliseconds


def learn_film(
    examples: LearnExamples | None,
    family: Callable[[SliderImage], Composition],
    controls: Sequence[str],
    model: str,
) -> Film:
    """Return the film of a run.

    Args:
        examples: The images that the run has left.
        family: From an image to the transformers that were learned for it.
        controls: What each k drives.
        model: Name of the classifier.

    Raises:
        ValueError: If there are no images.
    """
    if examples is None:
        raise ValueError("this run has left no images to animate: learn again with this version of itn")
    if examples.lattice is None:
        assert examples.rays is not None
        return _along_rays(examples.rays, examples.names, controls, model)
    points = torch.tensor(examples.lattice.points)
    images = examples.lattice.images
    transformed = [_transformed(family(image), image) for image in images]
    parts = family(images[0]).parts
    frames = []
    for number, k in enumerate(path := closed_path()):
        nearest = int((points - k[0]).abs().argmin()), int((points - k[1]).abs().argmin())
        tiles = []
        for image, shown in zip(images, transformed, strict=True):
            answer = image.answers[_place(nearest, len(points), len(parts))]
            kept = answer == image.unchanged
            tiles.append(Tile(shown[number], "", class_label(examples.names[answer], answer), kept))
        where = f"k = ({k[0]:.2f}, {k[1]:.2f}) of the {' and the '.join(parts)} part"
        slow = number in (0, len(path) // 2)
        frames.append(Frame(where, tuple(tiles), SLOW if slow else FAST, (k[0], k[1])))
    what = (
        "images while k goes from 0, unchanged, to full strength, (1, 1), and back; answers are those at the "
        "nearest k that was classified; red, dashed: another answer than unchanged"
    )
    return Film(model, what, tuple(frames))


def film_of_nets(examples: LearnExamples | None, nets: Mapping[Any, InvariantTransformerNet]) -> Film:
    """Return the film of nets: of one for all images, by None, or of one for each label."""
    first = next(iter(nets.values()))
    return learn_film(examples, lambda image: nets.get(image.label, first), first.controls, model_name(first))


def closed_path() -> list[tuple[float, float]]:
    """Return values of k on a closed path in the square, from (0, 0) over (1, 1) on one side, and back."""
    path = []
    for number in range(STEPS):
        angle = 2 * math.pi * number / STEPS
        along, aside = (1 - math.cos(angle)) / 2, ASIDE * math.sin(angle)
        first, second = (min(1.0, max(0.0, value)) for value in (along + aside, along - aside))
        path.append((first, second))
    return path


def _place(nearest: tuple[int, int], points: int, parts: int) -> int:
    """Return where an answer stands among those of a lattice, whose last entry of k is the fastest."""
    place = 0
    for index in nearest * parts:
        place = place * points + index
    return place


@torch.inference_mode()
def _transformed(family: Composition, image: SliderImage) -> Tensor:
    """Return an image under each k of the path, for all parts alike, STEPS x C x H x W."""
    stored = image_of(image.picture)[None].expand(STEPS, -1, -1, -1)
    top, left, height, width = image.crop
    surround = None
    if (height, width) != tuple(stored.shape[-2:]):
        surround = Surround(top, left, height, width, torch.tensor([image.box]).expand(STEPS, 4))
    k = torch.tensor(closed_path())
    none = k.new_zeros(1, CONTROLS)
    ks = [k if name in family.parts else none for name in family.controls]
    return family.transform(stored, *ks, surround=surround)


def _along_rays(rays: Rays, names: dict[int, str], controls: Sequence[str], model: str) -> Film:
    """Return the film of pictures that were stored along rays of k, there and back."""
    there_and_back = [*range(len(rays.ts)), *range(len(rays.ts) - 2, 0, -1)]
    frames = []
    for way, (part, ray) in enumerate(rays.ways):
        for number in there_and_back:
            tiles = []
            for image in rays.images:
                answer = image.answers[way][number]
                kept = answer == image.answers[way][0]
                tiles.append(
                    Tile(image_of(image.pictures[way][number]), "", class_label(names[answer], answer), kept)
                )
            k = ", ".join(f"{rays.ts[number] * entry:g}" for entry in ray)
            where = f"{part}: k{list(controls).index(part) + 1} = ({k}), the others 0"
            frames.append(Frame(where, tuple(tiles), OF_RAYS))
    what = "images while one k grows and shrinks again; red, dashed: another answer than unchanged"
    return Film(model, what, tuple(frames))
