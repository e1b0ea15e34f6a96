"""Rows of letters as run lengths, in which a plan states its tiles: `"12C3B"`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import TileGrid


def run_lengths(letters: NDArray[np.str_]) -> Iterator[str]:
    """Yield each row of letters as run lengths.

    >>> list(run_lengths(np.array([["C", "C", "B"]])))
    ['2C1B']
    """
    return ("".join(f"{len(list(run))}{letter}" for letter, run in groupby(row)) for row in letters)


def expanded(rows: Sequence[str], grid: TileGrid, letters: str) -> NDArray[np.str_]:
    """Return the (rows, columns) of letters that a file states for the tiles of a grid.

    >>> from wsicomp.geometry import Size
    >>> expanded(["2C1B"], TileGrid(Size(3, 1), Size(1, 1)), "CB").tolist()
    [['C', 'C', 'B']]

    Raises:
        ValueError: the runs do not fill the grid, or have other letters.
    """
    if len(rows) != grid.rows:
        raise ValueError(f"{len(rows)} rows of tiles, expected {grid.rows}")
    return np.array([_expanded(row, grid.columns, letters) for row in rows])


def _expanded(row: str, columns: int, letters: str) -> NDArray[np.str_]:
    if len(row) > 2 * columns:  # as long as a row of runs of one tile each
        raise ValueError(f"runs {row[:40]!r} do not fill {columns} columns")
    runs = [(int(length), letter) for length, letter in re.findall(rf"(\d+)([{letters}])", row)]
    if sum(length for length, _ in runs) != columns or "".join(f"{n}{letter}" for n, letter in runs) != row:
        raise ValueError(f"runs {row[:40]!r} do not fill {columns} columns")
    return np.repeat([letter for _, letter in runs], [length for length, _ in runs])
