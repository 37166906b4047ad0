"""Records of a screen to figures; each function returns a Figure and shows nothing."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from itn.plotting.style import BROKEN, HOLDS, WIDTH, pixels
from itn.screening.plot_scales import (
    cell_edges,
    draw_band,
    limits,
    mark_identity,
    natural_order,
    percent,
    position,
    set_scale,
    shortened,
)
from itn.screening.records import PairRecord, ScreenRecord, SweepRecord
from itn.screening.summary import breaking_order
from itn.screening.tables import FlipRow, SoftmaxRow
from itn.screening.thresholds import Threshold
from itn.stats.survival import kaplan_meier
from itn.transforms.registry import Transform

BLUE, ORANGE, GREEN, GRAY = "#4477aa", "#ee7733", "#228833", "#777777"
MOST_PANELS = 10
MOST_CURVES = 10


def accuracy_curve(
    transform: Transform,
    sweep: SweepRecord,
    images: Tensor,
    held: Tensor,
    magnitudes: Sequence[float],
    confidence: float,
) -> Figure:
    """Draw accuracy and agreement over magnitude, with images at some magnitudes beneath.

    Args:
        transform: What was swept.
        sweep: Its record.
        images: R x T x C x H x W in [0, 1], the transformed images of R rows.
        held: Whether the prediction is that of the unchanged image, bool, R x T.
        magnitudes: The T magnitudes of the images, ascending.
        confidence: Of the bands.
    """
    rows = len(images)
    cell = 0.92 * 0.89 * WIDTH / len(magnitudes)  # inches; 0.89 is the share of the width inside the axes
    strip = 1.06 * rows * cell * images.shape[-2] / images.shape[-1]
    total = 3.25 + strip
    figure = Figure(figsize=(WIDTH, total))
    ax = figure.add_axes((0.09, (strip + 0.55) / total, 0.89, 2.3 / total))
    x = sweep.magnitudes
    draw_band(ax, x, sweep.ci_low, sweep.ci_high, BLUE)
    ax.plot(x, percent(sweep.accuracy), "o-", color=BLUE, markersize=4, linewidth=2, label="accuracy")
    draw_band(ax, x, sweep.agreement_ci_low, sweep.agreement_ci_high, ORANGE)
    ax.plot(
        x, percent(sweep.agreement), color=ORANGE, linewidth=1, label="agreement with unchanged prediction"
    )
    if sweep.control_accuracy is not None:
        control = percent(sweep.control_accuracy)
        ax.plot(x, control, "--", color=GREEN, linewidth=1, label="accuracy, round trip")
    if sweep.lost_content is not None:
        lost = percent(sweep.lost_content)
        ax.fill_between(x, 0, lost, color="0.88", zorder=0, label="area out of frame (%)")
    mark_identity(ax, transform)
    broken = [t.value for t in sweep.thresholds.accuracy.values() if t.value is not None]
    for number, v in enumerate(broken):
        label = f"accuracy at {100 * sweep.thresholds.accuracy_fraction:g} % of clean"
        ax.axvline(v, color=BROKEN, linewidth=0.9, linestyle=":", label=None if number else label)
    set_scale(ax, transform, sweep.magnitudes)
    ax.set(ylim=(0, 102), ylabel=f"% of {sweep.n:,} images")
    figure.legend(loc="upper center", ncols=3, fontsize=7, frameon=False)
    bottom = figure.add_axes((0.09, 0.3 / total, 0.89, strip / total))
    bottom.axis("off")
    bottom.set(xlim=(0, 1), ylim=(0, 1), autoscale_on=False)
    low, high = (position(transform, v) for v in ax.get_xlim())
    width = cell / (0.89 * WIDTH)
    for row in range(rows):
        for column, v in enumerate(magnitudes):
            centre = (position(transform, v) - low) / (high - low)
            left, base = centre - width / 2, 1 - (row + 1) / rows
            extent = (left, left + 0.97 * width, base, base + 0.94 / rows)
            bottom.imshow(
                pixels(images[row, column]), cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto"
            )
            frame = HOLDS if held[row, column] else BROKEN
            corner, size = (left, base), (0.97 * width, 0.94 / rows)
            bottom.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor=frame, linewidth=1.2, clip_on=False)
            )
    text = (
        f"{transform.name} ({transform.unit}); bands: {100 * confidence:g} % intervals; "
        "frames: prediction unchanged (green) or not (red)"
    )
    figure.text(0.535, 0.1 / total, text, ha="center", fontsize=8)
    return figure


def class_softmax(transform: Transform, rows: Sequence[SoftmaxRow]) -> Figure:
    """Draw the mean softmax over all images of a class against magnitude (Bunne et al., figures 2 and 3).

    For each class the true output, the two others that reach the top with the largest means, and the
    largest of all the rest. Of more than ten classes the first ones are drawn.
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
                ax.text(x, 1.02, shortened(output, 15), color=color, fontsize=6, **at)
            ax.plot(
                [point.magnitude for point in points],
                [point.softmax for point in points],
                "--" if rest else "-",
                color=color,
                linewidth=1.8 if true else 1,
            )
        mark_identity(ax, transform)
        set_scale(ax, transform, [row.magnitude for row in of_class], few=True)
        ax.set_title(shortened(name, 20), fontsize=8, pad=10, color=BLUE, loc="left")
        ax.set_ylim(0, 1.02)
        ax.tick_params(labelsize=7)
    figure.suptitle(
        "blue: the true class; orange, green: others that reach the top, named above; dashed: the largest of "
        "the rest",
        fontsize=8,
    )
    figure.supxlabel(f"{transform.name} ({transform.unit})", fontsize=9)
    figure.supylabel("mean softmax of all images of a class", fontsize=9)
    return figure


