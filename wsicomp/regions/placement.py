"""Where a picture or a drawing lies on the slide, and the raster that its regions are kept in.

All here is in pixels of the frame: the file's largest level, in which regions are drawn, be that level left
out or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Mpp, Size
from wsicomp.regions.reading import RegionReading
from wsicomp.slide import SlideInfo
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import Spans, TissueMask
from wsicomp.tissue.mask_reader import has_proportions_of

MOST_RASTER_PX = 1 << 26
MOST_RASTER_BITS = 1 << 31
"""Bits of the masks of all classes together."""
LEEWAY = 0.02
"""The part of the slide's side by which regions may reach beyond it: people draw past the edge."""
_ROUNDING = 1e-6
_MPP_TOLERANCE = 0.05


@dataclass(frozen=True)
class Frame:
    """The pixels in which regions are drawn."""

    size: Size
    """The size of the file's largest level."""
    slide: Size
    """The size of the slide's level 0, which is smaller where finer levels are left out."""
    mpp: Mpp | None
    """The um per px of the frame."""

    @classmethod
    def of(cls, info: SlideInfo) -> Frame:
        """Return the frame of a slide."""
        size, slide = info.file_size, info.size
        mpp = info.mpp and Mpp(info.mpp.x * slide.width / size.width, info.mpp.y * slide.height / size.height)
        return cls(size, slide, mpp)


@dataclass(frozen=True)
class Raster:
    """The grid of pixels, from the slide's upper left corner, in which regions are kept."""

    size: Size
    """The columns and rows. The last may reach past the slide's edge."""
    pitch: tuple[float, float]
    """The width and height of a raster pixel in pixels of the frame."""

    def mask(self, bits: BitMask, frame: Frame, source: str) -> TissueMask:
        """Return the mask of a class whose raster pixels are in `bits`."""
        scale_x = self.pitch[0] * frame.slide.width / frame.size.width
        scale_y = self.pitch[1] * frame.slide.height / frame.size.height
        return TissueMask.of(bits, frame.slide, scale_x, scale_y, source)


