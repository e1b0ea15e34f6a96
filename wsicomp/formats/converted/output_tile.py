"""One tile of an output file, and what became of it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from wsicomp.codecs.base import Encoded


class TileOutcome(enum.Enum):
    """Whether a tile came to be as planned, and if not, why."""

    AS_PLANNED = enum.auto()
    KEPT = enum.auto()
    """It could not be transcoded, and stands as in the source."""
    FLAWED = enum.auto()
    """The source's tile decodes only in part: what there is was encoded, or it was packed as it is."""
    LOST = enum.auto()
    """The source's tile cannot be decoded, so there is nothing to encode."""


class MadeTile(NamedTuple):
    """A tile of the target. `data` is None for background, and empty where nothing is stored.

    `encoded` says more of a tile that was encoded anew. `unpainted` is one whose glass was to be painted, but
    is smaller with it. `shared_with` is the raster number of the first tile of its level that the source stores in
    the same place, its own if it is that one; None where the source stores it alone. `renewed` is a carried
    one that was encoded once more, to name nobody.
    """

    data: bytes | None
    outcome: TileOutcome = TileOutcome.AS_PLANNED
    encoded: Encoded | None = None
    unpainted: bool = False
    shared_with: int | None = None
    renewed: bool = False
