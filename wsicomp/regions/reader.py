"""Read regions from a file, whatever wrote it: the suffix, and for JSON the content, say how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tifffile

from wsicomp.errors import MaskError, SlideReadError
from wsicomp.files.inputs import check_file, reason
from wsicomp.formats.picture import DAMAGED
from wsicomp.formats.tiff.tags import check_tags
from wsicomp.regions.arrays import read_npy, read_rows
from wsicomp.regions.coco import is_coco, read_coco
from wsicomp.regions.found import Found
from wsicomp.regions.geojson import is_geojson, read_geojson
from wsicomp.regions.placement import Frame
from wsicomp.regions.png_rows import png_rows
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.regions import Regions, regions_from
from wsicomp.regions.samples import is_probable
from wsicomp.regions.tiff_rows import tiff_rows
from wsicomp.slide import SlideInfo

SUFFIXES = (".geojson", ".json", ".png", ".tif", ".tiff", ".npy")
"""The suffixes that `read_regions` reads, in lower case."""

_MOST_JSON_BYTES = 1 << 28
_UNREADABLE = (*DAMAGED, RecursionError, OverflowError, tifffile.TiffFileError)


def read_regions(path: Path, info: SlideInfo, options: RegionReading = RegionReading()) -> Regions:  # noqa: B008
    """Return the regions that a file shows on a slide.

    Formats: GeoJSON as QuPath exports it; label images and probability maps as PNG, TIFF or OME-TIFF, of
    which no more than some rows are in memory; arrays as .npy; COCO annotations, and masks of Segment
    Anything, as JSON. Outlines are in pixels of level 0. A picture, a mask or an array shows the whole slide
    at any scale; with `options.offset` or `options.mpp` a part.

    A class is True wherever any part of a pixel belongs to it, be it of the file or of the raster.

    >>> regions = read_regions(Path("tumour.geojson"), slide.info)  # doctest: +SKIP

    Raises:
        MaskError: the file is none of these, is damaged or too large, does not fit the slide, shows nothing,
            or has a class that the table lacks.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        expected = "GeoJSON, COCO's JSON, PNG, TIFF or .npy"
        raise MaskError(f"its name ends in {suffix!r}, expected regions as {expected}", path)
    check_file(path, MaskError)
    frame = Frame.of(info)
    try:
        found = _found(path, suffix, frame, options, info)
    except MaskError as exc:
        raise exc if exc.path else MaskError(exc.message, path, exc.place) from exc
    except SlideReadError as exc:
        raise MaskError(exc.message, path) from exc
    except OSError as exc:
        raise MaskError(reason(exc), path) from exc
    except _UNREADABLE as exc:
        # The error's own text is left out: it quotes the file, which may name a patient.
        expected = (
            "GeoJSON, COCO annotations or masks" if "json" in suffix else f"a {suffix[1:].upper()} file"
        )
        raise MaskError(
            f"not regions ({type(exc).__name__}); expected {expected}, whole and sound", path
        ) from exc
    return regions_from(found, frame, options, "file", path)


def drawn_regions(
    content: Any,
    info: SlideInfo,
    options: RegionReading = RegionReading(),  # noqa: B008
) -> Regions:
    """Return the regions that parsed GeoJSON draws on a slide, as `read_regions` returns those of a file.

    >>> regions = drawn_regions(json.loads(text), slide.info)  # doctest: +SKIP

    Raises:
        MaskError: it is not GeoJSON, does not fit the slide, shows nothing, or has a class that the table
            lacks.
    """
    frame = Frame.of(info)
    try:
        if not is_geojson(content):
            raise MaskError("JSON of another kind; expected GeoJSON")
        found = read_geojson(content, frame, options, None)
    except MaskError:
        raise
    except _UNREADABLE as exc:
        # The error's own text is left out: it quotes the drawing, which may name a patient.
        raise MaskError(f"not regions ({type(exc).__name__}); expected GeoJSON, whole and sound") from exc
    return regions_from(found, frame, options, "drawing", None)


def _found(path: Path, suffix: str, frame: Frame, options: RegionReading, info: SlideInfo) -> Found:
    if suffix in (".json", ".geojson"):
        return _from_json(path, frame, options, info)
    if suffix == ".npy":
        return read_npy(path, frame, options)
    if suffix == ".png":
        with path.open("rb") as file:
            picture, dtype = png_rows(file, path)
            return read_rows(picture, dtype, None, frame, options, path)
    check_tags(path)
    with tifffile.TiffFile(path) as tiff:
        rows, dtype, stated = tiff_rows(tiff, path, is_probable(options))
        return read_rows(rows, dtype, stated, frame, options, path)


def _from_json(path: Path, frame: Frame, options: RegionReading, info: SlideInfo) -> Found:
    size = path.stat().st_size
    if size > _MOST_JSON_BYTES:
        raise MaskError(
            f"{size} bytes of JSON, expected at most {_MOST_JSON_BYTES}; export a label image", path
        )
    content: Any = json.loads(path.read_text("utf-8-sig"))
    if is_geojson(content):
        return read_geojson(content, frame, options, path)
    if is_coco(content):
        return read_coco(content, frame, options, path, info.path.stem)
    raise MaskError(
        "JSON of another kind; expected GeoJSON, COCO annotations, or masks of Segment Anything", path
    )
