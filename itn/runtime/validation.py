"""Checks of settings; they raise ValueError, with what was expected."""

import dataclasses
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal

Precision = Literal["float32", "bfloat16", "float16"]

_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((Integral,), "an integer"),
    float: ((Real,), "a number"),
    float | None: ((Real, NoneType), "a number"),
    int | None: ((Integral, NoneType), "an integer"),
    str: ((str,), "text"),
}


def check_types(config: object) -> None:
    """Raise ValueError unless the fields of a config have the types that they are declared with."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.type in _TYPES:
            value, (types, expected) = getattr(config, field.name), _TYPES[field.type]
            require(is_of(value, types), f"{field.name.replace('_', '-')} must be {expected}, got {value!r}")
            if isinstance(value, Real) and not isinstance(value, bool | int | float):  # a number of numpy
                plain = int(value) if isinstance(value, Integral) else float(value)
                object.__setattr__(config, field.name, plain)


def is_of(value: object, types: tuple[type, ...]) -> bool:
    """Return whether a value is of one of these types; True and False do not count as numbers."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def check_names(names: object, what: str) -> None:
    """Raise ValueError unless names are a tuple or list of strings."""
    valid = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
    require(valid, f"{what} a tuple of names, got {names!r}")


def float_tuple(values: Iterable[float], name: str) -> tuple[float, ...]:
    """Return magnitudes as a tuple of floats without -0.0, so that equal ones are written alike."""
    try:
        if isinstance(values, str):
            raise TypeError
        return tuple(float(v) + 0.0 for v in values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        raise ValueError(f"magnitudes of {name} must be numbers, got {values!r}") from None


def check_choice(name: str, value: str, options: Collection[str]) -> None:
    """Raise ValueError unless the value of an argument is one of its options."""
    require(value in options, f"{name} must be one of {', '.join(options)}, got {value!r}")


def check_fractions(config: object, *names: str) -> None:
    """Raise ValueError unless these fields of a config lie between 0 and 1."""
    for name in names:
        value = getattr(config, name)
        require(0 < value < 1, f"{name.replace('_', '-')} must lie in (0, 1), got {value}")


def require(condition: bool, message: str) -> None:
    """Raise ValueError with a message unless a condition holds."""
    if not condition:
        raise ValueError(message)
