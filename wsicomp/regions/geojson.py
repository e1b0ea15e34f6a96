"""Regions from GeoJSON, as QuPath exports it: one region for each class of annotation.

QuPath writes a class as `{"name": "Tumor", "color": [200, 0, 0]}`, a derived one as `{"names": ["Tumor",
"Positive"]}`, before 0.4 with `colorRGB` and `parentClass`, and accepts a plain text. Objects without a class
become class "region". Detections and cells count as annotations do, by their outer outline.

Source: QuPath's GsonTools and QuPathTypeAdapters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.errors import MaskError
from wsicomp.regions.class_table import MOST_CLASSES
from wsicomp.regions.drawing import HOLE, LINE, OUTER, Outline, Points, draw
from wsicomp.regions.found import Found
from wsicomp.regions.placement import LEEWAY, Frame, PicturePlacement, Raster, drawing_placement, drawn_raster
from wsicomp.regions.reading import RegionReading
from wsicomp.text.escaping import quoted
from wsicomp.tissue.bits import BitMask

REGION = "region"
"""The class of what has none."""

_EMPTY = "no polygons; expected annotations with an area, as QuPath exports them"
_CROSSED = "outlines that cross themselves count wherever they wind around"
_CUT = "outlines reach past the slide's edge, and are cut there"
_KINDS = ("FeatureCollection", "Feature", "GeometryCollection")
_AREAS = ("Polygon", "MultiPolygon")
_LINES = ("Point", "MultiPoint", "LineString", "MultiLineString")


@dataclass
class OutlinesByClass:
    """The shapes of each class, in pixels of the file."""

    frame: Frame
    """The pixels in which they are placed."""
    placement: PicturePlacement
    """Where the file's pixels lie in it."""
    raster: Raster
    """What they are drawn in."""
    path: Path | None
    """The file, for messages; None where there is none."""
    by_class: dict[str, list[Outline]] = field(default_factory=dict)
    """The outlines by class, in the file's order."""
    lines: int = 0
    """The count of points and lines."""
    is_cut: bool = False
    """Whether a shape reaches past the slide's edge."""

    def add(self, name: str, rings: list[Points], kinds: list[int]) -> None:
        """Add a shape to a class, unless it has no points."""
        if rings:
            self.by_class.setdefault(name, []).append(Outline(rings, kinds))

    def placed(self, points: Points) -> Points:
        """Return points in pixels of the raster.

        Raises:
            MaskError: they are no numbers, or leave the slide.
        """
        points, size = self.placement.points(points), self.frame.size
        if not np.isfinite(points).all():
            raise MaskError("an outline with NaN or infinity, expected numbers")
        least, most, sides = points.min(axis=0), points.max(axis=0), np.array([size.width, size.height])
        if (least < -1 - LEEWAY * sides).any() or (most > 1 + (1 + LEEWAY) * sides).any():
            found = f"outlines from {least[0]:.0f}, {least[1]:.0f} to {most[0]:.0f}, {most[1]:.0f}"
            advice = "export them of this slide, in pixels of level 0, or give `roi_mpp` and `roi_offset`"
            raise MaskError(f"{found} leave the slide of {size} px; {advice}")
        self.is_cut |= bool((least < -1).any() or (most > sides + 1).any())
        return np.asarray(points / self.raster.pitch)


def read_geojson(content: Any, frame: Frame, options: RegionReading, path: Path | None) -> Found:
    """Return the classes of GeoJSON's outlines. Holes are no part of a region.

    Points and lines have no area: with a margin what lies within it of them is the region.

    Raises:
        MaskError: there is nothing with an area, an outline leaves the slide, or it is not GeoJSON.
    """
    named = [(_class(properties, options), geometry) for properties, geometry in _objects(content)]
    raster = drawn_raster(frame, len({name for name, _ in named}))
    shapes = OutlinesByClass(frame, drawing_placement(frame, options, path), raster, path)
    for name, geometry in named:
        _add_geometry(shapes, name, geometry)
    if shapes.lines and options.margin_um <= 0:
        found = f"{shapes.lines} points or lines, which have no area"
        raise MaskError(f"{found}; give `roi_margin_um`, or export annotations with an area", path)
    return drawn_classes(shapes, _EMPTY)


def drawn_classes(shapes: OutlinesByClass, emptiness: str) -> Found:
    """Draw shapes, class by class.

    Raises:
        MaskError: there are too many classes, or too many shapes to be drawn.
    """
    if len(shapes.by_class) > MOST_CLASSES:
        found = f"{len(shapes.by_class)} classes, expected at most {MOST_CLASSES}"
        raise MaskError(f'{found}; join some in a table of classes with "*"', shapes.path)
    bits, crossed = {}, []
    for name, each in shapes.by_class.items():
        try:
            drawn = draw(each, shapes.raster.size.height, shapes.raster.size.width, shapes.placed)
        except MaskError as exc:
            raise MaskError(exc.message, shapes.path, f"class {quoted(name)}") from exc
        bits[name] = BitMask.of(drawn.pixels)
        crossed += [quoted(name)] if drawn.crosses_itself else []
    notes = [f"{', '.join(crossed)}: {_CROSSED}"] if crossed else []
    return Found(shapes.raster, bits, emptiness, tuple(notes + ([_CUT] if shapes.is_cut else [])))


def polygon(rings: list[Any]) -> tuple[list[Points], list[int]]:
    """Return the rings of a polygon and their kinds: the first is its outline, others are holes."""
    found = [np.array(ring, np.float64).reshape(len(ring), -1)[:, :2] for ring in rings if len(ring)]
    return found, [OUTER, *[HOLE] * (len(found) - 1)]


def is_geojson(content: Any) -> bool:
    """Return whether parsed JSON is GeoJSON: an object with its types, or a list of such."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and first.get("type") in (*_KINDS, *_AREAS, *_LINES)


def _objects(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the properties and the geometry of each object, children of annotations too."""
    if isinstance(content, list):
        for part in content:
            yield from _objects(part)
    elif content.get("type") == "FeatureCollection":
        yield from _objects(content["features"])
    elif content.get("type") == "Feature":
        properties = content.get("properties") or {}
        if content.get("geometry"):
            yield properties, content["geometry"]
        yield from _objects(properties.get("childObjects") or [])
    else:
        yield {}, content


def _class(properties: Any, options: RegionReading) -> str:
    name = _class_name(properties.get("classification")) or REGION
    return options.classes.class_of(name) if options.classes else name


def _class_name(classification: Any) -> str:
    if isinstance(classification, str):
        return classification
    if not classification:
        return ""
    if classification.get("names"):
        return ": ".join(map(str, classification["names"]))
    parent = _class_name(classification.get("parentClass"))
    return ": ".join(filter(None, (parent, str(classification.get("name") or ""))))


def _add_geometry(shapes: OutlinesByClass, name: str, geometry: Any) -> None:
    kind, coordinates = geometry["type"], geometry.get("coordinates")
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            _add_geometry(shapes, name, part)
    elif kind in _AREAS:
        for rings in [coordinates] if kind == "Polygon" else coordinates:
            shapes.add(name, *polygon(rings))
    elif kind in _LINES:
        lines = {"Point": [[coordinates]], "MultiPoint": [[each] for each in coordinates]}
        for line in lines.get(kind, [coordinates] if kind == "LineString" else coordinates):
            points, _ = polygon([line])
            shapes.lines += 1
            shapes.add(name, points, [LINE])
    else:
        raise MaskError(f"a geometry of type {quoted(kind)}, expected Polygon or MultiPolygon", shapes.path)
