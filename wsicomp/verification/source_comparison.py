"""Compares a conversion with its source tile by tile, whatever its plan, its mask and its figures state.

`tile_checks` compares copied and packed tiles by their bytes and pixels. Here every encoded tile must be as
near to the source's as its codec comes; where it is painted or blank, the guard must find bare glass in the
source once more.
"""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import DamagedTileError, TileReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.resample import read_reduced_tile
from wsicomp.geometry import Region, TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import WITHOUT_BYTES
from wsicomp.progress import StageProgress
from wsicomp.slide import Pixels
from wsicomp.tissue.independent_guard import IndependentGuard
from wsicomp.verification.level_bounds import ComparedLevel, RecipeBounds
from wsicomp.verification.overlap import covered, touched
from wsicomp.verification.painted_cells import (
    CELL_PX,
    SAME_SHIFT,
    cell_means,
    color_distance,
    is_nearer,
    painted_cells,
)
from wsicomp.verification.problems import UNLIKE, Problem
from wsicomp.verification.tolerance import Detail, Tolerance

_NOT_BLANK = 8.0
"""Grey levels from a tile's colour of glass within which a colour counts as background."""
_SAME = Tolerance(SAME_SHIFT, 2 * SAME_SHIFT)
"""The tolerance within which two encodings of the same pixels are equal: machines and versions differ."""
_RESEMBLES, _CONTRAST = 0.5, 6.0
"""The least correlation of blocks with the source's, and the grey levels of deviation that it needs."""
_MOST_APART = 16.0
"""Grey levels by which a tile's mean colour may be off where its codec is not known."""


@dataclass(frozen=True)
class TileComparison:
    """The result for one tile: its problem, and whether it is damaged in the source."""

    problem: Problem | None = None
    is_damaged: bool = False


