"""JPEG tiles of a TIFF: whole or abbreviated streams, holding YCbCr or, as Aperio writes, RGB.

Source: TIFF Technical Note 2 (JPEGTables and abbreviated streams); ITU-T T.81 annex B (markers).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from wsicomp.codecs.base import EVERY_PROGRAM, CodecInfo, Compression, Options, QualityDial
from wsicomp.codecs.jpeg_beside import CodecBeside
from wsicomp.codecs.jpeg_optimizer import optimize
from wsicomp.codecs.jpeg_requantise import requantised
from wsicomp.codecs.jpeg_stream import (
    APP0,
    DHT,
    DQT,
    FRAMES,
    check_scans,
    check_size,
    decodable_stream,
    has_huffman_tables,
    has_unknown_transform,
    only_segments,
    segments,
    standard_huffman_tables,
    tables_behind_frame,
    with_plain_colors,
    without_segments,
)
from wsicomp.codecs.jpeg_text import bare_jpeg
from wsicomp.codecs.jpeg_uniform import encode_uniform
from wsicomp.codecs.pixels import PartlyDecodedError, rgb
from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.errors import ConfigError
from wsicomp.options import Option
from wsicomp.slide import JPEG, RGB, YCBCR, EncodedTile, Pixels, Rgba, TileEncoding

__all__ = [
    "UNUSUAL_SUBSAMPLING",
    "Codec",
    "Transcoder",
    "copy_obstacle",
    "decode",
    "decode_eighth",
    "decode_opaque",
    "encode_uniform",
    "frame_subsampling",
]

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_ADOBE, _HEADER_BYTES = b"Adobe", 1 << 16

UNUSUAL_SUBSAMPLING = (0, 0)
"""What `frame_subsampling` returns for factors that TIFF cannot state; such tiles decode, no more."""


def frame_subsampling(stream: bytes) -> tuple[int, int]:
    """Return the (horizontal, vertical) chroma subsampling that the frame header states.

    Raises:
        ValueError: the stream has no frame header of three components.
    """
    for marker, start, end in segments(stream):
        if marker not in FRAMES:
            continue
        header = stream[start + 4 : end]
        if len(header) != 15 or header[5] != 3:
            raise ValueError("JPEG frame does not have three components")
        first, second, third = header[7], header[10], header[13]
        if second != 0x11 or third != 0x11:
            return UNUSUAL_SUBSAMPLING
        return first >> 4, first & 15
    raise ValueError("JPEG stream without frame header")


def decode(tile: EncodedTile) -> Pixels:
    """Return the pixels, (rows, columns, 3) uint8 RGB, as libjpeg-turbo decodes and OpenSlide shows them.

    Raises:
        PartlyDecodedError: the stream is damaged; libjpeg has filled in what is missing.
        ValueError: the stream has another size, or too many scans.
        RuntimeError: the library refuses the stream.
    """
    return _decoded(tile, "RGB")


def decode_opaque(tile: EncodedTile) -> Rgba:
    """Return the pixels of `decode` with opaque alpha, (rows, columns, 4) uint8 RGBA, as fast as those.

    Raises:
        PartlyDecodedError: the stream is damaged; libjpeg has filled in what is missing.
        ValueError: the stream has another size, or too many scans.
        RuntimeError: the library refuses the stream.
    """
    return _decoded(tile, "RGBA")


def _decoded(tile: EncodedTile, samples: str) -> NDArray[np.uint8]:
    check_scans(tile.data, tile.size)
    try:
        return _decode_strictly(tile, samples)
    except ValueError as exc:
        raise PartlyDecodedError(f"damaged JPEG: {exc}", _decode_leniently(tile)) from exc


def _decode_strictly(tile: EncodedTile, samples: str = "RGB", **reduction: int) -> NDArray[np.uint8]:
    """Decode with an error where libjpeg would only warn."""
    stream = decodable_stream(tile.data, tile.encoding)
    check_size(stream, tile.size)
    return np.asarray(simplejpeg.decode_jpeg(stream, samples, **reduction), np.uint8)


def _decode_leniently(tile: EncodedTile) -> Pixels:
    pixels = np.empty((*tile.size.shape, 3), np.uint8)
    imagecodecs.jpeg8_decode(
        tile.data,
        tables=tile.encoding.jpeg_tables,
        colorspace="rgb" if tile.encoding.photometric == RGB else "ycbcr",
        outcolorspace="rgb",
        out=pixels,
    )
    return pixels


def decode_eighth(tile: EncodedTile) -> Pixels:
    """Return the tile at an eighth of its size, (rows, columns, 3) uint8 RGB.

    Each pixel is the mean of a block of 8 x 8 pixels, from its DC coefficient.

    Raises:
        ValueError: the stream is damaged, has another size, or too many scans.
        RuntimeError: the library refuses the stream.
    """
    check_scans(tile.data, tile.size)
    rows, columns = -(-tile.size.height // 8), -(-tile.size.width // 8)
    return _decode_strictly(tile, min_height=rows, min_width=columns, min_factor=8)


def copy_obstacle(tile: EncodedTile, stored: TileEncoding) -> str:  # noqa: ARG001
    """Return why a tile cannot be copied among tiles of this encoding; "" if it can."""
    with contextlib.suppress(ValueError):
        if _ADOBE in tile.data[:_HEADER_BYTES] and has_unknown_transform(tile.data):
            return "has an Adobe segment of a transform that OpenSlide refuses"
    return ""


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:
    """Return the tile with nothing but what a decoder needs, for a level with the JPEGTables `tables`.

    Raises:
        ValueError: the tile is damaged, or holds a segment that no JPEG of a slide has.
    """
    return EncodedTile(bare_jpeg(tile, tables), replace(tile.encoding, jpeg_tables=tables), tile.size)


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return the pixels as a tile of this encoding, with the quantisation of the tile that they replace.

    Raises:
        ValueError: there is no room for tables beside the shared ones.
        OSError: the library refuses the pixels.
    """
    return requantised(tile, encoding, pixels)


