"""The stages of a run: how far each one is, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage ("identify", "overview", "segment", "survey", "write", "verify"), what is done of it,
its total."""

StageProgress: TypeAlias = Callable[[int, int], None]
"""Called with what is done of one stage, and its total."""


def untold(done: int, total: int) -> None:
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
