"""Figures of a search in a box: images at their worst points, and survival as the box grows."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from itn.boxes.box import Box
from itn.boxes.config import WorstConfig
from itn.boxes.examples import shown_images, unchanged_and_worst
from itn.boxes.passes import BoxPasses
from itn.boxes.records import WorstRecord, WorstRow
from itn.boxes.result import WorstResult
from itn.boxes.summary import percent
from itn.data.inputs import labeled_images
from itn.data.loading import ImageSet
from itn.models.checked_images import CheckedImages
from itn.models.classifier import as_classifier
from itn.plotting.names import class_called, shortened
from itn.plotting.style import (
    BLUE,
    BROKEN,
    GRAY,
    INK,
    ORANGE,
    UNCHANGED,
    WIDTH,
    headed,
    heading_height,
    styled,
    titled,
    write_figures,
)
from itn.runtime.run_dir import RunFolder
from itn.transforms import Transform

COLUMNS = 6  # images in a row


def draw(folder: RunFolder, passes: BoxPasses, result: WorstResult) -> None:
    """Draw all figures of a run into its folder."""
    numbers = shown_images(result.images, passes.data.labels.cpu())
    figures = {"growth": growth_figure(result.record)}
    if numbers:
        figures["worst"] = worst_figure(passes, result, numbers)
    write_figures(folder, figures)


def draw_worst(
    classifier: nn.Module,
    images: Tensor | ImageSet,
    result: WorstResult,
    numbers: Sequence[int],
    transforms: Sequence[Transform] = (),
) -> Figure:
    """Draw images unchanged, and below at their worst points, from a result and the images that it is about.

    Args:
        classifier: The classifier.
        images: N x C x H x W, or the ``ImageSet``.
        result: Of these images, also from its folder.
        numbers: Which images, by their place among all.
        transforms: Transformations of the box that are not registered.
    """
    classifier, record = as_classifier(classifier), result.record
    own = {transform.name: transform for transform in transforms}
    known = images.canvases if isinstance(images, ImageSet) else None
    all_known = known is not None and known.ratio == record.surround
    config = WorstConfig(
        {own.get(name, name): ends for name, ends in record.box.items()},
        padding=record.padding,
        interpolation=record.interpolation,
        surround="auto" if all_known else record.surround or "none",
        seed=record.provenance["seed"],
    )
    pixels, _, canvases = labeled_images(
        images, None, config.surround, classifier.preprocessing, needs_labels=False
    )
    unused = torch.zeros(len(pixels), dtype=torch.int64)
    pixels = pixels if canvases is None else canvases.crops
    data = CheckedImages(pixels, unused, unused, None, canvases)
    return worst_figure(BoxPasses(classifier, data, config), result, numbers)


@styled
def worst_figure(passes: BoxPasses, result: WorstResult, numbers: Sequence[int]) -> Figure:
    """Return indexed images unchanged, each above itself at its worst point."""
    rows = [result.images[number] for number in numbers]
    shown = unchanged_and_worst(passes, result.images, numbers)
    columns = min(COLUMNS, len(rows))
    blank = -len(rows) % columns
    shown = torch.cat([shown, torch.ones_like(shown[:, :1]).expand(-1, blank, -1, -1, -1)], 1)
    images = shown.unflatten(1, (-1, columns)).transpose(0, 1).flatten(0, 1)
    titles, colors = [], []
    for start in range(0, len(rows), columns):
        part = rows[start : start + columns]
        empty = columns - len(part)
        names = passes.classifier.class_names
        titles.append([shortened(class_called(row.class_, names)) for row in part] + [""] * empty)
        titles.append([_title(row, passes.box, names) for row in part] + [""] * empty)
        colors.append([INK] * len(part) + ["white"] * empty)
        colors.append([UNCHANGED if row.survives else BROKEN for row in part] + ["white"] * empty)
    lines = 2 + max(title.count("\n") for row in titles for title in row)  # of a pair
    cell, (height, width) = WIDTH / max(columns, 4), images.shape[-2:]
    total = len(images) / 2 * (2 * 0.97 * cell * height / width + 0.125 * lines + 0.14) + 0.05
    what = (
        "above, images unchanged under their true class; below, the worst that was found in the box, with "
        "the class that is predicted there; red and dashed: broken, green: still what it was"
    )
    width = cell * columns
    total += heading_height(width, result.record.model, what)
    figure = Figure(figsize=(width, total), layout="constrained")
    titled(figure, images, titles, colors)
    return headed(figure, result.record.model, what)


def _title(row: WorstRow, box: Box, names: Sequence[str] | None) -> str:
    point = box.describe(row.point).replace(", ", "\n")
    called = shortened(class_called(row.prediction, names))
    return f"{point}\n{'still' if row.survives else 'says'} {called}"


@styled
def growth_figure(record: WorstRecord) -> Figure:
    """Return survival as the box grows, beside survival of each transformation alone."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_growth(left, record)
    _draw_singles(right, record)
    whose = "images that are right unchanged" if record.criterion == "broken" else "predictions"
    what = (
        f"share of {record.searched:,} {whose} that survives all that was tried of the box: an upper bound; "
        f"band and whiskers: {100 * record.confidence:g} % intervals"
    )
    return headed(figure, record.model, what)


def _draw_growth(ax: Any, record: WorstRecord) -> None:
    growth = record.growth
    curves: Mapping[str, Sequence[float]] = {
        name: [100 * value for value in getattr(growth, name)] for name in ("survival", "ci_low", "ci_high")
    }
    ax.fill_between(growth.scales, curves["ci_low"], curves["ci_high"], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(growth.scales, curves["survival"], color=BLUE)
    ax.axhline(100 * growth.survival_fraction, color=GRAY, linewidth=0.7, linestyle=":")
    if growth.threshold.value is not None:
        ax.axvline(growth.threshold.value, color=ORANGE, linewidth=1)
        text = f"{100 * growth.survival_fraction:g} % survive,\nat most, up to {growth.threshold.value:.3g}"
        right = growth.threshold.value > 0.5  # there is room on the left
        place = (growth.threshold.value, 4), (-4 if right else 4, 0)
        ax.annotate(text, *place, textcoords="offset points", ha="right" if right else "left", color=ORANGE)
    ax.set(xlim=(0, 1), ylim=(0, 101))
    ax.set_xlabel("size of the box: 0 is no change, 1 the full box")
    ax.set_ylabel("survive, at most (%)")


def _draw_singles(ax: Any, record: WorstRecord) -> None:
    bars = [("all together", record.survival.value, BLUE)]
    if record.survival_every_single is not None and len(record.box) > 1:
        bars.append(("every single one,\neach by itself", record.survival_every_single, ORANGE))
    bars += [(name, value, GRAY) for name, value in record.survival_single.items()]
    places = range(len(bars))
    ax.barh(places, [100 * value for _, value, _ in bars], color=[color for *_, color in bars], height=0.7)
    low, high = (100 * end for end in (record.survival.ci_low, record.survival.ci_high))
    ax.plot([low, high], [0, 0], color=INK, linewidth=1, marker="|", markersize=5)
    for place, (_, value, _) in zip(places, bars, strict=True):
        ax.annotate(percent(value), (101, place), va="center", annotation_clip=False)
    names = [
        shortened(f"{name} {record.box[name][0]:g} to {record.box[name][1]:g}", 30)
        if name in record.box
        else name
        for name, *_ in bars
    ]
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 100), ylim=(len(bars) - 0.5, -0.5))
    ax.set_xlabel("survive, at most (%)")
