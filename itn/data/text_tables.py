"""Text files of two columns, as spreadsheets and scripts write them."""

import codecs
import csv
from collections.abc import Callable
from pathlib import Path

Rows = list[tuple[str, str]]
_BINARY = {b"\x80": "a pickle, which may run code", b"PK": "a spreadsheet or another archive"}


def read_text(path: Path, kind: str, expected: str) -> str:
    """Return the content of a file in UTF-8 or UTF-16, with a byte order mark or without.

    Args:
        path: The file.
        kind: What it is, for the message.
        expected: What it should hold, for the message.

    Raises:
        ValueError: If it cannot be read, or holds something else than text.
    """
    try:
        content = path.read_bytes()
        if binary := next((name for start, name in _BINARY.items() if content.startswith(start)), None):
            raise ValueError(binary)
        return content.decode(_encoding(content))
    except (OSError, ValueError) as error:
        problem: object = error
        if isinstance(error, UnicodeDecodeError):
            problem = "neither UTF-8 nor UTF-16: save it as UTF-8"
        elif isinstance(error, OSError):
            problem = error.strerror or error
        raise ValueError(f"cannot read {kind} {path} ({problem}): expected {expected}") from None


def two_columns(text: str, is_known: Callable[[str], bool]) -> Rows | None:
    """Return the rows of a text with two columns that are separated by tab, comma or semicolon.

    Args:
        text: Lines; cells may be in quotes, blank lines are passed over.
        is_known: Whether a text belongs into the first column, which decides where several separators fit.

    Returns:
        Pairs, or None if there are not two columns in every line.
    """
    tables = []
    for separator in "\t,;":
        try:
            lines = list(csv.reader(text.splitlines(), delimiter=separator, strict=True))
        except csv.Error:
            continue
        rows = [(line[0].strip(), line[1].strip()) for line in lines if len(line) == 2]
        if rows and len(rows) == sum(map(bool, lines)):
            tables.append(rows)
    return max(tables, key=lambda rows: sum(is_known(left) for left, _ in rows), default=None)


def line_of_another_kind(text: str) -> str:
    """Return the first line that has not two columns, for a message."""
    lines = [line for line in text.splitlines() if line.strip()]
    separator = next((each for each in "\t,;" if each in text), ",")
    wrong = [line for line in lines if line.count(separator) != 1]
    return repr((wrong or lines or [""])[0][:80])


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" not in content:
        return "utf-8-sig"
    return "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
