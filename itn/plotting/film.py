"""Films: images that change step by step beside what the classifier says, as a GIF or WebP."""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from itn.plotting.names import choose_fonts, shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    INK,
    UNCHANGED,
    frame_style,
    headed,
    heading_height,
    picture,
    pixels,
    styled,
)

ENDINGS = (".gif", ".webp")
MADE_BY = b"made by itn animate"
"""Written into each file, so that no other one is replaced."""
DPI = 100
TILE, TEXT = 1.25, 0.38  # inches: width of an image, and height of what is written above it
MOST_IN_ROW = 3


class Tile(NamedTuple):
    """One image in one frame."""

    image: Tensor
    """C x H x W in [0, 1]."""
    title: str
    answer: str
    """The class that is predicted."""
    kept: bool
    """Whether that is what is predicted for the unchanged image."""


class Frame(NamedTuple):
    """What is seen at once."""

    where: str
    """How far the images are changed; empty: each tile says so."""
    tiles: tuple[Tile, ...]
    milliseconds: int
    place: tuple[float, float] | None = None
    """Both entries of k, if there is a path to show."""


class Film(NamedTuple):
    """Frames of equally many tiles of one size."""

    model: str
    what: str
    frames: tuple[Frame, ...]


def write_film(film: Film, path: Path) -> None:
    """Write a film as GIF or WebP, by the ending; it starts again when it has ended."""
    drawn = list(_drawn(film))
    durations = [frame.milliseconds for frame in film.frames]
    first, *others = drawn
    common = {"save_all": True, "append_images": others, "duration": durations, "loop": 0}
    if path.suffix.lower() == ".webp":
        first.save(path, "WEBP", quality=80, method=4, xmp=MADE_BY, **common)
    else:
        palette = _sampled(drawn).quantize(256, Image.Quantize.MEDIANCUT)
        of_colors = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in drawn]
        common["append_images"] = of_colors[1:]
        of_colors[0].save(path, "GIF", comment=MADE_BY, disposal=1, **common)


def is_film(path: Path) -> bool:
    """Return whether ``write_film`` has written a file."""
    try:
        return MADE_BY in path.read_bytes()
    except OSError:
        return False


def _sampled(images: Sequence[Image.Image]) -> Image.Image:
    """Return a few frames side by side, from which the colors of all are chosen."""
    few = [images[round(at)] for at in np.linspace(0, len(images) - 1, min(6, len(images)))]
    width, height = few[0].size
    joined = Image.new("RGB", (width * len(few), height))
    for number, image in enumerate(few):
        joined.paste(image, (number * width, 0))
    return joined


def _drawn(film: Film) -> Iterator[Image.Image]:
    """Yield each frame; the figure is made once."""
    figure, axes, plane = _stage(film)
    canvas = FigureCanvasAgg(figure)
    where = figure.text(
        0.08 / figure.get_figwidth(), 0.07 / figure.get_figheight(), "", color=INK, fontsize=7.5
    )
    dot = None
    if plane is not None:
        path = np.array([frame.place for frame in film.frames if frame.place is not None])
        plane.plot(*path.T, color=BLUE, linewidth=1)
        (dot,) = plane.plot([], [], "o", color=INK, markersize=5, clip_on=False)
    for frame in film.frames:
        where.set_text(frame.where)
        for ax, tile in zip(axes, frame.tiles, strict=True):
            color = UNCHANGED if tile.kept else BROKEN
            ax.images[0].set_data(pixels(tile.image))
            lines = [text for text in (tile.title, f"says {shortened(tile.answer)}") if text]
            ax.set_title("\n".join(lines), color=color, fontsize=7, pad=4)
            for spine in ax.spines.values():
                spine.set(color=color, **frame_style(color) | {"linewidth": 3})
        if dot is not None and frame.place is not None:
            dot.set_data([frame.place[0]], [frame.place[1]])
        choose_fonts(figure)
        canvas.draw()
        yield Image.fromarray(np.asarray(canvas.buffer_rgba()).copy()).convert("RGB")


@styled
def _stage(film: Film) -> tuple[Figure, list[Axes], Axes | None]:
    """Return an empty figure, the axes of its tiles, and those of the path, if there is one."""
    first = film.frames[0]
    count, on_path = len(first.tiles), first.place is not None
    columns = min(count, MOST_IN_ROW)
    rows = math.ceil(count / columns)
    tall = TILE * first.tiles[0].image.shape[-2] / first.tiles[0].image.shape[-1]
    width = max(0.12 + columns * (TILE + 0.14) + (1.7 if on_path else 0), 3.0)
    top = heading_height(width, film.model, film.what)
    height = max(top + rows * (tall + TEXT + 0.06), top + 1.7 if on_path else 0) + (
        0.3 if first.where else 0.1
    )
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = []
    for number, tile in enumerate(first.tiles):
        left = 0.12 + number % columns * (TILE + 0.14)
        above = top + number // columns * (tall + TEXT + 0.06) + TEXT
        place = (left / width, 1 - (above + tall) / height, TILE / width, tall / height)
        axes.append(figure.add_axes(place))
        picture(axes[-1], tile.image, INK)
    plane = None
    if on_path:
        place = ((width - 1.35) / width, 1 - (top + TEXT + 1.05) / height, 1.05 / width, 1.05 / height)
        plane = figure.add_axes(place)
        plane.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 1], yticks=[0, 1])
        plane.set_xlabel("first entry of k", labelpad=-5)
        plane.set_ylabel("second entry", labelpad=-5)
    return headed(figure, film.model, film.what), axes, plane


def image_of(file: bytes) -> Tensor:
    """Return a PNG or JPEG file as C x H x W in [0, 1], of one channel if it is gray."""
    with Image.open(io.BytesIO(file)) as image:
        array = np.asarray(image.convert("RGB" if image.mode != "L" else "L"))
    tensor = torch.from_numpy(array.copy()).float() / 255
    return tensor[None] if tensor.ndim == 2 else tensor.movedim(-1, 0)
