"""How a run ends early, and the message that it leaves."""

import contextlib
from collections.abc import Callable, Iterator

NOTHING_KEPT = "nothing was kept"


class RunError(RuntimeError):
    """A run that cannot go on; the message names the last good state."""


class Interrupted(KeyboardInterrupt):
    """A run that the user stopped; the message names what was kept."""


class WriteError(OSError):
    """A file of a run that cannot be written."""


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError inside the block into WriteError, to tell it from those of a user's network."""
    try:
        yield
    except OSError as error:
        known = error.errno is not None
        raise WriteError(*((error.errno, error.strerror, error.filename) if known else error.args)) from error


@contextlib.contextmanager
def explained(kept: Callable[[], str], resumable: bool) -> Iterator[None]:
    """Turn any exception that ends a run into RunError or Interrupted, whose message says what was kept.

    Args:
        kept: Returns a description of what the run has kept.
        resumable: Whether the run is resumed when it is repeated.
    """
    try:
        yield
    except KeyboardInterrupt:
        left = kept()
        again = " to start again" if left == NOTHING_KEPT else ", without overwrite=True, to resume"
        raise Interrupted(f"interrupted; {left}" + f"; repeat it{again}" * resumable) from None
    except RunError as error:
        raise RunError(f"{error}; {kept()}") from None
    except WriteError as error:
        raise RunError(f"cannot write ({error}); {kept()}") from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise RunError(f"{type(error).__name__}: {text}; {kept()}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
