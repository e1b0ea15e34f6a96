"""Every decision of a conversion, made before the first tile is written.

After the plan nothing asks which codec, what is glass or whether a level exists. It does no I/O, and goes
to JSON and back: `--dry-run` prints it, the report quotes it and the written file carries it.
"""

from __future__ import annotations

import base64
import enum
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.registry import named_options, needs_model
from wsicomp.geometry import Mpp, Size, TileGrid
from wsicomp.slide import JPEG, NEURAL, Level, TileEncoding

_MOST_TILES = 1 << 26
_MOST_SUBSAMPLED = 4
_LARGEST_FIGURE = 1000.0
"""Qualities, dB, grey levels: none of a codec's figures is larger."""
_MOST_BYTES = 1 << 62
_SHA256 = re.compile("[0-9a-f]{64}")
GUARD_OPTIONS = ("min_ssim", "min_psnr", "max_color_shift")
"""The options of a codec that say how true its tiles must be."""

_READ_OF_CONFIG = {"glass", "lossless", "deidentify"}
"""The choices that a reader of the file goes by."""


class TileAction(enum.Enum):
    """What becomes of a tile. The value is its letter in a level's run-length text."""

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


@dataclass(frozen=True)
class LevelPlan:
    """What a level of the target is made of: box-reduced by `reduction` from level `source_level`.

    `codec` and `options` are those of what is encoded or transcoded, "copy" where all is copied.
    `encoding` is how the tiles are stored, `shown` how they come back: the source's own way where its tiles
    are packed so that its very bytes come back, else the same.
    """

    number: int
    size: Size
    tile: Size
    source_level: int
    reduction: int
    codec: str
    options: Mapping[str, int | float | bool | str]
    encoding: TileEncoding
    shown: TileEncoding
    actions: Actions = field(repr=False)

    @property
    def grid(self) -> TileGrid:
        """The tiles that cover the level."""
        return TileGrid(self.size, self.tile)

    def keeps_tiles_of(self, source: Sequence[Level]) -> bool:
        """Whether each of its tiles shows what one tile of its source level shows; of all levels there."""
        return self.reduction == 1 and self.tile == source[self.source_level].tile

    def as_level(self, slide: Size) -> Level:
        """This level as the slide that will be written shows it; `slide` is the largest level's size."""
        downsample = (slide.width / self.size.width + slide.height / self.size.height) / 2
        return Level(self.size, self.tile, downsample, self.shown)

    def count(self, action: TileAction) -> int:
        """How many tiles take this action."""
        return int((self.actions == action.value).sum())

    def to_json(self) -> dict[str, Any]:
        """As JSON values; actions row by row as run lengths, `"12C3B"`."""
        rows = ["".join(f"{len(list(run))}{letter}" for letter, run in groupby(row)) for row in self.actions]
        return {
            "number": self.number,
            "size": [self.size.width, self.size.height],
            "tile": [self.tile.width, self.tile.height],
            "source_level": self.source_level,
            "reduction": self.reduction,
            "codec": self.codec,
            "options": dict(self.options),
            "encoding": _encoding_to_json(self.encoding),
            "shown": None if self.shown == self.encoding else _encoding_to_json(self.shown),
            "actions": rows,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LevelPlan:
        """The plan that `to_json` described.

        Raises:
            ValueError, KeyError, TypeError: the values do not describe one.
        """
        encoding = _encoding_from_json(values["encoding"])
        size, tile = _size(values["size"]), _size(values["tile"])
        grid = TileGrid(size, tile)
        if grid.count > _MOST_TILES:
            raise ValueError(f"{grid.count} tiles, expected at most {_MOST_TILES}")
        if len(values["actions"]) != grid.rows:
            raise ValueError(f"{len(values['actions'])} rows of actions, expected {grid.rows}")
        rows = [_expanded(row, grid.columns) for row in values["actions"]]
        return cls(
            natural(values["number"]),
            size,
            tile,
            natural(values["source_level"]),
            natural(values["reduction"]),
            _text(values["codec"]),
            {_text(name): _option(_text(name), value) for name, value in values["options"].items()},
            encoding,
            encoding if values["shown"] is None else _encoding_from_json(values["shown"]),
            np.array(rows),
        )


def _encoding_to_json(encoding: TileEncoding) -> dict[str, Any]:
    tables = encoding.jpeg_tables
    return asdict(encoding) | {"jpeg_tables": None if tables is None else base64.b64encode(tables).decode()}


def _encoding_from_json(values: Mapping[str, Any]) -> TileEncoding:
    tables = values["jpeg_tables"]
    horizontal, vertical = (natural(value) for value in values["subsampling"])
    if not (0 < horizontal <= _MOST_SUBSAMPLED and 0 < vertical <= _MOST_SUBSAMPLED):
        raise ValueError(f"a subsampling of {horizontal} x {vertical}")
    return TileEncoding(
        natural(values["compression"]),
        natural(values["photometric"]),
        (horizontal, vertical),
        natural(values["predictor"]),
        None if tables is None else base64.b64decode(tables, validate=True),
    )


def natural(value: object) -> int:
    """A count that a file states.

    Raises:
        ValueError: it is another value.
    """
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r:.40} is not a text")
    return value


def _sha256(value: object) -> str:
    text = _text(value)
    if _SHA256.fullmatch(text) is None:
        raise ValueError(f"{text!r:.40} is no SHA-256")
    return text


def figure(value: object) -> float:
    """A number that a codec can have measured or been told.

    Raises:
        ValueError: it is another, or none.
    """
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_FIGURE:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is not a figure of a codec")
    return value  # type: ignore[return-value]


