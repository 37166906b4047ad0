"""Scales and marks that the figures of a screen share."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from itn.plotting.style import BROKEN, INK
from itn.screening.criteria import short_text
from itn.screening.plot_points import level_of_all
from itn.screening.records import SweepRecord
from itn.screening.summary import unit_text
from itn.transforms import Transform


def draw_band(ax: Axes, x: Sequence[float], low: Sequence[float], high: Sequence[float], color: str) -> None:
    """Shade an interval of fractions, in percent."""
    ax.fill_between(x, percent(low), percent(high), color=color, alpha=0.2, linewidth=0)


def draw_curve(
    ax: Axes,
    transform: Transform,
    x: Sequence[float],
    shares: Sequence[float],
    interval: tuple[Sequence[float], Sequence[float]],
    color: str,
    marker: str,
    **style: Any,
) -> None:
    """Draw a curve of fractions with its band, in percent; of a discrete transformation points with bars."""
    if transform.discrete:
        low, high = map(percent, interval)
        ax.vlines(x, low, high, color=color, alpha=0.5, linewidth=1.5)
        marker, style = marker or "s", style | {"linestyle": "none"}
    else:
        draw_band(ax, x, *interval, color)
    ax.plot(x, percent(shares), marker=marker, color=color, **style)


def mark_identity(ax: Axes, transform: Transform) -> None:
    """Draw a vertical line where a transformation changes nothing."""
    ax.axvline(transform.identity, color=INK, linewidth=0.6, alpha=0.6, zorder=1)


def mark_breaks(ax: Axes, sweep: SweepRecord, clean_accuracy: float) -> None:
    """Draw the level below which too little is kept, and where that is first, with its magnitude.

    Of a discrete transformation, whose magnitudes stand alone, it is drawn wherever it is too little.
    """
    level = 100 * level_of_all(sweep, clean_accuracy)
    ax.axhline(level, color=BROKEN, linewidth=0.7, linestyle=":", zorder=1)
    if sweep.kept is not None:
        for v, kept in zip(sweep.magnitudes, sweep.kept, strict=True):
            if not kept:
                ax.axvline(v, color=BROKEN, linewidth=0.9, linestyle=":", zorder=1)
        return
    for side, threshold in sweep.thresholds.of_criterion.items():
        if threshold.value is not None:
            ax.axvline(threshold.value, color=BROKEN, linewidth=0.9, linestyle=":", zorder=1)
            away = -1 if side == "below" else 1
            ax.annotate(
                f"{threshold.value:.3g}",
                (threshold.value, 0),
                (3 * away, 3),
                textcoords="offset points",
                ha="right" if away < 0 else "left",
                color=BROKEN,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
            )


def breaks_handle(sweep: SweepRecord) -> Line2D:
    """Return what stands for the marks of ``mark_breaks`` in a legend."""
    thresholds = sweep.thresholds
    short, level = short_text(thresholds.criterion, thresholds.accuracy_fraction, thresholds.topk).split(
        " >= "
    )
    label = f"{short} {'falls' if sweep.kept is None else 'is'} below {level}"
    return Line2D([], [], color=BROKEN, linewidth=0.9, linestyle=":", label=label)


def axis_label(transform: Transform) -> str:
    """Return the name of a transformation with its unit."""
    return f"{transform.name} ({unit_text(transform.name, transform.unit)})"


def set_scale(ax: Axes, transform: Transform, magnitudes: Sequence[float], sparse: bool = False) -> None:
    """Set the limits and ticks of x, for factors on a logarithmic scale; sparse: fewer ticks."""
    values = sorted({*magnitudes, transform.identity})
    if transform.logarithmic:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(LogLocator(4 if sparse else 2))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
    if transform.discrete:
        ax.set_xticks(values)
    elif transform.unit == "degrees" and values[-1] - values[0] >= 180 and not transform.logarithmic:
        few = 180 if values[-1] - values[0] > 180 else 90
        ax.set_xticks(np.arange(-360, 361, few if sparse else 45))
    low, high = (position(transform, v) for v in limits(transform, magnitudes))
    margin = (0.5 / (len(values) - 1) if transform.discrete else 0.055) * (high - low)
    ends = (low - margin, high + margin)
    ax.set_xlim(*(np.exp(ends) if transform.logarithmic else ends))


def limits(transform: Transform, magnitudes: Sequence[float]) -> tuple[float, float]:
    """Return the first and last position to draw."""
    return min(*magnitudes, transform.identity), max(*magnitudes, transform.identity)


def position(transform: Transform, v: float) -> float:
    """Return where a magnitude lies on a linear axis: for factors, their logarithm."""
    return float(np.log(v)) if transform.logarithmic else v


def percent(values: Sequence[float]) -> list[float]:
    """Return fractions in percent."""
    return [100 * value for value in values]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that puts class 2 before class 10."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", name)]


def cell_edges(transform: Transform, centers: Sequence[float]) -> NDArray[np.float64]:
    """Return the edges of cells around magnitudes, halfway between them (factors: in their logarithm)."""
    x = np.array([position(transform, v) for v in centers])
    middle = (x[1:] + x[:-1]) / 2
    first, last = (x[0] - middle[0], x[-1] - middle[-1]) if len(x) > 1 else (-0.5, 0.5)
    edges = np.concatenate([[x[0] + first], middle, [x[-1] + last]])
    return np.exp(edges) if transform.logarithmic else edges
