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
from wsicomp.tissue.outlines import drawn

_PNG_SUFFIX = ".png"
_TIFF_SUFFIXES = (".tif", ".tiff")
_OUTLINE_SUFFIXES = (".json", ".geojson")
_MINISWHITE = 0
_MOST_BYTES = 1 << 29
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


def drawn_mask(content: Any, slide: Size, drawn_on: Size | None = None) -> TissueMask:
    """Return the mask that parsed GeoJSON draws, as `read_mask` returns that of a file.

    Raises:
        MaskError: it is not GeoJSON, has no polygon, or an outline leaves the slide.
    """
    try:
        tissue = drawn(content, drawn_on or slide, None) != 0
    except MaskError:
        raise
    except _UNREADABLE as exc:
        # The error's own text is left out: it quotes the drawing, which may name a patient.
        raise MaskError(f"not a mask ({type(exc).__name__}); expected GeoJSON outlines") from exc
    rows, columns = tissue.shape
    return TissueMask(tissue, slide, slide.width / columns, slide.height / rows, "drawing")


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
            drawn(json.loads(path.read_text("utf-8-sig")), slide, path) if is_outline else _picture(path)
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
