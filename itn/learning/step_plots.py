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
from itn.plotting.style import BLUE, GREEN, INK, PURPLE, RED, WIDTH

_PARTS = (RED, BLUE, GREEN, PURPLE)


def loss_curves(history: Sequence[LearnStep], window: int = 50) -> Figure:
    """Draw both branches of the switch over the steps of learning (Bunne et al., figure 4a).

    Left the cross-entropy of the classifier on transformed images, right the loss of the transformers.
    Both are drawn at every step, whichever of them the switch minimized; the bold line is the mean of
    ``window`` steps.
    """
    window = min(window, len(history))
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = np.array([step.step for step in history])
    losses = _column(history, "transformer_loss")
    share = np.mean(_column(history, "asked_cross_entropy"))
    _curve(left, steps, _column(history, "cross_entropy"), window)
    _curve(right, steps, losses, window)
    left.set(xlabel="step", ylabel="cross-entropy (nats)", title="Classifier on transformed images")
    left.set_ylim(bottom=0)
    right.set(
        xlabel="step",
        ylabel=r"$c_\theta\,\mathcal{L}_{k_1}(\varphi) + \mathcal{L}_{k_2}(\theta)$",
        title="Transformers",
    )
    left.legend([left.lines[0], left.lines[1]], ["one batch", f"mean of {window} steps"], fontsize=8)
    right.set_title(
        f"cross-entropy asked for in {100 * share:.0f} % of steps", loc="right", fontsize=7, y=-0.34
    )
    return figure


def step_curves(history: Sequence[LearnStep], columns: Sequence[str]) -> Figure:
    """Draw displacement and every column of an objective over the steps of learning."""
    panels = ("displacement", *columns)
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(WIDTH, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).flatten()
    steps = [step.step for step in history]
    for part, color in zip(history[0].displacement, itertools.cycle(_PARTS)):
        displacement = [step.displacement[part] for step in history]
        axes[0].plot(steps, displacement, color=color, linewidth=1.2, label=part)
    axes[0].legend(fontsize=8, frameon=False)
    for ax, name in zip(axes[1:], columns, strict=False):
        ax.plot(steps, _column(history, name), color=INK, linewidth=1.2)
    for ax, name in zip(axes, panels, strict=False):
        ax.set(xlabel="step", ylabel=literal(name.replace("_", " ")))
    for ax in axes[len(panels) :]:
        ax.axis("off")
    return figure


def constrained_curves(history: Sequence[LearnStep], tolerance: float) -> Figure:
    """Draw displacement and drop over the steps, of the best restart so far.

    While learning, more than the tolerance is lost; calibration scales back to it afterwards. Vertical
    lines are where restarts were pruned; before the last of them a step may change to another restart.
    """
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [step.step for step in history]
    for part, color in zip(history[0].displacement, itertools.cycle(_PARTS)):
        displacement = [step.displacement[part] for step in history]
        left.plot(steps, displacement, color=color, linewidth=1.2, label=part)
    left.set(
        xlabel="step",
        ylabel="displacement at full strength",
        yscale="log",
        title="Displacement before calibration",
    )
    left.legend(fontsize=8, frameon=False)
    drops = 100 * _column(history, "drop")
    right.plot(steps, drops, color=INK, linewidth=1.2, label="estimate")
    right.axhline(100 * tolerance, color=RED, linewidth=0.8, label="tolerance, after calibration")
    right.set(xlabel="step", ylabel="drop, full strength or worst k (%)", title="Drop before calibration")
    right.legend(fontsize=8, frameon=False)
    for before, after in pairwise(history):
        if before.values["restarts"] != after.values["restarts"]:
            for ax in (left, right):
                ax.axvline(after.step, color="0.8", linewidth=0.8, zorder=0)
    return figure


def _column(history: Sequence[LearnStep], name: str) -> NDArray[np.float64]:
    return np.array([step.values.get(name) for step in history], dtype=float)


def _curve(ax: Axes, steps: NDArray[np.int64], values: NDArray[np.float64], window: int) -> None:
    ax.plot(steps, values, color="0.75", linewidth=0.6)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    ax.plot(steps[window - 1 :], mean, color=BLUE, linewidth=1.5)
