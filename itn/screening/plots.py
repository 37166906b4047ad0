"""The figures that a result of a screen returns."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from itn.plotting.names import shortened
from itn.screening.plot_curve import sweep_curve
from itn.screening.plot_overview import pair_map, thresholds
from itn.screening.records import ScreenRecord
from itn.screening.transforms import drawn_as


def plot(record: ScreenRecord, settings: Mapping[str, Any], what: str | None) -> Figure:
    """Return the figure of one transformation or pair, or of all thresholds.

    Args:
        record: The record.
        settings: The content of config.json.
        what: A transformation, a pair, or None.

    Raises:
        ValueError: If there is nothing of that name.
    """
    if what in record.transforms:
        sweep = record.transforms[what]
        transform = drawn_as(what, sweep, settings)
        name = shortened(record.model, 30)
        return sweep_curve(transform, sweep, record.clean_accuracy, record.confidence, name)
    if what in record.pairs:
        pair = record.pairs[what]
        x, y = (drawn_as(name, record.transforms.get(name), settings) for name in (pair.x, pair.y))
        return pair_map(pair, x, y, record.clean_accuracy)
    if what is not None or not record.transforms:
        raise ValueError(
            f"{what} was not screened: give one of {', '.join((*record.transforms, *record.pairs))}"
        )
    return thresholds(
        record, {name: drawn_as(name, sweep, settings) for name, sweep in record.transforms.items()}
    )
