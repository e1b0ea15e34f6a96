"""What a reader of region files hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsicomp.regions.placement import Raster
from wsicomp.tissue.bits import BitMask


@dataclass(frozen=True)
class Found:
    """The raster pixels of each class."""

    raster: Raster
    """Where the pixels lie."""
    bits: Mapping[str, BitMask]
    """The pixels that any part of a class touches, by its name, in the file's order."""
    emptiness: str
    """Why there is nothing, in words, should all be empty, and what to do."""
    notes: tuple[str, ...] = ()
    """What a user should know."""
