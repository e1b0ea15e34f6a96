"""What a signal does: it ends a command in one line, with nothing half-written."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = "wsicomp: interrupted; nothing half-written is left"
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


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


def stop_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a run as Ctrl-C does, with nothing half-written.

    A signal that was to be ignored, as by nohup, still is.
    """
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
                signal.signal(getattr(signal, name), signal.default_int_handler)
