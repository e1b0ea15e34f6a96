"""The ImageDescription of an Aperio SVS: parsed from text, and written as text.

It begins with one or more history entries, newest first and separated by `;`, and goes on with `|key = value`
fields. OpenSlide takes a TIFF for Aperio's if the text starts with "Aperio".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wsicomp.formats.stated_scale import BLANKS, positive_number, power_at, power_of, scale_of
from wsicomp.geometry import Mpp, Size
from wsicomp.version import SOFTWARE

_KNOWN = frozenset(
    (
        *("Filename", "Title", "Date", "Time", "Time Zone", "User", "ScanScope ID", "ImageID", "Parmset"),
        *("ICC Profile", "DisplayColor", "SessonMode", "SessionMode", "Rack", "Slide", "Barcode", "DSR ID"),
        *("AppMag", "MPP", "OriginalWidth", "OriginalHeight", "Originalheight", "Left", "Top", "StripeWidth"),
        *("LineCameraSkew", "LineAreaXOffset", "LineAreaYOffset", "Focus Offset", "Filtered", "Gamma"),
        *("Exposure Time", "Exposure Scale", "CalibrationAverageRed", "CalibrationAverageGreen"),
        *("CalibrationAverageBlue",),
    )
)
"""Aperio's keys, which are named in words when they are left out; an unknown key could be a name.

Those of optics and geometry are left out too: their numbers could be the numbers of a day.
"""

_SCAN_SIZES = ("OriginalWidth", "OriginalHeight", "Originalheight")
"""The fields in pixels of level 0."""
_NUMBER = re.compile(r"\s*\d{1,3}(\.\d{0,12})?\s*")

_FIRST_WORD = re.compile(r"\s*(label|macro|thumbnail)(?![a-z])", re.IGNORECASE)
_MOST_HEAD = 4096
_MOST_DIGITS = 8
_MOST_FIELDS, _MOST_HISTORY, _MOST_SHOWN = 10_000, 1 << 17, 1 << 20
"""The limits of parsing: fields, history, and letters of a text that a target carries.

A real one has 2 kB.
"""
_MOST_NUMBER = 64
_BY_TYPE = {1: "label", 9: "macro"}

HEADER = f"Aperio Image Library ({SOFTWARE})"
"""The beginning of every description that wsicomp writes, by which OpenSlide takes the file for Aperio's."""

_ENTRY = re.compile(
    r"Aperio Image Library \([^()]*\)\r\n\d+x\d+ \[0,0 \d+x\d+\] \(\d+x\d+\) (-> \d+x\d+ )?"
    r"[A-Za-z0-9/]+( Q=\d+)? glass=[a-z]+"
)
_HISTORY = re.compile(
    r"Aperio Image Library( v\d{1,2}(\.\d{1,3}){0,3}"
    r"| \(wsicomp \d{1,3}(\.\d{1,3}){1,2}((a|b|rc|\.dev)\d{1,3})?\))?"
    r"|(@x@ )?(\[-?\d{1,6},-?\d{1,6} @x@\] )?(\(@x@\) )?(-> @x@ )?"
    r"((label|macro|thumbnail) @x@)?"
    r"(-|copy|((JPEG|J2K)(/(RGB|YCC|YCbCr|KDU))?|RAW|LZW)( Q=\d{1,3})?)?"
    r"( glass=(keep|blank|white|empty))?".replace("@", r"\d{1,6}")
)


@dataclass(frozen=True, slots=True)
class LevelText:
    """The facts of a level in its history entry."""

    size: Size
    """The size of the level in pixels."""
    tile: Size
    """The size of its tiles in pixels."""
    coding: str
    """The coding of its tiles, like "JPEG/YCC Q=90"."""


