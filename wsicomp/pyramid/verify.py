"""Checking a written file as data: every finding is a `Problem` with a stable code.

The file is opened anew and read as any other slide. What was encoded anew is checked for decoding, not
for its pixels, which differ from the source by design; but neural tiles must be as true to it as their guard
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openslide import OpenSlide, OpenSlideError

from wsicomp.codecs import create_transcoder, decode_tile
from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan import ConversionPlan, LevelPlan, TileAction
from wsicomp.provenance import LevelDigest
from wsicomp.pyramid.carried import carried_image
from wsicomp.pyramid.compatibility import ReaderVerdict, verdicts
from wsicomp.pyramid.restoration import restored_blocks
from wsicomp.quality import LEAST_SIDE_PX, fidelity
from wsicomp.readers import open_tiff
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.tiff import TiffSlide
from wsicomp.slide import EncodedTile, Slide, SlideInfo
from wsicomp.stages import StageProgress

CODES = {
    "unreadable": "the file, or its provenance block, cannot be parsed",
    "openslide-refuses": "OpenSlide does not open the file or does not read a level",
    "openslide-differs": "OpenSlide shows other levels, or other um per px, than the file states",
    "level-differs": "the levels are not those of the source",
    "tile-damaged": "a tile's bytes are not those that were written, or do not decode to its size",
    "tile-missing": "a tile that should hold a picture is empty",
    "tile-not-blank": "a tile that should be blank holds something else",
    "tiles-changed": "a level's tiles are not those that were written",
    "property-differs": "um per px, objective power, ICC profile or vendor are not the source's",
    "associated-differs": "a label, macro or thumbnail is not the source's",
    "not-restorable": "the source's file can no longer be rebuilt from it",
    "source-differs": "the file was not made from this source, or does not say from which",
    "tile-unfaithful": "a neural tile is not as true to the source as its guard asks for",
    "tile-differs": "a tile that should be the source's, byte for byte or packed without loss, is not",
}
"""Every code that a `Problem` can have, with its meaning."""

_MPP_TOLERANCE = 1e-3
_BLANK_TOLERANCE = 8
_SSIM_TOLERANCE, _PSNR_TOLERANCE, _SHIFT_TOLERANCE = 0.002, 0.2, 0.5
"""Machines round neural tiles differently, by a grey level at most."""


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

    `flawed` are the places of the source's tiles that were damaged there already, and stand here as they
    were or were encoded as far as they could be decoded; `lost` those that could not be decoded and are
    background. `readers` says which programs open the file.
    """

    problems: tuple[Problem, ...]
    tiles: int
    has_provenance: bool
    flawed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    readers: tuple[ReaderVerdict, ...] = ()


def verify_slide(
    path: Path,
    source: Slide | None,
    source_sha256: str | None,
    workers: int,
    progress: StageProgress,
    is_fresh: bool = False,
) -> Verification:
    """Check a tiled TIFF: structure, every tile, OpenSlide, its provenance and, where given, its source.

    `source_sha256` is the digest of the source's file. A file without provenance is checked for what any
    slide must hold. `is_fresh` is for a file that this process has just written: tiles that were unpacked
    and compared before they were written are then held to their digests alone. Memory: some tiles for each
    worker.
    """
    try:
        slide = open_tiff(path)
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    try:
        plan = slide.provenance.plan if isinstance(slide, ConvertedSlide) else None
        readers = verdicts(slide)
        newest = next(verdict for verdict in readers if verdict.reader.startswith("OpenSlide"))
        problems = list(_check_openslide(path, slide, plan, newest))
        if isinstance(slide, ConvertedSlide):
            problems += _check_blanks(slide)
            for name in slide.damaged_images:
                problems.append(Problem("associated-differs", name, "damaged: not what was written"))
        elif source is not None:
            message = "it holds no provenance, so nothing says what it was made from"
            problems.append(Problem("source-differs", "file", message))
        if plan is not None and source is not None:
            problems += _check_source(slide.info, plan, source.info, source_sha256)
        compared = None if problems else source
        found, flawed = _check_tiles(slide, compared, workers, progress, is_fresh)
        if isinstance(slide, ConvertedSlide) and slide.provenance.restoration and not found:
            found += _check_restoration(slide, workers)
        tiles = sum(level.grid.count for level in slide.info.levels)
        return Verification(
            (*problems, *found), tiles, plan is not None, tuple(flawed), tuple(_lost(slide)), readers
        )
    except SlideReadError as exc:
        return Verification((Problem("unreadable", exc.place or "file", exc.message),), 0, False)
    finally:
        slide.close()


