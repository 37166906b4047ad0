"""Ctrl-C while the command imports its libraries, which takes seconds."""

import os
import signal
import sys

COMMANDS = ("itn", "itn.exe", "-m")  # argv[0] of the command, and of ``python -m itn`` while it is imported


def _end(*_: object) -> None:
    os.write(2, b"itn: interrupted\n")
    os._exit(130)


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process in one line, if it is the command; a user's script gets its exception."""
    is_command = os.path.basename(sys.argv[0]) in COMMANDS
    if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
