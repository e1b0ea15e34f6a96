"""Slides that hide a word in one place where a reader would not look; each returns the picture of level 0."""

from __future__ import annotations

import base64
import random
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
from PIL import ImageCms

from tests import layouts, tiffs
from tests.drawn import colour

WORD = b"DOEJANEXQ"
WIDTH, HEIGHT, TILE = 192, 144, 64
RGB, YCBCR = 2, 6
JPEG, JPEG2000, DEFLATE, LZW, ZSTANDARD, WEBP, JPEGXL = 7, 33005, 8, 5, 50000, 50001, 50002


def _tiles(pixels, encode):
    rows, columns = -(-pixels.shape[0] // TILE), -(-pixels.shape[1] // TILE)
    pad = (0, rows * TILE - pixels.shape[0]), (0, columns * TILE - pixels.shape[1]), (0, 0)
    whole = np.pad(pixels, pad, "edge")
    return [
        encode(np.ascontiguousarray(whole[y : y + TILE, x : x + TILE]))
        for y in range(0, whole.shape[0], TILE)
        for x in range(0, whole.shape[1], TILE)
    ]


def _jpeg(pixels):
    return bytes(imagecodecs.jpeg8_encode(pixels, level=90, subsampling="420"))


ENCODERS = {
    JPEG: _jpeg,
    JPEG2000: lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, level=40, codecformat="j2k")),
    DEFLATE: lambda pixels: zlib.compress(pixels.tobytes()),
    LZW: lambda pixels: bytes(imagecodecs.lzw_encode(pixels.tobytes())),
    ZSTANDARD: lambda pixels: bytes(imagecodecs.zstd_encode(pixels.tobytes())),
    WEBP: lambda pixels: bytes(imagecodecs.webp_encode(pixels, level=90)),
    JPEGXL: lambda pixels: bytes(imagecodecs.jpegxl_encode(pixels, distance=1.0, usecontainer=False)),
}


def _segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def _riff(data, chunk):
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk


def _in_main_header(stream, segment):
    at = stream.index(b"\xff\x90")
    return stream[:at] + segment + stream[at:]


def _in_part_header(stream, segment):
    at = stream.index(b"\xff\x90")
    length = int.from_bytes(stream[at + 6 : at + 10], "big")
    sized = struct.pack(">I", length + len(segment)) if length else bytes(4)
    return stream[: at + 6] + sized + stream[at + 10 : at + 12] + segment + stream[at + 12 :]


def _steps(stream):
    """Where QCD stands in a JPEG 2000 stream, and where it ends."""
    at = stream.index(b"\xff\x5c")
    return at, at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")


def _behind_steps(stream):
    at, end = _steps(stream)
    return stream[:at] + _segment(0x5C, stream[at + 4 : end] + WORD + b"0") + stream[end:]


def _behind_steps_of_a_component(stream):
    at, end = _steps(stream)
    return _in_main_header(stream, _segment(0x5D, b"\1" + stream[at + 4 : end] + WORD + b"0"))


def _in_steps_that_the_part_replaces(stream):
    at, end = _steps(stream)
    replaced = stream[: at + 5] + WORD + stream[at + 5 + len(WORD) :]
    return _in_part_header(replaced, stream[at:end])


def _lossy(stream):
    return bytes(imagecodecs.webp_encode(imagecodecs.webp_decode(stream), level=90, lossless=False))


