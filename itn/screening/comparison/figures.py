"""From a finished comparison to its figures, with the images that they show."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from itn.data.digits import SOURCES, load_digits
from itn.functional import unit_float
from itn.plotting.names import class_label, shortened
from itn.plotting.style import write_figures
from itn.runtime.run_dir import RunFolder
from itn.runtime.validation import user_path
from itn.screening.comparison import plots
from itn.screening.comparison.pairs import Flipped
from itn.screening.comparison.records import ImageRow, PairComparison
from itn.screening.comparison.result import ComparisonResult
from itn.screening.outcomes import ImageOutcomes
from itn.transforms import TRANSFORMS

PER_ROW, ROWS = 4, 6  # images shown
TITLE = 16  # letters above an image
SHOWN_SIZE = 224  # pixels, of photographs


def draw_comparison(
    folder: RunFolder,
    result: ComparisonResult,
    outcomes: Sequence[ImageOutcomes],
    images: Tensor | None,
    settings: Mapping[str, Any],
) -> None:
    """Draw the figures of every two screens into a folder.

    Args:
        folder: That of the comparison.
        result: What was found.
        outcomes: Of the images that all screens share.
        images: Those of the first screen; None: they are loaded from where they were, if they are there.
        settings: Of the first screen: padding and interpolation.
    """
    record = result.record
    figures = {}
    for (a, b), pair in zip(combinations(range(len(outcomes)), 2), record.pairs, strict=True):
        label = f"{a + 1}-{b + 1}"
        figures[f"thresholds-{label}"] = plots.threshold_differences(
            pair, record.criterion, record.topk, record.confidence
        )
        figures[f"flips-{label}"] = plots.flip_scatter(
            pair, _flips(pair, (outcomes[a], outcomes[b])), record.n
        )
        rows = [row for row in result.images if (row.first, row.second) == (pair.first, pair.second)]
        shown = _shown(pair, chosen(rows), outcomes[0], images, settings)
        if shown is not None:
            figures[f"images-{label}"] = plots.broken_images(pair, shown)
    write_figures(folder, figures)


def _flips(
    pair: PairComparison, outcomes: tuple[ImageOutcomes, ImageOutcomes]
) -> dict[str, dict[str, tuple[Flipped, Flipped]]]:
    flips: dict[str, dict[str, tuple[Flipped, Flipped]]] = {}
    for name, compared in pair.transforms.items():
        flips[name] = {}
        for side, tested in compared.tested.items():
            end = float(np.log(tested)) if compared.logarithmic else tested
            one, other = (Flipped.of(each.sweeps[name], side, end) for each in outcomes)
            flips[name][side] = one, other
    return flips


def chosen(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """Return the images to show: for each transformation those that break first, of either screen."""
    names = list(dict.fromkeys(row.transform for row in rows if row.transform in TRANSFORMS))
    taken = []
    for name in names[:ROWS]:
        transform = TRANSFORMS[name]
        of_name = sorted(
            (row for row in rows if row.transform == name), key=lambda row: transform.distance(row.magnitude)
        )
        first, second = ([row for row in of_name if row.breaks == which] for which in ("first", "second"))
        half = max(PER_ROW // 2, PER_ROW - len(second))
        taken += [*first[:half], *second[: PER_ROW - len(first[:half])]]
    return taken


def _shown(
    pair: PairComparison,
    rows: Sequence[ImageRow],
    outcomes: ImageOutcomes,
    images: Tensor | None,
    settings: Mapping[str, Any],
) -> plots.Shown | None:
    """Return what the figure of images shows; None if there is nothing, or the images are gone."""
    pictures = _pictures(sorted({row.image for row in rows}), outcomes, images)
    lines = [
        [row for row in rows if row.transform == name] for name in dict.fromkeys(r.transform for r in rows)
    ]
    if not pictures or not lines:
        return None
    called = {name: class_label(name, number) for number, name in outcomes.classes.items()}
    frames, titles = [], []
    broken: list[list[bool | None]] = []
    for line in lines:
        of_line: list[Tensor] = []
        texts: list[str] = []
        for row in line:
            picture = pictures[row.image]
            changed = TRANSFORMS[row.transform](
                picture[None],
                row.magnitude,
                padding=settings["padding"],
                interpolation=settings["interpolation"],
            )
            of_line += [picture, changed[0]]
            which = shortened(pair.first if row.breaks == "first" else pair.second, TITLE)
            magnitude = f"{shortened(row.transform, TITLE - 6)} {row.magnitude:.3g}"
            texts += [
                shortened(called.get(row.class_, row.class_), TITLE),
                f"{magnitude}\nbreaks only in\n{which}",
            ]
        empty = 2 * PER_ROW - len(of_line)
        of_line += [torch.ones_like(of_line[0])] * empty
        frames.append(torch.stack(of_line))
        titles.append([*texts, *[""] * empty])
        broken.append([*[False, True] * len(line), *[None] * empty])
    return plots.Shown(torch.stack(frames), titles, broken)


def _pictures(names: Sequence[str], outcomes: ImageOutcomes, images: Tensor | None) -> dict[str, Tensor]:
    """Return images by name, float C x H x W, all of one size; empty where they cannot be loaded."""
    if images is not None:
        positions = {name: row for row, name in enumerate(outcomes.images)}
        return {name: unit_float(images[positions[name]]) for name in names}
    if outcomes.source in SOURCES:
        digits, _ = load_digits(outcomes.source)
        return {name: unit_float(digits[int(name)]) for name in names if name.isdigit()}
    if not outcomes.source:
        return {}
    folder = user_path(outcomes.source)
    try:
        return {name: _photograph(folder / name) for name in names}
    except (OSError, ValueError):  # moved, or of a kind that needs more than PIL
        return {}


def _photograph(path: Path) -> Tensor:
    """Return the middle of a photograph, for a figure: not as any classifier saw it."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((size - side) // 2 for size in image.size)
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        pixels = np.asarray(square.resize((SHOWN_SIZE, SHOWN_SIZE), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 255
