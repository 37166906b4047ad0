"""Records of learning to figures; each function returns a Figure and shows nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from itn.certification.headline import HIGHEST
from itn.certification.records import DropCurve
from itn.learning.records import CurvePoint, LearnRecord
from itn.plotting.names import AVERAGE, class_label, shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    CYAN,
    GREEN,
    INK,
    PURPLE,
    RED,
    UNCHANGED,
    WIDTH,
    YELLOW,
    picture,
    strip,
    strip_row,
    titled,
)
from itn.runtime.wording import counted

_RAYS = {(1.0, 0.0): (BLUE, "-"), (0.0, 1.0): (RED, "--"), (1.0, 1.0): (INK, "-.")}
_SINGLES = (RED, BLUE, GREEN, YELLOW, CYAN, PURPLE)
_PARTS = (RED, BLUE)


def class_strips(
    images: dict[str, Tensor],
    predictions: dict[str, Tensor],
    labels: Tensor,
    class_name: Callable[[int], str],
    ts: Sequence[float],
    titles: Mapping[str, str],
) -> Figure:
    """Draw images under growing k with their predicted classes (Bunne et al., figure 4b).

    Args:
        images: For each part, images under [t, 0] for its k, the others at 0: R x T x C x H x W in [0, 1].
        predictions: For each part, R x T predicted class indices.
        labels: True class of each row, R.
        class_name: From a class index to its name.
        ts: The T values of t; the first is 0, where the image is unchanged.
        titles: For each part, what its strip is called.
    """
    rows, columns = len(labels), len(ts)
    cell = WIDTH / (2 * columns + 1.2)
    longest = max(
        len(class_name(index)) for table in predictions.values() for index in table.flatten().tolist()
    )
    size = 7 if longest <= _letters(cell, 7) else 5.5
    width = cell * (len(images) * columns + 0.2 + len(images))
    row = strip_row(cell, next(iter(images.values())), size)
    figure = Figure(figsize=(width, rows * row + 1.1), layout="constrained")
    blocks = figure.subfigures(1, len(images), wspace=0.04, squeeze=False)[0]
    for block, (part, pictures) in zip(blocks, images.items(), strict=True):
        block.suptitle(titles[part], fontsize=9)
        classes = predictions[part].tolist()
        right = (predictions[part] == labels[:, None]).tolist()
        most = _letters(cell, size)
        names = [[shortened(class_label(class_name(i), i), most) for i in row] for row in classes]
        colors = [[UNCHANGED if yes else BROKEN for yes in row] for row in right]
        ax = strip(block, pictures, names, colors, size, cell)
        ax.set_xticks(range(columns), [f"{t:g}" for t in ts])
        ax.set_xlabel("t", fontsize=8)
    figure.suptitle("above each image the predicted class; green: right, red: wrong", fontsize=8)
    return figure


def _letters(inches: float, size: float) -> float:
    """Return how many letters of a font size find room."""
    return 72 * inches / (AVERAGE * size)


def control_grid(
    original: Tensor, images: Tensor, k1: Sequence[float], k2: Sequence[float], names: Sequence[str]
) -> Figure:
    """Draw the same images for a grid of k1 and k2, the originals beside it (Bunne et al., figure 5).

    Args:
        original: R x C x H x W in [0, 1], unchanged; at most four are drawn.
        images: len(k1) x len(k2) x R x C x H x W, under F((a, a), (b, b)) with a in k1 and b in k2.
        k1: Values of both entries of k1, the rows.
        k2: Values of both entries of k2, the columns.
        names: What the ks are called, such as "k2 (spatial)": the last is that of the columns, the one before
            it that of the rows, and any others are at 0.
    """
    rows, columns = len(k1), len(k2)
    figure = Figure(figsize=(WIDTH, WIDTH * rows / (columns + 1.35) + 0.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, columns + 0.15), squeeze=False)[0]
    axes = left.subplots(rows, 1, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    picture(axes[rows // 2, 0], _mosaic(original), "black")
    axes[rows // 2, 0].axis("on")
    axes[rows // 2, 0].set_title("original", fontsize=8, pad=3)
    cells = right.subplots(rows, columns, squeeze=False)
    for (row, column), ax in np.ndenumerate(cells):
        picture(ax, _mosaic(images[row, column]), "0.6")
        if row == rows - 1:
            ax.set_xlabel(f"({k2[column]:g}, {k2[column]:g})", fontsize=8)
        if column == 0:
            ax.set_ylabel(f"({k1[row]:g}, {k1[row]:g})", fontsize=8)
    right.supxlabel(names[-1], fontsize=9)
    right.supylabel(names[-2] if len(names) > 1 else "", fontsize=9)
    if others := names[:-2]:
        figure.suptitle(f"{' and '.join(names[-2:])} vary; {', '.join(others)} at (0, 0)", fontsize=9)
    return figure


def accuracy_and_displacement(record: LearnRecord, controls: Sequence[str]) -> Figure:
    """Draw held-out accuracy and displacement along three rays of k, for each part.

    Bands are Clopper-Pearson 95 % intervals. The horizontal line is the accuracy of the unchanged images.

    Args:
        record: The record of a run.
        controls: What each k drives.
    """
    parts = list(dict.fromkeys(point.part for point in record.curves))
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots(2, len(parts), sharex=True, sharey="row", squeeze=False)
    for column, part in enumerate(parts):
        top, bottom = axes[:, column]
        for ray, (color, dashes) in _RAYS.items():
            points = [point for point in record.curves if (point.part, point.ray) == (part, ray)]
            _ray(top, bottom, points, color, dashes, _ray_name(_control(part, controls), ray))
        unchanged = next(point for point in record.curves if point.t == 0)
        top.axhline(100 * unchanged.accuracy, color="0.5", linewidth=0.8, label="the same images, unchanged")
        others = "" if len(controls) == 1 else ", the other is 0" if len(controls) == 2 else ", others are 0"
        top.set_title(f"{part} ({_control(part, controls)} varies{others})", fontsize=9)
        bottom.set_xlabel("t")
        bottom.legend(frameon=False, fontsize=8)
    n = record.curves[0].n
    axes[0, 0].set_ylabel(f"accuracy (%)\n{counted(n, 'held-out image')}")
    axes[0, 0].legend(frameon=False, fontsize=7, loc="lower left")
    axes[1, 0].set_ylabel(r"displacement $\|\hat A - I\|_F^2 / n$")
    return figure


def baselines(record: LearnRecord) -> Figure:
    """Draw how far the family and its rivals go over what is lost on held-out images.

    Lines are interpolated as for the headline: the displacement at which a drop is first exceeded.
    """
    assert record.drop_curves
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    ax = figure.subplots()
    tolerance, most = 100 * record.tolerance, 100 * HIGHEST * record.tolerance
    family, *rivals = record.drop_curves
    styles: list[dict[str, Any]] = [{"color": color, "linewidth": 1.2} for color in _SINGLES[: len(rivals)]]
    styles.append({"color": INK, "linewidth": 2, "marker": "o", "markersize": 3})
    highest = 0.0
    for curve, style in zip([*rivals, family], styles, strict=True):
        displacements, drops = _first_crossings(curve)
        ax.plot(drops, displacements, label=curve.name, **style)
        highest = max(highest, *(d for d, drop in zip(displacements, drops, strict=True) if drop <= most))
    ax.axvline(tolerance, color="0.4", linewidth=0.8, linestyle="--")
    ax.text(tolerance, 1.0, " tolerance", transform=ax.get_xaxis_transform(), fontsize=7, va="top")
    ax.set(xlim=(0, most), ylim=(0, 1.1 * highest or 1))
    mean = "" if len(record.parts) == 1 else "\ngeometric mean of the parts"
    ax.set_xlabel(f"lost by {record.criterion} (%)")
    ax.set_ylabel(r"displacement $\|\hat A - I\|_F^2 / n$" + mean)
    ax.legend(frameon=False, fontsize=7)
    return figure


def _first_crossings(curve: DropCurve) -> tuple[list[float], list[float]]:
    """Return displacements and the largest drop up to each in percent, from (0, 0)."""
    drops = np.maximum.accumulate(np.maximum([0.0, *curve.drops], 0))
    return [0.0, *curve.displacements], (100 * drops).tolist()


def control_directions(
    grids: Mapping[str, Tensor], pictures: Mapping[str, Tensor], controls: Sequence[str]
) -> Figure:
    """Draw where a square grid of k leads, and an image at the vertices of the square.

    The plane is spanned by what k = (1, 1) does and by the difference between k = (1, 0) and k = (0, 1), made
    orthogonal to it. A family with one parameter is a line.

    Args:
        grids: For each part, deviations of the matrix from the identity, n x n x entries; the first index
            goes with k[0].
        pictures: For each part, an image at k = (0, 0), (1, 0), (0, 1), (1, 1), 4 x C x H x W in [0, 1].
        controls: What each k drives.
    """
    figure = Figure(figsize=(WIDTH, 2.7 * len(grids)), layout="constrained")
    blocks = figure.subfigures(len(grids), 1, squeeze=False)[:, 0]
    for block, (part, grid) in zip(blocks, grids.items(), strict=True):
        control = _control(part, controls)
        left, right = block.subfigures(1, 2, width_ratios=(1.7, 1))
        ax = left.subplots()
        flat = _in_plane(grid)
        for lines, color, entry in ((flat, BLUE, 1), (flat.transpose(0, 1), RED, 0)):
            for number, line in enumerate(lines):
                name = f"only {control}[{entry}] varies" if number == 0 else None
                ax.plot(line[:, 0], line[:, 1], color=color, linewidth=0.8, label=name)
        names: dict[tuple[float, float], list[str]] = {}  # of one parameter two vertices coincide
        for index, name in (((-1, 0), "(1, 0)"), ((0, -1), "(0, 1)"), ((-1, -1), "(1, 1)")):
            x, y = (round(value, 3) for value in flat[index].tolist())
            names.setdefault((x, y), []).append(name)
        for place, vertices in names.items():
            ax.plot(*place, "o", color=INK, markersize=3)
            ax.annotate("\n".join(vertices), place, (4, 3), textcoords="offset points", fontsize=7)
        ax.set(title=part, xlabel="towards (1, 1)", ylabel="across")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.15)
        ax.legend(frameon=False, fontsize=6.5, loc="best")
        titles = [["(0, 0)", "(1, 0)"], ["(0, 1)", "(1, 1)"]]
        titled(right, pictures[part].unflatten(0, (2, 2)), titles, [["black"] * 2] * 2)
        right.suptitle(f"{control} is", fontsize=8)
    return figure


def _in_plane(grid: Tensor) -> Tensor:
    """Return deviations, n x n x entries, in the plane of k = (1, 1) and its entries' difference."""
    full, difference = grid[-1, -1], grid[-1, 0] - grid[0, -1]
    first = full / full.norm().clamp_min(1e-12)
    second = difference - (difference @ first) * first
    second = second / second.norm().clamp_min(1e-12)
    return torch.stack([grid @ first, grid @ second], -1)


