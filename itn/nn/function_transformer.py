"""Transformers from functions: what a function does to images, driven by k."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from itn.functional import check_images, standard_picture, unit_float
from itn.functional.sampling import exact_where
from itn.nn.frame import Frame
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation
from itn.nn.transformer import MagnitudeName, Transformer
from itn.runtime.validation import require
from itn.runtime.wording import counted
from itn.transforms import Transform
from itn.transforms.transform import optional_parameters

_VALUES_AT_ONCE = 2**24  # of changed pictures, while displacement is measured


def transformer_from(
    function: Callable[..., Tensor],
    *,
    bound: float | Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    units: str | Sequence[str] = "",
    displacement: Callable[[Tensor, Frame], Tensor] | None = None,
    describe: Callable[[Tensor, Frame], str] | None = None,
    moves_pixels: bool = False,
    measured_on: Tensor | None = None,
    nonnegative: bool = False,
    padding: str = "zeros",
    hidden: int = 32,
    generator: torch.Generator | None = None,
) -> Transformer:
    """Return a transformer that learns the parameters of a function.

    Its displacement is, unless another one is given, the mean squared change of pixel values, where 1 is the
    full range, of ``itn.functional.standard_picture`` or of images that are given: a function has no
    displacement of its own, and how far it changes images depends on them.

    Args:
        function: From images, B x C x H x W, float in [0, 1], and parameters, B x P, to images of the same
            shape, each changed by its own row; differentiable in the parameters, without randomness. At 0
            nothing changes. It also receives ``padding`` if it has a parameter of that name. What leaves
            [0, 1] is clamped afterwards. Or an ``itn.Transform`` that is not spatial: its magnitude is
            learned, of factors on the logarithmic scale.
        bound: Bound on the absolute value of every parameter, or one for each. Of a transform the largest
            distance of the magnitude from its identity, of factors the largest factor; None: as far as its
            sweep goes on both sides, or on the one that it has.
        names: What the parameters mean; None: the name of the function, which then has one.
        units: Unit of all parameters, or of each, for tables.
        displacement: From parameters, B x P, and the frame to displacements, B, 0 at 0; learning makes them
            large.
        describe: From parameters, 1 x P, and the frame to words for the closing table.
        moves_pixels: Whether the function moves pixels, and the displacement that is given is their mean
            squared shift, in fractions of the width. Tables then show the shift, and a spatial transformer
            that follows finds nothing around what has been moved. Otherwise the function is taken to act
            alike on crops and on what photographs show around them.
        measured_on: Images whose change is the displacement, uint8 or float in [0, 1], of the size that will
            be learned from. A few: every step transforms all of them.
        nonnegative: No parameter falls below 0, see ``ControlHead``.
        padding: What lies outside the frame: zeros, border or reflection; for functions that ask for it.
        hidden: Width of the hidden layer of the control head.
        generator: Randomness of the initial weights; None is torch's global generator.

    Raises:
        ValueError: If what is given is no such function, or settings contradict each other.

    Example:
        >>> def fade(images, p):
        ...     return images * (1 - p[:, 0, None, None, None])
        >>> fading = itn.transformer_from(fade, bound=0.9, nonnegative=True)
        >>> faded = fading(torch.rand(2, 3, 8, 8), torch.ones(2))
    """
    shared: dict[str, Any] = {
        "displacement": displacement,
        "describe": describe,
        "moves_pixels": moves_pixels,
        "measured_on": measured_on,
        "padding": padding,
        "hidden": hidden,
        "generator": generator,
    }
    if isinstance(function, Transform):
        require(names is None and not units, f"{function.name} has a name and a unit: give no other ones")
        return MagnitudeTransformer(function, bound, nonnegative, **shared)
    require(callable(function), f"give a function of images and parameters, got {function!r}")
    require(
        not isinstance(function, type | nn.Module),
        "a class or a module is not taken: give a function that calls it, since nothing in it is learned",
    )
    require(bound is not None, "give a bound: how far parameters may go from 0, such as bound=0.5")
    if names is None:
        names = (_name_of(function),)
        require(names[0].isidentifier(), 'a lambda has no name: give names, such as names=("amount",)')
    return FunctionTransformer(function, names, bound, units, nonnegative=nonnegative, **shared)


class FunctionTransformer(Transformer):
    """A function of images and parameters, driven by k; see ``itn.transformer_from``."""

    measured_on: Tensor | None

    def __init__(
        self,
        function: Callable[..., Tensor],
        names: Sequence[str],
        bound: float | Sequence[float] | None,
        units: str | Sequence[str],
        *,
        displacement: Callable[[Tensor, Frame], Tensor] | None,
        describe: Callable[[Tensor, Frame], str] | None,
        moves_pixels: bool,
        measured_on: Tensor | None,
        nonnegative: bool,
        padding: str,
        hidden: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(names, bound, hidden, padding, generator, nonnegative)
        units = (units,) * len(self.names) if isinstance(units, str) else tuple(units)
        expected = f"one unit, or {counted(len(self.names), 'unit')}, one for each parameter"
        require(len(units) == len(self.names), f"give {expected}, got {counted(len(units), 'unit')}")
        require(
            displacement is not None or not moves_pixels,
            "moves_pixels needs displacement=..., the mean squared shift of pixels in fractions of the width",
        )
        if measured_on is not None:
            check_images(measured_on)
            measured_on = unit_float(measured_on).float()
        self.function, self.units = function, units
        self.own_displacement, self.own_describe, self.moves_pixels = displacement, describe, moves_pixels
        self.register_buffer("measured_on", measured_on, persistent=False)
        self.takes_padding = "padding" in optional_parameters(function)
        if moves_pixels:
            self.displacement_text = "mean squared shift of pixels, in fractions of the width"
        elif displacement is None:
            self.displacement_text = f"mean squared change of the values of {self._measured_on()}"

    def _measured_on(self) -> str:
        pictures = self.measured_on
        return "a standard picture" if pictures is None else counted(len(pictures), "given image")

    @property
    def function_name(self) -> str:
        """Name of the function, for records."""
        return _name_of(self.function)

    def changed(self, images: Tensor, p: Tensor, padding: str) -> Tensor:
        """Return what the function makes of images."""
        changed: Tensor = self.function(images, p, **({"padding": padding} if self.takes_padding else {}))
        return changed

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        dtype = torch.promote_types(images.dtype, p.dtype)
        with torch.autocast(images.device.type, enabled=False):
            changed = self.changed(images.to(dtype), p.to(dtype), frame.padding)
        if not isinstance(changed, Tensor) or changed.shape != images.shape:
            shape = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"{self.function_name} must return images of the shape that it is given, "
                f"{tuple(images.shape)}, got {shape}"
            )
        return exact_where((p == 0).all(1), images, changed)

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the mean squared change of the values of pictures, 1 being the full range."""
        if self.own_displacement is not None:
            return self.own_displacement(p, frame)
        pictures = self._pictures(frame).to(p)
        at_once = max(1, _VALUES_AT_ONCE // pictures[0].numel())
        return torch.cat([_mean_squared_change(self, pictures, rows, frame) for rows in p.split(at_once)])

    @override
    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor | None:
        return self.displacement(p, frame).sqrt() if self.moves_pixels else None

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        if self.own_describe is not None:
            return self.own_describe(p, frame)
        words = _listed(self.names, map(self.magnitude, p[0].tolist()), self.units)
        if self.own_displacement is not None:
            return words
        change = 100 * self.displacement(p, frame).sqrt().item()
        return f"{words}; this changes {self._measured_on()} by {change:.1f} % of the full range"

    @property
    @override
    def magnitude_name(self) -> MagnitudeName:
        return MagnitudeName(self.names[0], self.units[0])

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        units = dict(zip(self.names, self.units, strict=True))
        return [single._replace(unit=units[single.name]) for single in super().baselines(frame)]

    def _pictures(self, frame: Frame) -> Tensor:
        """Return the images whose change is the displacement, N x C x H x W."""
        size = (frame.channels, *frame.size)
        if self.measured_on is None:
            return standard_picture(frame.channels, frame.size)[None]
        if self.measured_on.shape[1:] != size:
            given = tuple(self.measured_on.shape[1:])
            raise ValueError(
                f"images to measure {self.function_name} on have the shape {given}, those to learn from "
                f"{size}: give images of that size"
            )
        return self.measured_on


class MagnitudeTransformer(FunctionTransformer):
    """The magnitude of a transformation of the screening table, driven by k."""

    def __init__(
        self,
        transform: Transform,
        bound: float | Sequence[float] | None,
        nonnegative: bool,
        **shared: Any,
    ) -> None:
        require(
            not transform.spatial,
            f"{transform.name} is spatial: learn it as a family of maps, with itn.nn.register_family",
        )
        require(not transform.random, f"{transform.name} is random: there is nothing to learn from gradients")
        require(not transform.discrete, f"{transform.name} has no magnitudes between those that are listed")
        below, above = (_reach(transform, sign) for sign in (-1, 1))
        require(below > 0 or above > 0, f"{transform.name} has no magnitude beside its identity")
        if bound is None:
            most = min(reach for reach in (below, above) if reach > 0)
        else:
            least = 1 if transform.logarithmic else 0
            if not isinstance(bound, float | int) or not bound > least:
                raise ValueError(f"bound of {transform.name} must be a number above {least}, got {bound!r}")
            most = math.log(bound) if transform.logarithmic else float(bound)
        one_sided = nonnegative or below == 0 or above == 0
        super().__init__(transform, (transform.name,), most, transform.unit, nonnegative=one_sided, **shared)
        self.direction = -1.0 if above == 0 else 1.0
        """Of the magnitude as the parameter grows."""
        transform.check_magnitudes([self.magnitude(end) for end in ((most,) if one_sided else (most, -most))])

    @property
    def transform(self) -> Transform:
        """The transformation whose magnitude is learned."""
        assert isinstance(self.function, Transform)
        return self.function

    @property
    @override
    def function_name(self) -> str:
        return self.transform.name

    @override
    def changed(self, images: Tensor, p: Tensor, padding: str) -> Tensor:
        transform, offset = self.transform, self.direction * p[:, 0]
        v = transform.identity * offset.exp() if transform.logarithmic else transform.identity + offset
        return transform.apply(images, v, padding)

    @override
    def magnitude(self, parameter: float) -> float:
        transform, offset = self.transform, self.direction * parameter
        return transform.identity * math.exp(offset) if transform.logarithmic else transform.identity + offset

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        bound = self.head.bound.item()
        return [self._baseline(sign * bound, frame) for sign in ((1,) if self.head.nonnegative else (1, -1))]

    def _baseline(self, end: float, frame: Frame) -> SingleTransformation:
        transform, most = self.transform, self.magnitude(end) - self.transform.identity

        def parameters(scale: Tensor) -> Tensor:
            offset = most * scale
            if transform.logarithmic:
                offset = torch.log1p(offset / transform.identity)
            return self.direction * offset[:, None]

        offset = MagnitudeOffset(most, transform.identity, transform.unit)
        return self.path(transform.name, parameters, offset, frame)


def _mean_squared_change(part: Transformer, pictures: Tensor, p: Tensor, frame: Frame) -> Tensor:
    """Return the mean squared change of the values of pictures under parameters, one for each row."""
    changes = [
        (part.apply_parameters(picture.expand(len(p), -1, -1, -1), p, frame).clamp(0, 1) - picture)
        .square()
        .mean((1, 2, 3))
        for picture in pictures
    ]
    return torch.stack(changes).mean(0)


def _listed(names: Sequence[str], values: Iterable[float], units: Sequence[str]) -> str:
    """Return what values are, in words; a unit that all share is said once."""
    own = units if len(set(units)) > 1 else [""] * len(units)
    each = (
        f"{name} is {value:.3g}" + (f" ({unit})" if unit else "")
        for name, value, unit in zip(names, values, own, strict=True)
    )
    shared = f" ({units[0]})" if units[0] and not any(own) else ""
    return ", ".join(each) + shared


def _name_of(function: Callable[..., Tensor]) -> str:
    if isinstance(function, functools.partial):
        return _name_of(function.func)
    return getattr(function, "__name__", type(function).__name__)


def _reach(transform: Transform, sign: int) -> float:
    """Return how far the sweep of a transformation goes on one side of its identity, 0 if not at all."""
    return max(
        transform.distance(v) if sign * (v - transform.identity) > 0 else 0.0 for v in transform.magnitudes
    )
