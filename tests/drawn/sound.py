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


def _jpeg_samples(samples):
    """JPEG of one, three or four samples as they are."""
    spaces = {1: "gray", 3: "rgb", 4: "cmyk"}
    space = spaces[1 if samples.ndim == 2 else samples.shape[2]]
    return bytes(imagecodecs.jpeg8_encode(samples, level=95, colorspace=space, outcolorspace=space))


ENCODERS = {
    1: np.ndarray.tobytes,
    5: lambda samples: bytes(imagecodecs.lzw_encode(samples.tobytes())),
    7: _jpeg_samples,
    8: lambda samples: bytes(imagecodecs.zlib_encode(samples.tobytes())),
    32946: lambda samples: bytes(imagecodecs.zlib_encode(samples.tobytes())),
    50000: lambda samples: bytes(imagecodecs.zstd_encode(samples.tobytes())),
}
"""What makes the bytes of a tile or of one plane of it, by TIFF compression."""


def planes(path, compression=8, planar=2, alpha=None, kind=2, predictor=1, svs=False, holes=()):
    """Write RGB in planes, or with alpha, at two levels, and return the largest level's RGB.

    `alpha` is (height, width) uint8 or None, `kind` its ExtraSamples, None for no such tag. `holes` are tiles
    of level 0 that are not stored.
    """
    rgb = tissue(300, 220)
    images = []
    for level, colors in enumerate((rgb, halved(rgb))):
        samples = colors
        if alpha is not None:
            part = alpha if level == 0 else alpha[: 2 * colors.shape[0] : 2, : 2 * colors.shape[1] : 2]
            samples = np.dstack([colors, part])
        tiles = cut(samples)
        if predictor == 2:
            tiles = [np.diff(tile, axis=1, prepend=np.zeros_like(tile[:, :1])) for tile in tiles]
        encode = ENCODERS[compression]
        if planar == 1:
            pieces = [encode(tile) for tile in tiles]
        else:
            channels = range(samples.shape[2])
            pieces = [encode(np.ascontiguousarray(tile[..., c])) for c in channels for tile in tiles]
        for hole in holes if level == 0 else ():
            for plane in range(0, len(pieces), len(tiles)):
                pieces[plane + hole] = b""
        tags = {317: ("H", [predictor])} if predictor > 1 else {}
        if alpha is not None and kind is not None:
            tags[338] = ("H", [kind])
        text = APERIO.format(300, 220, 20, 0.5) if svs else ""
        options = {"samples": samples.shape[2], "planar": planar, "compression": compression}
        size, subfile = colors.shape[1::-1], int(level > 0 and not svs)
        images.append(Image(size, pieces, subfile=subfile, description=text, tags=tags, **options))
    write(path, images)
    return rgb


def of_kind(path, samples, photometric, bits=8, tags=None, compression=8):
    """Write one level of (rows, columns[, samples]) values of any kind, deflated."""
    count = 1 if samples.ndim == 2 else samples.shape[2]
    pieces = [ENCODERS[compression](tile) for tile in cut(samples)]
    write(
        path,
        [
            Image(
                samples.shape[1::-1],
                pieces,
                compression=compression,
                photometric=photometric,
                samples=count,
                bits=bits,
                tags=tags or {},
            )
        ],
    )


CENTIMETRE, INCH = {296: ("H", [3])}, {296: ("H", [2])}


def _both(kind, values):
    return {282: (kind, values), 283: (kind, values)}


RESOLUTIONS = {
    "rational": (_both("rational", [20000, 1]) | CENTIMETRE, 0.5),
    "inch": (_both("rational", [50800, 1]) | INCH, 0.5),
    "no unit, which is inch": (_both("rational", [50800, 1]), 0.5),
    "float": (_both("f", [20000.0]) | CENTIMETRE, 0.5),
    "double": (_both("d", [20000.0]) | CENTIMETRE, 0.5),
    "srational": (_both("srational", [20000, 1]) | CENTIMETRE, 0.5),
    "short": (_both("H", [20000]) | CENTIMETRE, 0.5),
    "long": (_both("I", [20000]) | CENTIMETRE, 0.5),
    "sshort": (_both("h", [20000]) | CENTIMETRE, 0.5),
    "slong": (_both("i", [20000]) | CENTIMETRE, 0.5),
    "two of them": (_both("rational", [20000, 1, 5, 1]) | CENTIMETRE, 0.5),
    "two floats": (_both("f", [20000.0, 5.0]) | CENTIMETRE, 0.5),
    "unit of type byte": (_both("rational", [20000, 1]) | {296: ("B", [3])}, 0.5),
    "unit of type long": (_both("rational", [20000, 1]) | {296: ("I", [3])}, 0.5),
    "two units": (_both("rational", [20000, 1]) | {296: ("H", [3, 2])}, 0.5),
    "ascii": (_both("s", list(b"20000\0")) | CENTIMETRE, None),
    "negative": (_both("srational", [-20000, 1]) | CENTIMETRE, None),
    "negative float": (_both("f", [-20000.0]) | CENTIMETRE, None),
    "denominator 0": (_both("rational", [20000, 0]) | CENTIMETRE, None),
    "numerator 0": (_both("rational", [0, 1]) | CENTIMETRE, None),
    "0 of 0": (_both("rational", [0, 0]) | CENTIMETRE, None),
    "float 0": (_both("f", [0.0]) | CENTIMETRE, None),
    "nan": (_both("f", [float("nan")]) | CENTIMETRE, None),
    "inf": (_both("d", [float("inf")]) | CENTIMETRE, None),
    "smaller than an atom": (_both("d", [1e13]) | CENTIMETRE, None),
    "larger than a table": (_both("d", [1e-13]) | CENTIMETRE, None),
    "x alone": ({282: ("rational", [20000, 1])} | CENTIMETRE, None),
    "y alone": ({283: ("rational", [20000, 1])} | CENTIMETRE, None),
    "unit none": (_both("rational", [20000, 1]) | {296: ("H", [1])}, None),
    "unit 9": (_both("rational", [20000, 1]) | {296: ("H", [9])}, None),
    "unit of type ascii": (_both("rational", [20000, 1]) | {296: ("s", list(b"3\0"))}, None),
    "unit of type float": (_both("rational", [20000, 1]) | {296: ("f", [3.0])}, None),
}
"""Resolution tags by a name: the tags, and the um per px that they state."""

SCALES = {
    "0.5": 0.5,
    "0,5": 0.5,
    ".5": 0.5,
    "+0.5": 0.5,
    " 0.5 \r\n": 0.5,
    "5e-1": 0.5,
    "0": None,
    "0.0": None,
    "-0.5": None,
    "inf": None,
    "nan": None,
    "Infinity": None,
    "0.5 um": None,
    "1_0": None,
    "1e9": None,
    "1e-9": None,
    "1e400": None,
    "1e-400": None,
    "0.5\x0b": None,
    "": None,
    "unknown": None,
}
"""MPP and AppMag as an SVS may state them, and the number that it is."""
