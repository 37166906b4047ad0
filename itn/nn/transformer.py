"""What all transformers share, and what one of your own has to say.

Subclass ``Transformer``, name the parameters and their bound, and write ``apply_parameters``,
``displacement`` and ``describe``. The base turns controls k into parameters, which are zero at k = 0 and grow
along every ray of k, so that a family can be learned, scaled and certified without further code.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from itn.functional import (
    INTERPOLATIONS,
    PADDINGS,
    Surround,
    check_images,
    fill_outside,
)
from itn.nn.control_head import ControlHead, check_controls
from itn.nn.frame import Frame
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation, of_parameters
from itn.runtime.validation import check_choice
from itn.runtime.wording import counted


class MagnitudeName(NamedTuple):
    """What the single parameter of a transformer is, in words."""

    transform: str
    unit: str
    """May be empty."""


class Transformer(nn.Module):
    """Images transformed by P parameters, which a small MLP makes from controls k in [0, 1]^2.

    Args:
        names: What the parameters mean; None takes those of the class.
        bound: Bound on the absolute value of every parameter, or one for each; None takes that of the class.
        hidden: Width of the hidden layer of the control head.
        padding: What lies outside the frame, for transformers that look there: zeros, border or reflection.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below 0, see ``ControlHead``.
        interpolation: How values between pixels are made, for transformers that sample there: bilinear or
            bicubic, see ``itn.warp``.

    Example:
        >>> class Fade(itn.nn.Transformer):
        ...     names, bound = ("black",), 0.9
        ...     def apply_parameters(self, images, p, frame):
        ...         return images * (1 - p[:, :, None, None].abs())
        ...     def displacement(self, p, frame):
        ...         return p[:, 0].square()
        ...     def describe(self, p, frame):
        ...         return f"{100 * abs(p[0, 0].item()):.0f} % of the brightness is gone"
        >>> Fade()(torch.rand(2, 3, 8, 8), torch.ones(2)).shape
        torch.Size([2, 3, 8, 8])
    """

    names: Sequence[str] = ()
    """What the parameters mean."""
    bound: float | Sequence[float] = 1.0
    """Bound on their absolute values."""
    seed_name = ""
    """Name in seeds, where it is not that of the part: results of an earlier name stay the same."""

    displacement_text = "as the transformer defines it"
    """What ``displacement`` measures, in words, for the closing table."""
    samples = False
    """Whether it makes values between pixels, so that its interpolation matters."""

    @property
    def takes_surround(self) -> bool:
        """Whether ``apply_parameters`` looks around the frame.

        Where photographs are known beyond it, it is then given canvases, with ``frame.surround`` and the size
        of the crops, and returns crops. All others act on crops; if a transformer that looks around follows
        and they have no ``rms_shift``, on whole canvases as if these were the images.
        """
        return False

    def __init__(
        self,
        names: Sequence[str] | None = None,
        bound: float | Sequence[float] | None = None,
        hidden: int = 32,
        padding: str = "zeros",
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        check_choice("padding", padding, PADDINGS)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        self.names = tuple(self.names if names is None else names)
        self.bound = self.bound if bound is None else bound
        if not self.names or isinstance(names or type(self).names, str):
            raise ValueError(f"{type(self).__name__} needs names, a tuple with the meaning of each parameter")
        self.padding, self.interpolation = padding, interpolation
        self.head = ControlHead(len(self.names), hidden, self.bound, generator, nonnegative)

    @classmethod
    def of_settings(cls, settings: PartSettings) -> Self:
        """Return the transformer that a run names, from the settings that it takes."""
        return cls(
            hidden=settings.hidden,
            padding=settings.padding,
            nonnegative=settings.nonnegative,
            interpolation=settings.interpolation,
        )

    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        """Return float images, B x C x H x W, transformed by parameters, B x P; differentiable in both.

        At p = 0 the images are returned unchanged, exactly. What leaves [0, 1] is clamped afterwards.
        (``apply`` belongs to ``torch.nn.Module``.)
        """
        raise NotImplementedError(f"{type(self).__name__} lacks apply_parameters(images, p, frame)")

    def apply_to_canvases(self, canvases: Tensor, p: Tensor, frame: Frame) -> tuple[Tensor, Surround]:
        """Return canvases whose crops are transformed, for a transformer that follows, and their surround.

        By default canvases are transformed as if they were the images; overridden by those that move pixels.

        Args:
            canvases: B x C x H' x W'.
            p: B x P.
            frame: That of the crops, with their surround.
        """
        assert frame.surround is not None
        filled = fill_outside(canvases, frame.surround, self.padding)
        return self.apply_parameters(filled, p, self.frame(canvases.shape)), frame.surround

    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return how far parameters, B x P, are from the identity, B; 0 at p = 0, differentiable."""
        raise NotImplementedError(f"{type(self).__name__} lacks displacement(p, frame)")

    def describe(self, p: Tensor, frame: Frame) -> str:
        """Return in words what parameters, 1 x P, do, for the closing table; empty if words fail."""
        values = ", ".join(
            f"{name} {value:.3g}" for name, value in zip(self.names, p[0].tolist(), strict=True)
        )
        return f"{type(self).__name__} has {values}"

    def sampled_displacement(
        self, p: Tensor, samples: int, generator: torch.Generator, frame: Frame
    ) -> Tensor:
        """Return displacement, B, estimated from so many random vectors, if there is such an estimate."""
        raise NotImplementedError(f"{type(self).__name__} has no sampled displacement")

    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor | None:
        """Return by how much pixels move, B, root mean square, fraction of the width; None if none moves."""
        return None

    def deviation(self, p: Tensor, frame: Frame) -> Tensor:
        """Return where parameters, B x P, lead, B x D, 0 at the identity: directions are compared there."""
        return p / self.head.bound

    def details(self, p: Tensor, frame: Frame) -> dict[str, Any]:
        """Return further fields of ``PartRecord`` for parameters, 1 x P."""
        return {}

    def magnitude(self, parameter: float) -> float:
        """Return the magnitude that a single parameter is, in the unit of ``magnitude_name``."""
        return parameter

    @property
    def magnitude_name(self) -> MagnitudeName:
        """What the single parameter is."""
        return MagnitudeName(self.names[0], "")

    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return the single transformations beside which a family is judged: each parameter, both signs."""
        bounds = self.head.bound.cpu().expand(len(self.names)).tolist()
        return [
            self.along(name, sign * bound * unit, sign * bound, frame)
            for name, bound, unit in zip(self.names, bounds, torch.eye(len(self.names)), strict=True)
            for sign in ((1,) if self.head.nonnegative else (1, -1))
        ]

    def along(self, name: str, direction: Tensor, max_offset: float, frame: Frame) -> SingleTransformation:
        """Return the baseline whose parameters are a scale times a direction, P."""
        return self.path(
            name, lambda scale: scale[:, None] * direction.to(scale), MagnitudeOffset(max_offset), frame
        )

    def path(
        self, name: str, parameters: Callable[[Tensor], Tensor], offset: MagnitudeOffset, frame: Frame
    ) -> SingleTransformation:
        """Return the baseline of a path of parameters, which ends where the first one reaches its bound.

        Args:
            name: Its name.
            parameters: From scales from 0 to 1, float64, B, to parameters, B x P, 0 at 0.
            offset: What its magnitude is, at the scale 1 of these.
            frame: Of the images.
        """

        def apply(images: Tensor, p: Tensor, surround: Surround | None = None) -> Tensor:
            return self.apply_parameters(images, p, frame._replace(surround=surround))

        def displacements(p: Tensor) -> Tensor:
            return self.displacement(p.to(self.head.bound.device), frame)

        return of_parameters(
            name, offset, parameters, self.head.bound, apply, displacements, self.takes_surround
        )

    def frame(self, shape: Sequence[int]) -> Frame:
        """Return the frame of images of shape ... x C x H x W."""
        return Frame.of(shape, self.padding, self.interpolation)

    def generate(self, k: Tensor) -> Tensor:
        """Return the parameters, B x P, of valid controls, B x 2, unchecked, for inner loops."""
        parameters: Tensor = self.head(k)
        return parameters

    def parameters_at(self, k: Tensor) -> Tensor:
        """Return the parameters, one row for each row of k.

        Args:
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 all are exactly 0.

        Raises:
            ValueError: If k has another shape or leaves [0, 1].
        """
        return self.generate(check_controls(torch.as_tensor(k)).to(self.head.output.weight))

    def check_frame(self, shape: Sequence[int]) -> None:
        """Raise ValueError if images of this shape, ... x C x H x W, are none that it takes."""

    def forward(self, images: Tensor, k: Tensor) -> Tensor:
        """Return transformed images, clamped to [0, 1].

        Args:
            images: B x C x H x W, float in [0, 1].
            k: (2,), (1, 2) or (B, 2), in [0, 1]; at 0 the images are returned bit for bit.

        Raises:
            ValueError: If images or k are invalid. Under torch.compile values are not checked.
        """
        check_float_images(images)
        self.check_frame(images.shape)
        p = expand_to(self.parameters_at(k), len(images))
        return self.apply_parameters(images, p, self.frame(images.shape)).clamp(0, 1)

    @property
    def single(self) -> bool:
        """Whether there is a single parameter, so that the family is a range."""
        return len(self.names) == 1


def expand_to(p: Tensor, images: int) -> Tensor:
    """Return parameters as one row for each image, or raise ValueError."""
    if len(p) not in (1, images):
        rows = f"{counted(len(p), 'row')} for {counted(images, 'image')}"
        raise ValueError(f"k has {rows}: give one row, or one per image")
    return p.expand(images, -1)


def check_float_images(images: Tensor) -> None:
    """Raise ValueError unless images are B x C x H x W, floating, in [0, 1]."""
    if not images.is_floating_point():
        raise ValueError(f"images must be float in [0, 1], got {images.dtype}: divide uint8 by 255")
    if not torch.compiler.is_compiling():
        check_images(images)
