"""Tiles as pictures that a browser shows.

JPEG tiles pass through with their tables. All others are decoded here and sent as JPEG of high quality, or as
PNG where every pixel counts.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import wrap

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from wsicomp.codecs.jpeg_stream import TEXT_MARKERS, decodable_stream, without_segments
from wsicomp.errors import DamagedTileError, SlideReadError
from wsicomp.formats.tiff.associated import pixels_of_associated
from wsicomp.geometry import Size, TileIndex
from wsicomp.slide import JPEG, AssociatedImage, EncodedTile, Pixels
from wsicomp.viewer.pictures.shown_slide import ShownSlide

_QUALITY = 95
_MOST_PICTURE_PX = 40_000_000
_END = b"\xff\xd9"
_DAMAGE_COLOR = (200, 0, 0)
_LETTER_PX, _LINE_PX = 8, 18


@dataclass(frozen=True, slots=True)
class TilePicture:
    """A tile as a browser is sent it."""

    data: bytes
    """The bytes of the picture."""
    media_type: str
    """"image/jpeg" or "image/png"."""
    damage: str = ""
    """What is wrong with the tile, in one line; "" where it is sound."""


def tile_picture(
    shown: ShownSlide, index: TileIndex, exact: bool = False, colors: ColorTransform | None = None
) -> TilePicture:
    """Return a tile's pixels as a picture; a damaged one is marked, and says why.

    With `exact` it is PNG of the very pixels that our reader decodes. With `colors` they are transformed.

    Raises:
        LookupError: there is no such tile.
    """
    region = shown.tile_region(index)
    damage = ""
    try:
        pixels = shown.read(index.level, region)
    except DamagedTileError as exc:
        pixels, damage = _marked(exc.pixels, exc.message), exc.message
    except SlideReadError as exc:
        white = np.full((*region.size.shape, 3), 255, np.uint8)
        pixels, damage = _marked(white, exc.message), exc.message
    if colors is not None and not damage:
        pixels = colors.transformed(pixels)
    if exact or damage:
        return TilePicture(png_of(pixels), "image/png", damage)
    return TilePicture(jpeg_of(pixels), "image/jpeg")


def passed_through(shown: ShownSlide, index: TileIndex) -> bytes | None:
    """Return a tile's own JPEG; None where it has none, or it is not whole."""
    own = shown.own_tile(index)
    if own is None:
        return None
    slide = shown.slide
    if slide.info.levels[own.level].encoding is None and slide.provenance is None:
        return None
    try:
        tile = slide.read_encoded_tile(own)
    except SlideReadError:
        return None
    return _browser_stream(tile)


def _browser_stream(tile: EncodedTile) -> bytes | None:
    """Return a tile's JPEG without what changes its colours or turns it in a browser, as no reader does."""
    if tile.encoding.compression != JPEG or not tile.data.rstrip(b"\0").endswith(_END):
        return None
    try:
        return without_segments(decodable_stream(tile.data, tile.encoding), TEXT_MARKERS)
    except ValueError:
        return None


def _marked(pixels: Pixels, reason: str) -> Pixels:
    """Return pixels with the mark of damage: a frame, a cross, and what is wrong."""
    marked = np.ascontiguousarray(pixels)
    height, width = marked.shape[:2]
    cv2.rectangle(marked, (0, 0), (width - 1, height - 1), _DAMAGE_COLOR, 3)
    cv2.line(marked, (0, 0), (width - 1, height - 1), _DAMAGE_COLOR, 1)
    cv2.line(marked, (0, height - 1), (width - 1, 0), _DAMAGE_COLOR, 1)
    text = reason.encode("ascii", "replace").decode()
    for number, line in enumerate(wrap(text, max(1, width // _LETTER_PX))[: height // _LINE_PX]):
        place = (6, (number + 1) * _LINE_PX)
        for color, thickness in (((255, 255, 255), 3), (_DAMAGE_COLOR, 1)):
            cv2.putText(marked, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, thickness, cv2.LINE_AA)
    return marked


def jpeg_of(pixels: Pixels, quality: int = _QUALITY) -> bytes:
    """Return (rows, columns, 3) uint8 RGB as JPEG without chroma subsampling."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="444"))


def png_of(pixels: Pixels) -> bytes:
    """Return (rows, columns, 3) uint8 RGB as PNG, every pixel as it is."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", bgr, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    if not done:
        raise SlideReadError("the tile could not be made a PNG")
    return bytes(data)


def picture_of_associated(image: AssociatedImage) -> TilePicture:
    """Return a label, macro or thumbnail as JPEG.

    Raises:
        SlideReadError: it does not decode, or has more pixels than a picture should have.
    """
    if image.size.width * image.size.height > _MOST_PICTURE_PX:
        raise SlideReadError(f"a picture of {image.size} px, expected at most {_MOST_PICTURE_PX} px")
    try:
        pixels = pixels_of_associated(image)
    except (ValueError, RuntimeError) as exc:
        raise SlideReadError(f"the picture does not decode ({exc})") from exc
    return TilePicture(jpeg_of(pixels), "image/jpeg")


class ColorTransform:
    """The way from a slide's ICC profile to sRGB. Any thread may use it.

    Raises:
        SlideReadError: the profile is damaged, or no profile of RGB.
    """

    def __init__(self, profile: bytes) -> None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            self._transform = ImageCms.buildTransform(source, target, "RGB", "RGB")
        except (OSError, ValueError, ImageCms.PyCMSError) as exc:
            raise SlideReadError(f"its ICC profile cannot be applied ({exc})") from exc

    def transformed(self, pixels: Pixels) -> Pixels:
        """Return (rows, columns, 3) uint8 sRGB of pixels in the profile's colours."""
        return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), self._transform))


def thumbnail_of(shown: ShownSlide, most_px: int) -> TilePicture:
    """Return the whole slide as JPEG of at most `most_px` a side.

    Raises:
        SlideReadError: a tile of it cannot be decoded.
    """
    whole = shown.info.size
    scale = min(1.0, most_px / max(whole.shape))
    size = Size(max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
    return TilePicture(jpeg_of(shown.read_scaled(0, 0, whole.width, whole.height, size), 85), "image/jpeg")
