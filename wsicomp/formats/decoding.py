"""Pixels of encoded tiles: decoded with errors that name the tile, and joined to regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from wsicomp.codecs.pixels import PartlyDecodedError
from wsicomp.codecs.registry import decode_tile
from wsicomp.errors import (
    CodecUnavailableError,
    DamagedTileError,
    SlideReadError,
    TileReadError,
    UnknownModelError,
    UnsupportedSlideError,
)
from wsicomp.geometry import Region, TileGrid, TileIndex
from wsicomp.slide import EncodedTile, Pixels


def decoded_tile(
    tile: EncodedTile,
    path: Path,
    index: TileIndex,
    decoder: Callable[[EncodedTile], Pixels] = decode_tile,
) -> Pixels:
    """Return what `decoder` makes of a tile of the slide at `path`.

    Raises:
        DamagedTileError: the tile decodes only in part; the error holds the decoded part.
        TileReadError: the tile cannot be decoded.
        UnsupportedSlideError: its codec or its model is not there.
    """
    try:
        return decoder(tile)
    except PartlyDecodedError as exc:
        error = DamagedTileError(f"it decodes only in part ({exc})", path, str(index))
        error.pixels = exc.pixels
        raise error from exc
    except (CodecUnavailableError, UnknownModelError, UnsupportedSlideError) as exc:
        raise UnsupportedSlideError(exc.message, path, str(index)) from exc
    except SlideReadError as exc:
        raise SlideReadError(exc.message, path, str(index)) from exc
    except (ValueError, RuntimeError) as exc:
        raise TileReadError(f"the tile does not decode ({exc})", path, str(index)) from exc


def region_of_tiles(
    grid: TileGrid, level: int, region: Region, read_tile: Callable[[TileIndex], Pixels]
) -> Pixels:
    """Return the pixels of a region in the level's own pixels, (rows, columns, 3) uint8 RGB.

    Each tile under the region is decoded once.

    Raises:
        DamagedTileError: a tile decodes only in part; the error holds the decoded part of the region.
        TileReadError: a tile cannot be decoded.
    """
    damage: DamagedTileError | None = None
    tile = grid.tile
    pixels = np.empty((*region.size.shape, 3), np.uint8)
    for index in grid.tiles_under(level, region):
        x, y = index.column * tile.width - region.x, index.row * tile.height - region.y
        try:
            whole = read_tile(index)
        except DamagedTileError as exc:
            whole, damage = exc.pixels, exc
        source = whole[max(0, -y) :, max(0, -x) :]
        target = pixels[max(0, y) : y + tile.height, max(0, x) : x + tile.width]
        target[:] = source[: target.shape[0], : target.shape[1]]
    if damage is not None:
        damage.pixels = pixels
        raise damage
    return pixels
