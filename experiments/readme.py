"""README.md of a study: the text of its script, around tables made from its committed results."""

import importlib
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import study

WIDTH = 110


def texts(name: str) -> dict[Path, str]:
    """Return what README.md of a study is to hold, by file.

    The script's ``readme`` gets the committed records by the name of their folder. If it has
    ``readme_of_part``, which gets one record, every folder of results has its own README.md.
    """
    script = importlib.import_module(f"{name}.run")
    records = {path.parent: json.loads(path.read_text()) for path in results(name)}
    by_folder = {
        study.HERE / name: script.readme({folder.name: record for folder, record in records.items()})
    }
    if hasattr(script, "readme_of_part"):
        by_folder |= {folder: script.readme_of_part(record) for folder, record in records.items()}
    return {folder / "README.md": _wrapped(text.strip()) + "\n" for folder, text in by_folder.items()}


def results(name: str) -> list[Path]:
    """Return the committed results of a study."""
    return sorted((study.HERE / name).rglob("result.json"))


def write(names: Iterable[str]) -> None:
    """Write README.md of studies; of all, if none is named."""
    for name in names or study.names():
        for path, text in texts(name).items():
            path.write_text(text)


def _wrapped(text: str) -> str:
    """Return Markdown with its prose in lines of WIDTH; headings, tables, pictures and code as they are."""
    wrapped: list[str] = []
    paragraph: list[str] = []
    code = False
    for line in [*text.splitlines(), ""]:
        code ^= line.startswith("```")
        verbatim = code or not line or line.startswith(("```", "#", "|", "!"))
        if paragraph and (verbatim or line.startswith("- ")):
            indent = "  " if paragraph[0].startswith("- ") else ""
            wrapped += textwrap.wrap(
                " ".join(paragraph),
                WIDTH,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            paragraph = []
        if verbatim:
            wrapped.append(line)
        else:
            paragraph.append(line.strip())
    return "\n".join(wrapped).strip()
