"""The table of transformations by name: the built-in ones, which stay, and those that users register."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from itn.runtime.validation import require
from itn.transforms.transform import Transform


class _Table(dict[str, Transform]):
    def __missing__(self, name: str) -> Transform:
        raise KeyError(_unknown(name, self))


_TRANSFORMS = _Table()
TRANSFORMS: Mapping[str, Transform] = MappingProxyType(_TRANSFORMS)
_BUILT_IN: set[str] = set()
_GROUPS = ("paper", "spatial", "color", "detail", "noises", "all")  # and imagenet-c, which cannot be a name


def register(
    unit: str,
    identity: float,
    magnitudes: Sequence[float],
    *,
    name: str | None = None,
    spatial: bool = False,
    domain: tuple[float, float] = (-math.inf, math.inf),
    logarithmic: bool = False,
    discrete: bool = False,
    color_only: bool = False,
    group: str = "",
    severities: Sequence[float] = (),
    replace: bool = False,
) -> Callable[[Callable[..., Tensor]], Transform]:
    """Register a function as a transformation in ``TRANSFORMS``; the other arguments are its fields.

    The same function may be registered again, as when a notebook's cell runs twice. Built-in
    transformations cannot be replaced: baselines, certificates and earlier results mean them by their names.

    Args:
        unit: Unit of the magnitude.
        identity: The magnitude that changes nothing.
        magnitudes: Default magnitudes of a sweep.
        name: Its name; default that of the function. A ``functools.partial`` and a callable object have
            none of their own.
        spatial: Whether the function returns matrices, see ``Transform.function``.
        domain: Smallest and largest valid magnitude.
        logarithmic: Whether the magnitude is a factor.
        discrete: Whether only ``magnitudes`` are valid.
        color_only: Whether images of one channel stay as they are.
        group: Its group; screens take the name of a group in place of those of its members.
        severities: Magnitudes of the severities of ImageNet-C, if they are known.
        replace: Whether to replace another transformation of that name, registered earlier.

    Raises:
        ValueError: If the name is missing or that of another transformation, or the arguments contradict
            each other.

    Example:
        >>> @register(unit="share", identity=0.0, magnitudes=(0.0, 0.25, 0.5, 0.75, 1.0), domain=(0, 1))
        ... def negative(images, v):
        ...     return images + v * (1 - 2 * images)
        >>> inverted = negative(torch.rand(2, 3, 32, 32), 1.0)
    """

    def add(function: Callable[..., Tensor]) -> Transform:
        transform = Transform(
            _name_of(function) if name is None else name,
            unit,
            identity,
            tuple(magnitudes),
            function,
            spatial=spatial,
            domain=domain,
            logarithmic=logarithmic,
            discrete=discrete,
            color_only=color_only,
            group=group,
            severities=tuple(severities),
        )
        _check_free(transform, replace)
        _TRANSFORMS[transform.name] = transform
        return transform

    return add


def unregister(name: str) -> None:
    """Remove a transformation that was registered; what refers to the object itself keeps working.

    Raises:
        ValueError: If there is none of that name, or it is built in.
    """
    find(name)
    require(name not in _BUILT_IN, f"{name!r} is built in: only what was registered can be removed")
    del _TRANSFORMS[name]


def find(name: str, others: Mapping[str, Transform] = MappingProxyType({})) -> Transform:
    """Return the transformation of a name, registered or among others.

    Raises:
        ValueError: If there is none; the message lists the nearest names.
    """
    known = {**TRANSFORMS, **others}
    require(name in known, _unknown(name, known))
    return known[name]


def _unknown(name: str, known: Iterable[str]) -> str:
    near = ", ".join(difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or known)
    return f"unknown transformation {name!r}: nearest are {near}; itn.register adds one of your own"


def keep_registered() -> None:
    """Make all transformations registered so far built-in ones: they can be neither replaced nor removed."""
    _BUILT_IN.update(_TRANSFORMS)


def _check_free(transform: Transform, replace: bool) -> None:
    name = transform.name
    require(name not in _GROUPS, f"{name!r} is the name of a group: give yours another name")
    require(
        name not in _BUILT_IN,
        f"there is a transformation {name!r} already: give yours another name, since built-in ones stay",
    )
    earlier = _TRANSFORMS.get(name)
    require(
        replace or earlier is None or transform.same_as(earlier),
        f"there is another transformation {name!r} already: replace it with replace=True, or give yours "
        "another name",
    )


def _name_of(function: Callable[..., Tensor]) -> str:
    name = getattr(function, "__name__", None)
    require(
        isinstance(name, str) and name != "<lambda>",
        f'a {"lambda" if name else type(function).__name__} has no name: give it one, name="my_transform"',
    )
    return str(name)
