"""A finished screen, read back from its folder."""

import json
from pathlib import Path
from typing import TypeVar

from itn.screening.records import ScreenRecord
from itn.screening.result import ScreenResult
from itn.screening.tables import CurveRow, FlipRow, PairRow, SoftmaxRow, from_csv

R = TypeVar("R")


def load_screen(folder: str | Path) -> ScreenResult:
    """Return the result of a finished screen from its folder.

    Args:
        folder: The output folder of ``itn.screen`` or ``itn screen``.

    Returns:
        The record of result.json, exactly as it was, and the rows of the CSV files, whose numbers have six
        digits.

    Raises:
        ValueError: If the folder does not hold a finished screen, or one of another schema version.
    """
    path = Path(folder).expanduser()
    if not (path / "result.json").is_file():
        raise ValueError(f"{path} does not hold a finished screen: name the output folder of itn screen")
    try:
        record = ScreenRecord.from_json(json.loads((path / "result.json").read_text()))
        return ScreenResult(
            record,
            curves=_rows(path / "curves.csv", CurveRow),
            pairs=_rows(path / "pairs.csv", PairRow) if record.pairs else (),
            softmax=_rows(path / "softmax.csv", SoftmaxRow),
            flips=_rows(path / "flips.csv", FlipRow),
        )
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold a finished screen that can be read ({error}): "
            "repeat the screen, or name another folder"
        ) from None


def _rows(path: Path, kind: type[R]) -> tuple[R, ...]:
    try:
        return from_csv(path.read_text(encoding="utf-8"), kind)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
