"""JPEG XL's headers: what encoders write is read to its end, and what has room for a word is refused."""

import io
import random

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.codecs.test_contract import drawn
from tests.conftest import trial_size
from tests.drawn import names
from wsicomp.codecs.jpegxl import Codec
from wsicomp.codecs.jpegxl_header import Picture, read_picture
from wsicomp.codecs.jpegxl_stream import codestream
from wsicomp.codecs.registry import without_text
from wsicomp.geometry import Size
from wsicomp.slide import JPEGXL, RGB, EncodedTile, TileEncoding

SIZES = [Size(*sides) for sides in ((1, 1), (7, 5), (64, 64), (100, 75), (255, 129), (33, 257), (256, 256))]
DISTANCES = [None, 0.05, 0.5, 1.0, 2.7, 10.0, 25.0]
PICTURES = {
    "tissue": drawn,
    "flat": lambda size: np.full((*size.shape, 3), (240, 238, 241), np.uint8),
    "noise": lambda size: np.random.default_rng(1).integers(0, 256, (*size.shape, 3), dtype=np.uint8),
}


def encoded(pixels, distance, effort=7, **options):
    target = {"lossless": True} if distance is None else {"distance": distance}
    options = {"effort": effort, "usecontainer": False, "numthreads": 1, **target, **options}
    return bytes(imagecodecs.jpegxl_encode(pixels, **options))


def as_tile(stream, size):
    return EncodedTile(stream, TileEncoding(JPEGXL, RGB), size)


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_what_libjxl_encodes_is_read_to_its_end(size, kind):
    pixels = PICTURES[kind](size)
    for distance in DISTANCES:
        for effort in (1, 3, 4, 5, 7):
            stream = encoded(pixels, distance, effort)
            assert read_picture(stream + b"tail").end == len(stream), (distance, effort)


@pytest.mark.parametrize("effort", [8, 9, 10])
@pytest.mark.parametrize("distance", [None, 1.0, 25.0])
def test_what_libjxl_encodes_with_much_effort_is_read_to_its_end(distance, effort):
    stream = encoded(drawn(Size(65, 47)), distance, effort)
    assert read_picture(stream).end == len(stream)


@pytest.mark.parametrize("decodingspeed", [0, 2, 4])
@pytest.mark.parametrize("distance", [None, 1.0, 15.0])
def test_streams_that_decode_fast_and_those_of_several_groups_are_read_to_their_end(distance, decodingspeed):
    for size in (Size(64, 64), Size(600, 300)):
        stream = encoded(drawn(size), distance, 4, decodingspeed=decodingspeed)
        assert read_picture(stream).end == len(stream)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_packed_jpegs_are_read_to_their_end(subsampling, is_progressive, size, monkeypatch):
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 20)
    file = io.BytesIO()
    options = {"quality": 85, "subsampling": subsampling, "progressive": is_progressive}
    Image.fromarray(drawn(size)).save(file, "JPEG", **options)
    stream = codestream(bytes(imagecodecs.jpegxl_encode_jpeg(file.getvalue(), usecontainer=True)))
    assert read_picture(stream).end == len(stream)


@pytest.mark.parametrize("size", [Size(1, 1), Size(64, 64), Size(240, 200), Size(600, 300)], ids=str)
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"distance": 8.0}, {"quality": 20}], ids=str)
def test_our_own_tiles_keep_their_very_bytes(options, size):
    stream = Codec(effort=4, **options).encode(drawn(size))
    assert without_text(as_tile(stream, size), None).data == stream


