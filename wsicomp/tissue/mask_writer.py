"""Write tissue masks for other programs: PNG, pyramidal OME-TIFF, and GeoJSON outlines for QuPath."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from wsicomp.errors import ConfigError
from wsicomp.files.atomic import completed
from wsicomp.slide import SlideInfo
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import TissueMask

SUFFIXES = (".png", ".tif", ".tiff", ".json", ".geojson")
"""The suffixes that `write_mask` knows."""

_TILE_PX = 512
_TISSUE = 255


def check_suffix(path: Path) -> None:
    """Refuse a file name whose suffix names no format of masks.

    Raises:
        ConfigError: the suffix is none of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"a mask's name ends in {path.suffix!r}, expected one of {', '.join(SUFFIXES)}", path
        )


def write_mask(
    path: Path, mask: TissueMask, info: SlideInfo, overwrite: bool = False, class_name: str = "Tissue"
) -> None:
    """Write a mask in the format that the suffix of `path` names; the file appears when it is complete.

    PNG: 255 is tissue. TIFF: an OME-TIFF of the same values with reduced levels, with um per px if the slide
    states it. GeoJSON: one QuPath annotation of this class in level-0 pixels, its outline within a sixth of a
    mask pixel of the mask's edge.

    Raises:
        ConfigError: the suffix is none of `SUFFIXES`.
        TargetExistsError: the file exists, or appeared meanwhile, and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    check_suffix(path)
    write = {".png": _write_png, ".json": _write_geojson, ".geojson": _write_geojson}
    with completed(path, overwrite) as partial:
        write.get(path.suffix.lower(), _write_tiff)(partial, mask, info, class_name)


def _write_png(path: Path, mask: TissueMask, info: SlideInfo, class_name: str) -> None:  # noqa: ARG001
    Image.fromarray(_bytes(mask.pixels)).save(path, "PNG")


def _write_tiff(path: Path, mask: TissueMask, info: SlideInfo, class_name: str) -> None:  # noqa: ARG001
    levels = [_bytes(mask.pixels)]
    while max(levels[-1].shape) > _TILE_PX:
        rows, columns = (-(-side // 2) for side in levels[-1].shape)
        levels.append(np.asarray(cv2.resize(levels[-1], (columns, rows), interpolation=cv2.INTER_NEAREST)))
    scale: dict[str, Any] = {"axes": "YX"}
    if info.mpp is not None:
        scale |= {"PhysicalSizeX": info.mpp.x * mask.scale_x, "PhysicalSizeY": info.mpp.y * mask.scale_y}
        scale |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    options: dict[str, Any] = {"tile": (_TILE_PX, _TILE_PX), "compression": "adobe_deflate"}
    options["photometric"] = "minisblack"
    # Without this one tifffile writes a UUID made of the machine and the time.
    scale["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(levels[0].tobytes()).hexdigest()))
    # Given a path, tifffile would follow a link and open its target.
    with path.open("wb") as file, tifffile.TiffWriter(file, ome=True) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, metadata=scale, **options)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, **options)


def _bytes(pixels: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(pixels.astype(np.uint8) * np.uint8(_TISSUE))


def _write_geojson(path: Path, mask: TissueMask, info: SlideInfo, class_name: str) -> None:  # noqa: ARG001
    geometry = mask_geometry(mask)
    feature = {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "classification": {"name": class_name, "color": [0, 160, 0]},
        },
    }
    collection = {"type": "FeatureCollection", "features": [feature] if geometry["coordinates"] else []}
    path.write_text(json.dumps(collection), "utf-8")


def mask_geometry(mask: TissueMask) -> dict[str, Any]:
    """Return a mask's outlines as GeoJSON: a MultiPolygon in level-0 pixels, without polygons for no tissue.

    The outline lies within a sixth of a mask pixel of the mask's edge.

    Memory: ten bytes for each pixel of the mask in the rectangle around its tissue.
    """
    rows, columns = _around_tissue(mask)
    offset = np.array([columns.start, rows.start])
    scale, size = np.array([mask.scale_x, mask.scale_y]), [mask.slide.width, mask.slide.height]
    polygons = [
        [np.clip((ring + offset) * scale, 0, size).round(2).tolist() for ring in rings]
        for rings in _polygons(mask.bits.pixels(rows, columns))
    ]
    return {"type": "MultiPolygon", "coordinates": polygons}


def _around_tissue(mask: TissueMask) -> tuple[slice, slice]:
    """Return (rows, columns) of the mask that hold all of its tissue; empty where there is none."""
    has_tissue = mask.bits.words.any(axis=1)
    in_column = BitMask(np.bitwise_or.reduce(mask.bits.words, axis=0)[None], mask.shape[1]).pixels()[0]
    rows, columns = np.flatnonzero(has_tissue).tolist(), np.flatnonzero(in_column).tolist()
    if not rows:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _polygons(pixels: NDArray[np.bool_]) -> Iterator[list[NDArray[np.float64]]]:
    """Yield each piece of tissue as closed rings in mask pixels: its outline, then its holes.

    A contour runs through pixel centres. In a mask of three times the size these lie a sixth of a pixel from
    the edge, which is all that the outline loses. Two pieces that touch at a corner only stay two.
    """
    if not pixels.size:
        return
    tripled = np.repeat(np.repeat(pixels.view(np.uint8), 3, axis=0), 3, axis=1)
    _part_corners(tripled, pixels)
    contours, tree = cv2.findContours(tripled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None:
        return
    for number, (_, _, child, parent) in enumerate(tree[0]):
        if parent >= 0:
            continue
        rings = [_ring(contours[number])]
        while child >= 0:
            rings.append(_ring(contours[child]))
            child = tree[0][child][0]  # noqa: PLW2901
        yield rings


def _part_corners(tripled: NDArray[np.uint8], pixels: NDArray[np.bool_]) -> None:
    """Clear the two ninths between pieces that touch at a corner, or a contour would cross itself."""
    here, right = pixels[:-1, :-1], pixels[:-1, 1:]
    below, across = pixels[1:, :-1], pixels[1:, 1:]
    for touching, side in ((here & across & ~right & ~below, 0), (right & below & ~here & ~across, 1)):
        row, column = np.nonzero(touching)
        tripled[3 * row + 2, 3 * column + 2 + side] = 0
        tripled[3 * row + 3, 3 * column + 3 - side] = 0


def _ring(contour: Any) -> NDArray[np.float64]:
    """Return a contour in mask pixels, its first point repeated at the end."""
    points = (np.asarray(contour)[:, 0].astype(np.float64) + 0.5) / 3
    return np.concatenate([points, points[:1]])
