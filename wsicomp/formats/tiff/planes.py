"""Tiles of RGB in separate planes or with alpha, decoded as OpenSlide shows them.

Source: TIFF 6.0 sections 18 (ExtraSamples) and 8 (PlanarConfiguration); libtiff's RGBA interface, by which
OpenSlide reads such tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from wsicomp.codecs.jpeg_stream import check_scans, check_size, whole_stream
from wsicomp.codecs.plain import decode_samples
from wsicomp.errors import UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, EncodedTile, Pixels, TileEncoding

_COLORSPACES = {1: "GRAY", 4: "CMYK"}
"""simplejpeg's name for a count of samples that are to stay as they are."""


def decode_planes(parts: Sequence[bytes], encoding: TileEncoding, size: Size, count: int) -> Pixels:
    """Return a tile's pixels, (rows, columns, 3) uint8 RGB.

    `parts` are its bytes: one part for each of the `count` samples of a pixel, or one for all of them.

    Raises:
        ValueError, RuntimeError: the bytes do not decode to the tile.
        UnsupportedSlideError: a pixel is transparent, so that its colour is hidden or mixed already.
    """
    own = count // len(parts)
    planes = [_samples(EncodedTile(part, encoding, size), own) for part in parts]
    samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
    if (samples[..., 3:] < 255).any():
        raise UnsupportedSlideError(
            "transparent pixels, expected opaque ones; lay it on white and save it as RGB"
        )
    return np.ascontiguousarray(samples[..., :3])


def _samples(tile: EncodedTile, count: int) -> NDArray[np.uint8]:
    if tile.encoding.compression != JPEG:
        return decode_samples(tile, count)
    stream = whole_stream(tile.data, tile.encoding)
    check_scans(stream, tile.size)
    check_size(stream, tile.size)
    samples = np.asarray(simplejpeg.decode_jpeg(stream, _COLORSPACES[count]), np.uint8)
    return samples.reshape(*tile.size.shape, count)