def parse_fields(description: str) -> Mapping[str, str]:
    """Return the first 10,000 `key = value` fields; a later one of the same name wins, as in OpenSlide.

    >>> dict(parse_fields("Aperio Image Library|AppMag = 40|MPP = 0.25"))
    {'AppMag': '40', 'MPP': '0.25'}
    """
    fields = {}
    for part in description.split("|", _MOST_FIELDS)[1:_MOST_FIELDS]:
        key, separator, value = part.partition("=")
        if separator:
            fields[key.strip(BLANKS)] = value.strip(BLANKS)
    return fields


def plane_description(plane: str, first: str) -> str:
    """Return the text of a focal plane's largest image, completed by scale and power of the first plane.

    Some writers state them once for all planes.
    """
    if plane == first or not plane.startswith("Aperio"):
        return first
    own, stated = parse_fields(plane), parse_fields(first)
    return plane + "".join(
        f"|{key} = {stated[key]}" for key in ("AppMag", "MPP") if key in stated.keys() - own
    )


def limited_description(description: str) -> str:
    """Return a text cut to the fields and letters that a slide has, with its scale and its power.

    OpenSlide takes 40 bytes of memory for each field of a text.
    """
    if len(description) <= _MOST_SHOWN and description.count("|") < _MOST_FIELDS:
        return description
    cut = "|".join(description[:_MOST_SHOWN].split("|", _MOST_FIELDS)[:_MOST_FIELDS])
    stated, left = parse_fields(description), parse_fields(cut)
    lost = {key: stated[key] for key in ("AppMag", "MPP") if stated.get(key) != left.get(key)}
    return cut + "".join(f"|{key} = {value}" for key, value in lost.items() if len(value) <= _MOST_NUMBER)


def mpp(fields: Mapping[str, str]) -> Mpp | None:
    """Return the um per px of Aperio's `MPP`, one number for both directions; None where it is not stated."""
    value = scale_of(positive_number(fields.get("MPP")))
    return None if value is None else Mpp(value, value)


def field_at(key: str, value: str, downsample: float) -> str:
    """Return the value of a field for a level of this downsample: of the scale, or of the scan's size in px.

    >>> field_at("MPP", "0.25", 4.0), field_at("Filtered", "5", 4.0)
    ('1', '5')
    """
    number = positive_number(value)
    scale, power = scale_of(number), power_of(number)
    if key == "MPP" and scale is not None:
        return f"{scale * downsample:.6g}"
    if key == "AppMag" and power is not None:
        return f"{power_at(power, downsample):g}"
    return f"{round(number / downsample)}" if key in _SCAN_SIZES and number is not None else value


def description_at(description: str, downsample: float) -> str:
    """Return an Aperio text for a level of this downsample; any other text as it is. History entries stay."""
    if not description.startswith("Aperio"):
        return description
    head, *parts = description.split("|")
    return "|".join([head, *(_part_at(part, downsample) for part in parts)])


def _part_at(part: str, downsample: float) -> str:
    key, _, value = part.partition("=")
    found = field_at(key.strip(BLANKS), value, downsample)
    return part if found == value else f"{key}= {found}"


def objective_power(fields: Mapping[str, str]) -> float | None:
    """Return the objective power of Aperio's `AppMag`; None where it is not stated."""
    return power_of(positive_number(fields.get("AppMag")))


def level_description(size: Size, level: LevelText, previous: str) -> str:
    """Return the text for a level: a new history entry, followed by all of `previous`.

    `size` is the largest level's size in pixels.
    """
    entry = f"{HEADER}\r\n{size.width}x{size.height} [0,0 {size.width}x{size.height}] "
    entry += f"({level.tile.width}x{level.tile.height}) "
    if level.size != size:
        entry += f"-> {level.size.width}x{level.size.height} "
    return f"{entry}{level.coding};{previous}" if previous else f"{entry}{level.coding}"


def is_level_description(text: str, previous: str) -> bool:
    """Return whether `level_description` could have written a level's text for `previous`."""
    ending = f";{previous}" if previous else ""
    return text.endswith(ending) and _ENTRY.fullmatch(text.removesuffix(ending)) is not None


