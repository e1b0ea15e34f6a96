"""The levels of a DICOM whole slide as encoded tiles, or in words why a level has none that can be copied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import SlideReadError
from wsicomp.formats.dicom.frames import FrameFiles
from wsicomp.formats.dicom.instance import FrameHeader, read_frame_header, read_frame_table
from wsicomp.formats.slide_files import slide_parts
from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.stored_encodings import odd_jpeg2000, stored_encoding
from wsicomp.geometry import Size, TileGrid
from wsicomp.slide import APERIO_JPEG2000_RGB, JPEG, RGB, YCBCR, TileEncoding

_JPEG, _JPEG2000 = "1.2.840.10008.1.2.4.50", ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_NATIVE = "1.2.840.10008.1.2.1"
_ENCODINGS = {
    (_JPEG, "YBR_FULL_422"): TileEncoding(JPEG, YCBCR),
    (_JPEG, "RGB"): TileEncoding(JPEG, RGB),
    # OpenJPEG undoes ICT and RCT: decoded samples are RGB.
    **{
        (syntax, photometric): TileEncoding(APERIO_JPEG2000_RGB, RGB)
        for syntax in _JPEG2000
        for photometric in ("RGB", "YBR_ICT", "YBR_RCT")
    },
}
_MOST_TILES = 1 << 24
_EIGHT_BITS = (3, 8)


class _NotPlainError(ValueError):
    """The frames of a level cannot be copied; the message says in words what they are."""


def dicom_tiles(path: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return the tiles of each level of the slide that `path` belongs to, or in words what they are.

    `sizes` are those of the levels in OpenSlide.

    Memory: 16 bytes a tile, and 32 bytes a frame while a file is read.

    Raises:
        SlideReadError: the slide's files cannot be listed.
    """
    levels: dict[Size, list[FrameHeader]] = {}
    seen: set[str] = set()
    for part in sorted(slide_parts(path), key=lambda part: part != path):
        try:
            header = read_frame_header(part)
        except (ValueError, OSError):
            continue  # a label's, or OpenSlide refuses the slide
        if header.is_level and header.uid not in seen:
            levels.setdefault(header.matrix, []).append(header)
        seen.add(header.uid)
    return [_tiles(levels[size]) if size in levels else "DICOM frames not found" for size in sizes]


def _tiles(headers: Sequence[FrameHeader]) -> StoredTiles | str:
    """Return the tiles of the level in these files, or what its frames are."""
    headers = sorted(headers, key=lambda header: header.first)
    try:
        encoding = _stated_encoding(headers)
        file = FrameFiles([header.path for header in headers])
    except _NotPlainError as exc:
        return str(exc)
    except OSError as exc:
        return f"DICOM frames in a file that cannot be read ({exc.strerror})"
    try:
        return _completed(StoredTiles(file, headers[0].tile, encoding, _ranges(headers, file.bases)))
    except (ValueError, OSError) as exc:
        file.close()
        return str(exc) if isinstance(exc, _NotPlainError) else f"DICOM frames not found ({_reason(exc)})"


def _reason(exc: ValueError | OSError) -> str:
    return exc.message if isinstance(exc, SlideReadError) else str(exc)


def _stated_encoding(headers: Sequence[FrameHeader]) -> TileEncoding:
    """Return the encoding that the headers state.

    Raises:
        _NotPlainError: they state none that TIFF has, or differ.
    """
    first = headers[0]
    if first.syntax == _NATIVE:
        raise _NotPlainError("uncompressed DICOM frames")
    if any(header.planes != 1 for header in headers):
        raise _NotPlainError("DICOM frames of several focal planes or optical paths")
    if len(headers) > 1 and not all(
        header.concatenation and header.concatenation == first.concatenation for header in headers
    ):
        raise _NotPlainError("DICOM frames of several images of one size")
    forms = {(one.syntax, one.photometric, one.samples, one.tile, one.is_full) for one in headers}
    encoding = _ENCODINGS.get((first.syntax, first.photometric))
    if encoding is None or len(forms) > 1 or first.samples != _EIGHT_BITS:
        raise _NotPlainError(f"DICOM frames of {first.photometric} in transfer syntax {first.syntax}")
    if min(first.tile.shape) < 1 or TileGrid(first.matrix, first.tile).count > _MOST_TILES:
        raise _NotPlainError(f"DICOM frames of {first.tile} px on {first.matrix} px")
    return encoding


def _ranges(headers: Sequence[FrameHeader], bases: Sequence[int]) -> NDArray[np.int64]:
    """Return (tiles, 2): offset and byte count of each tile's span in all files, 0 where there is no frame.

    Raises:
        _NotPlainError: frames do not stand on one grid, each in a cell of its own.
        ValueError: a file is damaged.
    """
    grid = TileGrid(headers[0].matrix, headers[0].tile)
    ranges = np.zeros((grid.count, 2), np.int64)
    taken = np.zeros(grid.count, bool)
    for header, base in zip(headers, bases, strict=False):
        table = read_frame_table(header)
        numbers = _numbers(header, table.places, grid)
        if len(np.unique(numbers)) < len(numbers) or taken[numbers].any():
            raise _NotPlainError("DICOM frames of which several have one place")
        taken[numbers] = True
        ranges[numbers] = table.spans + np.array([base, 0])
    if headers[0].is_full and not taken.all():
        raise _NotPlainError(f"DICOM frames of which {np.count_nonzero(~taken)} are missing")
    return ranges


def _numbers(header: FrameHeader, places: NDArray[np.int64], grid: TileGrid) -> NDArray[np.int64]:
    """Return the raster number of each frame's cell.

    Raises:
        _NotPlainError: a frame stands beside the grid, or there are more than it has cells.
    """
    if header.is_full:
        if header.first < 0 or header.first + header.frames > grid.count:
            raise _NotPlainError(f"more DICOM frames than the {grid.count} cells of their grid")
        return np.arange(header.first, header.first + header.frames)
    sides = np.array([grid.tile.width, grid.tile.height])
    cells, beside = np.divmod(places, sides)
    if len(places) != header.frames or beside.any():
        raise _NotPlainError("DICOM frames that stand off a plain grid")
    if cells.min() < 0 or (cells >= (grid.columns, grid.rows)).any():
        raise _NotPlainError("DICOM frames that stand beyond their level")
    return np.asarray(cells[:, 1] * grid.columns + cells[:, 0], np.int64)


def _completed(tiles: StoredTiles) -> StoredTiles:
    """Return the tiles with the encoding that their streams state.

    Raises:
        _NotPlainError: the streams are not what the header states.
        SlideReadError: none of them has a sound header.
    """
    odd = odd_jpeg2000(tiles.file, tiles)
    if odd:
        raise _NotPlainError(odd)
    encoding = stored_encoding(tiles.file, tiles, "DICOM frames")
    return StoredTiles(tiles.file, tiles.tile, encoding, tiles.ranges)
