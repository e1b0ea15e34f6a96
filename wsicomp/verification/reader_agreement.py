"""Checks that wsicomp reads a slide as OpenSlide and other libraries do.

Where wsicomp and OpenSlide do not agree, a third program decides: for 33003 tiles that hold RGB, OpenSlide
alone is wrong. The tiles are drawn by a fixed seed, so that a repeated check reads the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import openslide
from numpy.typing import NDArray
from openslide import OpenSlide

from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.files.limits import tiles_at_once, workers_for
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, Level, TileEncoding
from wsicomp.verification.other_readers import (
    SMALL_PX,
    Difference,
    OpenSlideRegions,
    PlacedPixels,
    StoredRegions,
    difference,
)
from wsicomp.verification.tolerance import by_decoders, is_chroma_subsampled

Result = TypeVar("Result")

REGIONS = 32
"""The count of tiles read in a level, a quarter of them in its last row or column."""
FEW_REGIONS = 12
"""The count where tiles are slow to decode, and for a source before it is converted."""
_THOROUGH_REGIONS = 2048
AT_ONCE = 8
"""The most tiles that a thread reads at a time."""
_READ_PX, _LEAST_REGIONS = 1 << 25, 2
"""The pixels read in a level, at least two tiles of them.

Fewer than `REGIONS` tiles if they exceed 1024 px.
"""
OPENSLIDE = f"OpenSlide {openslide.__library_version__}"
OTHERS = "another decoder"
"""Pillow or libtiff for the codecs that they know, else the codec's own library."""


@dataclass(frozen=True)
class Disagreement:
    """A tile of a slide that another program shows otherwise than wsicomp reads it."""

    place: str
    """The tile."""
    found: Difference
    """How far both are apart."""
    program: str
    """The other program."""
    is_ours_alone: bool
    """Whether every other program that was asked shows the other picture."""

    def __str__(self) -> str:
        if self.is_ours_alone:
            return f"{self.place} is read otherwise than {self.program} shows it: {self.found}"
        return f"{self.program} alone shows {self.place} otherwise than its bytes say: {self.found}"


def check_reading(slide: Slide, workers: int = 1, most: int = REGIONS) -> list[Disagreement]:
    """Return the tiles that other programs show otherwise, of at most `most` tiles read in a level.

    Damaged tiles are left out.
    """
    source = ReferenceReader(slide)
    found: list[Disagreement] = []
    for number, level in enumerate(slide.info.levels):
        if slide.is_by_openslide(number):
            continue
        letters = np.ones(level.grid.count, bool)
        letters[[*level.absent, *level.blank]] = False
        few = min(most, regions_of(level.encoding))
        chosen = chosen_tiles(number, level, letters, seed_of(slide), most=few)
        found += found_on(chosen, source.disagreement, level.tile, workers)
    return found


def found_on(
    indices: Iterable[TileIndex], find: Callable[[TileIndex], Result | None], tile: Size, workers: int
) -> list[Result]:
    """Return what `find` finds on tiles of one size, but for the None of others; in `workers` threads."""

    def found(batch: list[TileIndex]) -> list[Result]:
        return [one for index in batch if (one := find(index)) is not None]

    parts = batched(indices, tiles_at_once(tile, AT_ONCE))
    with closing(ordered_map(found, parts, workers_for(tile, workers))) as batches:
        return [one for batch in batches for one in batch]


def disagreement_notes(found: Sequence[Disagreement]) -> list[str]:
    """Return the disagreements in words: the worst of either kind, and their count."""
    lines = []
    for alone in (True, False):
        alike = [one for one in found if one.is_ours_alone is alone]
        if alike:
            worst = max(alike, key=lambda one: one.found.mean)
            more = f"; so are {len(alike) - 1} more tiles of those looked at" if len(alike) > 1 else ""
            lines.append(f"{worst}{more}")
    return lines


@dataclass(frozen=True)
class Reference:
    """The true pixels of a region of a source."""

    placed: PlacedPixels
    """The pixels and their place."""
    program: str
    """The program that decoded them."""
    disagreement: Disagreement | None = None
    """How wsicomp's own pixels differ; None where they agree."""


