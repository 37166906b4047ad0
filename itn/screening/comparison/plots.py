"""Figures of a comparison; each function returns a Figure and shows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from itn.plotting.names import shortened
from itn.plotting.style import BLUE, BROKEN, GRAY, ORANGE, UNCHANGED, WIDTH, titled
from itn.runtime.wording import counted
from itn.screening.comparison.pairs import Flipped
from itn.screening.comparison.records import Difference, PairComparison, TransformComparison
from itn.screening.comparison.summary import difference_text
from itn.screening.criteria import measure

COLUMNS = 4  # of panels
MOST_NAME = 26  # letters of a screen's name
FEW = 300  # images, of which points are larger


def threshold_differences(pair: PairComparison, criterion: str, topk: int, confidence: float) -> Figure:
    """Draw how much farther the second goes than the first, with intervals.

    Each row is a share of the range that both have tried: of factors of its logarithm.
    """
    rows = [
        (f"{shortened(name, 24)}, {side}", side, found, compared)
        for name, compared in pair.transforms.items()
        for side, found in compared.thresholds[criterion].items()
    ]
    height = 0.27 * len(rows) + 0.85
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.25, 0.45 / height, 0.44, 1 - 0.78 / height))
    ax.axvline(0, color="black", linewidth=0.7)
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
        ax.text(1.02, y, number, transform=ax.get_yaxis_transform(), va="center", fontsize=6.5, color=GRAY)
    ax.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=7)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    largest = max(map(abs, ax.get_xlim()))
    ax.set_xlim(-largest, largest)
    ax.tick_params(labelsize=7)
    ax.set_xlabel(
        f"{_side_text(pair)}, as % of what both have tried; bars: {100 * confidence:g} % intervals",
        fontsize=7.5, x=0.5,
    )  # fmt: skip
    figure.text(
        0.5, 1 - 0.2 / height,
        f"how far {measure(criterion, topk)} is kept; triangles: one of both goes on beyond, hollow: both do",
        ha="center", fontsize=7.5,
    )  # fmt: skip
    return figure


def _side_text(pair: PairComparison) -> str:
    return f"{shortened(pair.second, MOST_NAME)} less {shortened(pair.first, MOST_NAME)}"


def _share(value: float, compared: TransformComparison, side: str) -> float:
    """Return a difference as a share of the distance that was tried."""
    tested = compared.tested[side]
    return float(np.log(value) / np.log(tested)) if compared.logarithmic else value / tested


def _mark(found: Difference) -> str:
    if found.second_beyond:
        return ">"
    return "<" if found.first_beyond else "o"


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
    columns = min(COLUMNS, len(names))
    lines = -(-len(names) // columns)
    height = 1.95 * lines + 0.75
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(lines, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.6 / WIDTH,
        right=1 - 0.1 / WIDTH,
        bottom=0.55 / height,
        top=1 - 0.55 / height,
        wspace=0.32,
        hspace=0.45,
    )
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.flat, names, strict=False):
        _panel(ax, name, pair.transforms[name], flips[name])
    figure.supxlabel(f"where predictions of {shortened(pair.first, MOST_NAME)} change", fontsize=8)
    figure.supylabel(f"of {shortened(pair.second, MOST_NAME)}", fontsize=8)
    figure.text(
        0.5, 1 - 0.2 / height,
        f"{counted(n, 'image')}; triangles at the edge: unchanged in one of both up to there; "
        "correlation below, above the identity",
        ha="center", fontsize=7,
    )  # fmt: skip
    return figure


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
        texts.append("-" if found is None else f"{found:.2f}")
    low, high = min(*ends.values(), 0), max(*ends.values(), 0)
    margin = 0.06 * (high - low)
    ax.plot([low, high], [low, high], color="0.6", linewidth=0.6, zorder=0)
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ticks = [low, 0.0, high] if low < 0 < high else [low, high]
    values = [f"{_unsigned(compared, tick):.3g}" for tick in ticks]
    ax.set_xticks(ticks, values, fontsize=6)
    ax.set_yticks(ticks, values, fontsize=6)
    ax.set_title(f"{shortened(name, 16)}: {', '.join(texts)}", fontsize=7.5, pad=3)


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


def broken_images(pair: PairComparison, shown: Shown) -> Figure:
    """Draw images that break in one screen and not in the other."""
    rows, columns = shown.images.shape[:2]
    cell = WIDTH / columns
    height = rows * (cell * shown.images.shape[-2] / shown.images.shape[-1] + 0.32) + 0.35
    figure = Figure(figsize=(WIDTH, height))
    known = {True: BROKEN, False: UNCHANGED, None: "white"}
    colors = [[known[each] for each in row] for row in shown.broken]
    titled(figure, shown.images, shown.titles, colors, size=5)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=1 - 0.55 / height, hspace=0.35)
    figure.text(
        0.5, 1 - 0.2 / height,
        f"break in {shortened(pair.first, MOST_NAME)} or {shortened(pair.second, MOST_NAME)} alone: images "
        "unchanged, and where they break",
        ha="center", fontsize=8,
    )  # fmt: skip
    return figure
