"""The tone transformer: a curve for the values of every channel."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import tone_curve
from itn.functional.sampling import exact_where
from itn.functional.tone import MOST_WAVES
from itn.nn.frame import Frame
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation
from itn.nn.transformer import Transformer
from itn.runtime.validation import require
from itn.runtime.wording import counted
from itn.transforms import TRANSFORMS

LARGEST = 10.0
"""Largest bound on the exponent, in octaves."""
_SHARE = 0.9  # of what the waves of an exponent may have before a curve can fall


class ToneTransformer(Transformer):
    """Increasing curves, from black to black and white to white, driven by k.

    A value v becomes v to the power of 2^q(v), where q is a constant, the gamma curve, and waves of v:
    contrast rises in the dark and falls in the light, and the like; see ``itn.functional.tone_curve``. The
    bounds on the waves keep every curve increasing.

    Args:
        channels: None: one curve for all channels. A number of channels: each has a curve of its own.
        waves: Number of waves beside the constant.
        hidden: Width of the hidden layer.
        bound: Bound on the constant, in octaves of the exponent: 3 are exponents from 1/8 to 8.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below 0, see ``ControlHead``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> darker = ToneTransformer()(torch.rand(2, 3, 16, 16), torch.ones(2))
    """

    part = "tone"
    """Its name in a run that names its parts."""
    displacement_text = "mean square of the exponent in octaves, over values and channels"

    weights: Tensor
    """Mean squares of the constant and the waves."""

    def __init__(
        self,
        channels: int | None = None,
        waves: int = 2,
        hidden: int = 32,
        bound: float = 3.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
    ) -> None:
        require(waves >= 0, f"waves must be at least 0, got {waves}")
        require(channels is None or channels >= 1, f"channels must be at least 1, got {channels}")
        require(0 < bound <= LARGEST, f"bound must be above 0 and at most {LARGEST:g} octaves, got {bound}")
        narrow = [min(bound, _SHARE * MOST_WAVES / (n * waves)) for n in range(1, waves + 1)]
        curves = 1 if channels is None else channels
        names = [
            f"{'log2 exponent' if n == 0 else f'wave {n}'}{f', channel {channel}' if curves > 1 else ''}"
            for channel in range(curves)
            for n in range(waves + 1)
        ]
        super().__init__(
            names, [bound, *narrow] * curves, hidden, generator=generator, nonnegative=nonnegative
        )
        self.channels, self.curves = channels, curves
        self.register_buffer("weights", torch.tensor([1.0] + [0.5] * waves), persistent=False)

    @classmethod
    @override
    def of_settings(cls, settings: PartSettings) -> Self:
        return cls(settings.channels, hidden=settings.hidden, nonnegative=settings.nonnegative)

    @override
    def check_frame(self, shape: Sequence[int]) -> None:
        if self.channels not in (None, shape[-3]):
            raise ValueError(f"images have {counted(shape[-3], 'channel')}, the curves take {self.channels}")

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        curved = tone_curve(images, p.unflatten(1, (self.curves, -1)))
        return exact_where((p == 0).all(1), images, curved)

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the mean square of the exponent in octaves, over values and channels, in closed form."""
        return (p.unflatten(1, (self.curves, -1)).square() @ self.weights.to(p)).mean(1)

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        levels = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        values = levels.expand(1, self.curves, 1, -1)
        curved = tone_curve(values, p.detach().cpu().double().unflatten(1, (self.curves, -1)))[0, :, 0]
        return "values of " + ", ".join(
            f"{level:g} become {' / '.join(f'{value:.2f}' for value in column)}"
            for level, column in zip(levels.tolist(), curved.T.tolist(), strict=True)
        )

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return gamma, darker and lighter, and each wave with both signs, in all channels alike."""
        transform = TRANSFORMS["gamma"]
        bound = self.head.bound[0].item()

        def gamma(most: float) -> SingleTransformation:
            def parameters(scale: Tensor) -> Tensor:
                octaves = torch.log2(1 + most * scale)[:, None]
                return self._everywhere(0).to(scale) * octaves

            return self.path("gamma", parameters, MagnitudeOffset(most, 1.0, transform.unit), frame)

        signs = (1,) if self.head.nonnegative else (1, -1)
        single = [gamma(2.0 ** (sign * bound) - 1) for sign in signs]
        for wave in range(1, len(self.weights)):
            most = self.head.bound[wave].item()
            single += [
                self.along(f"wave {wave}", sign * most * self._everywhere(wave), sign * most, frame)
                for sign in signs
            ]
        return single

    def _everywhere(self, wave: int) -> Tensor:
        """Return the unit vector of a wave in every channel, P."""
        return torch.eye(len(self.weights))[wave].repeat(self.curves)
