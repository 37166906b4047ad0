"""Checks of settings that raise ValueError with a cure."""

import dataclasses
from collections.abc import Iterable
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args

Precision = Literal["float32", "bfloat16", "float16"]


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((Integral,), "an integer"),
    float: ((Real,), "a number"),
    float | None: ((Real, NoneType), "a number"),
    str: ((str,), "text"),
}


def check_kinds(config: object) -> None:
    """Raise ValueError unless numbers are numbers, names are text, and switches are True or False."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.type in _KINDS:
            value, (kinds, expected) = getattr(config, field.name), _KINDS[field.type]
            require(fits(value, kinds), f"{field.name.replace('_', '-')} must be {expected}, got {value!r}")
            if isinstance(value, Real) and not isinstance(value, bool | int | float):  # numpy's
                plain = int(value) if isinstance(value, Integral) else float(value)
                object.__setattr__(config, field.name, plain)


def fits(value: object, kinds: tuple[type, ...]) -> bool:
    """Return whether a value is of these types; True and False are no numbers."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def check_names(names: object, what: str) -> None:
    """Raise ValueError unless names are a tuple or list of text."""
    listed = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
    require(listed, f"{what} a tuple of names, got {names!r}")


def numbers(values: Iterable[float], name: str) -> tuple[float, ...]:
    """Return magnitudes as one number in all files, however they were given."""
    try:
        if isinstance(values, str):
            raise TypeError
        return tuple(float(v) + 0.0 for v in values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        raise ValueError(f"magnitudes of {name} must be numbers, got {values!r}") from None


def check_precision(precision: str) -> None:
    """Raise ValueError unless a precision is known."""
    known = get_args(Precision)
    require(precision in known, f"precision must be one of {', '.join(known)}, got {precision!r}")


def require(condition: bool, message: str) -> None:
    """Raise ValueError with a message unless a condition holds."""
    if not condition:
        raise ValueError(message)
