"""The steps of a run to figures; each function returns a Figure and shows nothing."""

import itertools
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from itn.learning.records import LearnStep
from itn.plotting.names import literal
from itn.plotting.style import BLUE, GREEN, INK, PURPLE, RED, WIDTH, headed, heading_height, styled

_PARTS = (RED, BLUE, GREEN, PURPLE)
_MOST_PANELS = 4  # in a row


@styled
def loss_curves(history: Sequence[LearnStep], window: int = 50) -> Figure:
    """Draw both branches of the switch over the steps of learning (Bunne et al., figure 4a).

    Left the cross-entropy of the classifier on transformed images, right the loss of the transformers.
    Both are drawn at every step, whichever of them the switch minimized; the bold line is the mean of
    ``window`` steps.
    """
    window = min(window, max(1, len(history) // 4))
    share = np.mean(_column(history, "asked_cross_entropy"))
    what = (
        f"both losses at each step of learning (gray: one batch; blue: mean of {window} steps); the switch "
        f"asked for cross-entropy in {100 * share:.0f} % of the steps"
    )
    figure = Figure(figsize=(WIDTH, 2.2 + heading_height(WIDTH, "", what)), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = np.array([step.step for step in history])
    _curve(left, steps, _column(history, "cross_entropy"), window)
    _curve(right, steps, _column(history, "transformer_loss"), window)
    left.set(
        xlabel="step", ylabel="cross-entropy (nats)", title="loss of the classifier on transformed images"
    )
    left.set_ylim(bottom=0)
    right.set(
        xlabel="step",
        ylabel=r"$c_\theta\,\mathcal{L}_{k_1}(\varphi) + \mathcal{L}_{k_2}(\theta)$",
        title="loss of the transformers (displacement, with a minus)",
    )
    return headed(figure, "", what)


@styled
def step_curves(history: Sequence[LearnStep], columns: Sequence[str]) -> Figure:
    """Draw displacement and every column of an objective over the steps of learning."""
    panels = ("displacement", *columns)
    rows = -(-len(panels) // 2)
    what = "what the objective reports at each step of learning"
    figure = Figure(figsize=(WIDTH, 1.9 * rows + heading_height(WIDTH, "", what)), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).flatten()
    steps = [step.step for step in history]
    for part, color in zip(history[0].displacement, itertools.cycle(_PARTS)):
        displacement = [step.displacement[part] for step in history]
        axes[0].plot(steps, displacement, color=color, label=part)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)  # not on the curves
    for ax, name in zip(axes[1:], columns, strict=False):
        ax.plot(steps, _column(history, name), color=INK)
    for ax, name in zip(axes, panels, strict=False):
        ax.set(xlabel="step", ylabel=literal(name.replace("_", " ")))
    for ax in axes[len(panels) :]:
        ax.axis("off")
    return headed(figure, "", what)


@styled
def constrained_curves(history: Sequence[LearnStep], tolerance: float) -> Figure:
    """Draw displacement and drop over the steps, of the best restart so far.

    While learning, more than the tolerance is lost; calibration scales back to it afterwards. Vertical
    lines are where restarts were pruned; before the last of them a step may change to another restart.
    """
    parts = list(history[0].displacement)
    what = (
        "steps of learning, of the restart that is best so far; afterwards calibration scales the family "
        "back to the tolerance (dashed); gray lines: restarts are dropped there"
    )
    columns = min(len(parts) + 1, _MOST_PANELS)
    rows = -(-(len(parts) + 1) // columns)
    figure = Figure(figsize=(WIDTH, 2.1 * rows + heading_height(WIDTH, "", what)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    steps = [step.step for step in history]
    for ax, part, color in zip(panels, parts, itertools.cycle(_PARTS), strict=False):
        ax.plot(steps, [step.displacement[part] for step in history], color=color)
        ax.set_title(f"{part} part: displacement\nat full strength")
        ax.set_ylim(bottom=0)
    last = panels[len(parts)]
    last.plot(steps, 100 * _column(history, "drop"), color=INK)
    last.axhline(100 * tolerance, color=RED, linewidth=0.8, linestyle="--")
    last.set_title("lost at full strength or at the worst k,\nwhichever is more, estimated (%)")
    last.set_ylim(bottom=min(0, *(100 * _column(history, "drop"))))
    for ax in panels[: len(parts) + 1]:
        ax.set_xlabel("step")
        for before, after in pairwise(history):
            if before.values["restarts"] != after.values["restarts"]:
                ax.axvline(after.step, color="0.8", linewidth=0.8, zorder=0)
    for ax in panels[len(parts) + 1 :]:
        ax.axis("off")
    return headed(figure, "", what)


def _column(history: Sequence[LearnStep], name: str) -> NDArray[np.float64]:
    return np.array([step.values.get(name) for step in history], dtype=float)


def _curve(ax: Axes, steps: NDArray[np.int64], values: NDArray[np.float64], window: int) -> None:
    ax.plot(steps, values, color="0.75", linewidth=0.6)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    ax.plot(steps[window - 1 :], mean, color=BLUE, linewidth=1.5)
