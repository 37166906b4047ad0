"""The color transformer: an affine map of every pixel's channels."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import (
    COLOR_FAMILIES,
    apply_color,
    color_family_matrix,
    color_identity,
    decompose_color,
    fade_to_gray,
    square_matrix,
)
from itn.functional.families import Magnitude
from itn.nn.frame import Frame
from itn.nn.matrix_transformer import MatrixTransformer
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import SingleTransformation, of_matrices
from itn.runtime.validation import is_of, require
from itn.runtime.wording import counted
from itn.transforms import TRANSFORMS

MOST_CHANNELS = 512  # hyperspectral cameras have a few hundred; the affine family has 262,656 parameters then


class ColorTransformer(MatrixTransformer):
    """An affine map of every pixel's channels, driven by k (Bunne et al., section III.D).

    Args:
        channels: Number C of image channels, 1 for gray (a gain and a bias), 3 for RGB, at most 512.
        hidden: Width of the hidden layer.
        bound: Bound on each entry of A - I: at 1, gains lie in (0, 2) and biases in (-1, 1).
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No entry falls below that of the identity, see ``ControlHead``.
        family: ``"affine"``, or with one parameter for all channels ``"gain"`` or ``"bias"``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> color = ColorTransformer(channels=3)
        >>> images = torch.rand(4, 3, 32, 32)
        >>> bool((color(images, torch.zeros(2)) == images).all())
        True
    """

    part = "color"
    """Its name in a net and in records."""

    def __init__(
        self,
        channels: int = 3,
        hidden: int = 32,
        bound: float = 1.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        family: str = "affine",
    ) -> None:
        require(
            is_of(channels, (Integral,)) and 1 <= channels <= MOST_CHANNELS,
            f"channels must be from 1 to {MOST_CHANNELS}, got {channels!r}",
        )
        if family not in COLOR_FAMILIES:
            raise ValueError(f"unknown color family {family!r}: give one of {', '.join(COLOR_FAMILIES)}")
        names = COLOR_FAMILIES[family].parameters(channels)
        super().__init__(names, bound, hidden, generator=generator, nonnegative=nonnegative)
        self.channels, self.family = channels, family

    @classmethod
    @override
    def of_settings(cls, settings: PartSettings) -> Self:
        return cls(
            settings.channels,
            settings.hidden,
            settings.color_bound,
            nonnegative=settings.nonnegative,
            family=settings.color_family,
        )

    def matrix(self, k: Tensor) -> Tensor:
        """Return the color matrices, B x C x (C+1), one per row of k.

        Args:
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the matrix is exactly the identity.

        Raises:
            ValueError: If k has another shape or leaves [0, 1].
        """
        return color_family_matrix(self.family, self.parameters_at(k), self.channels)

    @override
    def matrix_from(self, p: Tensor, frame: Frame) -> Tensor:
        return color_family_matrix(self.family, p, self.channels)

    @staticmethod
    @override
    def apply_matrix(images: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
        return apply_color(images, matrix)

    @staticmethod
    @override
    def compose(first: Tensor, second: Tensor) -> Tensor:
        return (square_matrix(second) @ square_matrix(first))[..., :-1, :]

    @override
    def check_frame(self, shape: Sequence[int]) -> None:
        if shape[-3] != self.channels:
            raise ValueError(f"images have {counted(shape[-3], 'channel')}, the family takes {self.channels}")

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        matrix = self.matrix_from(p, frame)
        gains, biases, mixing = (part[0] for part in decompose_color(matrix))
        gain = " / ".join(f"{value:.2f}" for value in gains.tolist())
        bias = " / ".join(f"{value:+.2f}" for value in biases.tolist())
        mixed = f", mixing up to {mixing.item():.2f}" if mixing else ""
        fade = fade_to_gray(matrix)[0].item()
        faded = f": this fades towards grayscale ({100 * fade:.0f} %)" if fade else ""
        return f"colors have gain {gain} and bias {bias} of full range{mixed}{faded}"

    @override
    def details(self, p: Tensor, frame: Frame) -> dict[str, Any]:
        decomposed = decompose_color(self.matrix_from(p, frame))._asdict()
        values = {name: value[0].tolist() for name, value in decomposed.items()}
        return super().details(p, frame) | {"decomposition_full": values}

    @property
    @override
    def known_magnitude(self) -> Magnitude | None:
        return COLOR_FAMILIES[self.family].magnitude

    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return contrast (a gain) and brightness (a bias) with both signs, and of colors grayscale.

        Bounded like the family: no entry of the matrix leaves the identity by more than the bound.
        """
        bound, member = self.head.bound.item(), self.family == "affine"
        identity = color_identity(self.channels, torch.zeros(()))
        gain, bias = identity.clone(), torch.zeros_like(identity)
        bias[:, -1] = 1

        def baseline(name: str, max_offset: float, direction: Tensor) -> SingleTransformation:
            def matrices(scale: Tensor) -> Tensor:
                return identity.to(scale) + max_offset * scale[:, None, None] * direction.to(scale)

            return of_matrices(name, max_offset, matrices, apply_color, member)

        baselines = [
            baseline(name, sign * bound, direction)
            for name, direction in (("contrast", gain), ("brightness", bias))
            for sign in (1, -1)
        ]
        if self.channels > 1:
            # What a map does to the unit vectors are the columns of its matrix
            units = torch.eye(self.channels)[:, :, None, None]
            fade = torch.zeros_like(identity)
            fade[:, :-1] = (TRANSFORMS["grayscale"](units, 1.0) - units)[:, :, 0, 0].T
            baselines.append(baseline("grayscale", min(1.0, bound / fade.abs().max().item()), fade))
        return baselines
