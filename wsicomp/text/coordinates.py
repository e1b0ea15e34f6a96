"""Coordinates as people type them: "1200,800"."""

from __future__ import annotations

import math


def coordinates(text: str, count: int) -> tuple[float, ...]:
    """Return the numbers of a text that separates them by commas.

    >>> coordinates("1200, 800", 2)
    (1200.0, 800.0)

    Raises:
        ValueError: there are not `count` finite numbers.
    """
    found = tuple(float(part) for part in text.split(","))
    if len(found) != count or not all(math.isfinite(each) for each in found):
        raise ValueError(f"{len(found)} numbers, expected {count} finite ones")
    return found
