"""End a command on a signal: in one line, with nothing half-written."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from wsicomp.files.unfinished import remove_unfinished

INTERRUPTED = "wsicomp: interrupted; nothing half-written is left"
_GRACE_S = 0.6
"""How long a command may take to end by itself after a signal, before it is ended."""
_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"
"""Clears a progress bar's line, and shows the cursor that it hid."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServingEndedError(KeyboardInterrupt):
    """Ctrl-C as the usual end of a command that serves: it says nothing, and has an exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


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

    with handling(
        lambda *_: _leave(), lambda present: present in (signal.SIG_DFL, signal.default_int_handler)
    ):
        yield


@contextmanager
def ending_soon() -> Iterator[None]:
    """End the process soon after a signal, while the block runs, though a network or codec is at work.

    The signal raises KeyboardInterrupt, which waits for calls into libraries that go on. After a moment the
    process is ended all the same, and what is half-written is removed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, signalled = socket.socketpair()
    signalled.setblocking(False)
    ended, last_word = threading.Event(), threading.Lock()
    before = signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_end_soon, args=(heard, ended, last_word), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        with last_word:  # which the watcher keeps where it ends the process now
            ended.set()
        signal.set_wakeup_fd(before)
        signalled.close()
        watcher.join()
        heard.close()


def _end_soon(heard: socket.socket, ended: threading.Event, last_word: threading.Lock) -> None:
    """Wait for a signal that interrupts, and end the process if it does not end by itself."""
    while numbers := heard.recv(64):
        if not any(signal.getsignal(number) is signal.default_int_handler for number in numbers):
            continue
        if ended.wait(_GRACE_S):
            return
        with last_word:
            if ended.is_set():
                return
            remove_unfinished()
            _leave(_SHOW_CURSOR if os.isatty(2) else "")


def _leave(before: str = "") -> None:
    with suppress(OSError):
        os.write(2, f"{before}{INTERRUPTED}\n".encode())
    os._exit(130)


def stop_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a run as Ctrl-C does, with nothing half-written.

    A signal that was to be ignored, as by nohup, still is.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
