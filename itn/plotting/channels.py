"""Figures of kernels and of feature maps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from itn.functional import unit_float
from itn.plotting.style import WIDTH, picture

# All in inches. Margins are explicit, since tiles have a fixed aspect ratio and axes must end where tiles do
LEFT, RIGHT, TOP, BOTTOM = 0.7, 0.8, 0.3, 0.4
MAX_WIDTH, MAX_HEIGHT = WIDTH - LEFT - RIGHT, 5.0  # of all tiles
MIN_WIDTH = 4.5  # of a figure, so that its title fits
GAP = 0.36  # between blocks of kernels
MAX_TILE, MAX_KERNEL = 0.9, 0.3  # width

MAPS_PER_ROW = 10  # where several layers are shown

_TITLE: dict[str, Any] = {"fontsize": 8, "pad": 3, "loc": "left"}


def kernels(weight: Tensor, most: int = 128, title: str = "") -> Figure:
    """Draw the kernels of a convolution with one color scale, symmetric about 0.

    With one input channel: a grid of kernels, row by row. With several: a table with output channels as
    rows and input channels as columns, split into blocks side by side if it is long.

    Args:
        weight: O x I x h x w, as in ``nn.Conv2d``.
        most: Largest number of output and of input channels to draw, at least 1; the first ones are drawn.
        title: Title, extended by a note if not all are drawn.

    Raises:
        ValueError: If the weight is not that of a two-dimensional convolution, or ``most`` is less than 1.
    """
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"weight must be O x I x h x w, as of nn.Conv2d, got shape {tuple(weight.shape)}")
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    drawn = weight.detach()[:most, :most].cpu().float()
    limit = drawn.abs().max().item() or 1.0
    style: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "line": "0.4"}
    (outputs, inputs), (all_outputs, all_inputs) = drawn.shape[:2], weight.shape[:2]
    channels = (("output", outputs, all_outputs), ("input", inputs, all_inputs))
    left_out = [f"{n} of {total} {name} channels" for name, n, total in channels if n < total]
    title += f" ({', '.join(left_out)})" if left_out else ""
    if all_inputs == 1:
        return _grid(drawn[:, 0], title, "output channel", "weight", **style)
    shape = drawn.shape[2] / drawn.shape[3]
    blocks, cell = _fold(outputs, inputs, shape)
    tables = drawn.split(-(-outputs // blocks))
    height = len(tables[0]) * cell * shape
    figure = _figure(LEFT + len(tables) * (inputs * cell + GAP) - GAP + RIGHT, height + BOTTOM, title)
    for number, table in enumerate(tables):
        left = LEFT + number * (inputs * cell + GAP)
        ax = _axes(figure, left, TOP, inputs * cell, len(table) * cell * shape)
        image = _mosaic(ax, table.flatten(0, 1), inputs, **style)
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
    """Draw the feature maps of a layer for one image, row by row and with one color scale.

    Args:
        maps: C x H x W, such as ``itn.plotting.layer_outputs(net, images)["conv1"][0]``.
        title: Title.

    Raises:
        ValueError: If the maps have another shape.
    """
    return _grid(_checked(maps, "maps"), title, "channel", "activation", cmap="viridis", line="white")


def feature_map_layers(image: Tensor, layers: Mapping[str, Tensor], most: int = 20) -> Figure:
    """Draw an image and the first feature maps of several layers, each layer with its own color scale.

    Args:
        image: C x H x W, uint8 or float in [0, 1].
        layers: Feature maps of the image by layer, C x H x W, such as ``layer_outputs(net, images)[...][0]``.
        most: Largest number of maps drawn per layer, ten in a row; at least 1.

    Raises:
        ValueError: If there is no layer, one has another shape, or ``most`` is less than 1.
    """
    if not layers or most < 1:
        raise ValueError(f"at least one layer and one map are needed, got {len(layers)} and most={most}")
    drawn = {name: _checked(maps, name)[:most] for name, maps in layers.items()}
    lines = {name: -(-len(maps) // MAPS_PER_ROW) for name, maps in drawn.items()}
    columns = {name: -(-len(maps) // lines[name]) for name, maps in drawn.items()}
    left, between = 0.1, 0.28
    cell = min((WIDTH - left - RIGHT) / max(columns.values()), MAX_TILE)
    heights = {name: lines[name] * cell * maps.shape[1] / maps.shape[2] for name, maps in drawn.items()}
    side = MAX_TILE * image.shape[1] / image.shape[2]
    total = between + side + sum(between + height for height in heights.values()) + 0.1
    width = max(left + max(columns.values()) * cell + RIGHT, MIN_WIDTH)
    figure = Figure(figsize=(width, total))
    ax = _axes(figure, left, between, MAX_TILE, side)
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


def _grid(tiles: Tensor, title: str, axis: str, quantity: str, **style: Any) -> Figure:
    """Draw N x h x w tiles in a nearly square grid; rows are labeled with their first and last number."""
    count, height, width = tiles.shape
    columns = _columns(count)
    rows = -(-count // columns)
    shape = height / width
    cell = min(MAX_WIDTH / columns, MAX_HEIGHT / (rows * shape), MAX_TILE)
    figure = _figure(LEFT + columns * cell + RIGHT, rows * cell * shape + 0.1, title)
    ax = _axes(figure, LEFT, TOP, columns * cell, rows * cell * shape)
    image = _mosaic(ax, tiles, columns, **style)
    ends = [(first, min(first + columns, count) - 1) for first in range(0, count, columns)]
    numbers = [f"{first}" if first == last else f"{first}-{last}" for first, last in ends]
    _number(ax.yaxis, numbers, height, cell * shape, 0.12)
    ax.set_xticks([])
    ax.set_ylabel(axis, fontsize=8)
    _bar(figure, image, LEFT + columns * cell, TOP, rows * cell * shape, quantity)
    return figure


def _mosaic(ax: Axes, tiles: Tensor, columns: int, line: str, **style: Any) -> AxesImage:
    """Show N x h x w tiles row by row as one image, with thin lines between them."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    canvas = tiles.new_full((rows * columns, height, width), math.nan)
    canvas[:count] = tiles
    canvas = canvas.unflatten(0, (rows, columns)).transpose(1, 2).reshape(rows * height, columns * width)
    image = ax.imshow(canvas.numpy(), aspect="auto", **style)
    tile = 72 * ax.bbox.width / ax.figure.dpi / columns  # points
    ax.set_xticks(width * np.arange(1, columns) - 0.5, minor=True)
    ax.set_yticks(height * np.arange(1, rows) - 0.5, minor=True)
    ax.grid(which="minor", color=line, linewidth=min(0.5, 0.04 * tile))
    ax.tick_params(which="minor", length=0)
    return image


