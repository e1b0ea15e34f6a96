"""Makes the tiles of one level in raster order, as its plan says: read, mask, encode."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import Encoded, TileCodec, TileTranscoder
from wsicomp.codecs.registry import (
    bytes_a_pixel,
    copy_obstacle,
    create_codec_among,
    create_transcoder,
    encode_tiles,
    takes_batches,
)
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.deidentification.deidentify import carried_tile, with_extended_edge
from wsicomp.errors import DamagedTileError, SlideReadError, TileReadError
from wsicomp.files.limits import tiles_at_once, workers_for
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.output_tile import MadeTile, TileOutcome
from wsicomp.formats.resample import read_reduced_tile
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.conversion_plan import Color
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.tissue.mask import TissueMask

_CELL_PX = 16
"""The largest unit that JPEG codes: an edge inside one would ring into the tissue, and cost bytes."""

_LEAST_GAP = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class GlassPaint:
    """Paints the glass of a mixed tile.

    Glass is every pixel that neither the mask with its margin nor the guard keeps.
    """

    mask: TissueMask
    """The tissue mask with its margin."""
    found: TissueMask
    """The pixels that the guard protects."""
    palette: tuple[Color, ...]
    """The colours of the paint; a level's `shades` say which one a tile takes."""

    def keep(self, slide: Size, plan: LevelPlan, column: int, row: int) -> NDArray[np.bool_]:
        """Return the pixels of a whole tile that stay, (rows, columns) bool: True is not painted.

        Mask and guard decide for whole cells, and small gaps between cells that stay are kept, too. `slide`
        is the size of the largest level in pixels; `column` and `row` are those of the tile.
        """
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
        """Return a copy of a whole tile with its colour of glass in all pixels but those of `keep`.

        `pixels` is (rows, columns, 3) uint8 RGB.
        """
        keep = self.keep(slide, plan, column, row)
        shade = plan.shade(TileIndex(plan.number, column, row))
        return np.where(keep[..., None], pixels, np.array(self.palette[shade], np.uint8))


def _continued(cells: NDArray[np.bool_], visible: Size) -> NDArray[np.bool_]:
    """Return cells of a tile at the level's edge, without paint that rings into visible pixels.

    Beyond the edge the cells continue those at the edge; a cell that the edge cuts is kept where its
    neighbour is.
    """
    for axis, side in enumerate(visible.shape):
        whole, last = side // _CELL_PX - 1, -(-side // _CELL_PX) - 1
        places = np.minimum(np.arange(cells.shape[axis]), last)
        beside = np.where(places > whole, max(whole, 0), places)
        cells = cells.take(places, axis=axis) | cells.take(beside, axis=axis)
    return cells


@dataclass(frozen=True)
class StreamOptions:
    """The options that hold for every tile of a conversion."""

    paint: GlassPaint | None = None
    """Paints the glass of mixed tiles; None where glass is kept."""
    strict: bool = False
    """Whether the first damaged tile of the source ends the conversion."""
    exact: bool = False
    """Whether transcoded tiles must unpack to their very bytes."""
    deidentify: bool = False
    """Whether tiles lose everything but their pictures."""


TileStream: TypeAlias = Callable[[Slide, LevelPlan, StreamOptions, int], Generator[MadeTile]]
"""Makes the tiles of a level in raster order: `stream_level`, or a stand-in for it."""


def stream_level(slide: Slide, plan: LevelPlan, options: StreamOptions, workers: int) -> Generator[MadeTile]:
    """Yield every tile of a level in raster order.

    Memory: at most `2 * workers` batches of 32 encoded tiles, and 32 decoded tiles for each worker; fewer
    large ones, whose pixels are held to `budget_bytes`.

    Raises:
        SlideReadError: a tile of the source cannot be read; or, with `strict`, it cannot be decoded.
    """
    make = TileMaker(slide, plan, options)
    indices = batched(plan.grid.raster(plan.source_level), tiles_at_once(plan.tile))

    of_source = slide.info.levels[plan.source_level].encoding
    threads = workers_for(plan.tile, workers, bytes_a_pixel(plan.encoding, of_source))
    with closing(ordered_map(make.tiles, indices, threads)) as batches:
        for batch in batches:
            yield from batch


