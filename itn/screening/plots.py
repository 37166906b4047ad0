"""The figures that a result of a screen returns."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from itn.data.inputs import PREDICTED
from itn.screening.outcomes import ImageOutcomes
from itn.screening.plot_curve import sweep_curve
from itn.screening.plot_overview import pair_map, thresholds
from itn.screening.records import ScreenRecord
from itn.screening.transforms import drawn_as
from itn.transforms import Transform


def plot(
    record: ScreenRecord, outcomes: ImageOutcomes | None, settings: Mapping[str, Any], what: str | None
) -> Figure:
    """Return the figure of one transformation or pair, or of all thresholds.

    Args:
        record: The record.
        outcomes: What became of every image, if that was kept.
        settings: The content of config.json.
        what: A transformation, a pair, or None.

    Raises:
        ValueError: If there is nothing of that name.
    """
    if what in record.transforms:
        return plot_sweep(record, outcomes, drawn_as(what, record.transforms[what], settings))
    if what in record.pairs:
        pair = record.pairs[what]
        x, y = (drawn_as(name, record.transforms.get(name), settings) for name in (pair.x, pair.y))
        return pair_map(pair, x, y, record.clean_accuracy, record.model)
    if what is not None or not record.transforms:
        raise ValueError(
            f"{what} was not screened: give one of {', '.join((*record.transforms, *record.pairs))}"
        )
    return thresholds(
        record, {name: drawn_as(name, sweep, settings) for name, sweep in record.transforms.items()}
    )


def plot_sweep(record: ScreenRecord, outcomes: ImageOutcomes | None, transform: Transform) -> Figure:
    """Return the curves of one transformation, through all magnitudes that were measured."""
    name = transform.name
    return sweep_curve(
        transform,
        record.transforms[name],
        record.clean_accuracy,
        record.confidence,
        record.model,
        None if outcomes is None else outcomes.sweeps.get(name),
        record.provenance.get("labels") != PREDICTED,
    )
