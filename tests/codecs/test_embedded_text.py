"""Where words may hide in a tile: what is rebuilt bare holds none, and shows what it showed."""

import imagecodecs
import pytest

from tests.codecs.test_contract import created, drawn
from wsicomp.codecs.jpeg_text import shared_tables
from wsicomp.codecs.registry import codec_names, decode_tile, needs_model, without_text
from wsicomp.geometry import Size
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    JPEG,
    JPEGXL,
    RGB,
    WEBP,
    YCBCR,
    EncodedTile,
    TileEncoding,
)

SIZE = Size(64, 64)
WHOLE = bytes(imagecodecs.jpeg8_encode(drawn(SIZE), level=80))
NAME = b"\xff\xfe\x00\x0bDoe, Jane"
J2K = bytes(imagecodecs.jpeg2k_encode(drawn(SIZE), level=40, codecformat="j2k", reversible=False))
AFTER_SIZE = 4 + int.from_bytes(J2K[4:6], "big")
WEBP_TILE = bytes(imagecodecs.webp_encode(drawn(SIZE), level=80, lossless=False))
BOXED = bytes(imagecodecs.jpegxl_encode_jpeg(WHOLE, usecontainer=True))


def jpeg(data, tables=None):
    return EncodedTile(data, TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=tables), SIZE)


def other(data, compression):
    return EncodedTile(data, TileEncoding(compression, RGB), SIZE)


TEXTS = {
    "a comment first": jpeg(WHOLE[:2] + NAME + WHOLE[2:]),
    "a comment before the end": jpeg(WHOLE[:-2] + NAME + WHOLE[-2:]),
    "bytes behind the end": jpeg(WHOLE + b"Doe, Jane"),
    "words as JFIF": jpeg(WHOLE[:2] + b"\xff\xe0\x00\x0bDoe, Jane" + WHOLE[2:]),
    "words as Adobe's": jpeg(WHOLE[:2] + b"\xff\xee\x00\x0bDoe, Jane" + WHOLE[2:]),
    "words as Exif": jpeg(WHOLE[:2] + b"\xff\xe1\x00\x0bDoe, Jane" + WHOLE[2:]),
    "a comment in the shared tables": jpeg(WHOLE, b"\xff\xd8" + NAME + b"\xff\xd9"),
    "no JPEG": jpeg(b"Doe, Jane"),
    "a comment in JPEG 2000": other(
        J2K[:AFTER_SIZE] + b"\xff\x64\x00\x0d\x00\x01Doe, Jane" + J2K[AFTER_SIZE:], APERIO_JPEG2000_RGB
    ),
    "no JPEG 2000": other(b"Doe, Jane", APERIO_JPEG2000_RGB),
    "a chunk in WebP": other(WEBP_TILE + b"EXIF\x09\0\0\0Doe, Jane\0", WEBP),
    "a box in JPEG XL": other(BOXED + b"\0\0\0\x11Exif" + b"Doe, Jane", JPEGXL),
}


NO_PICTURE = {"no JPEG", "no JPEG 2000"}


def rebuilt(tile):
    return without_text(tile, shared_tables(tile) if tile.encoding.compression == JPEG else None)


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - NO_PICTURE))
def test_words_are_rebuilt_away(name):
    made = rebuilt(TEXTS[name])
    assert b"Doe, Jane" not in made.data + (made.encoding.jpeg_tables or b"")
    assert (decode_tile(made) == decode_tile(TEXTS[name])).all()


@pytest.mark.parametrize("name", sorted(NO_PICTURE))
def test_words_without_a_picture_are_refused(name):
    with pytest.raises(ValueError, match="JPEG"):
        rebuilt(TEXTS[name])


NONE = {
    "JPEG": jpeg(WHOLE),
    "zeros behind the end": jpeg(WHOLE + bytes(4)),
    "Adobe's": jpeg(bytes(imagecodecs.jpeg8_encode(drawn(SIZE), colorspace="rgb", outcolorspace="rgb"))),
    "an encoder in JPEG 2000": other(J2K, APERIO_JPEG2000_RGB),
    "packed": other(BOXED, JPEGXL),
}


@pytest.mark.parametrize("name", NONE)
def test_pictures_stay(name):
    assert (decode_tile(rebuilt(NONE[name])) == decode_tile(NONE[name])).all()


@pytest.mark.parametrize("name", [name for name in codec_names() if not needs_model(name)])
def test_what_our_codecs_write_stays(name):
    codec = created(name, {})
    tile = EncodedTile(codec.encode(drawn(SIZE)), codec.encoding, SIZE)
    assert (decode_tile(rebuilt(tile)) == decode_tile(tile)).all()
