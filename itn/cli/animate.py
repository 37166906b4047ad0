"""``itn animate``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from itn.cli.options import say
from itn.reports.animations import animate


def animate_command(
    run: Path,
    *,
    out: Path | None = None,
    transform: Annotated[str | None, Parameter(show_default=False)] = None,
) -> None:
    """Write a film of a finished screen or learned family, with what the classifier says to each image.

    Args:
        run: An output folder of itn screen or itn learn.
        out: The file: .gif or .webp. Default: animation.gif in the folder.
        transform: Of a screen, what to show: images are changed until their prediction changes. Default: what
            breaks the classifier first.
    """
    say(f"film: {animate(run, out, transform=transform)}")