class _ToEncode(NamedTuple):
    """A tile's pixels before they are encoded: as they are, and with painted glass where that is wanted.

    `recipe` is the number of its recipe, `source` the tile as its slide stores it if these are its pixels,
    `visible` the size of its part inside the level, `carried` the tile that may be carried instead.
    """

    recipe: int
    pixels: Pixels
    outcome: TileOutcome
    source: EncodedTile | None
    visible: Size
    painted: Pixels | None = None
    carried: EncodedTile | None = None

    @property
    def versions(self) -> list[tuple[Pixels, EncodedTile | None]]:
        """The pictures to encode, in the order that `done` takes."""
        plain = [(self.pixels, self.source)]
        return plain if self.painted is None else [*plain, (self.painted, None)]

    def done(self, encoded: Sequence[Encoded]) -> MadeTile:
        """Return the smaller version: an edge between glass and paint can cost more than the glass."""
        plain, painted = encoded[0], encoded[-1]
        if self.painted is None or len(painted.data) <= len(plain.data):
            return MadeTile(painted.data, self.outcome, painted)
        return MadeTile(plain.data, self.outcome, plain, unpainted=True)


class _ToRepack(NamedTuple):
    """A carried tile before it is repacked.

    `recipe` is the number of its recipe; `renewed` says whether it was encoded to name nobody.
    """

    recipe: int
    place: TileIndex
    tile: EncodedTile
    renewed: bool = False


def _sharing(slide: Slide, plan: LevelPlan) -> dict[int, int]:
    """Return for each tile that shares its place in the source the first tile stored there."""
    ranges = slide.tile_ranges(plan.source_level)
    _, first, inverse, counts = np.unique(
        ranges[:, 0], return_index=True, return_inverse=True, return_counts=True
    )
    shared = np.flatnonzero((counts[inverse] > 1) & (ranges[:, 1] > 0))
    return dict(zip(shared.tolist(), first[inverse[shared]].tolist(), strict=True))


class _Tools(NamedTuple):
    """The codec or the transcoder of a recipe, as the actions of its tiles need it; or neither."""

    codec: TileCodec | None = None
    transcoder: TileTranscoder | None = None

    @classmethod
    def of(cls, plan: LevelPlan, number: int, exact: bool) -> _Tools:
        recipe, actions = plan.recipes[number], plan.actions_of(number)
        if TileAction.TRANSCODE in actions:
            return cls(transcoder=create_transcoder(recipe.codec, exact, recipe.shared))
        if actions & {TileAction.ENCODE, TileAction.MASK_AND_ENCODE}:
            return cls(create_codec_among(recipe.codec, recipe.options, recipe.encoding))
        return cls()


