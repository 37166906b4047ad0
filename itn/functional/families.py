"""Families of matrices: what their parameters mean, and the matrices that these give.

``FAMILIES`` holds the spatial families, ``COLOR_FAMILIES`` those of color. ``register_family`` adds a spatial
one.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from itn.functional.color import color_identity
from itn.functional.spatial import spatial_identity


class Magnitude(NamedTuple):
    """What the single parameter of a family is in the table of screening transformations."""

    transform: str
    """Name of the transformation."""
    of_parameter: Callable[[float], float]
    """From the parameter to the magnitude."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Spatial transformations with P parameters, all 0 at the identity."""

    parameters: tuple[str, ...]
    """Meaning of the parameters; lengths are normalized (2 is the frame), angles are in radians."""
    bound: float
    """Default bound on the absolute value of every parameter."""
    deviation: Callable[[Sequence[Tensor], float], Sequence[Tensor]]
    """From P parameters and the aspect of the frame, width over height, to the six entries of the matrix
    minus the identity, row by row; all 0 where the parameters are."""
    magnitude: Magnitude | None = None
    """Of a family with a single parameter, if the screening table has that transformation."""
    largest_bound: float = math.inf
    """Beyond it the transformations repeat."""
    entry_bound: float | None = None
    """Bound on each entry of the matrix minus the identity; None: that on the parameters."""


@dataclasses.dataclass(frozen=True)
class ColorFamily:
    """Maps of a pixel's channels with P parameters, all 0 at the identity."""

    parameters: Callable[[int], tuple[str, ...]]
    """From the number C of channels to the meaning of the parameters."""
    deviation: Callable[[Tensor, Tensor], Tensor]
    """From parameters, ... x P, and the identity, C x (C+1), to matrices minus the identity."""
    magnitude: Magnitude | None = None


_FAMILIES: dict[str, Family] = {}
FAMILIES: Mapping[str, Family] = MappingProxyType(_FAMILIES)


def register_family(
    name: str,
    parameters: Sequence[str],
    bound: float,
    matrix: Callable[[Sequence[Tensor], float], Sequence[Tensor]],
    magnitude: tuple[str, Callable[[float], float]] | None = None,
    *,
    largest_bound: float = math.inf,
    entry_bound: float | None = None,
    replace: bool = False,
) -> None:
    """Add a spatial family that ``SpatialTransformer`` and ``LearnConfig`` take by its name.

    Args:
        name: Its name.
        parameters: What its parameters mean; all are 0 at the identity.
        bound: Default bound on the absolute value of every parameter.
        matrix: From the parameters, one tensor each, and the aspect of the frame (width over height) to the
            six entries of the matrix minus the identity, row by row.
        magnitude: With a single parameter, the transformation of the screening table that it is, and a
            function from the parameter to the magnitude; closing tables then name the range.
        largest_bound: Beyond it the transformations repeat.
        entry_bound: Bound on each entry of the matrix minus the identity, for baselines; None: ``bound``.
        replace: Replace a family of that name.

    Raises:
        ValueError: If the name is taken, or a bound is not positive.

    Example:
        >>> register_family("squeeze", ["wider - 1"], 0.5, lambda p, aspect: [p[0], 0, 0, 0, -p[0], 0])
    """
    if name in FAMILIES and not replace:
        raise ValueError(f"there is a family {name!r} already: give yours another name, or replace=True")
    if not 0 < bound <= largest_bound:
        raise ValueError(f"bound must be positive and at most {largest_bound:g}, got {bound}")
    if isinstance(parameters, str) or not parameters:
        raise ValueError(f"parameters must be a list of their meanings, got {parameters!r}")
    known = None if magnitude is None else Magnitude(*magnitude)
    _FAMILIES[name] = Family(tuple(parameters), bound, matrix, known, largest_bound, entry_bound)


