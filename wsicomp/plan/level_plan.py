"""The plan of one level: recipes for its tiles, and the action for each tile.

It goes to JSON and back.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wsicomp.codecs.base import MOST_SHARED_BYTES
from wsicomp.codecs.registry import create_codec, named_options, needs_model
from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.files.json_values import Figure, Natural, Side, parsed, plain
from wsicomp.geometry import Size, TileGrid, TileIndex
from wsicomp.plan.run_lengths import expanded, run_lengths
from wsicomp.slide import Level, TileEncoding

MOST_TILES = 1 << 26
"""The most tiles of a level or a slide."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""The letters of a level's recipes, and of glass's colours, in its run-length texts, the first one first."""

MOST_RECIPES = len(_LETTERS)
"""The most recipes of a level."""
LONGEST_NAME = 1000
"""The most characters of the name of a class of regions."""

GUARD_OPTIONS = ("min_ssim", "min_psnr", "max_color_shift")
"""The options of a codec that set how true its tiles must be."""


class TileAction(enum.Enum):
    """The way in which a tile is made. The value is its letter in a level's run-length text."""

    COPY = "C"
    """The source's bytes, untouched."""
    TRANSCODE = "T"
    """The source's bytes packed without loss."""
    ENCODE = "E"
    """Decoded and encoded."""
    MASK_AND_ENCODE = "M"
    """Decoded, its glass painted in one colour, and encoded."""
    BLANK = "B"
    """A pointer to the level's one stored tile of its colour."""
    EMPTY = "Z"
    """Zero bytes."""


_ACTIONS: Mapping[str, TileAction] = {action.value: action for action in TileAction}
"""Each action by its letter: `TileAction(letter)` takes five times as long."""

Actions = NDArray[np.str_]
"""(rows, columns) of `TileAction` values, one letter each."""


def _actions_in(letters: Actions) -> set[TileAction]:
    return {action for action in TileAction if (letters == action.value).any()}


