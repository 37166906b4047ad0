"""Transformations of a record as figures need them, whether or not they are still registered."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from itn.screening.records import SweepRecord
from itn.transforms import TRANSFORMS, Transform

_DRAWN = ("unit", "identity", "spatial", "logarithmic", "discrete")


def drawn_as(name: str, sweep: SweepRecord | None, settings: Mapping[str, Any]) -> Transform:
    """Return what a figure shows a transformation of a record as; it transforms nothing.

    Args:
        name: Its name.
        sweep: Its record, if it was swept alone.
        settings: The content of config.json; if it does not describe the transformation, the one that is
            registered now is taken.

    Raises:
        ValueError: If it is neither described nor registered.
    """
    described = settings.get("transforms", {}).get(name)
    if described is None:
        if name in TRANSFORMS:
            return TRANSFORMS[name]
        raise ValueError(
            f"{name} is not registered, so that it is not known how to draw it: register it first"
        )
    known = {key: described[key] for key in _DRAWN}
    magnitudes = () if sweep is None else sweep.magnitudes
    lowest = 0.0 if known["logarithmic"] else -math.inf
    return Transform(
        name=name,
        magnitudes=(*magnitudes, known["identity"]),
        function=_nothing,
        domain=(lowest, math.inf),
        **known,
    )


def _nothing(*_: Tensor) -> Tensor:
    raise NotImplementedError("this transformation is only drawn")