def family_matrix(family: str, parameters: Tensor, aspect: float = 1.0) -> Tensor:
    """Return the spatial matrices, ... x 2 x 3, of a family's parameters, ... x P.

    Args:
        family: A key of ``FAMILIES``.
        parameters: ... x P, in the order and units of ``FAMILIES[family].parameters``.
        aspect: Width over height of the frame, so that a rotation does not skew the pixel grid.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: give one of {', '.join(FAMILIES)}")
    p = parameters.unbind(-1)
    entries = [
        torch.as_tensor(e).to(parameters).expand_as(p[0]) for e in FAMILIES[family].deviation(p, aspect)
    ]
    return spatial_identity(parameters) + torch.stack(entries, -1).unflatten(-1, (2, 3))


def color_family_matrix(family: str, parameters: Tensor, channels: int) -> Tensor:
    """Return the color matrices, ... x C x (C+1), of a family's parameters, ... x P.

    Args:
        family: A key of ``COLOR_FAMILIES``.
        parameters: ... x P, all 0 at the identity.
        channels: Number C of channels.
    """
    if family not in COLOR_FAMILIES:
        raise ValueError(f"unknown color family {family!r}: give one of {', '.join(COLOR_FAMILIES)}")
    identity = color_identity(channels, parameters)
    return identity + COLOR_FAMILIES[family].deviation(parameters, identity)


def _rotation(p: Sequence[Tensor], aspect: float) -> Sequence[Tensor]:
    # cos(a) - 1 = -2 sin^2(a / 2) avoids cancellation near the identity
    diagonal, sine, zero = -2 * (p[0] / 2).sin().square(), p[0].sin(), torch.zeros_like(p[0])
    return [diagonal, sine / aspect, zero, -sine * aspect, diagonal, zero]


def _at(*places: int) -> Callable[[Sequence[Tensor], float], Sequence[Tensor]]:
    """Return a function that puts the parameters at these places of the six entries, zeros elsewhere.

    A single parameter goes to all of them.
    """

    def deviation(p: Sequence[Tensor], aspect: float) -> Sequence[Tensor]:
        entries = [torch.zeros_like(p[0])] * 6
        for number, place in enumerate(places):
            entries[place] = p[number if len(p) > 1 else 0]
        return entries

    return deviation


def _entries(channels: int) -> tuple[str, ...]:
    """Return what the entries of a color matrix are, row by row, each with its row and column."""
    comma = "" if channels < 10 else ","
    return tuple(
        f"{'bias' if column == channels else 'gain - 1' if column == row else 'mixing'} {row}{comma}{column}"
        for row in range(channels)
        for column in range(channels + 1)
    )


def _bias(parameters: Tensor, identity: Tensor) -> Tensor:
    bias = torch.zeros_like(identity)
    bias[:, -1] = 1
    return parameters[..., None] * bias


_AFFINE = ("scale_x - 1", "skew_x", "shift_x", "skew_y", "scale_y - 1", "shift_y")
_SIMILARITY = ("zoom * cos(angle) - 1", "zoom * sin(angle)", "shift_x", "shift_y")
register_family("affine", _AFFINE, 1.0, _at(0, 1, 2, 3, 4, 5))
register_family(
    "rotation",
    ("clockwise angle",),
    math.pi,
    _rotation,
    ("rotate", math.degrees),
    largest_bound=math.pi,
    entry_bound=1.0,
)
register_family("translation", ("shift_x", "shift_y"), 1.0, _at(2, 5))
register_family("translation_x", ("shift_x",), 1.0, _at(2), ("translate_x", lambda p: -p / 2))
register_family("translation_y", ("shift_y",), 1.0, _at(5), ("translate_y", lambda p: -p / 2))
register_family("scale", ("scale_x - 1", "scale_y - 1"), 1.0, _at(0, 4))
register_family("zoom", ("zoom - 1",), 1.0, _at(0, 4), ("zoom", lambda p: 1 + p))
register_family("shear", ("skew_x", "skew_y"), 1.0, _at(1, 3))
register_family(
    "similarity",
    _SIMILARITY,
    1.0,
    lambda p, aspect: [p[0], p[1] / aspect, p[2], -p[1] * aspect, p[0], p[3]],
)

COLOR_FAMILIES: Mapping[str, ColorFamily] = MappingProxyType(
    {
        "affine": ColorFamily(
            _entries,
            lambda parameters, identity: parameters.unflatten(-1, identity.shape),
        ),
        "gain": ColorFamily(
            lambda channels: ("gain - 1",),
            lambda parameters, identity: parameters[..., None] * identity,
            Magnitude("contrast", lambda p: 1 + p),
        ),
        "bias": ColorFamily(lambda channels: ("bias",), _bias, Magnitude("brightness", lambda p: p)),
    }
)
