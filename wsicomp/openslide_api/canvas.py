"""Paints tiles on a region's canvas exactly as OpenSlide does, to the last bit.

OpenSlide paints each tile with cairo, from the last one to the first, with the operator SATURATE on a
transparent canvas. A tile at a whole pixel is copied; one between pixels, as on levels whose downsample is
not a whole number, is sampled bilinearly by pixman in 32-bit floats. Both are done here in the same order and
precision, so that a region is equal to OpenSlide's, seams of tiles too.

Source: openslide 4.0.1 `openslide-grid.c`, `openslide.c`; cairo 1.18 `cairo-matrix.c` (24.8 and 16.16 fixed
point); pixman `pixman-bits-image.c`, `pixman-combine-float.c`. `tests/openslide_api/` holds it to OpenSlide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size, TileGrid
from wsicomp.slide import Rgba

Canvas: TypeAlias = NDArray[np.uint8]
"""(rows, columns, 4) uint8 RGBA, or (rows, columns, 3) uint8 RGB."""

Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.intp]

_ONE, _FULL, _MOST = np.float32(1), np.float32(256), np.float32(255)
_UNIT = _FULL * (_ONE / _MOST)
"""A grey level on a scale on which 256 is full, by which pixman makes bytes of floats."""
_BAND_ROWS = 32
"""The rows that are sampled at once, few enough for the processor's cache."""


class Placement(NamedTuple):
    """A tile on a canvas."""

    column: int
    """Its column in the level's grid."""
    row: int
    """Its row in the level's grid."""
    x: float
    """The column of the canvas, in pixels, at which its upper left corner lies."""
    y: float
    """The row of the canvas, in pixels, at which its upper left corner lies."""

    @property
    def is_whole(self) -> bool:
        """Whether cairo takes the corner for a whole pixel of the canvas."""
        return _is_whole(-self.x) and _is_whole(-self.y)

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of the corner as whole pixels."""
        return -math.ceil(-self.x - 0.5), -math.ceil(-self.y - 0.5)


def placements(grid: TileGrid, x: float, y: float, size: Size) -> list[Placement]:
    """Return the tiles under a canvas, the last one first.

    The upper left corner of the canvas lies at (x, y) in the level's own pixels, between pixels or on one.
    """
    wide, high = float(grid.tile.width), float(grid.tile.height)
    first_column, first_row = int(x / wide), int(y / high)
    if first_column >= grid.columns or first_row >= grid.rows:
        return []
    end_column = min(math.ceil((x + size.width) / wide), grid.columns)
    end_row = min(math.ceil((y + size.height) / high), grid.rows)
    left, top = x - first_column * wide, y - first_row * high
    return [
        Placement(column, row, (column - first_column) * wide - left, (row - first_row) * high - top)
        for row in range(end_row - 1, first_row - 1, -1)
        for column in range(end_column - 1, first_column - 1, -1)
    ]


def are_cover(canvas: Canvas, grid: TileGrid, places: Sequence[Placement]) -> bool:
    """Return whether tiles at whole pixels, each of `placements`, cover the canvas."""
    if not places:
        return False
    x, y = places[-1].corner
    right = x - places[-1].column * grid.tile.width + grid.size.width
    bottom = y - places[-1].row * grid.tile.height + grid.size.height
    return right >= canvas.shape[1] and bottom >= canvas.shape[0]


def lay(canvas: Canvas, tile: Rgba, place: Placement) -> None:
    """Copy a tile, opaque and cut at the level's edge, to a whole pixel of a canvas of RGBA or RGB."""
    x, y = place.corner
    rows, columns = canvas.shape[:2]
    top, bottom = max(0, y), min(rows, y + tile.shape[0])
    left, right = max(0, x), min(columns, x + tile.shape[1])
    if top < bottom and left < right:
        part = canvas[top:bottom, left:right]
        pixels = tile[top - y : bottom - y, left - x : right - x]
        if canvas.shape[2] == 3:
            cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB, dst=part)
        else:
            part[:] = pixels


def _is_whole(offset: float) -> bool:
    """Return whether cairo takes an offset for a whole number of pixels: in 24.8 fixed point."""
    return math.floor(offset * 256 + 0.5) % 256 == 0


def blend_inside(canvas: Rgba, tile: Rgba, place: Placement) -> None:
    """Paint a tile that lies between pixels, but for the pixels where it meets others.

    The tile is opaque and cut at the level's edge. Those pixels are no other tile's: any order will do.
    """
    (left, right_weight), (top, lower_weight) = _fixed(-place.x), _fixed(-place.y)
    # Canvas pixel (column, row) is sampled from the tile's pixels at (column + left, row + top) and beyond.
    first_column, end_column = max(0, -left), min(canvas.shape[1], tile.shape[1] - 1 - left)
    first_row, end_row = max(0, -top), min(canvas.shape[0], tile.shape[0] - 1 - top)
    if first_column >= end_column:
        return
    for row in range(first_row, end_row, _BAND_ROWS):
        end = min(row + _BAND_ROWS, end_row)
        pixels = tile[row + top : end + top + 1, first_column + left : end_column + left + 1]
        sampled = _sampled(pixels, right_weight, lower_weight)
        if (opacity := sampled[0, 0, 3]) > _FULL:
            sampled *= _FULL / opacity
        canvas[row:end, first_column:end_column] = np.minimum(sampled, _MOST, out=sampled)


