"""Checks the promise about regions, and measures what became of each class of place.

Which tiles a region touches is worked out here from its mask, pixel by pixel: the planner's own answer is
what is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.quality import LEAST_SIDE_PX, ssim_inside
from wsicomp.concurrency.threads import ordered_map
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.tiff.directories import distinct_bytes
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.plan.provenance import WITHOUT_BYTES
from wsicomp.regions.regions import Regions
from wsicomp.tissue.mask import TissueMask
from wsicomp.verification.problems import Problem

_MEASURED_TILES = 256
"""The most tiles of a class whose SSIM is measured, spread evenly over the levels."""
_PX_AT_ONCE = 1 << 20
"""The pixels of a mask that are looked at together, at least a row of it."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class FoundClass:
    """What became of one class of place."""

    name: str
    """The class of regions; "" for tissue outside of regions."""
    codec: str
    """The codec of its tiles; "copy" where they are the source's bytes."""
    tiles: int
    """The count of its tiles with bytes of their own, over all levels."""
    area: float
    """The part of level 0 that its tiles cover, in [0, 1]."""
    bytes: int
    """The bytes that its tiles take in the file; bytes that tiles share count once."""
    is_exact: bool
    """Whether every tile of it keeps every pixel of the source's, and none was encoded to name nobody."""
    least_ssim: float | None
    """The least SSIM of the lossy tiles that were measured, at most 1; None where none was."""
    mean_ssim: float | None
    """Their mean SSIM."""
    measured_tiles: int
    """The count of those tiles."""
    levels: tuple[int, ...] = ()
    """The levels on which it has tiles; a region that only larger levels keep has none on the others."""


def found_classes(slide: ConvertedSlide, source: Slide | None, workers: int) -> tuple[FoundClass, ...]:
    """Return what became of each class of place of a file with regions, in the order of its recipes.

    Return nothing for a file without regions. Lossy tiles are measured only beside their `source`.

    Memory: two tiles for each of the `workers`.
    """
    levels = [level for level in slide.provenance.plan.levels if level.reduction == 1]
    names = dict.fromkeys(recipe.region for level in levels for recipe in level.recipes)
    if len(names) < 2:
        return ()
    return tuple(_found(slide, source, levels, name, workers) for name in sorted(names, key=bool))


