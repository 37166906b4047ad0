"""From a finished screen to its figures, with the images that they show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from itn.plotting.names import class_label
from itn.plotting.style import write_figures
from itn.runtime.run_dir import RunFolder
from itn.screening import plot_overview, plot_sweep
from itn.screening.criteria import is_right
from itn.screening.outcomes import SweepOutcomes
from itn.screening.passes import Screener
from itn.screening.records import FlipRow, ScreenRecord, SoftmaxRow, SweepRecord
from itn.screening.sweep import Sweep
from itn.stats import one_per_class
from itn.transforms import Transform

STRIP_ROWS, STRIP_COLUMNS = 2, 13


def draw_sweep(
    folder: RunFolder,
    screener: Screener,
    sweep: Sweep,
    record: SweepRecord,
    softmax: Sequence[SoftmaxRow],
    flips: Sequence[FlipRow],
    outputs: Sequence[str],
    outcomes: SweepOutcomes,
    labeled: bool = True,
) -> None:
    """Draw the figures of one sweep into a folder; the images shown are the first ones of two classes.

    Without labels there is no accuracy to draw. Outputs are the names of the classes as the rows have them,
    in their order; outcomes are those of the sweep.
    """
    model = screener.classifier.name
    labels = {name: class_label(name, number) for number, name in enumerate(outputs)}
    if any(name != label for name, label in labels.items()):
        softmax = [
            replace(r, class_=labels[r.class_], output=labels.get(r.output, r.output)) for r in softmax
        ]
        flips = [replace(row, class_=labels[row.class_]) for row in flips]
    transform, confidence = sweep.transform, screener.config.confidence
    index = one_per_class(screener.labels.cpu(), STRIP_ROWS)
    magnitudes = _evenly_spaced(transform, sweep.magnitudes, STRIP_COLUMNS)
    images, predictions = _strip(screener, transform, index, magnitudes)
    unchanged = predictions == torch.from_numpy(sweep.clean["predictions"])[index, None]
    clean = float(is_right(sweep.clean, screener.labels.cpu().numpy()).mean())
    shown = images, unchanged, magnitudes
    curve = plot_sweep.accuracy_curve(transform, record, *shown, clean, confidence, labeled, model, outcomes)
    survival = plot_sweep.survival(transform, flips, sweep.magnitudes, confidence, model)
    figures = {
        f"accuracy-{transform.name}": curve,
        f"softmax-{transform.name}": plot_sweep.class_softmax(transform, softmax, model),
        f"survival-{transform.name}": survival,
    }
    write_figures(folder, figures)


def draw_overview(folder: RunFolder, record: ScreenRecord, transforms: Mapping[str, Transform]) -> None:
    """Draw the map of each pair, and the thresholds of all transformations, into a folder."""
    figures = {}
    for pair in record.pairs.values():
        figure = plot_overview.pair_map(
            pair, transforms[pair.x], transforms[pair.y], record.clean_accuracy, record.model
        )
        figures[f"pair-{pair.x}-{pair.y}"] = figure
    if record.transforms:
        figures["thresholds"] = plot_overview.thresholds(record, transforms)
    write_figures(folder, figures)


@torch.inference_mode()
def _strip(
    screener: Screener, transform: Transform, index: Tensor, magnitudes: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return images, R x T x C x H x W, and predictions, R x T, of R indexed images at T magnitudes."""
    outputs = [screener.output(screener.at(transform, v), index) for v in magnitudes]
    images = torch.stack([output.changed.cpu() for output in outputs], 1)
    return images, torch.stack([output.logits.argmax(1).cpu() for output in outputs], 1)


def _evenly_spaced(transform: Transform, magnitudes: Sequence[float], most: int) -> tuple[float, ...]:
    """Return about ``most`` of the magnitudes, evenly spaced, with the identity if it is one of them."""
    step = max(1, math.ceil((len(magnitudes) - 1) / (most - 1)))
    start = magnitudes.index(transform.identity) % step if transform.identity in magnitudes else 0
    return tuple(magnitudes[start::step])
