"""Read, mask, encode: the tiles of one level in raster order, as its plan says."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import Encoded, ModelCodec
from wsicomp.codecs.registry import copy_obstacle, create_codec, create_transcoder, encode_tiles
from wsicomp.concurrency import batched, ordered_map
from wsicomp.deidentification.deidentify import carried_tile, continued
from wsicomp.errors import DamagedTileError, SlideReadError, TileReadError
from wsicomp.formats.converted.output_tile import MadeTile, Outcome
from wsicomp.formats.resample import read_reduced_tile
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.limits import tiles_at_once, workers_for
from wsicomp.plan import LevelPlan, TileAction
from wsicomp.slide import EncodedTile, Pixels, Slide
from wsicomp.tissue.mask import TissueMask

_CELL_PX = 16
"""The largest unit that JPEG codes: an edge inside one would ring into the tissue, and cost bytes."""

_LEAST_GAP = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Whitening:
    """How the glass of a mixed tile becomes background: the mask with its margin, and the guard's finds."""

    mask: TissueMask
    found: TissueMask
    background: tuple[int, int, int]

    def keep(self, slide: Size, plan: LevelPlan, column: int, row: int) -> NDArray[np.bool_]:
        """The pixels of a whole tile that mask or guard holds, in whole cells."""
        level = plan.as_level(slide)
        cells = self.mask.over_cells(level, column, row, _CELL_PX)
        cells |= self.found.over_cells(level, column, row, _CELL_PX)
        # A small gap between cells that stay may be a hole in tissue, and an edge around it costs bytes.
        gaps = cv2.morphologyEx(
            (~cells).view(np.uint8), cv2.MORPH_OPEN, _LEAST_GAP, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        cells = _continued(np.asarray(gaps == 0), plan.grid.region(column, row).size)
        rows, columns = plan.tile.shape
        return np.asarray(cells.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)[:rows, :columns], np.bool_)

    def apply(self, slide: Size, plan: LevelPlan, column: int, row: int, pixels: Pixels) -> Pixels:
        """A copy of a whole tile in which what neither mask nor guard holds is background."""
        keep = self.keep(slide, plan, column, row)
        return np.where(keep[..., None], pixels, np.array(self.background, np.uint8))


def _continued(cells: NDArray[np.bool_], shown: Size) -> NDArray[np.bool_]:
    """Cells of a tile of which the level's edge cuts some off, without paint that rings into what is seen.

    What lies beyond the edge goes on like the edge, and a cell that it cuts stays where its neighbour does.
    """
    for axis, side in enumerate(shown.shape):
        whole, last = side // _CELL_PX - 1, -(-side // _CELL_PX) - 1
        places = np.minimum(np.arange(cells.shape[axis]), last)
        beside = np.where(places > whole, max(whole, 0), places)
        cells = cells.take(places, axis=axis) | cells.take(beside, axis=axis)
    return cells


@dataclass(frozen=True)
class Manner:
    """What holds for every tile of a conversion.

    `strict` ends it at the first damaged tile of the source; `exact` asks transcoded tiles to give back
    their very bytes; `nameless` leaves out of tiles all but their pictures.
    """

    whitening: Whitening | None = None
    strict: bool = False
    exact: bool = False
    nameless: bool = False


TileStream: TypeAlias = Callable[[Slide, LevelPlan, Manner, int], Generator[MadeTile]]
"""What makes the tiles of a level, in raster order: `stream_level`, or what stands in for it."""


def stream_level(slide: Slide, plan: LevelPlan, manner: Manner, workers: int) -> Generator[MadeTile]:
    """Every tile in raster order.

    Memory: at most `2 * workers` batches of 32 encoded tiles, and 32 decoded tiles a worker; fewer of large
    ones, whose pixels are held to `budget_bytes`.

    Raises:
        SlideReadError: a tile of the source cannot be read, or decoded where that is asked for.
    """
    make = TileMaker(slide, plan, manner)
    indices = batched(plan.grid.raster(plan.source_level), tiles_at_once(plan.tile))

    with closing(ordered_map(make.tiles, indices, workers_for(plan.tile, workers))) as batches:
        for batch in batches:
            yield from batch


