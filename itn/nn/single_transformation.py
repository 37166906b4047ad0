"""Single transformations: a family is compared with each of them, and learning begins at the best."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


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
    apply: Callable[[Tensor, Tensor], Tensor]
    """From float images and such rows to images."""
    displacements: Callable[[Tensor], Tensor]
    """From such rows to displacements, B."""
    parameters: Callable[[float], Tensor] | None = None
    """From a scale to the parameters, P, if the transformer that names this baseline has them."""

    def displacement(self, scale: float) -> float:
        """Return the displacement at a scale."""
        return self.displacements(self.generate(torch.tensor([scale]))).item()

    def magnitude(self, scale: float) -> float:
        """Return the magnitude at a scale."""
        return self.identity + scale * self.max_offset
