"""Transcodes a few tiles of each level before a level is planned to be transcoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsicomp.codecs.base import TileTranscoder
from wsicomp.deidentification.deidentify import Deidentified, carried_tile
from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex
from wsicomp.slide import EncodedTile, Level

_SAMPLES = 8
_WORTHWHILE = 0.98


@dataclass(frozen=True)
class LevelProbe:
    """What transcoding a few tiles of a level has shown."""

    shrinks: bool
    """Whether it makes them at least 2 % smaller together."""
    shared: bytes | None = None
    """What most of them have in common and could do without; None for nothing."""


def probe_levels(
    slide: Slide, transcoder: TileTranscoder, deidentified: Deidentified | None
) -> tuple[LevelProbe, ...]:
    """Return for each level what transcoding 8 of its tiles shows, of a slide as it is or deidentified."""
    levels = slide.info.levels if deidentified is None else deidentified.info.levels
    return tuple(
        _probe(slide, number, level, transcoder, deidentified is not None)
        for number, level in enumerate(levels)
    )


def _probe(
    slide: Slide, number: int, level: Level, transcoder: TileTranscoder, deidentify: bool
) -> LevelProbe:
    if level.encoding is None or transcoder.encoding(level.encoding) is None:
        return LevelProbe(False)
    before, packed, after = 0, [], 0
    stored = np.delete(np.arange(level.grid.count), np.array(level.absent, np.intp))
    chosen = np.unique(np.linspace(0, len(stored) - 1, _SAMPLES).astype(int)) if len(stored) else []
    for place in stored[chosen].tolist():
        row, column = divmod(place, level.grid.columns)
        try:
            tile = slide.read_encoded_tile(TileIndex(number, column, row))
            if deidentify:
                tile = _bare(tile, level, transcoder, column, row)
        except (SlideReadError, ValueError, RuntimeError, OSError):
            continue
        if tile.data:
            data = transcoder.transcode(tile)
            before += len(tile.data)
            after += len(data or transcoder.keep(tile))
            packed += [data] if data else []
    # A level without tiles can be kept or transcoded; transcoded, a generic TIFF can be without them too.
    return LevelProbe(not before or after < before * _WORTHWHILE, transcoder.common(packed))


def _bare(tile: EncodedTile, level: Level, transcoder: TileTranscoder, column: int, row: int) -> EncodedTile:
    """Return a tile with its picture alone, as a deidentified file has it.

    Raises:
        ValueError, RuntimeError, OSError: it cannot be decoded, or not be encoded again.
    """
    assert level.encoding is not None, "there are encoded tiles"
    visible = level.grid.region(column, row).size
    return carried_tile(tile, transcoder.unpacked_encoding(level.encoding), visible).tile
