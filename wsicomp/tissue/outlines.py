"""Outlines in GeoJSON, and how a mask is drawn from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Size

_DRAWN_SIDE_PX = 4096
_SUBPIXEL_BITS = 4
_MOST_CROSSINGS, _MOST_AREA_PX = 20_000_000_000, 10_000_000_000
"""Drawing outlines of either takes some seconds."""
_FEW_CROSSINGS = 10_000


def drawn(content: Any, slide: Size, path: Path | None) -> NDArray[np.uint8]:
    """Return the polygons of GeoJSON as a mask at 4096 px a side at most: 1 inside, 0 outside and in holes.

    Raises:
        MaskError: there is no polygon, one leaves the slide, or there are too many to be drawn.
    """
    reduction = max(1.0, max(slide.width, slide.height) / _DRAWN_SIDE_PX)
    mask = np.zeros((round(slide.height / reduction) or 1, round(slide.width / reduction) or 1), np.uint8)
    scale = np.array([mask.shape[1] / slide.width, mask.shape[0] / slide.height])
    found = list(polygons(content))
    if not found:
        raise MaskError("no polygons; expected QuPath annotations as GeoJSON", path)
    crossings = area = 0
    for rings in found:
        outlines = [_scaled(ring, slide, scale, path) for ring in rings]
        crossings += _crossings(outlines)
        area += _area(outlines)
        if crossings > _MOST_CROSSINGS or area > _MOST_AREA_PX:
            excess = "too many edges above each other" if crossings > _MOST_CROSSINGS else "too many outlines"
            raise MaskError(f"{excess} to be drawn; simplify them, or export the mask as PNG", path)
        _fill(mask, outlines)
    return mask


def _crossings(outlines: list[NDArray[np.float64]]) -> int:
    """Return the squared number of edges in each row, summed: OpenCV sorts the edges anew in every row."""
    top = int(min(outline[:, 1].min() for outline in outlines))
    rows = int(max(outline[:, 1].max() for outline in outlines)) - top + 1
    if sum(map(len, outlines)) ** 2 * rows < _FEW_CROSSINGS:
        return 0
    begun = np.zeros(rows + 2, np.int64)
    for outline in outlines:
        first = outline[:, 1].astype(np.int64) - top
        second = np.roll(first, 1)
        np.add.at(begun, np.minimum(first, second), 1)
        np.add.at(begun, np.maximum(first, second) + 1, -1)
    return int((np.cumsum(begun) ** 2).sum())


def _area(outlines: list[NDArray[np.float64]]) -> int:
    """Return the pixels of the rectangle around a polygon."""
    corners = np.concatenate(outlines)
    return int(np.prod(np.ceil(np.ptp(corners, axis=0)) + 3))


def _scaled(ring: Any, slide: Size, scale: NDArray[np.float64], path: Path | None) -> NDArray[np.float64]:
    points = np.array(ring, np.float64)[:, :2]
    if (
        not np.isfinite(points).all()
        or points.min() < -1
        or (points > [slide.width + 1, slide.height + 1]).any()
    ):
        raise MaskError(f"an outline leaves the slide of {slide} px; export it in pixels of level 0", path)
    return np.asarray(points * scale)


def _fill(mask: NDArray[np.uint8], outlines: list[NDArray[np.float64]]) -> None:
    """Draw one polygon with its holes over the mask, within the polygon's bounding box."""
    corners = np.concatenate(outlines)
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    part = mask[top:bottom, left:right]
    one = np.zeros_like(part)
    shifted = [
        np.rint((outline - (left, top)) * (1 << _SUBPIXEL_BITS)).astype(np.int32) for outline in outlines
    ]
    cv2.fillPoly(one, shifted, 1, shift=_SUBPIXEL_BITS)
    part |= one


def polygons(content: Any) -> list[Any]:
    """Return the rings of every polygon in a feature collection, a list of features, or one geometry."""
    if isinstance(content, list):
        return [rings for part in content for rings in polygons(part)]
    kind = content["type"]
    if kind == "FeatureCollection":
        return polygons(content["features"])
    if kind == "Feature":
        return polygons(content["geometry"])
    if kind == "GeometryCollection":
        return polygons(content["geometries"])
    if kind == "MultiPolygon":
        return list(content["coordinates"])
    return [content["coordinates"]] if kind == "Polygon" else []
