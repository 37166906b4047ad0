"""Figures of one sweep; each function returns a Figure and shows nothing."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from itn.plotting.names import AVERAGE, shortened
from itn.plotting.style import BLUE, BROKEN, GRAY, GREEN, ORANGE, PURPLE, UNCHANGED, WIDTH, pixels
from itn.runtime.wording import counted
from itn.screening.criteria import measure, short_text
from itn.screening.plot_scales import (
    axis_label,
    draw_curve,
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
FEWEST_COLUMNS = 9  # of the images beneath a curve: fewer images are not drawn larger, they would be cut off


def accuracy_curve(
    transform: Transform,
    sweep: SweepRecord,
    images: Tensor,
    unchanged: Tensor,
    magnitudes: Sequence[float],
    confidence: float,
    labeled: bool = True,
) -> Figure:
    """Draw accuracy, agreement and softmax change over magnitude, with images at some magnitudes beneath.

    Args:
        transform: The transformation.
        sweep: Its record.
        images: R x T x C x H x W in [0, 1], R images at T magnitudes.
        unchanged: Bool, R x T: whether the prediction is the same as without the transformation.
        magnitudes: The T magnitudes of the images, ascending.
        confidence: Confidence of the bands.
        labeled: Whether labels were given; if not, accuracy is agreement, and not drawn.
    """
    rows = len(images)
    columns = max(len(magnitudes), FEWEST_COLUMNS)
    cell = 0.92 * 0.89 * WIDTH / columns  # inches; 0.89 is the share of the width inside the axes
    height = 1.06 * rows * cell * images.shape[-2] / images.shape[-1]
    total = 3.25 + height
    figure = Figure(figsize=(WIDTH, total))
    ax = figure.add_axes((0.09, (height + 0.55) / total, 0.89, 2.3 / total))
    x = sweep.magnitudes
    _draw_curves(ax, transform, sweep, labeled)
    mark_identity(ax, transform)
    mark_breaks(ax, sweep)
    set_scale(ax, transform, x)
    ax.set(ylim=(0, 102), ylabel=f"% of {counted(sweep.n, 'image')}")
    figure.legend(loc="upper center", ncols=3, fontsize=7, frameon=False)
    strip = figure.add_axes((0.09, 0.3 / total, 0.89, height / total))
    low, high = (position(transform, v) for v in ax.get_xlim())
    centers = [(position(transform, v) - low) / (high - low) for v in magnitudes]
    _draw_strip(strip, images, unchanged, centers, cell / (0.89 * WIDTH))
    text = (
        f"{axis_label(transform)}; {'bars' if transform.discrete else 'bands'}: {100 * confidence:g} % "
        "intervals; frames: prediction unchanged (green) or changed (red)"
    )
    figure.text(0.535, 0.1 / total, text, ha="center", fontsize=8)
    return figure


def _draw_curves(ax: Axes, transform: Transform, sweep: SweepRecord, labeled: bool) -> None:
    x, discrete = sweep.magnitudes, transform.discrete
    # Points at one magnitude stand side by side
    beside = [v + 0.03 * (x[-1] - x[0]) for v in x] if discrete else x
    interval = sweep.ci_low, sweep.ci_high
    topk = sweep.thresholds.topk
    agreement = f"predictions {'unchanged' if topk == 1 else f'among the top {topk}'}"
    accuracy = measure("accuracy", topk) if labeled else agreement
    style: dict[str, Any] = {"markersize": 4, "linewidth": 2, "label": accuracy}
    if labeled:
        draw_curve(ax, transform, x, sweep.accuracy, interval, BLUE, "o", **style)
        style = style | {"linewidth": 1, "label": agreement}
    interval = sweep.agreement_ci_low, sweep.agreement_ci_high
    draw_curve(ax, transform, beside, sweep.agreement, interval, ORANGE, "", **style)
    ax.plot(
        x,
        percent(sweep.softmax_change),
        "d" if discrete else "-.",
        color=PURPLE,
        markersize=4,
        linewidth=1.2,
        label="mean change of the softmax (total variation)",
    )
    if sweep.control_accuracy is not None:
        control, marks = percent(sweep.control_accuracy), "^" if discrete else "--"
        style = {"markersize": 4, "linewidth": 1, "label": f"{accuracy}, round-trip control"}
        ax.plot(x, control, marks, color=GREEN, **style)
    if sweep.lost_content is not None:
        lost, label = percent(sweep.lost_content), "% of the area moved out of the frame"
        if discrete:
            ax.vlines(x, 0, lost, color="0.88", linewidth=12, zorder=0, label=label)
        else:
            ax.fill_between(x, 0, lost, color="0.88", zorder=0, label=label)


def mark_breaks(ax: Axes, sweep: SweepRecord) -> None:
    """Draw a vertical line where too little is kept first, or at each discrete magnitude where it is."""
    thresholds = sweep.thresholds
    if sweep.kept is None:
        breaks = [t.value for t in thresholds.of_criterion.values() if t.value is not None]
    else:
        breaks = [v for v, kept in zip(sweep.magnitudes, sweep.kept, strict=True) if not kept]
    falls = "falls" if sweep.kept is None else "is"
    short, level = short_text(thresholds.criterion, thresholds.accuracy_fraction, thresholds.topk).split(
        " >= "
    )
    label: str | None = f"{short} {falls} below {level}"
    for v in breaks:
        ax.axvline(v, color=BROKEN, linewidth=0.9, linestyle=":", label=label)
        label = None


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
            frame = Rectangle((left, base), *size, fill=False, edgecolor=color, linewidth=1.2, clip_on=False)
            ax.add_patch(frame)


def class_softmax(transform: Transform, rows: Sequence[SoftmaxRow]) -> Figure:
    """Draw the mean softmax over all images of a class against magnitude (Bunne et al., figures 2 and 3).

    Each class has a panel with its own output, up to two others that have the largest mean at some magnitude,
    and the largest of all the rest. Of more than ten classes the first ten are drawn.
    """
    panels = [(name, list(lines)) for name, lines in groupby(rows, lambda row: row.class_)][:MOST_PANELS]
    columns = min(len(panels), 5)
    lines = -(-len(panels) // columns)
    # Margins by hand, in inches: matplotlib's layout engines take longer than the drawing
    width, height = max(WIDTH * columns / 5, 3.4), 1.85 * lines + 0.85
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.55 / width,
        right=1 - 0.12 / width,
        bottom=0.55 / height,
        top=1 - 0.7 / height,
        wspace=0.14,
        hspace=0.4,
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
                at = {"transform": ax.transAxes, "ha": side, "va": "bottom"}
                ax.text(x, 1.02, shortened(output, letters / 6 / 2), color=color, fontsize=6, **at)
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
        ax.set_title(shortened(name, letters / 8), fontsize=8, pad=10, color=BLUE, loc="left")
        ax.set_ylim(0, 1.02)
        ax.tick_params(labelsize=7)
    key = (
        "blue: true class; orange, green: others that lead at some magnitude, named above; "
        f"{'crosses' if transform.discrete else 'dashed'}: largest of the rest"
    )
    figure.suptitle(textwrap.fill(key, round(16 * width)), fontsize=8)
    figure.supxlabel(axis_label(transform), fontsize=9)
    figure.supylabel("mean softmax over a class", fontsize=9)
    return figure


def survival(
    transform: Transform, rows: Sequence[FlipRow], magnitudes: Sequence[float], confidence: float
) -> Figure:
    """Draw the share of predictions unchanged so far over magnitude: of all images, and by class."""
    figure = Figure(figsize=(WIDTH, 3.2))
    classes = sorted({row.class_ for row in rows}, key=natural_order)
    classes = classes if len(classes) <= MOST_CURVES else []
    ax = figure.add_axes((0.1, 0.14, 0.73 if classes else 0.87, 0.83))
    for side, of_side in groupby(rows, lambda row: row.side):
        members = list(of_side)
        frame = ax, transform, side
        _survivors(*frame, members, magnitudes, confidence, "black", "all images", band=True)
        for number, name in enumerate(classes):
            of_class = [row for row in members if row.class_ == name]
            label = shortened(name)
            _survivors(*frame, of_class, magnitudes, confidence, f"C{number}", label, band=False)
    mark_identity(ax, transform)
    set_scale(ax, transform, magnitudes)
    ax.axhline(50, color="0.8", linewidth=0.7, zorder=0)
    ax.set(
        ylim=(0, 102),
        xlabel=f"{axis_label(transform)}; band: {100 * confidence:g} % interval",
        ylabel="% of predictions unchanged so far",
    )
    if classes:
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles, loc="upper right", fontsize=7, frameon=False, title="class")
    return figure


def _survivors(
    ax: Axes,
    transform: Transform,
    side: str,
    rows: Sequence[FlipRow],
    magnitudes: Sequence[float],
    confidence: float,
    color: str,
    name: str,
    *,
    band: bool,
) -> None:
    distance = np.array([transform.distance(row.magnitude) for row in rows])
    curve = kaplan_meier(distance, np.array([row.flipped for row in rows]), confidence)
    curves = curve.share, curve.ci_low, curve.ci_high
    if transform.discrete:
        x = (transform.identity, *paths(transform, magnitudes).get(side, ()))
        at = np.searchsorted(curve.times, [transform.distance(v) + 1e-9 for v in x], "right") - 1
        share, low, high = (100 * y[at] for y in curves)
        if band:
            ax.vlines(x, low, high, color=color, alpha=0.3, linewidth=5)
        ax.plot(x, share, "o" if band else "_", color=color, markersize=4 if band else 12, label=name)
        return
    ends = [transform.at_distance(time, side) for time in (*curve.times, distance.max())]
    share, low, high = (100 * np.append(y, y[-1]) for y in curves)
    if band:
        ax.fill_between(ends, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    ax.step(ends, share, where="post", color=color, linewidth=1.8 if band else 0.8, label=name)