@dataclass(frozen=True)
class Recipe:
    """The recipe by which the tiles of one class are made."""

    codec: str
    """The codec that encodes or transcodes; "copy" where all is copied."""
    options: Mapping[str, int | float | bool | str]
    """The codec's options."""
    encoding: TileEncoding
    """The encoding of the stored tiles."""
    shown: TileEncoding
    """The encoding of the tiles after they are unpacked: the source's for packed tiles, else `encoding`."""
    action: TileAction
    """The action for its tiles, but for those that are blank, empty or painted."""
    region: str = ""
    """The class of regions whose tiles take it; "" for all that is outside of regions."""
    shared: bytes | None = field(default=None, repr=False)
    """What its packed tiles have in common and do without (`TileTranscoder.common`); None for nothing."""

    @property
    def copies(self) -> bool:
        """Whether tiles stay as the source stores them."""
        return self.action is TileAction.COPY

    @property
    def is_guarded(self) -> bool:
        """Whether its options set how true each tile must be."""
        return all(type(self.options.get(name)) in (int, float) for name in GUARD_OPTIONS)

    @property
    def is_exact(self) -> bool:
        """Whether its tiles keep every pixel: copied, repacked, or encoded without loss."""
        if self.action is not TileAction.ENCODE:
            return True
        return not needs_model(self.codec) and create_codec(self.codec, self.options).lossless

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without the action.

        `LevelPlan.to_json` states the action of each tile, from which `from_json` finds it again.
        """
        return {
            "codec": self.codec,
            "options": dict(self.options),
            "encoding": plain(self.encoding),
            "shown": None if self.shown == self.encoding else plain(self.shown),
            **({"region": self.region} if self.region else {}),
            **({"shared": base64.b64encode(self.shared).decode()} if self.shared else {}),
        }


@dataclass(frozen=True)
class LevelPlan:
    """A level of the target, and how each of its tiles is made.

    Raises:
        ValueError: its recipes have several encodings, though TIFF has one for all tiles of a level; or a
            tile takes a recipe that does not exist.
    """

    number: int
    """Its number, 0 for the largest level."""
    size: Size
    """Its size in pixels."""
    tile: Size
    """The size of its tiles in pixels."""
    source_level: int
    """The number of the source's level that it is made from, counted from the first that is not left out."""
    reduction: int
    """The side of the boxes of that level whose means are its pixels; 1 for the level itself."""
    recipes: tuple[Recipe, ...]
    """A recipe for each class of its tiles."""
    actions: Actions = field(repr=False)
    """(rows, columns): the action for each tile."""
    chosen: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(rows, columns): the index in `recipes` of the recipe of each tile; None where there is only one."""
    shades: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(rows, columns): the index in the plan's palette of each tile's colour of glass; None for 0 alone."""

    def __post_init__(self) -> None:
        if len({recipe.encoding for recipe in self.recipes}) != 1:
            raise ValueError(
                f"recipes of level {self.number} that store tiles in several ways, or none at all"
            )
        highest = 0 if self.chosen is None else int(self.chosen.max())
        is_whole = self.chosen is None or self.chosen.shape == self.actions.shape
        if not is_whole or highest >= len(self.recipes):
            raise ValueError(f"{len(self.recipes)} recipes of level {self.number} that do not fit its tiles")
        if self.shades is not None and self.shades.shape != self.actions.shape:
            raise ValueError(f"colours of glass of level {self.number} that do not fit its tiles")

    @fork_safe_property
    def grid(self) -> TileGrid:
        """The grid of its tiles."""
        return TileGrid(self.size, self.tile)

    def spare_of(self, number: int) -> int | None:
        """Return the index of the recipe that carries tiles which this recipe would not make smaller.

        `number` is the recipe's index in `recipes`. None where all take the recipe that was planned for them.
        """
        own = self.recipes[number]
        if own.action is not TileAction.ENCODE or own.is_exact:
            return None
        found = (
            other
            for other, recipe in enumerate(self.recipes)
            if recipe.region == own.region and recipe.action is not TileAction.ENCODE
        )
        return next(found, None)

    @property
    def encoding(self) -> TileEncoding:
        """The encoding in which the file stores its tiles, whatever their recipes."""
        return self.recipes[0].encoding

    @property
    def shown(self) -> TileEncoding | None:
        """The encoding of its tiles after they are unpacked; None where it differs by recipe."""
        found = {recipe.shown for recipe in self.recipes}
        return self.recipes[0].shown if len(found) == 1 else None

    def action(self, index: TileIndex) -> TileAction:
        """Return the action for a tile."""
        return _ACTIONS[self.actions[index.row, index.column]]

    def recipe_number(self, index: TileIndex) -> int:
        """Return the index in `recipes` of the recipe of a tile, from 0."""
        return 0 if self.chosen is None else int(self.chosen[index.row, index.column])

    def shade(self, index: TileIndex) -> int:
        """Return the index of a tile's colour of glass in the plan's palette, from 0."""
        return 0 if self.shades is None else int(self.shades[index.row, index.column])

    @property
    def highest_shade(self) -> int:
        """The highest index that `shade` returns."""
        return 0 if self.shades is None else int(self.shades.max())

    def takes(self, *numbers: int) -> NDArray[np.bool_]:
        """Return (rows, columns) bool: whether each tile takes one of the recipes of these indices."""
        chosen = np.zeros(self.actions.shape, np.uint8) if self.chosen is None else self.chosen
        return np.isin(chosen, numbers)

    @property
    def kept_exact(self) -> NDArray[np.bool_]:
        """(rows, columns) bool: whether a region keeps a tile with every pixel."""
        kept = [number for number, recipe in enumerate(self.recipes) if recipe.region and recipe.is_exact]
        return self.takes(*kept)

    def actions_of(self, number: int) -> set[TileAction]:
        """Return the actions of the tiles that take the recipe of this index in `recipes`."""
        letters = self.actions if self.chosen is None else self.actions[self.chosen == number]
        return _actions_in(letters)

    def recipe(self, index: TileIndex) -> Recipe:
        """Return the recipe of a tile."""
        return self.recipes[self.recipe_number(index)]

    def keeps_tiles_of(self, source: Sequence[Level]) -> bool:
        """Return whether each tile shows the pixels of one tile of its source level.

        `source` are all levels of the source, the largest first.
        """
        return self.reduction == 1 and self.tile == source[self.source_level].tile

    def as_level(self, slide: Size) -> Level:
        """Return this level as the written slide has it; `slide` is the largest level's size in pixels."""
        downsample = (slide.width / self.size.width + slide.height / self.size.height) / 2
        return Level(self.size, self.tile, downsample, self.shown)

    def count(self, action: TileAction) -> int:
        """Return the count of tiles with this action."""
        return int((self.actions == action.value).sum())

    def to_json(self) -> dict[str, Any]:
        """Return JSON values.

        The values of a single recipe stand beside the level's own. Actions are run lengths, a text for each
        row of tiles: `"12C3B"`.
        """
        values = {
            "number": self.number,
            "size": [self.size.width, self.size.height],
            "tile": [self.tile.width, self.tile.height],
            "source_level": self.source_level,
            "reduction": self.reduction,
            **self.recipes[0].to_json(),
            "actions": list(run_lengths(self.actions)),
        }
        if self.chosen is not None:
            values["further_recipes"] = [recipe.to_json() for recipe in self.recipes[1:]]
            values["recipe_rows"] = _numbers_text(self.chosen)
        if self.shades is not None:
            values["shade_rows"] = _numbers_text(self.shades)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LevelPlan:
        """Return the level plan that `to_json` described.

        Raises:
            ValueError, TypeError: the values are not those of a level's plan.
        """
        is_mixed = "recipe_rows" in values
        stated: _StatedLevel = parsed(values, _StatedMixedLevel if is_mixed else _StatedLevel)
        if stated.grid.count > MOST_TILES:
            raise ValueError(f"{stated.grid.count} tiles, expected at most {MOST_TILES}")
        actions = expanded(stated.actions, stated.grid, "".join(action.value for action in TileAction))
        recipes, chosen = stated.chosen_recipes(actions)
        shades = None if stated.shade_rows is None else _numbers(stated.shade_rows, stated.grid, _LETTERS)
        return cls(
            stated.number,
            stated.grid.size,
            stated.grid.tile,
            stated.source_level,
            stated.reduction,
            recipes,
            actions,
            chosen,
            shades,
        )


