"""Estimate sizes and times of full files from a stratified sample of their tiles, without writing them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import Encoded
from wsicomp.codecs.quality import Fidelity
from wsicomp.codecs.registry import is_guarded
from wsicomp.codecs.tile_quality import TileFidelity, overall_quality, tile_fidelity
from wsicomp.comparison.codec_specs import REFERENCE, CodecSpec
from wsicomp.comparison.options import BLANK
from wsicomp.comparison.outcomes import planned_row_outcome
from wsicomp.comparison.results import Row
from wsicomp.comparison.stratified import Draw, Estimate, draw_strata, ratio, total
from wsicomp.comparison.tile_trials import ComparedSlide, TileTrial
from wsicomp.comparison.tissue_tiles import edge_tiles, source_pixels, tissue_tiles
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import write_pyramid
from wsicomp.conversion.prepare import Prepared
from wsicomp.conversion.tile_stream import StreamOptions
from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.output_tile import MadeTile
from wsicomp.formats.converted.writer import PyramidWriter
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import Color, ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import no_progress

_ALIGNMENT_BYTES = 16
"""How far a level's directory may move from its place in a skeleton, as TIFF wants even places."""
_WHOLE = (TileAction.ENCODE, TileAction.COPY, TileAction.TRANSCODE)
_LONG_FIGURES = Fidelity(0.9712345678901234, 34.12345678901234, 2.123456789)
"""Figures with as many digits as any tile's."""
_STORED = (*_WHOLE, TileAction.MASK_AND_ENCODE)


@dataclass(frozen=True)
class SampledTiles:
    """The tiles that stand for a slide."""

    indices: tuple[TileIndex, ...]
    """Every tile of all levels, in order."""
    levels: NDArray[np.intp]
    """(tiles,): the level of each."""
    draw: Draw
    """Which tiles were drawn."""

    @property
    def drawn(self) -> list[TileIndex]:
        """The drawn tiles."""
        return [self.indices[number] for number in self.draw.drawn.tolist()]

    def level_bytes(self, sizes: NDArray[np.float64]) -> tuple[int, ...]:
        """Return the bytes of each level's tiles, as estimated from the sizes of the drawn tiles."""
        parts = (
            self.draw.part(lambda stratum: self.levels[stratum.members[0]] == level)  # noqa: B023
            for level in range(int(self.levels.max()) + 1)
        )
        return tuple(round(total(part, sizes).value) for part in parts)

    def file_bytes(self, found: SampledSizes) -> Estimate:
        """Estimate the bytes of the full file from the drawn tiles."""
        whole = total(self.draw, found.sizes)
        seen = float(np.nansum(found.sizes))  # what was drawn is there, whatever the rest is
        whole = replace(whole, low=max(whole.low, seen))
        return whole.plus(found.overhead, _ALIGNMENT_BYTES * (int(self.levels.max()) + 1))


def draw_tiles(compared_slide: ComparedSlide, count: int) -> SampledTiles:
    """Draw about `count` tiles, by level, by tissue, glass or both, and by their bytes.

    Raises:
        ConfigError: the slide cannot be converted at all.
    """
    plan = compared_slide.prepare_conversion(REFERENCE, BLANK).plan
    indices, cells, known = [], [], []
    for level in plan.levels:
        grid = level.grid
        sizes = stored_bytes(compared_slide.slide, level)
        for row in range(grid.rows):
            for column in range(grid.columns):
                indices.append(TileIndex(level.number, column, row))
                known.append(float(sizes[row, column]))
                cells.append((level.number, str(level.actions[row, column])))
    kinds = sorted(set(cells))
    numbers = np.array([kinds.index(cell) for cell in cells])
    parts = [np.flatnonzero(numbers == kind) for kind in range(len(kinds))]
    draw = draw_strata(parts, np.array(known), count, np.random.default_rng(compared_slide.options.seed))
    return SampledTiles(tuple(indices), np.array([index.level for index in indices]), draw)


