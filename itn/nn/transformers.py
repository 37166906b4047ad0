"""Learnable transformers: a small MLP turns a control input k into a color or a spatial matrix."""

import torch
from torch import Tensor, nn

from itn.functional.color import COLOR_FAMILIES, apply_color, check_images, color_family_matrix
from itn.functional.spatial import FAMILIES, PADDINGS, family_matrix, warp

CONTROLS = 2  # k has two entries, as in the paper


class ControlHead(nn.Module):
    """Two fully connected layers from k in [0, 1]^2 to bounded parameters that are zero at k = 0.

    The layers have no biases. A ReLU network without biases is positively homogeneous, so along
    every ray ``t * k`` each parameter is a monotone function of t that starts at exactly 0: k = 0 is
    the identity and displacement grows with k *by construction*, not by training. The direction of
    the ray stays an arbitrary (piecewise linear) function of k. (At exactly k = 0 the ReLUs have no
    slope: to optimise k itself, start beside 0.)

    Args:
        outputs: Number P of parameters.
        hidden: Width of the hidden layer.
        bound: Every parameter stays within [-bound, bound], by a tanh of slope 1 at zero.
        generator: Randomness of the initial weights; None is torch's global generator.
        rectified: Rectify the last layer too, as the words of Bunne et al. can be read: parameters are
            then never negative.
            Its initial weights are the absolute values of those without: with signs at random, half of
            the parameters would start at zero for all k, without a gradient.
    """

    bound: Tensor

    def __init__(
        self,
        outputs: int,
        hidden: int = 32,
        bound: float = 1.0,
        generator: torch.Generator | None = None,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        # As single precision has it: 0 or infinity would make the identity a matrix of nan
        if not torch.finfo(torch.float32).tiny <= bound <= torch.finfo(torch.float32).max:
            raise ValueError(f"bound must be positive and finite in single precision, got {bound}")
        self.hidden = nn.Linear(CONTROLS, hidden, bias=False)
        self.output = nn.Linear(hidden, outputs, bias=False)
        # Small, so that an untrained net is within 1e-2 of the identity for certain; not zero, since
        # displacement has no gradient at the identity.
        nn.init.uniform_(self.hidden.weight, -0.7, 0.7, generator=generator)
        nn.init.uniform_(self.output.weight, -2e-3 / hidden, 2e-3 / hidden, generator=generator)
        self.rectified = rectified
        if rectified:
            with torch.no_grad():
                self.output.weight.abs_()
        self.register_buffer("bound", torch.tensor(float(bound)))

    def forward(self, k: Tensor) -> Tensor:
        """Return parameters, B x P, of controls B x 2, in full precision also under autocast."""
        with torch.autocast(k.device.type, enabled=False):
            raw = self.output(self.hidden(k).relu())
            if self.rectified:
                raw = raw.relu()
            return self.bound * torch.tanh(raw / self.bound)


class _Transformer(nn.Module):
    """What the two transformers share: how k enters, and how a matrix meets a batch of images."""

    head: ControlHead

    def generate(self, k: Tensor) -> Tensor:
        """Return the matrices of valid controls B x 2, unchecked, for loops that made k themselves."""
        raise NotImplementedError

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
        rectified: No entry falls below its identity, see ``ControlHead``.
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
        rectified: bool = False,
        family: str = "affine",
    ) -> None:
        super().__init__()
        if family not in COLOR_FAMILIES:
            raise ValueError(f"unknown color family {family!r}: give one of {', '.join(COLOR_FAMILIES)}")
        self.channels, self.family = channels, family
        parameters = channels * (channels + 1) if family == "affine" else 1
        self.head = ControlHead(parameters, hidden, bound, generator, rectified)

    def generate(self, k: Tensor) -> Tensor:
        """Return color matrices, B x C x (C+1), of valid controls B x 2."""
        return self.from_parameters(self.head(k))

    def from_parameters(self, parameters: Tensor) -> Tensor:
        """Return color matrices, ... x C x (C+1), of what a head returns, ... x P."""
        return color_family_matrix(self.family, parameters, self.channels)

    def forward(self, images: Tensor, k: Tensor) -> Tensor:
        """Return images with mapped colors, clamped to [0, 1].

        Args:
            images: B x C x H x W, float in [0, 1].
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the images come back bit for bit.

        Raises:
            ValueError: If images or k are not that. Under torch.compile values go unchecked.
        """
        check_float_images(images, self.channels)
        return apply_color(images, self._matrix_for(images, k))


