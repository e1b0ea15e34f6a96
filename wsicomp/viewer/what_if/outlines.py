"""A rectangle becomes the outline of the tissue in it, by Segment Anything where that extra is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import cv2
import numpy as np

from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.tissue.mask_writer import mask_geometry
from wsicomp.tissue.prompts import Box, Prompt
from wsicomp.tissue.segmenters.sam.base import SamNetwork, open_network
from wsicomp.tissue.segmenters.sam.segmenter import outline
from wsicomp.viewer.pictures.views import Rectangle

_LEAST_POINTS = 4
"""The points of a ring around an area, the first one again at the end."""
_one_at_a_time = Lock()
"""The network takes a gigabyte, and all cores."""


@cache
def _network() -> SamNetwork:
    """Return the network, which is opened once: that takes longer than an outline."""
    return open_network(None, available_cores())


@dataclass(frozen=True)
class OutlinedTissue:
    """The outline of what a rectangle holds."""

    geometry: Mapping[str, Any] = field(repr=False)
    """GeoJSON in level-0 pixels: a Polygon, or a MultiPolygon of several pieces, or of none."""
    source: str
    """What outlined it, in words."""
    notes: tuple[str, ...]
    """What a user should know, such as that nothing was found."""
    seconds: float
    """The seconds that it took, without waiting for another one."""


def outline_rectangle(slide: Slide, rectangle: Rectangle) -> OutlinedTissue:
    """Return the outline of the tissue in a rectangle of a slide, which need only be drawn roughly.

    The rectangle is cut at the slide's edge. One outline is made at a time; the others wait. The
    network stays open from the first one on.

    Memory: 1.1 GB for the network.

    Raises:
        ConfigError: the rectangle lies outside the slide.
        MissingExtraError: the extra is not installed.
        WeightsError: the network is damaged, or cannot run.
        TileReadError: a tile under the rectangle cannot be decoded.
    """
    box = _box_on(slide, rectangle)
    with _one_at_a_time:
        start = time.perf_counter()
        mask = outline(slide, Prompt(box), network=_network())
        polygons = [*_simplified(mask_geometry(mask)["coordinates"], max(mask.scale_x, mask.scale_y))]
        seconds = time.perf_counter() - start
    geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": polygons}
    if len(polygons) == 1:
        geometry = {"type": "Polygon", "coordinates": polygons[0]}
    return OutlinedTissue(geometry, mask.source, mask.notes, seconds)


def _simplified(polygons: Sequence[Sequence[Any]], reach_px: float) -> Iterator[list[Any]]:
    """Yield polygons with few enough points to be moved by hand, off by at most `reach_px` level-0 pixels.

    Pieces and holes no larger than that are left out.
    """
    for rings in polygons:
        reduced = [_fewer_points(ring, reach_px) for ring in rings]
        if len(reduced[0]) >= _LEAST_POINTS:
            yield [ring for ring in reduced if len(ring) >= _LEAST_POINTS]


def _fewer_points(ring: Any, reach_px: float) -> Any:
    """Return a closed ring with fewer points, closed too."""
    points = cv2.approxPolyDP(np.array(ring[:-1], np.float32), reach_px, closed=True)[:, 0]
    return np.concatenate([points, points[:1]]).astype(float).round(2).tolist()


def _box_on(slide: Slide, rectangle: Rectangle) -> Box:
    size = slide.info.file_size
    left, top = max(rectangle.x, 0.0), max(rectangle.y, 0.0)
    right = min(rectangle.x + rectangle.width, float(size.width))
    bottom = min(rectangle.y + rectangle.height, float(size.height))
    if left >= right or top >= bottom:
        raise ConfigError(f"the rectangle lies outside the slide's {size} px; draw it on the slide")
    return Box(left, top, right, bottom)
