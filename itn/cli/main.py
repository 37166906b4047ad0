"""The entry of the command line: runs one command, errors become one plain line."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from itn.cli.animate import animate_command
from itn.cli.compare import compare_command
from itn.cli.doctor import doctor_command
from itn.cli.explore import explore_command
from itn.cli.learn import learn_command
from itn.cli.listings import models_command, transforms_command
from itn.cli.options import in_options
from itn.cli.report import report_command
from itn.cli.screen import screen_command
from itn.cli.worst import worst_command
from itn.reports.kinds import ReportWarning
from itn.runtime import distributed
from itn.runtime.batching import keep_memory
from itn.runtime.provenance import commanded, package_version
from itn.runtime.requirements import NotMetError
from itn.runtime.startup import raise_on_interrupt

FAILED, BAD_INPUT, NOT_MET, INTERRUPTED = 1, 2, 3, 130
SIGTERM_AGAIN = 0.2  # seconds


def _shown(default: Any) -> str | None:
    """Return a default for the help: a list as it is typed, nothing where there is none."""
    if isinstance(default, tuple):
        return ",".join(default) or None
    return None if default is None else str(default) or '""'


app = App(
    name="itn",
    help="To which transformations is a trained image classifier invariant, and how far?",
    version=package_version("itn") or "unknown",
    help_format="markdown",
    default_parameter=Parameter(negative=(), show_default=_shown),
    suppress_keyboard_interrupt=False,  # ours names what was kept
)
app.command(screen_command, name="screen")
app.command(learn_command, name="learn")
app.command(worst_command, name="worst")
app.command(compare_command, name="compare")
app.command(report_command, name="report")
app.command(explore_command, name="explore")
app.command(animate_command, name="animate")
app.command(models_command, name="models")
app.command(transforms_command, name="transforms")
app.command(doctor_command, name="doctor")
app.register_install_completion_command(help="Install completion of options for bash, zsh or fish.")


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C.

    While an exception is being handled the signal is deferred: the exception may end the run with a better
    message. If the run goes on, the signal is sent again.
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

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    finally:
        again.cancel()
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 failed, 2 bad input, 3 not met, 130 interrupted."""
    with sigterm_interrupts():
        try:
            raise_on_interrupt()
            keep_memory()
            try:
                with commanded(sys.argv[1:] if arguments is None else arguments), _plain_warnings():
                    app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
            finally:
                distributed.leave_processes()
        except (CycloptsError, ValueError) as error:
            return _complain(error, BAD_INPUT)
        except NotMetError as error:
            return _complain(error, NOT_MET)
        except KeyboardInterrupt as error:
            return _complain(error, INTERRUPTED)
        except Exception as error:  # a user gets one line; ITN_DEBUG=1 shows where it came from
            if os.environ.get("ITN_DEBUG"):
                raise
            return _complain(error, FAILED)
    return 0


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show warnings about reports as one line, without the code that they come from."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, ReportWarning):
            print(f"itn: warning: {in_options(str(message))}", file=sys.stderr)
        else:
            before(message, category, *place, **more)

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show
        yield


def _complain(error: BaseException, status: int) -> int:
    text = " ".join(str(error).split()) or ("interrupted" if status == INTERRUPTED else type(error).__name__)
    number = os.environ.get("RANK", "0")
    print(f"itn{f' (process {number})' if number != '0' else ''}: {in_options(text)}", file=sys.stderr)
    return status
