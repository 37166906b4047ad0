"""Progress bars on the terminal, one for each phase of a run."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from itn.runtime import distributed


class ProgressBar:
    """A bar that counts up to a total, or without end."""

    def __init__(self, progress: Progress, phase: str, total: int | None, done: int) -> None:
        self._progress, self._task = progress, progress.add_task(phase, total=total, completed=done, note="")
        self.total, self.done = total or 0, done

    def advance(self, by: int = 1) -> None:
        """Count what has been done since the last call."""
        self.done += by
        self._progress.advance(self._task, by)

    def note(self, text: str) -> None:
        """Show a text behind the bar."""
        self._progress.update(self._task, note=text)

    def expect(self, total: int) -> None:
        """Change the total."""
        self.total = total
        self._progress.update(self._task, total=total)


@contextlib.contextmanager
def progress_bar(
    phase: str, total: int | None, unit: str, show: bool | None = None, done: int = 0
) -> Iterator[ProgressBar]:
    """Show a bar on stderr while a phase lasts; among several processes only the first shows it.

    Args:
        phase: What is being done, one word.
        total: How many units there are; None: that is not known.
        unit: What is counted.
        show: Whether to show it; None: on a terminal only.
        done: Units that an earlier run has done.
    """
    console = Console(stderr=True)
    hidden = distributed.rank() > 0 or not (console.is_terminal if show is None else show)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(
        *columns, console=console, disable=hidden, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        yield ProgressBar(progress, phase, total, done)
