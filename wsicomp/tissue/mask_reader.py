"""Read tissue masks from files: pictures whose bright pixels are tissue, and QuPath's GeoJSON outlines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsicomp.errors import MaskError, SlideReadError
from wsicomp.files.inputs import check_file, reason
from wsicomp.formats.picture import DAMAGED, opened_image
from wsicomp.formats.tiff.tags import check_tags
from wsicomp.geometry import Size
from wsicomp.tissue.mask import MOST_MASK_PIXELS, TissueMask

_DRAWN_SIDE_PX = 4096
_SUBPIXEL_BITS = 4
_PNG_SUFFIX = ".png"
_TIFF_SUFFIXES = (".tif", ".tiff")
_OUTLINE_SUFFIXES = (".json", ".geojson")
_MINISWHITE = 0
_MOST_BYTES = 1 << 29
_MOST_CROSSINGS, _MOST_AREA_PX = 20_000_000_000, 10_000_000_000
"""Drawing outlines of either takes some seconds."""
_FEW_CROSSINGS = 10_000
_UNREADABLE = (*DAMAGED, cv2.error, Image.DecompressionBombError)


def read_mask(path: Path, slide: Size, drawn_on: Size | None = None) -> TissueMask:
    """Return the mask in a file, for a slide of `slide` level-0 pixels.

    `drawn_on` is the size of the level on which it was drawn, if that is a finer one.

    The suffix decides how the file is read. PNG and TIFF: any picture with the slide's proportions
    (`has_proportions_of`); pixels over 0 are tissue. GeoJSON: polygons in level-0 pixels, as QuPath exports
    them, drawn at 4096 px a side at most; their holes are glass.

    Raises:
        MaskError: the suffix is another, the file cannot be read, or it does not have the slide's
            proportions.
    """
    tissue = read_samples(path, drawn_on or slide) != 0
    rows, columns = tissue.shape
    return TissueMask(tissue, slide, slide.width / columns, slide.height / rows, "file")


def read_samples(path: Path, slide: Size) -> NDArray[Any]:
    """Return the samples of a mask file as stored, (rows, columns) of the file's own type.

    Formats are those of `read_mask`; GeoJSON gives 1 inside and 0 outside.

    Raises:
        MaskError: the suffix is another, the file cannot be read, or it does not have the slide's
            proportions.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_OUTLINE_SUFFIXES, *_TIFF_SUFFIXES, _PNG_SUFFIX):
        raise MaskError(f"its name ends in {suffix!r}, expected PNG, TIFF or GeoJSON", path)
    check_file(path, MaskError)
    is_outline = suffix in _OUTLINE_SUFFIXES
    try:
        samples = (
            _drawn(json.loads(path.read_text("utf-8-sig")), slide, path) if is_outline else _picture(path)
        )
    except MaskError:
        raise
    except SlideReadError as exc:
        raise MaskError(exc.message, path) from exc
    except OSError as exc:
        raise MaskError(reason(exc) or "not a picture that can be read", path) from exc
    except _UNREADABLE as exc:
        # The error's own text is left out: it quotes the file, which may name a patient.
        expected = "GeoJSON outlines as QuPath exports them" if is_outline else "a PNG or TIFF picture"
        raise MaskError(f"not a mask ({type(exc).__name__}); expected {expected}", path) from exc
    rows, columns = samples.shape
    if not has_proportions_of(Size(columns, rows), slide):
        found = f"{columns} x {rows} px do not have the proportions of the slide's {slide} px"
        raise MaskError(f"{found}; export the mask of this slide", path)
    return samples


def has_proportions_of(mask: Size, slide: Size) -> bool:
    """Return whether a mask of this size can be a reduction of the slide.

    One factor must give both sides, each rounded up or down by less than a pixel.

    >>> has_proportions_of(Size(100, 50), Size(1000, 504))
    True
    """
    least = max(slide.width / (mask.width + 1), slide.height / (mask.height + 1))
    most = min(slide.width / max(mask.width - 1, 1e-9), slide.height / max(mask.height - 1, 1e-9))
    return least < most


def _picture(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in _TIFF_SUFFIXES:
        check_tags(path)
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            tile = page.tilewidth * page.tilelength * page.tiledepth * page.samplesperpixel
            if max(page.size, tile) > MOST_MASK_PIXELS or page.nbytes > _MOST_BYTES:
                found = f"{max(page.size, tile)} samples of {page.bitspersample} bits"
                raise MaskError(f"{found}, expected at most {MOST_MASK_PIXELS} in 512 MB", path)
            pixels = page.asarray()
            if page.photometric == _MINISWHITE:
                pixels = pixels.max() - pixels
            if page.extrasamples:
                pixels = pixels[..., : -len(page.extrasamples)]
    else:
        try:
            with opened_image(path) as image:
                if image.width * image.height > MOST_MASK_PIXELS:
                    raise MaskError(
                        f"{image.width} x {image.height} px, expected fewer than {MOST_MASK_PIXELS}", path
                    )
                pixels = np.asarray(image.convert("L") if image.mode in ("P", "RGBA", "LA") else image)
        except UnidentifiedImageError as exc:
            raise MaskError("not a picture; expected PNG, TIFF or GeoJSON", path) from exc
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    if pixels.ndim != 2:
        raise MaskError(f"a picture of {pixels.ndim} dimensions, expected rows and columns", path)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise MaskError("samples that are NaN or infinite, expected finite ones", path)
    return np.asarray(pixels)


def _drawn(content: Any, slide: Size, path: Path) -> NDArray[np.uint8]:
    reduction = max(1.0, max(slide.width, slide.height) / _DRAWN_SIDE_PX)
    mask = np.zeros((round(slide.height / reduction) or 1, round(slide.width / reduction) or 1), np.uint8)
    scale = np.array([mask.shape[1] / slide.width, mask.shape[0] / slide.height])
    polygons = list(_polygons(content))
    if not polygons:
        raise MaskError("no polygons; expected QuPath annotations as GeoJSON", path)
    crossings = area = 0
    for rings in polygons:
        outlines = [_scaled(ring, slide, scale, path) for ring in rings]
        crossings += _crossings(outlines)
        area += _area(outlines)
        if crossings > _MOST_CROSSINGS or area > _MOST_AREA_PX:
            found = "too many edges above each other" if crossings > _MOST_CROSSINGS else "too many outlines"
            raise MaskError(f"{found} to be drawn; simplify them, or export the mask as PNG", path)
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


def _scaled(ring: Any, slide: Size, scale: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
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


def _polygons(content: Any) -> list[Any]:
    """Return the rings of every polygon in a feature collection, a list of features, or one geometry."""
    if isinstance(content, list):
        return [rings for part in content for rings in _polygons(part)]
    kind = content["type"]
    if kind == "FeatureCollection":
        return _polygons(content["features"])
    if kind == "Feature":
        return _polygons(content["geometry"])
    if kind == "GeometryCollection":
        return _polygons(content["geometries"])
    if kind == "MultiPolygon":
        return list(content["coordinates"])
    return [content["coordinates"]] if kind == "Polygon" else []
