"""Pages to HTML: one file that holds everything it shows, and can load nothing."""

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from itn.reports.page import RunPage, Section
from itn.reports.pictures import data_uri, is_small

if TYPE_CHECKING:
    from jinja2 import Template

GENERATOR = '<meta name="generator" content="itn">'
"""By which a file is recognized as a page of this package."""


def page_html(runs: Sequence[RunPage], notes: Sequence[str] = ()) -> str:
    """Return a page on one run, or on several side by side.

    All texts are escaped, and the content security policy of the page lets it load nothing and run no other
    script than its own.

    Args:
        runs: What is said of each.
        notes: Sentences on all of them together.
    """
    script = _file("sliders.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        runs=runs,
        notes=notes,
        rows=_side_by_side(runs),
        style=_file("page.css"),
        script=script,
        script_hash=digest,
    )


def _side_by_side(runs: Sequence[RunPage]) -> list[tuple[str, bool, list[Section | None]]]:
    """Return title, whether it is folded, and the section of each run, for each key in order."""
    by_key = [{section.key: section for section in run.sections} for run in runs]
    rows = []
    for key in _order([list(of_run) for of_run in by_key]):
        sections = [of_run.get(key) for of_run in by_key]
        first = next(section for section in sections if section is not None)
        rows.append((first.title, first.folded, sections))
    return rows


def _order(keys_of_runs: Sequence[Sequence[str]]) -> list[str]:
    """Return all keys: those of the first run, and between them what only later runs have."""
    order = list(keys_of_runs[0])
    for keys in keys_of_runs[1:]:
        for before, key in zip(["", *keys], keys, strict=False):
            if key not in order:
                order.insert(order.index(before) + 1 if before in order else 0, key)
    return order


@functools.cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  # slow to import

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"json": _json, "uri": data_uri, "small": is_small}
    return environment.from_string(_file("page.html"))


def _json(data: Any) -> Any:
    """Return data as JSON that can stand in a page."""
    from markupsafe import Markup  # noqa: PLC0415  # comes with jinja2

    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _file(name: str) -> str:
    return resources.files("itn.reports").joinpath(name).read_text(encoding="utf-8")
