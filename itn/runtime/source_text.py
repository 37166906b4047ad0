"""What a function does, as text: its source and what it is bound to, the same in every process."""

import copyreg
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LONGEST = 500  # characters; what is longer is hashed, since it may be part of many things
Seen = dict[int, tuple[Any, str]]
"""Values met so far and their texts, by id; holding a value keeps its id from being used again."""
_LIBRARIES = ("numpy", "torch")
"""Their classes are named, not quoted: a record holds the versions of these packages."""


def source_text(function: Callable[..., Any]) -> str:
    """Return the source of a function; of a partial that of its function, of an object that of its class."""
    match function:
        case functools.partial():
            return source_text(function.func)
        case FunctionType() | MethodType():
            try:
                return inspect.getsource(function)
            except (OSError, TypeError):  # typed at a prompt, or made by exec
                return _compiled(function.__code__, {})
        case BuiltinFunctionType():
            return _qualified(function)
        case _ if hasattr(function, "__wrapped__"):  # as functools.cache leaves it
            return source_text(function.__wrapped__)
        case _:
            return _class_text(type(function), {})


def state_text(function: Callable[..., Any]) -> str:
    """Return what a function is bound to, without memory addresses; nothing for a function that is not bound.

    A partial is bound to its arguments, a method to its object, a callable object to its attributes, and any
    other function to its defaults and to the variables of the function around it.
    """
    return _bound(function, {})


def code_sha256(thing: object, state: object) -> str:
    """Return a hash of an object's code and of its state, to tell it from others.

    Its code is that of its class and of the whole file that defines it: a learner or a constant beside it.
    So is that of the functions in its state, if this is a dictionary.
    """
    values = state.values() if isinstance(state, dict) else ()
    functions = [function for value in values for function in _functions(value)]
    code = f"{_class_text(type(thing), {})} {_file_text([f for _, f in _members(type(thing))])}"
    code += "".join(_file_text([function]) for function in functions)
    return _sha256(f"{code} {_value(state, {})}".encode())


def _functions(value: object) -> list[FunctionType]:
    """Return the functions that a value is made of; none if it is not called."""
    match value:
        case functools.partial():
            return _functions(value.func)
        case MethodType():
            return _functions(value.__func__)
        case FunctionType():
            return [value]
        case _:
            return []


def _file_text(members: Sequence[object]) -> str:
    """Return the content of the file that defines the first function of a class; empty where none does."""
    functions = [member for member in members if isinstance(member, FunctionType)]
    path = Path(functions[0].__code__.co_filename if functions else "")
    return path.read_text() if path.is_file() else ""


def _bound(function: Callable[..., Any], seen: Seen) -> str:
    match function:
        case functools.partial():
            inner = _bound(function.func, seen)
            return inner + "".join(_value(each, seen) for each in (function.args, function.keywords))
        case MethodType():
            return _value(function.__self__, seen)
        case FunctionType():
            variables = [_content(cell) for cell in function.__closure__ or ()]
            bound = (variables, function.__defaults__, function.__kwdefaults__)
            return "".join(_value(each, seen) for each in bound if each)
        case BuiltinFunctionType():
            return ""
        case _ if hasattr(function, "__wrapped__"):
            return _bound(function.__wrapped__, seen)
        case _:
            return _value(_state(function), seen)


def _value(value: Any, seen: Seen) -> str:
    """Return a value as text; what was seen before is not looked at again."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if id(value) in seen:
        return seen[id(value)][1]
    seen[id(value)] = value, "<itself>"
    text = f"<{type(value).__name__} {_content_text(value, seen)}>"
    text = text if len(text) <= LONGEST else f"<{type(value).__name__} {_sha256(text.encode())}>"
    seen[id(value)] = value, text
    return text


def _content_text(value: Any, seen: Seen) -> str:
    match value:
        case Tensor() | np.ndarray() | np.generic():
            text = _array_text(value, seen)
        case dict() | list() | tuple() | set() | frozenset():
            text = _container_text(value, seen)
        case CodeType():
            text = _compiled(value, seen)
        case ModuleType():
            text = value.__name__
        case type():
            text = _qualified(value)
        case FunctionType() | MethodType() | BuiltinFunctionType() | functools.partial():
            text = f"{source_text(value)} {_bound(value, seen)}"
        case _:
            text = f"{_class_text(type(value), seen)} {_value(_state(value), seen)}"
    return text


def _array_text(array: Any, seen: Seen) -> str:
    if isinstance(array, Tensor):
        values = array.detach().cpu().to_dense().contiguous().view(-1).view(torch.uint8).numpy()
        return f"{array.dtype} {tuple(array.shape)} {_sha256(values.tobytes())}"
    if array.dtype.hasobject:
        return _value(array.tolist(), seen)
    return f"{array.dtype.str} {array.shape} {_sha256(array.tobytes())}"


def _container_text(container: Any, seen: Seen) -> str:
    if isinstance(container, dict):
        return ", ".join(sorted(f"{_value(k, seen)}: {_value(v, seen)}" for k, v in container.items()))
    texts = [_value(each, seen) for each in container]
    return ", ".join(texts if isinstance(container, list | tuple) else sorted(texts))


def _state(value: object) -> list[Any]:
    """Return what an object would be pickled with, besides its class; nothing if it cannot be pickled."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        parts = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:  # a lock, a file, a weak reference
        return []
    if isinstance(parts, str):
        return [parts]
    return [list(part) if isinstance(part, Iterator) else part for part in parts[1:]]


def _class_text(cls: type, seen: Seen) -> str:
    """Return the source of a class and of the classes that it inherits from."""
    return "\n".join(_source_of_class(base, seen) for base in cls.__mro__ if base is not object)


def _source_of_class(cls: type, seen: Seen) -> str:
    if cls.__module__.partition(".")[0] in _LIBRARIES:
        return _qualified(cls)
    source = _quoted(cls)
    # Of a class of a notebook only the functions know their source
    return source or f"{_qualified(cls)} {_value(dict(_members(cls)), seen)}"


@functools.cache
def _quoted(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def _members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the functions of a class, and the values that it holds."""
    for name, member in vars(cls).items():
        plain = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(plain, FunctionType) or not (name.startswith("__") or hasattr(plain, "__get__")):
            yield name, plain


def _compiled(code: CodeType, seen: Seen) -> str:
    return _value((code.co_code, code.co_consts, code.co_names), seen)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _qualified(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