def _check_restoration(slide: ConvertedSlide, workers: int) -> Iterator[Problem]:
    """Rebuild the source, and throw it away: it is its SHA-256 that counts."""
    try:
        for _ in restored_blocks(slide, workers):
            pass
    except SlideReadError as exc:
        yield Problem("not-restorable", exc.place or "file", exc.message)


def _places(level: int, columns: int, numbers: Iterable[int]) -> Iterator[str]:
    return (str(TileIndex(level, number % columns, number // columns)) for number in numbers)


def _lost(slide: TiffSlide) -> Iterator[str]:
    if isinstance(slide, ConvertedSlide):
        for number, record in enumerate(slide.provenance.levels):
            yield from _places(number, slide.info.levels[number].grid.columns, record.lost)


def _check_openslide(
    path: Path, slide: TiffSlide, plan: ConversionPlan | None, verdict: ReaderVerdict
) -> Iterator[Problem]:
    """What OpenSlide makes of the file; nothing where it is known not to open it."""
    if plan is not None and verdict.opens == "no":
        return
    navigable = range(len(slide.info.levels)) if plan is None else [level.number for level in plan.navigable]
    expected = tuple(slide.info.levels[number].size for number in navigable)
    scale = slide.info.size.width / expected[0].width
    try:
        with OpenSlide(path) as shown:
            sizes = tuple(Size(*size) for size in shown.level_dimensions)
            if sizes != expected:
                yield Problem("openslide-differs", "levels", f"{_sizes(sizes)}, expected {_sizes(expected)}")
            for number in range(shown.level_count):
                if _is_sound(slide, TileIndex(list(navigable)[number], 0, 0)):
                    shown.read_region((0, 0), number, (1, 1))
            mpp = shown.properties.get("openslide.mpp-x")
            stated = slide.info.mpp
            if (mpp is None) != (stated is None) or (
                mpp is not None and stated is not None and not _close(float(mpp), stated.x * scale)
            ):
                yield Problem("openslide-differs", "um per px", f"{mpp}, expected {stated}")
            power = shown.properties.get("openslide.objective-power")
            if plan is not None and plan.container == "svs" and power != _as_text(slide.info.objective_power):
                expected_power = slide.info.objective_power
                yield Problem("openslide-differs", "objective power", f"{power}, expected {expected_power}")
            bounds = [name for name in shown.properties if name.startswith("openslide.bounds-")]
            if bounds and shown.properties["openslide.vendor"] == "generic-tiff":
                yield Problem("openslide-differs", "bounds", f"{', '.join(bounds)} are set, expected none")
    except OpenSlideError as exc:
        yield Problem("openslide-refuses", "file", str(exc))


def _is_sound(slide: TiffSlide, index: TileIndex) -> bool:
    """Whether a tile decodes: OpenSlide's refusal of one that does not says nothing of the file."""
    try:
        slide.read_tile_eighth(index)
    except SlideReadError:
        return False
    return True


def _check_blanks(slide: ConvertedSlide) -> Iterator[Problem]:
    """Blank tiles share one stored tile of background, empty tiles store nothing."""
    provenance = slide.provenance
    for plan, record in zip(provenance.plan.levels, provenance.levels, strict=True):
        place = f"level {plan.number}"
        letters = plan.actions.reshape(-1)
        ranges = slide.tile_ranges(plan.number)
        blank = (
            np.union1d(np.flatnonzero(letters == TileAction.BLANK.value), record.lost).astype(int).tolist()
        )
        different = len(np.unique(ranges[blank], axis=0)) if blank else 0
        if different > 1:
            yield Problem("tile-not-blank", place, f"{different} different blank tiles, expected one")
        if ranges[letters == TileAction.EMPTY.value, 1].any():
            yield Problem("tile-not-blank", place, "an empty tile with bytes")
        for number in blank[:1]:
            index = TileIndex(plan.number, number % plan.grid.columns, number // plan.grid.columns)
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
    difference = np.abs(pixels - np.array(slide.provenance.plan.background)).max()
    if difference > _BLANK_TOLERANCE:
        yield Problem("tile-not-blank", str(index), f"{difference} grey levels from the background")


def _check_source(
    info: SlideInfo, plan: ConversionPlan, source: SlideInfo, source_sha256: str | None
) -> Iterator[Problem]:
    if source_sha256 is not None and source_sha256 not in (plan.source.sha256, plan.source.origin_sha256):
        message = f"it was made from a file with SHA-256 {plan.source.sha256}, not {source_sha256}"
        yield Problem("source-differs", "source", message)
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
    if info.vendor != source.vendor:
        yield Problem("property-differs", "vendor", f"{info.vendor}, the source has {source.vendor}")
    if info.icc_profile != source.icc_profile:
        yield Problem("property-differs", "ICC profile", "not the source's")
    if info.objective_power != source.objective_power:
        found = f"{info.objective_power}, the source has {source.objective_power}"
        yield Problem("property-differs", "objective power", found)
    for name in set(plan.images) & set(info.associated_images) & set(source.associated_images):
        carried = carried_image(name, source.associated_images[name], bool(plan.config["deidentify"]))
        if info.associated_images[name].strips != carried.strips:
            yield Problem("associated-differs", name, "not the source's bytes")


def _check_tiles(
    slide: TiffSlide, source: Slide | None, workers: int, progress: StageProgress, is_fresh: bool
) -> tuple[list[Problem], list[str]]:
    problems: list[Problem] = []
    flawed: list[str] = []
    total = sum(level.grid.count for level in slide.info.levels)
    done = 0
    for number, level in enumerate(slide.info.levels):
        if isinstance(slide, ConvertedSlide):
            check: _TileCheck = _ConvertedTileCheck(slide, number, source, is_fresh)
        else:
            check = _TileCheck(slide)
        digest = LevelDigest()
        with closing(ordered_map(check.batch, batched(level.grid.raster(number)), workers)) as batches:
            for tiles, found in batches:
                problems += found
                for data in tiles:
                    digest.update(data)
                done += len(tiles)
                progress(done, total)
        flawed += check.flawed
        if isinstance(slide, ConvertedSlide) and digest.hexdigest() != slide.provenance.levels[number].sha256:
            message = "SHA-256 is not that of the written tiles"
            problems.append(Problem("tiles-changed", f"level {number}", message))
    return problems, flawed


class _TileCheck:
    """Checks batches of one level's tiles; in a file of another program each must decode.

    `flawed` gathers the tiles that were damaged in the source already and stand as they were.
    """

    def __init__(self, slide: TiffSlide) -> None:
        self.flawed: list[str] = []
        self._slide = slide

    def batch(self, indices: list[TileIndex]) -> tuple[list[bytes], list[Problem]]:
        """The batch's bytes, and what is wrong with them."""
        data, problems = [], []
        for index in indices:
            try:
                tile = self._slide.read_stored(index)
            except SlideReadError as exc:
                problems.append(Problem("tile-damaged", str(index), exc.message))
                continue
            data.append(tile)
            problems += self._check(index, tile)
        return data, problems

    def _check(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        if data:
            yield from self._check_decoding(index)

    def _check_decoding(self, index: TileIndex) -> Iterator[Problem]:
        try:
            self._slide.read_tile_eighth(index)
        except SlideReadError as exc:
            yield Problem("tile-damaged", str(index), exc.message)


class _ConvertedTileCheck(_TileCheck):
    """Holds tiles to their digests, to their plan and, where there is one, to their source."""

    def __init__(self, slide: ConvertedSlide, number: int, source: Slide | None, is_fresh: bool) -> None:
        super().__init__(slide)
        self._converted = slide
        self._plan = slide.provenance.plan.levels[number]
        self.flawed += _places(number, self._plan.grid.columns, slide.provenance.levels[number].flawed)
        self._source = source
        self._is_fresh = is_fresh
        self._transcoder = (
            create_transcoder(self._plan.codec) if self._plan.count(TileAction.TRANSCODE) else None
        )

    def _check(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        action = self._converted.action(index)
        if action in (TileAction.BLANK, TileAction.EMPTY) or self._converted.is_lost(index):
            return
        if not data:
            yield Problem("tile-missing", str(index), "0 bytes, expected a picture")
        elif not self._converted.is_sound(index, data):
            yield Problem("tile-damaged", str(index), "its bytes are not those that were written")
            if self._is_carried(index, action):
                yield from self._check_carried(index, data)
        elif self._is_carried(index, action):
            yield from self._check_carried(index, data)
            self._note_flaws(index)
        elif action is TileAction.ENCODE and self._is_comparable:
            yield from self._check_fidelity(index)
        elif action is not TileAction.TRANSCODE:
            yield from self._check_decoding(index)
        elif not self._is_fresh:
            yield from self._check_transcoded(index)

    @property
    def _is_comparable(self) -> bool:
        """Whether a guarded tile's pixels can be held against the source's once more."""
        guarded = self._converted.provenance.levels[self._plan.number].guarded
        if guarded is None or self._source is None or self._is_fresh or self._plan.reduction > 1:
            return False
        return self._plan.tile == self._source.info.levels[self._plan.source_level].tile

    def _check_fidelity(self, index: TileIndex) -> Iterator[Problem]:
        assert self._source is not None, "there is something to compare with"
        try:
            tile = self._slide.read_tile(index)
        except SlideReadError as exc:
            yield Problem("tile-damaged", str(index), exc.message)
            return
        if str(index) in self.flawed or min(tile.shape[:2]) < LEAST_SIDE_PX:
            return
        found = fidelity(self._source.read_tile(self._in_source(index)), tile)
        options = self._plan.options
        limits = (
            ("SSIM", found.ssim, float(options["min_ssim"]) - _SSIM_TOLERANCE),
            ("PSNR", found.psnr, float(options["min_psnr"]) - _PSNR_TOLERANCE),
            ("shift of colour", -found.color_shift, -float(options["max_color_shift"]) - _SHIFT_TOLERANCE),
        )
        for name, value, least in limits:
            if value < least:
                message = f"{name} {abs(value):.3f} on this machine, beyond what the guard lets stand"
                yield Problem("tile-unfaithful", str(index), message)

    def _in_source(self, index: TileIndex) -> TileIndex:
        return TileIndex(self._plan.source_level, index.column, index.row)

    def _is_carried(self, index: TileIndex, action: TileAction) -> bool:
        return action is TileAction.COPY or self._converted.is_kept(index)

    def _check_carried(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        if self._source is None:
            return
        tile = self._source.read_encoded_tile(self._in_source(index))
        kept = tile.data if self._transcoder is None else self._transcoder.keep(tile)
        if kept != data:
            yield Problem("tile-differs", str(index), "not the source's bytes")

    def _note_flaws(self, index: TileIndex) -> None:
        try:
            self._slide.read_tile_eighth(index)
        except SlideReadError:
            self.flawed.append(str(index))

    def _check_transcoded(self, index: TileIndex) -> Iterator[Problem]:
        try:
            tile = self._slide.read_encoded_tile(index)
            if self._source is None:
                if str(index) not in self.flawed:
                    self._slide.read_tile_eighth(index)
                return
            original = self._source.read_encoded_tile(self._in_source(index))
            same = tile.data == original.data
            same = same or np.array_equal(decode_tile(tile), decode_tile(original))
        except (SlideReadError, ValueError, RuntimeError) as exc:
            yield Problem("tile-damaged", str(index), str(exc))
            return
        if not same:
            yield Problem("tile-differs", str(index), "not the source's pixels")


def _as_text(number: float | None) -> str | None:
    """A number as OpenSlide writes it."""
    return None if number is None else f"{number:.17g}"


def _close(first: float, second: float) -> bool:
    return abs(first - second) <= _MPP_TOLERANCE * max(first, second)


def _sizes(sizes: tuple[Size, ...]) -> str:
    return ", ".join(str(size) for size in sizes)
