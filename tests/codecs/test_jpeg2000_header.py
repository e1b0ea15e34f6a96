"""JPEG 2000's main header: what encoders write is taken, and what has room for a word is refused."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.codecs.test_contract import drawn
from tests.conftest import pairs_of
from wsicomp.codecs.jpeg2000_header import check_main_header
from wsicomp.codecs.registry import without_text
from wsicomp.geometry import Size
from wsicomp.slide import APERIO_JPEG2000_RGB, RGB, EncodedTile, TileEncoding

SIZES = [Size(*sides) for sides in ((1, 1), (7, 5), (40, 30), (100, 75), (256, 256))]
WORD = b"DOEJANEXQ"


def as_tile(stream, size):
    return EncodedTile(stream, TileEncoding(APERIO_JPEG2000_RGB, RGB), size)


def by_pillow(size, **options):
    file = io.BytesIO()
    options = {"no_jp2": True, "quality_mode": "rates", "quality_layers": [8], "mct": 1, **options}
    Image.fromarray(drawn(size)).save(file, "JPEG2000", **options)
    return file.getvalue()


@pytest.mark.parametrize(("level", "resolutions", "size"), pairs_of([0, 30, 45], [None, 1, 3, 6], SIZES))
def test_what_openjpeg_encodes_keeps_its_very_bytes(level, resolutions, size):
    options = {"level": level, "reversible": not level, "resolutions": resolutions, "codecformat": "j2k"}
    stream = bytes(imagecodecs.jpeg2k_encode(drawn(size), **options))
    assert without_text(as_tile(stream, size), None).data.endswith(stream[stream.index(b"\xff\x90") :])


@pytest.mark.parametrize("layers", [[8], [40, 20, 5]])
@pytest.mark.parametrize("irreversible", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"num_resolutions": 3},
        {"tile_size": (64, 64)},
        {"precinct_size": (64, 64), "num_resolutions": 5},
        {"precinct_size": (128, 64), "num_resolutions": 5, "progression": "RPCL"},
        {"tile_size": (100, 50), "codeblock_size": (32, 32), "progression": "CPRL"},
    ],
    ids=str,
)
def test_streams_of_several_tiles_layers_and_precincts_keep_what_is_coded(options, irreversible, layers):
    size = Size(200, 150)
    stream = by_pillow(size, irreversible=irreversible, quality_layers=layers, **options)
    assert without_text(as_tile(stream, size), None).data.endswith(stream[stream.index(b"\xff\x90") :])


def test_words_behind_a_tile_that_is_not_the_last_are_refused():
    size = Size(128, 64)
    stream = by_pillow(size, tile_size=(64, 64))
    at = stream.index(b"\xff\x90")
    length = int.from_bytes(stream[at + 6 : at + 10], "big")
    longer = struct.pack(">I", length + len(WORD)) + stream[at + 10 : at + length] + WORD
    longer = stream[: at + 6] + longer + stream[at + length :]
    assert np.array_equal(imagecodecs.jpeg2k_decode(longer), imagecodecs.jpeg2k_decode(stream))
    with pytest.raises(ValueError, match="behind the coded bytes"):
        without_text(as_tile(longer, size), None)


SIZ = struct.pack(">H8IH9B", 0, 256, 256, 0, 0, 256, 256, 0, 0, 3, *[7, 1, 1] * 3)
COD = bytes([0, 0, 0, 1, 1, 2, 4, 4, 0, 0])
QCD = bytes([0x22, *range(14)])
PLAIN = {
    "no more than it takes": [(0x51, SIZ), (0x52, COD), (0x5C, QCD)],
    "steps without loss": [(0x51, SIZ), (0x52, COD), (0x5C, bytes([0x20, *[0x48] * 7]))],
    "one step": [(0x51, SIZ), (0x52, COD), (0x5C, b"\x21Jo")],
    "of single components": [
        *[(0x51, SIZ), (0x52, COD), (0x5C, QCD), (0x5D, b"\1\x22" + bytes(8)), (0x5D, b"\2\x21Jo")],
        (0x53, bytes([1, 0, 1, 4, 4, 0, 0])),
    ],
    "precincts": [(0x51, SIZ), (0x52, b"\1" + COD[1:] + b"\x67\x78\x89"), (0x5C, QCD)],
    "high throughput": [(0x51, SIZ), (0x50, b"\0\2\0\0\0\0"), (0x52, COD), (0x5C, QCD)],
}


def with_segment(marker, body):
    return [(0x51, SIZ), (0x52, COD), (0x5C, QCD), (marker, body)]


def with_size(at, body):
    return [(0x51, SIZ[:at] + body + SIZ[at + len(body) :]), (0x52, COD), (0x5C, QCD)]


def with_style(style, steps=QCD):
    return [(0x51, SIZ), (0x52, style), (0x5C, steps)]


ROOMY = {
    "words behind the size": [(0x51, SIZ + WORD), (0x52, COD), (0x5C, QCD)],
    "words as offset": with_size(10, b"DOEJANEX"),
    "words as the size of tiles": with_size(18, b"DOEJANEX"),
    "words as offset of tiles": with_size(26, b"DOEJANEX"),
    "words behind the style": with_style(COD + WORD),
    "no style": with_style(b""),
    "words as precincts": with_style(b"\1" + COD[1:5] + b"\3" + COD[6:] + b"DOEJ"),
    "words behind precincts": with_style(b"\1" + COD[1:] + b"\x88\x88\x88" + WORD),
    "subbands without samples": with_style(COD[:5] + b"\x20" + COD[6:], b"\x22" + (WORD * 22)[:194]),
    "words behind the steps": with_style(COD, QCD + WORD + b"0"),
    "words behind one step": with_style(COD, b"\x21Jo" + WORD),
    "words behind exponents": with_style(COD, bytes([0x20, *[0x48] * 7]) + WORD),
    "words as exponents": with_style(COD, b"\x20DOEJANE"),
    "unknown steps": with_style(COD, b"\x23" + QCD[1:]),
    "no steps": with_style(COD, b""),
    "words behind a component's steps": with_segment(0x5D, b"\1" + QCD + WORD + b"0"),
    "steps of no component": with_segment(0x5D, b"\3" + QCD),
    "words behind a component's style": with_segment(0x53, bytes([1, 0, 2, 4, 4, 0, 0]) + WORD),
    "a style of no component": with_segment(0x53, bytes([9, 0, 2, 4, 4, 0, 0])),
    "an empty style": with_segment(0x53, b"\1"),
    "steps twice": with_segment(0x5C, QCD),
    "style twice": with_segment(0x52, COD),
    "size twice": with_segment(0x51, SIZ),
    "steps that no component goes by": PLAIN["one step"] + [(0x5D, bytes([n, 0x21, 1, 1])) for n in range(3)],
    "steps of one component twice": PLAIN["one step"] + [(0x5D, b"\1\x21ab"), (0x5D, b"\1\x21cd")],
    "no size": [(0x52, COD), (0x5C, QCD)],
    "capabilities": with_segment(0x50, b"\0\2\0\0" + WORD),
    "a region of interest": with_segment(0x5E, b"\0\0\0"),
    "orders": with_segment(0x5F, bytes([0, 0, 0, 1, 3, 3, 0])),
    "packet headers apart": with_segment(0x60, b"\0" + WORD),
    "a part's packet headers": with_segment(0x61, b"\0" + WORD),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_no_longer_than_it_states_is_taken(name):
    check_main_header(PLAIN[name])
    for at, (marker, body) in enumerate(PLAIN[name]):
        longer = [*PLAIN[name][:at], (marker, body + b"X"), *PLAIN[name][at + 1 :]]
        with pytest.raises(ValueError, match="JPEG 2000"):
            check_main_header(longer)


@pytest.mark.parametrize("name", ROOMY)
def test_headers_with_room_for_words_are_refused(name):
    with pytest.raises(ValueError, match="JPEG 2000"):
        check_main_header(ROOMY[name])
