"""Images under a learned family, for the report of a run: where predictions change, and what sliders need."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from itn.functional import Surround
from itn.learning.sliders import PartSliders, part_sliders
from itn.models.checked_images import CheckedImages
from itn.nn import CONTROLS, InvariantTransformerNet
from itn.reports.pictures import eight_bits, encoded
from itn.runtime.batching import map_in_memory
from itn.runtime.run_files import EXAMPLES
from itn.screening.examples import RANKS
from itn.screening.flips import find_flips, last_unchanged
from itn.stats import one_per_class
from itn.transforms import Transform

IMAGES = 6
"""That sliders move."""
CANDIDATES = 24
"""Images whose prediction full strength changes, of which some are shown."""
EXAMINED = 2000
"""Images that full strength is tried on, at most."""
BISECTIONS = 4
LATTICE = 1000
"""Most points at which each image is classified beforehand."""
MOST_PIXELS = 400**2
"""Of an image that sliders move, with what is around it: larger ones would make the page too large."""
RAYS = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
RAY_IMAGES, RAY_TS = 4, (0.0, 0.25, 0.5, 0.75, 1.0)
_TS = tuple(n / 8 for n in range(1, 9))
_STRENGTH = Transform("strength", "share of full strength", 0.0, _TS, lambda images, v: images, domain=(0, 1))


@dataclasses.dataclass(frozen=True)
class Moment:
    """An image with all entries of k at t."""

    t: float
    answer: int
    """The predicted class."""
    picture: bytes
    """PNG or JPEG; base64 in JSON."""


@dataclasses.dataclass(frozen=True)
class FamilyFlip:
    """An image whose prediction changes on the way to full strength, and where."""

    rank: str
    image: int
    """Its number among the held-out images."""
    label: int
    moments: tuple[Moment, Moment, Moment]
    """Unchanged; the last t tried at which the prediction was the same; the first one of another."""


@dataclasses.dataclass(frozen=True)
class SliderImage:
    """An image that sliders move."""

    picture: bytes
    """PNG, every pixel as it is; of a photograph with what is known around the crop."""
    size: tuple[int, int, int]
    """Channels, height and width."""
    crop: tuple[int, int, int, int]
    """Top, left, height and width."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom edge of the photograph."""
    family: int
    label: int
    unchanged: int
    """Predicted without a transformation."""
    answers: tuple[int, ...]
    """Predicted at each point of the lattice, the last entry of k fastest."""


@dataclasses.dataclass(frozen=True)
class Lattice:
    """What sliders of all entries of k need."""

    points: tuple[float, ...]
    """Values of each entry at which images were classified."""
    families: tuple[tuple[PartSliders, ...], ...]
    images: tuple[SliderImage, ...]


@dataclasses.dataclass(frozen=True)
class RayImage:
    """An image along rays of k: of each ray, a picture and an answer at each t."""

    pictures: tuple[tuple[bytes, ...], ...]
    answers: tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Rays:
    """What a slider along rays needs, for transformers that the browser cannot compute."""

    ways: tuple[tuple[str, tuple[float, float]], ...]
    """Which part, and the direction of its k; the others are at 0."""
    ts: tuple[float, ...]
    images: tuple[RayImage, ...]


@dataclasses.dataclass(frozen=True)
class LearnExamples:
    """Images under what a run has learned: the content of examples.json."""

    names: dict[int, str]
    """Of the classes that occur here."""
    examined: int
    """How many held-out images full strength was tried on."""
    changed: int
    """How many of them, right unchanged, it changes the prediction of."""
    flips: tuple[FamilyFlip, ...]
    lattice: Lattice | None
    rays: Rays | None


class Shown:
    """Held-out images under one net, each rounded to the 8 bits of a picture."""

    def __init__(self, net: InvariantTransformerNet, data: CheckedImages, batch_size: int) -> None:
        self.net, self.data, self.batch_size = net, data, batch_size
        self.controls = CONTROLS * len(net.parts)

    def transformed(self, index: Tensor, k: Tensor) -> Tensor:
        """Return images at an index, B, under controls of all parts one after another, B x controls."""
        device = next(self.net.parameters()).device
        pixels, surround = self.data.stored
        canvases = eight_bits(pixels[index.to(pixels.device)]).to(device)
        if surround is not None:
            surround = surround.part(index.to(surround.boxes.device)).to(device)
        of_parts = dict(zip(self.net.parts, k.to(device).split(CONTROLS, 1), strict=True))
        none = k.new_zeros(1, CONTROLS).to(device)
        ks = [of_parts.get(name, none) for name in self.net.controls]
        return self.net.transform(canvases, *ks, surround=surround)

    @torch.inference_mode()
    def answers(self, index: Tensor, k: Tensor) -> Tensor:
        """Return the predictions, B, on the CPU."""

        def of_batch(rows: slice) -> Tensor:
            transformed = self.transformed(index[rows], k[rows])
            return self.net.classifier(transformed).argmax(1).cpu()

        batches, _ = map_in_memory(len(index), self.batch_size, of_batch)
        return torch.cat(batches)

    @torch.inference_mode()
    def picture(self, number: int, k: Tensor) -> bytes:
        """Return one image as a file."""
        return encoded(self.transformed(torch.tensor([number]), k[None])[0])

    def uniform(self, index: Tensor, t: Tensor) -> Tensor:
        """Return predictions, B, with all entries of k at t, (1,) or (B,)."""
        return self.answers(index, t.float().expand(len(index))[:, None].expand(-1, self.controls))


