"""JPEG XL tiles: from pixels, or a JPEG tile packed so that its very bytes can be restored.

A packed tile is a JPEG XL file whose `jbrd` box holds what libjxl needs to rebuild the JPEG. Most tiles of a
level have the same box, up to a sixth of their bytes: it can be kept once for all of them. Decoding a tile
directly to pixels differs from libjpeg by up to 55 grey levels where chroma is subsampled. A reader that
knows how the source stored the tile therefore rebuilds the JPEG and decodes that.

Source: ISO/IEC 18181-2 (container, `jbrd`); libtiff's registry of compressions (50002).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import imagecodecs
import numpy as np

from wsicomp.codecs import plain
from wsicomp.codecs.base import MOST_SHARED_BYTES, CodecInfo, Compression, Options, Program, QualityDial
from wsicomp.codecs.jpeg_stream import (
    check_scans,
    check_size,
    decodable_stream,
    tile_of_whole_stream,
    whole_stream,
)
from wsicomp.codecs.jpegxl_stream import (
    check_packed,
    codestream,
    in_container,
    is_codestream,
    stated_size,
    without_container,
)
from wsicomp.codecs.jpegxl_text import bare_jpegxl
from wsicomp.codecs.pixels import rgb
from wsicomp.errors import ConfigError
from wsicomp.files.limits import budget_bytes
from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.slide import JPEG, JPEGXL, JPEGXL_DNG, RGB, EncodedTile, Pixels, TileEncoding

_STORED = TileEncoding(JPEGXL, RGB)
_EFFORT = 7
_MOST_BESIDE_BYTES, _BESIDE_A_PIXEL = 1 << 20, 4
"""What a packed JPEG may hold beside its picture: enough for comments, profiles and thumbnails of a tile."""
_COEFFICIENT_BYTES = 16
"""Memory for a pixel of a packed JPEG while it is rebuilt: three coefficients, as libjxl and as libjpeg hold
them."""


def decode(tile: EncodedTile) -> Pixels:
    """Return the pixels as libjxl decodes them, (rows, columns, 3) uint8 RGB.

    Raises:
        ValueError: the stream has another size.
        RuntimeError: the library refuses the stream.
    """
    pixels = np.empty((*tile.size.shape, 3), np.uint8)
    imagecodecs.jpegxl_decode(tile.data, numthreads=1, out=pixels)
    return pixels


@cache
def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:  # noqa: ARG001
    """Return a lossless tile of one colour, under a hundred bytes."""
    return Codec(lossless=True).encode(np.full((*size.shape, 3), color, np.uint8))


def from_jpeg(tile: EncodedTile) -> bytes:
    """Return a JPEG tile's coefficients as JPEG XL, without the data that restores its very bytes.

    Raises:
        ValueError: the tile is not a JPEG of its size.
        RuntimeError: libjxl refuses it.
    """
    return codestream(_transcoded(tile))


def rebuilt_jpeg(packed: EncodedTile) -> bytes:
    """Return the JPEG stream from which a tile was packed.

    Raises:
        ValueError: the tile has another size, is no packed JPEG, or holds too much beside its picture.
        RuntimeError: libjxl refuses it.
    """
    pixels = packed.size.width * packed.size.height
    check_packed(packed.data, packed.size, _MOST_BESIDE_BYTES + _BESIDE_A_PIXEL * pixels)
    return bytes(imagecodecs.jpegxl_decode_jpeg(packed.data, numthreads=1))


def rebuilt_stream(packed: bytes, length: int) -> bytes:
    """Return the JPEG stream of `length` bytes that was packed whole, whatever its size in pixels.

    Raises:
        ValueError: it states more pixels than this machine has memory for, is no packed JPEG, or holds more
            than `length` bytes beside its picture.
        RuntimeError: libjxl refuses it.
    """
    size = stated_size(packed)
    if size.width * size.height * _COEFFICIENT_BYTES > budget_bytes():
        raise ValueError(f"a packed JPEG of {size} px, for which this machine has too little memory")
    check_packed(packed, size, length)
    return bytes(imagecodecs.jpegxl_decode_jpeg(packed, numthreads=1))


def _transcoded(tile: EncodedTile) -> bytes:
    check_scans(tile.data, tile.size)
    check_size(decodable_stream(tile.data, tile.encoding), tile.size)
    whole = whole_stream(tile.data, tile.encoding)
    return bytes(imagecodecs.jpegxl_encode_jpeg(whole, usecontainer=True, numthreads=1))


def _color_shift(options: Options) -> float:
    distance = options.get("distance") or _distance(int(options.get("quality", 90)))
    return 3 + 0.4 * float(distance)


_READERS = frozenset({Program.TIFFFILE, Program.FAST})


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Return the tile with nothing but what a decoder needs; `tables` are ignored.

    Raises:
        ValueError: the tile is damaged, or its headers are not plain.
    """
    return replace(tile, data=bare_jpegxl(tile, decode))


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:  # noqa: ARG001
    """Return the pixels as a lossless JPEG XL tile, whatever `tile` was."""
    return Codec(lossless=True).encode(pixels)


