"""The associated images of a TIFF: label, macro and thumbnail, as a target can carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from wsicomp.codecs import jpeg
from wsicomp.codecs.registry import decode_tile
from wsicomp.errors import CodecUnavailableError, SlideReadError, UnknownModelError
from wsicomp.formats.openslide import lossless_image
from wsicomp.formats.tiff.directories import Directory, TiffFile, is_readable
from wsicomp.formats.tiff.layout import NamedImage
from wsicomp.formats.tiff.sample_kinds import LARGEST_TILE_PX, kind_text
from wsicomp.formats.tiff.shown_images import image_as_shown, is_shown_otherwise
from wsicomp.formats.tiff.stored_encodings import stored_encoding
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, AssociatedImage, EncodedTile, Pixels

_BITS = 8

_LARGEST_ASSOCIATED_BYTES = _LARGEST_ASSOCIATED_PX = 1 << 28


def associated_images(
    file: TiffFile, named: Sequence[NamedImage], shown: Mapping[int, str]
) -> tuple[dict[str, AssociatedImage], dict[str, Directory], tuple[str, ...]]:
    """Return label, macro and thumbnail, their directories, and in words the images that are left out.

    `shown` has the names that OpenSlide gives to the images, by the Python `id` of the directory.
    """
    images: dict[str, AssociatedImage] = {}
    found: dict[str, Directory] = {}
    omitted = []
    for one in named:
        name, directory = one.name, one.directory
        if name not in images:
            if directory.tile is not None:
                image = in_one_strip(file, directory)
            elif needs_re_encoding(directory):
                image = image_as_shown(file, directory, shown.get(id(directory)))
            else:
                image = associated_image(file, directory)
            if image is not None:
                images[name], found[name] = replace(image, may_be=one.may_be), directory
                continue
        stored = "strips" if directory.tile is None else "tiles"
        reason = "" if name in images else f", {_unreadable(directory)}"
        other = "another " if name in images else ""
        omitted.append(f"{other}{name} of {directory.size} px in {stored}{reason}")
    return images, found, tuple(omitted)


def needs_re_encoding(directory: Directory) -> bool:
    """Return whether an image in strips has to be re-encoded, because its stored form cannot be carried."""
    return not is_readable(directory) or is_shown_otherwise(directory)


def re_encoding_remark(name: str, directory: Directory) -> str:
    """Return in words why an image is carried as pixels; "" if it is carried as stored."""
    if not needs_re_encoding(directory):
        return ""
    what = f"the {name} of {directory.size} px"
    is_turned = directory.orientation != 1 or directory.fill_order != 1
    if is_readable(directory) and is_turned:
        tag = f"Orientation {directory.orientation}" if directory.orientation != 1 else "FillOrder 2"
        return (
            f"{what} is stored with {tag}: it is carried on as RGB pixels, as libtiff and OpenSlide show it"
        )
    lost = f", 8 of its {directory.bits} bits" if directory.bits > _BITS else ""
    return f"{what} is {kind_text(directory)}: it is carried on as RGB pixels, as OpenSlide shows it{lost}"


def _unreadable(directory: Directory) -> str:
    """Return in words why an image beside the levels is left out."""
    if not needs_re_encoding(directory):
        return "which is damaged or too large"
    return f"which is {kind_text(directory)}, and which OpenSlide does not show"


def in_one_strip(file: TiffFile, directory: Directory) -> AssociatedImage | None:
    """Return an image in tiles, re-encoded in one strip without loss; None if it is not sound 8-bit RGB.

    An image in tiles cannot be carried: OpenSlide takes every tiled image of an SVS for a level.
    """
    size, tile = directory.size, directory.tile
    if tile is None or not is_readable(directory) or min(*size.shape, *tile.shape) < 1:
        return None
    room = directory.grid.count * tile.width * tile.height * 3
    most = max(room, directory.ranges[:, 1].sum())
    if max(*tile.shape) > LARGEST_TILE_PX or most > _LARGEST_ASSOCIATED_BYTES:
        return None
    pixels = np.empty((*size.shape, 3), np.uint8)
    try:
        encoding = stored_encoding(file, directory, "image in tiles")
        for index, (offset, count) in zip(directory.grid.raster(0), directory.ranges.tolist(), strict=True):
            data = directory.as_read(file.read(offset, count, "image in tiles"))
            whole = decode_tile(EncodedTile(data, encoding, tile))
            region = directory.grid.region(index.column, index.row)
            part = whole[: region.height, : region.width]
            pixels[region.y : region.y + region.height, region.x : region.x + region.width] = part
    except (SlideReadError, CodecUnavailableError, UnknownModelError, ValueError, RuntimeError):
        return None
    return lossless_image(pixels, directory.icc_profile, directory.description)


def associated_image(file: TiffFile, directory: Directory) -> AssociatedImage | None:
    """Return an image in strips as it is stored; None if it is not sound 8-bit RGB."""
    size = directory.size
    if min(size.width, size.height, directory.rows_per_strip) < 1 or not is_readable(directory):
        return None
    if size.width * size.height > _LARGEST_ASSOCIATED_PX:
        return None
    counts = directory.ranges[:, 1]
    if len(counts) != -(-size.height // directory.rows_per_strip) or not counts.all():
        return None
    if counts.sum() > _LARGEST_ASSOCIATED_BYTES:
        return None
    strips = tuple(
        directory.as_read(file.read(offset, count, "strip")) for offset, count in directory.ranges.tolist()
    )
    try:
        encoding = stored_encoding(file, directory, "image in strips")
        for strip in strips if encoding.compression == JPEG else ():
            jpeg.frame_subsampling(strip)
    except (SlideReadError, ValueError):
        return None
    return AssociatedImage(
        Size(size.width, size.height),
        encoding,
        directory.rows_per_strip,
        strips,
        directory.icc_profile,
        directory.description,
    )


def pixels_of_associated(image: AssociatedImage) -> Pixels:
    """Return the pixels of an associated image, (rows, columns, 3) uint8 RGB.

    Raises:
        ValueError, RuntimeError: a strip does not decode.
    """
    strips = []
    for number, data in enumerate(image.strips):
        rows = min(image.rows_per_strip, image.size.height - number * image.rows_per_strip)
        strips.append(decode_tile(EncodedTile(data, image.encoding, Size(image.size.width, rows))))
    return np.concatenate(strips)
