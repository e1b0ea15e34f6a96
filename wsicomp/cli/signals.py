"""End a command on a signal: in one line, with nothing half-written."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

INTERRUPTED = "wsicomp: interrupted; nothing half-written is left"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handling(handler: Callable[..., None], may_replace: Callable[[Any], bool]) -> Iterator[None]:
    """While the block runs, call `handler` for each signal whose present handler it may replace."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = {number: present for number, present in before.items() if may_replace(present)}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, present in taken.items():
            signal.signal(number, present)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let a signal end the process in one line while modules load: nothing is open yet that could be lost.

    An exception would come up in the midst of a library's loading, which may take it for another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        with suppress(OSError):
            os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(130)

    with handling(leave, lambda present: present in (signal.SIG_DFL, signal.default_int_handler)):
        yield


def stop_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a run as Ctrl-C does, with nothing half-written.

    A signal that was to be ignored, as by nohup, still is.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
