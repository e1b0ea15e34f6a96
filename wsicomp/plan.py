"""The plan: every decision of a conversion, made before the first tile is written.

After the plan nothing asks which codec, what is glass or whether a level exists. It does no I/O, and goes to
JSON and back: `plan_slide` returns it, the report quotes it and the written file carries it.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp import stated_values as stated
from wsicomp.codecs.registry import named_options, needs_model
from wsicomp.geometry import Mpp, Size, TileGrid, TileIndex
from wsicomp.slide import JPEG, NEURAL, Level, TileEncoding

_MOST_TILES = 1 << 26
_MOST_SUBSAMPLED = 4
_MOST_BYTES = 1 << 62
_TEXTS = ("software", "digest", "codec", "description")
_RECIPE_LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""The letters of a level's recipes in its run-length text, the first recipe first."""
GUARD_OPTIONS = ("min_ssim", "min_psnr", "max_color_shift")
"""The options of a codec that set how true its tiles must be."""


class TileAction(enum.Enum):
    """How a tile is made. The value is its letter in a level's run-length text."""

    COPY = "C"
    """The source's bytes, untouched."""
    TRANSCODE = "T"
    """The source's bytes packed without loss."""
    ENCODE = "E"
    """Decoded and encoded."""
    MASK_AND_ENCODE = "M"
    """Decoded, its glass painted in the background's colour, and encoded."""
    BLANK = "B"
    """A pointer to the level's one stored tile of background."""
    EMPTY = "Z"
    """Zero bytes."""


Actions = NDArray[np.str_]
"""(rows, columns) of `TileAction` values, one letter each."""


def _actions_in(letters: Actions) -> set[TileAction]:
    return {action for action in TileAction if (letters == action.value).any()}


