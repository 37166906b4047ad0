"""Checks of settings; they raise ValueError, with what was expected."""

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar

T = TypeVar("T")
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
            require(is_of(value, types), f"{field.name} must be {expected}, got {value!r}")
            if isinstance(value, Real) and not isinstance(value, bool | int | float):  # a number of numpy
                plain = int(value) if isinstance(value, Integral) else float(value)
                object.__setattr__(config, field.name, plain)


def config_of(kind: type[T], given: object) -> T:
    """Return the settings that a user gives: a config, a mapping with its fields, or None for the defaults.

    Raises:
        ValueError: If it is something else; the message says what to write.
    """
    if given is None or isinstance(given, kind):
        return kind() if given is None else given
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass
    if not isinstance(given, Mapping):
        wrong = type(given).__name__
        raise ValueError(f"config must be itn.{kind.__name__}(...) or a mapping of its settings, got {wrong}")
    for name in given:
        near = ", ".join(difflib.get_close_matches(str(name), fields, n=3, cutoff=0.4) or fields)
        require(name in fields, f"unknown setting {name!r} of itn.{kind.__name__}: nearest are {near}")
    return kind(**given)


def user_path(path: str | Path) -> Path:
    """Return a path that a user has given, with "~" as the home folder.

    Raises:
        ValueError: If there is no such home folder, or it is no path.
    """
    try:
        return Path(path).expanduser()
    except TypeError:
        raise ValueError(f"a path must be text or a pathlib.Path, got {path!r}") from None
    except RuntimeError:
        raise ValueError(f"{path}: no home folder is known; write ./{path} for a name with ~") from None


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
        require(0 < value < 1, f"{name} must lie in (0, 1), got {value}")


def require(condition: bool, message: str) -> None:
    """Raise ValueError with a message unless a condition holds."""
    if not condition:
        raise ValueError(message)
