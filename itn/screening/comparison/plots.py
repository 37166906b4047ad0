"""Figures of a comparison; each function returns a Figure and shows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from itn.plotting.names import shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    COLUMN,
    GRAY,
    INK,
    ORANGE,
    UNCHANGED,
    WIDTH,
    headed,
    heading_height,
    styled,
    titled,
)
from itn.runtime.wording import counted
from itn.screening.comparison.pairs import Flipped
from itn.screening.comparison.records import Difference, PairComparison, TransformComparison
from itn.screening.comparison.summary import difference_text
from itn.screening.criteria import measure

COLUMNS = 4  # of panels
MOST_NAME = 26  # letters of a screen's name
FEW = 300  # images, of which points are larger


@styled
def threshold_differences(pair: PairComparison, criterion: str, topk: int, confidence: float) -> Figure:
    """Draw how much farther the second goes than the first, with intervals.

    Each row is a share of the range that both have tried: of factors of its logarithm.
    """
    rows = [
        (f"{shortened(name, 22)}, {side} {compared.identity:g}", side, found, compared)
        for name, compared in pair.transforms.items()
        for side, found in compared.thresholds[criterion].items()
    ]
    first, second = (shortened(name, MOST_NAME) for name in (pair.first, pair.second))
    what = (
        f"how much farther {measure(criterion, topk)} is kept by {second} (right of 0) or by {first} (left); "
        f"bars: {100 * confidence:g} % intervals, gray where they hold 0; triangle: at least so much, as one "
        "goes on beyond what was tested; hollow: both do"
    )
    top = heading_height(WIDTH, "", what)
    height = top + 0.25 * len(rows) + 0.45
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.24, 0.4 / height, 0.48, 1 - (top + 0.42) / height))
    ax.axvline(0, color=INK, linewidth=0.7)
    for y, (_, side, found, compared) in enumerate(rows):
        value, low, high = (
            100 * _share(v, compared, side) for v in (found.value, found.ci_low, found.ci_high)
        )
        if found.first_beyond and found.second_beyond:
            ax.plot([0], [y], "o", color=GRAY, markersize=4, fillstyle="none")
        else:
            color = GRAY if low <= 0 <= high else BLUE if value > 0 else ORANGE
            ax.plot([low, high], [y, y], color=color, linewidth=1.4)
            ax.plot([value], [y], _mark(found), color=color, markersize=5)
        number = difference_text(found, compared.logarithmic)
        ax.text(1.02, y, number, transform=ax.get_yaxis_transform(), va="center", fontsize=6.5, color=INK)
    ax.set_yticks(range(len(rows)), [label for label, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    largest = max(map(abs, ax.get_xlim()))
    ax.set_xlim(-largest, largest)
    ax.set_xlabel("difference as % of the range that both have tried; beside it in the unit, of factors x")
    return headed(figure, "", what)


def _share(value: float, compared: TransformComparison, side: str) -> float:
    """Return a difference as a share of the distance that was tried."""
    tested = compared.tested[side]
    return float(np.log(value) / np.log(tested)) if compared.logarithmic else value / tested


def _mark(found: Difference) -> str:
    if found.second_beyond:
        return ">"
    return "<" if found.first_beyond else "o"


@styled
def flip_scatter(
    pair: PairComparison, flips: Mapping[str, Mapping[str, tuple[Flipped, Flipped]]], n: int
) -> Figure:
    """Draw where each prediction changes in the one and in the other; a panel for each transformation.

    Args:
        pair: The comparison.
        flips: By transformation and side.
        n: Number of images.
    """
    names = [name for name, compared in pair.transforms.items() if compared.median_flip] or list(
        pair.transforms
    )
    first, second = (shortened(name, MOST_NAME) for name in (pair.first, pair.second))
    what = (
        f"magnitudes at which the predictions of {first} and of {second} change, {counted(n, 'image')}, each "
        "a point on either side; triangles: one of the two does not change within what was tested; numbers: "
        "rank correlation on either side"
    )
    columns = min(COLUMNS, len(names))
    lines = -(-len(names) // columns)
    width = max(COLUMN, WIDTH * columns / COLUMNS + (0.3 if columns < COLUMNS else 0))
    top = heading_height(width, "", what) + 0.33
    height = top + 1.95 * lines + 0.15
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 0.1 / width,
        bottom=0.48 / height,
        top=1 - top / height,
        wspace=0.32,
        hspace=0.5,
    )
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.flat, names, strict=False):
        _panel(ax, name, pair.transforms[name], flips[name])
    figure.text(0.5 + 0.28 / width, 0.07 / height, f"magnitude at which {first} changes", ha="center")
    middle = 0.5 - (top - 0.48) / 2 / height
    text = f"magnitude at which\n{second} changes"
    figure.text(0.05 / width, middle, text, rotation=90, va="center", ha="left", multialignment="center")
    return headed(figure, "", what)


def _panel(
    ax: Axes, name: str, compared: TransformComparison, flips: Mapping[str, tuple[Flipped, Flipped]]
) -> None:
    ends = {side: _signed(compared, side, np.array([tested]))[0] for side, tested in _ends(compared).items()}
    texts = []
    for side, (one, other) in flips.items():
        x, y = _signed(compared, side, one.distance), _signed(compared, side, other.distance)
        both, first, second = one.ended & other.ended, one.ended & ~other.ended, other.ended & ~one.ended
        style: dict[str, Any] = {
            "markersize": 1.8 if len(x) > FEW else 3.5,
            "alpha": 0.35,
            "markeredgewidth": 0,
        }
        ax.plot(x[both], y[both], "o", color=BLUE, **style)
        outward = ("<", "v") if side == "below" else (">", "^")
        ax.plot(x[second], y[second], outward[0], color=ORANGE, **style | {"markersize": 3.6})
        ax.plot(x[first], y[first], outward[1], color=ORANGE, **style | {"markersize": 3.6})
        found = compared.correlation[side].value
        texts.append(f"{side} {compared.identity:g}: {'not known' if found is None else f'{found:.2f}'}")
    low, high = min(*ends.values(), 0), max(*ends.values(), 0)
    margin = 0.06 * (high - low)
    ax.plot([low, high], [low, high], color="0.6", linewidth=0.6, zorder=0)
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ticks = [low, 0.0, high] if low < 0 < high else [low, high]
    values = [f"{_unsigned(compared, tick):.3g}" for tick in ticks]
    ax.set_xticks(ticks, values)
    ax.set_yticks(ticks, values)
    ax.set_title(shortened(name, 18), pad=12)
    ax.text(0.5, 1.02, "; ".join(texts), transform=ax.transAxes, ha="center", va="bottom", fontsize=6)


def _ends(compared: TransformComparison) -> dict[str, float]:
    if compared.logarithmic:
        return {side: float(np.log(tested)) for side, tested in compared.tested.items()}
    return dict(compared.tested)


def _signed(
    compared: TransformComparison, side: str, distance: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return -distance if side == "below" else distance


def _unsigned(compared: TransformComparison, position: float) -> float:
    """Return the magnitude at a signed distance."""
    if compared.logarithmic:
        return compared.identity * float(np.exp(position))
    return compared.identity + position


class Shown(NamedTuple):
    """Images that break in one of two screens: unchanged, and where they break."""

    images: Tensor
    """R x 2T x C x H x W: T images a row, each unchanged and then changed."""
    titles: Sequence[Sequence[str]]
    broken: Sequence[Sequence[bool | None]]
    """R x 2T: unchanged or where it breaks; None where a row has no more images."""


@styled
def broken_images(pair: PairComparison, shown: Shown) -> Figure:
    """Draw images that break in one screen and not in the other."""
    rows, columns = shown.images.shape[:2]
    first, second = (shortened(name, MOST_NAME) for name in (pair.first, pair.second))
    what = (
        f"images that break only in {first} or only in {second}: of each two the left one is unchanged, "
        "below its class; the right one (red, dashed) is changed just as far as breaks it"
    )
    # Inches: the heading, the titles of a row, and an image
    top, lines = heading_height(WIDTH, "", what), 0.42
    tall = 0.94 * WIDTH / columns * shown.images.shape[-2] / shown.images.shape[-1]
    height = top + rows * (tall + lines) + 0.04
    figure = Figure(figsize=(WIDTH, height))
    known = {True: BROKEN, False: UNCHANGED, None: "white"}
    colors = [[known[each] for each in row] for row in shown.broken]
    titled(figure, shown.images, shown.titles, colors, size=6)
    figure.subplots_adjust(
        left=0.005, right=0.995, bottom=0.04 / height, top=1 - (top + lines) / height, hspace=lines / tall
    )
    return headed(figure, "", what)