def _option(name: str, value: Any) -> int | float | bool | str:
    expected = named_options()[name].kind if name in named_options() else None
    if expected in (int, float):
        return figure(value)
    if (expected is str and type(value) is not str) or type(value) not in (int, float, bool, str):
        raise ValueError(f"option {name} is {value!r:.40}")
    return value  # type: ignore[no-any-return]


def _positive(value: object) -> float:
    if type(value) not in (int, float) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is not a length")
    return float(value)  # type: ignore[arg-type]


def _size(values: Any) -> Size:
    width, height = (natural(value) for value in values)
    if not width or not height:
        raise ValueError("a size of 0 px")
    return Size(width, height)


def _expanded(row: str, columns: int) -> Actions:
    if len(row) > 2 * columns:  # as long as a row of runs of one tile each
        raise ValueError(f"actions {row[:40]!r} do not fill {columns} columns")
    runs = [(int(length), letter) for length, letter in re.findall(r"(\d+)([CTEMBZ])", row)]
    if sum(length for length, _ in runs) != columns or "".join(f"{n}{letter}" for n, letter in runs) != row:
        raise ValueError(f"actions {row[:40]!r} do not fill {columns} columns")
    return np.repeat([letter for _, letter in runs], [length for length, _ in runs])


@dataclass(frozen=True)
class SourceIdentity:
    """Which slide was converted. `name` is None where the user asked for no names.

    `bytes` are those of all its files, `sha256` is its file's, or of many over theirs (`slide_identity`).
    `origin_sha256` is that of the file behind it, where the source is a conversion itself.
    """

    name: str | None
    bytes: int
    sha256: str
    origin_sha256: str | None = None


def _identity(values: Mapping[str, Any]) -> SourceIdentity:
    name, size = values["name"], values["bytes"]
    if type(size) is not int or not 0 < size < _MOST_BYTES:
        raise ValueError(f"a source of {size!r:.40} bytes")
    origin = values["origin_sha256"]
    return SourceIdentity(
        None if name is None else str(name),
        size,
        _sha256(values["sha256"]),
        None if origin is None else _sha256(origin),
    )


@dataclass(frozen=True)
class ConversionPlan:
    """Every decision. `container` is "svs" or "tiff"; `codec` is "copy" or the codec's name.

    `overview` says whether the levels from downsample 4 on are JPEG, and first in the file, for the sake of
    readers that do not know the codec. `digest` identifies source, choices and software.
    `images` are the associated images that are carried on, `dropped` names what `deidentify` left out.
    `notes` say in words what the user should know. `model` is the card of the model by which neural tiles are
    read, with its `name` and `sha256`, and whether it is `embedded`.
    """

    software: str
    digest: str
    source: SourceIdentity
    config: Mapping[str, Any]
    container: str
    codec: str
    overview: bool
    background: tuple[int, int, int]
    big: bool
    mpp: Mpp | None
    objective_power: float | None
    description: str
    levels: tuple[LevelPlan, ...]
    images: tuple[str, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]
    model: Mapping[str, Any] | None = None

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
        """The levels by which a reader that knows TIFF's own codecs finds its way: all, or the overview."""
        if not self.overview:
            return self.levels
        return tuple(level for level in self.levels if level.encoding.compression == JPEG)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, from which `from_json` makes an equal plan."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
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
        """The plan that `to_json` described, if it has at most so many tiles.

        Raises:
            ValueError, KeyError, TypeError: the values do not describe one.
        """
        red, green, blue = (natural(value) for value in values["background"])
        if max(red, green, blue) > 255:
            raise ValueError(f"a background of {red}, {green}, {blue}")
        if values["container"] not in ("svs", "tiff") or type(values["overview"]) is not bool:
            raise ValueError("no container, or an overview that is neither there nor not")
        if lacking := _READ_OF_CONFIG - values["config"].keys():
            raise ValueError(f"no {min(lacking)} in its choices")
        grids = [TileGrid(_size(level["size"]), _size(level["tile"])) for level in values["levels"]]
        if not grids or sum(grid.count for grid in grids) > most_tiles:
            raise ValueError(f"{len(grids)} levels, expected some, with at most {most_tiles} tiles in all")
        levels = tuple(LevelPlan.from_json(level) for level in values["levels"])
        if values.get("model") is not None and not _names_a_model(values["model"]):
            raise ValueError("a model without a name, an architecture or a digest")
        for level in levels:
            if level.encoding.compression == NEURAL and not (values.get("model") and _is_guarded(level)):
                raise ValueError("neural tiles without a model or a guard")
        if [level.number for level in levels] != list(range(len(levels))):
            raise ValueError("levels out of order")
        return cls(
            **{
                **values,
                "source": _identity(values["source"]),
                "background": (red, green, blue),
                "mpp": None if values["mpp"] is None else Mpp(*map(_positive, values["mpp"])),
                "objective_power": None
                if values["objective_power"] is None
                else _positive(values["objective_power"]),
                "levels": levels,
                "images": tuple(str(name) for name in values["images"]),
                "dropped": tuple(map(_text, values["dropped"])),
                "notes": tuple(map(_text, values["notes"])),
                **{name: _text(values[name]) for name in ("software", "digest", "codec", "description")},
            }
        )


def _is_guarded(level: LevelPlan) -> bool:
    return all(type(level.options.get(name)) in (int, float) for name in GUARD_OPTIONS)


def _names_a_model(values: Any) -> bool:
    return (
        isinstance(values["name"], str)
        and needs_model(_text(values["architecture"]))
        and _SHA256.fullmatch(values["sha256"]) is not None
        and type(values["embedded"]) is bool
    )
