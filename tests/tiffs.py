"""Small TIFFs for tests, made with tifffile alone, and ways to break them."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import tifffile

DESCRIPTION = "Aperio Image Library v12.0\r\n{0}x{1} (64x64) JPEG/YCC Q=80|AppMag = 20|MPP = 0.5"


def picture(width, height):
    """A smooth picture with a dark disc in the middle."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([235 - x % 7, 225 - y % 5, 240 - (x + y) % 3], axis=-1)
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2
    pixels[disc] = [150, 60, 140]
    return pixels.astype(np.uint8)


def write_tiff(path, width=200, height=150, svs=True, **options):
    """A tiled single-level JPEG slide of 64 px tiles; `options` go to tifffile."""
    pixels = options.pop("pixels", picture(width, height))
    chosen = {
        "tile": (64, 64),
        "compression": "jpeg",
        "photometric": "rgb",
        "metadata": None,
        "description": DESCRIPTION.format(width, height) if svs else None,
    } | options
    with tifffile.TiffWriter(path, bigtiff=chosen.pop("bigtiff", False)) as tiff:
        tiff.write(pixels, **chosen)
    return path


def overwrite_tag(path, code, value, page=0):
    """Set a tag of a page to another value."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[page].tags[code].overwrite(value)
    return path


def loop_directories(path):
    """Let the last directory's link point back to the first."""
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages[0].offset
        last = tiff.pages[-1].offset
        count = len(tiff.pages[-1].tags)
    with path.open("r+b") as file:
        file.seek(last + 2 + 12 * count)
        file.write(struct.pack("<I", first))
    return path


def damage_tile(path, number=0, page=0):
    """Overwrite a JPEG tile's header with zeros."""
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[page].dataoffsets[number]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(8))
    return path


def jpeg(pixels, **options):
    """JPEG bytes of some pixels."""
    return bytes(imagecodecs.jpeg8_encode(pixels, **options))


def flip_bit(path, number):
    """Change one bit near the end of a tile's data."""
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].dataoffsets[number] + tiff.pages[0].databytecounts[number] - 8
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
