"""The encodings of stored tiles and strips, completed by what their streams state."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs import jpeg, jpeg2000
from wsicomp.codecs.jpeg2000_stream import BOXED
from wsicomp.codecs.jpeg_stream import FRAMES, segments
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.formats.stored_tiles import TileBytes
from wsicomp.geometry import Size
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG, TileEncoding

_SAMPLES = 16
"""The count of JPEG 2000 tiles that are examined before a level's tiles may be copied."""

_FRAME_BYTES = 10
"""The offset of the number of samples in a JPEG frame header."""


class StatedTiles(Protocol):
    """An image in tiles or strips, as its file states it."""

    @property
    def encoding(self) -> TileEncoding:
        """The stated encoding."""

    @property
    def tile(self) -> Size | None:
        """The size of a tile; None for an image in strips."""

    @property
    def ranges(self) -> NDArray[np.int64]:
        """(tiles or strips, 2): offset and byte count of each, both 0 where nothing is stored."""


def stored_encoding(file: TileBytes, directory: StatedTiles, place: str) -> TileEncoding:
    """Return the encoding of tiles or strips, completed from the headers of their streams.

    JPEG states its subsampling in the first sound stream; JPEG 2000 states whether it holds RGB where TIFF
    says YCbCr.

    Raises:
        SlideReadError: none of the JPEG streams has a sound header.
        UnsupportedSlideError: the streams hold other samples than 8-bit RGB.
    """
    encoding = directory.encoding
    stored = directory.ranges[directory.ranges[:, 1] > 0]
    if encoding.compression == APERIO_JPEG2000_YCBCR and directory.tile is not None:
        return _true_encoding(file, encoding, stored, place)
    if encoding.compression != JPEG or not len(stored):
        return encoding
    error: ValueError | UnsupportedSlideError | None = None
    for offset, count in map(np.ndarray.tolist, stored):
        stream = file.read(offset, count, place)
        try:
            _check_samples(stream, file.path, place)
            subsampling = jpeg.frame_subsampling(stream)
        except (ValueError, UnsupportedSlideError) as exc:
            error = error or exc
        else:
            return TileEncoding(
                JPEG, encoding.photometric, subsampling, encoding.predictor, encoding.jpeg_tables
            )
    if isinstance(error, UnsupportedSlideError):
        raise error
    raise SlideReadError(f"damaged JPEG ({error})", file.path, place) from error


def _check_samples(stream: bytes, path: Path, place: str) -> None:
    """Refuse JPEG whose samples differ from the tags of its level.

    Raises:
        UnsupportedSlideError: it has not 3 samples of 8 bits.
        ValueError: the stream is damaged.
    """
    for marker, start, end in segments(stream):
        if marker in FRAMES and end - start >= _FRAME_BYTES:
            bits, samples = stream[start + 4], stream[start + 9]
            if (bits, samples) != (8, 3):
                counted = f"{samples} {'sample' if samples == 1 else 'samples'}"
                found = f"JPEG tiles of {counted} of {bits} bits, expected 3 of 8 bits"
                raise UnsupportedSlideError(found, path, place)
            return


def _true_encoding(
    file: TileBytes, encoding: TileEncoding, stored: NDArray[np.int64], place: str
) -> TileEncoding:
    for offset, count in map(np.ndarray.tolist, stored):
        with contextlib.suppress(ValueError):
            return tile_encoding(encoding, file.read(offset, count, place))
    return encoding


def odd_jpeg2000(file: TileBytes, directory: StatedTiles) -> str:
    """Return in words why JPEG 2000 tiles can be read and not copied; "" if they can be copied.

    Raises:
        SlideReadError: the file ends before its first tiles do.
    """
    encoding = directory.encoding
    if encoding.compression not in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR):
        return ""
    found = set()
    for offset, count in directory.ranges[directory.ranges[:, 1] > 0][:_SAMPLES].tolist():
        data = file.read(offset, count, "tile")
        if data.startswith(BOXED):
            return "JPEG 2000 (in JP2 boxes)"
        with contextlib.suppress(ValueError):
            found.add(jpeg2000.true_compression(data, encoding.compression))
    return "JPEG 2000 (some RGB, some YCbCr)" if len(found) > 1 else ""


def tile_encoding(encoding: TileEncoding, data: bytes) -> TileEncoding:
    """Return the encoding of one tile; `encoding` is what its level states for all tiles.

    Raises:
        ValueError: the tile's bytes are damaged.
    """
    if encoding.compression != APERIO_JPEG2000_YCBCR:
        return encoding
    return replace(encoding, compression=jpeg2000.true_compression(data, encoding.compression))
