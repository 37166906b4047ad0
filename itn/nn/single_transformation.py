"""Single transformations: a family is compared with each of them, and learning begins at the best."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from itn.functional import displacement
from itn.transforms import TRANSFORMS


class SingleTransformation(NamedTuple):
    """One transformation with one sign, which grows with a scale from 0, the identity, to 1, its bound."""

    name: str
    sign: str
    """"+" above the identity, "-" below it."""
    identity: float
    """The magnitude that changes nothing."""
    max_offset: float
    """Magnitude minus identity at scale 1, signed."""
    unit: str
    """Of the magnitude."""
    generate: Callable[[Tensor], Tensor]
    """From scales, B, to what ``apply`` needs, one row for each: parameters or matrices."""
    apply: Callable[..., Tensor]
    """From float images and such rows to images; if it takes a surround, also from canvases, such rows and
    their surround to crops."""
    displacements: Callable[[Tensor], Tensor]
    """From such rows to displacements, B."""
    parameters: Callable[[float], Tensor] | None = None
    """From a scale to the parameters, P, if the transformer that names this baseline has them."""
    takes_surround: bool = False
    """Whether ``apply`` looks around the frame."""

    def displacement(self, scale: float) -> float:
        """Return the displacement at a scale."""
        return self.displacements(self.generate(torch.tensor([scale]))).item()

    def magnitude(self, scale: float) -> float:
        """Return the magnitude at a scale."""
        return self.identity + scale * self.max_offset


def of_matrices(
    name: str,
    max_offset: float,
    matrices: Callable[[Tensor], Tensor],
    apply: Callable[..., Tensor],
    member: bool,
    takes_surround: bool = False,
) -> SingleTransformation:
    """Return the baseline of a transformation of the screening table.

    Args:
        name: A key of ``itn.TRANSFORMS``.
        max_offset: Magnitude minus identity at scale 1, signed.
        matrices: From scales, B, to matrices, B x (n-1) x n; at 0 the identity.
        apply: From float images and such matrices to images; see ``SingleTransformation``.
        member: Whether the parameters of the family are the entries of the matrix minus the identity.
        takes_surround: Whether ``apply`` looks around the frame.
    """

    def deviation(scale: float) -> Tensor:
        return (matrices(torch.tensor([scale])) - matrices(torch.zeros(1)))[0].flatten()

    transform = TRANSFORMS[name]
    return SingleTransformation(
        name,
        "+" if max_offset > 0 else "-",
        transform.identity,
        max_offset,
        transform.unit,
        matrices,
        apply,
        displacement,
        deviation if member else None,
        takes_surround,
    )
