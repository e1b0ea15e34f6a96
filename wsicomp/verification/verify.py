"""Checks a written file as data: every finding is a `Problem` with a stable code.

The file is opened anew and read as any other slide. Compared with its source, nothing that the file states of
itself is believed: its plan must be one of that source (`claims`), and each tile must show what is there
(`tile_checks`, `source_comparison`). A file that this process has just written is asked less. Then other
programs read it (`pixel_agreement`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from wsicomp.codecs.quality import Fidelity
from wsicomp.codecs.registry import bytes_a_pixel, decode_tile
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import SlideReadError, UnknownModelError
from wsicomp.files.limits import tiles_at_once, workers_for
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import ReaderVerdict, verdicts
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.converted.restoration import check_stated, restored_blocks
from wsicomp.formats.converted.tile_digests import LevelDigest
from wsicomp.formats.icc_profile import neutral_profile
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.layout import is_reduced
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import StageProgress
from wsicomp.regions.regions import Regions
from wsicomp.slide import EncodedTile, SlideInfo
from wsicomp.verification.claims import check_claims, check_palette
from wsicomp.verification.openslide_checks import (
    are_close,
    check_openslide,
    check_shown_images,
    differ,
    sizes_text,
)
from wsicomp.verification.pixel_agreement import PixelCheck
from wsicomp.verification.problems import UNLIKE, Problem, first_of_each
from wsicomp.verification.region_checks import FoundClass, check_promise, found_classes
from wsicomp.verification.source_comparison import SourceComparison
from wsicomp.verification.tile_checks import ConvertedTileCheck, TileCheck, tile_names

_BLANK_TOLERANCE = 8

TileResult = tuple[list[bytes], list[Problem]]
Work = Callable[[], TileResult | None]


@dataclass(frozen=True)
class Measured:
    """The fidelity of the neural and JPEG 2000 tiles that were compared with their source.

    Tiles with painted glass are left out.
    """

    tiles: int
    """The count of the tiles."""
    mean_ssim: float
    """The mean SSIM, at most 1."""
    least_ssim: float
    """The least SSIM of a tile."""
    least_psnr: float | None
    """The least PSNR of a tile in dB; None where all are equal to the source."""
    most_color_shift: float
    """The largest colour shift of a tile in grey levels."""

    @classmethod
    def of(cls, found: Sequence[Fidelity]) -> Measured | None:
        """Return the figures over many tiles; None if there is no tile."""
        if not found:
            return None
        ssims = [tile.ssim for tile in found]
        least_psnr = min(tile.psnr for tile in found)
        return cls(
            len(found),
            float(np.mean(ssims)),
            min(ssims),
            least_psnr if math.isfinite(least_psnr) else None,
            max(tile.color_shift for tile in found),
        )


@dataclass(frozen=True)
class Verification:
    """The result of a check."""

    problems: tuple[Problem, ...]
    """The problems; empty for a good file."""
    tiles: int
    """The count of the file's tiles."""
    has_provenance: bool
    """Whether wsicomp wrote the file."""
    flawed: tuple[str, ...] = ()
    """The tiles that were damaged in the source already, and were kept or encoded as far as they decode."""
    lost: tuple[str, ...] = ()
    """The source's tiles that could not be decoded, and are background."""
    readers: tuple[ReaderVerdict, ...] = ()
    """Which programs open a good file of this form."""
    measured: Measured | None = None
    """The fidelity of neural and JPEG 2000 tiles; None where none could be compared with a source."""
    removed_area: float | None = None
    """The part of level 0 found to be background, in [0, 1].

    None where not every tile was compared with a source.
    """
    from_level: int = 0
    """How many finer levels of the scan the file says that it lacks."""
    classes: tuple[FoundClass, ...] = ()
    """What became of each class of place; empty for a file without regions."""

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def __bool__(self) -> bool:
        """Whether there is no problem, so that a check that found one never passes an `if`."""
        return self.is_sound


