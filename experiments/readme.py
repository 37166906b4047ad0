"""README.md of a study: the text of its script, around tables made from its committed results."""

import importlib
import json
from collections.abc import Iterable

import study

STUDIES = [name for name in study.names() if any((study.HERE / name).rglob("result.json"))]


def text(name: str) -> str:
    """Return what README.md of a study is to hold.

    The script's ``readme`` gets the committed records by the name of their folder.
    """
    results = sorted((study.HERE / name).rglob("result.json"))
    records = {path.parent.name: json.loads(path.read_text()) for path in results}
    return importlib.import_module(f"{name}.run").readme(records).strip() + "\n"


def write(names: Iterable[str]) -> None:
    """Write README.md of studies."""
    for name in names:
        (study.HERE / name / "README.md").write_text(text(name))
