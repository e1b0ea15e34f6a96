"""Which tiles of a conversion can differ from its source, in a random order, and by which codec they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.quality import LEAST_SIDE_PX
from wsicomp.conversion.outcome import lossy_recipe_text
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.plan.provenance import WITHOUT_BYTES, LevelRecord, Provenance
from wsicomp.verification.region_checks import recipe_text

MOST_SAMPLED = 1 << 20
"""The most tiles of a sample."""


@dataclass(frozen=True)
class TileSample:
    """Tiles in a random order: the first so many of them stand for all."""

    levels: NDArray[np.int64] = field(repr=False)
    """The level of each tile."""
    numbers: NDArray[np.int64] = field(repr=False)
    """Its number in its level, in raster order from 0."""
    of: int
    """The count of tiles that they stand for."""

    @property
    def count(self) -> int:
        """The count of tiles of the sample."""
        return len(self.numbers)

    def indices(self, provenance: Provenance) -> Iterator[TileIndex]:
        """Yield the tiles, in the levels of the conversion whose sample it is."""
        for level, number in zip(self.levels, self.numbers, strict=True):
            row, column = divmod(int(number), provenance.plan.levels[level].grid.columns)
            yield TileIndex(int(level), column, row)


def sample_lossy_tiles(provenance: Provenance, is_direct: bool, seed: int) -> TileSample:
    """Return the tiles of all levels that can differ from the source, in an order that the seed decides.

    Where the source is not the file that was converted but one before it (`is_direct` is False), these are
    all tiles with bytes of their own. Tiles of which less than 11 px a side lie inside their level have no
    SSIM, and are left out.

    Memory: 16 bytes for each of at most 2^20 tiles; in passing some bytes for each tile of the slide.
    """
    lossy = [
        _lossy(plan, record, is_direct)
        for plan, record in zip(provenance.plan.levels, provenance.levels, strict=True)
    ]
    ends = np.cumsum([np.count_nonzero(flags) for flags in lossy])
    total = int(ends[-1])
    ranks = np.random.default_rng(seed).choice(total, min(total, MOST_SAMPLED), replace=False)
    levels = np.searchsorted(ends, ranks, side="right")
    numbers = np.empty(len(ranks), np.int64)
    for level, flags in enumerate(lossy):
        here = levels == level
        numbers[here] = np.flatnonzero(flags)[ranks[here] - (ends[level] - np.count_nonzero(flags))]
    return TileSample(levels, numbers, total)


def _lossy(plan: LevelPlan, record: LevelRecord, is_direct: bool) -> NDArray[np.bool_]:
    """Return (rows, columns) bool: the tiles that can differ from the source and are large enough."""
    lossy = ~np.isin(plan.actions, WITHOUT_BYTES)
    if is_direct:
        exact = (number for number, recipe in enumerate(plan.recipes) if recipe.is_exact)
        lossy &= ~plan.takes(*exact)
        lossy.reshape(-1)[list(record.renewed)] = True
    lossy.reshape(-1)[list(record.lost)] = False
    last = plan.grid.region(plan.grid.columns - 1, plan.grid.rows - 1)
    if last.width < LEAST_SIDE_PX:
        lossy[:, -1] = False
    if last.height < LEAST_SIDE_PX:
        lossy[-1] = False
    return lossy


class CodecNames:
    """Names by which tiles of a conversion are told apart: codec and setting, region, and what was else."""

    def __init__(self, provenance: Provenance) -> None:
        self._plan = provenance.plan
        self._renewed = [frozenset(record.renewed) for record in provenance.levels]
        self._fell_back = [
            frozenset(
                number
                for guarded in (record.guarded, *record.guarded_by_recipe)
                for number in (() if guarded is None else guarded.fell_back)
            )
            for record in provenance.levels
        ]

    def of(self, index: TileIndex) -> str:
        """Return the name of a tile's codec: "jpeg (quality 90)", "jpegxl (distance 1.0), region Tumor"."""
        level = self._plan.levels[index.level]
        recipe, number = level.recipe(index), index.row * level.grid.columns + index.column
        if number in self._renewed[index.level]:
            return "encoded anew, to name nobody"
        name = recipe_text(recipe) if recipe.is_exact else lossy_recipe_text(recipe, self._plan)
        region = f", region {recipe.region}" if recipe.region else ""
        return f"{name}{region}{', fell back' if number in self._fell_back[index.level] else ''}"
