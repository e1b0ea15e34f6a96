"""Let a signal ask the work on many slides to stop, instead of ending it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wsicomp.batch import Stop
from wsicomp.cli.signals import handling

_ONE_SIGNAL_S = 0.5


@contextmanager
def stopping(command: str, things: str) -> Iterator[Stop]:
    """Let signals ask the run to stop, instead of ending it.

    `command` and `things` are what runs and what it works on, in words.
    """
    stop = Stop()
    heard = 0.0

    def asked(*_: object) -> None:
        nonlocal heard
        before, heard = heard, time.monotonic()
        if heard - before < _ONE_SIGNAL_S:  # sent to the process and to its group, as `timeout` does
            return
        stop.request()
        first = f"finishing the {things} at hand; once more drops them"
        more = first if stop.requests == 1 else "stopping now"
        with suppress(OSError):  # a terminal that is gone
            os.write(2, f"{command}: {more}\n".encode())  # print may be at work itself

    with handling(asked, lambda present: present is not signal.SIG_IGN):
        yield stop
