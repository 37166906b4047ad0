"""What all figures share; networks and their training to figures. Functions return a Figure, show nothing."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from itn.functional.color import unit_float

Figures = Mapping[str, Figure]  # by the names of their files

WIDTH = 7.0  # inches: a page of text
DPI = 200
HOLDS, BROKEN = "#1b7837", "#b2182b"
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44")
_DOTS = (":", "-.", (0, (1, 4)))

# Inches. Margins by hand: the tiles are of a fixed shape, and axes are to end where they do
LEFT, RIGHT, TOP, BOTTOM = 0.7, 0.8, 0.3, 0.4
ROOM = WIDTH - LEFT - RIGHT
TALL = 5.0
NARROW = 4.5  # room for a title
GAP = 0.36  # between blocks of kernels
LARGEST_TILE, LARGEST_KERNEL = 0.9, 0.3
A_LINE = 10  # maps of a layer in a line, where several layers are shown
_TITLE: dict[str, Any] = {"fontsize": 8, "pad": 3, "loc": "left"}


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG at print resolution; equal figures make equal files."""
    figure.set_dpi(DPI)
    _settle(figure)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _settle(figure: Figure) -> None:
    """Lay a figure out for good, in rounded numbers.

    Matplotlib's solver adds in the order in which its variables happen to lie in memory, so that the last
    bits of positions differ from one drawing to the next, and with them now and then the edge of a letter.
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
    """Show an image, C x H x W in [0, 1], in a frame of a colour."""
    ax.imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=frame, linewidth=1.2)


def pixels(image: Tensor) -> NDArray[np.float32]:
    """Return an image, C x H x W, as what matplotlib shows: H x W x 3, or H x W."""
    array = image.movedim(0, -1).cpu().float().numpy()
    # Neither gray nor RGB has no natural look: its first channel is shown
    return array if array.shape[-1] == 3 else array[..., 0]


def literal(name: str) -> str:
    """Return a name as matplotlib draws it as it stands: no formula, nothing that is not Unicode."""
    return name.encode(errors="backslashreplace").decode().replace("$", r"\$")


def titled(
    area: FigureBase, images: Tensor, titles: Sequence[Sequence[str]], colours: Sequence[Sequence[str]]
) -> NDArray[np.object_]:
    """Draw images, R x T x C x H x W, with titles; return their axes, R x T."""
    axes = area.subplots(*images.shape[:2], squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.02})
    for (row, column), ax in np.ndenumerate(axes):
        picture(ax, images[row, column], colours[row][column])
        ax.set_title(titles[row][column], fontsize=7, pad=1.5, color=colours[row][column])
    return axes


def image_rows(
    images: Tensor, titles: Sequence[Sequence[str]], colours: Sequence[Sequence[str]] | None = None
) -> Figure:
    """Draw rows of images with a title above each, such as turned digits with their predicted classes.

    Args:
        images: R x T x C x H x W, uint8 or float in [0, 1].
        titles: R rows of T titles, of one line or of several.
        colours: R rows of T colours of frames and titles, such as ``HOLDS`` and ``BROKEN``; default black.

    Raises:
        ValueError: If the images have another shape, or titles or colours are not as many.
    """
    if images.ndim != 5 or 0 in images.shape:
        raise ValueError(f"images must be R x T x C x H x W, none of them 0, got {tuple(images.shape)}")
    rows, columns, _, height, width = images.shape
    colours = [["black"] * columns] * rows if colours is None else colours
    for name, table in (("titles", titles), ("colours", colours)):
        if [len(row) for row in table] != [columns] * rows:
            raise ValueError(
                f"{name} must be {rows} rows of {columns}, one per image, got rows of "
                f"{[len(row) for row in table]}"
            )
    lines = 1 + max(title.count("\n") for row in titles for title in row)
    cell = min(WIDTH / columns, 1.2)
    tall = rows * (0.93 * cell * height / width + 0.13 * lines + 0.06) + 0.08
    figure = Figure(figsize=(cell * columns, tall), layout="constrained")
    titled(figure, unit_float(images), titles, colours)
    return figure


def training_curves(
    histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    *,
    lines: Mapping[str, float] | None = None,
) -> Figure:
    """Draw loss and accuracy on training (dashed) and test images (solid) over epochs, of several runs.

    Each line is the mean of the runs of a variant, each band reaches from the lowest to the highest run.
    The axis of accuracy begins at the lowest value after the first epoch.

    Args:
        histories: For each variant its runs, such as one for each seed, and for each run its epochs with
            ``train_loss``, ``train_accuracy``, ``test_loss`` and ``test_accuracy``; accuracies are
            fractions of images.
        lines: Losses to draw a horizontal line at, by name, such as the least one possible.

    Raises:
        ValueError: If there is no variant, or runs of one variant have not all the same epochs.
    """
    if not histories:
        raise ValueError("histories must hold at least one variant, got none")
    for variant, runs in histories.items():
        epochs = [len(run) for run in runs]
        if len(set(epochs)) != 1 or not epochs[0]:
            raise ValueError(f"runs of {variant!r} must have equally many epochs, at least 1, got {epochs}")
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    legend = []
    later = []  # accuracies after the first epoch
    for (variant, runs), colour in zip(histories.items(), cycle(_COLOURS), strict=False):
        legend.append(Line2D([], [], color=colour, label=variant))
        for part, dashes in (("train", "--"), ("test", "-")):
            for ax, what, unit in ((left, "loss", 1), (right, "accuracy", 100)):
                values = [[unit * epoch[f"{part}_{what}"] for epoch in run] for run in runs]
                _runs(ax, np.array(values), colour, dashes, f"{variant}, {part}")
            later += [value for run in values for value in run[1:] or run]
    legend += [
        Line2D([], [], color="black", linestyle="--", label="training"),
        Line2D([], [], color="black", linestyle="-", label="test"),
    ]
    for (name, loss), dots in zip((lines or {}).items(), cycle(_DOTS), strict=False):
        legend.append(left.axhline(loss, color="0.3", linewidth=1, linestyle=dots, label=name))
    margin = 0.05 * (max(later) - min(later)) or 1.0
    right.set_ylim(min(later) - margin, max(later) + margin)
    left.set_ylabel("loss")
    right.set_ylabel("accuracy (%)")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    counts = sorted({len(runs) for runs in histories.values()})
    note = f" (mean and range of {' or '.join(map(str, counts))} runs)" if counts[-1] > 1 else ""
    figure.supxlabel(f"epoch{note}", fontsize=10)
    columns = len(legend) if len(legend) < 5 else min(4, -(-len(legend) // 2))
    figure.legend(handles=legend, loc="outside upper center", ncols=columns, fontsize=8, frameon=False)
    return figure


def _runs(ax: Axes, values: NDArray[np.float64], colour: str, dashes: str, label: str) -> None:
    """Draw the mean over runs, with their range if they are several; values are runs x epochs."""
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        ax.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    dot = "o" if len(epochs) == 1 else None  # a line through one point is nothing
    ax.plot(epochs, values.mean(0), dashes, color=colour, linewidth=1.3, marker=dot, label=label)


def kernels(weight: Tensor, most: int = 128, title: str = "") -> Figure:
    """Draw the kernels of a convolution in one scale of color, symmetric about 0.

    One input channel: a grid of kernels, to be read row by row. Several: a table whose rows are output
    channels and whose columns are input channels, folded into blocks side by side where it is long.

    Args:
        weight: O x I x h x w, as in ``nn.Conv2d``.
        most: The first so many output channels and input channels are drawn; at least 1.
        title: Stands above, with a note if not all are drawn.

    Raises:
        ValueError: If the weight is not that of a two-dimensional convolution, or none of it is to be drawn.
    """
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"weight must be O x I x h x w, as of nn.Conv2d, got shape {tuple(weight.shape)}")
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    drawn = weight.detach()[:most, :most].cpu().float()
    limit = drawn.abs().max().item() or 1.0
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "line": "0.4"}
    (outputs, inputs), (of_outputs, of_inputs) = drawn.shape[:2], weight.shape[:2]
    channels = (("output", outputs, of_outputs), ("input", inputs, of_inputs))
    left_out = [f"{n} of {total} {name} channels" for name, n, total in channels if n < total]
    title += f" ({', '.join(left_out)})" if left_out else ""
    if of_inputs == 1:
        return _grid(drawn[:, 0], title, "output channel", "weight", **look)
    shape = drawn.shape[2] / drawn.shape[3]
    blocks, cell = _fold(outputs, inputs, shape)
    tables = drawn.split(-(-outputs // blocks))
    height = len(tables[0]) * cell * shape
    figure = _figure(LEFT + len(tables) * (inputs * cell + GAP) - GAP + RIGHT, height + BOTTOM, title)
    for number, table in enumerate(tables):
        left = LEFT + number * (inputs * cell + GAP)
        ax = _axes(figure, left, TOP, inputs * cell, len(table) * cell * shape)
        image = _mosaic(ax, table.flatten(0, 1), inputs, **look)
        first = number * len(tables[0])
        _number(ax.xaxis, [str(n) for n in range(inputs)], drawn.shape[3], cell, 0.2)
        numbers = [str(n) for n in range(first, first + len(table))]
        _number(ax.yaxis, numbers, drawn.shape[2], cell * shape, 0.12)
        ax.set_xlabel("input channel", fontsize=8)
        if not number:
            ax.set_ylabel("output channel", fontsize=8)
    _bar(figure, image, left + inputs * cell, TOP, min(height, 2.5), "weight")
    return figure


def feature_maps(maps: Tensor, title: str = "") -> Figure:
    """Draw what the channels of a layer make of one image, in one scale, to be read row by row.

    Args:
        maps: C x H x W, such as ``itn.layer_outputs(net, images)["conv1"][0]``.
        title: Stands above.

    Raises:
        ValueError: If the maps are not of that shape.
    """
    return _grid(_checked(maps, "maps"), title, "channel", "activation", cmap="viridis", line="white")


def feature_map_layers(image: Tensor, layers: Mapping[str, Tensor], most: int = 20) -> Figure:
    """Draw an image and, layer by layer, what the first channels make of it, each layer in its own scale.

    Args:
        image: C x H x W, uint8 or float in [0, 1].
        layers: By name C x H x W, what ``itn.layer_outputs`` says of the image, at its index.
        most: Maps drawn of a layer, ten in a line; at least 1.

    Raises:
        ValueError: If there is no layer, one is not of that shape, or none of its maps is to be drawn.
    """
    if not layers or most < 1:
        raise ValueError(f"needs at least one layer and one map of each, got {len(layers)} and most={most}")
    drawn = {name: _checked(maps, name)[:most] for name, maps in layers.items()}
    lines = {name: -(-len(maps) // A_LINE) for name, maps in drawn.items()}
    columns = {name: -(-len(maps) // lines[name]) for name, maps in drawn.items()}
    left, between = 0.1, 0.28
    cell = min((WIDTH - left - RIGHT) / max(columns.values()), LARGEST_TILE)
    heights = {name: lines[name] * cell * maps.shape[1] / maps.shape[2] for name, maps in drawn.items()}
    side = LARGEST_TILE * image.shape[1] / image.shape[2]
    total = between + side + sum(between + height for height in heights.values()) + 0.1
    width = max(left + max(columns.values()) * cell + RIGHT, NARROW)
    figure = Figure(figsize=(width, total))
    ax = _axes(figure, left, between, LARGEST_TILE, side)
    picture(ax, unit_float(image), "black")
    ax.set_title("image, and the activations of each layer in its own scale", **_TITLE)
    top = between + side
    for name, maps in drawn.items():
        top += between
        across = columns[name] * cell
        ax = _axes(figure, left, top, across, heights[name])
        shown = _mosaic(ax, maps, columns[name], cmap="viridis", line="white")
        ax.set(xticks=[], yticks=[])
        size = f"{maps.shape[1]} x {maps.shape[2]}"
        ax.set_title(f"{name}: {len(maps)} of {len(layers[name])} maps, {size}", **_TITLE)
        _bar(figure, shown, left + across, top, heights[name])
        top += heights[name]
    return figure


def _grid(tiles: Tensor, title: str, axis: str, quantity: str, **look: Any) -> Figure:
    """Draw N x h x w tiles near a square, and at each row the numbers of its first and last tile."""
    count, height, width = tiles.shape
    columns = _columns(count)
    rows = -(-count // columns)
    shape = height / width
    cell = min(ROOM / columns, TALL / (rows * shape), LARGEST_TILE)
    figure = _figure(LEFT + columns * cell + RIGHT, rows * cell * shape + 0.1, title)
    ax = _axes(figure, LEFT, TOP, columns * cell, rows * cell * shape)
    image = _mosaic(ax, tiles, columns, **look)
    ends = [(first, min(first + columns, count) - 1) for first in range(0, count, columns)]
    numbers = [f"{first}" if first == last else f"{first}-{last}" for first, last in ends]
    _number(ax.yaxis, numbers, height, cell * shape, 0.12)
    ax.set_xticks([])
    ax.set_ylabel(axis, fontsize=8)
    _bar(figure, image, LEFT + columns * cell, TOP, rows * cell * shape, quantity)
    return figure


def _mosaic(ax: Axes, tiles: Tensor, columns: int, line: str, **look: Any) -> AxesImage:
    """Show N x h x w tiles row by row as one image, tile n at row n // columns, with thin lines between."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    canvas = tiles.new_full((rows * columns, height, width), math.nan)
    canvas[:count] = tiles
    canvas = canvas.unflatten(0, (rows, columns)).transpose(1, 2).reshape(rows * height, columns * width)
    image = ax.imshow(canvas.numpy(), aspect="auto", **look)
    tile = 72 * ax.bbox.width / ax.figure.dpi / columns  # points
    ax.set_xticks(width * np.arange(1, columns) - 0.5, minor=True)
    ax.set_yticks(height * np.arange(1, rows) - 0.5, minor=True)
    ax.grid(which="minor", color=line, linewidth=min(0.5, 0.04 * tile))
    ax.tick_params(which="minor", length=0)
    return image


