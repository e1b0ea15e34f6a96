"""Checking a written file as data: every finding is a `Problem` with a stable code.

The file is opened anew and read as any other slide. What was encoded anew is checked for decoding, not
for its pixels: those differ from the source by design.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openslide import OpenSlide, OpenSlideError

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.geometry import Size, TileIndex
from wsicomp.pyramid.carried import carried_image
from wsicomp.pyramid.plan import ConversionPlan, LevelPlan, TileAction
from wsicomp.pyramid.provenance import LevelDigest, Provenance
from wsicomp.readers.tiff import TiffSlide
from wsicomp.slide import Slide, SlideInfo
from wsicomp.stages import StageProgress

CODES = {
    "unreadable": "the file, or its provenance block, cannot be parsed",
    "openslide-refuses": "OpenSlide does not open the file or does not read a level",
    "openslide-differs": "OpenSlide shows other levels, or other um per px, than the file states",
    "level-differs": "a level's size or tiles are not those of the plan",
    "tile-damaged": "a tile does not decode to its size",
    "tile-missing": "a tile that should hold a picture is empty",
    "tile-not-blank": "a tile that should be blank holds something else",
    "tiles-changed": "a level's tiles are not those that were written",
    "property-differs": "um per px, objective power, ICC profile or vendor are not the source's",
    "associated-differs": "a label, macro or thumbnail is not the source's",
    "source-differs": "the file was not made from this source, or does not say from which",
    "tile-differs": "a copied tile is not the source's byte for byte",
}
"""Every code that a `Problem` can have, with its meaning."""

_MPP_TOLERANCE = 1e-3
_BLANK_TOLERANCE = 8


@dataclass(frozen=True)
class Problem:
    """A finding: what kind, where in the file, and what was found."""

    code: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.place}: {self.message}"


@dataclass(frozen=True)
class Verification:
    """What a check found, and what it looked at; `problems` is empty for a good file.

    `flawed` are the places of copied tiles that decode only in part, as they did in the source.
    """

    problems: tuple[Problem, ...]
    tiles: int
    has_provenance: bool
    flawed: tuple[str, ...] = ()


def verify_slide(
    path: Path,
    source: Slide | None,
    source_sha256: str | None,
    workers: int,
    progress: StageProgress,
) -> Verification:
    """Check a tiled TIFF: structure, every tile, OpenSlide, its provenance and, where given, its source.

    `source_sha256` is the digest of the source's file. A file without provenance is checked for what any
    slide must hold. Memory: some tiles for each worker.
    """
    try:
        slide = TiffSlide(path)
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    try:
        provenance = None if slide.provenance is None else Provenance.from_text(slide.provenance)
        problems = list(_check_openslide(path, slide.info))
        if provenance is not None:
            problems += _check_plan(slide, provenance.plan)
        if provenance is None and source is not None:
            message = "it holds no provenance, so nothing says what it was made from"
            problems.append(Problem("source-differs", "file", message))
        if provenance is not None and source is not None:
            problems += _check_source(slide.info, provenance.plan, source.info, source_sha256)
        planned = None if problems else provenance
        found, flawed = _check_tiles(slide, planned, source, workers, progress)
        tiles = sum(level.grid.count for level in slide.info.levels)
        return Verification((*problems, *found), tiles, provenance is not None, tuple(flawed))
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    finally:
        slide.close()


def _check_openslide(path: Path, info: SlideInfo) -> Iterator[Problem]:
    try:
        with OpenSlide(path) as shown:
            sizes = tuple(Size(*size) for size in shown.level_dimensions)
            expected = tuple(level.size for level in info.levels)
            if sizes != expected:
                yield Problem("openslide-differs", "levels", f"{_sizes(sizes)}, expected {_sizes(expected)}")
            for number in range(shown.level_count):
                shown.read_region((0, 0), number, (1, 1))
            mpp = shown.properties.get("openslide.mpp-x")
            if (mpp is None) != (info.mpp is None) or (
                mpp is not None and info.mpp is not None and not _close(float(mpp), info.mpp.x)
            ):
                yield Problem("openslide-differs", "um per px", f"{mpp}, expected {info.mpp}")
            bounds = [name for name in shown.properties if name.startswith("openslide.bounds-")]
            if bounds and info.vendor == "generic-tiff":
                yield Problem("openslide-differs", "bounds", f"{', '.join(bounds)} are set, expected none")
    except OpenSlideError as exc:
        yield Problem("openslide-refuses", "file", str(exc))


def _check_plan(slide: TiffSlide, plan: ConversionPlan) -> Iterator[Problem]:
    levels = slide.info.levels
    if len(levels) != len(plan.levels):
        yield Problem("level-differs", "file", f"{len(levels)} levels, expected {len(plan.levels)}")
        return
    for level, planned in zip(levels, plan.levels, strict=True):
        place = f"level {planned.number}"
        if (level.size, level.tile) != (planned.size, planned.tile):
            found = f"{level.size} in tiles of {level.tile}"
            yield Problem("level-differs", place, f"{found}, expected {planned.size} in {planned.tile}")
            continue
        if level.encoding != planned.encoding:
            yield Problem("level-differs", place, f"stored as {level.encoding}, expected {planned.encoding}")
            continue
        yield from _check_blanks(slide, planned, plan.background)


def _check_blanks(slide: TiffSlide, plan: LevelPlan, background: tuple[int, int, int]) -> Iterator[Problem]:
    """Blank tiles share one stored tile of background, empty tiles store nothing, all others something."""
    place = f"level {plan.number}"
    letters = plan.actions.reshape(-1)
    ranges = slide.tile_ranges(plan.number)
    blank_numbers = np.flatnonzero(letters == TileAction.BLANK.value).tolist()
    different = len(np.unique(ranges[blank_numbers], axis=0)) if blank_numbers else 0
    if different > 1:
        yield Problem("tile-not-blank", place, f"{different} different blank tiles, expected one")
    if ranges[letters == TileAction.EMPTY.value, 1].any():
        yield Problem("tile-not-blank", place, "an empty tile with bytes")
    for number in blank_numbers[:1]:
        index = TileIndex(plan.number, number % plan.grid.columns, number // plan.grid.columns)
        try:
            difference = np.abs(slide.read_tile(index).astype(np.int16) - np.array(background)).max()
        except SlideReadError:
            continue
        if difference > _BLANK_TOLERANCE:
            yield Problem("tile-not-blank", str(index), f"{difference} grey levels from the background")


def _check_source(
    info: SlideInfo, plan: ConversionPlan, source: SlideInfo, source_sha256: str | None
) -> Iterator[Problem]:
    if source_sha256 is not None and source_sha256 != plan.source.sha256:
        yield Problem("source-differs", "source", f"SHA-256 {source_sha256}, expected {plan.source.sha256}")
        return
    kept = [
        level.size for level, planned in zip(info.levels, plan.levels, strict=False) if planned.reduction == 1
    ]
    sizes = [level.size for level in source.levels]
    if kept != sizes:
        yield Problem(
            "level-differs", "levels", f"{_sizes(tuple(kept))}, the source has {_sizes(tuple(sizes))}"
        )
    if (info.mpp is None) != (source.mpp is None) or (
        info.mpp and source.mpp and not _close(info.mpp.mean, source.mpp.mean)
    ):
        yield Problem("property-differs", "um per px", f"{info.mpp}, the source has {source.mpp}")
    if source.vendor == plan.container.replace("svs", "aperio") and info.vendor != source.vendor:
        yield Problem("property-differs", "vendor", f"{info.vendor}, the source has {source.vendor}")
    if info.icc_profile != source.icc_profile:
        yield Problem("property-differs", "ICC profile", "not the source's")
    if plan.container == "svs" and info.objective_power != source.objective_power:
        found = f"{info.objective_power}, the source has {source.objective_power}"
        yield Problem("property-differs", "objective power", found)
    if set(info.associated_images) != set(plan.images):
        found = f"{sorted(info.associated_images)}, expected {sorted(plan.images)}"
        yield Problem("associated-differs", "file", found)
    for name in set(plan.images) & set(info.associated_images) & set(source.associated_images):
        carried = carried_image(name, source.associated_images[name], bool(plan.config["deidentify"]))
        if info.associated_images[name].strips != carried.strips:
            yield Problem("associated-differs", name, "not the source's bytes")


def _check_tiles(
    slide: TiffSlide,
    provenance: Provenance | None,
    source: Slide | None,
    workers: int,
    progress: StageProgress,
) -> tuple[list[Problem], list[str]]:
    problems: list[Problem] = []
    flawed: list[str] = []
    total = sum(level.grid.count for level in slide.info.levels)
    done = 0
    for number, level in enumerate(slide.info.levels):
        plan = provenance.plan.levels[number] if provenance else None
        check = _TileCheck(slide, plan, source)
        digest = LevelDigest()
        with closing(ordered_map(check.batch, batched(level.grid.raster(number)), workers)) as batches:
            for tiles, found in batches:
                problems += found
                for data in tiles:
                    digest.update(data)
                done += len(tiles)
                progress(done, total)
        if provenance is None or digest.hexdigest() == provenance.level_sha256[number]:
            flawed += check.flawed
            continue
        problems.append(
            Problem("tiles-changed", f"level {number}", "SHA-256 is not that of the written tiles")
        )
        problems += [Problem("tile-damaged", place, "decodes only in part") for place in check.flawed]
    return problems, flawed


class _TileCheck:
    """Checks batches of one level's tiles; the blank one that many share is decoded once.

    `flawed` gathers the copied tiles that decode only in part, here as in their source.
    """

    def __init__(self, slide: TiffSlide, plan: LevelPlan | None, source: Slide | None) -> None:
        self.flawed: list[str] = []
        self._slide = slide
        self._plan = plan
        self._source = source
        self._seen_blank = False

    def batch(self, indices: list[TileIndex]) -> tuple[list[bytes], list[Problem]]:
        """The batch's bytes, and what is wrong with them."""
        data, problems = [], []
        for index in indices:
            try:
                tile = self._slide.read_encoded_tile(index).data
            except SlideReadError as exc:
                problems.append(Problem("tile-damaged", str(index), exc.message))
                continue
            data.append(tile)
            problems += self._check(index, tile)
        return data, problems

    def _check(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        action = None if self._plan is None else self._plan.actions[index.row, index.column]
        if action == TileAction.BLANK.value and self._seen_blank:
            return
        if action == TileAction.BLANK.value:
            self._seen_blank = True
        copied = action == TileAction.COPY.value
        if copied and self._source is not None and self._source.read_encoded_tile(index).data != data:
            yield Problem("tile-differs", str(index), "not the source's bytes")
        if not data and action not in (None, TileAction.EMPTY.value):
            yield Problem("tile-missing", str(index), "0 bytes, expected a picture")
        if data:
            yield from self._check_decoding(index, copied)

    def _check_decoding(self, index: TileIndex, copied: bool) -> Iterator[Problem]:
        try:
            self._slide.read_tile_eighth(index)
        except SlideReadError as exc:
            if not copied:
                yield Problem("tile-damaged", str(index), exc.message)
                return
            try:
                self._slide.read_tile(index)
                self.flawed.append(str(index))
            except SlideReadError:
                yield Problem("tile-damaged", str(index), f"{exc.message}, as copied from the source")


def _close(first: float, second: float) -> bool:
    return abs(first - second) <= _MPP_TOLERANCE * max(first, second)


def _sizes(sizes: tuple[Size, ...]) -> str:
    return ", ".join(str(size) for size in sizes)