def stored_bytes(slide: Slide, level: LevelPlan) -> NDArray[np.int64]:
    """Return (rows, columns): the bytes of each tile in the source, 0 where unknown or of another grid."""
    grid = level.grid
    ranges = slide.tile_ranges(level.source_level)
    if not len(ranges) or grid != slide.info.levels[level.source_level].grid:
        return np.zeros((grid.rows, grid.columns), np.int64)
    return ranges[:, 1].reshape(grid.rows, grid.columns)


class SampledConversions:
    """The tiles that one codec makes of a sample, each made once for all treatments of glass."""

    def __init__(self, compared_slide: ComparedSlide, sample: SampledTiles, spec: CodecSpec) -> None:
        self._slide = compared_slide
        self._sample = sample
        self._candidate = spec
        self._made: dict[tuple[TileIndex, Color | None], TileTrial] = {}
        self.tissue: list[TileFidelity] = []
        """The fidelity of the drawn tiles with tissue, known once `keep` was looked at."""

    def sizes_and_seconds(self, glass: str) -> tuple[Prepared, NDArray[np.float64], NDArray[np.float64]]:
        """Return the plan with one treatment of glass, and bytes and seconds of each tile of the sample.

        Bytes are (tiles,), nan for a tile that was not drawn. Seconds are (tiles, 2): to encode and to
        decode.

        Raises:
            ConfigError: the slide cannot be converted with these options.
            CodecUnavailableError: the codec's library is missing.
            UnknownModelError: there is no model of this name.
        """
        prepared = self._slide.prepare_conversion(self._candidate, glass)
        self._check_grid(prepared.plan)
        self._make(prepared, glass)
        size, seconds = np.full(len(self._sample.indices), np.nan), np.zeros((len(self._sample.indices), 2))
        for number in self._sample.draw.drawn.tolist():
            index = self._sample.indices[number]
            action = _action(prepared.plan, index)
            found = self._made.get((index, _paint(prepared.plan, index)))
            is_stored = found is not None and action in _STORED
            size[number] = found.bytes + found.listed_bytes if found is not None and is_stored else 0
            seconds[number] = (found.encode_s, found.decode_s) if found is not None and is_stored else 0
        return prepared, size, seconds

    def _check_grid(self, plan: ConversionPlan) -> None:
        counts = [level.grid.count for level in plan.levels]
        if counts != np.bincount(self._sample.levels).tolist():
            raise ConfigError(
                "its tiles have another size than the reference's; compare full files (`sample` whole)"
            )

    def _make(self, prepared: Prepared, glass: str) -> None:
        wanted = []
        for index in self._sample.drawn:
            action = _action(prepared.plan, index)
            if action in _STORED and (index, _paint(prepared.plan, index)) not in self._made:
                wanted.append(index)
        plan = prepared.plan
        shown = plan.levels, self._slide.slide.info.size, self._slide.known.findings.tissue
        tissue, edges = (set(find(*shown) if glass == "keep" else ()) for find in (tissue_tiles, edge_tiles))

        def measure(trial: TileTrial) -> tuple[TileTrial, TileFidelity | None]:
            index, pixels = trial.index, trial.pixels
            shown = index in tissue or index in edges
            level = plan.levels[index.level]
            pair = source_pixels(self._slide.slide, level, index) if shown and pixels is not None else None
            if pair is None or pixels is None:
                return replace(trial, pixels=None), None
            found = tile_fidelity(index, trial.bytes, pair[1], pixels, index in edges)
            return replace(trial, pixels=None), found

        for trial, found in self._slide.measured_tiles(prepared, wanted, measure):
            self._made[trial.index, _paint(plan, trial.index)] = trial
            if found is not None:
                self.tissue.append(found)

    def tissue_weights(self) -> NDArray[np.float64]:
        """Return the count of tiles for which each one of `tissue` stands, (tiles,)."""
        weights = self._sample.draw.weights()
        place = {self._sample.indices[number]: number for number in self._sample.draw.drawn.tolist()}
        return np.array([weights[place[tile.index]] for tile in self.tissue])


def _action(plan: ConversionPlan, index: TileIndex) -> TileAction:
    return plan.levels[index.level].action(index)


def _paint(plan: ConversionPlan, index: TileIndex) -> Color | None:
    """Return the colour in which a tile's glass is painted; None where it is not painted."""
    return plan.color(index) if _action(plan, index) is TileAction.MASK_AND_ENCODE else None


