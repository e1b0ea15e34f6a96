"""WebP tiles, as libtiff writes them (compression 50001): lossy or lossless, in 4:2:0 or RGB."""

from __future__ import annotations

from collections.abc import Mapping

import imagecodecs
import numpy as np

from wsicomp.codecs.checks import check_range, rgb
from wsicomp.codecs.reduce import eighth
from wsicomp.geometry import Size
from wsicomp.slide import RGB, WEBP, EncodedTile, Pixels, TileEncoding

_LARGEST_SIDE_PX = 16383


def decode(tile: EncodedTile) -> Pixels:
    """The pixels as libwebp gives them; an alpha channel is left out."""
    pixels = np.empty((*tile.size.shape, 3), np.uint8)
    imagecodecs.webp_decode(tile.data, hasalpha=False, out=pixels)
    return pixels


def decode_eighth(tile: EncodedTile) -> Pixels:
    """The means of blocks of 8 x 8 pixels."""
    return eighth(decode(tile))


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:  # noqa: ARG001
    """A lossless tile of one colour."""
    return bytes(imagecodecs.webp_encode(np.full((*size.shape, 3), color, np.uint8), lossless=True))


class Codec:
    """WebP at a quality of libwebp's scale, 0 to 100, or without loss."""

    encoding = TileEncoding(WEBP, RGB)

    def __init__(self, quality: int = 90, lossless: bool = False) -> None:
        check_range("quality", quality, 0, 100)
        self.quality = quality
        self.lossless = lossless

    def config(self) -> Mapping[str, int | float | bool]:
        """Lossless, or the quality."""
        return {"lossless": True} if self.lossless else {"quality": self.quality}

    def encode(self, pixels: Pixels) -> bytes:
        """The tile as a WebP file."""
        if max(pixels.shape[:2]) > _LARGEST_SIDE_PX:
            raise ValueError(f"WebP holds at most {_LARGEST_SIDE_PX} px a side")
        return bytes(imagecodecs.webp_encode(rgb(pixels), level=self.quality, lossless=self.lossless))
