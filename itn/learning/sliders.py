"""What a page computes with, to do to images in a browser what a net does to them."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional import color_identity
from itn.functional.spatial import spatial_identity
from itn.nn import ColorTransformer, Composition, MatrixTransformer, SpatialTransformer


@dataclasses.dataclass(frozen=True)
class PartSliders:
    """A color or spatial transformer: its head, and from its parameters to the matrix."""

    kind: str
    """color or spatial."""
    k: int
    """Which of the ks drives it."""
    hidden: tuple[tuple[float, ...], ...]
    """Weights of the first layer, width x 2."""
    output: tuple[tuple[float, ...], ...]
    """Weights of the second layer, parameters x width."""
    bound: tuple[float, ...]
    """Of each parameter."""
    nonnegative: bool
    padding: str
    interpolation: str
    aspect: float
    """Width over height of the images."""
    linear: tuple[tuple[float, ...], ...] | None
    """Entries of the matrix minus the identity, row by row, from the parameters, entries x parameters; None
    of rotations."""


def part_sliders(net: Composition, shape: Sequence[int]) -> tuple[PartSliders, ...]:
    """Return the parts of a net for a page; none if they are others than color, then spatial.

    Args:
        net: The net.
        shape: Of the images, ... x C x H x W.
    """
    kinds = {ColorTransformer: "color", SpatialTransformer: "spatial"}
    known = [kinds.get(type(part)) for part in net.members]
    if known not in (["color"], ["spatial"], ["color", "spatial"]):
        return ()
    parts = []
    for name, kind in zip(net.parts, known, strict=True):
        part = net.part(name)
        assert isinstance(part, MatrixTransformer)
        linear = _linear(part, shape)
        if linear is None and getattr(part, "family", "") != "rotation":
            return ()
        head = part.head
        parts.append(
            PartSliders(
                kind=str(kind),
                k=net.controls.index(name),
                hidden=_rows(head.hidden.weight),
                output=_rows(head.output.weight),
                bound=tuple(head.bound.cpu().expand(len(part.names)).tolist()),
                nonnegative=head.nonnegative,
                padding=part.padding,
                interpolation=part.interpolation,
                aspect=shape[-1] / shape[-2],
                linear=None if linear is None else _rows(linear),
            )
        )
    return tuple(parts)


@torch.no_grad()
def _linear(part: MatrixTransformer, shape: Sequence[int]) -> Tensor | None:
    """Return, if it is linear, the matrix minus the identity of each unit vector of parameters."""
    frame, size = part.frame(shape), len(part.names)
    like = torch.zeros((), dtype=torch.float64)
    identity = spatial_identity(like)
    if isinstance(part, ColorTransformer):
        identity = color_identity(shape[-3], like)

    def deviation(p: Tensor) -> Tensor:
        return (part.matrix_from(p, frame) - identity).flatten(1)

    columns = deviation(torch.eye(size, dtype=torch.float64))
    some = torch.linspace(0.6, -0.9, size, dtype=torch.float64)[None]
    return columns.T if torch.allclose(deviation(some), some @ columns, atol=1e-9) else None


def _rows(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, matrix.detach().cpu().double().tolist()))