def _found(
    slide: ConvertedSlide, source: Slide | None, levels: Sequence[LevelPlan], name: str, workers: int
) -> FoundClass:
    tiles, stored, is_exact = 0, 0, True
    kept: list[int] = []
    codecs: dict[str, None] = {}
    lossy: list[tuple[LevelPlan, TileIndex]] = []
    for level in levels:
        is_own = ~np.isin(level.actions, WITHOUT_BYTES) & _of_class(level, name)
        tiles += int(np.count_nonzero(is_own))
        kept += [level.number] if is_own.any() else []
        stored += distinct_bytes(slide.tile_ranges(level.number)[is_own.reshape(-1)])
        # Tiles that named somebody were encoded anew, which changes pixels.
        renewed = [*slide.provenance.levels[level.number].renewed]
        is_exact &= not is_own.reshape(-1)[renewed].any()
        for number, recipe in enumerate(level.recipes):
            own = is_own & level.takes(number)
            if own.any():
                codecs[recipe_text(recipe)] = None
                is_exact &= recipe.is_exact
                lossy += () if recipe.is_exact else _measurable(level, own)
    first = levels[0]
    area = float(np.count_nonzero(_of_class(first, name) & ~np.isin(first.actions, WITHOUT_BYTES)))
    ssims = [] if source is None else _ssims(slide, source, lossy, workers)
    return FoundClass(
        name,
        " and ".join(codecs),
        tiles,
        area / first.grid.count,
        stored,
        is_exact,
        min(ssims, default=None),
        float(np.mean(ssims)) if ssims else None,
        len(ssims),
        tuple(kept),
    )


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe in words: "copy", "jpeg-lossless", "jpeg quality=50"."""
    if recipe.action is TileAction.COPY:
        return "copy"
    if recipe.action is TileAction.TRANSCODE:
        return f"{recipe.codec}-lossless"
    return " ".join([recipe.codec, *(f"{name}={value}" for name, value in sorted(recipe.options.items()))])


def _of_class(level: LevelPlan, name: str) -> NDArray[np.bool_]:
    """Return which tiles of a level are of a class, (rows, columns) bool."""
    return level.takes(*(number for number, recipe in enumerate(level.recipes) if recipe.region == name))


def _measurable(level: LevelPlan, own: NDArray[np.bool_]) -> Iterator[tuple[LevelPlan, TileIndex]]:
    """Yield the tiles that were encoded with nothing painted, and are large enough to have an SSIM."""
    for row, column in np.argwhere(own & (level.actions == TileAction.ENCODE.value)).tolist():
        if min(level.grid.region(column, row).size.shape) >= LEAST_SIDE_PX:
            yield level, TileIndex(level.number, column, row)


def _ssims(
    slide: ConvertedSlide, source: Slide, tiles: list[tuple[LevelPlan, TileIndex]], workers: int
) -> list[float]:
    if not tiles:
        return []
    places = np.unique(np.linspace(0, len(tiles) - 1, _MEASURED_TILES).round().astype(int))

    def ssim(tile: tuple[LevelPlan, TileIndex]) -> float | None:
        plan, index = tile
        try:
            before = source.read_tile(TileIndex(plan.source_level, index.column, index.row))
            after = slide.read_tile(index)
        except TileReadError:
            return None
        return ssim_inside(before, after, plan.grid.region(index.column, index.row).size)

    threads = workers_for(max((plan.tile for plan, _ in tiles), key=lambda tile: tile.width), workers)
    with closing(ordered_map(ssim, [tiles[place] for place in places], threads)) as measured:
        return [value for value in measured if value is not None]


def check_promise(
    slide: ConvertedSlide, regions: Regions, source: Slide, lowest: float | None = None
) -> Iterator[Problem]:
    """Yield each level of which a tile touches a region and was not made by a recipe of regions.

    Where classes have codecs of their own, the recipe must be that of the first class which the tile touches,
    or of an earlier one. `lowest` is the downsample of the lowest level on which regions are kept; None for
    all. The largest level always keeps them.
    """
    for level, record in zip(slide.provenance.plan.levels, slide.provenance.levels, strict=True):
        is_lower = lowest is not None and slide.info.levels[level.number].downsample > lowest
        if level.reduction > 1 or (is_lower and level.number > 0):
            continue
        made = _class_made(level, regions)
        made.reshape(-1)[list(record.lost)] = 0  # what cannot be decoded is said elsewhere
        missed = (_first_touched(level, regions) < made) & ~_without_bytes_in(source, level)
        if missed.any():
            row, column = np.argwhere(missed)[0].tolist()
            count = int(np.count_nonzero(missed))
            message = f"{count} tiles touch a region and are not kept as one"
            yield Problem("region-missed", str(TileIndex(level.number, column, row)), message)


def _class_made(level: LevelPlan, regions: Regions) -> NDArray[np.intp]:
    """Return for each tile of a level the number of the class by whose recipe it was made.

    It is the count of classes where there is none, and 0 for all others if classes have one codec.
    """
    names = [each.name for each in regions.classes]
    are_alike = len({each.codec for each in regions.classes}) == 1
    made = np.full(level.actions.shape, len(names), np.intp)
    for number, recipe in enumerate(level.recipes):
        if recipe.region and (are_alike or recipe.region in names):
            own = level.takes(number) & (level.actions == recipe.action.value)
            made[own] = 0 if are_alike else names.index(recipe.region)
        elif recipe.is_exact:  # no class can ask for more
            made[level.takes(number) & (level.actions == recipe.action.value)] = 0
    return made


def _first_touched(level: LevelPlan, regions: Regions) -> NDArray[np.intp]:
    """Return for each tile of a level the number of the first class that it touches, or their count."""
    found = np.full(level.actions.shape, len(regions.classes), np.intp)
    for number, each in reversed([*enumerate(regions.classes)]):
        found[touched_by(each.mask, level)] = number
    return found


def _without_bytes_in(source: Slide, level: LevelPlan) -> NDArray[np.bool_]:
    """Return the tiles of a level that have no bytes of their own, as the source has none."""
    absent = np.zeros(level.actions.shape, np.bool_)
    if level.keeps_tiles_of(source.info.levels):
        absent.reshape(-1)[[*source.info.levels[level.source_level].absent]] = True
    return absent & np.isin(level.actions, WITHOUT_BYTES)


def touched_by(mask: TissueMask, level: LevelPlan) -> NDArray[np.bool_]:
    """Return the tiles of a level in which any part of a pixel of the mask lies, (rows, columns) bool."""
    found = np.zeros(level.actions.shape, np.bool_)
    # Level-0 pixels in a tile: every level covers the same part of the slide.
    high = level.tile.height * mask.slide.height / level.size.height
    wide = level.tile.width * mask.slide.width / level.size.width
    at_once = max(1, _PX_AT_ONCE // mask.shape[1])
    for start in range(0, mask.shape[0], at_once):
        rows, columns = np.nonzero(mask.bits.pixels(slice(start, min(start + at_once, mask.shape[0]))))
        top, left = (rows + start) * mask.scale_y, columns * mask.scale_x
        first = _tile(top, high, found.shape[0], 1), _tile(left, wide, found.shape[1], 1)
        last = (
            _tile(top + mask.scale_y, high, found.shape[0], -1),
            _tile(left + mask.scale_x, wide, found.shape[1], -1),
        )
        for down in range(int((last[0] - first[0]).max(initial=-1)) + 1):
            for right in range(int((last[1] - first[1]).max(initial=-1)) + 1):
                found[np.minimum(first[0] + down, last[0]), np.minimum(first[1] + right, last[1])] = True
    return found


def _tile(at: NDArray[np.float64], side: float, count: int, inwards: int) -> NDArray[np.intp]:
    """Return the tile in which an edge lies; `inwards` says on which side of it the pixel is."""
    tile = np.floor(at / side + inwards * _ROUNDING)
    return np.asarray(np.clip(tile, 0, count - 1), np.intp)