CODECS = (
    CodecInfo(
        name="jpegxl",
        module=__name__,
        compressions=(
            Compression(JPEGXL, "JPEG XL", readers=_READERS),
            Compression(JPEGXL_DNG, "JPEG XL", readers=_READERS),
        ),
        options=(
            Option(
                "distance",
                float,
                "loss in just noticeable differences, 0.05 is best",
                default_text="1",
                least=0.05,
                most=25,
                metavar="N",
            ),
            Option(
                "quality",
                int,
                "quality on libjpeg's scale, instead of a distance",
                least=1,
                most=100,
                metavar="N",
            ),
            Option(
                "effort",
                int,
                "time spent to make files smaller, 10 is slowest",
                default=_EFFORT,
                least=1,
                most=10,
                metavar="N",
                is_rare=True,
            ),
        ),
        dial=QualityDial("distance", 15, 0.05, (4.0, 2.5, 1.7, 1.0, 0.6, 0.4)),
        color_shift=_color_shift,
    ),
)


class Codec:
    """The codec "jpegxl": from pixels, to a distance, to a quality, or lossless.

    `distance` is in just noticeable differences, 1.0 by default. `quality` is libjxl's scale, on which 90 is
    distance 1.0. More `effort`, 1 to 10, makes smaller files in more time.

    Raises:
        ConfigError: more than one of distance, quality and lossless is given.
    """

    encoding = _STORED

    def __init__(
        self,
        distance: float | None = None,
        quality: int | None = None,
        effort: int = _EFFORT,
        lossless: bool = False,
    ) -> None:
        if (distance is not None) + (quality is not None) + lossless > 1:
            raise ConfigError("distance, quality and lossless exclude each other; give one of them")
        if quality is not None:
            distance = _distance(quality)
        self.distance = 1.0 if distance is None else distance
        self.effort = effort
        self.lossless = lossless

    def config(self) -> Mapping[str, int | float | bool]:
        """Return the distance, the quality or that it is lossless, and the effort."""
        target = {"lossless": True} if self.lossless else {"distance": self.distance}
        return {**target, "effort": self.effort}

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as a bare codestream."""
        target = {"lossless": True} if self.lossless else {"distance": self.distance}
        return bytes(
            imagecodecs.jpegxl_encode(
                rgb(pixels), effort=self.effort, numthreads=1, usecontainer=False, **target
            )
        )


def _distance(quality: int) -> float:
    """Return the distance that a quality on libjxl's scale stands for.

    Source: libjxl 0.11 `JxlEncoderDistanceFromQuality`.
    """
    if quality >= 30:
        # libjxl means lossless by 100, which is an option of its own here.
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


class Transcoder:
    """Packs JPEG tiles so that their bytes can be restored, and tiles of plain samples by their pixels.

    With `exact`, a tile of plain samples is packed only if compressing its pixels again gives its very bytes.
    `shared` is the content of a `jbrd` box: packed tiles that have this one are stored without it.
    """

    def __init__(self, exact: bool = False, shared: bytes | None = None) -> None:
        self._exact, self._shared = exact, shared
        self._pixels = Codec(lossless=True)

    def encoding(self, source: TileEncoding) -> TileEncoding | None:
        """Return the encoding of JPEG XL for JPEG tiles and tiles of plain samples; None for others."""
        return _STORED if source.compression == JPEG or source.compression in plain.COMPRESSIONS else None

    def unpacked_encoding(self, source: TileEncoding) -> TileEncoding:
        """Return `source`: unpacked tiles are stored as the source stores them."""
        return source

    def transcode(self, tile: EncodedTile) -> bytes | None:
        """Return the tile as JPEG XL; None if it would not be smaller, or could not be restored."""
        return self.transcode_all([tile])[0]

    def transcode_all(self, tiles: Sequence[EncodedTile]) -> list[bytes | None]:
        """Return what `transcode` returns of each tile.

        All are packed, then all unpacked: one after another libjxl takes an eighth more time for both.
        """
        packed = [self._packed(tile) for tile in tiles]
        return [
            data if data is not None and self._gives_back(data, tile) else None
            for data, tile in zip(packed, tiles, strict=True)
        ]

    def _packed(self, tile: EncodedTile) -> bytes | None:
        try:
            is_jpeg = tile.encoding.compression == JPEG
            whole = _transcoded(tile) if is_jpeg else self._pixels.encode(plain.decode(tile))
        except (ValueError, RuntimeError):
            return None
        data = self._without_shared(whole)
        return data if len(data) < len(tile.data) else None

    def _without_shared(self, data: bytes) -> bytes:
        if self._shared is None or is_codestream(data):
            return data
        parts = without_container(data)
        return data if parts is None or parts[1] != self._shared else parts[0]

    def _gives_back(self, data: bytes, tile: EncodedTile) -> bool:
        try:
            back = self.unpack(EncodedTile(data, _STORED, tile.size), tile.encoding)
            if tile.encoding.compression == JPEG or self._exact:
                return back.data == tile.data
            return bool((plain.decode(back) == plain.decode(tile)).all())
        except (ValueError, RuntimeError):
            return False

    def common(self, packed: Sequence[bytes]) -> bytes | None:
        """Return the content of the `jbrd` box that most packed JPEGs have in common; None if no two do."""
        parts = [without_container(data) for data in packed if not is_codestream(data)]
        found = Counter(part[1] for part in parts if part is not None and len(part[1]) <= MOST_SHARED_BYTES)
        content, count = found.most_common(1)[0] if found else (None, 0)
        return content if count > 1 else None

    def keep(self, tile: EncodedTile) -> bytes:
        """Return the source's bytes unchanged."""
        return tile.data

    def is_kept(self, tile: EncodedTile, data: bytes) -> bool:
        """Return whether `data` are the source's bytes."""
        return data == tile.data

    def unpack(self, packed: EncodedTile, encoding: TileEncoding) -> EncodedTile:
        """Return the source's tile: a JPEG by its bytes, plain samples by compressing the pixels again.

        Raises:
            ValueError: the bytes are no repacked tile.
            RuntimeError: the library refuses the bytes.
        """
        if encoding.compression != JPEG:
            return EncodedTile(plain.encode(encoding, decode(packed)), encoding, packed.size)
        if self._shared is not None and is_codestream(packed.data):
            packed = replace(packed, data=in_container(packed.data, self._shared))
        whole = rebuilt_jpeg(packed)
        return EncodedTile(tile_of_whole_stream(whole, encoding), encoding, packed.size)
