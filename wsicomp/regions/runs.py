"""Run-length encoded masks of COCO: the lengths of runs of 0 and 1 in turn, down one column after another.

The lengths are a list, or a text that packs them: five bits in a character, the lowest first, each length
after the third as its difference from the last but one. Nothing that a file says is trusted: lengths must be
0 or more and sum up to the size.

Source: cocoapi, common/maskApi.c (rleFrString).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Size

Bounds = NDArray[np.int64]
"""(runs,) int64: where each run ends, counted down the columns from 0; the first run is of 0."""

_MOST_PX = 1 << 33
_MOST_CHARACTERS = 8
"""Characters of a length: 40 bits."""


def bounds_of(segmentation: Any) -> tuple[Bounds, Size]:
    """Return the runs and the size of a mask: of run lengths with `size` and `counts`, or of rows of 0 and 1.

    Raises:
        MaskError: the lengths are none, or do not sum up to the size.
    """
    if isinstance(segmentation, list):
        return _of_rows(segmentation)
    size, counts = segmentation["size"], segmentation["counts"]
    height, width = _whole(size)
    lengths = _unpacked(counts) if isinstance(counts, str | bytes) else _listed(counts)
    total = height * width
    if len(lengths) and (lengths.min() < 0 or lengths.max() > total):
        raise MaskError(f"a run of {int(lengths.min())} to {int(lengths.max())} px in a mask of {total} px")
    found = int(lengths.sum())
    if found != total or len(lengths) > 2 * total + 2:
        raise MaskError(
            f"the counts sum up to {found}, expected {height} x {width} = {total}; export it again"
        )
    return np.cumsum(lengths), Size(width, height)


class RunRows:
    """Masks of run lengths, joined, as a picture of their columns: row `i` is column `i` of the masks.

    Memory: the runs, and the rows asked for.
    """

    def __init__(self, masks: Sequence[Bounds], size: Size) -> None:
        self._masks, self._column = masks, size.height
        self._size = Size(size.height, size.width)

    @property
    def size(self) -> Size:
        return self._size

    def rows(self, top: int, bottom: int) -> NDArray[np.bool_]:
        start, end = top * self._column, bottom * self._column
        joined = np.zeros(end - start, np.bool_)
        for bounds in self._masks:
            first, last = np.searchsorted(bounds, [start, end], "right")
            if first == last and not first & 1:
                continue
            edges = np.clip(np.concatenate([[start], bounds[first:last], [end]]), start, end)
            joined |= np.repeat((np.arange(first, last + 1) & 1).astype(np.bool_), np.diff(edges))
        return joined.reshape(bottom - top, self._column)


def box_of(bounds: Bounds, height: int) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of what a mask holds; None of an empty one."""
    starts, ends = bounds[:-1:2], bounds[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return None
    is_long = starts // height != (ends - 1) // height  # such a run reaches a column's ends
    top = 0 if is_long.any() else int((starts % height).min())
    bottom = height if is_long.any() else int(((ends - 1) % height).max()) + 1
    return int(starts[0] // height), top, int((ends[-1] - 1) // height) + 1, bottom


def by_rows(bounds: Bounds, size: Size) -> Bounds:
    """Return the bounds of the mask that the lengths make along rows: to find such a mistake."""
    flat = RunRows([bounds], Size(1, size.width * size.height)).rows(0, 1)
    return _of_flat(flat.reshape(size.shape).T.ravel())


def _of_rows(rows: list[Any]) -> tuple[Bounds, Size]:
    pixels = np.array(rows)
    if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind not in "biuf":
        raise MaskError(f"a mask of shape {pixels.shape}, expected rows and columns of 0 and 1")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise MaskError("a mask with NaN, expected 0 and 1")
    return _of_flat((pixels != 0).T.ravel()), Size(pixels.shape[1], pixels.shape[0])


def _of_flat(flat: NDArray[np.bool_]) -> Bounds:
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return np.concatenate([[0] if flat[0] else [], changes, [len(flat)]]).astype(np.int64)


def _whole(size: Any) -> tuple[int, int]:
    is_pair = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not is_pair or min(size) < 1 or size[0] * size[1] > _MOST_PX:
        raise MaskError(f"a mask without a sound size, expected [height, width] of at most {_MOST_PX} px")
    return size[0], size[1]


def _listed(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise MaskError("counts that are no whole numbers, expected a list of them, or COCO's text")
    if counts and max(map(abs, counts)) > _MOST_PX:
        raise MaskError(f"a run of over {_MOST_PX} px")
    return np.array(counts, np.int64)


def _unpacked(text: str | bytes) -> NDArray[np.int64]:
    """Return the lengths in a text, each still checked by nobody."""
    octets = np.frombuffer(text if isinstance(text, bytes) else text.encode("utf-8"), np.uint8)
    codes = octets.astype(np.int64) - 48
    is_last = (codes & 0x20) == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not is_last[-1]:
        raise MaskError("a text of counts that is cut off or none of COCO's; export it again")
    ends = np.flatnonzero(is_last)
    begins = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - begins + 1
    if digits.max() > _MOST_CHARACTERS:
        raise MaskError(f"a run of over {_MOST_PX} px")
    place = np.arange(len(codes)) - np.repeat(begins, digits)
    lengths = np.add.reduceat((codes & 0x1F) << (5 * place), begins)
    lengths -= np.where(codes[ends] & 0x10, 1 << (5 * digits), 0)
    for first in (1, 2):  # the third length is stored as it is, each later one as a difference
        lengths[first::2] = np.cumsum(lengths[first::2])
    return np.asarray(lengths)
