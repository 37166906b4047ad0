"""Pages of the reference that nobody types: from the parsers, the settings, the records and the public names.

A page asks for them by a comment of its own line, such as ``<!-- generated: settings itn.LearnConfig -->``;
``docs/hooks.py`` puts the text in its place when the site is built.
"""

import dataclasses
import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import griffe

from itn.cli.main import app
from itn.transforms import TRANSFORMS

MARK = re.compile(r"^<!-- generated: (?P<kind>\w+)(?: (?P<name>[\w.]+))? -->$", re.MULTILINE)


def fill(markdown: str) -> str:
    """Return a page with what it asks for in the place of its marks."""
    return MARK.sub(lambda mark: _KINDS[mark["kind"]](*filter(None, [mark["name"]])), markdown)


def command_line() -> str:
    """Return all commands and options, from the parsers."""
    text = app.generate_docs(output_format="markdown", recursive=True)
    return text[text.index("## itn screen") :].replace("**Parameters**:\n", "")


def settings(name: str) -> str:
    """Return a table of the settings of a dataclass: default, type, and what its docstring says."""
    owner = _find(name)
    texts = _attributes(owner)
    rows = ["| setting | default | means |", "| --- | --- | --- |"]
    for field in dataclasses.fields(owner):
        text, type_ = texts[field.name]
        rows.append(f"| `{field.name}`<br>{_code(type_)} | {_code(_default(field))} | {_cell(text)} |")
    return "\n".join(rows)


def schema(name: str) -> str:
    """Return tables of the keys of a record, and of the records in it."""
    return "\n\n".join(_tables(_find(name)))


def api(name: str) -> str:
    """Return what mkdocstrings needs for the public names of a module: functions, classes, constants."""
    module = importlib.import_module(name)

    def order(member: str) -> tuple[bool, bool, str]:
        found = getattr(module, member)
        return not inspect.isroutine(found), not inspect.isclass(found), member.lower()

    lines, plain = [], []
    for member in sorted(module.__all__, key=order):
        (lines if _documented(f"{name}.{member}") else plain).append(member)
    blocks = [f"::: {name}.{member}" for member in lines]
    if plain:
        values = (f"- `{member}`: `{str(getattr(module, member))[:200]}`" for member in plain)
        blocks += ["## Constants", "\n".join(values)]
    return "\n\n".join(blocks)


def transforms() -> str:
    """Return a table of the transformations that can be screened."""
    rows = ["| name | unit | identity | magnitudes by default | what it does |", "| --- " * 5 + "|"]
    for name, each in TRANSFORMS.items():
        meaning = (each.__doc__ or "").partition("\n")[0]
        values = f"{each.magnitudes[0]:g} to {each.magnitudes[-1]:g}, {len(each.magnitudes)} values"
        rows.append(f"| `{name}` | {each.unit} | {each.identity:g} | {values} | {meaning} |")
    return "\n".join(rows)


def notebook(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = []
    for cell in cells:
        text = "".join(cell["source"])
        texts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    download = f"<a href='../{path.name}' download>Download this notebook.</a> It is shown without outputs."
    return "\n\n".join([*texts[:1], download, *texts[1:]])


_KINDS: dict[str, Callable[..., str]] = {
    "command_line": command_line,
    "settings": settings,
    "schema": schema,
    "api": api,
    "transforms": transforms,
}


def _find(name: str) -> type:
    module, _, member = name.rpartition(".")
    found: type = getattr(importlib.import_module(module), member)
    return found


@cache
def _package() -> griffe.Object | griffe.Alias:
    return griffe.load("itn", resolve_aliases=True)


def _documented(path: str) -> bool:
    """Return whether a public name has a docstring; of constants that is a string behind them."""
    try:
        return _package()[path.removeprefix("itn.")].has_docstring
    except griffe.AliasResolutionError:  # several assigned at once
        return False


def _attributes(owner: type) -> dict[str, tuple[str, str]]:
    """Return docstring and type of each field of a dataclass, inherited ones too, by name."""
    found: dict[str, tuple[str, str]] = {}
    of_package = takewhile(lambda kind: kind.__module__.startswith("itn."), owner.__mro__)
    for kind in reversed(list(of_package)):
        path = f"{kind.__module__.removeprefix('itn.')}.{kind.__name__}"
        for name, member in _package()[path].attributes.items():
            docstring = member.docstring.value if member.docstring else ""
            found[name] = (docstring or found.get(name, ("", ""))[0], str(member.annotation))
    return found


def _tables(record: type, told: set[type] | None = None) -> Iterator[str]:
    """Yield the table of a record, then those of the records in it, each once."""
    told = {record} if told is None else told
    hints, texts, inner = typing.get_type_hints(record), _attributes(record), []
    rows = ["| key | type | holds |", "| --- | --- | --- |"]
    for field in dataclasses.fields(record):
        text, type_ = texts[field.name]
        rows.append(f"| `{field.name.rstrip('_')}` | {_code(type_)} | {_cell(text)} |")
        inner += [kind for kind in _records(hints[field.name]) if kind not in told]
        told.update(inner)
    about = inspect.cleandoc(record.__doc__ or "")
    yield f"### {record.__name__}\n\n{about}\n\n" + "\n".join(rows)
    for kind in inner:
        yield from _tables(kind, told)


def _records(hint: Any) -> Iterator[type]:
    """Yield the dataclasses in an annotation."""
    if dataclasses.is_dataclass(hint):
        yield typing.cast(type, hint)
    for part in typing.get_args(hint):
        yield from _records(part)


def _default(field: "dataclasses.Field[Any]") -> str:
    factory = field.default_factory
    if factory is not dataclasses.MISSING:
        return repr(factory())
    if field.default is dataclasses.MISSING:
        return ""
    if dataclasses.is_dataclass(field.default):
        return f"{type(field.default).__name__}()"
    return repr(field.default)


def _code(text: str) -> str:
    return f"<code>{_cell(text).replace('<', '&lt;')}</code>" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")
