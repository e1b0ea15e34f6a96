"""Voxels as numbers in a text, as NRRD's encoding `ascii` has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import VolumeReadError

_LONGEST = 1 << 10
"""Letters of one number."""


def numbers_of(text: Iterable[bytes], dtype: np.dtype[Any], path: Path) -> Iterator[bytes]:
    """Yield the bytes of the numbers in a text that comes in pieces; spaces and line ends part them.

    Raises:
        VolumeReadError: something is no number, or none that `dtype` holds.
    """
    left, place = b"", 0
    for piece in text:
        data = left + piece
        words = data.split()
        left = words.pop() if words and not data[-1:].isspace() else b""
        if len(left) > _LONGEST:
            raise _no_number(left, dtype, place, path)
        if words:
            yield _values(words, dtype, place, path).tobytes()
        place += len(words)
    if left:
        yield _values([left], dtype, place, path).tobytes()


def numbers_text(rows: NDArray[Any], in_rows: bool) -> bytes:
    """Return (rows, columns) numbers as text: a row of them a line, or one a line, as pynrrd writes them.

    Integers keep every digit; pynrrd rounds those of more than 53 bits.
    """
    between = b" " if in_rows else b"\n"
    form = b"%.17g" if rows.dtype.kind == "f" else b"%d"
    return b"".join(between.join(form % value for value in row) + b"\n" for row in rows.tolist())


def _values(words: list[bytes], dtype: np.dtype[Any], place: int, path: Path) -> NDArray[Any]:
    found = [_number(word, dtype) for word in words]
    if None in found:
        wrong = found.index(None)
        raise _no_number(words[wrong], dtype, place + wrong, path)
    with np.errstate(over="ignore"):  # a float too large for dtype is infinite, as pynrrd has it
        return np.array(found, np.float64 if dtype.kind == "f" else dtype).astype(dtype)


def _number(word: bytes, dtype: np.dtype[Any]) -> float | None:
    """Return the number; None if it is none, or none that `dtype` holds."""
    try:
        if b"_" in word:  # Python reads 1_000
            return None
        if dtype.kind == "f":
            return float(word)
        found, bounds = int(word), np.iinfo(dtype)
    except ValueError:
        return None
    return found if bounds.min <= found <= bounds.max else None


def _no_number(word: bytes, dtype: np.dtype[Any], place: int, path: Path) -> VolumeReadError:
    found = word[:20].decode("ascii", "replace")
    return VolumeReadError(
        f"{found!r} is no {dtype.name}; get another copy of the file", path, f"voxel {place}"
    )
