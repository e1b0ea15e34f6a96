"""What codecs made of tiles, remembered while a setting is sought, on which most of it does not depend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Memory:
    """The results by their keys; None while nothing is remembered."""

    results: dict[Hashable, Any] | None = None
    blocks = 0
    """How many `remembering` blocks are open, in all threads."""
    lock = Lock()


@contextmanager
def remembering() -> Iterator[None]:
    """Keep what `remembered` makes in this process until no such block of any thread is open.

    Memory: of neural codecs two megabytes and more for each tile of 256 x 256 px.
    """
    with _Memory.lock:
        _Memory.blocks += 1
        if _Memory.results is None:
            _Memory.results = {}
    try:
        yield
    finally:
        with _Memory.lock:
            _Memory.blocks -= 1
            if not _Memory.blocks:
                _Memory.results = None


def remembered(
    items: Sequence[Item], key: Callable[[Item], Hashable], make: Callable[[list[Item]], Sequence[Result]]
) -> list[Result]:
    """Return `make(items)`, where what is remembered by its key is not made again.

    `make` returns a result for each item that it is given, by the item alone.

    >>> with remembering():
    ...     [remembered([3, 3, -3], abs, lambda left: [print(left) or each * each for each in left])]
    [-3]
    [[9, 9, 9]]
    """
    results = _Memory.results
    if results is None:
        return list(make(list(items)))
    keys = [key(item) for item in items]
    left = {each: item for each, item in zip(keys, items, strict=True) if each not in results}
    if left:
        results.update(zip(left, make(list(left.values())), strict=True))
    return [results[each] for each in keys]