def survival(
    transform: Transform, rows: Sequence[FlipRow], magnitudes: Sequence[float], confidence: float
) -> Figure:
    """Draw the share of images whose prediction has not flipped yet, over magnitude: all, and by class."""
    figure = Figure(figsize=(WIDTH, 3.2))
    classes = sorted({row.class_ for row in rows}, key=natural_order)
    classes = classes if len(classes) <= MOST_CURVES else []
    ax = figure.add_axes((0.1, 0.14, 0.73 if classes else 0.87, 0.83))
    for side, of_side in groupby(rows, lambda row: row.side):
        members = list(of_side)
        _survivors(ax, transform, side, members, confidence, "black", "all images", band=True)
        for number, name in enumerate(classes):
            of_class = [row for row in members if row.class_ == name]
            _survivors(ax, transform, side, of_class, confidence, f"C{number}", shortened(name), band=False)
    mark_identity(ax, transform)
    set_scale(ax, transform, magnitudes)
    ax.axhline(50, color="0.8", linewidth=0.7, zorder=0)
    ax.set(
        ylim=(0, 102),
        xlabel=f"{transform.name} ({transform.unit}); band: {100 * confidence:g} % interval",
        ylabel="% of images not flipped yet",
    )
    if classes:
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles, loc="upper right", fontsize=7, frameon=False, title="class")
    return figure


def pair_map(pair: PairRecord, first: Transform, second: Transform, level: float) -> Figure:
    """Draw accuracy over two magnitudes as a heat map with contours (Bunne et al., figures 2d and 3d).

    Args:
        pair: The record.
        first: The transformation along x.
        second: The transformation along y.
        level: Accuracy of the bold contour: where the pair breaks the classifier.
    """
    figure = Figure(figsize=(0.72 * WIDTH, 0.6 * WIDTH), layout="constrained")
    ax = figure.subplots()
    table = 100 * np.array(pair.accuracy)
    edges = cell_edges(first, pair.magnitudes_x), cell_edges(second, pair.magnitudes_y)
    mesh = ax.pcolormesh(*edges, table, shading="flat", cmap="cividis", vmin=0, vmax=100)
    if min(table.shape) > 1:
        lines = ax.contour(
            pair.magnitudes_x, pair.magnitudes_y, table, levels=(25, 50, 75), colors="white", linewidths=0.7
        )
        ax.clabel(lines, fontsize=6, fmt="%g")
        ax.contour(
            pair.magnitudes_x, pair.magnitudes_y, table, levels=(100 * level,), colors=BROKEN, linewidths=1.4
        )
    ax.plot(first.identity, second.identity, "+", color="white", markersize=8)
    for axis, transform in (("x", first), ("y", second)):
        if transform.logarithmic:
            getattr(ax, f"set_{axis}scale")("log", base=2)
            getattr(ax, f"{axis}axis").set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        getattr(ax, f"set_{axis}label")(f"{transform.name} ({transform.unit})")
    ax.set_title(f"red: accuracy {100 * level:.1f} %; cross: no transformation", fontsize=8)
    figure.colorbar(mesh, label=f"accuracy (%), {pair.n:,} images")
    return figure


