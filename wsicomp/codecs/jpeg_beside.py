"""JPEG tiles of another quality among a source's own, in one level of a TIFF."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import imagecodecs
import numpy as np

from wsicomp.codecs.jpeg_optimizer import optimize
from wsicomp.codecs.jpeg_slots import in_free_slots
from wsicomp.codecs.jpeg_stream import tables_behind_frame, with_plain_colors
from wsicomp.codecs.pixels import rgb
from wsicomp.slide import RGB, Pixels, TileEncoding

_SAMPLING = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (4, 1): "411"}


class CodecBeside:
    """The codec "jpeg" among tiles of another encoding: their colours and subsampling, tables of its own.

    Each tile carries its tables behind its frame header, in slots that the level's JPEGTables leave free, so
    that no decoder loses the tables of other tiles (`wsicomp.codecs.jpeg_slots`).

    Raises:
        ValueError: no tile can stand among tiles of this encoding.
    """

    lossless = False

    def __init__(self, quality: int, encoding: TileEncoding) -> None:
        if encoding.subsampling not in _SAMPLING:
            raise ValueError("JPEG with unusual chroma subsampling")
        self.quality = quality
        self.encoding = encoding
        self.encode(np.zeros((16, 16, 3), np.uint8))

    def config(self) -> Mapping[str, int | float | bool]:
        """Return the quality on libjpeg's scale."""
        return {"quality": self.quality}

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as a stream with tables of its own, which decodes with `encoding`."""
        colors = "rgb" if self.encoding.photometric == RGB else "ycbcr"
        stream = imagecodecs.jpeg8_encode(
            rgb(pixels),
            level=self.quality,
            outcolorspace=colors,
            subsampling=_SAMPLING[self.encoding.subsampling],
            optimize=True,
        )
        plain = with_plain_colors(_smaller(bytes(stream)), self.encoding.photometric)
        return tables_behind_frame(in_free_slots(plain, self.encoding.jpeg_tables))


def _smaller(stream: bytes) -> bytes:
    """Return a JPEG, or the same as progressive JPEG if that is smaller."""
    with contextlib.suppress(RuntimeError):
        return min(stream, optimize(stream), key=len)
    return stream