def _sampled(pixels: Rgba, right_weight: np.float32, lower_weight: np.float32) -> Floats:
    """Return samples between pixels, a row and a column fewer, on a scale on which 256 is full."""
    rows, columns, samples = pixels.shape[0] - 1, pixels.shape[1], pixels.shape[2]
    # Row after row as one line, which numpy goes through fastest; the end of each row is left out.
    line = np.multiply(pixels, _UNIT, dtype=np.float32).reshape(-1)
    below, count = columns * samples, rows * columns * samples - samples
    found = np.empty((rows, columns, samples), np.float32)
    sampled, part = found.reshape(-1)[:count], np.empty(count, np.float32)
    np.multiply(line[:count], (_ONE - right_weight) * (_ONE - lower_weight), out=sampled)
    for offset, weight in (
        (samples, right_weight * (_ONE - lower_weight)),
        (below, (_ONE - right_weight) * lower_weight),
        (below + samples, right_weight * lower_weight),
    ):
        sampled += np.multiply(line[offset : offset + count], weight, out=part)
    return found[:, :-1]


def blend_border(canvas: Rgba, tile: Rgba, place: Placement) -> None:
    """Paint the pixels that `blend_inside` leaves out, tile by tile in the order of `placements`."""
    (left, right_weight), (top, lower_weight) = _fixed(-place.x), _fixed(-place.y)
    rows, columns = _border(canvas, tile, left, top)
    if not len(rows):
        return
    around = np.zeros((tile.shape[0] + 2, tile.shape[1] + 2, 4), np.uint8)
    around[1:-1, 1:-1] = tile
    y, x = rows + (top + 1), columns + (left + 1)
    corners = np.stack([around[y, x], around[y, x + 1], around[y + 1, x], around[y + 1, x + 1]])
    sampled = _sampled(corners.reshape(2, 2, -1), right_weight, lower_weight)
    canvas[rows, columns] = _saturated(canvas[rows, columns], sampled.reshape(-1, 4))


def _border(canvas: Rgba, tile: Rgba, left: int, top: int) -> tuple[Indices, Indices]:
    """Return (rows, columns) of the canvas pixels that are sampled on both sides of a tile's edge."""
    first_column, last_column = -left - 1, tile.shape[1] - 1 - left
    first_row, last_row = -top - 1, tile.shape[0] - 1 - top
    columns = np.arange(max(0, first_column), min(canvas.shape[1], last_column + 1))
    rows = np.arange(max(0, first_row + 1), min(canvas.shape[0], last_row))
    edge_rows = [row for row in (first_row, last_row) if 0 <= row < canvas.shape[0]]
    edge_columns = [column for column in (first_column, last_column) if 0 <= column < canvas.shape[1]]
    return (
        np.concatenate([np.repeat(edge_rows, len(columns)), np.tile(rows, len(edge_columns))]).astype(
            np.intp
        ),
        np.concatenate([np.tile(columns, len(edge_rows)), np.repeat(edge_columns, len(rows))]).astype(
            np.intp
        ),
    )


def _fixed(offset: float) -> tuple[int, np.float32]:
    """Return an offset's whole part, and its fraction as pixman has it: in 16.16 fixed point."""
    whole = math.floor(offset)
    fraction = math.floor((offset - whole) * 65536 + 0.5)
    return whole + (fraction >> 16), np.float32(fraction & 0xFFFF) / np.float32(65536)


def _saturated(below: Rgba, source: Floats) -> Rgba:
    """Return pixels with as much of the source as the transparency of each has room for."""
    under = np.multiply(below, _UNIT, dtype=np.float32)
    opacity = source[..., 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.clip((_FULL - under[..., 3]) / opacity, 0, 1)
    room[opacity < _FULL * np.finfo(np.float32).tiny] = _ONE
    return np.asarray(np.minimum(source * room[..., None] + under, _MOST), np.uint8)


def unpremultiplied(canvas: Rgba) -> Rgba:
    """Return the canvas itself, with its colours no longer multiplied by their opacity."""
    # All four bytes of a pixel at once: to look at every fourth byte takes numpy longer.
    opacity = canvas.view("<u4")[..., 0] >> 24
    partly = (opacity != 255) & (opacity != 0)
    if partly.any():
        part = canvas[partly].astype(np.uint16)
        canvas[partly, :3] = (part[:, :3] * 255 // part[:, 3:]).astype(np.uint8)
    return canvas
