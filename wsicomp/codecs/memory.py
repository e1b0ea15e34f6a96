"""What codecs made of tiles, remembered while a setting is sought, on which most of it does not depend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Memory:
    """The results by their keys; None while nothing is remembered."""

    results: dict[Hashable, Any] | None = None


@contextmanager
def remembering() -> Iterator[None]:
    """Keep what `remembered` makes in this process until the outermost such block ends.

    Memory: of neural codecs two megabytes and more for each tile of 256 x 256 px.
    """
    before = _Memory.results
    _Memory.results = {} if before is None else before
    try:
        yield
    finally:
        _Memory.results = before


def remembered(
    items: Sequence[Item], key: Callable[[Item], Hashable], make: Callable[[list[Item]], Sequence[Result]]
) -> list[Result]:
    """Return `make(items)`, where what is remembered by its key is not made again.

    `make` returns a result for each item that it is given, by the item alone.

    >>> with remembering():
    ...     [remembered([3, 3, -3], abs, lambda left: [print(left) or each * each for each in left])]
    [3]
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
