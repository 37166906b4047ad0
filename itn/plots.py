"""Learning, studies and images to figures, and what all share; functions return a Figure, show nothing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from itn.color import unit_float
from itn.results import CurvePoint, LearnRecord, LearnStep

WIDTH = 7.0  # inches: a page of text
HOLDS, BROKEN = "#1b7837", "#b2182b"
_RAYS = {(1.0, 0.0): ("#4477aa", "-"), (0.0, 1.0): ("#ee6677", "--"), (1.0, 1.0): ("#222222", "-.")}
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44")
_DOTS = (":", "-.", (0, (1, 4)))
_CONTROL = {"color": "k1", "space": "k2"}


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG at print resolution; equal figures make equal files."""
    figure.savefig(path, dpi=200, metadata={"Software": None})


def loss_curves(history: Sequence[LearnStep], window: int = 50) -> Figure:
    """Draw both branches of the switch over the steps of learning (Bunne et al., figure 4a).

    Left the cross-entropy of the classifier on transformed images, right the loss of the transformers.
    Both are drawn at every step, whichever of them the switch minimised; the bold line is the mean of
    ``window`` steps.
    """
    window = min(window, len(history))
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = np.array([step.step for step in history])
    losses = np.array([step.transformer_loss for step in history], dtype=float)
    share = np.mean([step.asked_cross_entropy for step in history])
    _curve(left, steps, np.array([step.cross_entropy for step in history]), window)
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


def class_strips(
    images: dict[str, Tensor],
    predictions: dict[str, Tensor],
    labels: Tensor,
    class_name: Callable[[int], str],
    ts: Sequence[float],
) -> Figure:
    """Draw images under growing k with their predicted classes (Bunne et al., figure 4b).

    Args:
        images: For each part, ``"color"`` under F([t, 0], [0, 0]) and ``"space"`` under
            F([0, 0], [t, 0]): R x T x C x H x W in [0, 1].
        predictions: For each part, R x T predicted class indices.
        labels: True class of each row, R.
        class_name: From a class index to its name.
        ts: The T values of t; the first is 0, where the image is unchanged.
    """
    rows, columns = len(labels), len(ts)
    cell = WIDTH / (2 * columns + 1.2)
    width = cell * (len(images) * columns + 0.2 + len(images))
    figure = Figure(figsize=(width, cell * rows * 1.28 + 1.0), layout="constrained")
    blocks = figure.subfigures(1, len(images), wspace=0.04, squeeze=False)[0]
    for block, (part, pictures) in zip(blocks, images.items(), strict=True):
        control = "[t, 0], [0, 0]" if part == "color" else "[0, 0], [t, 0]"
        block.suptitle(f"{part}: F({control})", fontsize=9)
        classes = predictions[part].tolist()
        right = (predictions[part] == labels[:, None]).tolist()
        titles = [[class_name(index) for index in row] for row in classes]
        axes = _titled(block, pictures, titles, [[HOLDS if yes else BROKEN for yes in row] for row in right])
        for ax, t in zip(axes[-1], ts, strict=True):
            ax.set_xlabel(f"{t:g}", fontsize=7, labelpad=1)
        block.supxlabel("t", fontsize=8)
    figure.suptitle("above each image the predicted class; green: right, red: wrong", fontsize=8)
    return figure


def image_rows(
    images: Tensor, titles: Sequence[Sequence[str]], colours: Sequence[Sequence[str]] | None = None
) -> Figure:
    """Draw rows of images with a title above each, such as turned digits with their predicted classes.

    Args:
        images: R x T x C x H x W, uint8 or float in [0, 1].
        titles: R rows of T titles, of one line or of several.
        colours: R rows of T colours of frames and titles, such as ``HOLDS`` and ``BROKEN``; default black.

    Raises:
        ValueError: If the images have another shape, or titles or colours are not as many.
    """
    if images.ndim != 5 or 0 in images.shape:
        raise ValueError(f"images must be R x T x C x H x W, none of them 0, got {tuple(images.shape)}")
    rows, columns, _, height, width = images.shape
    colours = [["black"] * columns] * rows if colours is None else colours
    for name, table in (("titles", titles), ("colours", colours)):
        if [len(row) for row in table] != [columns] * rows:
            raise ValueError(
                f"{name} must be {rows} rows of {columns}, one per image, got rows of "
                f"{[len(row) for row in table]}"
            )
    lines = 1 + max(title.count("\n") for row in titles for title in row)
    cell = min(WIDTH / columns, 1.2)
    tall = rows * (0.93 * cell * height / width + 0.13 * lines + 0.06) + 0.08
    figure = Figure(figsize=(cell * columns, tall), layout="constrained")
    _titled(figure, unit_float(images), titles, colours)
    return figure


