"""Figures of a whole screen; each function returns a Figure and shows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from itn.plotting.names import shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    COLUMN,
    GRAY,
    ORANGE,
    WIDTH,
    headed,
    heading_height,
    styled,
)
from itn.runtime.wording import counted
from itn.screening.criteria import measure, short_text
from itn.screening.plot_scales import axis_label, cell_edges, limits, mark_identity, set_scale
from itn.screening.records import PairRecord, ScreenRecord, SweepRecord
from itn.screening.summary import breaking_order, unit_text
from itn.screening.thresholds import Threshold
from itn.transforms import Transform

ROW = 0.5  # inches: of a transformation among the thresholds
MOST_SHARES = 7  # written beside the magnitudes of one discrete transformation


@styled
def pair_map(
    pair: PairRecord, first: Transform, second: Transform, clean_accuracy: float, model: str = ""
) -> Figure:
    """Draw accuracy over two magnitudes as a heat map with contours (Bunne et al., figures 2d and 3d).

    Args:
        pair: The record.
        first: The transformation along x.
        second: The transformation along y.
        clean_accuracy: Accuracy on unchanged images; the pair breaks the classifier beyond the red contour,
            where less than ``pair.accuracy_fraction`` of it, or of what the criterion asks for, is kept.
        model: Name of the classifier.
    """
    shares, level = pair.kept_of_all(clean_accuracy)
    kept = 100 * np.array(shares)
    figure = Figure(figsize=(COLUMN, COLUMN), layout="constrained")
    ax = figure.subplots()
    table = 100 * np.array(pair.accuracy)
    edges = cell_edges(first, pair.magnitudes_x), cell_edges(second, pair.magnitudes_y)
    mesh = ax.pcolormesh(*edges, table, shading="flat", cmap="cividis", vmin=0, vmax=100)
    discrete = first.discrete or second.discrete
    if discrete:  # nothing lies between magnitudes, so that there is no contour
        y, x = np.nonzero(kept < 100 * level)
        ax.plot(np.array(pair.magnitudes_x)[x], np.array(pair.magnitudes_y)[y], "x", color=BROKEN)
    elif min(table.shape) > 1:
        lines = ax.contour(
            pair.magnitudes_x, pair.magnitudes_y, table, levels=(25, 50, 75), colors="white", linewidths=0.7
        )
        ax.clabel(lines, fontsize=6, fmt="%g")
        ax.contour(
            pair.magnitudes_x, pair.magnitudes_y, kept, levels=(100 * level,), colors=BROKEN, linewidths=1.6
        )
    ax.plot(first.identity, second.identity, "+", color="white", markersize=8)
    for axis, transform, magnitudes in (
        ("x", first, pair.magnitudes_x),
        ("y", second, pair.magnitudes_y),
    ):
        if transform.logarithmic:
            getattr(ax, f"set_{axis}scale")("log", base=2)
            getattr(ax, f"{axis}axis").set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        elif transform.discrete:
            getattr(ax, f"set_{axis}ticks")(magnitudes)
        getattr(ax, f"set_{axis}label")(axis_label(transform))
    bar = figure.colorbar(mesh, label=f"{measure('accuracy', pair.topk)} (% of {counted(pair.n, 'image')})")
    bar.outline.set_visible(False)
    short, share = short_text(pair.criterion, pair.accuracy_fraction, pair.topk).split(" >= ")
    share = f"{100 * level:.1f} %, {share}" if pair.criterion == "accuracy" else share
    red = f"red crosses: {short} below" if discrete else f"red line: {short}"
    cross = "white cross" if discrete else "cross"
    return headed(figure, model, f"{pair.x} and {pair.y} together; {red} {share}; {cross}: unchanged images")


@styled
def thresholds(record: ScreenRecord, transforms: Mapping[str, Transform]) -> Figure:
    """Draw where each transformation breaks the classifier; on top is what breaks it first.

    Each row has its own scale, from the lowest to the highest magnitude tested.
    """
    order = [name for name, _ in breaking_order(record)]
    what = (
        f"how far each transformation may go, {counted(record.n, 'image')}; on top what breaks the "
        "classifier with the least change of the pixels"
    )
    discrete = any(sweep.kept is not None for sweep in record.transforms.values())
    top, bottom = heading_height(WIDTH, record.model, what) + 0.2, 0.3 + 0.14 * discrete
    total = top + ROW * len(order) + bottom
    figure = Figure(figsize=(WIDTH, total))
    left, right = 1.75, 0.25  # inches
    for row, name in enumerate(order):
        transform, sweep = transforms[name], record.transforms[name]
        middle = top + ROW * (row + 0.3)  # inches from above
        place = (left / WIDTH, 1 - (middle + 0.13) / total, 1 - (left + right) / WIDTH, 0.26 / total)
        ax = figure.add_axes(place)
        ax.set(ylim=(-1, 1), yticks=[])
        ax.spines["left"].set_visible(False)
        set_scale(ax, transform, sweep.magnitudes)
        if not transform.discrete:
            ax.set_xlim(*limits(transform, sweep.magnitudes))
        mark_identity(ax, transform)
        _draw_extents(ax, sweep)
        ax.tick_params(labelsize=6.5, pad=1)
        at: dict[str, Any] = {"x": (left - 0.13) / WIDTH, "ha": "right", "va": "center"}
        figure.text(y=1 - (middle - 0.05) / total, s=shortened(name, 21), fontsize=8.5, **at)
        unit = shortened(unit_text(name, sweep.unit), 34)
        figure.text(y=1 - (middle + 0.09) / total, s=unit, fontsize=6.5, color=GRAY, **at)
    fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
    handles = [
        figure.axes[0].plot([], [], "o-", color=BLUE, markersize=4, linewidth=4, alpha=0.8)[0],
        figure.axes[0].plot([], [], "s-", color=ORANGE, markersize=4, linewidth=4, alpha=0.8)[0],
    ]
    place_of_key: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (left / WIDTH, 1 - (top - 0.2) / total),
    }
    figure.legend(
        handles,
        [short_text(record.criterion, fraction, record.topk), "half of the predictions unchanged"],
        ncols=2, fontsize=8, borderaxespad=0, borderpad=0, **place_of_key,
    )  # fmt: skip
    key = (
        "bars end at the threshold, arrows where it lies beyond the tested range; whiskers: "
        f"{100 * record.confidence:g} % intervals"
    )
    if discrete:
        key += "\nno bar, where there is nothing in between: % of images kept there, and a cross if too few"
    figure.text(left / WIDTH, 0.06 / total, key, fontsize=7)
    return headed(figure, record.model, what)


def _draw_extents(ax: Axes, sweep: SweepRecord) -> None:
    """Draw how far the criterion (above) and predictions (below) hold: as bars, or at which magnitudes."""
    if sweep.kept is None:
        medians = {side: flips.median for side, flips in sweep.thresholds.flips.items()}
        _bar(ax, 0.4, sweep.thresholds.of_criterion, sweep, BLUE, "o")
        _bar(ax, -0.4, medians, sweep, ORANGE, "s")
        return
    ax.spines["bottom"].set_visible(False)
    unchanged = [share >= 0.5 for share in sweep.unchanged]
    shares = sweep.accuracy if sweep.thresholds.criterion == "accuracy" else sweep.kept_share
    _points(ax, 0.4, sweep, sweep.kept, shares, BLUE, "o")
    _points(ax, -0.4, sweep, unchanged, sweep.unchanged, ORANGE, "s")


def _points(
    ax: Axes,
    y: float,
    sweep: SweepRecord,
    kept: Sequence[bool],
    shares: Sequence[float],
    color: str,
    marker: str,
) -> None:
    """Draw a point at each discrete magnitude, or a cross where something is not kept, with its share."""
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 6, "color": color}
    for v, is_kept, share in zip(sweep.magnitudes, kept, shares, strict=True):
        if v != sweep.identity:
            ax.plot([v], [y], marker if is_kept else "x", color=color, markersize=4.5)
            ax.annotate(f"{100 * share:.1f} %" if len(kept) <= MOST_SHARES else "", (v, y), (5, 0), **style)


def _bar(
    ax: Axes, y: float, sides: dict[str, Threshold], sweep: SweepRecord, color: str, marker: str
) -> None:
    """Draw a bar from threshold to threshold, with whiskers; where there is none, an arrow at the end."""
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