@dataclass(frozen=True)
class Recipe:
    """How the tiles of one class are made."""

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

    @property
    def copies(self) -> bool:
        """Whether tiles stay as the source stores them."""
        return self.action is TileAction.COPY

    @property
    def is_guarded(self) -> bool:
        """Whether its options set how true each tile must be."""
        return all(type(self.options.get(name)) in (int, float) for name in GUARD_OPTIONS)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values without the action, which the letters of the tiles say."""
        return {
            "codec": self.codec,
            "options": dict(self.options),
            "encoding": _encoding_to_json(self.encoding),
            "shown": None if self.shown == self.encoding else _encoding_to_json(self.shown),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], taken: set[TileAction]) -> Recipe:
        """Return the recipe that `to_json` described, whose tiles take these actions.

        Raises:
            ValueError, KeyError, TypeError: the values are not those of a recipe.
        """
        encoding, codec = _encoding_from_json(values["encoding"]), stated.text(values["codec"])
        usual = TileAction.COPY if codec == "copy" else TileAction.ENCODE
        action = TileAction.TRANSCODE if TileAction.TRANSCODE in taken else usual
        return cls(
            codec,
            {stated.text(name): _option(name, value) for name, value in values["options"].items()},
            encoding,
            encoding if values["shown"] is None else _encoding_from_json(values["shown"]),
            action,
        )


@dataclass(frozen=True)
class LevelPlan:
    """A level of the target, and how each of its tiles is made.

    Raises:
        ValueError: its recipes have several encodings, though TIFF has one for all tiles of a level; or a
            tile
            takes a recipe that does not exist.
    """

    number: int
    """Its number, 0 for the largest level."""
    size: Size
    """Its size in pixels."""
    tile: Size
    """The size of its tiles in pixels."""
    source_level: int
    """The number of the source's level that it is made from."""
    reduction: int
    """The side of the boxes of that level whose means are its pixels; 1 for the level itself."""
    recipes: tuple[Recipe, ...]
    """A recipe for each class of its tiles."""
    actions: Actions = field(repr=False)
    """(rows, columns): the action for each tile."""
    chosen: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(rows, columns): the number of the recipe that each tile takes; None where there is but one."""

    def __post_init__(self) -> None:
        if len({recipe.encoding for recipe in self.recipes}) != 1:
            raise ValueError(
                f"recipes of level {self.number} that store tiles in several ways, or none at all"
            )
        highest = 0 if self.chosen is None else int(self.chosen.max())
        is_whole = self.chosen is None or self.chosen.shape == self.actions.shape
        if not is_whole or highest >= len(self.recipes):
            raise ValueError(f"{len(self.recipes)} recipes of level {self.number} that do not fit its tiles")

    @property
    def grid(self) -> TileGrid:
        """The grid of its tiles."""
        return TileGrid(self.size, self.tile)

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
        return TileAction(self.actions[index.row, index.column])

    def recipe_number(self, index: TileIndex) -> int:
        """Return the number of a tile's recipe."""
        return 0 if self.chosen is None else int(self.chosen[index.row, index.column])

    def takes(self, number: int) -> NDArray[np.bool_]:
        """Return (rows, columns): whether each tile takes the recipe of this number."""
        chosen = np.zeros(self.actions.shape, np.uint8) if self.chosen is None else self.chosen
        return np.asarray(chosen == number)

    def actions_of(self, number: int) -> set[TileAction]:
        """Return the actions that tiles of a recipe take, by its number."""
        letters = self.actions if self.chosen is None else self.actions[self.chosen == number]
        return _actions_in(letters)

    def recipe(self, index: TileIndex) -> Recipe:
        """Return a tile's recipe."""
        return self.recipes[self.recipe_number(index)]

    def keeps_tiles_of(self, source: Sequence[Level]) -> bool:
        """Return whether each of its tiles shows the pixels of one tile of its source level.

        `source` are all levels of the source.
        """
        return self.reduction == 1 and self.tile == source[self.source_level].tile

    def as_level(self, slide: Size) -> Level:
        """Return this level as the written slide has it; `slide` is the largest level's size."""
        downsample = (slide.width / self.size.width + slide.height / self.size.height) / 2
        return Level(self.size, self.tile, downsample, self.shown)

    def count(self, action: TileAction) -> int:
        """Return the count of tiles with this action."""
        return int((self.actions == action.value).sum())

    def to_json(self) -> dict[str, Any]:
        """Return JSON values.

        A single recipe's stand beside the level's own, actions are run lengths, `"12C3B"`.
        """
        values = {
            "number": self.number,
            "size": [self.size.width, self.size.height],
            "tile": [self.tile.width, self.tile.height],
            "source_level": self.source_level,
            "reduction": self.reduction,
            **self.recipes[0].to_json(),
            "actions": list(_run_lengths(self.actions)),
        }
        if self.chosen is not None:
            values["further_recipes"] = [recipe.to_json() for recipe in self.recipes[1:]]
            values["recipe_rows"] = list(_run_lengths(np.array([*_RECIPE_LETTERS])[self.chosen]))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LevelPlan:
        """Return the level plan that `to_json` described.

        Raises:
            ValueError, KeyError, TypeError: the values are not those of a level's plan.
        """
        size, tile = stated.size(values["size"]), stated.size(values["tile"])
        grid = TileGrid(size, tile)
        if grid.count > _MOST_TILES:
            raise ValueError(f"{grid.count} tiles, expected at most {_MOST_TILES}")
        actions = _rows(values["actions"], grid, "".join(action.value for action in TileAction))
        recipes, chosen = _recipes(values, grid, actions)
        return cls(
            stated.natural(values["number"]),
            size,
            tile,
            stated.natural(values["source_level"]),
            stated.natural(values["reduction"]),
            recipes,
            actions,
            chosen,
        )


def _recipes(
    values: Mapping[str, Any], grid: TileGrid, actions: Actions
) -> tuple[tuple[Recipe, ...], NDArray[np.uint8] | None]:
    """Return a level's recipes, and the recipe's number for each tile."""
    if "recipe_rows" not in values:
        return (Recipe.from_json(values, _actions_in(actions)),), None
    described = [values, *values["further_recipes"]]
    if len(described) > len(_RECIPE_LETTERS):
        raise ValueError(f"{len(described)} recipes, expected at most {len(_RECIPE_LETTERS)}")
    letters = _rows(values["recipe_rows"], grid, _RECIPE_LETTERS[: len(described)])
    chosen = (letters.astype("U1").view(np.uint32) - ord(_RECIPE_LETTERS[0])).astype(np.uint8)
    recipes = (
        Recipe.from_json(each, _actions_in(actions[chosen == number]))
        for number, each in enumerate(described)
    )
    return tuple(recipes), chosen


def _run_lengths(letters: NDArray[np.str_]) -> Iterator[str]:
    return ("".join(f"{len(list(run))}{letter}" for letter, run in groupby(row)) for row in letters)


