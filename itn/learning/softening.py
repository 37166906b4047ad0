"""Which interpolation a family is learned with: sampling between pixels softens, which alone may break.

A shift by half a pixel is sampled halfway between pixels everywhere. What it loses bilinearly and not
bicubically is lost to sampling, not to motion. On small images that can be several times the tolerance, and
no family that shifts, turns or zooms could be certified.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.functional import Surround, family_matrix, warp
from itn.nn import InvariantTransformerNet

MOST_IMAGES = 2000
SHARE = 0.25  # of the tolerance, which bilinear sampling may lose
STANDARD_ERRORS = 2.0  # by which it must lose more than bicubic sampling


@dataclasses.dataclass(frozen=True)
class Softening:
    """What a shift by half a pixel, down and to the right, loses by the criterion, on training images."""

    bilinear: float
    """Share of the images."""
    bicubic: float
    images: int

    @property
    def text(self) -> str:
        """In words."""
        bilinear, bicubic = (100 * loss for loss in (self.bilinear, self.bicubic))
        return (
            f"a shift by half a pixel loses {bilinear:.1f} % bilinearly and {bicubic:.1f} % bicubically, "
            f"of {self.images:,} training images"
        )


def choose_interpolation(
    nets: Sequence[InvariantTransformerNet], training: EvaluationSet, tolerance: float
) -> Softening | None:
    """Give parts of nets that move pixels bicubic interpolation if bilinear sampling alone would break.

    Args:
        nets: Of the same parts.
        training: Images that are learned from.
        tolerance: Of the certificate.

    Returns:
        What was measured; None if no part samples between pixels.
    """
    moving = [part for net in nets for part in net.members if part.samples]
    if not moving:
        return None
    images = training.spread(MOST_IMAGES)
    bilinear, bicubic = (
        images.changes(half_a_pixel(moving[0].padding, kernel), torch.ones(1, 1)).double()
        for kernel in ("bilinear", "bicubic")
    )
    excess = bilinear - bicubic
    error = excess.std() / len(excess) ** 0.5
    if excess.mean() > max(SHARE * tolerance, STANDARD_ERRORS * error.item()):
        for part in moving:
            part.interpolation = "bicubic"
    return Softening(bilinear.mean().item(), bicubic.mean().item(), len(excess))


def half_a_pixel(padding: str, interpolation: str) -> ParametricTransform:
    """Return the shift by half a pixel, down and to the right, as a transformation with one control."""

    def apply(images: Tensor, rows: Sequence[Tensor], surround: Surround | None = None) -> Tensor:
        height, width = images.shape[-2:] if surround is None else surround.size
        shift = family_matrix("translation", -rows[0] * rows[0].new_tensor([1 / width, 1 / height]))
        return warp(images, shift, padding, surround, interpolation)

    return ParametricTransform(1, lambda k: [k], apply)
