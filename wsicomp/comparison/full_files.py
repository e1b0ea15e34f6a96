"""Full files: each codec and treatment of glass is written, read back and measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from wsicomp.codecs.tile_quality import Quality, TileFidelity, overall_quality, tile_fidelity
from wsicomp.comparison.codec_specs import CodecSpec
from wsicomp.comparison.outcomes import row_outcome
from wsicomp.comparison.results import Row
from wsicomp.comparison.tile_trials import ComparedSlide
from wsicomp.comparison.tissue_tiles import edge_tiles, source_pixels, tissue_tiles
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.outcome import Outcome, outcome_of
from wsicomp.errors import SlideReadError
from wsicomp.formats.compatibility import ReaderVerdict, verdicts
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.opening import open_converted
from wsicomp.geometry import TileIndex
from wsicomp.progress import Progress
from wsicomp.slide import Pixels
from wsicomp.verification.region_checks import FoundClass


def _level_bytes(made: ConvertedSlide, level: int) -> int:
    """Return the bytes of a level's tiles; a tile that many places share counts once."""
    ranges = np.unique(made.tile_ranges(level), axis=0)
    return int(ranges[:, 1].sum())


def _read_all(made: ConvertedSlide, workers: int) -> None:
    for number, level in enumerate(made.info.levels):

        def read(indices: list[TileIndex]) -> None:
            read_tiles(made, indices)

        with closing(ordered_map(read, batched(level.grid.raster(number)), workers)) as batches:
            for _ in batches:
                pass


def read_tiles(made: ConvertedSlide, indices: list[TileIndex]) -> list[Pixels | None]:
    """Return the pixels of tiles of one level, (rows, columns, 3) uint8 RGB each.

    A tile that was damaged in the source already has None.

    Raises:
        SlideReadError: a tile is not what was written.
    """
    if indices and made.is_neural(indices[0].level):
        return [*made.read_tiles(indices)]
    found: list[Pixels | None] = []
    for index in indices:
        try:
            found.append(made.read_tile(index))
        except SlideReadError:
            if not made.is_lost(index) and not made.is_sound(index, made.read_stored(index)):
                raise
            found.append(None)
    return found


def measure_file(compared_slide: ComparedSlide, path: Path) -> list[TileFidelity]:
    """Return the fidelity of each tissue tile of a converted file; lost tiles are left out.

    Raises:
        SlideReadError: a tile is not what was written.
    """
    with closing(open_converted(path)) as made:
        plan = made.provenance.plan
        shown = plan.levels, compared_slide.slide.info.size, compared_slide.known.findings.tissue
        edges = set(edge_tiles(*shown))
        wanted = [*tissue_tiles(*shown), *edges]
        found: list[TileFidelity] = []
        for level in plan.levels:
            counts = made.tile_ranges(level.number)[:, 1]

            def measure(indices: list[TileIndex]) -> list[TileFidelity]:
                decoded = read_tiles(made, indices)
                pairs = [source_pixels(compared_slide.slide, level, index) for index in indices]  # noqa: B023
                return [
                    tile_fidelity(
                        index,
                        int(counts[index.row * level.grid.columns + index.column]),  # noqa: B023
                        pair[1],
                        pixels,
                        index in edges,
                    )
                    for index, pair, pixels in zip(indices, pairs, decoded, strict=True)
                    if pair is not None and pixels is not None
                ]

            of_level = sorted(index for index in wanted if index.level == level.number)
            with closing(
                ordered_map(measure, batched(of_level, 8), compared_slide.base.run.workers)
            ) as batches:
                found += [tile for batch in batches for tile in batch]
    return found


_ReadBack: TypeAlias = tuple[tuple[int, ...], float, Outcome, tuple[ReaderVerdict, ...]]
"""Bytes of each level's tiles, seconds to read them, what became of the slide, and who opens the file."""


class FullFiles:
    """Makes rows from files that are written, read and measured."""

    def __init__(self, compared_slide: ComparedSlide, folder: Path, on_progress: Progress | None) -> None:
        self._slide = compared_slide
        self._folder = folder
        self._on_progress = on_progress
        self._base: int | None = None
        self._tissue: dict[str, list[TileFidelity]] = {}

    def tissue(self, spec: CodecSpec) -> list[TileFidelity]:
        """Return the fidelity of all tissue tiles; none before the codec's file with glass was measured."""
        return self._tissue.get(spec.label, [])

    def row(self, spec: CodecSpec, glass: str) -> Row:
        """Return the row of one file; the reference with its glass has to come first.

        Raises:
            ConfigError: the slide cannot be converted with these options.
            CodecUnavailableError: the codec's library is missing.
            UnknownModelError: there is no model of this name.
            SlideReadError: the slide or the converted file cannot be read.
            SlideWriteError: the file cannot be written.
        """
        if glass != "keep" and spec.label not in self._tissue:
            self.row(spec, "keep")  # what tissue comes back as, by the file that has all of it
        path = self._folder / f"{file_name(spec.label)}-{glass}.tiff"
        try:
            config = spec.config(self._slide.base, glass)
            is_proved = config.codec.restorable or config.regions.roi is not None
            config = config.changed(verify=is_proved, keep_if_larger="keep")
            source, known = self._slide.slide.info.path, self._slide.known
            report = convert_slide(source, path, config, self._on_progress, known=known)
            levels, read_s, outcome, opened = self._read_back(path)
            if glass == "keep":
                self._tissue[spec.label] = measure_file(self._slide, path)
                self._base = self._base or report.target_bytes
        finally:
            if not self._slide.options.keep_files:
                path.unlink(missing_ok=True)
        return Row(
            self._slide.name,
            spec.label,
            glass,
            source_bytes=known.identity.bytes,
            target_bytes=report.target_bytes,
            reduction=None if self._base is None else 1 - report.target_bytes / self._base,
            source_reduction=1 - report.target_bytes / known.identity.bytes,
            level_bytes=levels,
            encode_s=report.elapsed_s["write"],
            read_s=read_s,
            setting=spec.setting,
            quality=(quality := with_classes(overall_quality(self._tissue[spec.label]), report.classes)),
            options=spec.row_options(glass),
            container=report.container,
            outcome=row_outcome(outcome, opened, quality),
            classes=report.classes,
        )

    def _read_back(self, path: Path) -> _ReadBack:
        """Decode every tile; return the bytes of each level's tiles, the seconds it took, and who opens it.

        Every tile is compared with its digest, so that the conversion need not verify it too.
        """
        with closing(open_converted(path)) as made:
            start = time.perf_counter()
            _read_all(made, self._slide.base.run.workers)
            read_s = time.perf_counter() - start
            levels = tuple(_level_bytes(made, number) for number in range(len(made.info.levels)))
            opened = verdicts(made)
            outcome = outcome_of(made.provenance, None, opened, self._slide.slide)
            return levels, read_s, outcome, opened


def with_classes(quality: Quality | None, classes: Sequence[FoundClass]) -> Quality | None:
    """Return the quality of a row with the least SSIM of its classes, where that is less."""
    measured = [each.least_ssim for each in classes if each.least_ssim is not None]
    if quality is None or min(measured, default=1.0) >= quality.least_ssim:
        return quality
    return replace(quality, least_ssim=min(measured), worst_tile="")


def file_name(label: str) -> str:
    """Return a codec's label as part of a file name: each unusual character becomes a dash."""
    return "".join(letter if letter.isalnum() or letter in "-+.=_" else "-" for letter in label)