def training_curves(
    histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    *,
    lines: Mapping[str, float] | None = None,
) -> Figure:
    """Draw loss and accuracy on training (dashed) and test images (solid) over epochs, of several runs.

    Each line is the mean of the runs of a variant, each band reaches from the lowest to the highest run.
    The axis of accuracy begins at the lowest value after the first epoch.

    Args:
        histories: For each variant its runs, such as one for each seed, and for each run its epochs with
            ``train_loss``, ``train_accuracy``, ``test_loss`` and ``test_accuracy``; accuracies are
            fractions of images.
        lines: Losses to draw a horizontal line at, by name, such as the least one possible.

    Raises:
        ValueError: If there is no variant, or runs of one variant have not all the same epochs.
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
    later = []  # accuracies after the first epoch
    for (variant, runs), colour in zip(histories.items(), cycle(_COLOURS), strict=False):
        legend.append(Line2D([], [], color=colour, label=variant))
        for part, dashes in (("train", "--"), ("test", "-")):
            for ax, what, unit in ((left, "loss", 1), (right, "accuracy", 100)):
                values = [[unit * epoch[f"{part}_{what}"] for epoch in run] for run in runs]
                _runs(ax, np.array(values), colour, dashes, f"{variant}, {part}")
            later += [value for run in values for value in run[1:] or run]
    legend += [
        Line2D([], [], color="black", linestyle="--", label="training"),
        Line2D([], [], color="black", linestyle="-", label="test"),
    ]
    for (name, loss), dots in zip((lines or {}).items(), cycle(_DOTS), strict=False):
        legend.append(left.axhline(loss, color="0.3", linewidth=1, linestyle=dots, label=name))
    margin = 0.05 * (max(later) - min(later)) or 1.0
    right.set_ylim(min(later) - margin, max(later) + margin)
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


def control_grid(original: Tensor, images: Tensor, k1: Sequence[float], k2: Sequence[float]) -> Figure:
    """Draw the same images for a grid of k1 and k2, the originals beside it (Bunne et al., figure 5).

    Args:
        original: R x C x H x W in [0, 1], unchanged; at most four are drawn.
        images: len(k1) x len(k2) x R x C x H x W, under F((a, a), (b, b)) with a in k1 and b in k2.
        k1: Values of both entries of k1, the rows: color.
        k2: Values of both entries of k2, the columns: space.
    """
    rows, columns = len(k1), len(k2)
    figure = Figure(figsize=(WIDTH, WIDTH * rows / (columns + 1.35) + 0.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, columns + 0.15), squeeze=False)[0]
    axes = left.subplots(rows, 1, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    picture(axes[rows // 2, 0], _mosaic(original), "black")
    axes[rows // 2, 0].axis("on")
    axes[rows // 2, 0].set_title("original", fontsize=8, pad=3)
    cells = right.subplots(rows, columns, squeeze=False)
    for (row, column), ax in np.ndenumerate(cells):
        picture(ax, _mosaic(images[row, column]), "0.6")
        if row == rows - 1:
            ax.set_xlabel(f"({k2[column]:g}, {k2[column]:g})", fontsize=8)
        if column == 0:
            ax.set_ylabel(f"({k1[row]:g}, {k1[row]:g})", fontsize=8)
    right.supxlabel("k2 (space)", fontsize=9)
    right.supylabel("k1 (color)", fontsize=9)
    return figure


def accuracy_and_displacement(record: LearnRecord) -> Figure:
    """Draw held-out accuracy and displacement along three rays of k, for color and for space.

    Bands are Clopper-Pearson 95 % intervals; the line across is the accuracy of the same images, unchanged.
    """
    parts = list(dict.fromkeys(point.part for point in record.curves))
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots(2, len(parts), sharex=True, sharey="row", squeeze=False)
    for column, part in enumerate(parts):
        top, bottom = axes[:, column]
        for ray, (colour, dashes) in _RAYS.items():
            points = [point for point in record.curves if (point.part, point.ray) == (part, ray)]
            _ray(top, bottom, points, colour, dashes, _ray_name(part, ray))
        unchanged = next(point for point in record.curves if point.t == 0)
        top.axhline(100 * unchanged.accuracy, color="0.5", linewidth=0.8, label="the same images, unchanged")
        top.set_title(f"{part} ({_CONTROL[part]} moves, the other control is 0)", fontsize=9)
        bottom.set_xlabel("t")
        bottom.legend(frameon=False, fontsize=8)
    n = record.curves[0].n
    axes[0, 0].set_ylabel(f"accuracy (%)\n{n:,} held-out images")
    axes[0, 0].legend(frameon=False, fontsize=7, loc="lower left")
    axes[1, 0].set_ylabel(r"displacement $\|\hat A - I\|_F^2 / n$")
    return figure


def _ray(top: Axes, bottom: Axes, points: Sequence[CurvePoint], colour: str, dashes: str, name: str) -> None:
    ts = [point.t for point in points]
    low, high = (
        [100 * value for value in ends] for ends in zip(*((p.ci_low, p.ci_high) for p in points), strict=True)
    )
    top.fill_between(ts, low, high, color=colour, alpha=0.15, linewidth=0)
    top.plot(ts, [100 * point.accuracy for point in points], dashes, color=colour)
    bottom.plot(ts, [point.displacement for point in points], dashes, color=colour, label=name)


def _ray_name(part: str, ray: tuple[float, float]) -> str:
    entries = ", ".join("t" if entry else "0" for entry in ray)
    return f"{_CONTROL[part]} = ({entries})"


def _curve(ax: Axes, steps: NDArray[np.int64], values: NDArray[np.float64], window: int) -> None:
    ax.plot(steps, values, color="0.75", linewidth=0.6)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    ax.plot(steps[window - 1 :], mean, color="#4477aa", linewidth=1.5)


def _runs(ax: Axes, values: NDArray[np.float64], colour: str, dashes: str, label: str) -> None:
    """Draw the mean over runs, with their range if they are several; values are runs x epochs."""
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        ax.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    dot = "o" if len(epochs) == 1 else None  # a line through one point is nothing
    ax.plot(epochs, values.mean(0), dashes, color=colour, linewidth=1.3, marker=dot, label=label)


def _titled(
    area: FigureBase, images: Tensor, titles: Sequence[Sequence[str]], colours: Sequence[Sequence[str]]
) -> NDArray[np.object_]:
    """Draw images, R x T x C x H x W, with titles; return their axes, R x T."""
    axes = area.subplots(*images.shape[:2], squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.02})
    for (row, column), ax in np.ndenumerate(axes):
        picture(ax, images[row, column], colours[row][column])
        ax.set_title(titles[row][column], fontsize=7, pad=1.5, color=colours[row][column])
    return axes


def picture(ax: Axes, image: Tensor, frame: str) -> None:
    """Show an image, C x H x W in [0, 1], in a frame of a colour."""
    ax.imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=frame, linewidth=1.2)


def pixels(image: Tensor) -> NDArray[np.float32]:
    """Return an image, C x H x W, as what matplotlib shows: H x W x 3, or H x W."""
    array = image.movedim(0, -1).cpu().float().numpy()
    # Neither gray nor RGB has no natural look: its first channel is shown
    return array if array.shape[-1] == 3 else array[..., 0]


def _mosaic(images: Tensor) -> Tensor:
    """Return up to four images, R x C x H x W, as one of two by two with a thin white line between."""
    channels, height, width = images.shape[1:]
    line = max(1, width // 28)
    canvas = images.new_ones(channels, 2 * height + line, 2 * width + line)
    for number, image in enumerate(images[:4]):
        y, x = (number // 2) * (height + line), (number % 2) * (width + line)
        canvas[:, y : y + height, x : x + width] = image
    return canvas
