"""LiteRT's interpreters: started without their notice, and shared by threads one at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

from wsicomp.concurrency.forks import ForkLock

_STDERR = 2
_STDERR_LOCK = ForkLock()
_NOTICE = b"Created TensorFlow Lite XNNPACK delegate"
_STARTED = Event()
"""Whether an interpreter was started: LiteRT gives its notice with a process's first one."""


def start_interpreter(model: bytes, threads: int) -> Any:
    """Return an interpreter of a model, its memory allocated.

    Raises:
        ValueError, RuntimeError: LiteRT cannot run the model.
    """
    if _STARTED.is_set():
        return _started(model, threads)
    with _STDERR_LOCK, _without_notice():
        found = _started(model, threads)
    _STARTED.set()
    return found


def _started(model: bytes, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 -- runs only where it is used

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _without_notice() -> Iterator[None]:
    """Keep LiteRT's notice of its delegate from stderr, since no option does. Other output passes."""
    try:
        hold = tempfile.TemporaryFile()  # noqa: SIM115 -- closed below, wherever it could be opened
    except OSError:  # no room to buffer stderr: the notice then appears
        yield
        return
    with hold as said:
        stderr = os.dup(_STDERR)
        os.dup2(said.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if _NOTICE not in line:
                    os.write(_STDERR, line)