def verify_slide(
    path: Path,
    source: Slide | None,
    source_sha256: str | None,
    workers: int,
    progress: StageProgress,
    is_fresh: bool = False,
    thorough: bool = False,
    regions: Regions | None = None,
) -> Verification:
    """Check a tiled TIFF: structure, every tile, OpenSlide, its provenance and, where given, its source.

    A file without provenance is checked for what any slide must hold.

    Memory: some tiles for each worker.

    Args:
        path: The file.
        source: The open source, or None.
        source_sha256: The SHA-256 of the source's file.
        workers: Threads.
        progress: Called with the tiles done and their total.
        is_fresh: Whether this process has just written the file. Its plan is trusted then, and tiles that
            were compared before they were written are checked by their digests alone.
        thorough: Let other programs read every tile of a level's far edges, and many more.
        regions: The regions that the file is to keep; None to take its word for where they are.
    """
    try:
        slide = open_tiff(path)
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    try:
        converted = slide if isinstance(slide, ConvertedSlide) else None
        plan = None if converted is None else converted.provenance.plan
        readers = verdicts(slide)
        newest = next(verdict for verdict in readers if verdict.reader.startswith("OpenSlide"))
        problems = list(check_openslide(slide, plan, newest))
        is_source = converted is None and source is not None and file_sha256(path) == source_sha256
        problems += _check_provenance(converted, None if is_source else source, source_sha256)
        is_direct = plan is not None and source_sha256 == plan.source.sha256
        if not (is_fresh or problems or converted is None or source is None):
            problems += check_claims(converted, source, is_direct, workers)
        compared, comparison = None if problems else source, None
        if not (is_fresh or converted is None or compared is None):
            comparison = SourceComparison(converted, compared, is_direct, workers)

        def tile_check(number: int) -> TileCheck:
            if converted is None:
                return TileCheck(slide)
            return ConvertedTileCheck(converted, number, compared, is_direct, is_fresh, comparison)

        pixels = PixelCheck(slide, compared if is_direct else None, thorough)
        found, checks = _check_tiles(slide, tile_check, pixels, workers, progress)
        if comparison is not None:
            found += first_of_each(comparison.check_blanks(progress))
        reported = frozenset(problem.place for problem in found if problem.code != UNLIKE)
        by_pixels = pixels.problems(reported)
        found = [*_without_doubles(found, by_pixels), *by_pixels]
        classes: tuple[FoundClass, ...] = ()
        if converted is not None:
            if regions is not None:
                found += check_promise(converted, regions, _lowest(converted))
            classes = found_classes(converted, compared if is_direct else None, workers)
            found += _check_carried(converted, workers, progress, is_fresh, is_sound=not found)
        tiles = sum(level.grid.count for level in slide.info.levels)
        return Verification(
            (*problems, *found),
            tiles,
            plan is not None,
            tuple(place for check in checks for place in check.flawed),
            tuple(_lost_tiles(slide)),
            readers,
            Measured.of([tile for check in checks for tile in check.measured]),
            None if comparison is None else comparison.removed_area,
            slide.info.from_level,
            classes,
        )
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    finally:
        slide.close()


def _check_provenance(
    slide: ConvertedSlide | None, source: Slide | None, source_sha256: str | None
) -> Iterator[Problem]:
    """Yield the problems of a file beside its tiles, and of its source; None for no conversion."""
    if slide is None:
        if source is not None:
            message = "it holds no provenance, so nothing says what it was made from"
            yield Problem("source-differs", "file", message)
        return
    try:
        slide.require_model()
    except SlideReadError as exc:
        model = slide.provenance.plan.model or {}
        if not slide.has_model:
            message = f"{exc.message}; tiles were checked by their digests alone"
            yield Problem("model-missing", "model", message)
        elif model["embedded"] and isinstance(exc.__cause__, UnknownModelError):
            yield Problem("model-damaged", "model", f"{exc.message}; no tile needs it")
    yield from _check_sizes(slide.info)
    yield from check_palette(slide.provenance.plan)
    yield from _check_blanks(slide)
    yield from _check_descriptions(slide)
    for name in slide.damaged_images:
        yield Problem("associated-differs", name, "damaged: it is not as it was written")
    if source is not None:
        yield from _check_source(slide.info, slide.provenance.plan, source.info, source_sha256)
        yield from check_shown_images(slide, slide.provenance.plan, source)


def _check_descriptions(slide: ConvertedSlide) -> Iterator[Problem]:
    """Yield the levels of an SVS whose text was edited: other programs read there which slide it is."""
    plan = slide.provenance.plan
    for level in plan.levels if plan.container == "svs" else ():
        text = slide.description_of(level.number).rstrip("\0 ")
        if not aperio.is_level_description(text, aperio.limited_description(plan.description).rstrip("\0 ")):
            yield Problem("property-differs", f"level {level.number}", "its ImageDescription was edited")


