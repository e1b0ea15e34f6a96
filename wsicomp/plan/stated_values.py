"""Checks values that a file states: anyone can write a text into a file."""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size

Kind = TypeVar("Kind")

_LARGEST_FIGURE = 1000.0
"""The largest of a codec's figures: qualities, dB, grey levels."""
_SHA256 = re.compile("[0-9a-f]{64}")


def natural(value: object) -> int:
    """Return a count that a file states.

    >>> natural(12)
    12

    Raises:
        ValueError: the value is not a whole number in [0, 2^32).
    """
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def text(value: object) -> str:
    """Return a text that a file states.

    Raises:
        ValueError: the value is not a text.
    """
    return _typed(str, value, "not a text")


def flag(value: object) -> bool:
    """Return a yes or no that a file states.

    Raises:
        ValueError: the value is neither true nor false.
    """
    return _typed(bool, value, "neither true nor false")


def _typed(kind: type[Kind], value: object, otherwise: str) -> Kind:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} is {otherwise}")
    return value


def sha256(value: object) -> str:
    """Return a SHA-256 that a file states.

    Raises:
        ValueError: the value is not 64 hexadecimal digits.
    """
    if _SHA256.fullmatch(text(value)) is None:
        raise ValueError(f"{value!r:.40} is no SHA-256")
    return text(value)


def figure(value: object) -> float:
    """Return a number that a codec can have measured or can have as an option.

    Raises:
        ValueError: the value is not a number in [-1000, 1000].
    """
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_FIGURE:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is not a figure of a codec")
    return value  # type: ignore[return-value]


def positive(value: object) -> float:
    """Return a length, or another positive number that a file states.

    Raises:
        ValueError: the value is not a finite number over 0.
    """
    if type(value) not in (int, float) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is not a length")
    return float(value)  # type: ignore[arg-type]


def size(values: Any) -> Size:
    """Return a size that a file states as (width, height).

    Raises:
        ValueError, TypeError: the values are not two whole numbers over 0.
    """
    width, height = (natural(value) for value in values)
    if not width or not height:
        raise ValueError("a size of 0 px")
    return Size(width, height)


def expanded(row: str, columns: int, letters: str) -> NDArray[np.str_]:
    """Return a row of `columns` letters that a file states as run lengths: `"12C3B"`.

    >>> "".join(expanded("2C3B", 5, "CB"))
    'CCBBB'

    Raises:
        ValueError: the runs do not fill the row, or have other letters.
    """
    if len(row) > 2 * columns:  # as long as a row of runs of one tile each
        raise ValueError(f"runs {row[:40]!r} do not fill {columns} columns")
    runs = [(int(length), letter) for length, letter in re.findall(rf"(\d+)([{letters}])", row)]
    if sum(length for length, _ in runs) != columns or "".join(f"{n}{letter}" for n, letter in runs) != row:
        raise ValueError(f"runs {row[:40]!r} do not fill {columns} columns")
    return np.repeat([letter for _, letter in runs], [length for length, _ in runs])
