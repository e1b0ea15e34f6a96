"""Prompts: where a person points on a slide, for Segment Anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.config import PromptConfig
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import check_file, reading
from wsicomp.geometry import Size
from wsicomp.slide import SlideInfo
from wsicomp.text.coordinates import coordinates

_OUTLINE_SUFFIXES = (".json", ".geojson")
_MOST_BYTES = 1 << 22
_MOST_POINTS = 1000
_BEGINS_NUMBER = "+-.0123456789"
_SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")
_OUTSIDE_CLASSES = ("negative", "background", "glass")
_EXPECTED = "expected GeoJSON points, or lines of x,y,label with label 1 inside and 0 outside"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in level-0 pixels of the slide's file."""

    left: float
    """The left edge."""
    top: float
    """The upper edge."""
    right: float
    """The right edge, over `left`."""
    bottom: float
    """The lower edge, over `top`."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in level-0 pixels of the slide's file."""

    x: float
    """From the left."""
    y: float
    """From the top."""
    is_inside: bool = True
    """Whether it lies inside what is meant; else what is there is to be left out."""


@dataclass(frozen=True)
class Prompt:
    """Where a person points: a box, some points, or, with neither, a grid of points over the whole slide."""

    box: Box | None = None
    """Surrounds roughly what is meant."""
    points: tuple[Point, ...] = ()
    """At least one is inside, if there is any."""

    @property
    def is_grid(self) -> bool:
        """Whether nobody points."""
        return self.box is None and not self.points

    def on(self, info: SlideInfo) -> Prompt:
        """Return the prompt in pixels of the largest level that `info` has.

        Raises:
            ConfigError: it does not lie on the slide.
        """
        size = info.file_size
        if self.box is not None:
            _check_box(self.box, size)
        for point in self.points:
            if not (0 <= point.x < size.width and 0 <= point.y < size.height):
                raise ConfigError(f"point {point.x:g},{point.y:g} lies outside {_pixels(size)}")
        across, down = info.size.width / size.width, info.size.height / size.height
        box = self.box and Box(
            self.box.left * across, self.box.top * down, self.box.right * across, self.box.bottom * down
        )
        points = (Point(point.x * across, point.y * down, point.is_inside) for point in self.points)
        return Prompt(box, tuple(points))


def read_prompt(config: PromptConfig) -> Prompt:
    """Return the prompt that these options give, reading the file of points if they name one.

    Raises:
        ConfigError: the file cannot be read, holds no point inside, or too many.
    """
    if config.box is not None:
        left, top, width, height = coordinates(config.box, 4)
        return Prompt(Box(left, top, left + width, top + height))
    if config.points is not None:
        return Prompt(points=read_points(config.points))
    if config.prompt is None or config.prompt == config.GRID:
        return Prompt()
    x, y = coordinates(config.prompt, 2)
    return Prompt(points=(Point(x, y),))


def read_points(path: Path) -> tuple[Point, ...]:
    """Return the points in a file, in its order.

    GeoJSON: features of type Point or MultiPoint; those with `"label": 0`, or of a class Negative,
    Background or Glass, are outside. Text: lines of x,y or x,y,label, also with blanks, tabs or semicolons;
    one heading may come first.

    Raises:
        ConfigError: the file cannot be read, is neither, holds no point inside, or more than 1000 points.
    """
    check_file(path, ConfigError)
    with reading(path, ConfigError):
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path.stat().st_size} bytes, expected at most {_MOST_BYTES} of points", path)
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        is_outline = path.suffix.lower() in _OUTLINE_SUFFIXES
        found = tuple(_of_geojson(json.loads(text)) if is_outline else _of_table(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        # The error's own text is left out: it quotes the file.
        raise ConfigError(f"no points ({type(exc).__name__}); {_EXPECTED}", path) from exc
    if not any(point.is_inside for point in found):
        raise ConfigError(f"{len(found)} points, none of them inside; {_EXPECTED}", path)
    if len(found) > _MOST_POINTS:
        raise ConfigError(f"{len(found)} points, expected at most {_MOST_POINTS}; keep some", path)
    return found


def _of_table(text: str) -> Iterator[Point]:
    rows = [_SEPARATOR.split(line.strip()) for line in text.splitlines() if line.strip()]
    if rows and rows[0][0][:1] not in _BEGINS_NUMBER:
        rows = rows[1:]  # a heading
    for row in rows:
        if len(row) not in (2, 3):
            raise ValueError("not x,y or x,y,label")
        yield _point(float(row[0]), float(row[1]), int(row[2]) if len(row) == 3 else 1)


def _of_geojson(content: Any) -> Iterator[Point]:
    features = content["features"] if content.get("type") == "FeatureCollection" else [content]
    for feature in features:
        geometry = feature["geometry"] if feature.get("type") == "Feature" else feature
        several = {"Point": [geometry["coordinates"]], "MultiPoint": geometry["coordinates"]}
        for x, y, *_ in several[geometry["type"]]:
            yield _point(float(x), float(y), _label(feature.get("properties") or {}))


def _label(properties: Any) -> int:
    name = (properties.get("classification") or {}).get("name", "")
    return int(properties.get("label", str(name).lower() not in _OUTSIDE_CLASSES))


def _point(x: float, y: float, label: int) -> Point:
    if not (math.isfinite(x) and math.isfinite(y) and label in (0, 1)):
        raise ValueError("not finite, or another label")
    return Point(x, y, label == 1)


def _check_box(box: Box, size: Size) -> None:
    width, height = box.right - box.left, box.bottom - box.top
    found = f"box {box.left:g},{box.top:g},{width:g},{height:g}"
    if box.left >= size.width or box.top >= size.height or box.right <= 0 or box.bottom <= 0:
        raise ConfigError(f"{found} lies outside {_pixels(size)}")
    if box.left < 0 or box.top < 0 or box.right > size.width or box.bottom > size.height:
        raise ConfigError(f"{found} reaches past {_pixels(size)}")


def _pixels(size: Size) -> str:
    return f"the slide's {size} px; give level-0 px, as OpenSlide and QuPath count them"
