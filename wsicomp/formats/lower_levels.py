"""A slide without its finest levels, behind the interface of any other slide.

Whoever reads it sees an ordinary smaller slide: levels are counted from the first one that stays, and scale,
power and texts are those of that level. Errors name tiles by their places in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from openslide import (
    PROPERTY_NAME_COMMENT,
    PROPERTY_NAME_MPP_X,
    PROPERTY_NAME_MPP_Y,
    PROPERTY_NAME_OBJECTIVE_POWER,
    PROPERTY_NAME_QUICKHASH1,
)

from wsicomp.errors import ConfigError, UnsupportedSlideError
from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import positive_number, power_at, power_of, scale_of, stated_power
from wsicomp.formats.tiff import aperio
from wsicomp.geometry import Mpp, Region, Size, TileIndex
from wsicomp.plan.provenance import Provenance
from wsicomp.slide import EncodedTile, Level, Pixels, SlideInfo
from wsicomp.text.figures import counted

if TYPE_CHECKING:
    from wsicomp.formats.openslide import OpenSlideFile

_NEARLY = 1.05
"""The ratio within which two objective powers are one: a 20x scanner may have 0.46 to 0.52 um per px."""
_APERIO = "aperio."
_TEXTS = ("tiff.ImageDescription", PROPERTY_NAME_COMMENT)
_PX_PER_UNIT = ("tiff.XResolution", "tiff.YResolution")
_UNIT, _UNITS = "tiff.ResolutionUnit", ("inch", "centimeter")
_LEVEL = re.compile(r"openslide\.level\[(\d{1,4})\]\.(.+)")
_LEVEL_COUNT = "openslide.level-count"
_IN_LEVEL_0 = re.compile(r"openslide\.(bounds-|region\[\d+\]\.)(x|y|width|height)")


class LowerLevels:
    """An open slide from one of its levels on, which is level 0 here; closing it closes the `whole` slide.

    Raises:
        UnsupportedSlideError: the level lacks tiles, which OpenSlide draws from a level that is left out.
    """

    def __init__(self, whole: Slide, first: int) -> None:
        level = whole.info.levels[first]
        if level.absent and not whole.shows_absent_white(first):
            found = f"{counted(len(level.absent), 'tile')} without bytes, which are drawn from a finer level"
            message = f"{found}: it cannot come first; begin at another level"
            raise UnsupportedSlideError(message, whole.info.path, f"level {first}")
        self.whole = whole
        self.first = first
        self._info = _lowered(whole.info, first)
        self._provenance = _lowered_provenance(whole.provenance, first, self._info.from_level)

    @property
    def info(self) -> SlideInfo:
        """The facts of the levels that stay."""
        return self._info

    @property
    def provenance(self) -> Provenance | None:
        """The record of how wsicomp wrote the levels that stay; None for any other slide."""
        return self._provenance

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The um per px of the first level that stays, by what OpenSlide reads from the file."""
        whole = self.whole
        return _coarser(whole.openslide_mpp, _reduction(whole.info.size, self._info.size))

    def _there(self, index: TileIndex) -> TileIndex:
        return replace(index, level=index.level + self.first)

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile's bytes unchanged, as the whole slide does."""
        return self.whole.read_encoded_tile(self._there(index))

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile as the file stores it, as the whole slide does."""
        return self.whole.stored_tile(self._there(index))

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, as the whole slide does."""
        return self.whole.read_tile(self._there(index))

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return the means of a tile's blocks of 8 x 8 pixels, as the whole slide does."""
        return self.whole.read_tile_eighth(self._there(index))

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region in the level's own pixels, as the whole slide does."""
        return self.whole.read_region(level + self.first, region)

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """Return (tiles, 2): offset and byte count of each tile, as the whole slide does."""
        return self.whole.tile_ranges(level + self.first)

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Return a key that is equal for regions that show the same, as the whole slide does."""
        return self.whole.content_key(level + self.first, region)

    def is_exact(self, level: int) -> bool:
        """Return whether every pixel of a level is stored in the file."""
        return self.whole.is_exact(level + self.first)

    def is_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide decodes a level's pixels, none of them interpolated."""
        return self.whole.is_by_openslide(level + self.first)

    def is_redrawn_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide shows something else than a level's stored tiles."""
        return self.whole.is_redrawn_by_openslide(level + self.first)

    def shows_absent_white(self, level: int) -> bool:
        """Return whether tiles without bytes are white, and not drawn from the next larger level."""
        return self.whole.shows_absent_white(level + self.first)

    def openslide_name(self, name: str) -> str | None:
        """Return the name of an associated image in OpenSlide."""
        return self.whole.openslide_name(name)

    def shown(self) -> OpenSlideFile:
        """Return the whole file as it is open in OpenSlide."""
        return self.whole.shown()

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self.whole.close()


def without_finer(slide: Slide, first: int) -> Slide:
    """Return an open slide from this level on: itself from level 0 on. It is closed if that fails.

    Raises:
        ConfigError: the slide has no such level.
        UnsupportedSlideError: the level lacks tiles, which OpenSlide draws from a finer level.
    """
    try:
        count = len(slide.info.levels)
        if first >= count:
            message = f"`from_level` is {first}, and the slide has {counted(count, 'level')}"
            raise ConfigError(f"{message}; take 0 to {count - 1}", slide.info.path)
        return LowerLevels(slide, first) if first else slide
    except BaseException:
        slide.close()
        raise