class _ToEncode(NamedTuple):
    """A tile's pixels, all but encoded: as they are, and with their glass painted where that is wanted.

    `source` is the tile as its slide stores it, if these are its pixels.
    """

    pixels: Pixels
    outcome: Outcome
    source: EncodedTile | None
    shown: Size
    painted: Pixels | None = None

    @property
    def ways(self) -> list[tuple[Pixels, EncodedTile | None]]:
        """What is to be encoded, in the order that `done` takes."""
        plain = [(self.pixels, self.source)]
        return plain if self.painted is None else [*plain, (self.painted, None)]

    def done(self, encoded: Sequence[Encoded]) -> MadeTile:
        """The smaller one: an edge between glass and paint can cost more than the glass that goes."""
        plain, painted = encoded[0], encoded[-1]
        if self.painted is None or len(painted.data) <= len(plain.data):
            return MadeTile(painted.data, self.outcome, painted)
        return MadeTile(plain.data, self.outcome, plain, unpainted=True)


def _twins(slide: Slide, plan: LevelPlan) -> dict[int, int]:
    """The first tile that is stored in the same place, of each tile of a level that does not stand alone."""
    if not isinstance(slide, TiffSlide):
        return {}
    ranges = slide.tile_ranges(plan.source_level)
    _, first, inverse, counts = np.unique(
        ranges[:, 0], return_index=True, return_inverse=True, return_counts=True
    )
    shared = np.flatnonzero((counts[inverse] > 1) & (ranges[:, 1] > 0))
    return dict(zip(shared.tolist(), first[inverse[shared]].tolist(), strict=True))


