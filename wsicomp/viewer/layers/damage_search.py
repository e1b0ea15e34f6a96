"""Looks for damaged tiles of a conversion in the background: those whose bytes do not have their digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wsicomp.errors import SlideReadError
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.geometry import TileIndex
from wsicomp.plan.provenance import WITHOUT_BYTES
from wsicomp.viewer.layers.background import BackgroundWork


class DamageSearch(BackgroundWork):
    """Reads every tile of a conversion once, and tells `on_damaged` of each that is damaged.

    Any thread may ask how far it is; one thread reads once `start` was called. The smallest level comes
    first, so that something is known soon. Nothing is decoded.
    """

    def __init__(self, converted: ConvertedSlide, on_damaged: Callable[[TileIndex], None]) -> None:
        super().__init__(self._search)
        self._converted = converted
        self._on_damaged = on_damaged
        plan = converted.provenance.plan
        self._of = sum(int((~np.isin(level.actions, WITHOUT_BYTES)).sum()) for level in plan.levels)
        self._checked, self._damaged, self._is_done = 0, 0, False

    def to_json(self) -> dict[str, Any]:
        """Return how many tiles with bytes of their own were read and found damaged, as JSON values."""
        with self._lock:
            return {
                "done": self._is_done,
                "checked": self._checked,
                "of": self._of,
                "damaged": self._damaged,
            }

    def _search(self, work: BackgroundWork) -> None:
        for level in reversed(self._converted.provenance.plan.levels):
            for row, column in np.argwhere(~np.isin(level.actions, WITHOUT_BYTES)):
                work.check()
                self._check(TileIndex(level.number, int(column), int(row)))
        with self._lock:
            self._is_done = True

    def _check(self, index: TileIndex) -> None:
        is_damaged = not self._converted.is_lost(index) and not self._is_sound(index)
        with self._lock:
            self._checked += 1
            self._damaged += is_damaged
        if is_damaged:
            self._on_damaged(index)

    def _is_sound(self, index: TileIndex) -> bool:
        try:
            return self._converted.is_sound(index, self._converted.read_stored(index))
        except SlideReadError:
            return False