class SpatialTransformer(_Transformer):
    """An affine map of the image plane, driven by k (Bunne et al., section III.D).

    Args:
        family: A key of ``itn.FAMILIES``, such as ``"affine"``, ``"rotation"`` or ``"similarity"``; it
            names the parameters of each.
        hidden: Width of the hidden layer.
        bound: Bound on each of the family's parameters; None takes the family's own (1, in
            normalised coordinates; pi for the angle).
        padding: What lies outside the frame: ``"zeros"`` (black), ``"border"`` or ``"reflection"``.
        aspect: Width over height of the images. Matrices live in normalised coordinates, where a
            rotation of a frame that is not square needs to know.
        generator: Randomness of the initial weights; None is torch's global generator.
        rectified: No parameter falls below its identity, see ``ControlHead``.

    Example:
        >>> space = SpatialTransformer(family="rotation")
        >>> space.matrix(torch.rand(5, 2)).shape
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
        rectified: bool = False,
    ) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}: give one of {', '.join(FAMILIES)}")
        if padding not in PADDINGS:
            raise ValueError(f"unknown padding {padding!r}: give one of {', '.join(PADDINGS)}")
        names, default_bound = FAMILIES[family]
        if family == "rotation" and bound is not None and bound > default_bound:
            raise ValueError(f"a rotation is bounded by at most pi, got {bound}: beyond, it comes back")
        self.family, self.padding, self.aspect = family, padding, aspect
        bound = default_bound if bound is None else bound
        self.head = ControlHead(len(names), hidden, bound, generator, rectified)

    def generate(self, k: Tensor) -> Tensor:
        """Return spatial matrices, B x 2 x 3, of valid controls B x 2."""
        return self.from_parameters(self.head(k))

    @property
    def entry_bound(self) -> float:
        """Bound on each entry of the matrix minus identity, as far as the family is bounded by one."""
        return 1.0 if self.family == "rotation" else float(self.head.bound)

    def from_parameters(self, parameters: Tensor) -> Tensor:
        """Return spatial matrices, ... x 2 x 3, of what a head returns, ... x P."""
        return family_matrix(self.family, parameters, self.aspect)

    def forward(self, images: Tensor, k: Tensor) -> Tensor:
        """Return warped images.

        Args:
            images: B x C x H x W, float in [0, 1]. (For feature maps, call ``itn.warp`` with
                ``matrix(k)``: it takes any values.)
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the images come back bit for bit.

        Raises:
            ValueError: If images or k are not that. Under torch.compile values go unchecked.
        """
        check_float_images(images)
        # Interpolation weights sum to 1 only up to rounding
        return warp(images, self._matrix_for(images, k), self.padding).clamp(0, 1)


def check_controls(k: Tensor) -> Tensor:
    """Return k as B x 2, or raise ValueError unless it is (2,) or (B, 2) with values in [0, 1]."""
    if k.ndim not in (1, 2) or k.shape[-1] != CONTROLS:
        raise ValueError(f"k must have shape (2,), (1, 2) or (B, 2), got {tuple(k.shape)}")
    if not torch.compiler.is_compiling() and not ((k >= 0) & (k <= 1)).all():
        raise ValueError(f"k must lie in [0, 1], got values from {k.min():.4g} to {k.max():.4g}")
    return k.reshape(-1, CONTROLS)


def check_float_images(images: Tensor, channels: int | None = None) -> None:
    """Raise ValueError unless images are B x C x H x W, floating, in [0, 1]."""
    if not images.is_floating_point():
        raise ValueError(f"images must be float in [0, 1], got {images.dtype}: divide uint8 by 255")
    if not torch.compiler.is_compiling():
        check_images(images, channels)
