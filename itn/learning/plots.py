"""Records of learning to figures; each function returns a Figure and shows nothing."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from itn.certification.headline import HIGHEST
from itn.certification.records import DropCurve
from itn.learning.records import ClassPart, CurvePoint, LearnRecord, PartRecord
from itn.plotting.labels import LineEnd, label_ends
from itn.plotting.names import AVERAGE, class_label, shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    COLUMN,
    CYAN,
    GREEN,
    INK,
    PURPLE,
    RED,
    UNCHANGED,
    WIDTH,
    YELLOW,
    headed,
    heading_height,
    picture,
    strip,
    strip_row,
    styled,
)
from itn.runtime.wording import counted

_RAYS = {(1.0, 0.0): (BLUE, "-", 2.2), (0.0, 1.0): (RED, "--", 1.4), (1.0, 1.0): (INK, "-.", 1.4)}
_LOST = {
    "accuracy": "accuracy lost (points)",
    "broken": "images broken (%)",
    "agreement": "predictions changed (%)",
}
_SINGLES = (RED, BLUE, GREEN, YELLOW, CYAN, PURPLE)


@styled
def class_strips(
    images: dict[str, Tensor],
    predictions: dict[str, Tensor],
    labels: Tensor,
    class_name: Callable[[int], str],
    ts: Sequence[float],
    titles: Mapping[str, str],
    model: str = "",
    note: str = "",
) -> Figure:
    """Draw images under growing k with their predicted classes (Bunne et al., figure 4b).

    Args:
        images: For each part, images under [t, 0] for its k, the others at 0: R x T x C x H x W in [0, 1].
        predictions: For each part, R x T predicted class indices.
        labels: True class of each row, R.
        class_name: From a class index to its name.
        ts: The T values of t; the first is 0, where the image is unchanged.
        titles: For each part, what its strip is called.
        model: Name of the classifier.
        note: What else is to be known of the images.
    """
    rows, columns = len(labels), len(ts)
    cell = WIDTH / (len(images) * (columns + 0.6)) if len(images) > 1 else COLUMN / (columns + 0.2)
    longest = max(
        len(class_name(index)) for table in predictions.values() for index in table.flatten().tolist()
    )
    size = 7 if longest <= _letters(cell, 7) else 5.5
    width = WIDTH if len(images) > 1 else COLUMN
    row = strip_row(cell, next(iter(images.values())), size)
    what = (
        "images under growing controls, t = 0 unchanged; above each the class that is predicted: right "
        f"(green) or wrong (red, dashed){note}"
    )
    height = rows * row + 0.75 + heading_height(width, model, what)
    figure = Figure(figsize=(width, height), layout="constrained")
    blocks = figure.subfigures(1, len(images), wspace=0.04, squeeze=False)[0]
    for block, (part, pictures) in zip(blocks, images.items(), strict=True):
        block.suptitle(titles[part])
        classes = predictions[part].tolist()
        right = (predictions[part] == labels[:, None]).tolist()
        most = _letters(cell, size)
        names = [[shortened(class_label(class_name(i), i), most) for i in row] for row in classes]
        colors = [[UNCHANGED if yes else BROKEN for yes in row] for row in right]
        ax = strip(block, pictures, names, colors, size, cell)
        ax.set_xticks(range(columns), [f"{t:g}" for t in ts])
        ax.set_xlabel("t")
    return headed(figure, model, what)


def _letters(inches: float, size: float) -> float:
    """Return how many letters of a font size find room."""
    return 72 * inches / (AVERAGE * size)


@styled
def control_grid(
    original: Tensor,
    images: Tensor,
    k1: Sequence[float],
    k2: Sequence[float],
    names: Sequence[str],
    model: str = "",
    note: str = "",
) -> Figure:
    """Draw the same images for a grid of k1 and k2, the originals beside it (Bunne et al., figure 5).

    Args:
        original: R x C x H x W in [0, 1], unchanged; at most four are drawn.
        images: len(k1) x len(k2) x R x C x H x W, under F((a, a), (b, b)) with a in k1 and b in k2.
        k1: Values of both entries of k1, the rows.
        k2: Values of both entries of k2, the columns.
        names: What the ks are called, such as "k2 (spatial)": the last is that of the columns, the one before
            it that of the rows, and any others are at 0.
        model: Name of the classifier.
        note: What else is to be known of the images.
    """
    rows, columns = len(k1), len(k2)
    others = f"; {', '.join(names[:-2])} at (0, 0)" if names[:-2] else ""
    varying = " and ".join(names[-2:] if rows > 1 else names[-1:])
    what = f"the same images while {varying} {'vary' if rows > 1 else 'varies'}{others}{note}"
    side = WIDTH / (columns + 1.35) * images.shape[-2] / images.shape[-1]  # inches
    height = side * max(rows, 1.2) + 0.4 + heading_height(WIDTH, model, what)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, columns + 0.15), squeeze=False)[0]
    axes = left.subplots(rows, 1, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    picture(axes[0, 0], _mosaic(original), "black")
    axes[0, 0].axis("on")
    axes[0, 0].set_title("unchanged", pad=3)
    cells = right.subplots(rows, columns, squeeze=False)
    for (row, column), ax in np.ndenumerate(cells):
        picture(ax, _mosaic(images[row, column]), "0.6")
        if row == rows - 1:
            ax.set_xlabel(f"({k2[column]:g}, {k2[column]:g})")
        if column == 0 and len(names) > 1 and rows > 1:
            ax.set_ylabel(f"({k1[row]:g}, {k1[row]:g})")
    right.supxlabel(names[-1], fontsize=8)
    right.supylabel(names[-2] if len(names) > 1 and rows > 1 else "", fontsize=8)
    return headed(figure, model, what)


@styled
def accuracy_and_displacement(record: LearnRecord, controls: Sequence[str], model: str = "") -> Figure:
    """Draw held-out accuracy and displacement along three rays of k, for each part.

    The horizontal line is the accuracy of the unchanged images; the scale of displacement is that of each
    part.

    Args:
        record: The record of a run.
        controls: What each k drives.
        model: Name of the classifier.
    """
    parts = list(dict.fromkeys(point.part for point in record.curves))
    n = record.curves[0].n
    what = (
        f"accuracy on {counted(n, 'held-out image')}, and displacement, while one k grows"
        f"{', the others 0' if len(controls) > 1 else ''}; band: 95 % interval along (t, t); gray line: "
        "unchanged"
    )
    width = WIDTH if len(parts) > 1 else COLUMN
    top = heading_height(width, model, what) + 0.18
    left, right, tall, gap = 0.64, 0.72, 1.35, 0.12  # inches
    height = top + 2 * tall + gap + 0.38
    across = width / len(parts) - left - right
    figure = Figure(figsize=(width, height))
    highest: Axes | None = None
    for column, part in enumerate(parts):
        start = (column * width / len(parts) + left) / width
        bottom = figure.add_axes((start, 0.38 / height, across / width, tall / height))
        places = (start, (0.38 + tall + gap) / height, across / width, tall / height)
        upper = figure.add_axes(places, sharex=bottom, sharey=highest)
        highest = highest or upper
        ends = []
        for ray, style in _RAYS.items():
            points = [point for point in record.curves if (point.part, point.ray) == (part, ray)]
            _ray(upper, bottom, points, *style, banded=ray == (1.0, 1.0))
            name = _ray_name(control_of(part, controls), ray)
            ends.append(LineEnd(points[-1].t, points[-1].displacement, name, style[0]))
        unchanged = next(point for point in record.curves if point.t == 0)
        upper.axhline(100 * unchanged.accuracy, color="0.5", linewidth=0.8, zorder=1)
        upper.set_title(f"{part}: {control_of(part, controls)} varies")
        upper.tick_params(labelbottom=False)
        bottom.set_xlabel("t")
        bottom.set_ylim(bottom=0)
        label_ends(bottom, ends, tall)
        if not column:
            upper.set_ylabel("accuracy (%)")
        bottom.set_ylabel(displacement_label(record.parts.values()) if not column else "")
    return headed(figure, model, what)


@styled
def baselines(record: LearnRecord, model: str = "") -> Figure:
    """Draw how far the family and its rivals go over what is lost on held-out images.

    Lines are interpolated as for the headline: the displacement at which a drop is first exceeded.
    """
    assert record.drop_curves
    what = (
        "how far the learned family goes at the same loss, beside what needs no learning: + above, - below "
        "the identity; in brackets in which proportion"
    )
    top, tall, right = heading_height(WIDTH, model, what), 2.2, 1.75  # inches
    height = top + tall + 0.4
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.6 / WIDTH, 0.38 / height, 1 - (0.6 + right) / WIDTH, tall / height))
    tolerance, most = 100 * record.tolerance, 100 * HIGHEST * record.tolerance
    family, *rivals = record.drop_curves
    styles: list[dict[str, Any]] = [{"color": color, "linewidth": 1.2} for color in _SINGLES[: len(rivals)]]
    styles.append({"color": INK, "linewidth": 2, "marker": "o", "markersize": 3})
    highest, ends = 0.0, []
    for curve, style in zip([*rivals, family], styles, strict=True):
        displacements, drops = _first_crossings(curve)
        ax.plot(drops, displacements, label=curve.name, **style)
        highest = max(highest, *(d for d, drop in zip(displacements, drops, strict=True) if drop <= most))
        end = min(most, drops[-1])
        at = displacements[-1] if drops[-1] <= most else float(np.interp(end, drops, displacements))
        ends.append(LineEnd(end, at, textwrap.fill(curve.name, 24), style["color"]))
    ax.axvline(tolerance, color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xlim=(0, most), ylim=(0, 1.15 * highest or 1))
    ax.text(tolerance, 1.0, " tolerance", transform=ax.get_xaxis_transform(), va="top")
    mean = "" if len(record.parts) == 1 else "\ngeometric mean of the parts"
    ax.set_xlabel(_LOST.get(record.criterion, f"lost by {record.criterion} (%)"))
    ax.set_ylabel(displacement_label(record.parts.values()) + mean)
    label_ends(ax, ends, tall)
    return headed(figure, model, what)


def displacement_label(parts: Iterable[PartRecord | ClassPart]) -> str:
    """Return what axes of displacement say: its formula where all parts are matrices."""
    matrices = all(part.matrix_full for part in parts)
    return r"displacement $\|\hat A - I\|_F^2 / n$" if matrices else "displacement"


def _first_crossings(curve: DropCurve) -> tuple[list[float], list[float]]:
    """Return displacements and the largest drop up to each in percent, from (0, 0)."""
    drops = np.maximum.accumulate(np.maximum([0.0, *curve.drops], 0))
    return [0.0, *curve.displacements], (100 * drops).tolist()


def _ray(
    upper: Axes,
    bottom: Axes,
    points: Sequence[CurvePoint],
    color: str,
    dashes: str,
    width: float,
    *,
    banded: bool,
) -> None:
    ts = [point.t for point in points]
    if banded:
        low, high = (
            [100 * value for value in ends]
            for ends in zip(*((p.ci_low, p.ci_high) for p in points), strict=True)
        )
        upper.fill_between(ts, low, high, color=color, alpha=0.15, linewidth=0)
    upper.plot(ts, [100 * point.accuracy for point in points], dashes, color=color, linewidth=width)
    bottom.plot(ts, [point.displacement for point in points], dashes, color=color, linewidth=width)


def _ray_name(control: str, ray: tuple[float, float]) -> str:
    entries = ", ".join("t" if entry else "0" for entry in ray)
    return f"{control} = ({entries})"


def control_of(part: str, controls: Sequence[str]) -> str:
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
