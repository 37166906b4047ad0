"""The picture of the README: digits under growing transformations, and under a learned family.

Command:   python docs/picture.py            (seconds; nothing is trained)
Writes:    docs/picture.png

Above is what a screen finds: a digit at growing magnitude, and where its prediction changes. It is the digit
whose change comes at the median of its class. Below is what learning finds: the first digit of each class, at
full strength of the family for all classes and of the family of its own class, from the committed results.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from records import Record, read, value
from tables import percent
from torch import Tensor

import itn

PICTURE = Path(__file__).with_name("picture.png")
MODEL, SEED = "lenet5", 0
SWEEPS = (  # transformation, digit, title, first and last magnitude of the tiles, form of a magnitude
    ("rotate", 4, "rotation", (0, 90), "{:.0f}°"),
    ("zoom", 6, "zooming out", (1, 2.8), "{:.1f}x"),
    ("translate_x", 7, "shift right", (0, 0.36), "{:.0%}"),
    ("shear_x", 9, "shear", (0, 1.35), "{:.2f}"),
    ("blur", 8, "blur", (0, 4.5), "{:.1f} px"),
)
TILES = 10
SAME, CHANGED, INK = "#1e8449", "#c0392b", "#222222"


_MARGINS = {"left": 0.12, "right": 0.99, "top": 0.925, "bottom": 0.02, "hspace": 0.75}
STEP = 1.12  # from tile to tile, in tiles


def draw() -> Figure:
    """Return the figure."""
    classifier = itn.load_classifier(MODEL)
    images, labels = itn.load_images("mnist", limit=2000)
    figure = Figure(figsize=(9.6, 10.6), facecolor="white")
    ratios = [1.0] * len(SWEEPS) + [0.55] + [1.0] * 3
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios, **_MARGINS)
    axes = [figure.add_subplot(grid[row]) for row in range(len(ratios))]
    for axis, sweep in zip(axes, SWEEPS, strict=False):
        _sweep(axis, classifier, images, labels, *sweep)
    _family(axes[len(SWEEPS) + 1 :], classifier, images, labels)
    axes[len(SWEEPS)].set_axis_off()
    _heading(
        axes[0],
        "itn screen: how far does each transformation go before the prediction changes?",
        "One digit a row. Above each image: what the classifier says. Red line: where that changes",
    )
    bound, clean = (percent(value(_run(), name), 1) for name in ("full_bound", "clean_certified"))
    tolerance = percent(value(_run(), "tolerance"), 0)
    _heading(
        axes[len(SWEEPS) + 1],
        "itn learn: how far can one transformation go while the classifier still reads the digits?",
        f"Two families at full strength, tolerance {tolerance} %. The first keeps at least {bound} % "
        f"accuracy, with 95 % confidence ({clean} % unchanged)",
    )
    return figure


def _heading(axis: Axes, title: str, line: str) -> None:
    """Write two lines above a row of tiles."""
    place = {"transform": axis.transAxes, "color": INK, "ha": "left", "va": "bottom", "clip_on": False}
    axis.text(-0.135, 1.62, title, weight="bold", fontsize=12.5, **place)
    axis.text(-0.135, 1.38, line, fontsize=9.5, **place)


def _sweep(
    axis: Axes,
    classifier: itn.Classifier,
    images: Tensor,
    labels: Tensor,
    name: str,
    digit: int,
    title: str,
    ends: tuple[float, float],
    form: str,
) -> None:
    """Draw one digit at growing magnitude."""
    of_class = images[labels == digit]
    swept = torch.linspace(*ends, 4 * (TILES - 1) + 1).tolist()
    flips = itn.flip_magnitudes(classifier, of_class, name, swept)["above"]
    chosen = flips.magnitude.argsort()[len(of_class) // 2]
    magnitudes = torch.linspace(*ends, TILES)
    tiles = itn.TRANSFORMS[name](of_class[chosen].expand(TILES, -1, -1, -1), magnitudes)
    predictions = itn.predict(classifier, tiles).tolist()
    _tiles(axis, tiles, predictions, [digit] * TILES, title)
    for column, magnitude in enumerate(magnitudes.tolist()):
        axis.text(
            STEP * column + 0.5, -0.07, form.format(magnitude), fontsize=8, ha="center", va="top", color=INK
        )
    change = flips.magnitude[chosen].item()
    kept = int((magnitudes.double() < change).sum())
    place = STEP * kept - (STEP - 1) / 2
    axis.plot([place, place], [-0.2, 1.12], color=CHANGED, linewidth=2.5, clip_on=False)
    exact = {"fontsize": 8.5, "weight": "bold", "color": CHANGED, "ha": "center"}
    axis.text(place, -0.24, form.format(change), va="top", **exact)


def _family(axes: list[Axes], classifier: itn.Classifier, images: Tensor, labels: Tensor) -> None:
    """Draw one digit of each class unchanged, and at full strength of two families."""
    digits = torch.stack([images[labels == digit][0] for digit in range(10)]) / 255
    rows = {
        "unchanged": digits,
        "one for\nall digits": _full_strength(digits, [_run()] * 10),
        "one for\neach digit": _full_strength(digits, read("per_class")["classes"]),
    }
    for axis, (title, tiles) in zip(axes, rows.items(), strict=True):
        _tiles(axis, tiles, itn.predict(classifier, tiles).tolist(), list(range(10)), title)


def _full_strength(images: Tensor, families: Sequence[Record]) -> Tensor:
    """Return images, each at full strength of its own family."""
    color, spatial = (
        torch.tensor([value(family, f"{part}_matrix") for family in families])
        for part in ("color", "spatial")
    )
    return itn.warp(itn.functional.apply_color(images, color).clamp(0, 1), spatial).clamp(0, 1)


def _run() -> Record:
    """Return the committed run whose family is drawn."""
    runs = read(f"sizes_{MODEL}")["runs"]
    return next(run for run in runs if (run["learned"], run["seed"]) == ("both", SEED))


def _tiles(axis: Axes, tiles: Tensor, predictions: list[int], labels: list[int], title: str) -> None:
    """Draw images side by side, what the classifier says of each above it."""
    for column, (tile, prediction, label) in enumerate(zip(tiles, predictions, labels, strict=True)):
        left, color = STEP * column, SAME if prediction == label else CHANGED
        axis.imshow(
            tile[0], cmap="gray", vmin=0, vmax=1, extent=(left, left + 1, 0, 1), interpolation="nearest"
        )
        frame = Rectangle((left, 0), 1, 1, fill=False, edgecolor=color, linewidth=2.5, clip_on=False)
        axis.add_patch(frame)
        axis.text(
            left + 0.5, 1.06, prediction, fontsize=9, weight="bold", color=color, ha="center", va="bottom"
        )
    axis.set(xlim=(0, STEP * (TILES - 1) + 1), ylim=(0, 1), aspect="equal")
    axis.set_axis_off()
    axis.text(-0.16, 0.5, title, fontsize=10, color=INK, ha="right", va="center", clip_on=False)


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=100, metadata={"Software": None})