@dataclass(frozen=True)
class StatedGrid:
    """A level's tiles as a file states them."""

    size: tuple[Side, Side]
    """The level's (width, height)."""
    tile: tuple[Side, Side]
    """A tile's (width, height)."""

    @property
    def grid(self) -> TileGrid:
        """The level's tiles."""
        return TileGrid(Size(*self.size), Size(*self.tile))


_Subsampling = Annotated[int, Meta(ge=1, le=4)]


@dataclass(frozen=True)
class _StatedEncoding:
    compression: Natural
    photometric: Natural
    subsampling: tuple[_Subsampling, _Subsampling]
    predictor: Natural
    jpeg_tables: bytes | None

    @property
    def encoding(self) -> TileEncoding:
        return TileEncoding(**vars(self))


@dataclass(frozen=True)
class _StatedRecipe:
    codec: str
    options: Mapping[str, int | float | bool | str]
    encoding: _StatedEncoding
    shown: _StatedEncoding | None
    region: Annotated[str, Meta(max_length=LONGEST_NAME)] = field(default="", kw_only=True)
    shared: Annotated[bytes, Meta(max_length=MOST_SHARED_BYTES)] | None = field(default=None, kw_only=True)

    def recipe(self, letters: Actions) -> Recipe:
        """Return the recipe, whose tiles take the actions with these letters."""
        for name, value in self.options.items():
            _check_option(name, value)
        action, found = TileAction.COPY if self.codec == "copy" else TileAction.ENCODE, _actions_in(letters)
        is_unused = not found & {TileAction.ENCODE, TileAction.MASK_AND_ENCODE}
        if TileAction.TRANSCODE in found or (is_unused and self.options.get("lossless")):
            action = TileAction.TRANSCODE
        shown = self.shown or self.encoding
        encodings = self.encoding.encoding, shown.encoding
        return Recipe(self.codec, self.options, *encodings, action, self.region, self.shared)


@dataclass(frozen=True)
class _StatedLevel(_StatedRecipe, StatedGrid):
    number: Natural
    source_level: Natural
    reduction: Natural
    actions: tuple[str, ...]
    shade_rows: tuple[str, ...] | None = field(default=None, kw_only=True)

    def chosen_recipes(self, actions: Actions) -> tuple[tuple[Recipe, ...], NDArray[np.uint8] | None]:
        """Return the recipes, and for each tile its recipe's number if there are several."""
        return (self.recipe(actions),), None


@dataclass(frozen=True)
class _StatedMixedLevel(_StatedLevel):
    further_recipes: Annotated[tuple[_StatedRecipe, ...], Meta(max_length=len(_LETTERS) - 1)]
    recipe_rows: tuple[str, ...]

    def chosen_recipes(self, actions: Actions) -> tuple[tuple[Recipe, ...], NDArray[np.uint8] | None]:
        stated = (self, *self.further_recipes)
        chosen = _numbers(self.recipe_rows, self.grid, _LETTERS[: len(stated)])
        return tuple(each.recipe(actions[chosen == number]) for number, each in enumerate(stated)), chosen


def _numbers_text(numbers: NDArray[np.uint8]) -> list[str]:
    """Return numbers from 0 on as rows of run lengths of letters."""
    return list(run_lengths(np.array([*_LETTERS])[numbers]))


def _numbers(rows: Sequence[str], grid: TileGrid, letters: str) -> NDArray[np.uint8]:
    """Return the numbers that `_numbers_text` wrote.

    Raises:
        ValueError: the rows do not fill the grid, or have other letters.
    """
    found = expanded(rows, grid, letters).astype("U1").view(np.uint32)
    return (found - ord(_LETTERS[0])).astype(np.uint8)


def _check_option(name: str, value: object) -> None:
    expected = named_options()[name].kind if name in named_options() else None
    kind: Any = Figure if expected in (int, float) else str if expected is str else object
    try:
        parsed(value, kind)
    except ValueError as exc:
        raise ValueError(f"option {name:.40}: {exc}") from exc
