"""From a finished screen to its figures, with the images that they show."""

import math
from collections.abc import Iterator, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from itn import screen_plots
from itn.classifiers import CheckedImages
from itn.evaluation import one_per_class
from itn.screen_results import ScreenResult
from itn.screener import Screener
from itn.sweeps import Sweep
from itn.transforms import TRANSFORMS, Transform

STRIP_ROWS, STRIP_COLUMNS = 2, 13


def draw(
    screener: Screener, sweeps: Sequence[Sweep], result: ScreenResult, data: CheckedImages
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a run by name; the images shown are the first ones of two classes."""
    record, confidence = result.record, result.record.confidence
    rows = one_per_class(data.labels, STRIP_ROWS)
    for sweep in sweeps:
        transform = sweep.transform
        magnitudes = _spread(transform, sweep.magnitudes, STRIP_COLUMNS)
        images, predictions = _strip(screener, transform, rows, magnitudes)
        held = predictions == torch.from_numpy(sweep.clean["predictions"])[rows, None]
        yield (
            f"accuracy-{transform.name}",
            screen_plots.accuracy_curve(
                transform, record.transforms[transform.name], images, held, magnitudes, confidence
            ),
        )
        softmax = [row for row in result.softmax if row.transform == transform.name]
        yield f"softmax-{transform.name}", screen_plots.class_softmax(transform, softmax)
        flips = [row for row in result.flips if row.transform == transform.name]
        yield f"survival-{transform.name}", screen_plots.survival(transform, flips, confidence)
    for pair in record.pairs.values():
        level = screener.config.accuracy_fraction * record.clean_accuracy
        figure = screen_plots.pair_map(pair, TRANSFORMS[pair.x], TRANSFORMS[pair.y], level)
        yield f"pair-{pair.x}-{pair.y}", figure
    if sweeps:
        known = {sweep.transform.name: sweep.transform for sweep in sweeps}
        yield "thresholds", screen_plots.thresholds(record, known)


@torch.inference_mode()
def _strip(
    screener: Screener, transform: Transform, rows: Tensor, magnitudes: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return images, R x T x C x H x W, and predictions, R x T, of R images at T magnitudes."""
    images, predictions = [], []
    for v in magnitudes:
        for _, _, changed, logits in screener.outputs(screener.at(transform, v), rows):
            images.append(changed.cpu())
            predictions.append(logits.argmax(1).cpu())
    return torch.stack(images, 1), torch.stack(predictions, 1)


def _spread(transform: Transform, magnitudes: Sequence[float], most: int) -> tuple[float, ...]:
    """Return at most about ``most`` of the magnitudes, evenly, both ends among them."""
    every = max(1, math.ceil((len(magnitudes) - 1) / (most - 1)))
    start = magnitudes.index(transform.identity) % every if transform.identity in magnitudes else 0
    return tuple(magnitudes[start::every])
