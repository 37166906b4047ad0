"""Names beside the ends of lines, in place of a legend."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from itn.plotting.style import STYLE

Floats = NDArray[np.float64]

SIZE = STYLE["legend.fontsize"]


class LineEnd(NamedTuple):
    """Where a line ends at the right, in the units of the axes, and what is written beside it."""

    x: float
    y: float
    text: str
    color: str


def label_ends(ax: Axes, ends: Sequence[LineEnd], height: float, size: float = SIZE) -> None:
    """Write what lines are called to the right of an axes, apart from each other, in the colors of the lines.

    Args:
        ax: The axes, with its final limits.
        ends: Of the lines.
        height: Of the axes, in inches.
        size: Of the letters, in points.
    """
    if not ends:
        return
    to_axes = ax.transData + ax.transAxes.inverted()
    places = np.array([to_axes.transform((end.x, end.y)) for end in ends]).clip(0, 1)
    order = np.argsort(places[:, 1], kind="stable")
    heights = np.array([1.3 * size / 72 * (1 + end.text.count("\n")) / height for end in ends])
    apart = dict(zip(order.tolist(), _apart(places[order, 1], heights[order]), strict=True))
    for number, end in enumerate(ends):
        ax.annotate(
            end.text,
            (float(places[number, 0]), float(places[number, 1])),
            (1.03, float(apart[number])),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            color=end.color,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": end.color, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0},
        )


def _apart(wanted: Floats, heights: Floats) -> Floats:
    """Return ascending places as near to those wanted as they can be without overlapping."""
    placed = wanted.astype(float).copy()
    for _ in range(200):
        gaps = (heights[1:] + heights[:-1]) / 2 - np.diff(placed)
        if not (gaps > 1e-6).any():
            break
        push = np.maximum(gaps, 0) / 2
        placed[1:] += push
        placed[:-1] -= push
        placed = placed.clip(heights / 2 - 0.05, None)
    return placed
