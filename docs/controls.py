"""The picture of the method: the same digits under k1, under k2, and at full strength of a learned family.

Command:   python docs/controls.py            (seconds; nothing is trained)
Writes:    docs/controls.png

The family is a committed one for ``lenet5``. Its matrices at full strength say what it does along k = (t, t):
a parameter before the tanh is t times that at full strength, so that nothing else has to be known.
"""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from records import read, value
from torch import Tensor

import itn

PICTURE = Path(__file__).with_name("controls.png")
MODEL, SEED = "lenet5", 0
DIGITS = (4, 6, 7)
STEPS = (0.0, 0.5, 1.0)
SAME, CHANGED, INK = "#1e8449", "#c0392b", "#222222"


def draw() -> Figure:
    """Return the figure: k1 grows downwards, k2 to the right."""
    classifier = itn.load_classifier(MODEL)
    images, labels = itn.load_images("mnist", limit=2000)
    digits = torch.stack([images[labels == digit][0] for digit in DIGITS]) / 255
    run = next(
        run for run in read(f"sizes_{MODEL}")["runs"] if (run["learned"], run["seed"]) == ("both", SEED)
    )
    color, spatial = (torch.tensor([value(run, f"{part}_matrix")]) for part in ("color", "spatial"))
    figure = Figure(figsize=(8.4, 3.7), facecolor="white")
    grid = figure.subplots(len(STEPS), len(STEPS))
    figure.subplots_adjust(left=0.2, right=0.99, top=0.83, bottom=0.02, hspace=0.32, wspace=0.08)
    for row, k1 in zip(grid, STEPS, strict=True):
        for axis, k2 in zip(row, STEPS, strict=True):
            colored = itn.functional.apply_color(digits, partial_strength(color, k1)).clamp(0, 1)
            shown = itn.warp(colored, partial_strength(spatial, k2)).clamp(0, 1)
            _tiles(axis, shown, itn.predict(classifier, shown).tolist())
    for row, k1, word in zip(grid, STEPS, ("colors unchanged", "in between", "farthest"), strict=True):
        place = {"transform": row[0].transAxes, "ha": "right", "va": "center", "color": INK}
        row[0].text(-0.06, 0.5, f"k1 = ({k1:g}, {k1:g})\n{word}", fontsize=9.5, **place)
    for axis, k2, word in zip(grid[0], STEPS, ("unmoved", "in between", "farthest"), strict=True):
        axis.set_title(f"k2 = ({k2:g}, {k2:g}), {word}", fontsize=9.5, color=INK, pad=14)
    above = {"fontsize": 9.5, "weight": "bold", "ha": "center", "va": "bottom"}
    figure.text(0.325, 0.945, "top left: the identity", color=INK, **above)
    figure.text(0.86, 0.945, "bottom right: full strength", color=INK, **above)
    return figure


def partial_strength(matrix: Tensor, t: float) -> Tensor:
    """Return the matrix at k = (t, t) from that at full strength; entries minus identity are bounded by 1."""
    identity = torch.eye(*matrix.shape[-2:])
    return identity + torch.tanh(t * torch.atanh(matrix - identity))


def _tiles(axis: Axes, tiles: Tensor, predictions: list[int]) -> None:
    """Draw digits side by side, what the classifier says of each above it."""
    for column, (tile, digit, prediction) in enumerate(zip(tiles, DIGITS, predictions, strict=True)):
        left = 1.08 * column
        axis.imshow(
            tile[0], cmap="gray", vmin=0, vmax=1, extent=(left, left + 1, 0, 1), interpolation="nearest"
        )
        says = SAME if prediction == digit else CHANGED
        axis.text(left + 0.5, 1.03, prediction, fontsize=8, color=says, ha="center", va="bottom")
    axis.set(xlim=(0, 1.08 * len(DIGITS)), ylim=(0, 1), aspect="equal")
    axis.set_axis_off()


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=100, metadata={"Software": None})
