"""The plan: every decision of a conversion, made before the first tile is written.

After the plan nothing asks which codec, what is glass or whether a level exists. It does no I/O, and goes to
JSON and back: `plan_slide` returns it, the report quotes it and the written file carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from wsicomp.codecs.registry import needs_model
from wsicomp.files.json_values import Positive, Sha256, parsed, plain
from wsicomp.geometry import Mpp, TileIndex
from wsicomp.plan.level_plan import MOST_TILES, LevelPlan, StatedGrid
from wsicomp.slide import JPEG, NEURAL

_Sample = Annotated[int, Meta(ge=0, le=255)]
Color: TypeAlias = tuple[_Sample, _Sample, _Sample]
"""RGB."""
MOST_SHADES = 26
"""The most colours of glass in a file."""


MOST_TIME_NS = 1 << 62
"""The time in ns since 1970 from which on none is stated: in the year 2116."""


@dataclass(frozen=True)
class SourceIdentity:
    """The identity of the slide that is converted."""

    name: str | None
    """Its file's name; None where the user asked for de-identification."""
    bytes: Annotated[int, Meta(gt=0, lt=1 << 62)]
    """The bytes of all its files."""
    sha256: Sha256
    """The SHA-256 of its file, or over those of its files (`slide_identity`)."""
    origin_sha256: Sha256 | None
    """The SHA-256 of the file behind it, where it is a conversion itself."""
    mtime_ns: Annotated[int, Meta(gt=-MOST_TIME_NS, lt=MOST_TIME_NS)] | None = None
    """The time of its file's last change in ns since 1970.

    None in files of 0.6.0, without names, and from 2116 on.
    """


@dataclass(frozen=True)
class ConversionPlan:
    """The plan of a conversion: every decision, as data."""

    software: str
    """Name and version of the program that made the plan."""
    digest: str
    """The digest over the source and the chosen options."""
    source: SourceIdentity
    """The identity of the source."""
    stated_config: Mapping[str, Any] = field(repr=False)
    """The config in the file's JSON, for the JSON alone; the properties below are what it decided."""
    container: Annotated[str, Meta(pattern=r"\A(svs|tiff)\Z")]
    """"svs" or "tiff"."""
    codec: str
    """The codec's name, or "copy"."""
    overview: bool
    """Whether the levels from downsample 4 on are JPEG and first in the file.

    Readers that do not know the codec can show them.
    """
    background: Color
    """The colour that glass becomes: where it becomes several, the first of `palette`."""
    big: bool
    """Whether the file is a BigTIFF."""
    mpp: Mpp | None
    """The um per px that the target states."""
    objective_power: Positive | None
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
    further_shades: Annotated[tuple[Color, ...], Meta(max_length=MOST_SHADES - 1)] = ()
    """The further colours of `palette`; none where glass becomes the same colour everywhere."""

    @property
    def glass_fill(self) -> str:
        """The fill of glass: "keep", "blank" or "empty"; "white" for blank in files of 0.6.0 and older."""
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
        """Whether glass takes the colours of the slide's own glass, which only pixels tell."""
        return self.stated_config.get("background") == "auto" and not self.keeps_glass

    @property
    def palette(self) -> tuple[Color, ...]:
        """The colours that glass becomes; a level's `shades` say which one in each of its tiles."""
        return (self.background, *self.further_shades)

    def color(self, index: TileIndex) -> Color:
        """Return the colour that glass becomes in a tile."""
        return self.palette[self.levels[index.level].shade(index)]

    @property
    def plane(self) -> int | None:
        """The focal plane of the source that is kept; None where it has one, or the file is older."""
        z = self.stated_config.get("z")
        return z if type(z) is int and z >= 0 else None

    @property
    def from_level(self) -> int:
        """How many finer levels of the scan are left out, by this conversion and by those before it."""
        first = self.stated_config.get("from_level")
        return first if type(first) is int and first >= 0 else 0

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
        names = ("background", "images", "dropped", "notes")
        shades = values.pop("further_shades")
        return (
            values
            | {name: list(values[name]) for name in names}
            | ({"further_shades": [list(shade) for shade in shades]} if shades else {})
            | {
                "source": plain(self.source),
                "model": None if self.model is None else dict(self.model),
                "mpp": None if self.mpp is None else [self.mpp.x, self.mpp.y],
                "levels": [level.to_json() for level in self.levels],
            }
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any], most_tiles: int = MOST_TILES) -> ConversionPlan:
        """Return the plan that `to_json` described, if it has at most `most_tiles` tiles.

        Raises:
            ValueError, KeyError, TypeError: the values are not those of a plan.
        """
        grids = [level.grid for level in parsed(values["levels"], tuple[StatedGrid, ...])]
        if not grids or sum(grid.count for grid in grids) > most_tiles:
            raise ValueError(f"{len(grids)} levels, expected some, with at most {most_tiles} tiles in all")
        parsed(values["config"], _StatedConfig)
        own = {
            "stated_config": values["config"],
            "mpp": None if values["mpp"] is None else Mpp(*parsed(values["mpp"], tuple[Positive, Positive])),
            "levels": tuple(LevelPlan.from_json(level) for level in values["levels"]),
        }
        stated = {name: value for name, value in values.items() if name != "config"}
        plan = parsed(stated | own, cls, is_closed=True)
        if plan.model is not None and not needs_model(parsed(plan.model, _StatedModel).architecture):
            raise ValueError("a model of an unknown architecture")
        for level in plan.levels:
            if level.encoding.compression == NEURAL and not (
                plan.model and all(recipe.is_guarded for recipe in level.recipes)
            ):
                raise ValueError("neural tiles without a model or a guard")
        if [level.number for level in plan.levels] != list(range(len(plan.levels))):
            raise ValueError("levels out of order")
        if any(level.highest_shade >= len(plan.palette) for level in plan.levels):
            raise ValueError("a tile of a colour that is not stated")
        return plan


@dataclass(frozen=True)
class _StatedConfig:
    """The options that are read again."""

    lossless: bool
    deidentify: bool
    glass: Literal["keep", "blank", "white", "empty"]


@dataclass(frozen=True)
class _StatedModel:
    name: str
    architecture: str
    sha256: Sha256
    embedded: bool
