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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size, TileGrid
from wsicomp.slide import Pixels

Rgba = NDArray[np.uint8]
"""(rows, columns, 4) uint8."""

Floats = NDArray[np.float32]

_UNIT = np.float32(1) / np.float32(255)
_ONE = np.float32(1)


@dataclass(frozen=True)
class Placement:
    """A tile on a canvas."""

    column: int
    """Its column in the level's grid."""
    row: int
    """Its row in the level's grid."""
    x: float
    """The column of the canvas, in pixels, at which its upper left corner lies."""
    y: float
    """The row of the canvas, in pixels, at which its upper left corner lies."""


def placements(grid: TileGrid, x: float, y: float, size: Size) -> Iterator[Placement]:
    """Yield the tiles under a canvas, the last one first.

    The upper left corner of the canvas lies at (x, y) in the level's own pixels, between pixels or on one.
    """
    wide, high = float(grid.tile.width), float(grid.tile.height)
    first_column, first_row = int(x / wide), int(y / high)
    if first_column >= grid.columns or first_row >= grid.rows:
        return
    end_column = min(math.ceil((x + size.width) / wide), grid.columns)
    end_row = min(math.ceil((y + size.height) / high), grid.rows)
    left, top = x - first_column * wide, y - first_row * high
    for row in range(end_row - 1, first_row - 1, -1):
        for column in range(end_column - 1, first_column - 1, -1):
            yield Placement(
                column, row, (column - first_column) * wide - left, (row - first_row) * high - top
            )


def paint(canvas: Rgba, tile: Pixels, x: float, y: float) -> None:
    """Paint a tile at (x, y) of a canvas of premultiplied RGBA, in the level's pixels.

    The tile is RGB and cut at the level's edge.
    """
    if _is_whole(-x) and _is_whole(-y):
        _copy(canvas, tile, -math.ceil(-x - 0.5), -math.ceil(-y - 0.5))
    else:
        _blend(canvas, tile, x, y)


def _is_whole(offset: float) -> bool:
    """Return whether cairo takes an offset for a whole number of pixels: in 24.8 fixed point."""
    return math.floor(offset * 256 + 0.5) % 256 == 0


def _copy(canvas: Rgba, tile: Pixels, x: int, y: int) -> None:
    rows, columns = canvas.shape[:2]
    top, bottom = max(0, y), min(rows, y + tile.shape[0])
    left, right = max(0, x), min(columns, x + tile.shape[1])
    if top < bottom and left < right:
        part = canvas[top:bottom, left:right]
        pixels = tile[top - y : bottom - y, left - x : right - x]
        # Of an opaque tile SATURATE takes only what is still missing to full opacity.
        covered = part[..., 3].any()
        if covered:
            _saturate(part, _as_floats(pixels))
        else:
            part[..., :3], part[..., 3] = pixels, 255


def _blend(canvas: Rgba, tile: Pixels, x: float, y: float) -> None:
    rows, columns = canvas.shape[:2]
    (left, right_weight), (top, lower_weight) = _fixed(-x), _fixed(-y)
    # Canvas pixel (column, row) is sampled from the tile's pixels at (column + left, row + top) and beyond.
    first_column, end_column = max(0, -left - 1), min(columns, tile.shape[1] - left)
    first_row, end_row = max(0, -top - 1), min(rows, tile.shape[0] - top)
    if first_column >= end_column or first_row >= end_row:
        return
    height, width = end_row - first_row, end_column - first_column
    source = np.zeros((height + 1, width + 1, 4), np.float32)
    y0, x0 = first_row + top, first_column + left
    part = tile[max(0, y0) : y0 + height + 1, max(0, x0) : x0 + width + 1]
    target = source[max(0, -y0) :, max(0, -x0) :][: part.shape[0], : part.shape[1]]
    np.multiply(part, _UNIT, out=target[..., :3], dtype=np.float32)
    target[..., 3] = _ONE
    sampled = source[:-1, :-1] * ((_ONE - right_weight) * (_ONE - lower_weight))
    sampled += source[:-1, 1:] * (right_weight * (_ONE - lower_weight))
    sampled += source[1:, :-1] * ((_ONE - right_weight) * lower_weight)
    sampled += source[1:, 1:] * (right_weight * lower_weight)
    _saturate(canvas[first_row:end_row, first_column:end_column], sampled)


def _fixed(offset: float) -> tuple[int, np.float32]:
    """Return an offset's whole part, and its fraction as pixman has it: in 16.16 fixed point."""
    whole = math.floor(offset)
    fraction = math.floor((offset - whole) * 65536 + 0.5)
    return whole + (fraction >> 16), np.float32(fraction & 0xFFFF) / np.float32(65536)


def _as_floats(pixels: Pixels) -> Floats:
    floats = np.ones((*pixels.shape[:2], 4), np.float32)
    np.multiply(pixels, _UNIT, out=floats[..., :3], dtype=np.float32)
    return floats


def _saturate(canvas: Rgba, source: Floats) -> None:
    """Add as much of the source as each pixel's transparency has room for."""
    below = canvas.astype(np.float32) * _UNIT
    opacity = source[..., 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.clip((_ONE - below[..., 3]) / opacity, 0, 1)
    room[opacity < np.finfo(np.float32).tiny] = _ONE
    source = source * room[..., None]
    source += below
    values = (np.minimum(source, _ONE) * np.float32(256)).astype(np.uint16)
    canvas[:] = values - (values >> 8)


def unpremultiplied(canvas: Rgba) -> Rgba:
    """Return the canvas itself, with its colours no longer multiplied by their opacity."""
    alpha = canvas[..., 3]
    partly = (alpha != 255) & (alpha != 0)
    if partly.any():
        part = canvas[partly].astype(np.uint16)
        canvas[partly, :3] = (part[:, :3] * 255 // part[:, 3:]).astype(np.uint8)
    return canvas
