"""Slides of any vendor through OpenSlide: pixels only, no encoded tiles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image

from wsicomp.codecs import plain
from wsicomp.codecs.reduce import eighth
from wsicomp.errors import SlideReadError, TileReadError
from wsicomp.geometry import Mpp, Region, Size, TileIndex
from wsicomp.readers.numbers import positive_number
from wsicomp.slide import RGB, AssociatedImage, EncodedTile, Level, Pixels, SlideInfo, TileEncoding

_DEFAULT_TILE = Size(256, 256)
_LARGEST_TILE_PX = 1024
_LOSSLESS = TileEncoding(plain.DEFLATE, RGB, predictor=2)


class OpenSlideSlide:
    """A slide as OpenSlide shows it, transparent pixels laid on white."""

    def __init__(self, path: Path) -> None:
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as exc:
            raise SlideReadError(f"OpenSlide cannot open it ({exc})", path) from exc
        self._info = _describe(path, self._slide)

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself, in OpenSlide's properties."""
        return self._info

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Always raises `SlideReadError`: OpenSlide hands out pixels alone."""
        raise SlideReadError("has no encoded tiles that can be copied", self._info.path, str(index))

    def read_tile(self, index: TileIndex) -> Pixels:
        """A whole tile's pixels; beyond the level's edge they are white."""
        level = self._info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        pixels = self.read_region(index.level, region)
        if region.size == level.tile:
            return pixels
        tile = np.full((*level.tile.shape, 3), 255, np.uint8)
        tile[: region.height, : region.width] = pixels
        return tile

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """The means of a tile's blocks of 8 x 8 pixels."""
        return eighth(self.read_tile(index))

    def read_region(self, level: int, region: Region) -> Pixels:
        """The pixels of a rectangle of a level; one call of OpenSlide."""
        downsample = self._info.levels[level].downsample
        location = round(region.x * downsample), round(region.y * downsample)
        try:
            rgba = np.asarray(self._slide.read_region(location, level, (region.width, region.height)))
        except openslide.OpenSlideError as exc:
            raise TileReadError(
                f"OpenSlide cannot read it ({exc})", self._info.path, f"level {level}"
            ) from exc
        return _on_white(rgba)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _on_white(rgba: Pixels) -> Pixels:
    opaque = rgba[..., 3:] == 255
    if opaque.all():
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    # read_region gives straight alpha, so a transparent pixel's colour counts by its alpha.
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _describe(path: Path, slide: openslide.OpenSlide) -> SlideInfo:
    properties = dict(slide.properties)
    mpp_x, mpp_y = (positive_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    return SlideInfo(
        path=path,
        vendor=properties[openslide.PROPERTY_NAME_VENDOR],
        levels=tuple(_level(slide, properties, number) for number in range(slide.level_count)),
        mpp=Mpp(mpp_x, mpp_y) if mpp_x and mpp_y else None,
        objective_power=positive_number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)),
        icc_profile=_icc_profile(slide),
        description=properties.get(openslide.PROPERTY_NAME_COMMENT, ""),
        properties=properties,
        associated_images={name: _associated(image) for name, image in slide.associated_images.items()},
    )


def _level(slide: openslide.OpenSlide, properties: dict[str, str], number: int) -> Level:
    size = Size(*slide.level_dimensions[number])
    width = int(properties.get(f"openslide.level[{number}].tile-width", 0))
    height = int(properties.get(f"openslide.level[{number}].tile-height", 0))
    tile = Size(width, height)
    sides = (width, height)
    if not all(16 <= side <= _LARGEST_TILE_PX and side % 16 == 0 for side in sides):
        tile = _DEFAULT_TILE
    return Level(size, tile, slide.level_downsamples[number])


def _icc_profile(slide: openslide.OpenSlide) -> bytes | None:
    # As the file has it: what Pillow's profile object writes may be other bytes.
    profile: bytes | None = slide.read_region((0, 0), 0, (0, 0)).info.get("icc_profile")
    return profile


def _associated(image: Image.Image) -> AssociatedImage:
    pixels = _on_white(np.asarray(image.convert("RGBA")))
    profile = image.info.get("icc_profile")
    strip = plain.encode(_LOSSLESS, pixels)
    return AssociatedImage(Size(image.width, image.height), _LOSSLESS, image.height, (strip,), profile)
