"""Bounds on how much the tiles of a converted level may differ from their source, by recipe."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import TileCodec
from wsicomp.codecs.registry import create_codec, decode_tile, encode_tiles, is_guarded, needs_model
from wsicomp.errors import WsicompError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.plan.provenance import WITHOUT_BYTES, Guarded, LevelRecord
from wsicomp.slide import EncodedTile, Level, Pixels
from wsicomp.verification.tolerance import Tolerance, tolerance_of

_STRICTEST = 8.0
"""Grey levels by which a block may be off unless the codec makes the same of the source's pixels again."""

_DIGEST = re.compile("[0-9a-f]{64}")


class ComparedLevel:
    """A level of the target, and the bounds for the tiles of each of its recipes."""

    def __init__(self, plan: LevelPlan, record: LevelRecord, source: Level) -> None:
        self.plan = plan
        self.source = source
        self._flawed = frozenset(record.flawed)
        self._bounds = [
            RecipeBounds(recipe, record.guarded_of(number), plan.tile)
            for number, recipe in enumerate(plan.recipes)
        ]

    def bounds(self, index: TileIndex) -> RecipeBounds:
        """Return the bounds for a tile."""
        return self._bounds[self.plan.recipe_number(index)]

    def is_flawed(self, index: TileIndex) -> bool:
        """Return whether a tile is recorded as damaged in the source."""
        return index.row * self.plan.grid.columns + index.column in self._flawed

    def in_source(self, index: TileIndex) -> TileIndex:
        """Return the index, in the source level, of the tile at the same column and row."""
        return TileIndex(self.plan.source_level, index.column, index.row)

    def as_level(self, source: Slide) -> Level:
        """Return the level as the written slide has it; `source` is the open source."""
        return self.plan.as_level(source.info.size)

    def blank(self, is_emptied: bool) -> NDArray[np.bool_]:
        """Return the tiles that are blank or empty here but not in the source, (rows, columns) bool.

        Unless glass `is_emptied`, an empty tile that the source lacks too does not count.
        """
        flags = np.isin(self.plan.actions, WITHOUT_BYTES)
        if self.plan.reduction == 1 and self.plan.tile == self.source.tile:
            flags.reshape(-1)[[*self.source.blank]] = False
            if not is_emptied:
                absent = np.zeros(flags.shape, np.bool_)
                absent.reshape(-1)[[*self.source.absent]] = True
                flags &= ~(absent & (self.plan.actions == TileAction.EMPTY.value))
        return flags


class RecipeBounds:
    """The bounds on how much the tiles of a recipe may differ."""

    def __init__(self, recipe: Recipe, guarded: Guarded | None, tile: Size) -> None:
        self._recipe = recipe
        self._tile = tile
        self._is_guarded = needs_model(recipe.codec) or is_guarded(recipe.codec)
        self._guarded = guarded if self._is_guarded else None

    @cached_property
    def is_lossless(self) -> bool:
        """Whether its encoded tiles have exactly the source's pixels; False where it copies tiles."""
        return self.codec is not None and not self._is_guarded and self.codec.lossless

    @cached_property
    def is_loose(self) -> bool:
        """Whether the file alone states the fidelity of its tiles, because a model encoded them."""
        return needs_model(self._recipe.codec)

    @cached_property
    def codec(self) -> TileCodec | None:
        """The codec that encoded its tiles; None for copied tiles, and for a codec with a model."""
        if self._recipe.codec == "copy" or needs_model(self._recipe.codec):
            return None
        return create_codec(self._recipe.codec, self._recipe.options)

    @cached_property
    def tolerance(self) -> Tolerance:
        """The tolerance for the recipe's tiles, with a bound on what a file states of its own tiles."""
        tolerance = tolerance_of(self._recipe, self._guarded)
        if self._guarded is None and not self.is_loose:
            return Tolerance(min(tolerance.shift, _STRICTEST), min(2 * tolerance.shift + 3, _STRICTEST))
        allowed = float(self._recipe.options.get("max_color_shift", _STRICTEST - 3)) + 3
        bound = max(allowed, 0.0) if self.is_loose else _STRICTEST
        shift = min(tolerance.shift, bound)
        return Tolerance(shift, shift, tolerance.psnr)

    @cached_property
    def _encoder(self) -> TileCodec | None:
        """`codec`, or the model that the recipe names, if it is on this machine with its encoder."""
        named = self._recipe.options.get("model")
        if self.codec is not None or not self.is_loose or not _DIGEST.fullmatch(str(named)):
            return self.codec
        options = {name: value for name, value in self._recipe.options.items() if name != "device"}
        with suppress(WsicompError):
            return create_codec(self._recipe.codec, options)
        return None

    def encoded_again(self, pixels: Pixels, visible: Size) -> Pixels | None:
        """Return a tile's pixels after the codec has encoded and decoded them; None where that fails.

        `visible` is the size of the part inside the level. A model that only the file brings encodes nothing.
        """
        if self._encoder is None:
            return None
        with suppress(ValueError, RuntimeError, OSError, WsicompError):
            [made] = encode_tiles(self._encoder, [pixels], visible=[visible])
            return decode_tile(EncodedTile(made.data, self._encoder.encoding, self._tile))
        return None
