"""Rows to CSV and back."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any, TypeVar, get_type_hints

R = TypeVar("R")


def to_csv(rows: Sequence[Any], kind: type) -> str:
    """Return rows as CSV with a header; numbers to six digits, None empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in dataclasses.fields(kind)]
    writer.writerow([name.rstrip("_") for name in names])
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def from_csv(text: str, kind: type[R]) -> tuple[R, ...]:
    """Return the rows that ``to_csv`` made the text from.

    Raises:
        ValueError: If the columns are others, or a cell does not fit its column.
    """
    columns = get_type_hints(kind)
    header, *lines = csv.reader(io.StringIO(text, newline="")) if text else ([],)
    if header != [name.rstrip("_") for name in columns]:
        raise ValueError(f"its columns are {', '.join(header)}, not those of a screen")
    return tuple(
        kind(*(_value(cell, type_) for cell, type_ in zip(line, columns.values(), strict=True)))
        for line in lines
    )


def _value(cell: str, type_: Any) -> Any:
    if type_ is bool:
        return bool(int(cell))
    if type_ == float | None:
        return float(cell) if cell else None
    return type_(cell)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value