def level_of_power(info: SlideInfo, most: float) -> int:
    """Return the number of the finest level of at most this objective power, within 5 %.

    A level far below it is not taken in its place, unless it is the slide's finest: what was asked for would
    be lost.

    Raises:
        ConfigError: no level has that power, or the file states none.
    """
    power = stated_power(info.objective_power, info.mpp, info.size)
    if power is None:
        message = "states neither objective power nor um per px, so `max_power` has nothing to go by"
        raise ConfigError(f"{message}; take `from_level`", info.path)
    powers = [power_at(power, level.downsample) for level in info.levels]
    fit = [number for number, one in enumerate(powers) if one <= most * _NEARLY]
    if fit and (fit[0] == 0 or powers[fit[0]] * _NEARLY >= most):
        return fit[0]
    there = ", ".join(f"{one:g}x" for one in powers)
    instead = f"take a `max_power` of {powers[fit[0]]:g} to begin there, or " if fit else ""
    raise ConfigError(
        f"the source has {there}, no level at {most:g}x; {instead}leave `max_power` out", info.path
    )


def lowered_properties(properties: Mapping[str, str], info: SlideInfo) -> dict[str, str]:
    """Return OpenSlide's properties of a file as they hold for the slide of `info`.

    They are the same where no level is left out. Fields of vendors other than Aperio describe the scan, and
    stay.
    """
    if not info.left_out:
        return dict(properties)
    first, downsample = len(info.left_out), _reduction(info.left_out[0].size, info.size)
    found = {}
    for name, text in properties.items():
        level = _LEVEL.fullmatch(name)
        if level is None:
            found[name] = _at(name, text, downsample)
        elif int(level[1]) >= first:
            found[f"openslide.level[{int(level[1]) - first}].{level[2]}"] = text
    found.pop(PROPERTY_NAME_QUICKHASH1, None)  # the whole slide's
    if properties.get(_UNIT) not in _UNITS:
        found |= {name: properties[name] for name in _PX_PER_UNIT if name in properties}
    if _LEVEL_COUNT in found:
        found[_LEVEL_COUNT] = str(len(info.levels))
        for number, one in enumerate(info.levels):
            found[f"openslide.level[{number}].downsample"] = f"{one.downsample:.17g}"
    return found


def _at(name: str, text: str, downsample: float) -> str:
    """Return the value of a property at a level of this downsample."""
    if name.startswith(_APERIO):
        return aperio.field_at(name.removeprefix(_APERIO), text, downsample)
    if name in _TEXTS:
        return aperio.description_at(text, downsample)
    number = positive_number(text)
    return text if number is None else _number_at(name, text, number, downsample)


def _number_at(name: str, text: str, number: float, downsample: float) -> str:
    if name in (PROPERTY_NAME_MPP_X, PROPERTY_NAME_MPP_Y) and scale_of(number) is not None:
        return f"{number * downsample:.17g}"
    if name == PROPERTY_NAME_OBJECTIVE_POWER and power_of(number) is not None:
        return f"{power_at(number, downsample):g}"
    if name in _PX_PER_UNIT:
        return f"{number / downsample:.17g}"
    return str(round(number / downsample)) if _IN_LEVEL_0.fullmatch(name) else text


def _lowered(info: SlideInfo, first: int) -> SlideInfo:
    largest, power = info.levels[first].size, info.objective_power
    downsample = _reduction(info.size, largest)
    lowered = replace(
        info,
        levels=tuple(_below(level, largest) for level in info.levels[first:]),
        mpp=_coarser(info.mpp, downsample),
        objective_power=None if power is None else power_at(power, downsample),
        description=aperio.description_at(info.description, downsample),
        left_out=info.levels[:first],
        from_level=info.from_level + first,
    )
    return replace(lowered, properties=lowered_properties(info.properties, lowered))


def _lowered_provenance(whole: Provenance | None, first: int, from_level: int) -> Provenance | None:
    if whole is None:
        return None
    levels = tuple(replace(level, number=number) for number, level in enumerate(whole.plan.levels[first:]))
    stated = {**whole.plan.stated_config, "from_level": from_level}
    plan = replace(whole.plan, levels=levels, stated_config=stated)
    return replace(whole, plan=plan, levels=whole.levels[first:])


def _below(level: Level, largest: Size) -> Level:
    return replace(level, downsample=_ratio(largest, level.size))


def _ratio(larger: Size, smaller: Size) -> float:
    """Return the downsample between two levels as OpenSlide has it: the mean of both sides'."""
    return (larger.width / smaller.width + larger.height / smaller.height) / 2


def _reduction(larger: Size, smaller: Size) -> float:
    """Return by how much a level's pixels are larger: a whole number, unless the sizes say otherwise.

    A size that was rounded makes the downsample 4.0006, but no pixel wider.
    """
    ratio = _ratio(larger, smaller)
    whole = max(1, round(ratio))
    is_whole = all(
        abs(one / whole - other) < 1 for one, other in zip(larger.shape, smaller.shape, strict=True)
    )
    return whole if is_whole else ratio


def _coarser(mpp: Mpp | None, downsample: float) -> Mpp | None:
    return None if mpp is None else Mpp(mpp.x * downsample, mpp.y * downsample)
