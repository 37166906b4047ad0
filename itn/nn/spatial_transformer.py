"""The spatial transformer: an affine map of the image plane."""

import math
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import (
    FAMILIES,
    SpatialParts,
    Surround,
    compose_maps,
    decompose_spatial,
    family_matrix,
    rms_displacement,
    warp,
)
from itn.functional.families import Magnitude
from itn.nn.frame import Frame
from itn.nn.matrix_transformer import MatrixTransformer
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import SingleTransformation, of_matrices
from itn.transforms import TRANSFORMS


def sample(images: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
    """Return images, with a surround canvases, warped as a frame says, in [0, 1]."""
    warped = warp(images, matrix, frame.padding, frame.surround, frame.interpolation)
    return warped if frame.interpolation == "bilinear" else warped.clamp(0, 1)


def in_words(parts: SpatialParts) -> str:
    """Return what a single affine map does, in words."""
    turned, scale_x, scale_y, shear, shift_x, shift_y = (value.item() for value in parts)
    return (
        f"content is turned {abs(turned):.1f} degrees "
        f"{'clockwise' if turned >= 0 else 'counter-clockwise'}, "
        f"scaled x {scale_x:.2f} and y {scale_y:.2f} (above 1 shrinks), "
        f"sheared by {-shear:+.2f} (pixels to the right per pixel down), "
        f"shifted {100 * abs(shift_x):.1f} % of the width {'left' if shift_x < 0 else 'right'} "
        f"and {100 * abs(shift_y):.1f} % of the height {'up' if shift_y < 0 else 'down'}"
    )


class SpatialTransformer(MatrixTransformer):
    """An affine map of the image plane, driven by k (Bunne et al., section III.D).

    Matrices are in normalized coordinates, in which a rotation depends on the shape of the frame; it is that
    of the images that the transformer meets.

    Args:
        family: A key of ``itn.functional.FAMILIES``, which lists the parameters of each family, such as
            ``"affine"``, ``"rotation"`` or ``"similarity"``.
        hidden: Width of the hidden layer.
        bound: Bound on each of the family's parameters; None takes the family's own (1, in
            normalized coordinates; pi for the angle).
        padding: What lies outside the frame: ``"zeros"`` (black), ``"border"`` or ``"reflection"``.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below that of the identity, see ``ControlHead``.
        interpolation: How values between pixels are made: bilinear or bicubic, see ``itn.warp``.

    Example:
        >>> spatial = SpatialTransformer(family="rotation")
        >>> spatial.matrix(torch.rand(5, 2), size=(32, 64)).shape
        torch.Size([5, 2, 3])
    """

    part = "spatial"
    """Its name in a net and in records."""
    seed_name = "space"
    samples = True

    def __init__(
        self,
        family: str = "affine",
        hidden: int = 32,
        bound: float | None = None,
        padding: str = "zeros",
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        interpolation: str = "bilinear",
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}: give one of {', '.join(FAMILIES)}")
        known = FAMILIES[family]
        if bound is not None and bound > known.largest_bound:
            raise ValueError(
                f"a {family} is bounded by at most {known.largest_bound:.4g}, got {bound}: it repeats"
            )
        super().__init__(
            known.parameters,
            known.bound if bound is None else bound,
            hidden,
            padding,
            generator,
            nonnegative,
            interpolation,
        )
        self.family = family

    @classmethod
    @override
    def of_settings(cls, settings: PartSettings) -> Self:
        return cls(
            settings.family,
            settings.hidden,
            settings.spatial_bound,
            settings.padding,
            nonnegative=settings.nonnegative,
            interpolation=settings.interpolation,
        )

    def matrix(self, k: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Return the spatial matrices, B x 2 x 3, one per row of k.

        Args:
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the matrix is exactly the identity.
            size: Height and width of the images; None: a square frame.

        Raises:
            ValueError: If k has another shape or leaves [0, 1].
        """
        height, width = size or (1, 1)
        return family_matrix(self.family, self.parameters_at(k), width / height)

    @override
    def matrix_from(self, p: Tensor, frame: Frame) -> Tensor:
        return family_matrix(self.family, p, frame.aspect)

    @staticmethod
    @override
    def apply_matrix(images: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
        return sample(images, matrix, frame)

    @property
    @override
    def takes_surround(self) -> bool:
        return self.is_plain and type(self).apply_matrix is SpatialTransformer.apply_matrix

    @staticmethod
    @override
    def compose(first: Tensor, second: Tensor) -> Tensor:
        return compose_maps(first, second)

    @override
    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor:
        return rms_displacement(self.matrix_from(p, frame), frame.size)

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        parts = self._decomposed(p, frame)
        if parts is None:
            return ""
        return in_words(parts)

    @override
    def details(self, p: Tensor, frame: Frame) -> dict[str, Any]:
        parts = self._decomposed(p, frame)
        values = None if parts is None else {name: v.item() for name, v in parts._asdict().items()}
        return super().details(p, frame) | {"decomposition_full": values}

    @property
    @override
    def known_magnitude(self) -> Magnitude | None:
        return FAMILIES[self.family].magnitude

    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return rotation, scales, zoom, shears and shifts, with both signs.

        Bounded like the family: no entry of the matrix leaves the identity by more than the bound, and a
        rotation is not taken beyond a right angle.
        """
        entry_bound, aspect = FAMILIES[self.family].entry_bound, frame.aspect
        bound = float(self.head.bound) if entry_bound is None else entry_bound
        offsets = {
            "rotate": math.degrees(math.asin(min(1.0, bound * min(aspect, 1 / aspect)))),
            "scale_x": bound,
            "scale_y": bound,
            "zoom": bound,
            "shear_x": bound * aspect,
            "shear_y": bound / aspect,
            "translate_x": bound / 2,
            "translate_y": bound / 2,
        }
        member = self.family == "affine"

        def baseline(name: str, max_offset: float) -> SingleTransformation:
            transform = TRANSFORMS[name]

            def matrices(scale: Tensor) -> Tensor:
                return transform.function(transform.identity + max_offset * scale, aspect)

            def apply(images: Tensor, matrix: Tensor, surround: Surround | None = None) -> Tensor:
                return sample(images, matrix, frame._replace(surround=surround))

            return of_matrices(name, max_offset, matrices, apply, member, takes_surround=True)

        return [baseline(name, sign * offset) for name, offset in offsets.items() for sign in (1, -1)]

    def _decomposed(self, p: Tensor, frame: Frame) -> SpatialParts | None:
        """Return what the matrix of parameters, 1 x P, does; None if it is singular."""
        parts = decompose_spatial(self.matrix_from(p, frame), frame.aspect)
        return parts if all(value.isfinite().all() for value in parts) else None
