"""``itn report``."""

from pathlib import Path

from itn.cli.options import say
from itn.reports.kinds import report


def report_command(*runs: Path, out: Path | None = None) -> None:
    """Write what finished runs have found as one HTML file that holds everything it shows.

    Args:
        runs: Output folders; several stand side by side.
        out: The file. Default: report.html in the folder, if it is one.
    """
    say(f"report: {report(runs, out)}")
