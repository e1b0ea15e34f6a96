"""Cuts the files of a slide into pieces that are packed each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from wsicomp.formats.originals.forms import BLOCK_BYTES
from wsicomp.formats.packed.byte_window import ByteWindow
from wsicomp.formats.packed.jpeg_search import JpegStream, StreamKind, jpeg_streams, table_streams
from wsicomp.formats.packed.restart_rectangles import IntervalRectangle, interval_rectangles
from wsicomp.formats.packed.slide_bytes import OpenPart
from wsicomp.formats.packed.units import IntervalPiece, JpegPiece, Piece, TileEncodings, TilePiece
from wsicomp.geometry import Size

_MOST_WHOLE_PX, _MOST_WHOLE_BYTES = 1 << 25, 1 << 25
"""The largest JPEG that is packed whole: libjxl takes up to 21 bytes a pixel, and so 0.7 GB."""
_CUT_FROM_PX = 1 << 21
"""The pixels from which on a JPEG with restart intervals is packed by rectangles of them."""
_MOST_BAND_BYTES = 1 << 26
_MOST_PAGES = 1000
_JPEG = 7


def slide_pieces(parts: Sequence[OpenPart]) -> Iterator[Piece]:
    """Yield pieces that together are all bytes of a slide's files, each once.

    Memory: 24 bytes for each restart interval of a JPEG, and 64 MiB for a band of it.

    Raises:
        SlideReadError: a file cannot be read.
    """
    rest = _Rest()
    for part in parts:
        yield from _PartCutter(part, rest).pieces()
    yield from rest.end()


class _Rest:
    """Collects what lies between pictures, until it is a block."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int]] = []
        self._data = bytearray()

    def add(self, part: OpenPart, start: int, end: int) -> Iterator[Piece]:
        """Add bytes of a file; yield the blocks that are full."""
        while start < end:
            taken = min(end - start, BLOCK_BYTES - len(self._data))
            self._data += part.read(start, taken)
            self._runs.append((part.start + start, taken))
            start += taken
            if len(self._data) == BLOCK_BYTES:
                yield from self.end()

    def end(self) -> Iterator[Piece]:
        """Yield the last block, if there is one."""
        if self._data:
            yield Piece(tuple(self._runs), bytes(self._data))
        self._runs, self._data = [], bytearray()


class _PartCutter:
    """Cuts one file; what is no picture goes to `rest`."""

    def __init__(self, part: OpenPart, rest: _Rest) -> None:
        self._part, self._rest = part, rest
        self._window = ByteWindow(part.read, part.total_bytes)
        self._stated: dict[int, Size] | None = None

    def pieces(self) -> Iterator[Piece]:
        """Yield the pictures of the file, and the blocks of the rest that are full."""
        encodings, at = TileEncodings(table_streams(self._window)), 0
        for stream in jpeg_streams(self._window):
            if _is_large(stream):
                for band in interval_rectangles(self._window, stream, self._stated_size(stream)):
                    yield from self._rest.add(self._part, at, band[0].runs[0][0])
                    yield from self._band(band)
                    at = sum(band[-1].runs[-1])
            if at <= stream.start and _is_whole(stream):
                yield from self._rest.add(self._part, at, stream.start)
                yield self._picture(stream, encodings)
                at = stream.end
        yield from self._rest.add(self._part, at, self._part.total_bytes)

    def _picture(self, stream: JpegStream, encodings: TileEncodings) -> Piece:
        data = self._part.read(stream.start, stream.bytes)
        runs = ((self._part.start + stream.start, stream.bytes),)
        if stream.kind is StreamKind.ABBREVIATED:
            return TilePiece(runs, data, stream.size, encodings.ranked(data, stream.size))
        return JpegPiece(runs, data, stream.size)

    def _band(self, band: Sequence[IntervalRectangle]) -> Iterator[Piece]:
        start, end = band[0].runs[0][0], sum(band[-1].runs[-1])
        held = self._part.read(start, end - start) if end - start <= _MOST_BAND_BYTES else None
        for rectangle in band:
            data = b"".join(
                self._part.read(at, count) if held is None else held[at - start : at - start + count]
                for at, count in rectangle.runs
            )
            runs = tuple((self._part.start + at, count) for at, count in rectangle.runs)
            yield IntervalPiece(runs, data, rectangle.header, rectangle.rows)

    def _stated_size(self, stream: JpegStream) -> Size | None:
        if self._stated is None:
            self._stated = _strip_sizes(self._part.path)
        return self._stated.get(stream.start)


def _is_large(stream: JpegStream) -> bool:
    pixels = stream.size.width * stream.size.height
    return stream.kind is StreamKind.WHOLE and stream.restart_mcus > 0 and not 0 < pixels < _CUT_FROM_PX


def _is_whole(stream: JpegStream) -> bool:
    pixels = stream.size.width * stream.size.height
    is_picture = stream.kind is not StreamKind.TABLES
    return is_picture and 0 < pixels <= _MOST_WHOLE_PX and stream.bytes <= _MOST_WHOLE_BYTES


def _strip_sizes(path: Path) -> dict[int, Size]:
    """Return the size in pixels that a TIFF states for what stands at an offset; nothing for other files.

    They are hints: NDPI's JPEG streams of more than 65,535 px do not state their size.
    """
    import tifffile  # noqa: PLC0415 - slow to load, and few slides have such streams

    from wsicomp.formats.tiff.directories import UNPARSED  # noqa: PLC0415

    sizes: dict[int, Size] = {}
    with suppress(*UNPARSED), tifffile.TiffFile(path) as file:
        for page in islice(file.pages, _MOST_PAGES):
            if isinstance(page, tifffile.TiffPage) and page.compression == _JPEG:
                offset = page.tags["StripOffsets"].value[0]
                sizes[int(offset)] = Size(page.imagewidth, page.imagelength)
    return sizes
