"""WebP tiles, as libtiff writes them (compression 50001): lossy in 4:2:0, or lossless RGB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import imagecodecs
import numpy as np

from wsicomp.codecs.base import CodecInfo, Compression, Options, Program, QualityDial
from wsicomp.codecs.pixels import rgb
from wsicomp.codecs.webp_text import bare_webp
from wsicomp.errors import UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.slide import RGB, WEBP, EncodedTile, Pixels, TileEncoding

_LARGEST_SIDE_PX = 16383


def decode(tile: EncodedTile) -> Pixels:
    """Return the pixels as libwebp decodes them, (rows, columns, 3) uint8 RGB.

    An opaque alpha channel is left out.

    Raises:
        UnsupportedSlideError: some pixels are transparent.
        ValueError: the stream has another size.
        RuntimeError: the library refuses the stream.
    """
    if _may_have_alpha(tile.data):
        rgba = np.asarray(imagecodecs.webp_decode(tile.data, hasalpha=True))
        if rgba.shape[-1] == 4 and (rgba[..., 3] < 255).any():
            raise UnsupportedSlideError(
                "transparent pixels, expected opaque ones; lay it on white and save it as RGB"
            )
    pixels = np.empty((*tile.size.shape, 3), np.uint8)
    imagecodecs.webp_decode(tile.data, hasalpha=False, out=pixels)
    return pixels


def _may_have_alpha(data: bytes) -> bool:
    """Return whether the header says that there is alpha.

    In VP8X it is the flag 0x10, in VP8L a bit behind both sides.

    Source: RFC 9649 sections 2.7.1 and 3.4.
    """
    kind = data[12:16]
    if kind == b"VP8X":
        return len(data) > 20 and bool(data[20] & 0x10)
    return kind == b"VP8L" and len(data) > 24 and bool(data[24] & 0x10)


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:  # noqa: ARG001
    """Return a lossless tile of one colour."""
    return bytes(imagecodecs.webp_encode(np.full((*size.shape, 3), color, np.uint8), lossless=True))


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Return the tile with nothing but what a decoder needs; `tables` are ignored.

    Raises:
        ValueError: the tile is damaged, or holds words behind its coded bytes.
    """
    return replace(tile, data=bare_webp(tile, decode))


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:  # noqa: ARG001
    """Return the pixels as a lossless WebP tile, whatever `tile` was."""
    return bytes(imagecodecs.webp_encode(np.ascontiguousarray(pixels), lossless=True))


def _color_shift(options: Options) -> float:
    return 3 + (100 - float(options.get("quality", 90))) / 15


CODECS = (
    CodecInfo(
        name="webp",
        module=__name__,
        compressions=(
            Compression(
                WEBP,
                "WebP",
                readers=frozenset(
                    {Program.LIBVIPS, Program.TIFFFILE, Program.LARGE_IMAGE, Program.GDAL, Program.LIBTIFF}
                ),
            ),
        ),
        options=(
            Option(
                "quality",
                int,
                "quality on libwebp's scale, 100 is best",
                default=90,
                least=0,
                most=100,
                metavar="N",
            ),
        ),
        dial=QualityDial("quality", 1, 100, (30, 50, 70, 80, 90, 95), is_whole=True),
        color_shift=_color_shift,
    ),
)


class Codec:
    """The codec "webp": to a quality on libwebp's scale, 0 to 100, or lossless."""

    encoding = TileEncoding(WEBP, RGB)

    def __init__(self, quality: int = 90, lossless: bool = False) -> None:
        self.quality = quality
        self.lossless = lossless

    def config(self) -> Mapping[str, int | float | bool]:
        """Return the quality, or that it is lossless."""
        return {"lossless": True} if self.lossless else {"quality": self.quality}

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as a WebP file.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8, or a side is over 16383 px.
        """
        if max(pixels.shape[:2]) > _LARGEST_SIDE_PX:
            raise ValueError(f"WebP holds at most {_LARGEST_SIDE_PX} px a side")
        return bytes(imagecodecs.webp_encode(rgb(pixels), level=self.quality, lossless=self.lossless))
