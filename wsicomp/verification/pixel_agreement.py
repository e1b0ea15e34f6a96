"""Checks the pixels of a written file against those that other programs show, of the file and of its source.

wsicomp's reader decodes with the code that the writer used, and so shares its faults. Here OpenSlide decodes
the same places, or other libraries where it does not open a file. The places are drawn by a seed from the
file's digest, so that a repeated check reads the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import attrgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.registry import create_codec, create_codec_among, is_guarded
from wsicomp.concurrency.threads import batched
from wsicomp.deidentification.deidentify import carried_tile
from wsicomp.errors import SlideReadError
from wsicomp.files.limits import tiles_at_once
from wsicomp.formats.base import Slide
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Region, TileIndex
from wsicomp.plan.conversion_plan import Color
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.plan.provenance import LevelRecord, Provenance
from wsicomp.slide import NEURAL, Level, Pixels
from wsicomp.verification.other_readers import PlacedPixels, StoredRegions, decoded_by_others, difference
from wsicomp.verification.problems import Problem
from wsicomp.verification.reader_agreement import (
    AT_ONCE,
    OPENSLIDE,
    OTHERS,
    ReferenceReader,
    chosen_tiles,
    regions_of,
    seed_of,
    shown_regions,
    tile_at,
)
from wsicomp.verification.tolerance import Tolerance, by_decoders, is_chroma_subsampled, tolerance_of

_NEURAL_REGIONS = 8
_REDUCED_REGIONS = 4
_MOST_REDUCED_PX = 1024
_MOST_LISTED = 4
_REGION_TILES = 256
"""The most tiles of a level that regions keep without loss and other programs look at."""
_PAINTED = 24
"""Grey levels from its colour within which a pixel of a mixed tile may be painted glass."""
_RINGING_PX = 17
_LEAST_PX = 256
_MOST_EXCUSED = 3.0
"""The multiple of its tolerance by which a tile may be off if its codec does the same again."""
_RENEWED_MEAN = 3.0
"""Grey levels that a JPEG tile may lose in the mean when it is encoded again with its own quantisation."""
_SAME_SHIFT = 3.0
"""Grey levels within which two encodings of the same pixels are equal: paint beside them may differ."""


def _first_few(found: list[Problem]) -> Iterator[Problem]:
    yield from found[:_MOST_LISTED]
    if len(found) > _MOST_LISTED:
        last = found[_MOST_LISTED]
        more = f"{len(found) - _MOST_LISTED} more tiles of this level differ so, of those looked at"
        yield Problem(last.code, last.place, f"{last.message}; {more}")


class PixelCheck:
    """Finds tiles that other programs show otherwise than wsicomp, or than the source.

    The work on a level is in pieces, to be done beside other work on the level. With `thorough` every tile of
    each level's last row and column is read, and many others.
    """

    def __init__(self, target: TiffSlide, source: Slide | None, thorough: bool = False) -> None:
        self._target = target
        self._thorough = thorough
        self._found: list[list[Problem]] = []
        self._provenance = target.provenance
        self._by_openslide = shown_regions(target)
        self._stored = StoredRegions(target)
        self._against_source = None
        if source is not None and target.provenance is not None:
            self._against_source = _SourceCheck(target.provenance, ReferenceReader(source))

    def pieces(self, number: int) -> list[Callable[[], None]]:
        """Return the work on the level of this number, each piece of which may be done in any thread."""
        tile = self._target.info.levels[number].tile
        parts = list(batched(self.chosen(number), tiles_at_once(tile, AT_ONCE)))
        found: list[list[Problem]] = [[] for _ in parts]
        self._found += found
        return [partial(self._look, *piece) for piece in zip(parts, found, strict=True)]

    def _look(self, indices: list[TileIndex], found: list[Problem]) -> None:
        found += (problem for index in indices if (problem := self.problem(index)) is not None)

    def problems(self, reported: frozenset[str]) -> list[Problem]:
        """Return a problem for each tile but those `reported` already, once all work is done."""
        found = [one for part in self._found for one in part if one.place not in reported]
        levels = groupby(found, attrgetter("level"))
        return [problem for _, of_level in levels for problem in _first_few(list(of_level))]

    def chosen(self, number: int) -> list[TileIndex]:
        """Return the tiles to check of the level of this number."""
        level = self._target.info.levels[number]
        wanted = np.ones(level.grid.count, bool)
        wanted[list(level.absent)] = False
        wanted[[*level.blank][1:]] = False  # they are few, and `verify` looks at one of each colour
        most = regions_of(level.encoding)
        if self._provenance is not None:
            plan, record = self._provenance.plan.levels[number], self._provenance.levels[number]
            letters = plan.actions.reshape(-1)
            wanted[letters == TileAction.EMPTY.value] = False
            blank = np.flatnonzero(letters == TileAction.BLANK.value)
            wanted[blank[1:]] = False
            wanted[list(record.lost)] = False
            if plan.encoding.compression == NEURAL:
                most = _NEURAL_REGIONS if self._target.has_model else 0
            if plan.reduction > 1:
                most = min(most, _REDUCED_REGIONS) if self._against_source is not None else most
        thorough = self._thorough
        chosen = chosen_tiles(number, level, wanted, seed_of(self._target), most, thorough) if most else []
        if self._provenance is None:
            return chosen
        kept = self._provenance.plan.levels[number].kept_exact.reshape(-1) & wanted
        return list(dict.fromkeys([*chosen, *_some(np.flatnonzero(kept), number, level, thorough)]))

    def problem(self, index: TileIndex) -> Problem | None:
        """Return the first problem of a tile."""
        region = self._target.info.levels[index.level].grid.region(index.column, index.row)
        try:
            own = self._target.read_tile(index)[: region.height, : region.width]
        except SlideReadError:
            return None  # that it is damaged is said elsewhere
        ours = PlacedPixels(own, region.x, region.y)
        try:
            displayed, program = self._displayed(index, region)
        except SlideReadError as exc:
            return Problem("pixels-differ", str(index), f"it is sound, but {exc.message}")
        if displayed is not None and not self._agree(index, ours, displayed):
            found = difference(ours.at(displayed), displayed.pixels)
            return Problem(
                "pixels-differ", str(index), f"{program} shows it otherwise than wsicomp reads it: {found}"
            )
        if self._against_source is None:
            return None
        message = self._against_source.message(index, ours if displayed is None else displayed, program)
        return None if message is None else Problem("pixels-differ", str(index), message)

    def _displayed(self, index: TileIndex, region: Region) -> tuple[PlacedPixels | None, str]:
        size = self._target.info.levels[index.level].size
        if self._by_openslide is not None and not self._target.is_redrawn_by_openslide(index.level):
            placed = self._by_openslide.read(size, region)
            if placed is not None:
                return placed, OPENSLIDE
        return self._stored.read(index.level, region), OTHERS

    def _agree(self, index: TileIndex, ours: PlacedPixels, displayed: PlacedPixels) -> bool:
        found = difference(ours.at(displayed), displayed.pixels)
        if not found.worst:
            return True
        encoding = self._target.info.levels[index.level].encoding
        subsampled = encoding is not None and is_chroma_subsampled(encoding, self._target.read_stored(index))
        return by_decoders(found, subsampled, not displayed.is_whole)


def _some(numbers: NDArray[np.intp], level: int, of: Level, thorough: bool) -> Iterator[TileIndex]:
    """Yield tiles that regions keep, spread evenly over the level; with `thorough` all."""
    if len(numbers) > _REGION_TILES and not thorough:
        numbers = numbers[np.linspace(0, len(numbers) - 1, _REGION_TILES).round().astype(int)]
    for number in numbers.tolist():
        yield TileIndex(level, number % of.grid.columns, number // of.grid.columns)


class _SourceCheck:
    """Checks tiles of our own file, as other programs show them, against their source."""

    def __init__(self, provenance: Provenance, source: ReferenceReader) -> None:
        self._plan = provenance.plan
        self._records = provenance.levels
        self._source = source

    def message(self, index: TileIndex, placed: PlacedPixels, program: str) -> str | None:
        """Return in words how a tile differs from its source."""
        plan, record = self._plan.levels[index.level], self._records[index.level]
        action = plan.action(index)
        if action is TileAction.BLANK:
            return None
        if plan.reduction > 1:
            return self._against_reduced(plan, record, index, placed)
        if not self._is_lossless(plan.recipe(index), action):
            return self._short(plan, record, index, placed, program)
        quick = (
            self._source.displayed(plan.source_level, plan.grid.region(index.column, index.row))
            if program == OPENSLIDE
            else None
        )
        if quick is not None and np.array_equal(quick.pixels, placed.pixels):
            return None
        return self._unequal(plan, index, placed, program)

    def _unequal(self, plan: LevelPlan, index: TileIndex, placed: PlacedPixels, program: str) -> str | None:
        """Return in words how a lossless tile differs from its source."""
        region = plan.grid.region(index.column, index.row)
        truth = self._source.reference(plan.source_level, region)
        ends = None if truth is None else _overlapped(placed, truth.placed)
        if truth is None or ends is None:
            return None
        found = difference(*ends)
        is_carried = plan.actions[index.row, index.column] != TileAction.ENCODE.value
        exact = is_carried and truth.program == program == OPENSLIDE and placed.is_whole
        interpolated = not (placed.is_whole and truth.placed.is_whole)
        if by_decoders(found, self._is_subsampled(plan, region), interpolated, exact):
            return None
        if found.mean <= _RENEWED_MEAN and self._is_renewed(plan, index):
            return None
        return f"{program} shows it otherwise than the source, though it is lossless: {found}"

    def _short(
        self, plan: LevelPlan, record: LevelRecord, index: TileIndex, placed: PlacedPixels, program: str
    ) -> str | None:
        """Return in words how an encoded tile exceeds its tolerance."""
        truth = self._source.reference(plan.source_level, plan.grid.region(index.column, index.row))
        ends = None if truth is None else _overlapped(placed, truth.placed)
        if truth is None or ends is None:
            return None
        here, there = ends
        action = plan.action(index)
        kept = self._kept(here, action, self._plan.color(index))
        if int(kept.sum()) < _LEAST_PX and action is not TileAction.ENCODE:
            return None
        tolerance = tolerance_of(plan.recipe(index), record.guarded_of(plan.recipe_number(index)))
        tile = plan.grid.region(index.column, index.row).size
        tile_px = tile.width * tile.height
        short = tolerance.violation(there, here, kept, tile_px)
        # What its own encoder makes again excuses little: that one may be what is wrong.
        widest = Tolerance(_MOST_EXCUSED * tolerance.shift)
        near = short is not None and widest.violation(there, here, kept, tile_px) is None
        if short is None or (near and self._codec_does_the_same(plan, index, placed, truth.placed, kept)):
            return None
        return f"{short}, as {program} shows it beside the source"

    def _codec_does_the_same(
        self,
        plan: LevelPlan,
        index: TileIndex,
        placed: PlacedPixels,
        truth: PlacedPixels,
        kept: NDArray[np.bool_],
    ) -> bool:
        """Return whether the codec makes the same of the source's pixels.

        It may make noise of a damaged tile.
        """
        region = plan.grid.region(index.column, index.row)
        if not plan.keeps_tiles_of(self._source.slide.info.levels) or plan.encoding.compression == NEURAL:
            return False
        if truth.pixels.shape[:2] != region.size.shape:
            return False
        with suppress(SlideReadError, ValueError, RuntimeError, OSError):
            pixels = self._source.slide.read_tile(
                TileIndex(plan.source_level, index.column, index.row)
            ).copy()
            pixels[: region.height, : region.width] = truth.pixels
            recipe = plan.recipe(index)
            codec = create_codec_among(recipe.codec, recipe.options, recipe.encoding)
            honest = decoded_by_others(codec.encode(pixels), codec.encoding, plan.tile)
            if honest is not None:
                there = PlacedPixels(honest, region.x, region.y).at(placed)
                bound = Tolerance(_SAME_SHIFT, 2 * _SAME_SHIFT)
                return bound.violation(there, placed.pixels, kept, kept.size) is None
        return False

    def _is_lossless(self, recipe: Recipe, action: TileAction) -> bool:
        if action in (TileAction.COPY, TileAction.TRANSCODE):
            return True
        if action is not TileAction.ENCODE or is_guarded(recipe.codec):
            return False
        return create_codec(recipe.codec, recipe.options).lossless

    def _is_renewed(self, plan: LevelPlan, index: TileIndex) -> bool:
        """Return whether a carried tile had to be encoded to name nobody, with the loss of that."""
        if not self._plan.deidentified:
            return False
        region = plan.grid.region(index.column, index.row)
        place = TileIndex(plan.source_level, index.column, index.row)
        with suppress(SlideReadError, ValueError, RuntimeError, OSError):
            tile = self._source.slide.read_encoded_tile(place)
            return carried_tile(tile, plan.recipe(index).shown, region.size).is_anew
        return False

    def _is_subsampled(self, plan: LevelPlan, region: Region) -> bool:
        level = self._source.slide.info.levels[plan.source_level]
        if level.encoding is None:
            return False
        with suppress(SlideReadError):
            tile = self._source.slide.read_encoded_tile(tile_at(level, plan.source_level, region))
            return is_chroma_subsampled(level.encoding, tile.data)
        return True

    def _kept(self, reference: Pixels, action: TileAction, paint: Color) -> NDArray[np.bool_]:
        """Return which pixels of a tile were not painted: all but the paint and the ringing beside it."""
        if action is TileAction.ENCODE:
            return np.ones(reference.shape[:2], bool)
        painted = (np.abs(reference.astype(np.int16) - np.array(paint, np.int16)).max(-1) <= _PAINTED).astype(
            np.uint8
        )
        spread = cv2.dilate(painted, np.ones((_RINGING_PX, _RINGING_PX), np.uint8))
        return np.asarray(spread == 0, bool)

    def _against_reduced(
        self, plan: LevelPlan, record: LevelRecord, index: TileIndex, placed: PlacedPixels
    ) -> str | None:
        """Return in words how a level that the source lacks differs from the means of the source's pixels."""
        level = self._source.slide.info.levels[plan.source_level].size
        left, top = round(placed.x) * plan.reduction, round(placed.y) * plan.reduction
        width, height = (side * plan.reduction for side in placed.pixels.shape[1::-1])
        if not placed.is_whole or max(width, height) > _MOST_REDUCED_PX:
            return None
        whole = Region(left, top, min(width, level.width - left), min(height, level.height - top))
        truth = self._source.reference(plan.source_level, whole)
        if truth is None or truth.placed.pixels.shape[:2] != whole.size.shape or not truth.placed.is_whole:
            return None
        there = cv2.resize(truth.placed.pixels, placed.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
        kept = self._kept(placed.pixels, TileAction.MASK_AND_ENCODE, self._plan.color(index))
        if int(kept.sum()) < _LEAST_PX:
            return None
        tolerance = tolerance_of(plan.recipe(index), record.guarded_of(plan.recipe_number(index)))
        short = tolerance.violation(np.asarray(there), placed.pixels, kept, kept.size)
        return None if short is None else f"{short}, beside the means of the source's pixels"


def _overlapped(first: PlacedPixels, second: PlacedPixels) -> tuple[Pixels, Pixels] | None:
    """Return the pixels of both at one common place; None where neither holds the other."""
    if (first.x, first.y) == (second.x, second.y) and first.pixels.shape == second.pixels.shape:
        return first.pixels, second.pixels
    if first.is_whole and _holds(first, second):
        return first.at(second), second.pixels
    if second.is_whole and _holds(second, first):
        return first.pixels, second.at(first)
    return None


def _holds(first: PlacedPixels, second: PlacedPixels) -> bool:
    """Return whether the second lies in the first."""
    rows, columns = second.pixels.shape[:2]
    return (
        first.x <= second.x
        and first.y <= second.y
        and second.x + columns <= first.x + first.pixels.shape[1]
        and second.y + rows <= first.y + first.pixels.shape[0]
    )
