"""Learnable transformers: a small MLP turns a control input k into a color or a spatial matrix."""

import torch
from torch import Tensor, nn

from itn.functional import (
    COLOR_FAMILIES,
    FAMILIES,
    PADDINGS,
    apply_color,
    check_images,
    color_family_matrix,
    family_matrix,
    warp,
)
from itn.nn.control_head import ControlHead, check_controls


class _Transformer(nn.Module):
    """Common part of the two transformers: from k to matrices, one for all images or one for each."""

    head: ControlHead

    def from_parameters(self, parameters: Tensor) -> Tensor:
        """Return the matrices, ... x n x m, of the head's parameters, ... x P."""
        raise NotImplementedError

    def generate(self, k: Tensor) -> Tensor:
        """Return the matrices of valid controls B x 2, unchecked, for inner loops."""
        return self.from_parameters(self.head(k))

    def matrix(self, k: Tensor) -> Tensor:
        """Return the matrices, one per row of k.

        Args:
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the matrix is exactly the identity.

        Raises:
            ValueError: If k has another shape or leaves [0, 1].
        """
        k = torch.as_tensor(k)
        k = check_controls(k).to(self.head.output.weight)
        return self.generate(k)

    def _matrix_for(self, images: Tensor, k: Tensor) -> Tensor:
        matrix = self.matrix(k)
        if len(matrix) not in (1, len(images)):
            raise ValueError(
                f"k has {len(matrix)} rows for {len(images)} images: give one row, or one per image"
            )
        return matrix


class ColorTransformer(_Transformer):
    """An affine map of every pixel's channels, driven by k (Bunne et al., section III.D).

    Args:
        channels: Number C of image channels, 1 for gray (a gain and a bias), 3 for RGB.
        hidden: Width of the hidden layer.
        bound: Bound on each entry of A - I: at 1, gains lie in (0, 2) and biases in (-1, 1).
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No entry falls below that of the identity, see ``ControlHead``.
        family: ``"affine"``, or with one parameter for all channels ``"gain"`` or ``"bias"``.

    Example:
        >>> color = ColorTransformer(channels=3)
        >>> images = torch.rand(4, 3, 32, 32)
        >>> bool((color(images, torch.zeros(2)) == images).all())
        True
    """

    def __init__(
        self,
        channels: int = 3,
        hidden: int = 32,
        bound: float = 1.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        family: str = "affine",
    ) -> None:
        super().__init__()
        if family not in COLOR_FAMILIES:
            raise ValueError(f"unknown color family {family!r}: give one of {', '.join(COLOR_FAMILIES)}")
        self.channels, self.family = channels, family
        parameters = channels * (channels + 1) if family == "affine" else 1
        self.head = ControlHead(parameters, hidden, bound, generator, nonnegative)

    def from_parameters(self, parameters: Tensor) -> Tensor:
        """Return color matrices, ... x C x (C+1), of the head's parameters, ... x P."""
        return color_family_matrix(self.family, parameters, self.channels)

    def forward(self, images: Tensor, k: Tensor) -> Tensor:
        """Return images with transformed colors, clamped to [0, 1].

        Args:
            images: B x C x H x W, float in [0, 1].
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the images are returned bit for bit.

        Raises:
            ValueError: If images or k are invalid. Under torch.compile values are not checked.
        """
        check_float_images(images, self.channels)
        return apply_color(images, self._matrix_for(images, k))


class SpatialTransformer(_Transformer):
    """An affine map of the image plane, driven by k (Bunne et al., section III.D).

    Args:
        family: A key of ``itn.functional.FAMILIES``, which lists the parameters of each family, such as
            ``"affine"``, ``"rotation"`` or ``"similarity"``.
        hidden: Width of the hidden layer.
        bound: Bound on each of the family's parameters; None takes the family's own (1, in
            normalized coordinates; pi for the angle).
        padding: What lies outside the frame: ``"zeros"`` (black), ``"border"`` or ``"reflection"``.
        aspect: Width over height of the images. Matrices are in normalized coordinates, in which a
            rotation of a frame that is not square depends on it.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below that of the identity, see ``ControlHead``.

    Example:
        >>> spatial = SpatialTransformer(family="rotation")
        >>> spatial.matrix(torch.rand(5, 2)).shape
        torch.Size([5, 2, 3])
    """

    def __init__(
        self,
        family: str = "affine",
        hidden: int = 32,
        bound: float | None = None,
        padding: str = "zeros",
        aspect: float = 1.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
    ) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}: give one of {', '.join(FAMILIES)}")
        if padding not in PADDINGS:
            raise ValueError(f"unknown padding {padding!r}: give one of {', '.join(PADDINGS)}")
        names, default_bound = FAMILIES[family]
        if family == "rotation" and bound is not None and bound > default_bound:
            raise ValueError(f"a rotation is bounded by at most pi, got {bound}: beyond it, rotations repeat")
        self.family, self.padding, self.aspect = family, padding, aspect
        bound = default_bound if bound is None else bound
        self.head = ControlHead(len(names), hidden, bound, generator, nonnegative)

    @property
    def entry_bound(self) -> float:
        """Bound on each entry of the matrix minus identity; 1 for the sine of a rotation."""
        return 1.0 if self.family == "rotation" else float(self.head.bound)

    def from_parameters(self, parameters: Tensor) -> Tensor:
        """Return spatial matrices, ... x 2 x 3, of the head's parameters, ... x P."""
        return family_matrix(self.family, parameters, self.aspect)

    def forward(self, images: Tensor, k: Tensor) -> Tensor:
        """Return warped images.

        Args:
            images: B x C x H x W, float in [0, 1]. (For feature maps, call ``itn.warp`` with
                ``matrix(k)``: it takes any values.)
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the images are returned bit for bit.

        Raises:
            ValueError: If images or k are invalid. Under torch.compile values are not checked.
        """
        check_float_images(images)
        # Interpolation weights sum to 1 only up to rounding
        return warp(images, self._matrix_for(images, k), self.padding).clamp(0, 1)


def check_float_images(images: Tensor, channels: int | None = None) -> None:
    """Raise ValueError unless images are B x C x H x W, floating, in [0, 1]."""
    if not images.is_floating_point():
        raise ValueError(f"images must be float in [0, 1], got {images.dtype}: divide uint8 by 255")
    if not torch.compiler.is_compiling():
        check_images(images, channels)
