"""The plan: every decision of a conversion, made before the first tile is written.

After the plan nothing asks which codec, what is glass or whether a level exists. It does no I/O, and goes to
JSON and back: `plan_slide` returns it, the report quotes it and the written file carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wsicomp.codecs.registry import needs_model
from wsicomp.geometry import Mpp, TileGrid
from wsicomp.plan import stated_values as stated
from wsicomp.plan.level_plan import MOST_TILES, LevelPlan
from wsicomp.slide import JPEG, NEURAL

_MOST_BYTES = 1 << 62
_TEXTS = ("software", "digest", "codec", "description")


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
    def from_json(cls, values: Mapping[str, Any], most_tiles: int = MOST_TILES) -> ConversionPlan:
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
