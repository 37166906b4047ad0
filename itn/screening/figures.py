"""From a finished screen to its figures, with the images that they show."""

import math
from collections.abc import Iterator, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from itn.screening import plots
from itn.screening.passes import Screener
from itn.screening.records import ScreenRecord, SweepRecord
from itn.screening.sweep import Sweep
from itn.screening.tables import FlipRow, SoftmaxRow
from itn.stats.sampling import one_per_class
from itn.transforms.registry import TRANSFORMS, Transform

STRIP_ROWS, STRIP_COLUMNS = 2, 13


def draw_sweep(
    screener: Screener,
    sweep: Sweep,
    record: SweepRecord,
    softmax: Sequence[SoftmaxRow],
    flips: Sequence[FlipRow],
    labels: Tensor,
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of one sweep by name; the images shown are the first ones of two classes."""
    transform, confidence = sweep.transform, screener.config.confidence
    rows = one_per_class(labels, STRIP_ROWS)
    magnitudes = _spread(transform, sweep.magnitudes, STRIP_COLUMNS)
    images, predictions = _strip(screener, transform, rows, magnitudes)
    held = predictions == torch.from_numpy(sweep.clean["predictions"])[rows, None]
    figure = plots.accuracy_curve(transform, record, images, held, magnitudes, confidence)
    yield f"accuracy-{transform.name}", figure
    yield f"softmax-{transform.name}", plots.class_softmax(transform, softmax)
    yield f"survival-{transform.name}", plots.survival(transform, flips, sweep.magnitudes, confidence)


def draw_overview(record: ScreenRecord) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of pairs, and that of all thresholds, by name."""
    for pair in record.pairs.values():
        level = pair.accuracy_fraction * record.clean_accuracy
        figure = plots.pair_map(pair, TRANSFORMS[pair.x], TRANSFORMS[pair.y], level)
        yield f"pair-{pair.x}-{pair.y}", figure
    if record.transforms:
        yield "thresholds", plots.thresholds(record, TRANSFORMS)


@torch.inference_mode()
def _strip(
    screener: Screener, transform: Transform, rows: Tensor, magnitudes: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return images, R x T x C x H x W, and predictions, R x T, of R images at T magnitudes."""
    seen = [screener.output(screener.at(transform, v), rows) for v in magnitudes]
    images = torch.stack([each.changed.cpu() for each in seen], 1)
    return images, torch.stack([each.logits.argmax(1).cpu() for each in seen], 1)


def _spread(transform: Transform, magnitudes: Sequence[float], most: int) -> tuple[float, ...]:
    """Return about ``most`` of the magnitudes, evenly, the identity among them if it is one."""
    every = max(1, math.ceil((len(magnitudes) - 1) / (most - 1)))
    start = magnitudes.index(transform.identity) % every if transform.identity in magnitudes else 0
    return tuple(magnitudes[start::every])
