"""Common to all figures: size, fonts, colors, heading, saving, rows of images."""

import functools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from itn.functional import unit_float
from itn.plotting.names import choose_fonts, name_width, shortened
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import FORMATS
from itn.runtime.validation import user_path

Figures = Mapping[str, Figure]  # by file name

COLUMN, WIDTH = 3.4, 7.0  # inches: a column of a paper, and both with the gap between them
DPI = 200
BLUE, RED, GREEN, PURPLE, CYAN, YELLOW = "#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44"
MANY = (  # of ten lines, for all kinds of color vision (Paul Tol's "muted")
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777"),
)
ORANGE, GRAY, INK = "#ee7733", "#777777", "#222222"
STYLE: Any = {  # settings of matplotlib; sizes in points
    "font.size": 7.5,
    "figure.titlesize": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.3,
    "axes.prop_cycle": cycler(color=(BLUE, ORANGE, GREEN, PURPLE, CYAN, YELLOW, RED, GRAY)),
    "pdf.fonttype": 42,  # letters that can be searched and edited
}
LINE = 1.25 * STYLE["figure.titlesize"] / 72  # inches: a line of a heading
SHARE = 0.94  # of the width of a column of a strip that an image takes
UNCHANGED, BROKEN = "#1b7837", "#b2182b"  # colors of unchanged and of broken predictions
DASHES = (0, (2.5, 1.2))  # of frames of broken predictions: red is not all that tells them apart
MOST_NAME = 30  # letters of the name of a model

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw with the settings that all figures share."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def headed(figure: Figure, model: str, text: str) -> Figure:
    """Write what a figure is about in its upper left corner: the name of the model, then the text.

    A layout engine leaves room for it; where there is none, ``heading_height`` is to be left.
    """
    width, height = figure.get_size_inches()
    at: dict[str, Any] = (
        {} if figure.get_layout_engine() is not None else {"y": 1 - 0.05 / height, "va": "top"}
    )
    text = heading(width, model, text)
    figure.suptitle(text, x=0.06 / width, ha="left", fontsize=STYLE["figure.titlesize"], **at)
    return figure


def named(figure: Figure, model: str) -> Figure:
    """Write the name of a model before what is written above a figure that has been drawn without it."""
    return headed(figure, model, " ".join(figure.get_suptitle().split()) or "steps of learning")


def heading(width: float, model: str, text: str) -> str:
    """Return a heading in lines that fit into a width in inches."""
    letters = round(72 * width / (0.56 * STYLE["figure.titlesize"]))
    text = text.replace(" %", "\xa0%")  # a number and its unit stay on one line
    name = shortened(model, MOST_NAME)
    stand_in = "x" * math.ceil(name_width(name))  # stays in one piece, and counts what it takes
    whole = f"{stand_in}: {text}" if name else text
    return (
        textwrap.fill(whole, letters, break_on_hyphens=False).replace(stand_in, name, 1).replace("\xa0", " ")
    )


def heading_height(width: float, model: str, text: str) -> float:
    """Return how high a heading is, with the gap below, in inches."""
    return 0.1 + LINE * (1 + heading(width, model, text).count("\n"))


def write_figures(folder: RunFolder, figures: Mapping[str, Figure]) -> None:
    """Save figures in the folder of a run, under the names of their files and in its format."""
    for name, figure in figures.items():
        folder.write(f"figures/{name}.{folder.figure_format}", partial(save, figure))


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure for print: as PDF, SVG or PNG, by the ending; equal figures make equal files.

    Raises:
        ValueError: If the ending is another one.
    """
    target = user_path(path)
    kind = target.suffix[1:].lower()
    if kind not in FORMATS:
        raise ValueError(f"a figure ends in .{', .'.join(FORMATS)}, got {target}")
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.set_dpi(DPI)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "itn"}):
        prepared(figure).savefig(target, dpi=DPI, metadata=undated[kind])


def prepared(figure: Figure) -> Figure:
    """Return a figure with its fonts and its layout settled, so that equal figures make equal files."""
    choose_fonts(figure)
    _fix_layout(figure)
    return figure


def _fix_layout(figure: Figure) -> None:
    """Compute the layout of a figure once, and round its positions.

    Matplotlib's solver sums in the order of its variables in memory, so that the last bits of positions
    differ from one drawing to the next, and sometimes a pixel at the edge of a letter with them.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position(tuple(np.round(ax.get_position(original=True).bounds, 6)))
    areas: list[FigureBase] = [figure]
    for area in areas:
        areas += area.subfigs
        if isinstance(area, SubFigure):
            area.bbox_relative.set_points(np.round(area.bbox_relative.get_points(), 6))
        for text in area.texts:
            text.set_position(tuple(np.round(text.get_position(), 6)))