def learn_examples(
    groups: Sequence[tuple[InvariantTransformerNet, CheckedImages]],
    class_name: Callable[[int], str],
    numbers: Sequence[Tensor],
    batch_size: int,
) -> LearnExamples:
    """Return examples of a run.

    Args:
        groups: Each family with its held-out images: one for all of them, or one for each class.
        class_name: From a class index to its name.
        numbers: Of the images of each group, their numbers among all held-out images.
        batch_size: Images in a forward pass.
    """
    shown = [Shown(net, data, batch_size) for net, data in groups]
    examined, changed = 0, 0
    flips: list[_Flip] = []
    for group, of_images in zip(shown, numbers, strict=True):
        n, count, found = _flips(group, of_images, EXAMINED // len(shown), max(1, CANDIDATES // len(shown)))
        examined, changed, flips = examined + n, changed + count, flips + found
    ranked = _ranked(flips)
    chosen = _chosen(shown, [(flip.group, flip.row) for _, flip in ranked])
    lattice, rays = _lattice(shown, chosen), None
    if lattice is None:
        rays = _rays(shown, chosen[:RAY_IMAGES])
    examples = tuple(FamilyFlip(rank, flip.image, flip.label, flip.moments) for rank, flip in ranked)
    used = {flip.label for flip in examples} | {m.answer for flip in examples for m in flip.moments}
    if lattice is not None:
        used |= {k for image in lattice.images for k in (image.label, image.unchanged, *image.answers)}
    if rays is not None:
        used |= {k for image in rays.images for way in image.answers for k in way}
    names = {index: class_name(index) for index in sorted(used)}
    return LearnExamples(names, examined, changed, examples, lattice, rays)


def read_examples(folder: Path) -> LearnExamples | None:
    """Return the examples of a finished run; None if it has left none that can be read."""
    try:
        return msgspec.convert(json.loads((folder / EXAMPLES).read_text()), LearnExamples, strict=False)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


@dataclasses.dataclass(frozen=True)
class _Flip:
    group: Shown
    row: int
    """Of the image in the group."""
    image: int
    label: int
    moments: tuple[Moment, Moment, Moment]


def _flips(group: Shown, numbers: Tensor, most: int, candidates: int) -> tuple[int, int, list[_Flip]]:
    """Return how many images were tried, how many change at full strength, and where some of these do."""
    n = len(group.data)
    index = torch.linspace(0, n - 1, max(1, min(most, n))).long()
    clean, full = (group.uniform(index, torch.tensor([t])) for t in (0.0, 1.0))
    right = clean == group.data.labels[index].cpu()
    changing = ((clean != full) & right).nonzero().flatten()
    few = (
        changing[torch.linspace(0, len(changing) - 1, candidates).long().unique()]
        if len(changing)
        else changing
    )
    rows, clean = index[few], clean[few]
    if not len(rows):
        return len(index), 0, []
    found = find_flips(lambda i, t: group.uniform(rows[i], t), clean, _STRENGTH, _TS, BISECTIONS)
    flips = []
    for number, row in enumerate(rows.tolist()):
        first = found.magnitude[number].item()
        ts = (0.0, last_unchanged(_STRENGTH, _TS, first, BISECTIONS), first)
        answers = group.uniform(rows[number].expand(3), torch.tensor(ts)).tolist()
        if answers[0] == answers[1] != answers[2]:  # rounding may decide otherwise than among others
            pictures = [group.picture(row, torch.full((group.controls,), t)) for t in ts]
            moments = [Moment(*each) for each in zip(ts, answers, pictures, strict=True)]
            label = int(group.data.labels[row])
            flips.append(_Flip(group, row, int(numbers[row]), label, (moments[0], moments[1], moments[2])))
    return len(index), len(changing), flips


def _ranked(flips: Sequence[_Flip]) -> list[tuple[str, _Flip]]:
    """Return the first one, the middle one and the last one of those that change."""
    order = sorted(flips, key=lambda flip: (flip.moments[2].t, flip.image))
    places = {RANKS[0]: 0, RANKS[1]: len(order) // 2, RANKS[2]: len(order) - 1}
    ranked: dict[int, tuple[str, _Flip]] = {}
    for rank, place in places.items() if order else ():
        ranked.setdefault(place, (rank, order[place]))
    return [ranked[place] for place in sorted(ranked)]


def _chosen(shown: Sequence[Shown], first: Sequence[tuple[Shown, int]]) -> list[tuple[Shown, int]]:
    """Return the images that sliders move: those given, then one of each class, until there are enough."""
    if len(shown) > 1:
        step = -(-len(shown) // IMAGES)
        return [(group, 0) for group in shown[::step]]
    others = [(shown[0], row) for row in one_per_class(shown[0].data.labels.cpu(), 2 * IMAGES).tolist()]
    labels = {int(group.data.labels[row]) for group, row in first}
    new = [(group, row) for group, row in others if int(group.data.labels[row]) not in labels]
    return [*first, *new, *[other for other in others if other not in (*first, *new)]][:IMAGES]


def _lattice(shown: Sequence[Shown], chosen: Sequence[tuple[Shown, int]]) -> Lattice | None:
    """Return what sliders need; None if the browser cannot compute what the transformers do."""
    groups = list(dict.fromkeys(group for group, _ in chosen))
    families = [part_sliders(group.net, group.data.images.shape) for group in groups]
    channels = shown[0].data.images.shape[1]
    points = max((n for n in (2, 3, 5, 9, 17) if n ** shown[0].controls <= LATTICE), default=0)
    height, width = _size(shown[0].data.stored[0])
    if not all(families) or channels not in (1, 3) or not points or height * width > MOST_PIXELS:
        return None
    values = torch.linspace(0, 1, points)
    k = torch.cartesian_prod(*[values] * shown[0].controls)
    images = []
    for group, row in chosen:
        pixels, surround = group.data.stored
        picture = encoded(pixels[row], exact=True)
        answers = group.answers(torch.full((len(k),), row), k)
        images.append(
            SliderImage(
                picture,
                (channels, *_size(pixels)),
                *_place(pixels, surround, row),
                groups.index(group),
                int(group.data.labels[row]),
                int(answers[0]),
                tuple(answers.tolist()),
            )
        )
    return Lattice(tuple(values.tolist()), tuple(map(tuple, families)), tuple(images))


def _place(
    pixels: Tensor, surround: Surround | None, row: int
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Return where the crop lies in an image, and where the photograph ends."""
    height, width = _size(pixels)
    if surround is None:
        return (0, 0, height, width), (0, 0, width, height)
    left, top, right, bottom = surround.boxes[row].tolist()
    return (surround.top, surround.left, *surround.size), (left, top, right, bottom)


def _size(pixels: Tensor) -> tuple[int, int]:
    height, width = pixels.shape[-2:]
    return height, width


def _rays(shown: Sequence[Shown], chosen: Sequence[tuple[Shown, int]]) -> Rays:
    """Return pictures and answers along the rays of the k of each part."""
    parts = shown[0].net.parts
    ways = [(number, ray) for number, part in enumerate(parts) for ray in _rays_of(shown[0], part)]
    images = []
    for group, row in chosen:
        pictures, answers = [], []
        for number, ray in ways:
            k = torch.zeros(len(RAY_TS), group.controls)
            k[:, CONTROLS * number : CONTROLS * (number + 1)] = torch.outer(
                torch.tensor(RAY_TS), torch.tensor(ray)
            )
            pictures.append(tuple(group.picture(row, of_t) for of_t in k))
            answers.append(tuple(group.answers(torch.full((len(k),), row), k).tolist()))
        images.append(RayImage(tuple(pictures), tuple(answers)))
    return Rays(tuple((parts[number], ray) for number, ray in ways), RAY_TS, tuple(images))


def _rays_of(shown: Shown, part: str) -> Sequence[tuple[float, float]]:
    """Return the rays along which a part is shown; with one parameter, (1, 1) leads nowhere else."""
    return RAYS[:2] if shown.net.part(part).single else RAYS


def examples_json(examples: LearnExamples) -> Mapping[str, object]:
    """Return the content of examples.json."""
    content: dict[str, object] = msgspec.to_builtins(examples, str_keys=True)
    return content
