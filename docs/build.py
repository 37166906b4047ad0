"""Fills the numbers of README.md and docs/*.md in, from committed JSON.

Command:   python docs/build.py          (seconds; nothing is measured)
           python docs/build.py --check  (writes nothing; names documents that are not up to date)
Reads:     docs/templates/*.md (Jinja), and the results that docs/records.py names
Writes:    README.md from templates/README.md, docs/NAME.md from templates/NAME.md
"""

import sys
from pathlib import Path

import records
import tables
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def pages() -> dict[Path, str]:
    """Return the documents that are to be written, by path."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    environment.globals |= vars(tables) | vars(records)
    environment.globals |= {"abs": abs, "len": len, "max": max, "min": min, "sum": sum}
    environment.filters |= {"percent": tables.percent, "abs": abs}
    documents = {}
    for template in sorted(TEMPLATES.glob("*.md")):
        folder = records.ROOT if template.stem == "README" else TEMPLATES.parent
        documents[folder / template.name] = environment.get_template(template.name).render()
    return documents


if __name__ == "__main__":
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        sys.exit(" ".join(("not up to date:", *map(str, stale))) if stale else 0)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