def thresholds(record: ScreenRecord, transforms: Mapping[str, Transform]) -> Figure:
    """Draw where each transformation breaks the classifier, what breaks it first on top.

    Each row has its own scale: the magnitudes that were swept, from the lowest to the highest.
    """
    order = [name for name, _ in breaking_order(record)]
    figure = Figure(figsize=(WIDTH, 0.52 * len(order) + 0.75))
    total = figure.get_figheight()
    for row, name in enumerate(order):
        transform, sweep = transforms[name], record.transforms[name]
        ax = figure.add_axes((0.24, 1 - (0.3 + 0.52 * (row + 0.62)) / total, 0.72, 0.26 / total))
        ax.set(ylim=(-1, 1), yticks=[])
        ax.spines[["left", "right", "top"]].set_visible(False)
        set_scale(ax, transform, sweep.magnitudes)
        ax.set_xlim(*limits(transform, sweep.magnitudes))
        mark_identity(ax, transform)
        medians = {side: flips.median for side, flips in sweep.thresholds.flips.items()}
        for y, sides, color, marker in (
            (0.4, sweep.thresholds.accuracy, BLUE, "o"),
            (-0.4, medians, ORANGE, "s"),
        ):
            _bar(ax, y, sides, sweep, color, marker)
        ax.tick_params(labelsize=6.5, pad=1, length=2)
        figure.text(
            0.225, 1 - (0.3 + 0.52 * (row + 0.42)) / total, f"{name}\n", ha="right", va="center", fontsize=8.5
        )
        figure.text(
            0.225, 1 - (0.3 + 0.52 * (row + 0.55)) / total, shortened(sweep.unit, 34), ha="right",
            va="center", fontsize=6, color=GRAY,
        )  # fmt: skip
    fraction = 100 * next(iter(record.transforms.values())).thresholds.accuracy_fraction
    handles = [
        figure.axes[0].plot([], [], "o-", color=BLUE, markersize=4, linewidth=4, alpha=0.8)[0],
        figure.axes[0].plot([], [], "s-", color=ORANGE, markersize=4, linewidth=4, alpha=0.8)[0],
    ]
    figure.legend(
        handles,
        [f"accuracy at least {fraction:g} % of clean", "half of the images keep their prediction"],
        loc="upper center", ncols=2, fontsize=8, frameon=False,
    )  # fmt: skip
    figure.text(
        0.5, 0.12 / total, f"{record.model}, {record.n:,} images; bars reach to the threshold (arrow: beyond "
        f"what was swept), whiskers: {100 * record.confidence:g} % intervals", ha="center", fontsize=7,
    )  # fmt: skip
    return figure


def _bar(
    ax: Axes, y: float, sides: dict[str, Threshold], sweep: SweepRecord, color: str, marker: str
) -> None:
    """Draw from threshold to threshold, with whiskers; to the end with an arrow where there is none."""
    ends = {"below": sweep.magnitudes[0], "above": sweep.magnitudes[-1]}
    for side, threshold in sides.items():
        end = ends[side] if threshold.value is None else threshold.value
        ax.plot([sweep.identity, end], [y, y], color=color, linewidth=4, alpha=0.45, solid_capstyle="butt")
        if threshold.value is None:
            ax.plot([end], [y], "<" if side == "below" else ">", color=color, markersize=4, clip_on=False)
            continue
        whisker = [ends[side] if v is None else v for v in (threshold.ci_low, threshold.ci_high)]
        if side == "below":
            whisker[1] = threshold.value if threshold.ci_high is None else threshold.ci_high
        else:
            whisker[0] = threshold.value if threshold.ci_low is None else threshold.ci_low
        ax.plot(whisker, [y, y], color=color, linewidth=1.2, marker="|", markersize=5)
        ax.plot([end], [y], marker, color=color, markersize=3.5)


def _survivors(
    ax: Axes,
    transform: Transform,
    side: str,
    rows: Sequence[FlipRow],
    confidence: float,
    color: str,
    name: str,
    *,
    band: bool,
) -> None:
    distance = np.array([transform.distance(row.magnitude) for row in rows])
    curve = kaplan_meier(distance, np.array([row.flipped for row in rows]), confidence)
    x = [transform.at_distance(time, side) for time in (*curve.times, distance.max())]
    share, low, high = (100 * np.append(y, y[-1]) for y in (curve.share, curve.ci_low, curve.ci_high))
    if band:
        ax.fill_between(x, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    ax.step(x, share, where="post", color=color, linewidth=1.8 if band else 0.8, label=name)
