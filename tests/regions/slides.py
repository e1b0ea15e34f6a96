"""Slides as far as regions need them, and the plain reading that ours is held against."""

import json
from pathlib import Path

import numpy as np

from wsicomp.geometry import Mpp, Size
from wsicomp.slide import Level, SlideInfo


def info(size=Size(1000, 600), mpp=0.5, left_out=(), levels=None):  # noqa: B008
    levels = levels or (Level(size, Size(64, 64), 1.0),)
    scale = None if mpp is None else Mpp(mpp, mpp)
    return SlideInfo(Path("slide.svs"), "aperio", levels, scale, None, None, "", {}, {}, left_out=left_out)


def level(size, tile, slide):
    return Level(Size(*size), Size(*tile), slide.width / size[0])


def tiles_under(pixels, slide, level, steps=None):
    """Whether any pixel of a mask of the whole slide overlaps each tile, pixel by pixel and tile by tile.

    A pixel is `steps` (x, y) level-0 pixels large, by default the slide's part.
    """
    rows, columns = pixels.shape
    step_x, step_y = steps or (slide.width / columns, slide.height / rows)
    over = _overlaps(rows, step_y, level.grid.rows, level.tile.height, level.size.height, slide.height)
    beside = _overlaps(columns, step_x, level.grid.columns, level.tile.width, level.size.width, slide.width)
    return (over.T.astype(int) @ pixels.astype(int) @ beside) > 0


def _overlaps(pixels, step, tiles, tile, size, slide):
    """(pixels, tiles) bool along a side: whether their intervals overlap."""
    start, edge = np.arange(pixels) * step, np.minimum(np.arange(tiles + 1) * tile, size) * (slide / size)
    before = start[:, None] < edge[1:] - 1e-4
    return before & (start[:, None] + step > edge[:-1] + 1e-4)


def feature(name, /, *rings, kind="Polygon", coordinates=None, **properties):
    """An annotation as QuPath 0.5 writes it; of class `name`, None for none."""
    properties = {"objectType": "annotation", **properties}
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "0f9d5a3e-6c1f-4d0c-9d8e-1f1f7c1a2b3c",
        "geometry": {"type": kind, "coordinates": list(rings) if coordinates is None else coordinates},
        "properties": properties,
    }


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def qupath(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def table(path, text):
    path.write_text(text)
    from wsicomp.regions.class_table import read_class_table

    return read_class_table(path)
