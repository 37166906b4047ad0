"""From runs to their page: each kind of run says how its folder becomes one."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from itn.reports.html import GENERATOR, page_html
from itn.reports.page import RunPage
from itn.runtime import distributed
from itn.runtime.config_file import finished_command, settings_of
from itn.runtime.errors import first_line
from itn.runtime.run_dir import write_whole
from itn.runtime.run_files import REPORT
from itn.runtime.validation import user_path

PAGES: dict[str, Callable[[Path], RunPage]] = {}
"""By the command of a run, from its folder to its page; each kind of run puts its own here."""


class ReportWarning(UserWarning):
    """A report that could not be made; the results of its run are complete."""


@runtime_checkable
class Reported(Protocol):
    """A result in memory that has a page."""

    def page(self) -> RunPage:
        """Return what a report says of it."""


def report(
    runs: str | Path | Reported | Sequence[str | Path | Reported], out: str | Path | None = None
) -> Path:
    """Write what runs have found as one HTML file that holds everything it shows.

    Args:
        runs: The folder of a finished run, or a result in memory; or several of them, which stand side by
            side.
        out: The file; None: report.html in the folder of the run, if it is one folder.

    Returns:
        The file.

    Raises:
        ValueError: If a folder holds no finished run, no file is named where one is needed, or the file holds
            something else than a report.

    Example:
        >>> itn.report("runs/screen")
        PosixPath('runs/screen/report.html')
        >>> itn.report(["runs/before", "runs/after"], out="both.html")
        PosixPath('both.html')
    """
    given = [runs] if isinstance(runs, str | os.PathLike | Reported) else list(runs)
    if not given:
        raise ValueError("a report is about one run or several: give their folders, or results")
    if out is None:
        if len(given) > 1 or not isinstance(given[0], str | os.PathLike):
            raise ValueError('name the file of the report, such as out="report.html"')
        out = user_path(given[0]) / REPORT
    target = user_path(out)
    _check_target(target)
    folders = [user_path(run) for run in given if isinstance(run, str | os.PathLike)]
    pages = [_page(run) for run in given]
    text = page_html(pages, _notes([settings_of(folder) for folder in folders]) if len(given) > 1 else ())
    try:
        # Names that are not Unicode, such as those of some files, get a question mark
        return write_whole(target, lambda path: path.write_text(text, encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ValueError(f"cannot write {target} ({error.strerror}): name another file") from None


def leave_report(folder: Path) -> None:
    """Write report.html of a finished run, unless it is there; that it fails does not end the run.

    Among several processes the first one does.
    """
    if distributed.rank() or (folder / REPORT).exists():
        return
    try:
        report(folder)
    except Exception as error:  # whatever it is, the results are there and can be shown later
        warnings.warn(
            f"report.html was not made ({type(error).__name__}: {first_line(error)}); the results are "
            f"complete, and itn.report({str(folder)!r}) tries again",
            ReportWarning,
            stacklevel=2,
        )


def _page(run: str | Path | Reported) -> RunPage:
    if not isinstance(run, str | os.PathLike):
        if not isinstance(run, Reported):
            raise ValueError(f"a report is about folders or results of runs, got {str(run)[:80]!r}")
        return run.page()
    folder = user_path(run)
    command = finished_command(folder)
    if command not in PAGES:
        raise ValueError(
            f"{folder} does not hold a finished run: name the output folder of itn screen, learn or worst"
        )
    return PAGES[command](folder)


def _check_target(target: Path) -> None:
    """Raise ValueError if a file is there that is no report, or none can be."""
    if target.is_dir():
        raise ValueError(f"{target} is a folder: name a file, such as {target / REPORT}")
    if os.path.lexists(target):
        try:
            with target.open(encoding="utf-8", errors="replace") as file:
                known = GENERATOR in file.read(1000)
        except OSError:
            known = False
        if not known:
            raise ValueError(f"{target} is not a report of itn, and would be lost: name another file")


def _notes(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in which respect runs side by side differ, beside what they are about."""
    differing = {
        "images": {str(each.get("images", {}).get("sha256")) for each in settings},
        "classifiers": {str(each.get("classifier", {}).get("sha256")) for each in settings},
    }
    notes = [f"These runs are about different {what}." for what, found in differing.items() if len(found) > 1]
    if len(differing["images"]) > 1:
        notes.append("What differs between them may come from the images as well as from anything else.")
    elif len(differing["classifiers"]) > 1:
        notes.append(
            "Their intervals are each run's own: two that overlap may still differ, since the images are the "
            "same; none of them is of a difference."
        )
    return notes
