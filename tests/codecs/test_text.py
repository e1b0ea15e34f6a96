"""Where words may hide in a tile, and what is none."""

import imagecodecs
import pytest

from tests.codecs.test_contract import created, drawn
from wsicomp.codecs import codec_names
from wsicomp.codecs.text import holds_text
from wsicomp.geometry import Size
from wsicomp.slide import APERIO_JPEG2000_RGB, JPEG, JPEGXL, RGB, WEBP, YCBCR, EncodedTile, TileEncoding

SIZE = Size(64, 64)
WHOLE = bytes(imagecodecs.jpeg8_encode(drawn(SIZE), level=80))
NAME = b"\xff\xfe\x00\x0bDoe, Jane"
J2K = bytes(imagecodecs.jpeg2k_encode(drawn(SIZE), level=40, codecformat="j2k", reversible=False))
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
        J2K[:2] + b"\xff\x64\x00\x0d\x00\x01Doe, Jane" + J2K[2:], APERIO_JPEG2000_RGB
    ),
    "no JPEG 2000": other(b"Doe, Jane", APERIO_JPEG2000_RGB),
    "a chunk in WebP": other(WEBP_TILE + b"EXIF\x09\0\0\0Doe, Jane\0", WEBP),
    "a box in JPEG XL": other(BOXED + b"\0\0\0\x11Exif" + b"Doe, Jane", JPEGXL),
}


@pytest.mark.parametrize("name", TEXTS)
def test_words_are_found(name):
    assert holds_text(TEXTS[name])


NONE = {
    "JPEG": jpeg(WHOLE),
    "zeros behind the end": jpeg(WHOLE + bytes(4)),
    "Adobe's": jpeg(bytes(imagecodecs.jpeg8_encode(drawn(SIZE), colorspace="rgb", outcolorspace="rgb"))),
    "an encoder in JPEG 2000": other(J2K, APERIO_JPEG2000_RGB),
    "packed": other(BOXED, JPEGXL),
}


@pytest.mark.parametrize("name", NONE)
def test_pictures_are_no_words(name):
    assert not holds_text(NONE[name])


@pytest.mark.parametrize("name", codec_names())
def test_no_codec_of_ours_writes_words(name):
    codec = created(name, {})
    assert not holds_text(EncodedTile(codec.encode(drawn(SIZE)), codec.encoding, SIZE))