class TileMaker:
    """Makes the tiles of one level, each from its index alone."""

    def __init__(self, slide: Slide, plan: LevelPlan, options: StreamOptions) -> None:
        self._slide = slide
        self._plan = plan
        self._options = options
        self._keeps_tiles = plan.keeps_tiles_of(slide.info.levels)
        self._sharing = _sharing(slide, plan) if self._keeps_tiles else {}
        self._tools = [_Tools.of(plan, number, options.exact) for number in range(len(plan.recipes))]
        self._spare = [plan.spare_of(number) for number in range(len(plan.recipes))]
        self._repack: TileTranscoder | None = None
        for recipe in (plan.recipes[spare] for spare in self._spare if spare is not None):
            if recipe.action is TileAction.TRANSCODE:
                self._repack = create_transcoder(recipe.codec, shared=recipe.shared)

    def tiles(self, indices: list[TileIndex]) -> list[MadeTile]:
        """Return these tiles as planned; those to encode go through the codec together.

        Raises:
            SlideReadError: a tile of the source cannot be read; or, with `strict`, it cannot be decoded.
        """
        made = self._made(indices)
        return [self._with_sharing(index, tile) for index, tile in zip(indices, made, strict=True)]

    def _with_sharing(self, index: TileIndex, tile: MadeTile) -> MadeTile:
        shared_with = self._sharing.get(index.row * self._plan.grid.columns + index.column)
        return tile if shared_with is None else tile._replace(shared_with=shared_with)

    def _made(self, indices: list[TileIndex]) -> list[MadeTile]:
        found = [self._started(index) for index in indices]
        pending = [tile for tile in found if not isinstance(tile, MadeTile)]
        made = {
            number: iter(self._made_together(number, [tile for tile in pending if tile.recipe == number]))
            for number in {tile.recipe for tile in pending}
        }
        return [tile if isinstance(tile, MadeTile) else next(made[tile.recipe]) for tile in found]

    def _made_together(self, recipe: int, pending: Sequence[_ToEncode | _ToRepack]) -> list[MadeTile]:
        """Return tiles that have one recipe, which encodes all of them or repacks all of them."""
        to_encode = [tile for tile in pending if isinstance(tile, _ToEncode)]
        to_repack = [tile for tile in pending if isinstance(tile, _ToRepack)]
        return self._encoded(recipe, to_encode) if to_encode else self._repacked(recipe, to_repack)

    def _encoded(self, recipe: int, pending: Sequence[_ToEncode]) -> list[MadeTile]:
        codec = self._tools[recipe].codec
        assert codec is not None, "a recipe by which tiles are encoded has a codec"
        pixels, sources = zip(*(version for tile in pending for version in tile.versions), strict=True)
        visible = [tile.visible for tile in pending for _ in tile.versions]
        encoded = iter(encode_tiles(codec, pixels, sources, visible))
        made = [tile.done([next(encoded) for _ in tile.versions]) for tile in pending]
        return [self._or_spared(tile, one) for tile, one in zip(pending, made, strict=True)]

    def _or_spared(self, tile: _ToEncode, made: MadeTile) -> MadeTile:
        """Return a tile as its spare recipe carries it, if its own has not made it smaller."""
        if tile.carried is None:
            return made
        own = len(made.data or b"")
        data: bytes | None = tile.carried.data
        if self._repack is not None:
            # Repacking takes long, and never halves a tile.
            data = self._repack.transcode(tile.carried) if 2 * own > len(tile.carried.data) else None
        return made if data is None or own < len(data) else MadeTile(data, spared=True)

    def _repacked(self, recipe: int, pending: Sequence[_ToRepack]) -> list[MadeTile]:
        """Return carried tiles repacked, or as they are kept; a damaged one that is packed keeps flaws."""
        transcoder = self._tools[recipe].transcoder
        assert transcoder is not None, "a recipe by which tiles are repacked has a transcoder"
        packed = transcoder.transcode_all([one.tile for one in pending])
        return [
            MadeTile(transcoder.keep(one.tile), TileOutcome.KEPT, renewed=one.renewed)
            if data is None
            else MadeTile(data, self._soundness(one.place), renewed=one.renewed)
            for one, data in zip(pending, packed, strict=True)
        ]

    def _started(self, index: TileIndex) -> MadeTile | _ToEncode | _ToRepack:
        action = self._plan.action(index)
        if action is TileAction.BLANK:
            return MadeTile(None)
        if action is TileAction.EMPTY:
            return MadeTile(b"")
        if action in (TileAction.COPY, TileAction.TRANSCODE):
            return self._carried(index)
        return self._to_encode(index, action)

    def _carried(self, index: TileIndex) -> MadeTile | _ToRepack:
        try:
            tile = self._slide.read_encoded_tile(index)
        except TileReadError:
            if self._options.strict:
                raise
            return MadeTile(None, TileOutcome.LOST)
        unpacked = self._plan.recipe(index).shown
        if self._transcoder(index) is None and (obstacle := copy_obstacle(tile, unpacked)):
            message = f"the tile {obstacle}; take codec jpeg or jpegxl"
            raise SlideReadError(message, self._slide.info.path, str(index))
        if self._options.strict:
            self._slide.read_tile_eighth(index)
        if self._options.deidentify:
            return self._deidentified(index, tile)
        if self._transcoder(index) is not None:
            return _ToRepack(self._plan.recipe_number(index), index, tile)
        return MadeTile(tile.data)  # a copy is as it was

    def _deidentified(self, index: TileIndex, tile: EncodedTile) -> MadeTile | _ToRepack:
        """Return a carried tile with nothing but its picture, cut at the level's edge."""
        visible = self._plan.grid.region(index.column, index.row).size
        try:
            found = carried_tile(tile, self._plan.recipe(index).shown, visible)
        except (ValueError, RuntimeError, OSError):
            if self._options.strict:
                raise TileReadError("it cannot be decoded", self._slide.info.path, str(index)) from None
            return MadeTile(None, TileOutcome.LOST)
        if self._transcoder(index) is not None:
            return _ToRepack(self._plan.recipe_number(index), index, found.tile, found.is_anew)
        return MadeTile(found.tile.data, self._soundness(index), renewed=found.is_anew)

    def _transcoder(self, index: TileIndex) -> TileTranscoder | None:
        return self._tools[self._plan.recipe_number(index)].transcoder

    def _soundness(self, index: TileIndex) -> TileOutcome:
        """Return the outcome of a carried tile: whether the source's decodes; strict has looked already."""
        try:
            if not self._options.strict:
                self._slide.read_tile_eighth(index)
        except TileReadError:
            return TileOutcome.FLAWED
        return TileOutcome.AS_PLANNED

    def _to_encode(self, index: TileIndex, action: TileAction) -> MadeTile | _ToEncode:
        outcome = TileOutcome.AS_PLANNED
        try:
            pixels = self._pixels(index)
        except TileReadError as exc:
            if self._options.strict:
                raise
            if not isinstance(exc, DamagedTileError):
                return MadeTile(None, TileOutcome.LOST)
            pixels, outcome = exc.pixels, TileOutcome.FLAWED
        paint, painted = self._options.paint, None
        if action is TileAction.MASK_AND_ENCODE and paint is not None:
            painted = paint.apply(self._slide.info.size, self._plan, index.column, index.row, pixels)
        visible = self._plan.grid.region(index.column, index.row).size
        if self._options.deidentify:
            pixels = with_extended_edge(pixels, visible)
            painted = None if painted is None else with_extended_edge(painted, visible)
        recipe = self._plan.recipe_number(index)
        carried = self._spare_tile(index, outcome)
        return _ToEncode(recipe, pixels, outcome, self._unchanged(index, outcome), visible, painted, carried)

    def _spare_tile(self, index: TileIndex, outcome: TileOutcome) -> EncodedTile | None:
        """Return the source's tile, if it may be carried where its own recipe does not make it smaller."""
        spare = self._spare[self._plan.recipe_number(index)]
        if spare is None or outcome is not TileOutcome.AS_PLANNED or self._options.deidentify:
            return None
        tile = self._slide.read_encoded_tile(index)
        stands = self._repack is not None or not copy_obstacle(tile, self._plan.recipes[spare].shown)
        return tile if stands and tile.data else None

    def _unchanged(self, index: TileIndex, outcome: TileOutcome) -> EncodedTile | None:
        """Return the tile as the source stores it, if these are its pixels, for a codec that can use it."""
        codec = self._tools[self._plan.recipe_number(index)].codec
        if not self._keeps_tiles or not takes_batches(codec):
            return None
        if outcome is not TileOutcome.AS_PLANNED or self._options.deidentify:
            return None
        level = self._slide.info.levels[self._plan.source_level]
        tile = None if level.encoding is None else self._slide.read_encoded_tile(index)
        return tile if tile is not None and tile.data else None

    def _pixels(self, index: TileIndex) -> Pixels:
        if self._keeps_tiles:
            return self._slide.read_tile(index)
        return read_reduced_tile(self._slide, self._plan, index.column, index.row)
