"""Single tiles of a conversion, made as the full conversion would make them but without the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from wsicomp.codecs.base import Fallback
from wsicomp.codecs.registry import create_transcoder, decode_tiles
from wsicomp.comparison.codec_specs import CodecSpec
from wsicomp.comparison.options import ComparisonOptions
from wsicomp.concurrency.threads import Item, batched, ordered_map
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import KnownSlide, Prepared, prepare
from wsicomp.conversion.tile_stream import StreamOptions, TileMaker
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.output_tile import MadeTile, TileOutcome
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import Stages
from wsicomp.slide import JPEG, EncodedTile, Pixels

Measured = TypeVar("Measured")

_BATCH = 8
_RUN_BYTES = 2
"""By how many bytes about the actions of a row grow where a tile's differs from its neighbours'."""


@dataclass(frozen=True)
class TileTrial:
    """A tile as one codec makes it."""

    index: TileIndex
    """Where the tile is."""
    bytes: int
    """Bytes of the tile; 0 for a tile that is not stored."""
    listed_bytes: int
    """Bytes by which the file's provenance lists a tile that was not made as planned."""
    pixels: Pixels | None
    """The decoded tile; None where the source's tile cannot be decoded."""
    encode_s: float
    """Seconds to encode it."""
    decode_s: float
    """Seconds to decode it."""


@dataclass(frozen=True)
class ComparedSlide:
    """An open slide, and what all conversions of it share."""

    name: str
    """Its name in the results."""
    slide: Slide
    """The slide."""
    known: KnownSlide
    """Its identity and its tissue."""
    options: ComparisonOptions
    """What is compared."""

    @property
    def base(self) -> ConversionConfig:
        """The config that all conversions share."""
        return self.options.base

    def prepare_conversion(self, spec: CodecSpec, glass: str) -> Prepared:
        """Make every decision of one codec's conversion.

        Raises:
            ConfigError: the slide cannot be converted with these options.
            CodecUnavailableError: the codec's library is missing.
            UnknownModelError: there is no model of this name.
        """
        config = spec.config(self.base, glass)
        if config.codec.restorable and self.slide.provenance is not None:
            raise ConfigError("it is a conversion, and only a source can be kept restorable; take its source")
        return prepare(self.slide, config, Stages(), known=self.known)

    def try_tiles(self, prepared: Prepared, indices: Sequence[TileIndex]) -> Iterator[TileTrial]:
        """Yield these tiles as the conversion makes them, level by level; see the function `try_tiles`."""
        return try_tiles(self.slide, prepared, indices, self.base.run.workers)

    def measured_tiles(
        self, prepared: Prepared, indices: Sequence[TileIndex], measure: Callable[[TileTrial], Measured]
    ) -> Iterator[Measured]:
        """Yield what `measure` returns of these tiles, called in the workers' threads."""
        return measured_tiles(self.slide, prepared, indices, self.base.run.workers, measure)


def try_tiles(
    slide: Slide, prepared: Prepared, indices: Sequence[TileIndex], workers: int
) -> Generator[TileTrial]:
    """Yield tiles as a conversion makes them, level by level.

    Memory: some batches of decoded tiles for each worker.
    """
    return measured_tiles(slide, prepared, indices, workers, lambda trial: trial)


def measured_tiles(
    slide: Slide,
    prepared: Prepared,
    indices: Sequence[TileIndex],
    workers: int,
    measure: Callable[[TileTrial], Measured],
) -> Generator[Measured]:
    """Yield what `measure` returns of tiles as a conversion makes them, called in the workers' threads.

    Memory: some batches of decoded tiles for each worker.
    """
    options = StreamOptions(prepared.paint)
    for level in prepared.plan.levels:
        wanted = [index for index in indices if index.level == level.number]
        if not wanted:
            continue
        work = _LevelTrials(slide, level, options)

        def measured(batch: list[TileIndex], work: _LevelTrials = work) -> list[Measured]:
            return [measure(trial) for trial in work.made(batch)]

        with closing(ordered_map(measured, batched(wanted, _BATCH), workers)) as batches:
            for batch in batches:
                yield from batch


class _LevelTrials:
    """Makes and decodes tiles of one level."""

    def __init__(self, slide: Slide, plan: LevelPlan, options: StreamOptions) -> None:
        self._plan = plan
        self._maker = TileMaker(slide, plan, options)

    def made(self, indices: list[TileIndex]) -> list[TileTrial]:
        start = time.perf_counter()
        made = self._maker.tiles([replace(index, level=self._plan.source_level) for index in indices])
        between = time.perf_counter()
        pixels = self._decoded(indices, made)
        end = time.perf_counter()
        share = 1 / max(1, sum(bool(tile.data) for tile in made))
        return [
            TileTrial(
                index,
                len(tile.data or b""),
                self._listed_bytes(index, tile),
                found,
                (between - start) * share if tile.data else 0.0,
                (end - between) * share if tile.data else 0.0,
            )
            for index, tile, found in zip(indices, made, pixels, strict=True)
        ]

    def _listed_bytes(self, index: TileIndex, tile: MadeTile) -> int:
        """Return the bytes by which the provenance lists a tile, or its letter in the row's actions."""
        fell_back = tile.encoded is not None and tile.encoded.fallback is Fallback.FELL_BACK
        if tile.outcome is TileOutcome.AS_PLANNED and not fell_back:
            return _RUN_BYTES * tile.unpainted
        return len(str(index.row * self._plan.grid.columns + index.column)) + 1

    def _decoded(self, indices: Sequence[TileIndex], made: Sequence[MadeTile]) -> list[Pixels | None]:
        stored = [self._stored(index, tile) for index, tile in zip(indices, made, strict=True)]
        encoded = [tile for tile in stored if tile is not None]
        same = {tile.encoding for tile in encoded}
        try:
            if len(same) <= 1:
                decoded = iter(decode_tiles(encoded))
                return [None if tile is None else next(decoded) for tile in stored]
        except (ValueError, RuntimeError, SlideReadError):
            pass  # one of them was damaged before; each is tried by itself
        return [None if tile is None else _decoded_alone(tile) for tile in stored]

    def _stored(self, index: TileIndex, tile: MadeTile) -> EncodedTile | None:
        """Return the tile as a reader has it before it decodes; None for background."""
        if not tile.data:
            return None
        plan, recipe = self._plan, self._plan.recipe(index)
        action = plan.action(index)
        if action is not TileAction.TRANSCODE or tile.outcome is TileOutcome.KEPT:
            return EncodedTile(tile.data, recipe.shown, plan.tile)
        packed = EncodedTile(tile.data, recipe.encoding, plan.tile)
        if recipe.shown.compression != JPEG:
            return packed
        return create_transcoder(recipe.codec, shared=recipe.shared).unpack(packed, recipe.shown)


def _decoded_alone(tile: EncodedTile) -> Pixels | None:
    try:
        return decode_tiles([tile])[0]
    except (ValueError, RuntimeError, SlideReadError):
        return None


def pick_by_bytes(indices: Sequence[TileIndex], known: dict[TileIndex, float], count: int) -> list[TileIndex]:
    """Return `count` of the tiles, at even distances from those of few bytes in the source to those of many.

    `known` has the bytes of tiles in the source; a tile that is not in it counts as 0.
    """
    ordered = sorted(indices, key=lambda index: (known.get(index, 0.0), index.level, index.row, index.column))
    return pick_evenly(ordered, count)


def pick_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of the items at even distances, from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in np.unique(places).tolist()]
