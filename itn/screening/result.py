"""The result of a screen."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from itn.runtime.run_dir import RunFolder
from itn.screening.records import ScreenRecord
from itn.screening.summary import screen_summary
from itn.screening.tables import CurveRow, FlipRow, PairRow, SoftmaxRow, to_csv


@dataclasses.dataclass(frozen=True)
class ScreenResult:
    """The result of ``itn.screen``; ``print`` shows the closing table."""

    record: ScreenRecord
    curves: tuple[CurveRow, ...]
    pairs: tuple[PairRow, ...]
    softmax: tuple[SoftmaxRow, ...]
    flips: tuple[FlipRow, ...]

    def __str__(self) -> str:
        return screen_summary(self.record)


def write_tables(folder: RunFolder, result: ScreenResult) -> None:
    """Write curves.csv, softmax.csv, flips.csv, and pairs.csv if there are pairs."""
    tables: dict[str, tuple[Sequence[Any], type]] = {
        "curves": (result.curves, CurveRow),
        "softmax": (result.softmax, SoftmaxRow),
        "flips": (result.flips, FlipRow),
    }
    if result.pairs:
        tables["pairs"] = result.pairs, PairRow
    for name, (rows, kind) in tables.items():
        text = to_csv(rows, kind)
        # Independent of the locale and of the bytes in file names
        write = partial(Path.write_text, data=text, encoding="utf-8", errors="backslashreplace")
        folder.write(f"{name}.csv", write)
