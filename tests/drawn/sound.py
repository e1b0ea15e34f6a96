"""Sound slides with an unusual trait each: damaged levels, odd tags, holes, planes, alpha, other tiles.

Each function takes a path, writes the slide and returns its truth. No file here needs more than tifffile's
and imagecodecs' encoders; the TIFF itself is laid out by `write`, so that any tag can have any type.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

APERIO = "Aperio Image Library v12.0\r\n{0}x{1} (64x64) JPEG/RGB Q=90|AppMag = {2}|MPP = {3}"
_TYPES = {
    "B": 1,
    "s": 2,
    "H": 3,
    "I": 4,
    "rational": 5,
    "h": 8,
    "i": 9,
    "srational": 10,
    "f": 11,
    "d": 12,
    "Q": 16,
}


@dataclass
class Image:
    """One directory of a TIFF: `pieces` are the bytes of its tiles, empty for a tile that is not stored."""

    size: tuple
    pieces: list
    tile: tuple = (64, 64)
    compression: int = 7
    photometric: int = 2
    samples: int = 3
    bits: int = 8
    planar: int = 1
    subfile: int = 0
    description: str = ""
    tags: dict = field(default_factory=dict)


def write(path, images):
    """Write a little-endian classic TIFF; tags are `{code: (type, values)}`, rationals flat pairs."""
    data = bytearray(b"II*\0" + bytes(4))
    link = 4
    for image in images:
        offsets = []
        for piece in image.pieces:
            data += bytes(len(data) % 2)
            offsets.append(len(data) if piece else 0)
            data += piece
        entries = {
            254: ("I", [image.subfile]),
            256: ("I", [image.size[0]]),
            257: ("I", [image.size[1]]),
            258: ("H", [image.bits] * image.samples),
            259: ("H", [image.compression]),
            262: ("H", [image.photometric]),
            277: ("H", [image.samples]),
            284: ("H", [image.planar]),
            322: ("I", [image.tile[0]]),
            323: ("I", [image.tile[1]]),
            324: ("I", offsets),
            325: ("I", [len(piece) for piece in image.pieces]),
        }
        if image.description:
            entries[270] = ("s", [*image.description.encode("latin-1"), 0])
        entries |= image.tags
        entries = {code: entry for code, entry in entries.items() if entry is not None}
        data += bytes(len(data) % 2)
        data[link : link + 4] = struct.pack("<I", len(data))
        directory = len(data)
        link = directory + 2 + 12 * len(entries)
        data += bytes(link + 4 - directory)
        struct.pack_into("<H", data, directory, len(entries))
        for number, (code, (kind, values)) in enumerate(sorted(entries.items())):
            letter = {"rational": "I", "srational": "i", "s": "B"}.get(kind, kind)
            packed = struct.pack(f"<{len(values)}{letter}", *values)
            count = len(values) // 2 if kind.endswith("rational") else len(values)
            at = directory + 2 + 12 * number
            struct.pack_into("<HHI", data, at, code, _TYPES[kind], count)
            if len(packed) > 4:
                data += bytes(len(data) % 2)
                packed, place = struct.pack("<I", len(data)), packed
                data += place
            data[at + 8 : at + 12] = packed.ljust(4, b"\0")
    path.write_bytes(data)


def tissue(width, height, seed=0):
    """Pale grey with a pink, grainy disc in the middle, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) * 0.4) ** 2
    pixels = np.full((height, width, 3), (236, 234, 238), np.int16)
    pixels[disc] = (190, 110, 160)
    pixels += rng.integers(-3, 4, (height, width, 1)) + (
        disc[..., None] * rng.integers(-25, 26, (height, width, 1))
    )
    return np.clip(pixels, 0, 255).astype(np.uint8)


def cut(pixels, tile=(64, 64)):
    """The tiles of a picture in raster order, the last ones filled up with their own edge."""
    width, height = tile
    rows, columns = -(-pixels.shape[0] // height), -(-pixels.shape[1] // width)
    pad = [(0, rows * height - pixels.shape[0]), (0, columns * width - pixels.shape[1])]
    whole = np.pad(pixels, pad + [(0, 0)] * (pixels.ndim - 2), "edge")
    return [
        np.ascontiguousarray(whole[row * height : (row + 1) * height, column * width : (column + 1) * width])
        for row in range(rows)
        for column in range(columns)
    ]


def jpeg(tile):
    """An RGB JPEG stream, not subsampled."""
    return bytes(imagecodecs.jpeg8_encode(tile, level=90, colorspace="rgb", outcolorspace="rgb"))


def jpeg2000(tile):
    """A JPEG 2000 codestream of RGB, without loss and without a colour transform."""
    return bytes(imagecodecs.jpeg2k_encode(tile, level=0, codecformat="j2k", mct=False))


def halved(pixels, times=1):
    """The picture at half its size, by means of 2 x 2 blocks."""
    for _ in range(times):
        rows, columns = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        blocks = pixels[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, 3)
        pixels = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return pixels


def pyramid(
    path, pictures, damage=(), absent=(), svs=True, encode=jpeg, compression=7, tile=(64, 64), **first
):
    """Write levels from pictures, largest first; `damage` and `absent` are (level, tile).

    They are spoilt or left out; a tile of None is every one of the level. `tile` may be a list by level.
    """
    images = []
    tiles = tile if isinstance(tile, list) else [tile] * len(pictures)
    for level, pixels in enumerate(pictures):
        pieces = [encode(part) for part in cut(pixels, tiles[level])]
        for number in range(len(pieces)):
            if {(level, number), (level, None)} & set(damage):
                pieces[number] = bytes(len(pieces[number]))
            if {(level, number), (level, None)} & set(absent):
                pieces[number] = b""
        text = APERIO.format(pictures[0].shape[1], pictures[0].shape[0], 20, 0.5) if svs else ""
        options = {"compression": compression, "tile": tiles[level], "description": text, **first}
        subfile = int(bool(level) and not svs)
        images.append(Image(pixels.shape[1::-1], pieces, subfile=subfile, **options))
    write(path, images)
    return pictures
