"""Results as data frames of pandas, which is an extra."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def data_frame(rows: Sequence[Mapping[str, Any]]) -> "pandas.DataFrame":
    """Return rows, from columns to values, as a data frame.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas  # noqa: PLC0415  # an extra
    except ImportError:
        raise ImportError(
            'to_frame needs pandas, which is not installed: pip install "itn[pandas]", or pip install pandas'
        ) from None
    return pandas.DataFrame(list(rows))


def row_columns(row: Any) -> dict[str, Any]:
    """Return a row of a CSV file, a dataclass, from the names of its columns to its values."""
    return {field.name.rstrip("_"): getattr(row, field.name) for field in dataclasses.fields(row)}
