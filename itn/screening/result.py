"""The result of a screen: its tables written to the folder, and all of it read back from there."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from itn.reports.animations import FILMS
from itn.reports.examples import read_examples
from itn.reports.kinds import PAGES
from itn.reports.page import RunPage
from itn.runtime.arrays import read_arrays, write_arrays
from itn.runtime.config_file import settings_of
from itn.runtime.frames import data_frame
from itn.runtime.records import Result
from itn.runtime.requirements import JudgeBy, Requirements
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import OUTCOMES
from itn.runtime.validation import user_path
from itn.screening.comparison.subject import LOADERS, Subject
from itn.screening.examples import FlipExample
from itn.screening.outcomes import ImageOutcomes
from itn.screening.page import screen_page
from itn.screening.records import CurveRow, FlipRow, PairRow, ScreenRecord, SoftmaxRow
from itn.screening.requirements import judge_screen
from itn.screening.tables import from_csv, to_csv
from itn.transforms import TRANSFORMS

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from itn.plotting.film import Film

R = TypeVar("R")


@dataclasses.dataclass(frozen=True, repr=False)
class ScreenResult(Result):
    """The result of ``itn.screen``; ``print`` shows the closing table."""

    record: ScreenRecord
    curves: tuple[CurveRow, ...]
    pairs: tuple[PairRow, ...]
    softmax: tuple[SoftmaxRow, ...]
    flips: tuple[FlipRow, ...]
    outcomes: ImageOutcomes | None = dataclasses.field(default=None, compare=False)
    """What became of every image; None: a screen of an earlier version has not kept it."""
    examples: tuple[FlipExample, ...] = dataclasses.field(default=(), compare=False)
    """Images at the point where their prediction changes."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    """The content of config.json."""

    def require(self, requirements: str, *, judge_by: JudgeBy = "bound") -> Requirements:
        """Return whether the screen meets requirements.

        Args:
            requirements: Such as ``"rotate>=15,drop<=1%"``: accuracy, or what the criterion asks for, is kept
                out to 15 degrees on both sides, and falls by at most 1 point up to there; of factors,
                ``zoom>=1.5`` is from 1/1.5 to 1.5; ``accuracy>=97%`` is of the unchanged images.
            judge_by: What has to satisfy them: the less favorable end of each interval ("bound"), or the
                measured value ("estimate").

        Returns:
            The verdicts; ``met`` says whether all of them are.

        Raises:
            ValueError: If a requirement is of no such form, its name unknown, or farther than was tried.
        """
        return judge_screen(requirements, self.record, self._factors(), judge_by)

    def _factors(self) -> set[str]:
        """Return the transformations whose magnitude is a factor."""
        if self.outcomes is not None:
            return {name for name, sweep in self.outcomes.sweeps.items() if sweep.logarithmic}
        return {
            name for name in self.record.transforms if name in TRANSFORMS and TRANSFORMS[name].logarithmic
        }

    def subject(self) -> Subject:
        """Return what is compared of it, see ``itn.compare``."""
        record, sweeps = self.record, self.record.transforms
        fractions = [sweep.thresholds.accuracy_fraction for sweep in sweeps.values()]
        return Subject(
            model=record.model,
            n=record.n,
            criterion=record.criterion,
            topk=record.topk,
            fraction=fractions[0] if fractions else None,
            units={name: (sweep.unit, sweep.identity) for name, sweep in sweeps.items()},
            settings={name: getattr(record, name) for name in ("padding", "interpolation", "surround")},
            outcomes=self.outcomes,
            content=record.to_json(),
        )

    def page(self) -> RunPage:
        """Return what a report says of it, see ``itn.report``."""
        return screen_page(self)

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each transformation and magnitude, over all images; shares are fractions.

        Raises:
            ImportError: If pandas, an extra, is not installed.
        """
        return data_frame([row for name, sweep in self.record.transforms.items() for row in sweep.rows(name)])

    def film(self, transform: str | None = None) -> "Film":
        """Return the frames of ``itn.animate``."""
        from itn.screening.film import screen_film  # noqa: PLC0415  # slow to import

        return screen_film(self, transform)

    def plot(self, what: str | None = None) -> "Figure":
        """Return a figure; nothing is written.

        Args:
            what: A transformation, such as rotate, for accuracy over its magnitude; a pair, such as
                translate_x,translate_y, for its map; None: the thresholds of all transformations.

        Raises:
            ValueError: If there is nothing of that name.
        """
        from itn.screening.plots import plot  # noqa: PLC0415  # slow to import

        return plot(self.record, self.outcomes, self.settings, what)


def write_tables(folder: RunFolder, result: ScreenResult) -> None:
    """Write curves.csv, softmax.csv, flips.csv, pairs.csv if there are pairs, and outcomes.npz."""
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
    if result.outcomes is not None:
        folder.write(OUTCOMES, partial(write_arrays, result.outcomes.arrays()))


def load_screen(folder: str | Path) -> ScreenResult:
    """Return the result of a finished screen from its folder.

    Args:
        folder: The output folder of ``itn.screen`` or ``itn screen``.

    Returns:
        The record of result.json and the outcomes, exactly as they were, and the rows of the CSV files, whose
        numbers have six digits.

    Raises:
        ValueError: If the folder does not hold a finished screen, or one of another schema version.
    """
    path = user_path(folder)
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
            outcomes=_outcomes(path / OUTCOMES),
            examples=read_examples(path, FlipExample),
            settings=settings_of(path),
        )
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold a finished screen that can be read ({error}): "
            "repeat the screen with overwrite=True, or name another folder"
        ) from None


def _outcomes(path: Path) -> ImageOutcomes | None:
    return ImageOutcomes.of_arrays(read_arrays(path)) if path.exists() else None


def _rows(path: Path, kind: type[R]) -> tuple[R, ...]:
    try:
        return from_csv(path.read_text(encoding="utf-8"), kind)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


LOADERS["screen"] = load_screen
PAGES["screen"] = lambda folder: load_screen(folder).page()
FILMS["screen"] = lambda folder, transform: load_screen(folder).film(transform)
