"""Training curves of networks, as a Figure."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from itn.plotting.style import BLUE, CYAN, GREEN, PURPLE, RED, WIDTH, YELLOW

_COLORS = (BLUE, RED, GREEN, PURPLE, CYAN, YELLOW)
_DOTS = (":", "-.", (0, (1, 4)))


def training_curves(
    histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    *,
    lines: Mapping[str, float] | None = None,
) -> Figure:
    """Draw loss and accuracy on training (dashed) and test images (solid) over epochs, of several runs.

    Each line is the mean of a variant's runs; each band spans from the lowest to the highest run. The axis
    of accuracy starts at the lowest value after the first epoch.

    Args:
        histories: For each variant its runs, such as one per seed, and for each run its epochs with
            ``train_loss``, ``train_accuracy``, ``test_loss`` and ``test_accuracy``; accuracies are
            fractions of images.
        lines: Losses at which to draw a horizontal line, by name, such as the smallest possible one.

    Raises:
        ValueError: If there is no variant, or the runs of a variant differ in their number of epochs.
    """
    if not histories:
        raise ValueError("histories must hold at least one variant, got none")
    for variant, runs in histories.items():
        epochs = [len(run) for run in runs]
        if len(set(epochs)) != 1 or not epochs[0]:
            raise ValueError(f"runs of {variant!r} must have equally many epochs, at least 1, got {epochs}")
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    legend = []
    later_accuracies = []  # after the first epoch
    for (variant, runs), color in zip(histories.items(), cycle(_COLORS), strict=False):
        legend.append(Line2D([], [], color=color, label=variant))
        for part, dashes in (("train", "--"), ("test", "-")):
            for ax, what, unit in ((left, "loss", 1), (right, "accuracy", 100)):
                values = [[unit * epoch[f"{part}_{what}"] for epoch in run] for run in runs]
                _runs(ax, np.array(values), color, dashes, f"{variant}, {part}")
            later_accuracies += [value for run in values for value in run[1:] or run]
    legend += [
        Line2D([], [], color="black", linestyle="--", label="training"),
        Line2D([], [], color="black", linestyle="-", label="test"),
    ]
    for (name, loss), dots in zip((lines or {}).items(), cycle(_DOTS), strict=False):
        legend.append(left.axhline(loss, color="0.3", linewidth=1, linestyle=dots, label=name))
    margin = 0.05 * (max(later_accuracies) - min(later_accuracies)) or 1.0
    right.set_ylim(min(later_accuracies) - margin, max(later_accuracies) + margin)
    left.set_ylabel("loss")
    right.set_ylabel("accuracy (%)")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    counts = sorted({len(runs) for runs in histories.values()})
    note = f" (mean and range of {' or '.join(map(str, counts))} runs)" if counts[-1] > 1 else ""
    figure.supxlabel(f"epoch{note}", fontsize=10)
    columns = len(legend) if len(legend) < 5 else min(4, -(-len(legend) // 2))
    figure.legend(handles=legend, loc="outside upper center", ncols=columns, fontsize=8, frameon=False)
    return figure


def _runs(ax: Axes, values: NDArray[np.float64], color: str, dashes: str, label: str) -> None:
    """Draw the mean over runs, and their range if there are several; values are runs x epochs."""
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)
    marker = "o" if len(epochs) == 1 else None  # a line through one point is invisible
    ax.plot(epochs, values.mean(0), dashes, color=color, linewidth=1.3, marker=marker, label=label)
