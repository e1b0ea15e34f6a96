"""Let a signal ask the work on many slides to stop, instead of ending it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wsicomp.batch import Stop
from wsicomp.cli.signals import handling
from wsicomp.text.figures import counted

_ONE_SIGNAL_S = 0.5


def stopping_text(thing: str, at_work: int, requests: int) -> str:
    """Return the line that answers a signal, with the number of things at work and of signals so far."""
    things, them = counted(at_work, thing), "it" if at_work == 1 else "them"
    if not at_work:
        return f"stopping; no {thing} is at work"
    return f"finishing {things}; press again to drop {them}" if requests == 1 else f"dropping {things}"


@contextmanager
def stopping(command: str, thing: str) -> Iterator[Stop]:
    """Let signals ask the run to stop, instead of ending it.

    `command` is what runs, `thing` what it works on, in a word.
    """
    stop = Stop()
    heard = 0.0

    def asked(*_: object) -> None:
        nonlocal heard
        before, heard = heard, time.monotonic()
        if heard - before < _ONE_SIGNAL_S:  # sent to the process and to its group, as `timeout` does
            return
        stop.request()
        more = stopping_text(thing, stop.at_work, stop.requests)
        with suppress(OSError):  # a terminal that is gone
            os.write(2, f"{command}: {more}\n".encode())  # print may be at work itself

    with handling(asked, lambda present: present is not signal.SIG_IGN):
        yield stop
