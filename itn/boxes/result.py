"""The result of a search in a box: worst.csv written to the folder, and all of it read back from there."""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itn.boxes.examples import WorstExample
from itn.boxes.outcomes import BOX
from itn.boxes.page import worst_page
from itn.boxes.records import WorstRecord, WorstRow
from itn.boxes.summary import box_text
from itn.reports.examples import read_examples
from itn.reports.kinds import PAGES
from itn.reports.page import RunPage
from itn.runtime.arrays import read_arrays, write_arrays
from itn.runtime.config_file import settings_of
from itn.runtime.frames import data_frame, row_columns
from itn.runtime.records import Result
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import OUTCOMES
from itn.runtime.validation import user_path
from itn.screening.comparison.subject import LOADERS, Subject
from itn.screening.outcomes import ImageOutcomes

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

COLUMNS = tuple(field.name.rstrip("_") for field in dataclasses.fields(WorstRow))[:-1]


@dataclasses.dataclass(frozen=True, repr=False)
class WorstResult(Result):
    """The result of ``itn.worst_case``; ``print`` shows the closing table."""

    record: WorstRecord
    images: tuple[WorstRow, ...]
    examples: tuple[WorstExample, ...] = dataclasses.field(default=(), compare=False)
    """Images at their worst points, for the report."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    """The content of config.json."""
    outcomes: ImageOutcomes | None = dataclasses.field(default=None, compare=False)
    """What became of every image, for comparisons."""

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

    def subject(self) -> Subject:
        """Return what is compared of it, see ``itn.compare``."""
        record = self.record
        settings = {name: getattr(record, name) for name in ("padding", "interpolation", "surround")}
        return Subject(
            model=record.model,
            n=record.n,
            criterion=record.criterion,
            topk=record.topk,
            fraction=record.growth.survival_fraction,
            units={BOX: (f"share of the box {box_text(record.box)}", 0.0)},
            settings=settings,
            outcomes=self.outcomes,
            content=record.to_json(),
            criteria=(record.criterion,),
            only_right=record.criterion != "agreement",
        )

    def page(self) -> RunPage:
        """Return what a report says of it, see ``itn.report``."""
        return worst_page(self)


def write_tables(folder: RunFolder, result: WorstResult) -> None:
    """Write worst.csv and outcomes.npz."""
    write = partial(Path.write_text, data=to_csv(result), encoding="utf-8", errors="backslashreplace")
    folder.write("worst.csv", write)
    if result.outcomes is not None:
        folder.write(OUTCOMES, partial(write_arrays, result.outcomes.arrays()))


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
        rows = _rows((path / "worst.csv").read_text(encoding="utf-8"), record)
        known = path / OUTCOMES
        outcomes = ImageOutcomes.of_arrays(read_arrays(known)) if known.exists() else None
        return WorstResult(record, rows, read_examples(path, WorstExample), settings_of(path), outcomes)
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


LOADERS["worst"] = load_worst
PAGES["worst"] = lambda folder: load_worst(folder).page()