def written(*fields):
    """The bytes of fields of (bits, value), the lowest bit first."""
    value = at = 0
    for count, number in fields:
        value |= number << at
        at += count
    return value.to_bytes(-(-at // 8), "little")


def table(lengths):
    """How long the sections are, each number in the way that fits it."""
    ways = [(0, 10, 0), (1, 14, 1024), (2, 22, 17408)]
    chosen = [(length, max(way for way in ways if length >= way[2])) for length in lengths]
    fields = [((2, way), (count, length - least)) for length, (way, count, least) in chosen]
    return written(*(field for pair in fields for field in pair))


@pytest.mark.parametrize("size", [Size(64, 64), Size(300, 200)], ids=str)
@pytest.mark.parametrize("distance", [None, 1.0])
def test_words_behind_each_section_go_and_the_stream_is_as_it_was(distance, size):
    stream = encoded(drawn(size), distance, 3)
    picture = read_picture(stream)
    longer = stream[: picture.table] + table([length + len(names.WORD) for length in picture.lengths])
    at = picture.sections
    for length in picture.lengths:
        longer += stream[at : at + length] + names.WORD
        at += length
    assert without_text(as_tile(longer, size), None).data == stream


def bit(value):
    return [(1, value)]


NO, YES = bit(0), bit(1)
USUAL, SRGB = [(2, 0)], [(2, 1)]  # a choice's first way, and second
CHARS = [(8, char) for char in b"Jane"]
FIELDS = {
    "size": [(1, 1), (5, 7), (3, 1)],
    "all default": NO,
    "extra fields": NO,
    "float": NO,
    "bit depth": USUAL,
    "16 bits suffice": YES,
    "extra channels": USUAL,
    "xyb": NO,
    "color default": NO,
    "icc": NO,
    "space": USUAL,
    "white point": SRGB,
    "primaries": SRGB,
    "gamma": NO,
    "transfer": [(2, 2), (4, 11)],
    "intent": SRGB,
    "tone mapping": [],
    "extensions": USUAL,
    "transform": YES,
}
FRAME = {
    "frame default": NO,
    "kind": USUAL,
    "modular": YES,
    "flags": USUAL,
    "ycbcr": NO,
    "factor": USUAL,
    "group": [(2, 1)],
    "passes": USUAL,
    "own size": NO,
    "blending": USUAL,
    "last": YES,
    "name": USUAL,
    "filter default": NO,
    "smoothing": NO,
    "edges": [(2, 0)],
    "filter extensions": USUAL,
    "frame extensions": USUAL,
    "order": NO,
}
EXTRA = {"extra fields": [(1, 1), (3, 0), (3, 0)], "tone mapping": YES}


def by_hand(**changes):
    """A stream with these headers, and three bytes that are coded."""
    changes = {name.replace("_", " "): value for name, value in changes.items()}
    headers = [
        [field for name, value in part.items() for field in changes.get(name, value)]
        for part in (FIELDS, FRAME)
    ]
    return b"\xff\x0a" + b"".join(written(*header) for header in headers) + table([3]) + b"abc"


PLAIN = {
    "as usual": {},
    "subsampled YCbCr": {"ycbcr": [(1, 1), (6, 0b010101)]},
    "turned": {"extra_fields": [(1, 1), (3, 5), (3, 0)], "tone_mapping": YES},
    "10 bits": {"bit_depth": [(2, 1)]},
    "linear": {"transfer": [(2, 2), (4, 6)]},
    "upsampled": {"factor": [(2, 1)]},
    "edges": {"edges": [(2, 1), (1, 0), (1, 0), (16, 0x3C00)]},
    "size in bits": {"size": [(1, 0), (2, 0), (9, 63), (3, 0), (2, 1), (13, 63)]},
}
ROOMY = {
    "a size of its own": {**EXTRA, "extra_fields": [(1, 1), (3, 0), (1, 1), (9, 0), (2, 0)]},
    "a preview": {**EXTRA, "extra_fields": [(1, 1), (3, 0), (2, 2), (1, 0)]},
    "an animation": {**EXTRA, "extra_fields": [(1, 1), (3, 0), (3, 4)]},
    "samples that are no integers": {"float": YES},
    "extra channels": {"extra_channels": [(2, 1), (1, 1)]},
    "an ICC profile": {"icc": YES},
    "a colour space that is not RGB": {"space": SRGB},
    "colours of its own": {"white_point": [(2, 2), (4, 0), (21, 0), (21, 0)]},
    "a tone curve of its own": {"gamma": [(1, 1), (24, 4545450)]},
    "a tone mapping of its own": {**EXTRA, "tone_mapping": [(1, 0), (16, 1), (16, 1), (1, 0), (16, 1)]},
    "an unknown intent": {"intent": [(2, 2), (4, 9)]},
    "extensions": {"extensions": [(2, 1), (4, 0), (2, 2), (8, 15), *CHARS]},
    "a transform of its own": {"transform": [(1, 0), (3, 1), *[(16, 0x4142)] * 15]},
    "a hidden frame": {"kind": [(2, 2)]},
    "noise, patches": {"flags": [(2, 1), (4, 1)]},
    "a frame of another size": {"own_size": [(1, 1), *[(10, 0)] * 4]},
    "a frame that is blended": {"blending": [(2, 1)]},
    "more than one frame": {"last": [(1, 0), (2, 0)]},
    "a named frame": {"name": [(2, 1), (4, 4), *CHARS]},
    "a smoothing of its own": {"smoothing": [(1, 1), (1, 1), *[(16, 0x4142)] * 6]},
    "an edge filter of its own": {"edges": [(2, 1), (1, 1), *[(16, 0x4142)] * 5]},
    "JPEG XL with extensions": {"filter_extensions": [(2, 1), (4, 0), (2, 2), (8, 15), *CHARS]},
    "with extensions": {"frame_extensions": [(2, 3), (12, 1), (1, 1), (8, 0), (1, 0)]},
    "sections out of order": {"order": YES},
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_headers_are_read(name):
    stream = by_hand(**PLAIN[name])
    assert read_picture(stream) == Picture(len(stream) - 5, len(stream) - 3, (3,))


@pytest.mark.parametrize("name", ROOMY)
def test_headers_with_room_for_words_are_refused(name):
    with pytest.raises(ValueError, match=name):
        read_picture(by_hand(**ROOMY[name]))


def test_headers_that_are_not_aligned_by_zeros_and_sections_past_the_end_are_refused():
    stream = by_hand()
    with pytest.raises(ValueError, match="ends past it"):
        read_picture(stream[:-1])
    with pytest.raises(ValueError, match="between its headers"):
        read_picture(stream[:-4] + bytes([stream[-4] | 0x80]) + stream[-3:])


def test_pictures_of_grey_and_of_four_channels_are_refused():
    pixels = drawn(Size(32, 32))
    with pytest.raises(ValueError, match="not RGB"):
        read_picture(encoded(np.ascontiguousarray(pixels[..., 0]), None))
    with pytest.raises(ValueError, match="extra channels"):
        read_picture(encoded(np.dstack([pixels, pixels[..., 0]]), None))


def test_a_word_is_found_as_name_of_a_frame_or_channel():
    for stream, found in ((names.NAMED_FRAME, "named frame"), (names.NAMED_CHANNEL, "extra channels")):
        with pytest.raises(ValueError, match=found):
            without_text(as_tile(stream, Size(64, 64)), None)


def test_damaged_headers_are_told_as_such():
    rng = random.Random(1)
    streams = [encoded(drawn(Size(70, 50)), distance) for distance in (None, 1.0)]
    for stream in [*streams, by_hand(**PLAIN["turned"])]:
        for length in range(len(stream) if len(stream) < 99 else 40):
            with pytest.raises(ValueError, match="JPEG XL"):
                read_picture(stream[:length])
        for _ in range(trial_size(400, 2000)):
            damaged = bytearray(stream)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(2, 24) % len(damaged)] = rng.randrange(256)
            try:
                assert read_picture(bytes(damaged)).end <= len(damaged)
            except ValueError as exc:
                assert "JPEG XL" in str(exc)  # noqa: PT017