def _number(axis: Axis, numbers: Sequence[str], pixels: int, cell: float, room: float) -> None:
    """Label the middle of the tiles along an axis, as many as fit; ``cell`` and ``room`` are in inches."""
    step = next((step for step in (1, 2, 5, 10, 20, 50) if step * cell >= room), 100)
    centers = [pixels * (n + 0.5) - 0.5 for n in range(len(numbers))]
    axis.set_ticks(centers[::step], labels=numbers[::step], fontsize=7)
    axis.set_tick_params(length=2, pad=2)


def _columns(count: int) -> int:
    """Return the number of columns of a nearly square grid, without a gap at the end where possible."""
    side = math.ceil(math.sqrt(count))
    return next((columns for columns in range(side, 2 * side) if count % columns == 0), side)


def _fold(rows: int, columns: int, shape: float) -> tuple[int, float]:
    """Return into how many blocks to split a table of kernels, and the width of a kernel in inches.

    Kernels, ``shape`` times as high as wide, become as large as possible, in the fewest blocks that are
    together no higher than wide.
    """

    def cell(blocks: int) -> float:
        across = (MAX_WIDTH + GAP - GAP * blocks) / (blocks * columns)
        return min(across, MAX_HEIGHT / (-(-rows // blocks) * shape), MAX_KERNEL)

    def excess(blocks: int) -> float:
        return max(0.0, -(-rows // blocks) * shape - blocks * columns)

    blocks = max(range(1, rows + 1), key=lambda blocks: (cell(blocks), -excess(blocks), -blocks))
    return blocks, cell(blocks)


def _figure(width: float, height: float, title: str) -> Figure:
    """Return a figure with a title and the given height, in inches, below it."""
    total, width = TOP + height, max(width, MIN_WIDTH)
    figure = Figure(figsize=(width, total))
    figure.text(0.1 / width, 1 - 0.08 / total, title, fontsize=8, va="top")
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a distance from the left and upper edge of a figure, in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _bar(figure: Figure, image: AxesImage, end: float, top: float, height: float, quantity: str = "") -> None:
    """Draw the color bar of an image to the right of its right edge, ``end``, in inches."""
    ax = _axes(figure, end + 0.1, top, 0.1, height)
    bar = figure.colorbar(image, cax=ax, ticks=MaxNLocator(max(2, min(5, int(height / 0.25)))))
    bar.ax.tick_params(labelsize=7, length=2, pad=2)
    bar.set_label(quantity, fontsize=8)


def _checked(maps: Tensor, name: str) -> Tensor:
    """Return maps as floats on the CPU, or raise ValueError unless they are those of one image."""
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"{name} must be C x H x W, the feature maps of one image, got shape {tuple(maps.shape)}; "
            "take one of a batch, as in maps[0]"
        )
    return maps.detach().cpu().float()
