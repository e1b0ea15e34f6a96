"""The command line: a short module for each command, which declares its options and runs it.

A module is imported when its command is asked for; `wsicomp.cli.commands` knows all commands by name.

Only this package prints and exits. A `WsicompError` becomes one line on stderr and exit code 1. A mistake in
the command line, or options that contradict each other or the slide, end with exit code 2.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

INTERRUPTED = "wsicomp: interrupted; nothing half-written is left"
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with _left_at_once():
        from wsicomp.cli.command_line import loaded_command, run_command

        command = loaded_command(sys.argv[1:] if arguments is None else arguments)
    return run_command(command)


@contextmanager
def _left_at_once() -> Iterator[None]:
    """End the process in one line if a signal comes while modules load; nothing is open yet.

    As an exception the signal could arise inside of a library that is loading, which may take it for another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        with suppress(OSError):
            os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(130)

    known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in known}
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = {number: handler for number, handler in before.items() if handler in usual}
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
