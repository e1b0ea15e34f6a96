"""A plain picture (PNG, JPEG, WebP) as a slide of one level, for labelled sections that are not slides."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.files.inputs import check_file, reason
from wsicomp.formats.base import PixelsOnly
from wsicomp.geometry import Mpp, Region, Size
from wsicomp.slide import Level, Pixels, SlideInfo

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes that `open_picture` reads, in lower case."""

DAMAGED = (
    *(SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, AssertionError, MemoryError, struct.error, zlib.error),
)
"""The errors that Pillow raises for a damaged picture, beside errors of the system."""

_TILE_PX = 256


class PictureSlide(PixelsOnly):
    """Pixels in memory, (rows, columns, 3) uint8 RGB, behind the interface of a slide of one level."""

    def __init__(self, path: Path, pixels: Pixels, mpp: float | None, tile_px: int = _TILE_PX) -> None:
        self._pixels = pixels
        tile, size = Size(tile_px, tile_px), Size(pixels.shape[1], pixels.shape[0])
        scale = None if mpp is None else Mpp(mpp, mpp)
        self._info = SlideInfo(path, "picture", (Level(size, tile, 1.0),), scale, None, None, "", {}, {})

    def read_region(self, level: int, region: Region) -> Pixels:  # noqa: ARG002
        """Return a copy of the pixels of a region, (rows, columns, 3) uint8 RGB."""
        return self._pixels[region.y : region.y + region.height, region.x : region.x + region.width].copy()

    def close(self) -> None:
        """Free the pixels."""
        self._pixels = np.empty((0, 0, 3), np.uint8)


def open_picture(path: Path, mpp: float | None, tile_px: int | None = None) -> PictureSlide:
    """Open a picture file as a slide of one level.

    `mpp` is its um per px, which the file does not state; None if it is not known. Its tiles have `tile_px`
    pixels a side, 256 for None. Transparent pixels become white.

    >>> slide = open_picture(Path("section.png"), mpp=0.5)  # doctest: +SKIP

    Raises:
        SlideReadError: the file is not a picture, is damaged, or cannot be read.
        UnsupportedSlideError: the picture has more than 178 million pixels, or other than 8-bit samples.
    """
    check_file(path)
    try:
        with opened_image(path) as image:
            if image.mode.startswith(("I", "F")):
                raise UnsupportedSlideError(f"samples of kind {image.mode}, expected 8 bits", path)
            pixels = _rgb(image)
    except SlideReadError:
        raise
    except UnidentifiedImageError as exc:
        raise SlideReadError("not a picture; expected PNG, JPEG or WebP", path) from exc
    except Image.DecompressionBombError as exc:
        raise UnsupportedSlideError("more than 178 million pixels; make it a tiled TIFF", path) from exc
    except DAMAGED as exc:
        raise SlideReadError(f"a damaged picture ({type(exc).__name__})", path) from exc
    except OSError as exc:
        raise SlideReadError(reason(exc), path) from exc
    return PictureSlide(path, pixels, mpp, tile_px or _TILE_PX)


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Open a picture without Pillow's warning of its size, since we have our own bound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            yield image


def _rgb(image: Image.Image) -> Pixels:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))
