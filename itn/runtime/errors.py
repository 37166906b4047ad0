"""What ends a run early, and what it says then."""

import contextlib
from collections.abc import Callable, Iterator


class RunError(RuntimeError):
    """A run that cannot go on; the message names the last good state."""


class Interrupted(KeyboardInterrupt):
    """A run that the user stopped; the message names what was kept."""


@contextlib.contextmanager
def explained(kept: Callable[[], str], resumable: bool) -> Iterator[None]:
    """Turn whatever ends a run early into RunError or Interrupted, with what was kept.

    Args:
        kept: Says what the run has left behind.
        resumable: Whether the same command goes on from it.
    """
    try:
        yield
    except KeyboardInterrupt:
        again = "; the same command, without --overwrite, goes on from it" if resumable else ""
        raise Interrupted(f"interrupted; {kept()}{again}") from None
    except RunError as error:
        raise RunError(f"{error}; {kept()}") from None
    except OSError as error:
        raise RunError(f"cannot write ({error}); {kept()}") from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise RunError(f"{type(error).__name__}: {text}; {kept()}") from error
