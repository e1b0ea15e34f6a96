"""Removes all that could name a patient from a slide, but for what is visible on its tissue.

Bytes outside the picture are left out; a picture beyond the level's edge or in the thumbnail is drawn anew;
what cannot be rewritten is reported in a note.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import imagecodecs
import numpy as np

from wsicomp.codecs.jpeg_text import shared_tables
from wsicomp.codecs.pixels import PartlyDecodedError
from wsicomp.codecs.registry import decode_tile, encode_alike, without_text
from wsicomp.deidentification.proved_levels import unproved_levels
from wsicomp.errors import SlideReadError, TileReadError, UnsupportedSlideError
from wsicomp.formats.base import Slide
from wsicomp.formats.icc_profile import neutral_profile
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.slide import JPEG, YCBCR, AssociatedImage, EncodedTile, Pixels, SlideInfo, TileEncoding

_TRIED = 16
_BEYOND_TOLERANCE, _FAR_TOLERANCE = 12, 4
"""Grey levels by which pixels beyond a level's edge may differ from its edge, or from one colour.

The first holds in blocks of 16 px that show a part of the level, where codecs ring, the other beyond them.
"""
_BLOCK_PX = 16
_THUMBNAIL_QUALITY = 90
_BAND = 16


@dataclass(frozen=True)
class Deidentified:
    """The start of a de-identified conversion."""

    info: SlideInfo
    """The slide's facts without names."""
    unproved: frozenset[int] = frozenset()
    """The levels that may show something else than level 0, which are left out."""
    notes: tuple[str, ...] = ()
    """Lines for the user about what was drawn anew or stays."""


@dataclass(frozen=True)
class CarriedTile:
    """A tile with its picture alone; `is_anew` says whether its pixels had to be encoded."""

    tile: EncodedTile
    is_anew: bool


def deidentify_slide(slide: Slide, workers: int) -> Deidentified:
    """Return the facts, levels and notes from which a de-identified conversion starts.

    Raises:
        SlideReadError: a level cannot be read.
        UnsupportedSlideError: finer levels are left out that show something else than the first one here.
    """
    info, notes = slide.info, []
    levels = tuple(
        level
        if level.encoding is None or level.encoding.jpeg_tables is None
        else replace(level, encoding=_with_used_tables(slide, number, level.encoding))
        for number, level in enumerate(info.levels)
    )
    profile, is_neutral = neutral_profile(info.icc_profile)
    if not is_neutral:
        notes.append("the ICC profile is kept as it is, words included: its transform cannot be written anew")
    elif profile != info.icc_profile:
        notes.append("the ICC profile is a neutral one of the same transform")
    unproved = unproved_levels(slide, workers)
    if 0 in unproved:
        message = "it does not show what the finer levels show, so it may name somebody; begin at another"
        raise UnsupportedSlideError(message, info.path, f"level {len(info.left_out)}")
    for number in sorted(unproved):
        size = info.levels[number].size
        notes.append(f"not carried on: an image of {size} px that does not show what the slide shows")
    if "thumbnail" in info.associated_images:
        notes.append("the thumbnail is drawn anew, from the levels")
    found = replace(info, levels=levels, icc_profile=profile)
    return Deidentified(found, unproved, tuple(notes))


def _with_used_tables(slide: Slide, number: int, encoding: TileEncoding) -> TileEncoding:
    """Return the encoding with those shared tables that the level's first tile uses.

    The others go into their tiles.
    """
    grid = slide.info.levels[number].grid
    for place in range(min(grid.count, _TRIED * _TRIED)):
        row, column = divmod(place, grid.columns)
        try:
            tile = slide.read_encoded_tile(TileIndex(number, column, row))
            if tile.data:
                return replace(encoding, jpeg_tables=shared_tables(tile))
        except (SlideReadError, ValueError):
            continue
    return replace(encoding, jpeg_tables=None)


