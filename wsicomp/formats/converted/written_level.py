"""A level while its tiles are written: which of them share bytes, and how each was made."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs.base import Fallback
from wsicomp.codecs.quality import Fidelity
from wsicomp.codecs.registry import tile_format
from wsicomp.formats.converted.guard_statistics import GuardedTiles
from wsicomp.formats.converted.output_tile import MadeTile, TileOutcome
from wsicomp.formats.converted.tile_digests import LevelDigest, tile_digest
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import Color
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import LevelRecord

_TILE_OFFSETS, _TILE_BYTE_COUNTS = 324, 325


class WrittenLevel:
    """The record of a level while its tiles are written: which of them share bytes, and how each was made."""

    def __init__(self, plan: LevelPlan, palette: Sequence[Color]) -> None:
        self.plan = plan
        self.count = 0
        self._blank: dict[int, tuple[int, bytes]] = {}
        self._shared, self._sharing = array("q"), array("q")
        self._first_of_equal: dict[tuple[int, bytes], int] = {}
        self.renewed = array("q")
        self._palette = palette
        self._all = LevelDigest()
        self._digests = bytearray()
        self._others: dict[TileOutcome, list[int]] = {outcome: [] for outcome in TileOutcome}
        self._guarded = GuardedTiles()
        self._guarded_by_recipe = [GuardedTiles() for _ in plan.recipes] if plan.chosen is not None else []
        self._unpainted = array("q")
        self._spared = array("q")

    def add(self, tile: MadeTile) -> bytes:
        """Return the bytes to store for the next tile; no bytes for one that shares an earlier tile's.

        All blank tiles of a colour share the first one. Equal tiles that the source stores in one place share
        the first of them.

        Raises:
            ValueError: a blank tile cannot be made in the level's encoding.
        """
        first, data = self._blank_tile() if tile.data is None else (self.count, tile.data)
        self._all.update(data)
        if tile.outcome is not TileOutcome.AS_PLANNED:
            self._others[tile.outcome].append(self.count)
        if tile.renewed:
            self.renewed.append(self.count)
        if tile.unpainted:
            self._unpainted.append(self.count)
        if tile.spared:
            self._spared.append(self.count)
        if tile.encoded is not None and tile.encoded.fidelity is not None:
            self._add_guarded(tile.encoded.fidelity, tile.encoded.fallback)
        if tile.data:
            self._digests += tile_digest(data)
            if tile.shared_with is not None:
                first = self._first_of_equal.setdefault(
                    (tile.shared_with, hashlib.sha256(data).digest()), self.count
                )
        self.count += 1
        if first == self.count - 1:
            return data
        self._shared.append(self.count - 1)
        self._sharing.append(first)
        return b""

    def _add_guarded(self, found: Fidelity, fallback: Fallback) -> None:
        self._guarded.add(self.count, found, fallback)
        if self.plan.chosen is not None:
            number = int(self.plan.chosen.flat[self.count])
            self._guarded_by_recipe[number].add(self.count, found, fallback)

    def share(self, page: tifffile.TiffPage) -> None:
        """Point the tiles that were not stored at the stored ones."""
        if self._shared:
            _share(page, np.asarray(self._shared), np.asarray(self._sharing))

    def _blank_tile(self) -> tuple[int, bytes]:
        """Return the first tile that is blank in the next tile's colour, its raster number and its bytes."""
        row, column = divmod(self.count, self.plan.grid.columns)
        shade = self.plan.shade(TileIndex(self.plan.number, column, row))
        if shade not in self._blank:
            encode = tile_format(self.plan.encoding.compression).encode_uniform
            data = encode(self.plan.encoding, self.plan.tile, self._palette[shade])
            self._blank[shade] = self.count, data
        return self._blank[shade]

    def made(self) -> LevelPlan:
        """Return the plan as carried out.

        Tiles that are smaller with their glass were encoded with it; spared tiles took the spare recipe.
        """
        actions, chosen = self.plan.actions.copy(), self.plan.chosen
        actions.reshape(-1)[np.asarray(self._unpainted, np.intp)] = TileAction.ENCODE.value
        if self._spared:
            assert chosen is not None, "a level whose tiles are spared has several recipes"
            chosen, spared = chosen.copy(), np.asarray(self._spared, np.intp)
            for number in np.unique(chosen.reshape(-1)[spared]).tolist():
                spare = self.plan.spare_of(number)
                assert spare is not None, "a tile was spared"
                places = spared[self.plan.takes(number).reshape(-1)[spared]]
                actions.reshape(-1)[places] = self.plan.recipes[spare].action.value
                chosen.reshape(-1)[places] = spare
        return replace(self.plan, actions=actions, chosen=chosen)

    def record(self) -> LevelRecord:
        """Return the record of the level once all tiles are written."""
        kept, flawed, lost = (
            tuple(self._others[outcome])
            for outcome in (TileOutcome.KEPT, TileOutcome.FLAWED, TileOutcome.LOST)
        )
        return LevelRecord(
            self._all.hexdigest(),
            bytes(self._digests),
            kept,
            flawed,
            lost,
            self._guarded.record(),
            tuple(self.renewed),
            tuple(tiles.record() for tiles in self._guarded_by_recipe),
        )


def _share(page: tifffile.TiffPage, numbers: NDArray[np.int64], stored: NDArray[np.int64]) -> None:
    for code in (_TILE_OFFSETS, _TILE_BYTE_COUNTS):
        tag = page.tags[code]
        values = np.array(tag.value, np.uint64).reshape(-1)
        values[numbers] = values[stored]
        tag.overwrite(values.tolist())
