"""Transcodes a few tiles of each level before a level is planned to be transcoded."""

from __future__ import annotations

import numpy as np

from wsicomp.codecs.base import TileTranscoder
from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex

_SAMPLES = 8
_WORTHWHILE = 0.98


def levels_that_shrink(slide: Slide, transcoder: TileTranscoder) -> tuple[bool, ...]:
    """Return for each level whether transcoding makes 8 of its tiles at least 2 % smaller together."""
    return tuple(_shrinks(slide, number, transcoder) for number in range(len(slide.info.levels)))


def _shrinks(slide: Slide, number: int, transcoder: TileTranscoder) -> bool:
    level = slide.info.levels[number]
    if level.encoding is None or transcoder.encoding(level.encoding) is None:
        return False
    before = after = 0
    stored = np.delete(np.arange(level.grid.count), np.array(level.absent, np.intp))
    chosen = np.unique(np.linspace(0, len(stored) - 1, _SAMPLES).astype(int)) if len(stored) else []
    for place in stored[chosen].tolist():
        row, column = divmod(place, level.grid.columns)
        try:
            tile = slide.read_encoded_tile(TileIndex(number, column, row))
        except SlideReadError:
            continue
        if tile.data:
            before += len(tile.data)
            after += len(transcoder.transcode(tile) or transcoder.keep(tile))
    # A level without tiles can be kept or transcoded; transcoded, a generic TIFF can be without them too.
    return not before or after < before * _WORTHWHILE
