"""The result of a comparison: written to its folder, and read back from there."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from itn.runtime.frames import data_frame, row_columns
from itn.runtime.records import Result
from itn.runtime.requirements import JudgeBy, Requirements
from itn.runtime.run_dir import RunFolder
from itn.runtime.validation import user_path
from itn.screening.comparison.records import ComparisonRecord, ComparisonRow, ImageRow
from itn.screening.comparison.requirements import judge_comparison
from itn.screening.tables import from_csv, to_csv

R = TypeVar("R")

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, repr=False)
class ComparisonResult(Result):
    """The result of ``itn.compare``; ``print`` shows the closing table."""

    record: ComparisonRecord
    rows: tuple[ComparisonRow, ...]
    """The lines of comparison.csv."""
    images: tuple[ImageRow, ...]
    """Images that break in one screen and not in the other: the lines of images.csv."""

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each difference and correlation, as comparison.csv has them.

        Raises:
            ImportError: If pandas, an extra, is not installed.
        """
        return data_frame([row_columns(row) for row in self.rows])

    def plot(self, pair: int = 0) -> "Figure":
        """Return the figure of how much farther one screen goes than the other; nothing is written.

        Args:
            pair: Which two screens, by their place in ``record.pairs``.

        Raises:
            ValueError: If there are not so many pairs.
        """
        from itn.screening.comparison.plots import threshold_differences  # noqa: PLC0415  # slow to import

        record = self.record
        if not 0 <= pair < len(record.pairs):
            raise ValueError(f"pair must be 0 to {len(record.pairs) - 1}, got {pair}")
        return threshold_differences(record.pairs[pair], record.criterion, record.topk, record.confidence)

    def require(self, requirements: str, *, judge_by: JudgeBy = "bound") -> Requirements:
        """Return whether the later screens meet requirements against the first.

        Args:
            requirements: Such as ``"rotate>=-2,drop<=1%"``: the second goes at most 2 degrees less far, and
                its accuracy on unchanged images is at most 1 point lower; of factors a quotient, such as
                ``zoom>=0.95``.
            judge_by: What has to satisfy them: the less favorable end of each interval ("bound"), or the
                measured difference ("estimate").

        Returns:
            The verdicts; ``met`` says whether all of them are.

        Raises:
            ValueError: If a requirement is of no such form, or its name unknown.
        """
        return judge_comparison(requirements, self.record, judge_by)


def write_tables(folder: RunFolder, result: ComparisonResult) -> None:
    """Write comparison.csv and images.csv."""
    for name, text in (
        ("comparison", to_csv(result.rows, ComparisonRow)),
        ("images", to_csv(result.images, ImageRow)),
    ):
        write = partial(Path.write_text, data=text, encoding="utf-8", errors="backslashreplace")
        folder.write(f"{name}.csv", write)


def load_comparison(folder: str | Path) -> ComparisonResult:
    """Return the result of a finished comparison from its folder.

    Raises:
        ValueError: If the folder does not hold one that can be read.
    """
    path = user_path(folder)
    if not (path / "result.json").is_file():
        raise ValueError(f"{path} does not hold a finished comparison: name the output folder of itn compare")
    try:
        record = ComparisonRecord.from_json(json.loads((path / "result.json").read_text()))
        return ComparisonResult(
            record,
            _rows(path / "comparison.csv", ComparisonRow),
            _rows(path / "images.csv", ImageRow),
        )
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold a finished comparison that can be read ({error}): "
            "repeat it with overwrite=True, or name another folder"
        ) from None


def _rows(path: Path, kind: type[R]) -> tuple[R, ...]:
    try:
        return from_csv(path.read_text(encoding="utf-8"), kind)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
