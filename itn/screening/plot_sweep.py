"""Figures of one sweep; each function returns a Figure and shows nothing."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from itn.plotting.names import AVERAGE, shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    COLUMN,
    GRAY,
    GREEN,
    INK,
    MANY,
    ORANGE,
    PURPLE,
    UNCHANGED,
    WIDTH,
    frame_style,
    headed,
    heading_height,
    pixels,
    styled,
)
from itn.screening.outcomes import SweepOutcomes
from itn.screening.plot_curve import curve_heading, draw_control, draw_lost, draw_outcomes, mark_curve
from itn.screening.plot_scales import (
    axis_label,
    breaks_handle,
    mark_identity,
    natural_order,
    percent,
    position,
    set_scale,
)
from itn.screening.records import FlipRow, SoftmaxRow, SweepRecord
from itn.screening.thresholds import paths
from itn.stats import kaplan_meier
from itn.transforms import Transform

MOST_PANELS = 10
MOST_CURVES = 10
LEFT, RIGHT, KEY, CURVE = 0.5, 0.1, 0.4, 2.2  # inches: of the curve, the key above it, and its height
FEWEST_COLUMNS = 9  # of the images beneath a curve: fewer images are not drawn larger, they would be cut off


@styled
def accuracy_curve(
    transform: Transform,
    sweep: SweepRecord,
    images: Tensor,
    unchanged: Tensor,
    magnitudes: Sequence[float],
    clean_accuracy: float,
    confidence: float,
    labeled: bool = True,
    model: str = "",
    outcomes: SweepOutcomes | None = None,
) -> Figure:
    """Draw accuracy, agreement and softmax change over magnitude, with images at some magnitudes beneath.

    Args:
        transform: The transformation.
        sweep: Its record.
        images: R x T x C x H x W in [0, 1], R images at T magnitudes.
        unchanged: Bool, R x T: whether the prediction is the same as without the transformation.
        magnitudes: The T magnitudes of the images, ascending.
        clean_accuracy: Accuracy on unchanged images.
        confidence: Confidence of the bands.
        labeled: Whether labels were given; if not, accuracy is agreement, and not drawn.
        model: Name of the classifier.
        outcomes: What each image does, also at the magnitudes that were measured to find thresholds.
    """
    rows = len(images)
    columns = max(len(magnitudes), FEWEST_COLUMNS)
    wide = WIDTH - LEFT - RIGHT  # inches of the axes
    cell = 0.92 * wide / columns
    height = 1.06 * rows * cell * images.shape[-2] / images.shape[-1]
    what = (
        f"{curve_heading(transform, labeled)}; {'bars' if transform.discrete else 'bands'}: "
        f"{100 * confidence:g} % intervals; frames: prediction unchanged (green) or changed (red, dashed)"
    )
    top = heading_height(WIDTH, model, what)
    beneath = height + 0.5
    total = top + KEY + CURVE + beneath
    figure = Figure(figsize=(WIDTH, total))
    left, across = LEFT / WIDTH, wide / WIDTH
    ax = figure.add_axes((left, beneath / total, across, CURVE / total))
    handles = _draw_curves(ax, transform, sweep, clean_accuracy, confidence, labeled, outcomes)
    mark_curve(ax, transform, sweep, clean_accuracy)
    place: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (0.005, 1 - top / total),
        "borderaxespad": 0,
    }
    figure.legend(handles=[*handles, breaks_handle(sweep)], ncols=3, **place)
    strip = figure.add_axes((left, 0.26 / total, across, height / total))
    low, high = (position(transform, v) for v in ax.get_xlim())
    centers = [(position(transform, v) - low) / (high - low) for v in magnitudes]
    _draw_strip(strip, images, unchanged, centers, cell / wide)
    figure.text(left + across / 2, 0.08 / total, axis_label(transform), ha="center")
    return headed(figure, model, what)


def _draw_curves(
    ax: Axes,
    transform: Transform,
    sweep: SweepRecord,
    clean_accuracy: float,
    confidence: float,
    labeled: bool,
    outcomes: SweepOutcomes | None,
) -> list[Artist]:
    """Draw all curves; return what stands for them in a legend."""
    x, discrete = sweep.magnitudes, transform.discrete
    draw_outcomes(ax, transform, sweep, clean_accuracy, confidence, labeled, outcomes)
    ax.plot(
        x,
        percent(sweep.softmax_change),
        "d" if discrete else "-.",
        color=PURPLE,
        markersize=4,
        linewidth=1.2,
        label="softmax changed, mean total variation in %",
    )
    if sweep.control_accuracy is not None:
        draw_control(ax, transform, sweep, labeled)
    if sweep.lost_content is not None:
        draw_lost(ax, transform, sweep)
    return ax.get_legend_handles_labels()[0]


def _draw_strip(ax: Axes, images: Tensor, unchanged: Tensor, centers: Sequence[float], width: float) -> None:
    """Draw rows of framed images; centers and width are fractions of the axes."""
    rows = len(images)
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(0, 1), autoscale_on=False)
    for row in range(rows):
        for column, center in enumerate(centers):
            left, base = center - width / 2, 1 - (row + 1) / rows
            extent = (left, left + 0.97 * width, base, base + 0.94 / rows)
            image = pixels(images[row, column])
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto")
            color = UNCHANGED if unchanged[row, column] else BROKEN
            size = (0.97 * width, 0.94 / rows)
            style = frame_style(color)
            ax.add_patch(Rectangle((left, base), *size, fill=False, edgecolor=color, clip_on=False, **style))


@styled
def class_softmax(transform: Transform, rows: Sequence[SoftmaxRow], model: str = "") -> Figure:
    """Draw the mean softmax over all images of a class against magnitude (Bunne et al., figures 2 and 3).

    Each class has a panel with its own output, up to two others that have the largest mean at some magnitude,
    and the largest of all the rest. Of more than ten classes the first ten are drawn.
    """
    panels = [(name, list(lines)) for name, lines in groupby(rows, lambda row: row.class_)]
    left_out, panels = len(panels) - MOST_PANELS, panels[:MOST_PANELS]
    columns = min(len(panels), 5)
    lines = -(-len(panels) // columns)
    # Margins by hand, in inches: matplotlib's layout engines take longer than the drawing
    width = max(WIDTH * columns / 5, COLUMN)
    what = (
        f"mean softmax of each class under {transform.name}; blue: the true class, written above; orange and "
        "green: others that lead at some magnitude, written below it; "
        f"{'crosses' if transform.discrete else 'dashed'}: largest of the rest"
    )
    what += f"; the first {MOST_PANELS} of {MOST_PANELS + left_out} classes" if left_out > 0 else ""
    top = heading_height(width, model, what) + 0.3
    height = top + 1.65 * lines + 0.25
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.45 / width,
        right=1 - 0.12 / width,
        bottom=0.45 / height,
        top=1 - top / height,
        wspace=0.14,
        hspace=0.34,
    )
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    letters = 0.97 * 72 * axes[0, 0].get_position().width * width / AVERAGE  # above a panel, of font size 1
    for ax, (name, of_class) in zip(axes.flat, panels, strict=False):
        curves: dict[str, list[SoftmaxRow]] = {}
        for row in of_class:
            curves.setdefault(row.output, []).append(row)
        rivals = iter(((ORANGE, 0.0, "left"), (GREEN, 1.0, "right")))
        for output, points in curves.items():
            true, rest = output == name, output == "others"
            color = BLUE if true else GRAY
            if not (true or rest):
                color, x, side = next(rivals)
                at: dict[str, Any] = {"transform": ax.transAxes, "ha": side, "va": "bottom"}
                ax.text(x, 1.02, shortened(output, letters / 6.5 / 2), color=color, fontsize=6.5, **at)
            ax.plot(
                [point.magnitude for point in points],
                [point.softmax for point in points],
                ("x" if rest else "o") if transform.discrete else "--" if rest else "-",
                color=color,
                linewidth=1.8 if true else 1,
                markersize=5 if true else 3.5,
            )
        mark_identity(ax, transform)
        set_scale(ax, transform, [row.magnitude for row in of_class], sparse=True)
        ax.set_title(shortened(name, letters / 8), fontsize=8, pad=9, color=BLUE, loc="left")
        ax.set_ylim(0, 1.02)
    middle = 0.5 + 0.165 / width
    figure.text(middle, 0.06 / height, axis_label(transform), ha="center")
    across: dict[str, Any] = {"rotation": 90, "va": "center"}
    figure.text(0.05 / width, 0.5 - (top - 0.45) / 2 / height, "mean softmax over a class", **across)
    return headed(figure, model, what)


@styled
def survival(
    transform: Transform,
    rows: Sequence[FlipRow],
    magnitudes: Sequence[float],
    confidence: float,
    model: str = "",
) -> Figure:
    """Draw the share of predictions unchanged so far over magnitude: of all images, and by class."""
    what = f"images whose prediction has not changed up to each magnitude of {transform.name}"
    classes = sorted({row.class_ for row in rows}, key=natural_order)
    classes = classes if len(classes) <= MOST_CURVES else []
    top = heading_height(WIDTH, model, what)
    height = top + 2.9
    figure = Figure(figsize=(WIDTH, height))
    right = 1.35 if classes else 0.1  # inches
    ax = figure.add_axes((0.5 / WIDTH, 0.42 / height, 1 - (0.5 + right) / WIDTH, 1 - (top + 0.45) / height))
    for side, of_side in groupby(rows, lambda row: row.side):
        members = list(of_side)
        frame = ax, transform, side
        _survivors(*frame, members, magnitudes, confidence, INK, "all images", whole=True)
        for number, name in enumerate(classes):
            of_class = [row for row in members if row.class_ == name]
            style: dict[str, Any] = {
                "color": MANY[number],
                "name": shortened(name),
                "dashes": "--" if number % 2 else "-",
            }
            _survivors(*frame, of_class, magnitudes, confidence, **style, whole=False)
    mark_identity(ax, transform)
    set_scale(ax, transform, magnitudes)
    ax.axhline(50, color="0.8", linewidth=0.7, zorder=0)
    ax.set(
        ylim=(0, 103),
        xlabel=f"{axis_label(transform)}; band: {100 * confidence:g} % interval",
        ylabel="% of images unchanged so far",
    )
    if classes:
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        place: dict[str, Any] = {
            "loc": "upper left",
            "bbox_to_anchor": (1 - (right - 0.02) / WIDTH, 1 - top / height),
        }
        figure.legend(handles.values(), handles, borderaxespad=0, handlelength=1.6, **place)
    return headed(figure, model, what)


def _survivors(
    ax: Axes,
    transform: Transform,
    side: str,
    rows: Sequence[FlipRow],
    magnitudes: Sequence[float],
    confidence: float,
    color: str,
    name: str,
    dashes: str = "-",
    *,
    whole: bool,
) -> None:
    """Draw the curve of one side; of all images it has a band."""
    distance = np.array([transform.distance(row.magnitude) for row in rows])
    curve = kaplan_meier(distance, np.array([row.flipped for row in rows]), confidence)
    curves = curve.share, curve.ci_low, curve.ci_high
    if transform.discrete:
        x = (transform.identity, *paths(transform, magnitudes).get(side, ()))
        at = np.searchsorted(curve.times, [transform.distance(v) + 1e-9 for v in x], "right") - 1
        share, low, high = (100 * y[at] for y in curves)
        if whole:
            ax.vlines(x, low, high, color=color, alpha=0.3, linewidth=5)
        ax.plot(x, share, "o" if whole else "_", color=color, markersize=4 if whole else 12, label=name)
        return
    ends = [transform.at_distance(time, side) for time in (*curve.times, distance.max())]
    share, low, high = (100 * np.append(y, y[-1]) for y in curves)
    if whole:
        ax.fill_between(ends, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    ax.step(ends, share, dashes, where="post", color=color, linewidth=1.8 if whole else 0.9, label=name)
