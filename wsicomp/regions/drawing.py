"""Polygons to pixels so that nothing of them is lost: inside, and wherever the outline passes through.

All polygons of a class are drawn together, since a file has a hundred thousand of them. Each gets a rectangle
of a flat scratch picture, and each edge adds to it, row by row, where it begins to count and where it ends.
One running sum over the scratch then says how often the outline winds around each pixel.

A ring that crosses itself counts wherever it winds around (QuPath tests points like that, too). A hole counts
where a ray crosses it an odd number of times, which is the smaller reading of a hole that crosses itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError

Points = NDArray[np.float64]
"""(points, 2) float64: x and y."""
OUTER, HOLE, LINE = 0, 1, 2
"""The kinds of ring: a polygon's own, a hole in it, and a line or point, which has no inside."""

_ROUNDING = 1e-9
_MOST_CELLS, _MOST_STEPS = 4_000_000_000, 200_000_000
"""Drawing so many pixels of rectangles, or so many rows of edges, takes half a minute."""
_BATCH_CELLS = 1 << 22
_BATCH_STEPS = 1 << 20


@dataclass(frozen=True)
class Outline:
    """A polygon with its holes, or lines: rings that are drawn together."""

    rings: Sequence[Points]
    """The points of each ring; the last joins the first, but for a line's."""
    kinds: Sequence[int]
    """`OUTER`, `HOLE` or `LINE` for each ring."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn."""

    pixels: NDArray[np.bool_]
    """(rows, columns) bool: True wherever any part of a shape lies."""
    crosses_itself: bool
    """Whether an outline crosses itself, as far as the raster shows it."""


@dataclass(frozen=True)
class _Edges:
    """The edges of all shapes, each array (edges,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    to_x: NDArray[np.float64]
    to_y: NDArray[np.float64]
    kind: NDArray[np.int8]
    sign: NDArray[np.int8]
    """What an edge that goes down adds to the winding: so that the ring as a whole winds by 1, not -1."""
    shape: NDArray[np.int32]

    def part(self, chosen: slice | NDArray[np.bool_]) -> _Edges:
        return _Edges(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Blocks:
    """The rectangles of shapes in the scratch picture, each array (blocks,)."""

    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    first: int
    """The shape of the first block; each next one is that of the next shape."""

    @property
    def width(self) -> NDArray[np.int64]:
        """Columns of each in the scratch: one more than the rectangle has, where counting ends."""
        return self.right - self.left + 1

    @property
    def start(self) -> NDArray[np.int64]:
        """Where each begins in the scratch, and where the last ends."""
        return np.concatenate([[0], np.cumsum((self.bottom - self.top) * self.width)])


def draw(
    shapes: Sequence[Outline],
    rows: int,
    columns: int,
    placed: Callable[[Points], Points] = lambda points: points,
) -> Drawn:
    """Return shapes as pixels of a raster; what lies beyond it is cut.

    `placed` turns all points of the shapes at once into those of the raster.

    Memory: a byte a pixel, and 20 bytes for each of 4 million pixels of the scratch (at least one row).

    Raises:
        MaskError: they would take minutes.
    """
    pixels, crosses = np.zeros((rows, columns), np.bool_), False
    edges = _edges(shapes, placed)
    top, bottom = _extent(np.minimum(edges.y, edges.to_y), np.maximum(edges.y, edges.to_y), edges, rows)
    left, right = _extent(np.minimum(edges.x, edges.to_x), np.maximum(edges.x, edges.to_x), edges, columns)
    _check_effort(edges, top, bottom, left, right, rows)
    begins = np.searchsorted(edges.shape, np.arange(len(shapes) + 1))
    for blocks in _batches(top, bottom, left, right):
        chosen = edges.part(slice(begins[blocks.first], begins[blocks.first + len(blocks.top)]))
        if len(blocks.top) == 1:
            low = np.minimum(chosen.y, chosen.to_y) <= blocks.bottom[0]
            chosen = chosen.part(low & (np.maximum(chosen.y, chosen.to_y) >= blocks.top[0]))
        inside, is_crossed = _inside(chosen, blocks)
        crosses |= is_crossed
        _copy(inside, blocks, pixels)
    return Drawn(pixels, crosses)


def _edges(shapes: Sequence[Outline], placed: Callable[[Points], Points]) -> _Edges:
    rings = [ring for shape in shapes for ring in shape.rings]
    kinds = np.array([kind for shape in shapes for kind in shape.kinds], np.int8)
    owners = np.repeat(np.arange(len(shapes), dtype=np.int32), [len(shape.rings) for shape in shapes])
    lengths = np.array([len(ring) for ring in rings])
    points = placed(np.concatenate(rings))
    ends = np.cumsum(lengths)
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = np.where(kinds == LINE, ends - 1, ends - lengths)  # a line ends in a point
    x, y = points.T
    to_x, to_y = x[following], y[following]
    areas = np.add.reduceat(x * to_y - to_x * y, ends - lengths)
    return _Edges(
        x, y, to_x, to_y, np.repeat(kinds, lengths),
        np.repeat(np.where(areas < 0, 1, -1).astype(np.int8), lengths), np.repeat(owners, lengths),
    )  # fmt: skip


def _extent(
    least: Points, most: Points, edges: _Edges, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row or column of each shape, and one past the last, inside the raster."""
    begins = np.flatnonzero(np.diff(edges.shape, prepend=-1))
    first = np.clip(np.floor(np.minimum.reduceat(least, begins)) - 1, 0, limit)
    end = np.clip(np.floor(np.maximum.reduceat(most, begins)) + 2, 0, limit)
    return first.astype(np.int64), np.maximum(first, end).astype(np.int64)