def picture(ax: Axes, image: Tensor, frame: str) -> None:
    """Show an image, C x H x W in [0, 1], in a colored frame."""
    ax.imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=frame, visible=True, **frame_style(frame))


def frame_style(color: str) -> dict[str, Any]:
    """Return how a frame of a color is drawn: of broken predictions dashed."""
    return {"linewidth": 1.7, "linestyle": DASHES} if color == BROKEN else {"linewidth": 1.2}


def pixels(image: Tensor) -> NDArray[np.float32]:
    """Return an image, C x H x W, as an array for matplotlib: H x W x 3, or H x W."""
    array = image.movedim(0, -1).cpu().float().numpy()
    # Images that are neither gray nor RGB are shown by their first channel
    return array if array.shape[-1] == 3 else array[..., 0]


def titled(
    area: FigureBase,
    images: Tensor,
    titles: Sequence[Sequence[str]],
    colors: Sequence[Sequence[str]],
    size: float = 7,
) -> NDArray[np.object_]:
    """Draw images, R x T x C x H x W, with titles of a font size; return their axes, R x T."""
    axes = area.subplots(*images.shape[:2], squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.02})
    for (row, column), ax in np.ndenumerate(axes):
        picture(ax, images[row, column], colors[row][column])
        ax.set_title(titles[row][column], fontsize=size, pad=1.5, color=colors[row][column])
    return axes


def strip(
    area: FigureBase,
    images: Tensor,
    titles: Sequence[Sequence[str]],
    colors: Sequence[Sequence[str]],
    size: float,
    cell: float,
) -> Axes:
    """Draw images as ``titled`` does, in one pair of axes for all, which takes less time; return it.

    Column number n is at x = n, and about ``cell`` inches wide.
    """
    rows, columns, _, height, width = images.shape
    tall, down = SHARE * height / width, strip_row(cell, images, size) / cell
    ax = area.subplots()
    for row, column in np.ndindex(rows, columns):
        left, top, color = column - SHARE / 2, row * down, colors[row][column]
        extent = (left, left + SHARE, top + tall, top)
        ax.imshow(pixels(images[row, column]), cmap="gray", vmin=0, vmax=1, extent=extent)
        style = frame_style(color)
        ax.add_patch(Rectangle((left, top), SHARE, tall, fill=False, edgecolor=color, clip_on=False, **style))
        ax.annotate(
            titles[row][column],
            (column, top),
            xytext=(0, 1.5),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize=size,
            color=color,
        )
    ax.set(xlim=(-0.5, columns - 0.5), ylim=((rows - 1) * down + tall, tall - down), xticks=range(columns))
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize=7, pad=2)
    ax.spines[:].set_visible(False)
    return ax


def strip_row(cell: float, images: Tensor, size: float) -> float:
    """Return how high a row of a strip is, an image and its title, in inches."""
    height, width = images.shape[-2:]
    return SHARE * cell * height / width + 1.5 * size / 72


@styled
def image_rows(
    images: Tensor, titles: Sequence[Sequence[str]], colors: Sequence[Sequence[str]] | None = None
) -> Figure:
    """Draw rows of images with a title above each, such as rotated digits with their predicted classes.

    Args:
        images: R x T x C x H x W, uint8 or float in [0, 1].
        titles: R rows of T titles, of one line or more.
        colors: R rows of T colors of frames and titles, such as ``UNCHANGED`` and ``BROKEN``; default black.

    Raises:
        ValueError: If the images have another shape, or titles or colors another number.
    """
    if images.ndim != 5 or 0 in images.shape:
        raise ValueError(f"images must be R x T x C x H x W, with no size 0, got {tuple(images.shape)}")
    rows, columns, _, height, width = images.shape
    colors = [["black"] * columns] * rows if colors is None else colors
    for name, table in (("titles", titles), ("colors", colors)):
        if [len(row) for row in table] != [columns] * rows:
            raise ValueError(
                f"{name} must be {rows} rows of {columns}, one per image, got rows of "
                f"{[len(row) for row in table]}"
            )
    lines = 1 + max(title.count("\n") for row in titles for title in row)
    cell = min(WIDTH / columns, 1.2)
    total_height = rows * (0.93 * cell * height / width + 0.13 * lines + 0.06) + 0.08
    figure = Figure(figsize=(cell * columns, total_height), layout="constrained")
    titled(figure, unit_float(images), titles, colors)
    return figure
