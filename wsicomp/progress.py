"""The stages of a run: how far each one is, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeAlias, TypeVar

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage ("identify", "overview", "segment", "survey", "write", "verify"), what is done of it,
its total."""

StageProgress: TypeAlias = Callable[[int, int], None]
"""Called with what is done of one stage, and its total."""


Params = ParamSpec("Params")
Result = TypeVar("Result")


class _RaisedOutside(BaseException):
    """Carries what a callback raised past every handler of errors of our own making; `owner` unpacks it."""

    def __init__(self, error: Exception, owner: object) -> None:
        super().__init__(error)
        self.error = error
        self.owner = owner


def progress_raises_through(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Let what a function's `on_progress` raises come out of it as itself: it is the caller's own error.

    Else it could be taken for one of a disk or of a damaged file, as an `OSError` or a `ValueError` is.
    """
    form = signature(function)

    @wraps(function)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        given = form.bind(*args, **kwargs)
        told = given.arguments.get("on_progress")
        if told is None:
            return function(*args, **kwargs)
        owner = object()

        def carried(*values: Any) -> None:
            try:
                told(*values)
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
    """The progress of what is part of something longer: nobody is told."""


class Stages:
    """Passes progress on and keeps the seconds of each stage in `elapsed_s`, in the order they ran."""

    def __init__(self, on_progress: Progress | None = None) -> None:
        self.elapsed_s: dict[str, float] = {}
        self._on_progress = on_progress

    @contextmanager
    def stage(self, name: str) -> Iterator[StageProgress]:
        """Time what happens inside, and hand in a callback for its progress."""

        def progress(done: int, total: int) -> None:
            if self._on_progress is not None:
                self._on_progress(name, done, total)

        start = time.perf_counter()
        try:
            yield progress
        finally:
            self.elapsed_s[name] = time.perf_counter() - start


def utc_now() -> str:
    """The time in UTC, in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