def _without_doubles(found: Sequence[Problem], by_pixels: Sequence[Problem]) -> Iterator[Problem]:
    """Yield the problems, without unlike tiles of levels in which other programs find the same."""
    levels = {problem.level for problem in by_pixels}
    return (problem for problem in found if problem.code != UNLIKE or problem.level not in levels)


def _check_sizes(info: SlideInfo) -> Iterator[Problem]:
    """Yield the levels that are not smaller copies of the largest.

    Other vendors' slides are as OpenSlide has them.
    """
    if info.vendor not in ("aperio", "generic-tiff"):
        return
    for number, level in enumerate(info.levels[1:], 1):
        larger = info.levels[number - 1].size
        is_smaller = level.size.width * level.size.height < larger.width * larger.height
        if level.size != Size(1, 1) and not (is_smaller and is_reduced(level.size, level.tile, info.size)):
            found = f"{level.size} px below {larger}, of a slide of {info.size}"
            yield Problem("level-odd", f"level {number}", found)


def _check_carried(
    slide: ConvertedSlide, workers: int, progress: StageProgress, is_fresh: bool, is_sound: bool
) -> Iterator[Problem]:
    """Yield the problems of the model, and of what rebuilds the source if the tiles are sound.

    The source is rebuilt without storing it, for its SHA-256.
    """
    if slide.provenance.restoration and is_sound:
        try:
            if not is_fresh:  # of one that was just written the source's size is known
                check_stated(slide)
            for _ in restored_blocks(slide, workers, progress):
                pass
        except SlideReadError as exc:
            yield Problem("not-restorable", exc.place or "file", exc.message)
    if slide.model_flaw:  # the tiles could be measured by the same model of this machine
        yield Problem("model-damaged", "model", f"{slide.model_flaw}; this machine has the same one")


def _lowest(slide: ConvertedSlide) -> float | None:
    """Return the downsample of the lowest level on which the file says that it keeps regions."""
    stated = slide.provenance.plan.stated_config.get("roi_downsample")
    return float(stated) if isinstance(stated, int | float) else None


def _lost_tiles(slide: TiffSlide) -> Iterator[str]:
    if slide.provenance is not None:
        for number, record in enumerate(slide.provenance.levels):
            yield from tile_names(number, slide.info.levels[number].grid.columns, record.lost)


def _check_blanks(slide: ConvertedSlide) -> Iterator[Problem]:
    """Check that blank tiles of a colour share one stored tile of it, and that empty tiles store nothing."""
    provenance = slide.provenance
    for plan, record in zip(provenance.plan.levels, provenance.levels, strict=True):
        place = f"level {plan.number}"
        letters = plan.actions.reshape(-1)
        ranges = slide.tile_ranges(plan.number)
        marked = np.flatnonzero(letters == TileAction.BLANK.value)
        blank = np.union1d(marked, record.lost).astype(int)
        shades = np.zeros(letters.size, int) if plan.shades is None else plan.shades.reshape(-1)
        same = [blank[shades[blank] == shade] for shade in np.unique(shades[blank])]
        different = max((len(np.unique(ranges[tiles], axis=0)) for tiles in same), default=0)
        if different > 1:
            found = f"{different} different blank tiles of a colour, expected one"
            yield Problem("tile-not-blank", place, found)
        if ranges[letters == TileAction.EMPTY.value, 1].any():
            yield Problem("tile-not-blank", place, "an empty tile with bytes")
        is_decodable = slide.has_model or not slide.is_neural(plan.number)
        for tiles in same if is_decodable else []:
            row, column = divmod(int(tiles[0]), plan.grid.columns)
            index = TileIndex(plan.number, column, row)
            yield from _check_blank(slide, plan, index)


def _check_blank(slide: ConvertedSlide, plan: LevelPlan, index: TileIndex) -> Iterator[Problem]:
    data = slide.read_stored(index)
    if not data:
        yield Problem("tile-missing", str(index), "0 bytes, expected a blank tile")
        return
    try:
        pixels = decode_tile(EncodedTile(data, plan.encoding, plan.tile)).astype(np.int16)
    except (ValueError, RuntimeError) as exc:
        yield Problem("tile-damaged", str(index), f"the blank tile does not decode ({exc})")
        return
    try:
        expected = slide.blank_pixels(index)
    except SlideReadError as exc:
        yield Problem("tile-damaged", str(index), exc.message)
        return
    difference = np.abs(pixels - expected).max()
    if difference > _BLANK_TOLERANCE:
        yield Problem("tile-not-blank", str(index), f"{difference} grey levels from its colour")