class ReferenceReader:
    """Reads regions of a slide by other programs, and decides which one is right."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.by_openslide = shown_regions(slide)
        self.stored = StoredRegions(slide)

    def disagreement(self, index: TileIndex) -> Disagreement | None:
        """Return how other programs show a tile otherwise than wsicomp reads it; None where they agree."""
        region = self.slide.info.levels[index.level].grid.region(index.column, index.row)
        reference = self.reference(index.level, region)
        return None if reference is None else reference.disagreement

    def reference(self, level: int, region: Region) -> Reference | None:
        """Return the true pixels of a region in the level's own pixels, and the program that decoded them.

        Return None where wsicomp cannot read the region.
        """
        try:
            own = self.slide.read_region(level, region)
        except SlideReadError:
            return None
        ours = PlacedPixels(own, region.x, region.y)
        if self.slide.is_by_openslide(level):
            return Reference(ours, OPENSLIDE)
        placed = self.displayed(level, region)
        if placed is None:
            return self._by_stored(level, region, ours)
        if self._agree(level, region, ours, placed):
            return Reference(placed, OPENSLIDE)
        found = difference(ours.at(placed), placed.pixels)
        place = str(tile_at(self.slide.info.levels[level], level, region))
        other = self.stored.read(level, region)
        if other is not None and self._agree(level, region, other, ours):
            return Reference(ours, OTHERS, Disagreement(place, found, OPENSLIDE, is_ours_alone=False))
        return Reference(placed, OPENSLIDE, Disagreement(place, found, OPENSLIDE, is_ours_alone=True))

    def _by_stored(self, level: int, region: Region, ours: PlacedPixels) -> Reference:
        other = self.stored.read(level, region)
        if other is None:
            return Reference(ours, "wsicomp")
        if self._agree(level, region, ours, other):
            return Reference(other, OTHERS)
        found = difference(ours.pixels, other.pixels)
        place = str(tile_at(self.slide.info.levels[level], level, region))
        return Reference(other, OTHERS, Disagreement(place, found, OTHERS, is_ours_alone=True))

    def displayed(self, level: int, region: Region) -> PlacedPixels | None:
        """Return a region, in the level's own pixels, as OpenSlide shows it.

        Return None where OpenSlide does not read it, or shows something else than what is stored.
        """
        slide = self.slide
        if self.by_openslide is None or not slide.is_exact(level) or slide.is_redrawn_by_openslide(level):
            return None
        if not _is_whole(slide, level, region):
            return None
        try:
            return self.by_openslide.read(slide.info.levels[level].size, region)
        except SlideReadError:
            return None

    def _agree(self, level: int, region: Region, first: PlacedPixels, second: PlacedPixels) -> bool:
        found = difference(first.at(second), second.pixels)
        if not found.worst:
            return True
        index = tile_at(self.slide.info.levels[level], level, region)
        encoding = self.slide.info.levels[level].encoding
        subsampled = False
        if encoding is not None:
            with suppress(SlideReadError):
                subsampled = is_chroma_subsampled(encoding, self.slide.read_encoded_tile(index).data)
        return by_decoders(found, subsampled, not second.is_whole)


def shown_regions(slide: Slide) -> OpenSlideRegions | None:
    """Return a slide's regions by OpenSlide; None where OpenSlide does not open it."""
    try:
        return OpenSlideRegions(slide.shown())
    except SlideReadError:
        return None


def refusal_of_openslide(slide: Slide) -> list[str]:
    """Return, in one line, OpenSlide's error for a source that it detects and does not open; else no line."""
    if slide.provenance is not None or OpenSlide.detect_format(slide.info.path) is None:
        return []
    try:
        slide.shown()
    except SlideReadError as exc:
        return [exc.message]
    return []


def tile_at(level: Level | LevelPlan, number: int, region: Region) -> TileIndex:
    """Return the index of the tile in which a region begins.

    `number` is the level's number, and the region is in the level's own pixels.
    """
    return TileIndex(number, region.x // level.tile.width, region.y // level.tile.height)


def _is_whole(slide: Slide, number: int, region: Region) -> bool:
    """Return whether each tile under a region has bytes.

    Programs differ in what they show for one without.
    """
    level = slide.info.levels[number]
    missing = np.zeros((level.grid.rows, level.grid.columns), bool)
    missing.reshape(-1)[list(level.absent)] = True
    if slide.provenance is not None:
        missing |= slide.provenance.plan.levels[number].actions == TileAction.EMPTY.value
    return not missing[level.grid.under(region)].any()


def seed_of(slide: Slide) -> int:
    """Return the seed for drawing tiles of a slide, the same at each call."""
    if slide.provenance is not None:
        return int(slide.provenance.plan.source.sha256[:8], 16)
    facts = [(level.size, level.tile, level.encoded_bytes) for level in slide.info.levels]
    return zlib.crc32(repr(facts).encode())


def chosen_tiles(
    number: int,
    level: Level | LevelPlan,
    wanted: NDArray[np.bool_],
    seed: int,
    most: int = REGIONS,
    thorough: bool = False,
) -> list[TileIndex]:
    """Return some `wanted` tiles of a level, some at its far edges; all of them in a small level."""
    grid = level.grid
    numbers = np.flatnonzero(wanted)
    columns, rows = numbers % grid.columns, numbers // grid.columns
    is_edge = (columns == grid.columns - 1) | (rows == grid.rows - 1)
    is_whole = level.size.width * level.size.height <= SMALL_PX and most == REGIONS
    if not is_whole:
        most = max(_LEAST_REGIONS, min(most, _READ_PX // (level.tile.width * level.tile.height)))
        chance = np.random.default_rng([seed, number])
        edges, others = numbers[is_edge], numbers[~is_edge]
        if not thorough:
            edges = _sample(chance, edges, max(1, most // 4))
        others = _sample(chance, others, _THOROUGH_REGIONS if thorough else most - len(edges))
        numbers = np.union1d(edges, others)
    return [TileIndex(number, int(one % grid.columns), int(one // grid.columns)) for one in numbers]


def regions_of(encoding: TileEncoding | None) -> int:
    """Return the count of tiles to read in a level: fewer of a format that is slow to decode."""
    slow = encoding is not None and encoding.compression in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR)
    return FEW_REGIONS if slow else REGIONS


def _sample(chance: np.random.Generator, numbers: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    return numbers if len(numbers) <= most else chance.choice(numbers, max(0, most), replace=False)