_LUMA_DC, _CHROMA_DC = 16, 17
"""The DC entries of libjpeg's tables at quality 50 (ITU-T T.81 annex K)."""
_OF_BLUE = 1.772
"""How much a grey level of Cb changes blue: the most that any sample counts in a colour."""


def _color_shift(options: Options) -> float:
    quality = int(options.get("quality", 90))
    scale = 5000 / max(1, quality) if quality < 50 else 200 - 2 * quality
    luma, chroma = (min(255.0, max(1.0, step * scale / 100)) for step in (_LUMA_DC, _CHROMA_DC))
    # A flat block is off by half a quantiser's step, which is eight times a grey level.
    return 2.5 + (luma + _OF_BLUE * chroma) / 16


CODECS = (
    CodecInfo(
        name="jpeg",
        module=__name__,
        compressions=(Compression(JPEG, "JPEG", readers=EVERY_PROGRAM, in_svs=True),),
        options=(
            Option(
                "quality",
                int,
                "quality on libjpeg's scale, 100 is best",
                default=90,
                least=1,
                most=100,
                metavar="N",
            ),
        ),
        dial=QualityDial("quality", 1, 100, (30, 50, 70, 80, 90, 95), is_whole=True),
        color_shift=_color_shift,
    ),
)


class Codec:
    """The codec "jpeg": baseline YCbCr, Huffman tables in each tile, quantisation tables shared.

    Optimised Huffman tables take half as much time again as standard ones and save 15 to 30 % on slides.
    """

    lossless = False

    def __init__(self, quality: int = 90) -> None:
        self.quality = quality

    @fork_safe_property
    def encoding(self) -> TileEncoding:
        """Abbreviated streams with their quantisation tables in JPEGTables."""
        return TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=_SOI + only_segments(self._head, (DQT,)) + _EOI)

    @fork_safe_property
    def _head(self) -> bytes:
        """What stands before the frame header of each tile: SOI, JFIF and quantisation tables."""
        stream = self._encode_whole(np.zeros((16, 16, 3), np.uint8))
        return stream[: next(start for marker, start, _ in segments(stream) if marker in FRAMES)]

    def config(self) -> Mapping[str, int | float | bool]:
        """Return the quality on libjpeg's scale."""
        return {"quality": self.quality}

    def among(self, encoding: TileEncoding) -> CodecBeside:
        """Return the same codec for tiles among JPEG tiles of this encoding.

        Raises:
            ValueError: they cannot stand there.
        """
        if encoding.compression != JPEG:
            raise ValueError("they are not JPEG")
        return CodecBeside(self.quality, encoding)

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as an abbreviated stream, which decodes with `encoding`."""
        stream = self._encode_whole(rgb(pixels))
        if stream.startswith(self._head):
            return _SOI + stream[len(self._head) :]
        return tables_behind_frame(without_segments(stream, (APP0, DQT)))

    def _encode_whole(self, pixels: Pixels) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=self.quality, subsampling="420", optimize=True))


class Transcoder:
    """Repacks JPEG tiles as progressive JPEG with optimised entropy coding; their coefficients stay.

    Each tile then has its own Huffman tables. Tables that the level shared must be removed, and a tile that
    is not repacked must get its own: a decoder may keep tables from one tile to the next (libtiff does).

    Raises:
        ConfigError: `exact` is True: the very bytes do not come back.
    """

    def __init__(self, exact: bool = False, shared: bytes | None = None) -> None:  # noqa: ARG002
        if exact:
            raise ConfigError(
                "codec jpeg cannot restore the very bytes of a source; take codec jpegxl or copy"
            )

    def encoding(self, source: TileEncoding) -> TileEncoding | None:
        """Return the source's encoding without shared Huffman tables; None if it is not JPEG."""
        if source.compression != JPEG:
            return None
        tables = only_segments(source.jpeg_tables, (DQT,)) if source.jpeg_tables else b""
        return replace(source, jpeg_tables=_SOI + tables + _EOI if tables else None)

    def unpacked_encoding(self, source: TileEncoding) -> TileEncoding:
        """Return the encoding of repacked tiles: every reader of JPEG reads them, so nothing is unpacked."""
        stored = self.encoding(source)
        assert stored is not None, "asked for JPEG alone"
        return stored

    def transcode(self, tile: EncodedTile) -> bytes | None:
        """Return the tile repacked; None if it would not be smaller, or would decode to other pixels."""
        try:
            check_scans(tile.data, tile.size)
            before = _decode_strictly(tile)
            whole = optimize(decodable_stream(tile.data, tile.encoding))
            # libjpeg writes one DQT segment in the place of several.
            if all(marker != DQT for marker, _, _ in segments(tile.data)):
                whole = without_segments(whole, (DQT,))
            data = tables_behind_frame(with_plain_colors(whole, tile.encoding.photometric))
            back = EncodedTile(data, self.unpacked_encoding(tile.encoding), tile.size)
            if len(data) >= len(tile.data) or not np.array_equal(_decode_strictly(back), before):
                return None
        except (ValueError, RuntimeError, OSError, LookupError):
            return None
        return data

    def transcode_all(self, tiles: Sequence[EncodedTile]) -> list[bytes | None]:
        """Return what `transcode` returns of each tile."""
        return [self.transcode(tile) for tile in tiles]

    def common(self, packed: Sequence[bytes]) -> bytes | None:  # noqa: ARG002
        """Return None: each tile has tables of its own."""
        return None

    def keep(self, tile: EncodedTile) -> bytes:
        """Return the source's stream with the shared or standard Huffman tables that it needs.

        A damaged stream is returned unchanged.
        """
        try:
            data = self._with_tables(tile)
            return data if tile.encoding.jpeg_tables is None else tables_behind_frame(data)
        except ValueError:
            return tile.data

    def is_kept(self, tile: EncodedTile, data: bytes) -> bool:
        """Return whether `data` is what `keep` makes of a tile.

        In earlier versions the tables stood first in the tile.
        """
        if data == self.keep(tile):
            return True
        try:
            return data == self._with_tables(tile)
        except ValueError:
            return False

    def _with_tables(self, tile: EncodedTile) -> bytes:
        tables = only_segments(tile.encoding.jpeg_tables, (DHT,)) if tile.encoding.jpeg_tables else b""
        if not has_huffman_tables(tile.data, tile.encoding):
            tables = standard_huffman_tables()
        return _SOI + tables + tile.data[2:] if tables else tile.data

    def unpack(self, packed: EncodedTile, encoding: TileEncoding) -> EncodedTile:
        """Return `packed` itself, in the encoding `encoding`: every reader of JPEG reads it."""
        return replace(packed, encoding=encoding)