def _rows(rows: Sequence[str], grid: TileGrid, letters: str) -> NDArray[np.str_]:
    if len(rows) != grid.rows:
        raise ValueError(f"{len(rows)} rows of tiles, expected {grid.rows}")
    return np.array([stated.expanded(row, grid.columns, letters) for row in rows])


def _encoding_to_json(encoding: TileEncoding) -> dict[str, Any]:
    tables = encoding.jpeg_tables
    return asdict(encoding) | {"jpeg_tables": None if tables is None else base64.b64encode(tables).decode()}


def _encoding_from_json(values: Mapping[str, Any]) -> TileEncoding:
    tables = values["jpeg_tables"]
    horizontal, vertical = (stated.natural(value) for value in values["subsampling"])
    if not (0 < horizontal <= _MOST_SUBSAMPLED and 0 < vertical <= _MOST_SUBSAMPLED):
        raise ValueError(f"a subsampling of {horizontal} x {vertical}")
    return TileEncoding(
        stated.natural(values["compression"]),
        stated.natural(values["photometric"]),
        (horizontal, vertical),
        stated.natural(values["predictor"]),
        None if tables is None else base64.b64decode(tables, validate=True),
    )


def _option(name: str, value: Any) -> int | float | bool | str:
    expected = named_options()[name].kind if name in named_options() else None
    if expected in (int, float):
        return stated.figure(value)
    if (expected is str and type(value) is not str) or type(value) not in (int, float, bool, str):
        raise ValueError(f"option {name} is {value!r:.40}")
    return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SourceIdentity:
    """The identity of the slide that is converted."""

    name: str | None
    """Its file's name; None where the user asked for de-identification."""
    bytes: int
    """The bytes of all its files."""
    sha256: str
    """The SHA-256 of its file, or over those of its files (`slide_identity`)."""
    origin_sha256: str | None = None
    """The SHA-256 of the file behind it, where it is a conversion itself."""


def _identity(values: Mapping[str, Any]) -> SourceIdentity:
    name, size = values["name"], values["bytes"]
    if type(size) is not int or not 0 < size < _MOST_BYTES:
        raise ValueError(f"a source of {size!r:.40} bytes")
    origin = values["origin_sha256"]
    return SourceIdentity(
        None if name is None else str(name),
        size,
        stated.sha256(values["sha256"]),
        None if origin is None else stated.sha256(origin),
    )