def carried_tile(tile: EncodedTile, stored: TileEncoding, visible: Size) -> CarriedTile:
    """Return a tile with its picture alone, for a level of encoding `stored`.

    `visible` is the size in pixels of the part inside the level, from the upper left corner. The pixels of
    that part are exactly the source's, unless the tile had to be encoded with loss.

    Raises:
        ValueError, RuntimeError, OSError: the tile cannot be decoded, or not be encoded again.
    """
    if not tile.data:
        return CarriedTile(tile, False)
    try:
        pixels = decode_tile(tile)
        made = without_text(tile, stored.jpeg_tables)
        is_same = made == tile or np.array_equal(decode_tile(made), pixels)
        if is_same and is_plain_beyond(pixels, visible):
            return CarriedTile(made, False)
    except PartlyDecodedError as exc:
        pixels = exc.pixels
    except (ValueError, RuntimeError):
        pixels = decode_tile(tile)
    pixels = with_extended_edge(pixels, visible)
    encoding = replace(tile.encoding, jpeg_tables=stored.jpeg_tables)
    return CarriedTile(EncodedTile(encode_alike(tile, encoding, pixels), encoding, tile.size), True)


def is_plain_beyond(pixels: Pixels, visible: Size) -> bool:
    """Return whether a tile's pixels beyond the level's edge are of one colour, or repeat the edge.

    `pixels` is (rows, columns, 3) uint8 RGB of the whole tile. `visible` is the size of the part inside the
    level.
    """
    if visible.shape == pixels.shape[:2]:
        return True
    beyond = np.ones(pixels.shape[:2], bool)
    beyond[: visible.height, : visible.width] = False
    allowed = np.full(pixels.shape[:2], _FAR_TOLERANCE)
    near = (-(-side // _BLOCK_PX) * _BLOCK_PX for side in visible.shape)
    allowed[tuple(slice(side) for side in near)] = _BEYOND_TOLERANCE
    found = pixels[beyond].astype(np.int16)
    going_on = with_extended_edge(pixels, visible)[beyond].astype(np.int16)
    return any(
        (np.abs(found - plain).max(axis=-1) <= allowed[beyond]).all()
        for plain in (np.median(found, axis=0), going_on)
    )


def with_extended_edge(pixels: Pixels, visible: Size) -> Pixels:
    """Return a copy of a tile whose pixels beyond the level's edge repeat the edge.

    `pixels` is (rows, columns, 3) uint8 RGB of the whole tile. `visible` is the size of the part inside the
    level.
    """
    rows, columns = pixels.shape[:2]
    inside = pixels[: visible.height, : visible.width]
    return np.pad(inside, ((0, rows - inside.shape[0]), (0, columns - inside.shape[1]), (0, 0)), "edge")


def drawn_thumbnail(slide: Slide, image: AssociatedImage, unproved: frozenset[int]) -> AssociatedImage:
    """Return a thumbnail of the size of `image`, drawn from the smallest proved level at least as wide.

    `unproved` are the numbers of the levels that are not proved.

    Raises:
        SlideReadError: the level cannot be read.
    """
    info = slide.info
    fit = [number for number, level in enumerate(info.levels) if level.size.width >= image.size.width] or [0]
    number = max((number for number in fit if number not in unproved), default=0)
    pixels = _whole(slide, number, image.size)
    stream = bytes(
        imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=_THUMBNAIL_QUALITY, subsampling="420")
    )
    encoding = TileEncoding(JPEG, YCBCR, (2, 2))
    return AssociatedImage(image.size, encoding, image.size.height, (stream,))


def _whole(slide: Slide, number: int, size: Size) -> Pixels:
    """Return a level reduced to a smaller size, band by band; white where a tile cannot be decoded."""
    level = slide.info.levels[number]
    picture = np.full((*size.shape, 3), 255, np.uint8)
    for row in range(0, size.height, _BAND):
        rows = min(_BAND, size.height - row)
        top, bottom = (place * level.size.height // size.height for place in (row, row + rows))
        band = _band(slide, number, top, max(bottom, top + 1))
        picture[row : row + rows] = cv2.resize(band, (size.width, rows), interpolation=cv2.INTER_AREA)
    return picture


def _band(slide: Slide, number: int, top: int, bottom: int) -> Pixels:
    level = slide.info.levels[number]
    region = Region(0, top, level.size.width, bottom - top)
    try:
        return slide.read_region(number, region)
    except TileReadError:
        return np.full((bottom - top, level.size.width, 3), 255, np.uint8)
