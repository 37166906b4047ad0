"""From runs to films: each kind of run says how its folder becomes one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from itn.runtime.config_file import finished_command
from itn.runtime.run_dir import write_whole
from itn.runtime.run_files import ANIMATION
from itn.runtime.validation import user_path

if TYPE_CHECKING:
    from itn.plotting.film import Film

FILMS: dict[str, Callable[[Path, str | None], "Film"]] = {}
"""By the command of a run, from its folder and a transformation to its film; each kind of run puts its own
here."""


@runtime_checkable
class Filmed(Protocol):
    """A result in memory that has a film."""

    def film(self, transform: str | None = None) -> "Film":
        """Return the frames."""


def animate(run: str | Path | Filmed, out: str | Path | None = None, *, transform: str | None = None) -> Path:
    """Write a film of a finished run, as GIF or WebP by the ending of the file.

    Of a screen each image that the run has kept is changed until its prediction changes; of a learned family
    k goes from 0 to full strength and back. Images and answers are those that the run has left for its
    report: neither classifier nor data are needed.

    Args:
        run: The folder of a run of ``itn.screen`` or ``itn.learn``, or its result.
        out: The file; None: animation.gif in the folder of the run.
        transform: Of a screen, the transformation; None: the one that breaks the classifier first.

    Returns:
        The file.

    Raises:
        ValueError: If there is no finished run, it has left no images, no file is named where one is needed,
            or the file is not one that this function has written.

    Example:
        >>> itn.animate("runs/screen", transform="rotate")
        PosixPath('runs/screen/animation.gif')
    """
    from itn.plotting.film import ENDINGS, is_film, write_film  # noqa: PLC0415  # slow to import

    if out is None:
        if not isinstance(run, str | os.PathLike):
            raise ValueError('name the file of the film, such as out="rotate.gif"')
        out = user_path(run) / ANIMATION
    target = user_path(out)
    if target.suffix.lower() not in ENDINGS:
        raise ValueError(f"a film ends in {' or '.join(ENDINGS)}, got {target}")
    if os.path.lexists(target) and not is_film(target):
        raise ValueError(f"{target} is not a film of itn, and would be lost: name another file")
    film = _film(user_path(run), transform) if isinstance(run, str | os.PathLike) else run.film(transform)
    try:
        return write_whole(target, lambda path: write_film(film, path))
    except OSError as error:
        raise ValueError(f"cannot write {target} ({error.strerror}): name another file") from None


def _film(folder: Path, transform: str | None) -> "Film":
    command = finished_command(folder)
    if command not in FILMS:
        raise ValueError(
            f"{folder} does not hold a finished run that can be animated: name the output folder of itn "
            "screen or learn"
        )
    return FILMS[command](folder, transform)
