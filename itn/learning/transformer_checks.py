"""What transformers have to keep, whoever wrote them, before a family of them is learned."""

from collections.abc import Sequence

import torch
from torch import Tensor

from itn.nn import Frame, Transformer
from itn.stats import generator

_ALMOST_0 = 1e-6  # of parameters within their bounds, and at most of 1
_BEGINNING = 0.01
_LARGEST_JUMP = 0.01  # of a value; a shift moves black and white pixels by millionths of the width
_LARGEST_DIFFERENCE = 1e-3  # by rounding


def check_transformer(name: str, part: Transformer, shape: Sequence[int]) -> None:
    """Raise ValueError unless a transformer can be learned from images of a shape, ... x C x H x W.

    Args:
        name: That of the part, for the message.
        part: The transformer, with any weights.
        shape: Of the images.
    """
    _check_identity(name, part, shape)
    _check_rows(name, part, shape)


def _check_identity(name: str, part: Transformer, shape: Sequence[int]) -> None:
    """Raise ValueError unless a transformer does nothing at p = 0, and parameters have gradients there."""
    device, frame = part.head.bound.device, part.frame(shape)
    images = torch.rand(2, *shape[-3:], generator=generator(0, "identity")).to(device)
    p = torch.zeros(2, len(part.names), device=device, requires_grad=True)
    changed, displacement = part.apply_parameters(images, p, frame), part.displacement(p, frame)
    if not torch.equal(changed, images):
        raise ValueError(f"{name} changes images at p = 0: apply_parameters must return them exactly")
    if displacement.shape != (2,) or displacement.any():
        raise ValueError(
            f"displacement of {name} must be 0 at p = 0 with shape (B,), got shape "
            f"{tuple(displacement.shape)} and values up to {displacement.abs().max():.3g}"
        )
    for value, method in ((changed, "apply_parameters"), (displacement, "displacement")):
        if not value.requires_grad:
            raise ValueError(f"{method} of {name} passes no gradient to p: write it with operations of torch")


def _check_rows(name: str, part: Transformer, shape: Sequence[int]) -> None:
    """Raise ValueError unless small parameters change little, and each row its own image, with a gradient."""
    device, frame, randomness = part.head.bound.device, part.frame(shape), generator(0, "rows")
    images = torch.rand(2, *shape[-3:], generator=randomness).to(device)
    shares = 0.25 + 0.5 * torch.rand(2, len(part.names), generator=randomness)
    if not part.head.nonnegative:
        shares[1] *= -1
    p = shares.to(device) * part.head.bound
    small = p / part.head.bound.clamp_min(1)
    with torch.no_grad():
        jump = (part.apply_parameters(images, _ALMOST_0 * small, frame).clamp(0, 1) - images).abs().max()
        together = part.apply_parameters(images, p, frame)
        alone = [part.apply_parameters(images[i : i + 1], p[i : i + 1], frame) for i in range(2)]
    if not jump <= _LARGEST_JUMP:
        raise ValueError(
            f"{name} changes images by up to {jump:.3g} at parameters of almost 0: 0 must be where it begins"
        )
    if not together.isfinite().all():
        raise ValueError(f"{name} gives values that are not finite, within its bounds: make these smaller")
    if not (torch.cat(alone) - together).abs().max() <= _LARGEST_DIFFERENCE:
        raise ValueError(
            f"{name} changes an image otherwise in a batch than alone: each must be changed by its own row "
            "of p, in the same way at every call"
        )
    # It may end to grow within the bounds, but not where learning begins
    slopes = torch.stack([_slope(part, share * p, frame) for share in (_BEGINNING, 1)])
    if not (slopes.isfinite().all() and slopes.any()):
        raise ValueError(
            f"the displacement of {name} has no slope within its bounds, or no finite one: learning cannot "
            "make it larger"
        )


def _slope(part: Transformer, p: Tensor, frame: Frame) -> Tensor:
    (slope,) = torch.autograd.grad(part.displacement(p.requires_grad_(), frame).sum(), p)
    return slope