@dataclass(frozen=True)
class SampledSizes:
    """Sampled sizes of a slide as one codec writes it with one treatment of glass."""

    sizes: NDArray[np.float64]
    """Bytes of each drawn tile, nan elsewhere."""
    overhead: int
    """Bytes of everything but tiles."""


def overhead_bytes(slide: Slide, prepared: Prepared, config: ConversionConfig, folder: Path) -> int:
    """Return the bytes of a file besides its own tiles.

    These are directories, provenance, associated images and blank tiles. They are found by writing the file
    with one byte in the place of each tile.

    Raises:
        SlideWriteError: the file cannot be written.
    """
    path = folder / "skeleton.tiff"
    with PyramidWriter(path, prepared.plan, slide.info.icc_profile, True, prepared.embedded_model) as writer:
        write_pyramid(writer, slide, prepared, config, no_progress, _skeleton, is_outline=True)
        size = writer.partial.stat().st_size
    stored = sum(level.count(action) for level in prepared.plan.levels for action in _STORED)
    return size - stored


def _skeleton(slide: Slide, plan: LevelPlan, options: StreamOptions, workers: int) -> Generator[MadeTile]:  # noqa: ARG001
    own = [
        MadeTile(b"x", encoded=Encoded(b"x", _LONG_FIGURES) if is_guarded(recipe.codec) else None)
        for recipe in plan.recipes
    ]
    others = {TileAction.BLANK: MadeTile(None), TileAction.EMPTY: MadeTile(b"")}
    for index in plan.grid.raster(plan.number):
        yield others.get(plan.action(index), own[plan.recipe_number(index)])


class SampledFiles:
    """Makes rows from a sample of tiles."""

    def __init__(self, compared_slide: ComparedSlide, sample: SampledTiles, folder: Path) -> None:
        self._slide = compared_slide
        rng = np.random.default_rng(compared_slide.options.seed)
        self._samples = {False: sample, True: replace(sample, draw=sample.draw.halved(rng))}
        self._folder = folder
        self._base: SampledSizes | None = None
        self._tried: dict[str, SampledConversions] = {}

    def tissue(self, spec: CodecSpec) -> list[TileFidelity]:
        """Return the fidelity of the drawn tissue tiles."""
        found = self._tried.get(spec.label)
        return found.tissue if found else []

    def row(self, spec: CodecSpec, glass: str) -> Row:
        """Return the row that a full file would have, as estimated from the sample.

        A neural codec, which is slow, makes half of the sample's tiles.
        """
        tried = self._tried.get(spec.label)
        sample = self._samples[spec.is_neural]
        if tried is None:
            tried = SampledConversions(self._slide, sample, spec)
            if glass != "keep":
                tried.sizes_and_seconds("keep")  # all of its tissue, or none of its rows
        prepared, sizes, seconds = tried.sizes_and_seconds(glass)
        self._tried[spec.label] = tried
        config = spec.config(self._slide.base, glass)
        found = SampledSizes(sizes, overhead_bytes(self._slide.slide, prepared, config, self._folder))
        base = self._base = self._base or found
        draw, size = sample.draw, sample.file_bytes(found)
        part = ratio(draw, found.sizes, base.sizes, (found.overhead, base.overhead))
        encode_s, read_s = (draw.weights() @ seconds / self._slide.base.run.workers).tolist()
        source = self._slide.known.identity.bytes
        return Row(
            self._slide.name,
            spec.label,
            glass,
            source_bytes=source,
            target_bytes=round(size.value),
            target_bytes_low=int(size.low),
            target_bytes_high=int(size.high) + 1,
            reduction=1 - part.value,
            reduction_low=1 - part.high,
            reduction_high=1 - part.low,
            source_reduction=1 - size.value / source,
            level_bytes=sample.level_bytes(sizes),
            encode_s=encode_s,
            read_s=read_s,
            sampled_tiles=len(sample.drawn),
            setting=spec.setting,
            quality=(quality := overall_quality(tried.tissue, tried.tissue_weights())),
            options=spec.row_options(glass),
            container=prepared.plan.container,
            outcome=planned_row_outcome(prepared.plan, self._slide.slide, quality),
        )