class SourceComparison:
    """Compares a conversion with its source. May be called from several threads at once.

    `is_direct` says that it was made from this source, and not from another conversion of it.
    """

    def __init__(self, slide: ConvertedSlide, source: Slide, is_direct: bool, workers: int) -> None:
        self._slide = slide
        self._source = source
        self._is_direct = is_direct
        self._workers = workers
        self._guard = IndependentGuard(source, workers)
        provenance = slide.provenance
        self._levels = [
            ComparedLevel(plan, record, source.info.levels[plan.source_level])
            for plan, record in zip(provenance.plan.levels, provenance.levels, strict=True)
        ]
        self._lock = Lock()
        self._painted_px = 0

    @property
    def removed_area(self) -> float:
        """The part of level 0 that shows background, in [0, 1], once all of its tiles were compared."""
        level = self._levels[0]
        blank = sum(
            math.prod(level.plan.grid.region(int(column), int(row)).size.shape)
            for row, column in np.argwhere(np.isin(level.plan.actions, WITHOUT_BYTES))
        )
        return (blank + self._painted_px) / math.prod(level.plan.size.shape)

    def check_blanks(self, progress: StageProgress) -> list[Problem]:
        """Return a problem for each blank or empty tile whose source shows more than glass, at any level.

        Memory: a decoded tile for each worker, and two bytes for each tile of the source.
        """
        covered_by = self._blank_over_source()
        total = sum(int((numbers >= 0).sum()) for numbers, _ in covered_by)
        places = (
            TileIndex(level, column, row)
            for level, (numbers, _) in enumerate(covered_by)
            for row, column in np.argwhere(numbers >= 0).tolist()
        )
        problems: list[Problem] = []
        done = 0

        def checked(batch: list[TileIndex]) -> list[Problem]:
            found = (self._not_glass(index, *covered_by[index.level]) for index in batch)
            return [problem for problem in found if problem is not None]

        with closing(ordered_map(checked, batched(places), self._workers)) as batches:
            for found in batches:
                problems += found
                done = min(total, done + 32)
                progress(done, total)
        return problems

    def _blank_over_source(self) -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        """Return for each source level's tiles the blank level of the target over them.

        Beside its number, or -1 where none is blank, stands whether it is made from another source level. A
        level of the target is blank over tiles of its own source level, and over tiles of other levels that
        lie wholly under its blank tiles.
        """
        levels = self._source.info.levels
        numbers = [np.full((level.grid.rows, level.grid.columns), -1, np.int32) for level in levels]
        others = [np.zeros(grid.shape, np.bool_) for grid in numbers]
        blank = [level.blank(self._slide.provenance.plan.empties_glass) for level in self._levels]
        for level, flags in zip(self._levels, blank, strict=True):
            own = numbers[level.plan.source_level]
            own[touched(flags, level.plan, level.source) & (own < 0)] = level.plan.number
        for level, flags in zip(self._levels, blank, strict=True):
            for number, other in enumerate(levels):
                if number != level.plan.source_level and flags.any():
                    under = covered(flags, level.plan, other) & (numbers[number] < 0)
                    numbers[number][under] = level.plan.number
                    others[number][under] = True
        return list(zip(numbers, others, strict=True))

    def _not_glass(
        self, index: TileIndex, numbers: NDArray[np.int32], others: NDArray[np.bool_]
    ) -> Problem | None:
        is_other = others[index.row, index.column]
        place = self._blank_over(index, int(numbers[index.row, index.column]))
        try:
            found = self._guard.find(index)
        except TileReadError as exc:
            if is_other:
                return None
            return Problem(
                "tile-blanked", place, f"it is blank, and its source does not decode ({exc.message})"
            )
        if found is None:
            return None
        where = f"{index} of the source" if is_other or str(index) != place else "the source"
        return Problem("tile-blanked", place, f"it is blank, and {where} shows more than glass there")

    def _blank_over(self, index: TileIndex, number: int) -> str:
        """Return the tile of a target's level that lies over the middle of a tile of the source."""
        plan, level = self._levels[number].plan, self._source.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        column = (region.x + region.width / 2) * plan.size.width / level.size.width // plan.tile.width
        row = (region.y + region.height / 2) * plan.size.height / level.size.height // plan.tile.height
        return str(
            TileIndex(number, min(int(column), plan.grid.columns - 1), min(int(row), plan.grid.rows - 1))
        )

    def check_lost(self, index: TileIndex) -> Problem | None:
        """Return a problem if a tile is recorded as lost although the source's tile is sound; else None."""
        level = self._levels[index.level]
        try:
            if level.plan.action(index) in (TileAction.COPY, TileAction.TRANSCODE):
                self._source.read_encoded_tile(level.in_source(index))
            else:
                self._pixels(level, index)
        except TileReadError:
            return None
        return Problem("tile-not-lost", str(index), "it is recorded as lost, but the source's tile is sound")

    def _pixels(self, level: ComparedLevel, index: TileIndex) -> Pixels:
        """Return the source's pixels at the place of a tile of the target."""
        if level.plan.keeps_tiles_of(self._source.info.levels):
            return self._source.read_tile(level.in_source(index))
        return read_reduced_tile(self._source, level.plan, index.column, index.row)

    def compare(self, index: TileIndex, decoded: Pixels) -> TileComparison:
        """Compare an encoded tile with its source; `decoded` is the tile as the target shows it."""
        level = self._levels[index.level]
        is_damaged = False
        try:
            truth = self._pixels(level, index)
        except DamagedTileError as exc:
            truth, is_damaged = exc.pixels, True
        except TileReadError:
            return TileComparison(is_damaged=True)
        if not is_damaged and level.is_flawed(index):
            return TileComparison(
                Problem(
                    "tile-not-lost", str(index), "it is recorded as damaged, but the source's tile is sound"
                )
            )
        message = self._difference(level, index, decoded, truth, is_damaged)
        if message is None:
            return TileComparison(is_damaged=is_damaged)
        return TileComparison(Problem(*message[:1], str(index), message[1]), is_damaged)

    def _difference(
        self, level: ComparedLevel, index: TileIndex, decoded: Pixels, truth: Pixels, is_damaged: bool
    ) -> tuple[str, str] | None:
        """Return the code of the problem, and the problem in words."""
        region = level.plan.grid.region(index.column, index.row)
        here, there = (pixels[: region.height, : region.width] for pixels in (decoded, truth))
        if not self._is_direct:
            return self._lost_things(level, index, here, there) or self._other_picture(here, there)
        paints = level.plan.action(index) is TileAction.MASK_AND_ENCODE
        color = self._slide.provenance.plan.color(index)
        painted = painted_cells(here, there, color) if paints else None
        expected = truth if painted is None else self._with_paint(index, truth, painted)
        unlike = self._codec_excess(level.bounds(index), region, here, expected, decoded.shape)
        if unlike is not None and painted is not None:
            # A poor codec makes cells look painted, or not: what it makes of either tells them apart.
            # Where none tells, the tile may be the source all over; what looks painted is looked at still.
            by_codec = self._painted_by_codec(level, index, here, truth)
            expected = truth if by_codec is None else self._with_paint(index, truth, by_codec)
            painted = painted if by_codec is None else by_codec
            unlike = self._codec_excess(level.bounds(index), region, here, expected, decoded.shape) and unlike
        if unlike is not None:
            return UNLIKE, unlike
        if painted is not None and not is_damaged:
            blanked = self._painted_over(level, index, here, truth, painted)
            if blanked is not None:
                return "tile-blanked", blanked
        if painted is not None and expected is not truth and index.level == 0:
            gone = painted & (color_distance(cell_means(there, CELL_PX), self._paint(index)) > _NOT_BLANK)
            self._count_painted(gone, region)
        if level.bounds(index).is_loose:
            return self._lost_things(level, index, here, there) or self._other_picture(
                here, expected[: region.height, : region.width]
            )
        return None

    def _count_painted(self, painted: NDArray[np.bool_], region: Region) -> None:
        whole = painted.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[: region.height, : region.width]
        with self._lock:
            self._painted_px += int(whole.sum())

    def _paint(self, index: TileIndex) -> NDArray[np.float32]:
        """Return the colour that glass becomes in a tile."""
        return np.array(self._slide.provenance.plan.color(index), np.float32)

    def _is_paint(
        self, index: TileIndex, decoded: NDArray[np.float32], truth: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        return is_nearer(decoded, self._paint(index), truth)

    def _painted_by_codec(
        self, level: ComparedLevel, index: TileIndex, here: Pixels, truth: Pixels
    ) -> NDArray[np.bool_] | None:
        """Return the cells that are nearer to paint than to the source, both as the tile's codec shows them.

        None where nothing can be encoded again.
        """
        if level.bounds(index).codec is None:
            return None
        visible = level.plan.grid.region(index.column, index.row).size
        paint = np.empty_like(truth)
        paint[:] = self._paint(index).astype(np.uint8)
        off = []
        for pixels in (paint, truth):
            again = level.bounds(index).encoded_again(pixels, visible)
            if again is None:
                return None
            apart = here.astype(np.float32) - again[: here.shape[0], : here.shape[1]]
            off.append(cell_means(np.square(apart), CELL_PX).sum(-1))
        return np.asarray(off[0] < off[1])

    def _with_paint(self, index: TileIndex, truth: Pixels, painted: NDArray[np.bool_]) -> Pixels:
        """Return a whole tile of the source as it was before it was encoded.

        Paint continues beyond the edge.
        """
        rows, columns = (-(-side // CELL_PX) for side in truth.shape[:2])
        cells = np.pad(painted, ((0, rows - painted.shape[0]), (0, columns - painted.shape[1])), "edge")
        whole = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[: truth.shape[0], : truth.shape[1]]
        return np.where(whole[..., None], self._paint(index).astype(np.uint8), truth)

    def _codec_excess(
        self, bounds: RecipeBounds, region: Region, here: Pixels, expected: Pixels, shape: tuple[int, ...]
    ) -> str | None:
        """Return in words how far a tile is from its source, if its codec does not explain it."""
        there = expected[: region.height, : region.width]
        if bounds.is_lossless:
            is_equal = np.array_equal(here, there)
            return None if is_equal else "not the source's pixels, of which nothing was to be lost"
        kept = np.ones(here.shape[:2], np.bool_)
        tile_px = region.width * region.height
        detail = Detail.between(there, here)
        short = bounds.tolerance.violation(there, here, kept, tile_px)
        if bounds.codec is None or expected.shape != shape:
            return short or detail.mismatch()
        if short is None and detail.violation() is None:
            return None
        again = bounds.encoded_again(expected, region.size)
        if again is None:
            return short or detail.mismatch()
        again = again[: region.height, : region.width]
        if short is not None and _SAME.violation(again, here, kept, tile_px):
            return short
        return detail.violation(Detail.between(there, again))

    def _painted_over(
        self, level: ComparedLevel, index: TileIndex, here: Pixels, truth: Pixels, painted: NDArray[np.bool_]
    ) -> str | None:
        """Return in words what a tile's `painted` cells cover that is not glass in the source."""
        there = truth[: here.shape[0], : here.shape[1]]
        first, second = self._blocks(level, index, here, there)
        glass = self._is_paint(index, first, second)
        doubtful = glass & (color_distance(second, self._paint(index)) > _NOT_BLANK)
        # Beside painted cells a codec's noise brings pale tissue nearer to glass, and makes no glass of it.
        is_blank = color_distance(first, self._paint(index)) <= _NOT_BLANK
        doubtful &= is_blank | self._in_blocks(level, painted, first)
        if not doubtful.any():
            return None
        # What a tile's own glass is, its mask said: what is foreign whichever part of it is taken for that.
        found = self._guarded_blocks(level, index, there)
        beside = None if found is None else self._guarded_blocks(level, index, there, glass)
        if found is None or beside is None or not (doubtful := found & beside & doubtful).any():
            return None
        # Encoding takes longest. A thing of lost blocks is one of doubtful blocks.
        if self._thing(level, doubtful) is None:
            return None
        thing = self._thing(level, self._lost_blocks(level, index, here, truth, painted, doubtful))
        if thing is None:
            return None
        count = f"{int(thing.sum())} of its {found.size} blocks"
        return f"{count} are painted where the source shows more than glass"

    def _in_blocks(
        self, level: ComparedLevel, cells: NDArray[np.bool_], like: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return for each block of a tile the value of the cell around it."""
        scale = CELL_PX // self._guard.first.block_px(level.as_level(self._source))
        return cells.repeat(scale, axis=0).repeat(scale, axis=1)[: like.shape[0], : like.shape[1]]

    def _thing(self, level: ComparedLevel, blocks: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Return the blocks that make up a thing by itself: another mask makes other fringes."""
        form = level.as_level(self._source)
        whole = _without_threads(blocks) if self._guard.first.block_px(form) == 1 else blocks
        return self._guard.first.things(whole, form)

    def _lost_blocks(
        self,
        level: ComparedLevel,
        index: TileIndex,
        here: Pixels,
        truth: Pixels,
        painted: NDArray[np.bool_],
        doubtful: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return the doubtful blocks that look more like background than the codec makes them.

        A codec too loses much of a small thing: what it shows as background, nobody painted. Where nothing
        can be encoded again, all blocks count. What many codecs make of a place depends on the whole tile,
        which was painted in part or not at all.
        """
        side = self._guard.first.block_px(level.as_level(self._source))
        scale = CELL_PX // side
        rows, columns = np.nonzero(doubtful)
        unpainted = painted.copy()
        unpainted[rows // scale, columns // scale] = False
        visible = level.plan.grid.region(index.column, index.row).size
        lost = doubtful
        for cells in (unpainted, np.zeros_like(painted)):
            pixels = self._with_paint(index, truth, cells)
            again = level.bounds(index).encoded_again(pixels, visible) if lost.any() else None
            if again is not None:
                first, second = self._blocks(level, index, here, again[: here.shape[0], : here.shape[1]])
                is_shown = color_distance(second, self._paint(index)) > _NOT_BLANK
                lost = lost & is_shown & self._is_paint(index, first, second)
        return lost

    def _guarded_blocks(
        self, level: ComparedLevel, index: TileIndex, there: Pixels, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        if level.plan.keeps_tiles_of(self._source.info.levels):
            with suppress(TileReadError):
                return self._guard.find(level.in_source(index), glass)
        return self._guard.find_in(there, level.as_level(self._source), index, glass)

    def _blocks(
        self, level: ComparedLevel, index: TileIndex, here: Pixels, there: Pixels
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the means of both tiles' blocks, in the guard's block size."""
        form, region = level.as_level(self._source), level.plan.grid.region(index.column, index.row)
        first, second = (
            self._guard.first.blocks_of(np.ascontiguousarray(pixels), form, region).astype(np.float32)
            for pixels in (here, there)
        )
        return first, second

    def _lost_things(
        self, level: ComparedLevel, index: TileIndex, here: Pixels, there: Pixels
    ) -> tuple[str, str] | None:
        """Return a problem if things on the source's glass became glass.

        For tiles whose codec's tolerance is not known.
        """
        found = self._guarded_blocks(level, index, there)
        if found is None:
            return None
        first, second = self._blocks(level, index, here, there)
        region = level.plan.grid.region(index.column, index.row)
        lost = np.zeros(found.shape, np.bool_)
        glass = self._guard.first.color_of(found.shape, level.as_level(self._source), region)
        for bare in (self._paint(index), np.moveaxis(glass, 0, -1)):
            is_bare = color_distance(first, bare) < color_distance(first, second)
            lost |= found & is_bare & (color_distance(second, bare) > _NOT_BLANK)
        if lost.sum() * 2 <= found.sum():
            return None
        found_lost = f"{int(lost.sum())} of its blocks show glass where the source shows more than that"
        return "tile-blanked", found_lost

    def _other_picture(self, here: Pixels, there: Pixels) -> tuple[str, str] | None:
        """Return a problem if a tile shows something else, where the codec's tolerance is not known."""
        other = Detail.between(there, here).mismatch()
        if other is not None:
            return UNLIKE, other
        first, second = (cell_means(pixels, CELL_PX) for pixels in (here, there))
        shift = float(np.abs(first.mean((0, 1)) - second.mean((0, 1))).max())
        if shift > _MOST_APART:
            return UNLIKE, f"its mean colour is {shift:.1f} grey levels off the source's"
        first, second = first.mean(-1), second.mean(-1)
        if min(first.size, second.size) < 16 or second.std() < _CONTRAST:
            return None
        alike = 0.0 if first.std() < 1e-3 else float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
        if alike >= _RESEMBLES:
            return None
        return UNLIKE, f"it is another picture than the source's (a correlation of {alike:.2f})"


def _without_threads(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the blocks without lines one block wide: where blocks are single pixels, those are fringes."""
    square = np.ones((2, 2), np.uint8)
    return np.asarray(cv2.morphologyEx(blocks.view(np.uint8), cv2.MORPH_OPEN, square).view(np.bool_))
