"""The result of a search in a box: worst.csv written to the folder, and all of it read back from there."""

import csv
import dataclasses
import io
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itn.boxes.records import WorstRecord, WorstRow
from itn.boxes.summary import worst_summary
from itn.runtime.frames import data_frame, row_columns
from itn.runtime.records import text_html
from itn.runtime.run_dir import RunFolder
from itn.runtime.validation import user_path

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

COLUMNS = tuple(field.name.rstrip("_") for field in dataclasses.fields(WorstRow))[:-1]


@dataclasses.dataclass(frozen=True, repr=False)
class WorstResult:
    """The result of ``itn.worst_case``; ``print`` shows the closing table."""

    record: WorstRecord
    images: tuple[WorstRow, ...]

    def __repr__(self) -> str:  # not the thousands of rows
        return str(self)

    def __str__(self) -> str:
        return worst_summary(self.record)

    def _repr_html_(self) -> str:  # in a notebook
        return text_html(str(self))

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each image, as worst.csv has them: its worst point, and whether it survives.

        Raises:
            ImportError: If pandas, an extra, is not installed.
        """
        rows = []
        for row in self.images:
            columns = row_columns(row)
            point = columns.pop("point") or (None,) * len(self.record.box)
            rows.append(columns | dict(zip(self.record.box, point, strict=True)))
        return data_frame(rows)

    def plot(self) -> "Figure":
        """Return the figure of survival as the box grows, and under each transformation alone.

        Nothing is written.
        """
        from itn.boxes.figures import growth_figure  # noqa: PLC0415  # slow to import

        return growth_figure(self.record)


def write_table(folder: RunFolder, result: WorstResult) -> None:
    """Write worst.csv."""
    write = partial(Path.write_text, data=to_csv(result), encoding="utf-8", errors="backslashreplace")
    folder.write("worst.csv", write)


def to_csv(result: WorstResult) -> str:
    """Return the images as CSV with a header; magnitudes are exactly those that were tried."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *result.record.box])
    for row in result.images:
        values = [getattr(row, field.name) for field in dataclasses.fields(row)][:-1]
        points = row.point or ("",) * len(result.record.box)
        writer.writerow([*map(_cell, values), *points])
    return text.getvalue()


def load_worst(folder: str | Path) -> WorstResult:
    """Return the result of a finished search in a box from its folder.

    Args:
        folder: The output folder of ``itn.worst_case`` or ``itn worst``.

    Returns:
        The record of result.json and the rows of worst.csv, as they were; margins and scales have six digits.

    Raises:
        ValueError: If the folder does not hold such a result, or one of another schema version.
    """
    path = user_path(folder)
    if not (path / "result.json").is_file():
        raise ValueError(f"{path} does not hold a finished search: name the output folder of itn worst")
    try:
        record = WorstRecord.from_json(json.loads((path / "result.json").read_text()))
        return WorstResult(record, _rows((path / "worst.csv").read_text(encoding="utf-8"), record))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold a finished search that can be read ({error}): "
            "repeat it with overwrite=True, or name another folder"
        ) from None


def _rows(text: str, record: WorstRecord) -> tuple[WorstRow, ...]:
    header, *lines = csv.reader(io.StringIO(text, newline="")) if text else ([],)
    if header != [*COLUMNS, *record.box]:
        raise ValueError(f"worst.csv has the columns {', '.join(header)}, not those of this box")
    return tuple(_row(line) for line in lines)


def _row(cells: list[str]) -> WorstRow:
    if len(cells) <= len(COLUMNS):
        raise ValueError("worst.csv has a line that is too short")
    image, class_, searched, survives, margin, prediction, scale, passes, *point = cells
    return WorstRow(
        image,
        class_,
        bool(int(searched)),
        bool(int(survives)) if survives else None,
        float(margin) if margin else None,
        prediction,
        float(scale) if scale else None,
        int(passes),
        tuple(map(float, point)) if all(point) else (),
    )


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
