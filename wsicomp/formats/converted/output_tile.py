"""A tile of an output file, and how it was made."""

from __future__ import annotations

import enum
from typing import NamedTuple

from wsicomp.codecs.base import Encoded


class TileOutcome(enum.Enum):
    """The outcome of a tile: made as planned, or the reason why not."""

    AS_PLANNED = enum.auto()
    KEPT = enum.auto()
    """It could not be transcoded, and is stored as `TileTranscoder.keep` makes it."""
    FLAWED = enum.auto()
    """The source's tile decodes only in part.

    The decoded part was encoded, or the tile was packed as it is.
    """
    LOST = enum.auto()
    """The source's tile cannot be decoded, so there is nothing to encode."""


class MadeTile(NamedTuple):
    """A tile of the target."""

    data: bytes | None
    """Its bytes; None for background, empty where nothing is stored."""
    outcome: TileOutcome = TileOutcome.AS_PLANNED
    """Whether it was made as planned."""
    encoded: Encoded | None = None
    """The codec's figures of a tile that was encoded."""
    unpainted: bool = False
    """Whether its glass was to be painted, but stays because the tile is smaller with it."""
    spared: bool = False
    """Whether it is made by its recipe's spare one, because its own would not make it smaller."""
    shared_with: int | None = None
    """The raster number of the first tile of its level that the source stores in the same place.

    Its own number for that first tile; None where the source stores it alone.
    """
    renewed: bool = False
    """Whether it was to be carried and had to be encoded, to name nobody."""
