"""Images of a TIFF placed on a level, whose tiles are its tiles where all stand on one grid.

OpenSlide decides the level's size; beyond an image it is transparent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.registry import compression_name
from wsicomp.errors import SlideReadError
from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.directories import Directory, TiffFile, read_directories
from wsicomp.formats.tiff.sample_kinds import LARGEST_TILE_PX, stored_form
from wsicomp.formats.tiff.stored_encodings import stored_encoding
from wsicomp.geometry import Size, TileGrid
from wsicomp.slide import JPEG

OFF_GRID = "JPEG tiles that stand off a plain grid"
OVERLAPPING = "JPEG tiles that overlap"


class NotPlainError(ValueError):
    """The tiles of a level cannot be copied; the message says in words what they are."""


@dataclass(frozen=True)
class PlacedImage:
    """An image of a TIFF on a level."""

    directory: Directory
    """The image."""
    x: int = 0
    """The level's column at which it begins."""
    y: int = 0
    """The level's row at which it begins."""
    shown: NDArray[np.bool_] | None = field(default=None, repr=False)
    """(rows, columns): which of its tiles are shown; None for all."""


PlacedImages = Sequence[PlacedImage]
FindImages = Callable[[Sequence[Directory], Sequence[Size]], Sequence[PlacedImages]]
"""Returns the images on each level, by the directories of the main chain and the sizes of levels.

It raises ValueError where the file states none, `NotPlainError` where no level has a plain grid.
"""


def tiles_of_tiff(path: Path, sizes: Sequence[Size], find: FindImages) -> list[StoredTiles | str]:
    """Return the tiles of each level of these sizes, or in words what they are if they cannot be copied."""
    try:
        directories = read_directories(path)
        images = find(directories, sizes)
        if len(images) != len(sizes):
            raise ValueError(f"{len(images)} levels, expected {len(sizes)}")
        file = TiffFile(path)
    except NotPlainError as exc:
        return [str(exc)] * len(sizes)
    except (ValueError, LookupError, OSError) as exc:
        reason = exc.message if isinstance(exc, SlideReadError) else str(exc)
        return [f"tiles that are not found ({reason})"] * len(sizes)
    return [_tiles(file, placed, size) for placed, size in zip(images, sizes, strict=True)]


def _tiles(file: TiffFile, images: PlacedImages, size: Size) -> StoredTiles | str:
    try:
        tile = _common_tile(images)
        ranges = _placed_ranges(images, TileGrid(size, tile))
        encodings = {stored_encoding(file, image.directory, "tiles") for image in images}
    except NotPlainError as exc:
        return str(exc)
    except SlideReadError as exc:
        return f"tiles that cannot be read ({exc.message})"
    if len(encodings) > 1:
        return "JPEG tiles of several forms"
    return StoredTiles(file, tile, encodings.pop(), ranges)


def _common_tile(images: PlacedImages) -> Size:
    """Return the size of the tiles of all images.

    Raises:
        NotPlainError: an image has tiles that are no JPEG of 8-bit RGB or YCbCr, or of another size.
    """
    sizes = set()
    for image in images:
        directory = image.directory
        if directory.tile is None or not all(1 <= side <= LARGEST_TILE_PX for side in directory.tile.shape):
            raise NotPlainError(f"in tiles of {directory.tile} px")
        if directory.encoding.compression != JPEG:
            raise NotPlainError(f"tiles of {compression_name(directory.encoding.compression)}")
        if not directory.is_rgb:
            raise NotPlainError(f"JPEG tiles of {stored_form(directory)}")
        sizes.add(directory.tile)
    if len(sizes) != 1:
        raise NotPlainError("JPEG tiles of several sizes")
    return sizes.pop()


def _placed_ranges(images: PlacedImages, grid: TileGrid) -> NDArray[np.int64]:
    """Return (tiles, 2): offset and byte count of each tile of the level, 0 where nothing is shown.

    Raises:
        NotPlainError: an image stands off the level's grid, or above another.
    """
    ranges = np.zeros((grid.rows, grid.columns, 2), np.int64)
    for image in images:
        own = image.directory.grid
        _check_on_grid(image, grid)
        left, top = image.x // grid.tile.width, image.y // grid.tile.height
        stored = image.directory.ranges.reshape(own.rows, own.columns, 2)
        if image.shown is not None:
            stored = np.where(image.shown[..., None], stored, 0)
        target = ranges[top : top + own.rows, left : left + own.columns]
        if target[..., 1].any():
            raise NotPlainError(OVERLAPPING)
        target[:] = stored[: target.shape[0], : target.shape[1]]
    return ranges.reshape(-1, 2)


def _check_on_grid(image: PlacedImage, grid: TileGrid) -> None:
    """Check that an image begins at a tile of the level, and ends at one or at the level's edge.

    Raises:
        NotPlainError: it does not.
    """
    own = image.directory.size
    for first, side, whole, tile in (
        (image.x, own.width, grid.size.width, grid.tile.width),
        (image.y, own.height, grid.size.height, grid.tile.height),
    ):
        if first < 0 or first % tile or (first + side < whole and side % tile):
            raise NotPlainError(OFF_GRID)
