"""TIFF slides of kinds that scanners do not write and other programs do; level 0 and its half, drawn."""

from __future__ import annotations

import struct

import cv2
import imagecodecs
import numpy as np
import tifffile

APERIO = "Aperio Image Library v12.0\r\n{0}x{1} [0,0 {0}x{1}] (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"
_PLACEHOLDER = 65000
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FILL_ORDER, _ORIENTATION = 266, 274


def picture(width=256, height=192):
    """RGB of soft waves, with one dark corner, so that it is itself in one orientation alone."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [200 + 40 * np.sin(x / 31), 120 + 70 * np.cos(y / 27 + 1), 150 + 70 * np.sin((x + y) / 43 + 2)]
    pixels = np.rint(np.stack(waves, -1)).astype(np.uint8)
    pixels[: height // 3, : width // 3] = [40, 60, 90]
    return pixels


def half(pixels):
    """The means of blocks of 2 x 2."""
    return cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)


def pyramid(
    path,
    pixels=None,
    *,
    compression="deflate",
    photometric="rgb",
    tags=(),
    label=None,
    tiled_label=False,
    **options,
):
    """Write `pixels` and their half in tiles of 64 px, an SVS where the path says so.

    Returns:
        The pixels.
    """
    pixels = picture() if pixels is None else pixels
    is_svs = path.suffix == ".svs"
    description = APERIO.format(pixels.shape[1], pixels.shape[0]) if is_svs else None
    common = {
        "compression": compression,
        "photometric": photometric,
        "metadata": None,
        "software": False,
        "extratags": list(tags),
    }
    common |= options
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(64, 64), description=description, **common)
        kind = 0 if is_svs else 1
        low = pixels[::2, ::2] if photometric == "palette" else half(pixels)
        tiff.write(low, tile=(64, 64), subfiletype=kind, description=description, **common)
        if label is not None:
            tiff.write(label, subfiletype=1, description="Aperio\r\nlabel 64x64", **common)
        if tiled_label:
            tiff.write(
                pixels[:64, :64], tile=(64, 64), subfiletype=1, description="Aperio\r\nlabel", **common
            )
    return pixels


def bits_turned(path, compression, **options):
    """Write a pyramid with FillOrder 2: all stored bytes but those of JPEG have their lowest bit first.

    Returns:
        The pixels.
    """
    pixels = pyramid(path, compression=compression, tags=[(_PLACEHOLDER, "H", 1, 1, True)], **options)
    _retag(path, _FILL_ORDER, 2)
    if compression != "jpeg":
        raw = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                    raw[offset : offset + count] = raw[offset : offset + count].translate(_TURNED)
        path.write_bytes(raw)
    return pixels


def oriented(path, orientation, compression):
    """Write a pyramid whose directories state an Orientation; the pixels are stored as they are returned."""
    return pyramid(path, compression=compression, tags=[(_ORIENTATION, "H", 1, orientation, True)])


def packbits(path):
    """Write RGB in PackBits."""
    return pyramid(path, compression="packbits")


def grey(path):
    """Write 8-bit grey, black at 0."""
    pixels = picture()[..., 1]
    pyramid(path, pixels, photometric="minisblack")
    return np.stack([pixels] * 3, -1)


def white_is_zero(path):
    """Write 8-bit grey, white at 0."""
    pixels = picture()[..., 1]
    pyramid(path, pixels, photometric="miniswhite")
    return np.stack([255 - pixels] * 3, -1)


def palette(path):
    """Write 8-bit indices into 256 random colours."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    pixels = picture()[..., 1]
    pyramid(path, pixels, photometric="palette", colormap=colours)
    return (colours[:, pixels].transpose(1, 2, 0) >> 8).astype(np.uint8)


def cmyk(path):
    """Write CMYK without black."""
    pixels = picture()
    inks = np.concatenate([255 - pixels, np.zeros((*pixels.shape[:2], 1), np.uint8)], 2)
    pyramid(path, inks, photometric="separated")
    return pixels


def ycbcr(path):
    """Write YCbCr in LZW, which is no JPEG."""
    pixels = picture()
    stored = np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
    pyramid(path, stored, photometric="ycbcr", compression="lzw", subsampling=(1, 1))
    return pixels


def five_samples(path, last=255):
    """Write RGB and two samples more, of which nothing says what they are."""
    pixels = picture()
    more = np.full((*pixels.shape[:2], 2), last, np.uint8)
    pyramid(path, np.concatenate([pixels, more], 2), extrasamples=(0, 0))
    return pixels


def sixteen_bits(path):
    """Write grey of 16 bits."""
    pixels = picture()[..., 1]
    pyramid(path, pixels.astype(np.uint16) * 257, photometric="minisblack")
    return np.stack([pixels] * 3, -1)


def webp_of_alpha(path, alpha):
    """Write RGB whose WebP tiles have an alpha channel, of one value, that no tag tells of."""
    pixels = picture()

    def encoded(picture):
        height, width = picture.shape[:2]
        for y in range(0, height, 64):
            for x in range(0, width, 64):
                tile = np.full((64, 64, 4), alpha, np.uint8)
                part = picture[y : y + 64, x : x + 64]
                tile[: part.shape[0], : part.shape[1], :3] = part
                yield bytes(imagecodecs.webp_encode(tile, lossless=True))

    with tifffile.TiffWriter(path) as tiff:
        for number, one in enumerate((pixels, half(pixels))):
            tiff.write(
                encoded(one),
                shape=one.shape,
                dtype=np.uint8,
                tile=(64, 64),
                compression="webp",
                photometric="rgb",
                subfiletype=number,
                metadata=None,
                software=False,
            )
    return pixels


def smallest_first(path):
    """Write an SVS whose smallest level stands first, which OpenSlide does not open."""
    pixels = picture()
    with tifffile.TiffWriter(path) as tiff:
        for one in (half(half(pixels)), half(pixels), pixels):
            text = APERIO.format(pixels.shape[1], pixels.shape[0])
            common = {"photometric": "rgb", "metadata": None, "software": False, "compression": "jpeg"}
            tiff.write(one, tile=(64, 64), description=text, **common)
    return pixels


def _retag(path, code, value):
    """Turn the placeholder of every directory of a little-endian classic TIFF into a tag of one SHORT."""
    raw = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", raw, 4)[0]
    while at:
        count = struct.unpack_from("<H", raw, at)[0]
        entries = [bytes(raw[at + 2 + 12 * n : at + 14 + 12 * n]) for n in range(count)]
        entries = [one for one in entries if one[:2] != struct.pack("<H", _PLACEHOLDER)]
        entries.append(struct.pack("<HHIHH", code, 3, 1, value, 0))
        entries.sort(key=lambda one: struct.unpack_from("<H", one)[0])
        raw[at + 2 : at + 2 + 12 * count] = b"".join(entries)
        at = struct.unpack_from("<I", raw, at + 2 + 12 * count)[0]
    path.write_bytes(raw)
