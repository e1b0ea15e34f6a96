"""Progress: how far each stage of a run is, and how long it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeAlias, TypeVar

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (stage, items done, items in all).

Stages are "identify", "overview", "segment", "survey", "write" and "verify".
"""

StageProgress: TypeAlias = Callable[[int, int], None]
"""Called with (items done, items in all) of one stage."""


_LOG = logging.getLogger("wsicomp")

Params = ParamSpec("Params")
Result = TypeVar("Result")


class _RaisedOutside(BaseException):
    """Carries an exception of the caller's callback past all our handlers; `owner` takes it out again."""

    def __init__(self, error: Exception, owner: object) -> None:
        super().__init__(error)
        self.error = error
        self.owner = owner


def progress_raises_through(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Decorate a function so that an exception of its `on_progress` argument reaches the caller unchanged.

    Otherwise an OSError or ValueError of the callback could pass for a full disk or a damaged file.
    """
    form = signature(function)

    @wraps(function)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        given = form.bind(*args, **kwargs)
        callback = given.arguments.get("on_progress")
        if callback is None:
            return function(*args, **kwargs)
        owner = object()

        def carried(*values: Any) -> None:
            try:
                callback(*values)
            except Exception as exc:
                raise _RaisedOutside(exc, owner) from exc

        given.arguments["on_progress"] = carried
        try:
            return function(*given.args, **given.kwargs)
        except _RaisedOutside as exc:
            if exc.owner is not owner:
                raise
            error = exc.error
        raise error

    return wrapped


def no_progress(done: int, total: int) -> None:
    """Do nothing: the callback for a step that reports no progress of its own."""


class Stages:
    """The stages of a run: passes their progress on and measures their time."""

    def __init__(self, on_progress: Progress | None = None) -> None:
        self.elapsed_s: dict[str, float] = {}
        self._on_progress = on_progress

    @contextmanager
    def stage(self, name: str) -> Iterator[StageProgress]:
        """Time a `with` block as the stage `name`, and give it the callback for its progress.

        >>> stages = Stages()
        >>> with stages.stage("write") as on_progress:
        ...     on_progress(1, 1)
        >>> list(stages.elapsed_s)
        ['write']
        """

        def progress(done: int, total: int) -> None:
            if self._on_progress is not None:
                self._on_progress(name, done, total)

        start = time.perf_counter()
        _LOG.debug("%s begins", name)
        try:
            yield progress
        finally:
            self.elapsed_s[name] = time.perf_counter() - start
            _LOG.debug("%s ends after %.2f s", name, self.elapsed_s[name])


def utc_now() -> str:
    """Return the time in UTC as ISO 8601, to the second: `"2026-01-31T12:00:00+00:00"`."""
    return datetime.now(UTC).isoformat(timespec="seconds")