@dataclass(frozen=True)
class PicturePlacement:
    """Where a picture lies, and how large its pixels are."""

    left: float
    """The left edge of the picture."""
    top: float
    """Its upper edge."""
    steps_x: tuple[float, ...]
    """The width of its pixels.

    Where the slide's width is no multiple of the picture's, programs differ: see `possible_steps`.
    """
    steps_y: tuple[float, ...]
    """The height of its pixels, in the same way."""
    covers_slide: bool
    """Whether the picture shows the whole slide."""

    def spans(self, raster: Raster, image: Size) -> tuple[Spans, Spans]:
        """Return the spans of the image's rows, and of its columns, that lie in each one of the raster.

        Both are empty where the image has none there.
        """
        rows = _spans(self.top, self.steps_y, raster.pitch[1], raster.size.height, image.height)
        columns = _spans(self.left, self.steps_x, raster.pitch[0], raster.size.width, image.width)
        return rows, columns

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points of the picture, (points, 2) as x and y, in pixels of the frame."""
        return np.asarray(points * (self.steps_x[0], self.steps_y[0]) + (self.left, self.top))


def _spans(start: float, steps: tuple[float, ...], pitch: float, count: int, limit: int) -> Spans:
    edges = np.arange(count + 1) * pitch - start
    found = np.array([edges / step for step in steps])
    first = np.clip(np.floor(found[:, :-1] + _ROUNDING).min(axis=0), 0, limit)
    end = np.clip(np.ceil(found[:, 1:] - _ROUNDING).max(axis=0), 0, limit)
    return first.astype(np.intp), np.maximum(first, end).astype(np.intp)


def drawn_raster(frame: Frame, classes: int = 1) -> Raster:
    """Return the raster for outlines and for parts of a slide: frame pixels, or squares of 2, 4, 8... px."""
    most = min(MOST_RASTER_PX, MOST_RASTER_BITS // max(1, classes))
    pitch = 1
    while -(-frame.size.width // pitch) * -(-frame.size.height // pitch) > most:
        pitch *= 2
    size = Size(-(-frame.size.width // pitch), -(-frame.size.height // pitch))
    return Raster(size, (float(pitch), float(pitch)))


def image_raster(frame: Frame, image: Size, placement: PicturePlacement, classes: int = 1) -> Raster:
    """Return the raster for a picture: its own pixels where it shows the slide and is not too large.

    Of a larger picture whole blocks of its pixels become one.
    """
    if not placement.covers_slide:
        return drawn_raster(frame, classes)
    most = min(MOST_RASTER_PX, MOST_RASTER_BITS // max(1, classes))
    by = max(1, math.isqrt(image.width * image.height // most))
    while -(-image.width // by) * -(-image.height // by) > most:
        by += 1
    size = Size(-(-image.width // by), -(-image.height // by))
    return Raster(size, (frame.size.width / image.width * by, frame.size.height / image.height * by))


def drawing_placement(frame: Frame, options: RegionReading, path: Path | None) -> PicturePlacement:
    """Return where outlines lie: in pixels of the frame, unless the options say more."""
    step = _step(frame, Mpp(options.mpp, options.mpp), path) if options.mpp else (1.0, 1.0)
    return PicturePlacement(*(options.offset or (0.0, 0.0)), (step[0],), (step[1],), covers_slide=False)


def image_placement(
    image: Size, frame: Frame, options: RegionReading, stated: Mpp | None, path: Path | None
) -> PicturePlacement:
    """Return where a picture of `image` px lies, which itself states `stated` um per px.

    Without `mpp` and `offset` it shows the whole slide. With one of them it shows a part.

    Raises:
        MaskError: the picture has other proportions than the slide, another scale than it states, or lies
            elsewhere; or the slide does not state its um per px where that is needed.
    """
    mpp = Mpp(options.mpp, options.mpp) if options.mpp else stated
    if options.mpp is None and options.offset is None:
        _check_whole(image, frame, stated, path)
        steps_x = possible_steps(frame.size.width, image.width)
        return PicturePlacement(
            0.0, 0.0, steps_x, possible_steps(frame.size.height, image.height), covers_slide=True
        )
    step = _step(frame, mpp, path) if mpp else (1.0, 1.0)
    placed = PicturePlacement(*(options.offset or (0.0, 0.0)), (step[0],), (step[1],), covers_slide=False)
    _check_inside(placed, image, frame, path)
    return placed


def possible_steps(slide: int, image: int) -> tuple[float, ...]:
    """Return how wide a pixel of a picture of the slide can be, in the slide's pixels.

    That is the slide's width divided by the picture's. Where that is no whole number, the slide may have been
    reduced by one, and its last pixels cut off or filled up: the least and the largest such number.

    >>> possible_steps(1000, 100), possible_steps(1001, 100), possible_steps(1000, 90)
    ((10.0,), (10.01, 10.0, 10.0), (11.11111111111111, 11.0, 11.0))
    """
    divided = slide / image
    least, most = slide // (image + 1) + 1, -(-slide // (image - 1)) - 1 if image > 1 else slide
    return (divided,) if not slide % image or least > most else (divided, float(least), float(most))


def _step(frame: Frame, mpp: Mpp, path: Path | None) -> tuple[float, float]:
    if frame.mpp is None:
        found = "the slide does not state its um per px, which `roi_mpp` needs"
        raise MaskError(f"{found}; export the regions in pixels of level 0", path)
    return mpp.x / frame.mpp.x, mpp.y / frame.mpp.y


def _check_whole(image: Size, frame: Frame, stated: Mpp | None, path: Path | None) -> None:
    if not has_proportions_of(image, frame.size):
        found = f"{image} px do not have the proportions of the slide's {frame.size} px"
        raise MaskError(
            f"{found}; export it of this slide, or give `roi_mpp` and `roi_offset` for a part", path
        )
    if stated is None or frame.mpp is None:
        return
    expected = frame.mpp.x * frame.size.width / image.width
    if abs(stated.x / expected - 1) > _MPP_TOLERANCE + 1 / image.width:
        found = f"it states {stated.x:.4g} um per px, expected {expected:.4g} to cover the whole slide"
        raise MaskError(
            f"{found}; give `roi_offset` for a part of it, or `roi_mpp` if the file is wrong", path
        )


def _check_inside(placed: PicturePlacement, image: Size, frame: Frame, path: Path | None) -> None:
    right, bottom = (
        placed.left + placed.steps_x[0] * image.width,
        placed.top + placed.steps_y[0] * image.height,
    )
    found = f"it covers {placed.left:.0f}, {placed.top:.0f} to {right:.0f}, {bottom:.0f}"
    where = f"{found} of the slide's {frame.size} px; check `roi_offset` and `roi_mpp`"
    if right <= 0 or bottom <= 0 or placed.left >= frame.size.width or placed.top >= frame.size.height:
        raise MaskError(f"misses the slide: {where}", path)
    spare_x = LEEWAY * frame.size.width + placed.steps_x[0]
    spare_y = LEEWAY * frame.size.height + placed.steps_y[0]
    is_beyond = right > frame.size.width + spare_x or bottom > frame.size.height + spare_y
    if is_beyond or placed.left < -spare_x or placed.top < -spare_y:
        raise MaskError(f"reaches beyond the slide: {where}", path)