def _check_source(
    info: SlideInfo, plan: ConversionPlan, source: SlideInfo, source_sha256: str | None
) -> Iterator[Problem]:
    if source_sha256 is not None and source_sha256 not in (plan.source.sha256, plan.source.origin_sha256):
        message = f"it was made from a file with SHA-256 {plan.source.sha256}, not {source_sha256}"
        yield Problem("source-differs", "source", message)
        return
    levels = zip(info.levels, plan.levels, strict=False)
    kept = [level.size for level, planned in levels if planned.reduction == 1]
    is_deidentified, carried = plan.deidentified, {level.source_level for level in plan.levels}
    sizes = [
        level.size for number, level in enumerate(source.levels) if number in carried or not is_deidentified
    ]
    if kept != sizes or any(planned.source_level >= len(source.levels) for planned in plan.levels):
        found = f"{sizes_text(kept)}, the source has {sizes_text(sizes)}"
        yield Problem("level-differs", "levels", found)
    if (info.mpp is None) != (source.mpp is None) or (
        info.mpp and source.mpp and not are_close(info.mpp.mean, source.mpp.mean)
    ):
        yield Problem("property-differs", "um per px", f"{info.mpp}, the source has {source.mpp}")
    if info.vendor != source.vendor:
        yield Problem("property-differs", "vendor", f"{info.vendor}, the source has {source.vendor}")
    profiles = [source.icc_profile, *([neutral_profile(source.icc_profile)[0]] if is_deidentified else [])]
    if info.icc_profile not in profiles:
        yield Problem("property-differs", "ICC profile", "not the source's")
    if differ(info.objective_power, source.objective_power):
        found = f"{info.objective_power}, the source has {source.objective_power}"
        yield Problem("property-differs", "objective power", found)
    for name in set(plan.images) & set(info.associated_images) & set(source.associated_images):
        strips = source.associated_images[name].strips
        if not is_deidentified and info.associated_images[name].strips != strips:
            yield Problem("associated-differs", name, "not the source's bytes")


def _check_tiles(
    slide: TiffSlide,
    tile_check: Callable[[int], TileCheck],
    pixels: PixelCheck,
    workers: int,
    progress: StageProgress,
) -> tuple[list[Problem], list[TileCheck]]:
    """Return the problems of all tiles, and the checks that found them; other programs read beside it."""
    problems: list[Problem] = []
    checks: list[TileCheck] = []
    total = sum(level.grid.count for level in slide.info.levels)
    done = 0
    for number, level in enumerate(slide.info.levels):
        check = tile_check(number)
        digest = LevelDigest()
        of_level: list[Problem] = []
        at_once = tiles_at_once(level.tile)
        batches = (partial(check.batch, batch) for batch in batched(level.grid.raster(number), at_once))
        work = _spread(pixels.pieces(number), batches, level.grid.count // at_once)
        threads = workers_for(level.tile, workers, bytes_a_pixel(level.encoding))
        with closing(ordered_map(_called, work, threads)) as results:
            for result in results:
                if result is None:
                    continue
                tiles, found = result
                of_level += found
                for data in tiles:
                    digest.update(data)
                done += len(tiles)
                progress(done, total)
        checks.append(check)
        problems += first_of_each(of_level)
        provenance = slide.provenance
        if provenance is not None and digest.hexdigest() != provenance.levels[number].sha256:
            message = "the SHA-256 of its tiles is not the one that was written"
            problems.append(Problem("tiles-changed", f"level {number}", message))
    return problems, checks


def _called(work: Work) -> TileResult | None:
    return work()


def _spread(few: Sequence[Work], many: Iterable[Work], count: int) -> Iterator[Work]:
    """Yield all work: the `few` evenly among the first `count` of the `many`.

    So programs that do without Python's lock run beside work that needs it.
    """
    waiting = iter(few)
    step = max(1, count // max(1, len(few)))
    for number, work in enumerate(many):
        if number % step == 0:
            yield from islice(waiting, 1)
        yield work
    yield from waiting