def _check_effort(
    edges: _Edges,
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    rows: int,
) -> None:
    cells = int(((bottom - top) * (right - left + 1)).sum())
    steps = float((np.abs(np.clip(edges.y, 0, rows) - np.clip(edges.to_y, 0, rows)) + 1).sum())
    if cells > _MOST_CELLS or steps > _MOST_STEPS:
        found = "too many edges above each other" if steps > _MOST_STEPS else "too many large outlines"
        raise MaskError(f"{found} to be drawn; simplify them, or export a label image")


def _batches(
    top: NDArray[np.int64], bottom: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> Iterator[_Blocks]:
    """Yield blocks of some million cells: many shapes, or a band of rows of one."""
    ends = np.cumsum((bottom - top) * (right - left + 1))
    first = 0
    while first < len(top):
        before = ends[first - 1] if first else 0
        end = int(np.searchsorted(ends, before + _BATCH_CELLS, "right"))
        if end > first:
            part = slice(first, end)
            yield _Blocks(top[part], bottom[part], left[part], right[part], first)
        else:
            yield from _bands(top, bottom, left, right, first)
            end = first + 1
        first = end


def _bands(
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    shape: int,
) -> Iterator[_Blocks]:
    height = max(1, _BATCH_CELLS // int(right[shape] - left[shape] + 1))
    part = slice(shape, shape + 1)
    for row in range(int(top[shape]), int(bottom[shape]), height):
        end = min(row + height, int(bottom[shape]))
        yield _Blocks(np.array([row]), np.array([end]), left[part], right[part], shape)


def _inside(edges: _Edges, blocks: _Blocks) -> tuple[NDArray[np.bool_], bool]:
    """Return the cells of the scratch that shapes touch, and whether an outline crosses itself."""
    cells = int(blocks.start[-1])
    winding, holes, touched = (np.zeros(cells + 1, np.int32) for _ in range(3))
    block = edges.shape - blocks.first
    slack = np.where(edges.kind == LINE, -_ROUNDING, _ROUNDING)  # a line between two pixels is in both
    first = np.floor(np.minimum(edges.y, edges.to_y) + slack)
    last = np.ceil(np.maximum(edges.y, edges.to_y) - slack) - 1
    first = np.maximum(first, blocks.top[block]).astype(np.int64)
    last = np.minimum(last, blocks.bottom[block] - 1).astype(np.int64)
    counts = np.maximum(last - first + 1, 0)
    for part in _parts(counts):
        number = np.repeat(np.arange(part.start, part.stop), counts[part])
        begins = np.cumsum(counts[part]) - counts[part]
        row = first[number] + np.arange(len(number)) - begins[number - part.start]
        _add(edges, blocks, number, row, block[number], slack[number], (winding, holes, touched))
    wound = np.cumsum(winding[:-1], out=winding[:-1])
    inside = (wound != 0) & (np.cumsum(holes[:-1], out=holes[:-1]) & 1 == 0)
    inside |= np.cumsum(touched[:-1], out=touched[:-1]) > 0
    return inside, bool(cells) and bool(wound.min() < 0 or wound.max() > 1)


def _parts(counts: NDArray[np.int64]) -> Iterator[slice]:
    """Yield edges that together cross about a million rows."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + _BATCH_STEPS, "right")))
        yield slice(first, end)
        first = end


def _add(
    edges: _Edges,
    blocks: _Blocks,
    number: NDArray[np.int64],
    row: NDArray[np.int64],
    block: NDArray[np.int64],
    slack: Points,
    counted: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
) -> None:
    """Add steps, an edge in a row each, to the counts of winding, of holes and of touched cells."""
    winding, holes, touched = counted
    x, y = edges.x[number], edges.y[number]
    across, down = edges.to_x[number] - x, edges.to_y[number] - y
    kind, is_flat = edges.kind[number], down == 0
    slope = np.where(is_flat, 1.0, down)

    def x_at(height: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x + np.clip((height - y) / slope, 0, 1) * across)

    ends = np.where(is_flat, x, x_at(row.astype(np.float64))), np.where(is_flat, x + across, x_at(row + 1.0))
    left, right = blocks.left[block], blocks.right[block]
    offset = blocks.start[block] + (row - blocks.top[block]) * blocks.width[block] - left
    begin = np.clip(np.floor(np.minimum(*ends) + slack), left, right).astype(np.int64)
    end = np.clip(np.ceil(np.maximum(*ends) - slack), left, right).astype(np.int64)
    is_touched = end > begin
    np.add.at(touched, (offset + begin)[is_touched], 1)
    np.add.at(touched, (offset + end)[is_touched], -1)
    middle = row + 0.5
    crosses = (y <= middle) != (y + down <= middle)
    column = offset + np.clip(np.ceil(x_at(middle) - 0.5), left, right).astype(np.int64)
    turns = (np.where(down > 0, 1, -1) * edges.sign[number]).astype(np.int32)
    of_outer, of_hole = crosses & (kind == OUTER), crosses & (kind == HOLE)
    np.add.at(winding, column[of_outer], turns[of_outer])
    np.add.at(holes, column[of_hole], 1)


def _copy(inside: NDArray[np.bool_], blocks: _Blocks, pixels: NDArray[np.bool_]) -> None:
    """Set the pixels of the raster for which the scratch is True."""
    if len(blocks.top) == 1:
        whole = inside.reshape(-1, int(blocks.width[0]))[:, :-1]
        rows = slice(int(blocks.top[0]), int(blocks.bottom[0]))
        pixels[rows, int(blocks.left[0]) : int(blocks.right[0])] |= whole
        return
    cells = np.flatnonzero(inside)
    block = np.searchsorted(blocks.start[1:], cells, "right")
    row, column = np.divmod(cells - blocks.start[block], blocks.width[block])
    pixels[blocks.top[block] + row, blocks.left[block] + column] = True
