"""Find bytes that no decoder needs: shared by the modules that strip text from tiles.

Comments, application data, tables that no scan uses, foreign chunks and boxes, and everything behind the end
are removed. A tile with nothing of the kind keeps its very bytes. The caller decodes a stripped tile before
and after.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from wsicomp.slide import EncodedTile, Pixels

_WORDS = re.compile(rb"[ -~]{4,}")
_LEAST_TAIL = 4


def refuse_words(shows: Callable[[bytes], bool], cut: Callable[[int], bytes], coded: bytes) -> None:
    """Refuse a tile whose coded bytes end with words that its pixels do not need.

    `cut(count)` returns the tile with `count` bytes fewer at the end of `coded`; `shows(data)` returns
    whether the tile's pixels stay the same.

    Raises:
        ValueError: the end is not needed and holds words.
    """

    def same(count: int) -> bool:
        return shows(cut(count))

    if len(coded) <= _LEAST_TAIL or not same(_LEAST_TAIL):
        return
    spare = largest_count(same, _LEAST_TAIL, len(coded))
    if _WORDS.search(coded[len(coded) - spare :]):
        raise ValueError("words behind the coded bytes")


def decodes_alike(
    decode: Callable[[EncodedTile], Pixels], tile: EncodedTile, data: bytes
) -> Callable[[bytes], bool]:
    """Return a function that takes other bytes and returns whether they decode to the pixels of `data`.

    `tile` has the encoding and size of both.
    """
    pixels = decode(replace(tile, data=data))

    def shows(other: bytes) -> bool:
        try:
            return np.array_equal(decode(replace(tile, data=other)), pixels)
        except (ValueError, RuntimeError):
            return False

    return shows


def largest_count(holds: Callable[[int], bool], least: int, too_many: int) -> int:
    """Return, by bisection, the largest number for which `holds` is true.

    `holds(least)` is true, `holds(too_many)` is false, and no number above a false one is true.
    """
    while too_many - least > 1:
        middle = (least + too_many) // 2
        least, too_many = (middle, too_many) if holds(middle) else (least, middle)
    return least
