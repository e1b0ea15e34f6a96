"""What is half-written now, so that a process that ends in the midst of its work can remove it.

A process that ends by an exception removes its half-written files itself. One that has to end at once, while
a library is at work in another thread, calls `remove_unfinished`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

_removers: list[Callable[[], object]] = []


@contextmanager
def unfinished(remove: Callable[[], object]) -> Iterator[None]:
    """While the block runs, let `remove_unfinished` call this function."""
    _removers.append(remove)
    try:
        yield
    finally:
        _removers.remove(remove)


@contextmanager
def temporary_folder(prefix: str = "wsicomp-", parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that is removed when the block ends, or the process by `remove_unfinished`."""
    with (
        TemporaryDirectory(prefix=prefix, dir=parent) as name,
        unfinished(partial(shutil.rmtree, name, ignore_errors=True)),
    ):
        yield Path(name)


def remove_unfinished() -> None:
    """Remove what is half-written, as far as the file system allows; the process has to end then."""
    for remove in reversed([*_removers]):
        with suppress(OSError, ValueError):  # a file that was closed a moment ago
            remove()