def _ray(top: Axes, bottom: Axes, points: Sequence[CurvePoint], color: str, dashes: str, name: str) -> None:
    ts = [point.t for point in points]
    low, high = (
        [100 * value for value in ends] for ends in zip(*((p.ci_low, p.ci_high) for p in points), strict=True)
    )
    top.fill_between(ts, low, high, color=color, alpha=0.15, linewidth=0)
    top.plot(ts, [100 * point.accuracy for point in points], dashes, color=color)
    bottom.plot(ts, [point.displacement for point in points], dashes, color=color, label=name)


def _ray_name(control: str, ray: tuple[float, float]) -> str:
    entries = ", ".join("t" if entry else "0" for entry in ray)
    return f"{control} = ({entries})"


def _control(part: str, controls: Sequence[str]) -> str:
    """Return the k that drives a part, such as "k2"."""
    return f"k{list(controls).index(part) + 1}"


def _mosaic(images: Tensor) -> Tensor:
    """Return up to four images, R x C x H x W, as one of two by two with a thin white line between."""
    channels, height, width = images.shape[1:]
    line = max(1, width // 28)
    canvas = images.new_ones(channels, 2 * height + line, 2 * width + line)
    for number, image in enumerate(images[:4]):
        y, x = (number // 2) * (height + line), (number % 2) * (width + line)
        canvas[:, y : y + height, x : x + width] = image
    return canvas