def in_first_partition(stream):
    """Behind the first partition of a lossy WebP picture, whose length is in its first three bytes."""
    picture = stream[20 : 20 + int.from_bytes(stream[16:20], "little")]
    tag = int.from_bytes(picture[:3], "little")
    end = 10 + (tag >> 5)
    longer = (tag + (len(WORD) << 5)).to_bytes(3, "little") + picture[3:end] + WORD + picture[end:]
    chunk = b"VP8 " + struct.pack("<I", len(longer)) + longer + bytes(len(longer) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _in_section(stream):
    """Behind the one section of a JPEG XL codestream, whose length is in the two bytes before it."""
    length = len(stream) - 11
    assert stream[9:11] == _section_length(length)
    return stream[:9] + _section_length(length + len(WORD)) + stream[11:] + WORD


def _section_length(length):
    way = length << 2 if length < 1024 else 1 | length - 1024 << 2
    return way.to_bytes(2, "little")


NAMED_FRAME = base64.b64decode(
    b"/wpPQCQIAk1YRE9FSkFORVhRLUxPTkctTkFNRS0xOTQ3AADkAEsoNZY+bBQOFBQUDAEK1Bs3xqBFIhDGGDwwBicPsAdI6zlEBUff"
    b"5BDDEIab5BDlEEhTxTgSs+EMAg=="
)
NAMED_CHANNEL = base64.b64decode(
    b"/wpPwARMWERPRUpBTkVYUS1MT05HLU5BTUUtMTk0NxIICBAACAJLGJNuHBwEIpxvLsYY48YY48a4B9gDQDsAwI1TZfiIwBQz2M9E"
    b"RI2EzHkJG1t2d40PjE/Bqzs9TJu6X7E03MM4xmPe4Iq1Vp8lhPzUyEj7iuC2eOMxKbR/zAoj9U2wn9cxYwSHlq4oRjuSavLZWkl3"
    b"uD9oEDRNQLoDGb3AkAe7IMAC"
)
"""JPEG XL of 64 x 64 px, `JxlEncoderSetFrameName` and `JxlEncoderSetExtraChannelName` with the word."""

_J2K_COMMENT = b"\xff\x64" + struct.pack(">HH", 4 + 11 + len(WORD), 1) + b"Created by " + WORD
_TABLE = bytes([3]) + (WORD * 8)[:64]

IN_TILES = {
    "jpeg comment": (JPEG, lambda data: data[:2] + _segment(0xFE, WORD) + data[2:]),
    "jpeg app1": (JPEG, lambda data: data[:2] + _segment(0xE1, WORD) + data[2:]),
    "jpeg app14": (JPEG, lambda data: data[:20] + _segment(0xEE, b"Adobe" + WORD) + data[20:]),
    "jpeg unused table": (JPEG, lambda data: data[:2] + _segment(0xDB, _TABLE) + data[2:]),
    "jpeg tail": (JPEG, lambda data: data + WORD),
    "jpeg before the end": (JPEG, lambda data: data[:-2] + WORD + data[-2:]),
    "jpeg 2000 tail": (JPEG2000, lambda data: data + WORD),
    "jpeg 2000 main comment": (JPEG2000, lambda data: _in_main_header(data, _J2K_COMMENT)),
    "jpeg 2000 part comment": (JPEG2000, lambda data: _in_part_header(data, _J2K_COMMENT)),
    "jpeg 2000 steps": (JPEG2000, _behind_steps),
    "jpeg 2000 steps of a component": (JPEG2000, _behind_steps_of_a_component),
    "jpeg 2000 replaced steps": (JPEG2000, _in_steps_that_the_part_replaces),
    "webp chunk": (WEBP, lambda data: _riff(data, b"NAME" + struct.pack("<I", 10) + WORD + b"\0")),
    "webp first partition": (WEBP, lambda data: in_first_partition(_lossy(data))),
    "webp tail": (WEBP, lambda data: data + WORD),
    "jpeg xl tail": (JPEGXL, lambda data: data + WORD),
    "jpeg xl section": (JPEGXL, _in_section),
    "jpeg xl frame name": (JPEGXL, lambda _: NAMED_FRAME),
    "jpeg xl channel name": (JPEGXL, lambda _: NAMED_CHANNEL),
    "deflate tail": (DEFLATE, lambda data: data + WORD),
    "lzw tail": (LZW, lambda data: data + WORD),
    "zstandard skippable": (
        ZSTANDARD,
        lambda data: b"\x50\x2a\x4d\x18" + struct.pack("<I", len(WORD)) + WORD + data,
    ),
    "zstandard tail": (ZSTANDARD, lambda data: data + b"\x50\x2a\x4d\x18" + struct.pack("<I", 9) + WORD),
}
"""Places in the bytes of a tile, and how the word comes there."""


def in_tiles(path, place, svs=None):
    """A slide of which every tile but the first of each level holds the word in this place."""
    compression, hide = IN_TILES[place]
    pixels = colour.picture(WIDTH, HEIGHT)
    svs = compression in (JPEG, JPEG2000) if svs is None else svs
    small = cv2.resize(pixels, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    images = []
    for number, picture in enumerate((pixels, small)):
        first, *rest = _tiles(picture, ENCODERS[compression])
        tiles = [first, *map(hide, rest)]
        images.append(_image(picture, tiles, compression, svs, number))
    path.write_bytes(layouts.lay_out(images, random.Random(1)))
    return pixels


def jpeg_xl_of_jpeg(path):
    """A slide of JPEG tiles that another program packed as JPEG XL, their comment in the jbrd box."""
    pixels = colour.picture(WIDTH, HEIGHT)

    def pack(tile):
        stream = _jpeg(tile)
        comment = stream[:2] + _segment(0xFE, WORD) + stream[2:]
        return bytes(imagecodecs.jpegxl_encode_jpeg(comment, usecontainer=True))

    image = _image(pixels, _tiles(pixels, pack), JPEGXL, False, 0)
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def shared_table(path):
    """A slide whose JPEGTables hold a table that no tile uses."""
    pixels = colour.picture(WIDTH, HEIGHT)
    streams = _tiles(pixels, _jpeg)
    image = _image(pixels, streams, JPEG, True, 0)
    image.tags[347] = ("B", list(b"\xff\xd8" + _segment(0xDB, _TABLE) + b"\xff\xd9"))
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def beyond_the_edge(path, compression=JPEG):
    """A slide whose last row of tiles has writing below the level's edge."""
    pixels = colour.picture(WIDTH, HEIGHT)
    whole = np.pad(pixels, ((0, 48), (0, 0), (0, 0)), "edge")
    cv2.putText(whole, "DOE", (8, HEIGHT + 38), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 3)
    image = _image(pixels, _tiles(whole, ENCODERS[compression]), compression, compression == JPEG, 0)
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def faint_beyond_the_edge(path, compression=JPEG):
    """The same in grey on grey, which shows once somebody stretches the contrast."""
    pixels = colour.picture(WIDTH, HEIGHT)
    whole = np.pad(pixels, ((0, 48), (0, 0), (0, 0)), constant_values=243)
    cv2.putText(whole, "DOE", (8, HEIGHT + 44), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (236, 236, 236), 2)
    image = _image(pixels, _tiles(whole, ENCODERS[compression]), compression, compression == JPEG, 0)
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def icc_profile(path):
    """A slide whose ICC profile is described by the word, and holds it between its tags."""
    pixels = colour.picture(WIDTH, HEIGHT)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at = profile.index(b"c\0u\0r\0v") if b"c\0u\0r\0v" in profile else 84
    profile = profile[:84] + WORD + profile[84 + len(WORD) :] if at == 84 else profile
    profile += WORD
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    image = _image(pixels, _tiles(pixels, _jpeg), JPEG, True, 0)
    image.tags[34675] = ("B", list(profile))
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def label_as_thumbnail(path):
    """A slide whose second image, of the slide's proportions, is a label; with the word in its tail."""
    pixels = colour.picture(WIDTH, HEIGHT)
    label = np.full((HEIGHT // 2, WIDTH // 2, 3), 255, np.uint8)
    cv2.putText(label, "DOE", (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 0, 0), 3)
    second = layouts.Image(
        WIDTH // 2, HEIGHT // 2, [_jpeg(label) + WORD], None, JPEG, YCBCR, 0, b"Aperio\r\n-"
    )
    image = _image(pixels, _tiles(pixels, _jpeg), JPEG, True, 0)
    path.write_bytes(layouts.lay_out([image, second], random.Random(1)))
    return pixels


def label_as_level(path):
    """A slide whose tiled second level is a picture of something else, of the slide's proportions."""
    pixels = colour.picture(WIDTH, HEIGHT)
    label = np.full((HEIGHT // 2, WIDTH // 2, 3), 255, np.uint8)
    cv2.putText(label, "DOE", (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 0, 0), 3)
    images = [_image(pixels, _tiles(pixels, _jpeg), JPEG, True, 0)]
    images.append(_image(label, _tiles(label, _jpeg), JPEG, True, 1))
    path.write_bytes(layouts.lay_out(images, random.Random(1)))
    return pixels


def name_on_the_small_level(path):
    """A slide that shows a name on its second level alone, where it was blacked out above or never was."""
    pixels = colour.picture(WIDTH, HEIGHT)
    small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.putText(small, "DOE", (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 2)
    images = [_image(pixels, _tiles(pixels, _jpeg), JPEG, True, 0)]
    images.append(_image(small, _tiles(small, _jpeg), JPEG, True, 1))
    path.write_bytes(layouts.lay_out(images, random.Random(1)))
    return pixels


def dates_in_numbers(path):
    """A slide whose numeric fields and history hold a day."""
    pixels = colour.picture(WIDTH, HEIGHT)
    image = _image(pixels, _tiles(pixels, _jpeg), JPEG, True, 0)
    text = tiffs.DESCRIPTION.format(WIDTH, HEIGHT).replace("JPEG/YCC", "JPEG/" + WORD.decode())
    image.description = f"{text}|Left = 19471231|Exposure Time = 31.12.1947|Gamma = 1947.1231".encode()
    path.write_bytes(layouts.lay_out([image], random.Random(1)))
    return pixels


def _image(pixels, tiles, compression, svs, number):
    photometric = YCBCR if compression == JPEG else RGB
    text = tiffs.DESCRIPTION.format(WIDTH, HEIGHT) if svs else ""
    tags = {} if photometric == RGB else {530: ("H", [2, 2])}
    height, width = pixels.shape[:2]
    kind = 0 if svs else int(bool(number))
    return layouts.Image(
        width, height, tiles, (TILE, TILE), compression, photometric, kind, text.encode(), tags
    )
