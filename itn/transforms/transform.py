"""One transformation F(I, v) of images in [0, 1] by a magnitude v.

Bunne et al., section III.C. Spatial magnitudes refer to pixel edges (``align_corners=False``) and to the
center of the frame; y points down. Results are clamped to [0, 1], and at its identity every transformation
returns the image bit for bit.
"""

import dataclasses
import functools
import hashlib
import inspect
import math
import re
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from itn.functional import INTERPOLATIONS, PADDINGS, Surround, check_images, unit_float, warp
from itn.runtime.source_text import source_text, state_text
from itn.runtime.validation import check_choice, check_types, float_tuple, is_of, require
from itn.runtime.wording import counted

LARGEST_MAGNITUDE = 1e30  # a float32 is infinite from 3.4e38, and coordinates are multiples of magnitudes


@dataclasses.dataclass(frozen=True)
class Transform:
    """One transformation F(I, v): call it with images and a magnitude.

    Raises:
        ValueError: If the fields contradict each other; the message says which.

    Example:
        >>> rotated = TRANSFORMS["rotate"](torch.rand(2, 3, 32, 48), torch.tensor([10.0, -90.0]))
    """

    name: str
    """Letters, digits and underscores: files and columns are called by it."""
    unit: str
    """Unit of the magnitude."""
    identity: float
    """The magnitude that changes nothing."""
    magnitudes: tuple[float, ...]
    """Default magnitudes of a sweep; they are put in ascending order."""
    function: Callable[..., Tensor]
    """Spatial: from magnitudes (B,) and the aspect of the frame, width over height, to matrices B x 2 x 3
    or, of homographies, B x 3 x 3 (see ``itn.warp``), at the identity the identity matrix.
    Otherwise: from images and magnitudes B x 1 x 1 x 1 to images; it also receives ``padding``, ``noise``
    (standard normal, one value per pixel) or ``surround`` if it has a parameter of that name that a
    ``functools.partial`` has not bound. The surround says where the crops lie where the images are whole
    canvases, for a warp that follows; otherwise it is None."""
    spatial: bool = False
    domain: tuple[float, float] = (-math.inf, math.inf)
    """Smallest and largest valid magnitude."""
    logarithmic: bool = False
    """Whether v is a factor, so that 2 and 1/2 are at the same distance from the identity."""
    discrete: bool = False
    """Whether only ``magnitudes`` are valid, nothing between them."""
    color_only: bool = False
    """Whether images of one channel stay as they are, so that a screen of them leaves it out."""
    group: str = ""
    """The group that ``ScreenConfig.transforms`` takes in its place, with others: spatial, color, detail,
    noises, or one of your own."""
    severities: tuple[float, ...] = ()
    """Magnitudes of the severities 1, 2, ... of ImageNet-C (Hendrycks and Dietterich 2019), where it has the
    same operation; fewer than five where the others differ."""
    _optional_arguments: tuple[str, ...] = dataclasses.field(init=False, repr=False, compare=False)
    _code: tuple[str, str] = dataclasses.field(init=False, repr=False, compare=False)
    """What the function was made of and bound to when the transformation was made."""

    def __post_init__(self) -> None:
        check_types(self)
        require(
            re.fullmatch(r"\w+", self.name) is not None,
            f"a transformation's name is letters, digits and underscores, such as my_blur, got {self.name!r}",
        )
        self._check_function()
        for field in ("magnitudes", "severities"):
            object.__setattr__(self, field, float_tuple(getattr(self, field), self.name))
        object.__setattr__(self, "magnitudes", tuple(sorted(self.magnitudes)))
        self._check_range()
        object.__setattr__(self, "__doc__", _unwrapped(self.function).__doc__)
        object.__setattr__(self, "_optional_arguments", optional_parameters(self.function))
        # Read now: its file may be edited while the program runs
        object.__setattr__(self, "_code", (source_text(self.function), state_text(self.function)))

    def _check_function(self) -> None:
        require(
            not isinstance(self.function, type),
            f"{self.name} is a class: give an object of it, such as {self.name}(...)",
        )
        require(
            callable(self.function),
            f"{self.name}: a transformation is a function of images and magnitudes, got {self.function!r}",
        )

    def _check_range(self) -> None:
        domain = self.domain
        require(
            isinstance(domain, tuple | list) and len(domain) == 2 and all(is_of(v, (Real,)) for v in domain)
            and domain[0] < domain[1],
            f"{self.name}: a domain is its smallest and its largest magnitude, got {domain!r}",
        )  # fmt: skip
        require(
            not self.logarithmic or (self.identity > 0 and domain[0] >= 0),
            f"{self.name} is a factor: its identity must be positive, its domain from 0 or above",
        )
        require(bool(self.magnitudes), f"{self.name} has no magnitudes: give those of its sweep")
        self.check_magnitudes((self.identity, *self.magnitudes, *self.severities))

    def __call__(
        self,
        images: Tensor,
        magnitude: float | Tensor,
        *,
        padding: str = "zeros",
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        interpolation: str = "bilinear",
    ) -> Tensor:
        """Return transformed images.

        Args:
            images: B x C x H x W, uint8 or float in [0, 1].
            magnitude: One number for all images, or one per image, (B,), in the unit of the transformation.
            padding: What lies outside the frame: zeros, border or reflection.
            noise: For a random transformation, its pattern at magnitude 1, of the images' shape.
            generator: For a random transformation, draws the pattern; default: the same pattern at each call.
            interpolation: How a spatial one makes values between pixels: bilinear or bicubic.

        Returns:
            Float images in [0, 1] of the same shape.

        Raises:
            ValueError: If an argument is out of its range.
        """
        check_images(images)
        check_choice("padding", padding, PADDINGS)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        images = unit_float(images)
        dtype = torch.promote_types(images.dtype, torch.float32)  # an angle in half precision is too coarse
        v = torch.as_tensor(magnitude, dtype=dtype, device=images.device)
        if v.ndim > 1 or (v.ndim == 1 and len(v) not in (1, len(images))):
            raise ValueError(
                f"{self.name} takes one magnitude, or one for each of {counted(len(images), 'image')}, "
                f"got shape {tuple(v.shape)}"
            )
        self.check_magnitudes(torch.as_tensor(magnitude, dtype=torch.float64).flatten().tolist())
        if self.random and noise is None:
            noise = standard_noise(images, generator or torch.Generator(images.device).manual_seed(0))
        if noise is not None and noise.shape != images.shape:
            raise ValueError(
                f"noise must have the images' shape {tuple(images.shape)}, got {tuple(noise.shape)}"
            )
        return self.apply(images, v.reshape(-1), padding, noise, interpolation=interpolation)

    def apply(
        self,
        images: Tensor,
        v: Tensor,
        padding: str = "zeros",
        noise: Tensor | None = None,
        surround: Surround | None = None,
        interpolation: str = "bilinear",
    ) -> Tensor:
        """``__call__`` without its checks, for inner loops: float images, v of shape (1,) or (B,).

        With a surround, images are canvases. A spatial transformation then returns crops, any other one
        canvases.
        """
        if self.spatial:
            if surround is not None:
                surround.check(images)
            frame = images if surround is None else surround.crops(images)
            matrix = self.matrix(v, frame)
            return warp(images, matrix, padding, surround, interpolation).clamp(0, 1)
        v = v.view(-1, 1, 1, 1)
        noise = None if noise is None else noise.to(v.dtype)
        optional = {"padding": padding, "noise": noise, "surround": surround}
        changed = self.function(
            images.to(v.dtype), v, **{name: optional[name] for name in self._optional_arguments}
        )
        return torch.where(v == self.identity, images, changed.clamp(0, 1).to(images.dtype))

    def matrix(self, v: Tensor, images: Tensor) -> Tensor:
        """Return the matrices, B x 2 x 3 or B x 3 x 3, of a spatial transformation in the frame of images."""
        height, width = images.shape[-2:]
        return self.function(v, width / height)

    def check_magnitudes(self, magnitudes: Sequence[float]) -> None:
        """Raise ValueError unless all magnitudes are valid."""
        low, high = self.domain
        for v in magnitudes:
            if self.discrete and not any(_close(v, valid) for valid in self.magnitudes):
                options = " or ".join(f"{m:g}" for m in self.magnitudes)
                raise ValueError(f"{self.name} takes {options} as its magnitude, got {v:g}")
            if not math.isfinite(v):
                raise ValueError(f"{self.name} takes finite magnitudes, got {v:g}")
            if abs(v) > LARGEST_MAGNITUDE:
                raise ValueError(f"{self.name} takes magnitudes up to {LARGEST_MAGNITUDE:g}, got {v:g}")
            if not (low <= v <= high or _close(v, low) or _close(v, high)):
                raise ValueError(
                    f"{self.name} ({self.unit}) takes magnitudes from {low:g} to {high:g}, got {v:g}"
                )

    def distance(self, v: float) -> float:
        """Return the distance from the identity: |v - identity|, or |log(v / identity)| for factors."""
        return abs(math.log(v / self.identity)) if self.logarithmic else abs(v - self.identity)

    def at_distance(self, distance: float, side: str) -> float:
        """Return the magnitude at a distance from the identity, on the side "below" or "above".

        Of a discrete transformation it is the nearest one that there is.
        """
        signed = -distance if side == "below" else distance
        v = self.identity * math.exp(signed) if self.logarithmic else self.identity + signed
        return min(self.magnitudes, key=lambda valid: abs(valid - v)) if self.discrete else v

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the magnitudes halfway between two; for factors on the logarithmic scale."""
        return (a * b).sqrt() if self.logarithmic else (a + b) / 2

    def describe(self) -> dict[str, Any]:
        """Return what distinguishes this transformation from another of its name, for JSON.

        ``code_sha256`` is a hash of the function's source and of what it is bound to now: the arguments of a
        partial, the attributes of an object, defaults and the variables of a function around it.
        """
        code = self._code[0] + state_text(self.function)
        return {
            "unit": self.unit,
            "identity": self.identity,
            "spatial": self.spatial,
            "logarithmic": self.logarithmic,
            "discrete": self.discrete,
            "code_sha256": hashlib.sha256(code.encode()).hexdigest(),
        }

    def same_as(self, other: "Transform") -> bool:
        """Return whether another transformation has the same settings, and had the same code when made."""
        settings = [field.name for field in dataclasses.fields(self) if field.name != "function"]
        return all(getattr(self, name) == getattr(other, name) for name in settings)

    @property
    def random(self) -> bool:
        """Whether the transformation needs a noise pattern."""
        return "noise" in self._optional_arguments


def optional_parameters(function: Callable[..., Tensor]) -> tuple[str, ...]:
    """Return which of the optional parameters of a transformation a function leaves to be given."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C do not say
        return ()
    bound = function.keywords if isinstance(function, functools.partial) else {}
    return tuple(
        name for name in ("padding", "noise", "surround") if name in parameters and name not in bound
    )


def _unwrapped(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _unwrapped(function.func) if isinstance(function, functools.partial) else function


def standard_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal noise of the images' shape and dtype."""
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=generator.device)
    return noise.to(images.device)


def _close(a: float, b: float) -> bool:
    """Whether two magnitudes are equal up to the rounding of a float32."""
    return math.isclose(a, b, rel_tol=1e-6)
