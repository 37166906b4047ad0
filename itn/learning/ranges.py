"""Families with a single parameter: which transformation of the screening table they are."""

import math
from collections.abc import Callable

RANGES: dict[str, tuple[str, Callable[[float], float]]] = {
    "rotation": ("rotate", math.degrees),
    "translation_x": ("translate_x", lambda p: -p / 2),
    "translation_y": ("translate_y", lambda p: -p / 2),
    "zoom": ("zoom", lambda p: 1 + p),
    "gain": ("contrast", lambda p: 1 + p),
    "bias": ("brightness", lambda p: p),
}
"""By family, the name of the transformation, and its magnitude for a parameter."""
