"""Single transformations: a family is compared with each of them, and learning begins at the best."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from itn.functional import displacement
from itn.transforms import TRANSFORMS

PATH_STEPS = 1024  # at which parameters are compared with their bounds


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


class MagnitudeOffset(NamedTuple):
    """What the magnitude of a single transformation is."""

    most: float
    """Magnitude minus identity at scale 1, signed."""
    identity: float = 0.0
    unit: str = ""
    """May be empty."""


def of_parameters(
    name: str,
    offset: MagnitudeOffset,
    parameters: Callable[[Tensor], Tensor],
    bound: Tensor,
    apply: Callable[..., Tensor],
    displacements: Callable[[Tensor], Tensor],
    takes_surround: bool = False,
) -> SingleTransformation:
    """Return the baseline of a path of parameters, which ends where the first one reaches its bound.

    Args:
        name: Its name.
        offset: What its magnitude is where the path is at 1.
        parameters: From scales from 0 to 1, float64, B, to parameters, B x P, 0 at 0.
        bound: On their absolute values.
        apply: From float images and parameters to images; see ``SingleTransformation``.
        displacements: From parameters to displacements, B.
        takes_surround: Whether ``apply`` looks around the frame.
    """
    scales = torch.linspace(0, 1, PATH_STEPS + 1, dtype=torch.float64)
    outside = (parameters(scales).abs() > bound.cpu() * (1 + 1e-6)).any(1)
    end = scales[max(1, int(outside.int().argmax()) - 1)].item() if outside.any() else 1.0

    def at(scale: Tensor) -> Tensor:
        return parameters(end * scale.cpu().double()).to(scale)

    return SingleTransformation(
        name,
        "+" if offset.most > 0 else "-",
        offset.identity,
        end * offset.most,
        offset.unit,
        at,
        apply,
        displacements,
        lambda scale: at(torch.tensor([scale]))[0],
        takes_surround,
    )


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
