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

from wsicomp.codecs.registry import bytes_a_pixel
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex
from wsicomp.progress import StageProgress
from wsicomp.slide import Level, Pixels
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

    def look(run: list[TileIndex]) -> list[TileFinding]:
        return _look(slide, guard, run, _glass_by_mask(mask, kinds, levels, run, guard))

    threads = min(workers_for(level.tile, workers, bytes_a_pixel(level.encoding)) for level in levels)
    runs = _runs(to_check, levels, guard)
    with closing(ordered_map(look, runs, threads)) as looked_at:
        for found in looked_at:
            findings.add(found)
            for tile in (finding.tile for finding in found if finding.is_damaged and finding.glass is None):
                kinds[tile.level][tile.row, tile.column] = TileKind.RESCUED
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


def _runs(
    flags: Sequence[NDArray[np.bool_]], levels: Sequence[Level], guard: GlassGuard
) -> Iterator[list[TileIndex]]:
    """Yield the marked tiles in runs: tiles of one row, from left to right, that all reach equally far.

    A tile that the level's right edge cuts is a run by itself.
    """
    for number, (flag, level) in enumerate(zip(flags, levels, strict=True)):
        whole = level.size.width // level.tile.width
        for row in np.flatnonzero(flag.any(axis=1)).tolist():
            tiles = [TileIndex(number, column, row) for column in np.flatnonzero(flag[row]).tolist()]
            yield from batched((tile for tile in tiles if tile.column < whole), guard.tiles_at_once(level))
            yield from ([tile] for tile in tiles if tile.column >= whole)


def _glass_by_mask(
    mask: TissueMask,
    kinds: Sequence[NDArray[np.uint8]],
    levels: Sequence[Level],
    run: Sequence[TileIndex],
    guard: GlassGuard,
) -> list[NDArray[np.bool_] | None]:
    """Return where the mask calls each tile of a run glass, in blocks; None for a tile that is all glass."""
    level, row = levels[run[0].level], run[0].row
    columns = np.array([tile.column for tile in run])
    mixed = columns[kinds[run[0].level][row, columns] == TileKind.MIXED].tolist()
    if not mixed:
        return [None] * len(run)
    glass = ~mask.over_tiles(level, mixed, row, guard.block_px(level))
    by_column = dict(zip(mixed, glass, strict=True))
    return [by_column.get(column) for column in columns.tolist()]


def _look(
    slide: Slide, guard: GlassGuard, run: Sequence[TileIndex], glass: Sequence[NDArray[np.bool_] | None]
) -> list[TileFinding]:
    """Return what the guard finds on each tile of a run."""
    read, blocks = guard.block_reader(slide, run[0]), list[Pixels]()
    sound: list[tuple[TileIndex, NDArray[np.bool_] | None]] = []
    damaged: list[TileFinding] = []
    for tile, own in zip(run, glass, strict=True):
        try:
            blocks.append(read(tile))
            sound.append((tile, own))
        except TileReadError:
            damaged.append(TileFinding(tile, own, None, is_damaged=True))
    tiles, glass = [tile for tile, _ in sound], [own for _, own in sound]
    found = guard.find_among(blocks, slide.info.levels[run[0].level], tiles, glass) if tiles else []
    return damaged + [TileFinding(*one) for one in zip(tiles, glass, found, strict=True)]


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
        own[saves.reaches_into(level) & (own == TileKind.GLASS)] = TileKind.RESCUED
        own[on_glass.reaches_into(level) & (own == TileKind.MIXED)] = TileKind.PROTECTED
    return TileClasses(tuple(kinds), found)
