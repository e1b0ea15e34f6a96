"""Labels, macros and thumbnails that cannot be carried as they are stored: as OpenSlide shows them.

OpenSlide reads them by libtiff's RGBA interface. It knows more kinds of samples than a carried image may
have, and turns a picture as its Orientation says, though never a row into a column.

Source: OpenSlide 4.0.1's aperio driver; libtiff `tif_getimage.c`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress

import numpy as np
import openslide
from PIL import Image

from wsicomp.codecs import plain
from wsicomp.codecs.registry import decode_tile
from wsicomp.errors import CodecUnavailableError, SlideReadError, UnknownModelError
from wsicomp.formats.openslide import OpenSlideFile, lossless_image, on_white
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.directories import Directory, TiffFile, is_readable
from wsicomp.formats.tiff.stored_encodings import stored_encoding
from wsicomp.geometry import Size
from wsicomp.slide import RGB, AssociatedImage, EncodedTile, Pixels

_LARGEST_BYTES = 1 << 28
_FLIPPED_ROWS, _FLIPPED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)
"""The values of Orientation for which libtiff turns a picture upside down, and left to right."""
_SIDES = ("width", "height")


def openslide_names(directories: Sequence[Directory]) -> Mapping[int, str]:
    """Return OpenSlide's names of images beside the levels, by the Python `id` of the directory.

    Left out are images that it does not show, and those that would share a name.
    """
    if not directories[0].description.startswith("Aperio"):
        return {}
    names = {
        id(directory): name
        for position, directory in enumerate(directories)
        if position and directory.tile is None
        if (name := aperio.place_name(directory.subfile_type, position)) is not None
    }
    count = Counter(names.values())
    return {directory: name for directory, name in names.items() if count[name] == 1}


def shown_picture(shown: OpenSlideFile, name: str, size: Size) -> Pixels | None:
    """Return what `shown_image` does laid on white, (rows, columns, 3) uint8 RGB."""
    image = shown_image(shown, name, size)
    return None if image is None else on_white(np.asarray(image))


def shown_image(shown: OpenSlideFile, name: str, size: Size) -> Image.Image | None:
    """Return an associated image as OpenSlide shows it, in RGBA.

    Return None where OpenSlide shows no image of this name and size.
    """
    try:
        stated = [shown.slide.properties.get(f"openslide.associated.{name}.{side}") for side in _SIDES]
        if stated != [str(size.width), str(size.height)] or size.width * size.height > _LARGEST_BYTES // 4:
            return None
        image = shown.picture(name)
        return image if image.mode == "RGBA" else image.convert("RGBA")
    except (SlideReadError, openslide.OpenSlideError, OSError, LookupError):
        return None


def is_shown_otherwise(directory: Directory) -> bool:
    """Return whether the strips of an image, without its own tags, would show another picture.

    It would if its Orientation flips it, its bytes have their lowest bit first, or its plain samples are not
    RGB.
    """
    compression, photometric = directory.encoding.compression, directory.encoding.photometric
    is_mixed = compression in plain.COMPRESSIONS and photometric != RGB
    return directory.is_turned or is_mixed or directory.orientation in (*_FLIPPED_ROWS, *_FLIPPED_COLUMNS)


def image_as_shown(file: TiffFile, directory: Directory, name: str | None) -> AssociatedImage | None:
    """Return an image in strips as OpenSlide shows it under `name`, in one strip without loss.

    An image that OpenSlide does not show is decoded here and turned in the same way; None where that fails.
    """
    picture = None
    if name is not None:
        with suppress(SlideReadError), closing(OpenSlideFile(file.path)) as shown:
            picture = shown_picture(shown, name, directory.size)
    if picture is None:
        picture = _turned(file, directory)
    if picture is None:
        return None
    return lossless_image(picture, directory.icc_profile, directory.description)


def _turned(file: TiffFile, directory: Directory) -> Pixels | None:
    size, rows = directory.size, directory.rows_per_strip
    if min(size.width, size.height, rows) < 1 or not is_readable(directory):
        return None
    if directory.encoding.compression in plain.COMPRESSIONS and directory.encoding.photometric != RGB:
        return None
    if len(directory.ranges) != -(-size.height // rows) or size.width * size.height * 3 > _LARGEST_BYTES:
        return None
    strips = []
    try:
        encoding = stored_encoding(file, directory, "image in strips")
        for number, (offset, count) in enumerate(directory.ranges.tolist()):
            data = directory.as_read(file.read(offset, count, "strip"))
            height = min(rows, size.height - number * rows)
            strips.append(decode_tile(EncodedTile(data, encoding, Size(size.width, height))))
    except (SlideReadError, CodecUnavailableError, UnknownModelError, ValueError, RuntimeError):
        return None
    pixels = np.concatenate(strips)
    if directory.orientation in _FLIPPED_ROWS:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if directory.orientation in _FLIPPED_COLUMNS else pixels