def _number(axis: Axis, numbers: Sequence[str], pixels: int, cell: float, room: float) -> None:
    """Put numbers at the middle of the tiles along an axis, as many as have room; cell and room in inches."""
    step = next((step for step in (1, 2, 5, 10, 20, 50) if step * cell >= room), 100)
    centres = [pixels * (n + 0.5) - 0.5 for n in range(len(numbers))]
    axis.set_ticks(centres[::step], labels=numbers[::step], fontsize=7)
    axis.set_tick_params(length=2, pad=2)


def _columns(count: int) -> int:
    """Return how many columns make a grid nearly square, without a gap at the end if the number allows it."""
    side = math.ceil(math.sqrt(count))
    return next((columns for columns in range(side, 2 * side) if count % columns == 0), side)


def _fold(rows: int, columns: int, shape: float) -> tuple[int, float]:
    """Return into how many blocks to fold a table of kernels, and the width of a kernel in inches.

    The kernels, ``shape`` times as high as wide, become as large as they can, in the fewest blocks that are
    together no higher than wide.
    """

    def cell(blocks: int) -> float:
        across = (ROOM + GAP - GAP * blocks) / (blocks * columns)
        return min(across, TALL / (-(-rows // blocks) * shape), LARGEST_KERNEL)

    def excess(blocks: int) -> float:
        return max(0.0, -(-rows // blocks) * shape - blocks * columns)

    blocks = max(range(1, rows + 1), key=lambda blocks: (cell(blocks), -excess(blocks), -blocks))
    return blocks, cell(blocks)


def _figure(width: float, height: float, title: str) -> Figure:
    """Return a figure with a title, and under it a height in inches."""
    total, width = TOP + height, max(width, NARROW)
    figure = Figure(figsize=(width, total))
    figure.text(0.1 / width, 1 - 0.08 / total, title, fontsize=8, va="top")
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a distance from the left and the upper end of a figure, in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _bar(figure: Figure, image: AxesImage, end: float, top: float, height: float, quantity: str = "") -> None:
    """Draw the scale of an image to the right of where it ends, in inches."""
    ax = _axes(figure, end + 0.1, top, 0.1, height)
    bar = figure.colorbar(image, cax=ax, ticks=MaxNLocator(max(2, min(5, int(height / 0.25)))))
    bar.ax.tick_params(labelsize=7, length=2, pad=2)
    bar.set_label(quantity, fontsize=8)


def _checked(maps: Tensor, name: str) -> Tensor:
    """Return maps as what is drawn, or raise ValueError if they are not those of one image."""
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"{name} must be C x H x W, what a layer makes of one image, got shape {tuple(maps.shape)}; "
            "of a batch take one, as in maps[0]"
        )
    return maps.detach().cpu().float()
