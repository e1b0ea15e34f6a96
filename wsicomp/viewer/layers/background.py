"""Work that a viewer does beside what its page asks for: one function on a thread of its own.

Such a thread never keeps the program from ending.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread

_log = logging.getLogger(__name__)


class WorkStoppedError(Exception):
    """Work that was told to stop, raised by `check` inside it."""


class BackgroundWork:
    """One function that is called on a daemon thread, at most once, and can be told to stop.

    The function takes this object, and calls `check` between its steps.
    """

    def __init__(self, function: Callable[[BackgroundWork], None]) -> None:
        self._function = function
        self._stopped = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun or was stopped before."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = Thread(target=self._run, name="wsicomp-view", daemon=True)
                self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Tell it to stop, and wait for the step that it is at, at most so long."""
        self._stopped.set()
        self.wait(timeout_s)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it has ended, at most so long; return at once if it has not begun."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def check(self) -> None:
        """Return at once, unless it was told to stop.

        Raises:
            WorkStoppedError: it was told to stop.
        """
        if self._stopped.is_set():
            raise WorkStoppedError

    def _run(self) -> None:
        try:
            self._function(self)
        except WorkStoppedError:
            return
        except Exception as exc:
            # Nobody waits for a thread's error, and Python would print it with all that it names.
            _log.warning("the viewer's work beside the page ended early (%s)", type(exc).__name__)
            _log.debug("that work", exc_info=True)