class TileMaker:
    """Makes the tiles of one level, each from its index alone."""

    def __init__(self, slide: Slide, plan: LevelPlan, manner: Manner) -> None:
        self._slide = slide
        self._plan = plan
        self._manner = manner
        self._keeps_tiles = plan.keeps_tiles_of(slide.info.levels)
        self._twins = _twins(slide, plan) if self._keeps_tiles else {}
        self._codec = self._transcoder = None
        if plan.count(TileAction.TRANSCODE):
            self._transcoder = create_transcoder(plan.codec, manner.exact)
        elif plan.count(TileAction.ENCODE) + plan.count(TileAction.MASK_AND_ENCODE):
            self._codec = create_codec(plan.codec, plan.options)

    def tiles(self, indices: list[TileIndex]) -> list[MadeTile]:
        """What the plan says of each; those to encode go through the codec together."""
        made = self._made(indices)
        return [self._with_twin(index, tile) for index, tile in zip(indices, made, strict=True)]

    def _with_twin(self, index: TileIndex, tile: MadeTile) -> MadeTile:
        twin = self._twins.get(index.row * self._plan.grid.columns + index.column)
        return tile if twin is None else tile._replace(twin=twin)

    def _made(self, indices: list[TileIndex]) -> list[MadeTile]:
        found = [self._begun(index) for index in indices]
        pending = [tile for tile in found if isinstance(tile, _ToEncode)]
        if not pending:
            return [tile for tile in found if isinstance(tile, MadeTile)]
        assert self._codec is not None, "a level with tiles to encode has a codec"
        pixels, sources = zip(*(way for tile in pending for way in tile.ways), strict=True)
        shown = [tile.shown for tile in pending for _ in tile.ways]
        encoded = iter(encode_tiles(self._codec, pixels, sources, shown))
        return [
            tile if isinstance(tile, MadeTile) else tile.done([next(encoded) for _ in tile.ways])
            for tile in found
        ]

    def _begun(self, index: TileIndex) -> MadeTile | _ToEncode:
        action = TileAction(self._plan.actions[index.row, index.column])
        if action is TileAction.BLANK:
            return MadeTile(None)
        if action is TileAction.EMPTY:
            return MadeTile(b"")
        if action in (TileAction.COPY, TileAction.TRANSCODE):
            return self._carried(index)
        return self._to_encode(index, action)

    def _carried(self, index: TileIndex) -> MadeTile:
        try:
            tile = self._slide.read_encoded_tile(index)
        except TileReadError:
            if self._manner.strict:
                raise
            return MadeTile(None, Outcome.LOST)
        if self._transcoder is None and (obstacle := copy_obstacle(tile, self._plan.shown)):
            message = f"the tile {obstacle}; take codec jpeg or jpegxl"
            raise SlideReadError(message, self._slide.info.path, str(index))
        if self._manner.strict:
            self._slide.read_tile_eighth(index)
        if self._manner.nameless:
            return self._without_words(index, tile)
        if self._transcoder is None:
            return MadeTile(tile.data)
        packed = self._transcoder.transcode(tile)
        if packed is None:
            return MadeTile(self._transcoder.keep(tile), Outcome.KEPT)
        is_sound = self._manner.strict or self._decodes(index)  # strict has looked already
        return MadeTile(packed, Outcome.AS_PLANNED if is_sound else Outcome.FLAWED)

    def _without_words(self, index: TileIndex, tile: EncodedTile) -> MadeTile:
        """A carried tile with nothing but its picture, and that no larger than the level."""
        shown = self._plan.grid.region(index.column, index.row).size
        try:
            found = carried_tile(tile, self._plan.shown, shown)
        except (ValueError, RuntimeError, OSError):
            if self._manner.strict:
                raise TileReadError("it cannot be decoded", self._slide.info.path, str(index)) from None
            return MadeTile(None, Outcome.LOST)
        outcome = Outcome.AS_PLANNED if self._decodes(index) else Outcome.FLAWED
        if self._transcoder is None:
            return MadeTile(found.tile.data, outcome, renewed=found.is_anew)
        packed = self._transcoder.transcode(found.tile)
        if packed is None:
            return MadeTile(self._transcoder.keep(found.tile), Outcome.KEPT, renewed=found.is_anew)
        return MadeTile(packed, outcome, renewed=found.is_anew)

    def _decodes(self, index: TileIndex) -> bool:
        """Whether a tile of the source is sound: packing one that is not keeps its flaws."""
        try:
            self._slide.read_tile_eighth(index)
        except TileReadError:
            return False
        return True

    def _to_encode(self, index: TileIndex, action: TileAction) -> MadeTile | _ToEncode:
        outcome = Outcome.AS_PLANNED
        try:
            pixels = self._pixels(index)
        except TileReadError as exc:
            if self._manner.strict:
                raise
            if not isinstance(exc, DamagedTileError):
                return MadeTile(None, Outcome.LOST)
            pixels, outcome = exc.pixels, Outcome.FLAWED
        whitening, painted = self._manner.whitening, None
        if action is TileAction.MASK_AND_ENCODE and whitening is not None:
            painted = whitening.apply(self._slide.info.size, self._plan, index.column, index.row, pixels)
        shown = self._plan.grid.region(index.column, index.row).size
        if self._manner.nameless:
            pixels = continued(pixels, shown)
            painted = None if painted is None else continued(painted, shown)
        return _ToEncode(pixels, outcome, self._unchanged(index, outcome), shown, painted)

    def _unchanged(self, index: TileIndex, outcome: Outcome) -> EncodedTile | None:
        """The tile as the source stores it, if these are its pixels, for a codec that may do better by it."""
        if not isinstance(self._codec, ModelCodec) or not self._keeps_tiles:
            return None
        if outcome is not Outcome.AS_PLANNED or self._manner.nameless:
            return None
        level = self._slide.info.levels[self._plan.source_level]
        tile = None if level.encoding is None else self._slide.read_encoded_tile(index)
        return tile if tile is not None and tile.data else None

    def _pixels(self, index: TileIndex) -> Pixels:
        if self._keeps_tiles:
            return self._slide.read_tile(index)
        return read_reduced_tile(self._slide, self._plan, index.column, index.row)