def technical_fields(mpp: Mpp | None, objective_power: float | None) -> str:
    """Return the fields that OpenSlide reads, for a slide that was not Aperio's."""
    power = "" if objective_power is None else f"|AppMag = {objective_power:g}"
    return power + ("" if mpp is None else f"|MPP = {mpp.mean:.6g}")


def associated_description(name: str, size: Size, previous: str) -> str:
    """Return the text of a label, macro or thumbnail: OpenSlide 4.0.0 and older know it by its second line.

    The fields of `previous` stay, for OpenSlide gives an image the slide's ICC profile if both name it.
    """
    # One line feed: OpenSlide 4.0.0 takes the second piece between any of \r and \n for the name.
    fields = limited_description(previous).partition("|")[2]
    return f"{HEADER}\n{name} {size.width}x{size.height}" + (f"|{fields}" if fields else "")


def stated_name(description: str) -> str | None:
    """Return the associated image that a text states: "label", "macro", "thumbnail" or None.

    Source: Aperio writes "label 387x463" as the second line; Philips, Huron and Ventana begin with the word.
    """
    lines = description.lstrip("\0 \t\r\n")[:_MOST_HEAD].splitlines()
    for line in lines[1:2] if description.startswith("Aperio") else lines[:2]:
        word = _FIRST_WORD.match(line)
        if word is not None:
            return word[1].lower()
    return None


def place_name(subfile_type: int, position: int) -> str | None:
    """Return the name that OpenSlide 4.0.1 gives to an image in strips; None for no name.

    `position` counts the images of the file from 0.
    """
    return "thumbnail" if position == 1 else _BY_TYPE.get(subfile_type)


def associated_name(description: str, subfile_type: int, position: int) -> str | None:
    """Return the name of an image beside the levels, None for no name.

    `position` counts the images of the file from 0.

    The stated name comes before the type, and the type before the place. OpenSlide 4.0.1 reads no names:
    there the second image of the file, if not tiled, is the thumbnail, and NewSubfileType 1 the label, 9 the
    macro.

    Source: OpenSlide's aperio driver.
    """
    typed = _BY_TYPE.get(subfile_type)
    return stated_name(description) or typed or ("thumbnail" if position == 1 else None)


def _is_scale(key: str, value: str) -> bool:
    """Return whether a field is the scale or power that OpenSlide reads, as a number in its range."""
    number = positive_number(value) if _NUMBER.fullmatch(value) else None
    return (key == "MPP" and scale_of(number) is not None) or (
        key == "AppMag" and power_of(number) is not None
    )


def _short_number(text: str) -> str:
    """Return a number as it stands, or in six digits: a longer one states no scale, but could state a day."""
    return text if len(text) <= _MOST_DIGITS else f"{float(text):.6g}"


def deidentify(description: str) -> tuple[str, tuple[str, ...]]:
    """Return the text without names, and the keys of the fields that were left out.

    Scale, power and the history lines that name nobody stay. Values are never among the keys.
    """
    head, *parts = description.split("|", _MOST_FIELDS)
    dropped = ["history text"] if len(head) > _MOST_HISTORY else []
    entries = []
    for entry in head[:_MOST_HISTORY].split(";"):
        lines = [line.strip() for line in entry.splitlines() if line.strip()]
        kept = [line for line in lines if _HISTORY.fullmatch(line)]
        entries.append("\r\n".join(kept))
        if len(kept) < len(lines):
            dropped.append("history text")
    fields = []
    if len(parts) >= _MOST_FIELDS:
        dropped.append("unknown field")
    for part in parts[: _MOST_FIELDS - 1]:
        key, _, value = part.partition("=")
        key = key.strip()
        if _is_scale(key, value):
            fields.append(f"{key} = {_short_number(value.strip())}")
        else:
            dropped.append(key if key in _KNOWN else "unknown field")
    return "|".join([";".join(filter(None, entries)), *fields]), tuple(dict.fromkeys(dropped))
