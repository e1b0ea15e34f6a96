"""Encode pixels as JPEG with the quantisation tables of the tile that they replace."""

from __future__ import annotations

import io

from PIL import Image

from wsicomp.codecs.jpeg_slots import in_free_slots
from wsicomp.codecs.jpeg_stream import decodable_stream, tables_behind_frame, with_plain_colors
from wsicomp.slide import RGB, EncodedTile, Pixels, TileEncoding

_SAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2, (4, 1): "4:1:1"}
_USUAL_QUALITY = 95


def requantised(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return the pixels as a tile of this encoding, with `tile`'s quantisation if that can be read.

    Raises:
        ValueError: there is no room for tables beside the shared ones.
        OSError: the library refuses the pixels.
    """
    options = {"qtables": _quantisation(tile)} if _quantisation(tile) else {"quality": _USUAL_QUALITY}
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream,
        "JPEG",
        subsampling=_SAMPLING[encoding.subsampling],
        keep_rgb=encoding.photometric == RGB,
        optimize=True,
        **options,
    )
    plainly = with_plain_colors(stream.getvalue(), encoding.photometric)
    return tables_behind_frame(in_free_slots(plainly, encoding.jpeg_tables))


def _quantisation(tile: EncodedTile) -> list[list[int]]:
    """Return the tile's quantisation tables of luma and chroma; empty if they cannot be read."""
    try:
        with Image.open(io.BytesIO(decodable_stream(tile.data, tile.encoding)), formats=("JPEG",)) as image:
            found = dict(image.quantization)  # type: ignore[attr-defined]
            layer = image.layer  # type: ignore[attr-defined]
        return [list(found[layer[0][3]]), list(found[layer[1][3]])]
    except (OSError, ValueError, SyntaxError, LookupError, AttributeError):
        return []
