"""The entry of the command line: runs one command, errors become one plain line."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from cyclopts import CycloptsError

from itn.cli import learn, listings, screen
from itn.cli.app import app
from itn.runtime import distributed
from itn.runtime.batching import keep_memory

COMMANDS = (screen, learn, listings)  # which add themselves to the app
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
SIGTERM_AGAIN = 0.2  # seconds


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C.

    While an error is being handled, the signal waits: that error may end the run anyway, and says why. If the
    run goes on instead, the signal is sent again.
    """
    again = threading.Timer(0, lambda: None)

    def stop(number: int, _: object) -> None:
        nonlocal again
        if sys.exc_info()[0] is None:
            raise KeyboardInterrupt
        again.cancel()
        again = threading.Timer(SIGTERM_AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    own = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if own else None
    try:
        yield
    finally:
        again.cancel()
        if own:
            signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 failed, 2 bad input, 130 interrupted."""
    with sigterm_interrupts():
        try:
            keep_memory()
            try:
                app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
            finally:
                distributed.leave_processes()
        except (CycloptsError, ValueError) as error:
            return _complain(error, BAD_INPUT)
        except KeyboardInterrupt as error:
            return _complain(error, INTERRUPTED)
        except Exception as error:  # a user gets one line; ITN_DEBUG=1 shows where it came from
            if os.environ.get("ITN_DEBUG"):
                raise
            return _complain(error, FAILED)
    return 0


def _complain(error: BaseException, status: int) -> int:
    text = " ".join(str(error).split()) or ("interrupted" if status == INTERRUPTED else type(error).__name__)
    number = os.environ.get("RANK", "0")
    print(f"itn{f' (process {number})' if number != '0' else ''}: {text}", file=sys.stderr)
    return status
