"""Whether a slide is read here as others see it: OpenSlide, and the libraries of others on its stored tiles.

Where we and OpenSlide do not agree, a third is asked: of 33003 tiles that hold RGB, OpenSlide alone is wrong.
The places are drawn by a fixed seed, so that a check that is repeated finds the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import openslide
from numpy.typing import NDArray
from openslide import OpenSlide

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, TileIndex
from wsicomp.limits import tiles_at_once, workers_for
from wsicomp.plan import LevelPlan, TileAction
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

REGIONS = 32
"""How many tiles of a level are looked at, a quarter of them in its last row or column."""
FEW_REGIONS = 12
"""As many are where tiles are slow to decode, and of a source before it is converted."""
_THOROUGH_REGIONS = 2048
_AT_ONCE = 8
_READ_PX, _LEAST_REGIONS = 1 << 25, 2
"""Pixels of a level that are looked at: of tiles of more than 1024 px fewer than `REGIONS`, though some."""
OPENSLIDE = f"OpenSlide {openslide.__library_version__}"
OTHERS = "another decoder"
"""Pillow or libtiff for what they know, for the rest the codec's own library."""


@dataclass(frozen=True)
class Disagreement:
    """A place of a slide that another program shows otherwise than we read it.

    `is_ours_alone` says that whoever else was asked sides with that program, or that there was nobody else.
    """

    place: str
    found: Difference
    program: str
    is_ours_alone: bool

    def __str__(self) -> str:
        if self.is_ours_alone:
            return f"{self.place} is read otherwise than {self.program} shows it: {self.found}"
        return f"{self.program} alone shows {self.place} otherwise than its bytes say: {self.found}"


def check_reading(slide: Slide, workers: int = 1, most: int = REGIONS) -> list[Disagreement]:
    """The places of a slide, of `most` looked at in a level, where what we read is not what others show.

    Tiles that are damaged are not looked at.
    """
    with ExitStack() as stack:
        source = ReferenceReader(slide, stack)
        found: list[Disagreement] = []
        for number, level in enumerate(slide.info.levels):
            if _is_openslide_s(slide, number):
                continue
            letters = np.ones(level.grid.count, bool)
            letters[[*level.absent, *level.blank]] = False
            few = min(most, regions_of(level.encoding))
            chosen = chosen_tiles(number, level, letters, seed_of(slide), most=few)
            placed = partial(_disagreements, source, number)
            parts = batched(chosen, tiles_at_once(level.tile, _AT_ONCE))
            with closing(ordered_map(placed, parts, workers_for(level.tile, workers))) as batches:
                for batch in batches:
                    found += batch
        return found


def _disagreements(source: ReferenceReader, number: int, indices: list[TileIndex]) -> list[Disagreement]:
    found = []
    for index in indices:
        region = source.slide.info.levels[number].grid.region(index.column, index.row)
        reference = source.reference(number, region)
        if reference is not None and reference.disagreement is not None:
            found.append(reference.disagreement)
    return found


def disagreement_notes(found: Sequence[Disagreement]) -> list[str]:
    """The disagreements in words: the worst of either kind, and how many there are."""
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
    """What a region of a source shows, by whom, and whether we read it otherwise."""

    placed: PlacedPixels
    program: str
    disagreement: Disagreement | None = None


class ReferenceReader:
    """What others see of a slide, and who is right where we do not agree."""

    def __init__(self, slide: Slide, stack: ExitStack) -> None:
        self.slide = slide
        self.by_openslide = open_regions(slide, stack)
        self.stored = StoredRegions(slide)

    def reference(self, level: int, region: Region) -> Reference | None:
        """A region as it is true; None where we read it as damaged."""
        try:
            own = self.slide.read_region(level, region)
        except SlideReadError:
            return None
        ours = PlacedPixels(own, region.x, region.y)
        if _is_openslide_s(self.slide, level):
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
        """A region as OpenSlide shows it, where it shows what is stored."""
        slide = self.slide
        if self.by_openslide is None or not slide.is_exact(level) or not shows_what_is_stored(slide, level):
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


def open_regions(slide: Slide, stack: ExitStack) -> OpenSlideRegions | None:
    """OpenSlide's eyes; None where it does not open the file."""
    try:
        return stack.enter_context(closing(OpenSlideRegions(slide.info.path)))
    except SlideReadError:
        return None


def refusal_of_openslide(slide: Slide) -> list[str]:
    """What OpenSlide says of a source's file that it takes for its own and does not open; else nothing."""
    path = slide.info.path
    if slide.provenance is not None or OpenSlide.detect_format(path) is None:
        return []
    try:
        OpenSlideRegions(path).close()
    except SlideReadError as exc:
        return [exc.message]
    return []


def _is_openslide_s(slide: Slide, level: int) -> bool:
    """Whether we read a level as OpenSlide shows its whole pixels: there is nothing to compare."""
    return slide.is_by_openslide and slide.info.levels[level].downsample.is_integer()


def tile_at(level: Level | LevelPlan, number: int, region: Region) -> TileIndex:
    """The tile in which a region begins."""
    return TileIndex(number, region.x // level.tile.width, region.y // level.tile.height)


def shows_what_is_stored(slide: Slide, level: int) -> bool:
    """Whether OpenSlide shows a level's stored tiles: in an SVS not below a level that lacks some.

    Nor does it where it turns each tile within itself, by the level's Orientation.

    Source: OpenSlide's aperio driver draws a tile anew if any tile above it has no bytes.
    """
    if slide.is_turned_by_openslide(level):
        return False
    is_svs = slide.info.vendor == "aperio" and not slide.is_by_openslide
    if slide.provenance is not None:
        is_svs = slide.provenance.plan.container == "svs"
    return not is_svs or not any(above.absent for above in slide.info.levels[:level])


def _is_whole(slide: Slide, number: int, region: Region) -> bool:
    """Whether each tile under a region has bytes: of others every program makes something else."""
    level = slide.info.levels[number]
    missing = np.zeros((level.grid.rows, level.grid.columns), bool)
    missing.reshape(-1)[list(level.absent)] = True
    if slide.provenance is not None:
        missing |= slide.provenance.plan.levels[number].actions == TileAction.EMPTY.value
    return not missing[level.grid.under(region)].any()


def seed_of(slide: Slide) -> int:
    """A number that is always the same for a slide."""
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
    """Tiles of a level of those that are `wanted`: all of a small level, else some, of its far edges too."""
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
            edges = _some(chance, edges, max(1, most // 4))
        others = _some(chance, others, _THOROUGH_REGIONS if thorough else most - len(edges))
        numbers = np.union1d(edges, others)
    return [TileIndex(number, int(one % grid.columns), int(one // grid.columns)) for one in numbers]


def regions_of(encoding: TileEncoding | None) -> int:
    """As many tiles of a level as are looked at for a small part of a conversion's time."""
    slow = encoding is not None and encoding.compression in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR)
    return FEW_REGIONS if slow else REGIONS


def _some(chance: np.random.Generator, numbers: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    return numbers if len(numbers) <= most else chance.choice(numbers, max(0, most), replace=False)
