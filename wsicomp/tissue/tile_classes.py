"""The class of each tile: tissue, glass, or both.

A tile is glass only if the mask says so and the guard finds nothing on it, on any level. A finding counts on
all levels, so that nothing visible in an overview is missing at full magnification.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex
from wsicomp.progress import StageProgress
from wsicomp.slide import Level
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.guard_findings import FindingsByPlace, TileFinding, gaps_beside
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.scale import margin_in_px

_BETWEEN_UM = 250.0


class TileKind(enum.IntEnum):
    """The class of a tile."""

    GLASS = 0
    """Nothing but glass; such tiles are removed."""
    MIXED = 1
    """Partly tissue and partly glass, which may be painted."""
    TISSUE = 2
    """Nothing but tissue."""
    RESCUED = 3
    """Glass to the mask, but not to the guard; kept whole."""
    PROTECTED = 4
    """Mixed, and a finding of the guard on glass reaches into it; kept whole."""


@dataclass(frozen=True)
class TileClasses:
    """The class of every tile of the source."""

    kinds: tuple[NDArray[np.uint8], ...]
    """For each level, the `TileKind` of each tile: (rows, columns) uint8."""
    found: TissueMask
    """What the guard found on all levels, with its margin."""


def classify_tiles(
    slide: Slide, mask: TissueMask, guard: GlassGuard, workers: int, progress: StageProgress
) -> TileClasses:
    """Return the class of every tile of every level: by the mask, then by the guard.

    `mask` has its margin. A tile that cannot be decoded is not glass, and has no effect on other levels.
    `progress` is called with tiles checked and tiles to check.

    Memory: a few decoded tiles for each worker.
    """
    levels = slide.info.levels
    kinds = [_classified_by_mask(mask.coverage(level)) for level in levels]
    to_check = _tiles_to_check(slide, kinds)
    total = sum(int(flags.sum()) for flags in to_check)
    findings = FindingsByPlace(slide.info, guard)
    done = 0

    def check(batch: list[TileIndex]) -> list[TileFinding]:
        return [checked(tile, glass_of(tile)) for tile in batch]

    def checked(tile: TileIndex, glass: NDArray[np.bool_] | None) -> TileFinding:
        try:
            return TileFinding(tile, glass, guard.find(slide, tile, glass))
        except TileReadError:
            return TileFinding(tile, glass, None, is_damaged=True)

    def glass_of(index: TileIndex) -> NDArray[np.bool_] | None:
        if kinds[index.level][index.row, index.column] == TileKind.GLASS:
            return None
        level = levels[index.level]
        return ~mask.over_cells(level, index.column, index.row, guard.block_px(level))

    largest = max((level.tile for level in levels), key=lambda tile: tile.width * tile.height)
    with closing(
        ordered_map(check, batched(_marked_tiles(to_check)), workers_for(largest, workers))
    ) as batches:
        for found in batches:
            for finding in found:
                findings.add(finding)
                if finding.is_damaged and finding.glass is None:
                    kinds[finding.tile.level][finding.tile.row, finding.tile.column] = TileKind.RESCUED
            done += len(found)
            progress(done, total)
    return _with_findings(
        kinds, levels, mask, findings.with_margin(), margin_in_px(slide.info, _BETWEEN_UM) / 2
    )


def _tiles_to_check(slide: Slide, kinds: list[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Return the flags of the tiles that the guard must check.

    Tissue is not checked, nor are tiles without bytes that show as pure white.
    """
    to_check = [(kind == TileKind.GLASS) | (kind == TileKind.MIXED) for kind in kinds]
    for number, flags in enumerate(to_check):
        if slide.shows_absent_white(number):
            flags.reshape(-1)[list(slide.info.levels[number].absent)] = False
    return to_check


def _marked_tiles(flags: Sequence[NDArray[np.bool_]]) -> Iterator[TileIndex]:
    for number, flag in enumerate(flags):
        for row, column in np.argwhere(flag).tolist():
            yield TileIndex(number, column, row)


def _classified_by_mask(coverage: NDArray[np.float64]) -> NDArray[np.uint8]:
    kinds = np.full(coverage.shape, TileKind.MIXED, np.uint8)
    kinds[coverage == 0] = TileKind.GLASS
    kinds[coverage == 1] = TileKind.TISSUE
    return kinds


def _with_findings(
    kinds: list[NDArray[np.uint8]],
    levels: Sequence[Level],
    mask: TissueMask,
    findings: tuple[TissueMask, TissueMask, TissueMask],
    reach_px: float,
) -> TileClasses:
    """Keep, and keep whole, every tile of all levels that a finding reaches into; return the classes.

    Findings where the mask sees tissue have the mask's own margin: they rescue no glass tile, but nothing
    near them is painted in mixed tiles. Gaps beside findings are kept, too.
    """
    on_glass, beside_tissue, near_tissue = findings
    beyond = replace(on_glass, pixels=on_glass.pixels | beside_tissue.pixels)
    gaps = gaps_beside(beyond, mask, reach_px)
    found = replace(on_glass, pixels=on_glass.pixels | near_tissue.pixels | gaps)
    saves = replace(beyond, pixels=beyond.pixels | gaps)
    for level, own in zip(levels, kinds, strict=True):
        own[(saves.coverage(level) > 0) & (own == TileKind.GLASS)] = TileKind.RESCUED
        own[(on_glass.coverage(level) > 0) & (own == TileKind.MIXED)] = TileKind.PROTECTED
    return TileClasses(tuple(kinds), found)