@dataclass(frozen=True)
class ConversionPlan:
    """Every decision of a conversion."""

    software: str
    """Name and version of the program that made the plan."""
    digest: str
    """The digest over the source and the chosen options."""
    source: SourceIdentity
    """The identity of the source."""
    stated_config: Mapping[str, Any] = field(repr=False)
    """The config in the file's JSON, for the JSON alone; the properties below are what it decided."""
    container: str
    """"svs" or "tiff"."""
    codec: str
    """The codec's name, or "copy"."""
    overview: bool
    """Whether the levels from downsample 4 on are JPEG and first in the file.

    Readers that do not know the codec can show them.
    """
    background: tuple[int, int, int]
    """The colour that glass becomes, RGB."""
    big: bool
    """Whether the file is a BigTIFF."""
    mpp: Mpp | None
    """The um per px that the target states."""
    objective_power: float | None
    """The objective power that the target states."""
    description: str
    """The source's ImageDescription as it is carried."""
    levels: tuple[LevelPlan, ...]
    """The levels, largest first."""
    images: tuple[str, ...]
    """The associated images that are carried."""
    dropped: tuple[str, ...]
    """The names of the images and fields that are left out."""
    notes: tuple[str, ...]
    """Lines for the user."""
    model: Mapping[str, Any] | None = None
    """The card of the model of neural tiles, with its `name` and `sha256`, and whether it is `embedded`."""

    @property
    def glass_fill(self) -> str:
        """The fill of glass: "keep", "white" or "empty"."""
        return str(self.stated_config["glass"])

    @property
    def keeps_glass(self) -> bool:
        """Whether no tile is taken for glass."""
        return self.glass_fill == "keep"

    @property
    def empties_glass(self) -> bool:
        """Whether glass becomes tiles without bytes.

        Where it does not, tiles without bytes are the source's.
        """
        return self.glass_fill == "empty"

    @property
    def deidentified(self) -> bool:
        """Whether all that could name a patient is left out."""
        return bool(self.stated_config["deidentify"])

    @property
    def lossless(self) -> bool:
        """Whether tiles are repacked without loss."""
        return bool(self.stated_config["lossless"])

    @property
    def background_from_slide(self) -> bool:
        """Whether the background is the colour of the slide's own glass, which only pixels tell."""
        return self.stated_config.get("background") == "auto"

    @property
    def plane(self) -> int | None:
        """The focal plane of the source that is kept; None where it has one, or the file is older."""
        z = self.stated_config.get("z")
        return z if type(z) is int and z >= 0 else None

    @property
    def unwanted_images(self) -> frozenset[str]:
        """The associated images that the user leaves out, beside those that `deidentified` leaves out."""
        return frozenset(name for name in ("label", "macro") if not self.stated_config.get(name, True))

    @property
    def directories(self) -> tuple[LevelPlan | str, ...]:
        """The target's images in file order: Aperio keeps the thumbnail second, label and macro last.

        With an overview its levels come first, largest first, and the others after them.
        """
        rest = [name for name in self.images if name != "thumbnail"]
        thumbnail = [name for name in self.images if name == "thumbnail"]
        if self.container == "svs":
            return (self.levels[0], *thumbnail, *self.levels[1:], *rest)
        first = {level.number for level in self.navigable}
        return (*self.navigable, *(level for level in self.levels if level.number not in first), *self.images)

    @property
    def navigable(self) -> tuple[LevelPlan, ...]:
        """The levels that a reader without the codec can show: all, or those of the overview."""
        if not self.overview:
            return self.levels
        return tuple(level for level in self.levels if level.encoding.compression == JPEG)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, from which `from_json` makes an equal plan."""
        values = {name.removeprefix("stated_"): getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "source": asdict(self.source),
            "background": list(self.background),
            "mpp": None if self.mpp is None else [self.mpp.x, self.mpp.y],
            "levels": [level.to_json() for level in self.levels],
            "images": list(self.images),
            "dropped": list(self.dropped),
            "notes": list(self.notes),
            "model": None if self.model is None else dict(self.model),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], most_tiles: int = _MOST_TILES) -> ConversionPlan:
        """Return the plan that `to_json` described, if it has at most `most_tiles` tiles.

        Raises:
            ValueError, KeyError, TypeError: the values are not those of a plan.
        """
        red, green, blue = (stated.natural(value) for value in values["background"])
        if max(red, green, blue) > 255:
            raise ValueError(f"a background of {red}, {green}, {blue}")
        if values["container"] not in ("svs", "tiff") or type(values["overview"]) is not bool:
            raise ValueError("no container, or an overview that is neither there nor not")
        config = values["config"]
        stated.flag(config["lossless"])
        stated.flag(config["deidentify"])
        if config["glass"] not in ("keep", "white", "empty"):
            raise ValueError(f"glass {config['glass']!r:.40}")
        grids = [
            TileGrid(stated.size(level["size"]), stated.size(level["tile"])) for level in values["levels"]
        ]
        if not grids or sum(grid.count for grid in grids) > most_tiles:
            raise ValueError(f"{len(grids)} levels, expected some, with at most {most_tiles} tiles in all")
        levels = tuple(LevelPlan.from_json(level) for level in values["levels"])
        if values.get("model") is not None and not _names_a_model(values["model"]):
            raise ValueError("a model without a name, an architecture or a digest")
        for level in levels:
            if level.encoding.compression == NEURAL and not (
                values.get("model") and all(recipe.is_guarded for recipe in level.recipes)
            ):
                raise ValueError("neural tiles without a model or a guard")
        if [level.number for level in levels] != list(range(len(levels))):
            raise ValueError("levels out of order")
        return cls(
            **{
                **{name: value for name, value in values.items() if name != "config"},
                "stated_config": config,
                "source": _identity(values["source"]),
                "background": (red, green, blue),
                "mpp": None if values["mpp"] is None else Mpp(*map(stated.positive, values["mpp"])),
                "objective_power": None
                if values["objective_power"] is None
                else stated.positive(values["objective_power"]),
                "levels": levels,
                "images": tuple(str(name) for name in values["images"]),
                "dropped": tuple(map(stated.text, values["dropped"])),
                "notes": tuple(map(stated.text, values["notes"])),
                **{
                    name: stated.text(values[name]) for name in ("software", "digest", "codec", "description")
                },
            }
        )


def _names_a_model(values: Any) -> bool:
    return (
        isinstance(values["name"], str)
        and needs_model(stated.text(values["architecture"]))
        and bool(stated.sha256(values["sha256"]))
        and type(values["embedded"]) is bool
    )
