"""Transcoders: what comes back, and what a transcoder cannot take."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.codecs.test_contract import drawn
from tests.conftest import trial_size
from wsicomp.codecs import plain
from wsicomp.codecs.jpeg_stream import (
    DHT,
    DQT,
    only_segments,
    segments,
    standard_huffman_tables,
    without_segments,
)
from wsicomp.codecs.registry import create_transcoder, decode_tile
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, JPEGXL, RGB, YCBCR, EncodedTile, TileEncoding

SIZE = Size(256, 240)
SUBSAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "411": (4, 1)}
ROADS = ("jpegxl", "jpeg")


def stream(subsampling="420", **options):
    return bytes(imagecodecs.jpeg8_encode(drawn(SIZE), level=80, subsampling=subsampling, **options))


def whole(subsampling="420", **options):
    return EncodedTile(
        stream(subsampling, **options), TileEncoding(JPEG, YCBCR, SUBSAMPLINGS[subsampling]), SIZE
    )


def abbreviated(markers=(DQT, DHT), photometric=YCBCR):
    color = {"colorspace": "rgb", "outcolorspace": "rgb"} if photometric == RGB else {}
    subsampling = "444" if photometric == RGB else "420"
    data = stream(subsampling, **color)
    tables = b"\xff\xd8" + only_segments(data, markers) + b"\xff\xd9"
    encoding = TileEncoding(JPEG, photometric, SUBSAMPLINGS[subsampling], jpeg_tables=tables)
    return EncodedTile(without_segments(data, (*markers, 0xE0, 0xEE)), encoding, SIZE)


def pillow(**options):
    file = io.BytesIO()
    Image.fromarray(drawn(SIZE)).save(file, "JPEG", quality=80, subsampling=2, **options)
    return EncodedTile(file.getvalue(), TileEncoding(JPEG, YCBCR, (2, 2)), SIZE)


def without_huffman_tables():
    """As libtiff writes all tiles but the first: it relies on a decoder that keeps or knows the tables."""
    tile = abbreviated()
    tables = b"\xff\xd8" + only_segments(tile.encoding.jpeg_tables, (DQT,)) + b"\xff\xd9"
    return EncodedTile(tile.data, TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=tables), SIZE)


def with_standard_tables_first():
    """The standard's tables at the very place where those that are missing would be put."""
    data = stream(optimize=False)
    bare = without_segments(data, (DHT, DQT, 0xE0))
    tables = b"\xff\xd8" + only_segments(data, (DQT,)) + b"\xff\xd9"
    encoding = TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=tables)
    return EncodedTile(bare[:2] + standard_huffman_tables() + bare[2:], encoding, SIZE)


TILES = {
    **{f"whole {name}": whole(name) for name in SUBSAMPLINGS},
    "optimised": whole(optimize=True),
    "abbreviated": abbreviated(),
    "abbreviated RGB": abbreviated(photometric=RGB),
    "shared quantisation alone": abbreviated((DQT,)),
    "restart markers": pillow(restart_marker_rows=1),
    "progressive": pillow(progressive=True),
    "comment": pillow(comment=b"Doe, Jane"),
    "trailing bytes": EncodedTile(stream() + b"\0" * 7 + b"scanner", TileEncoding(JPEG, YCBCR, (2, 2)), SIZE),
    "no Huffman tables": without_huffman_tables(),
    "standard tables first": with_standard_tables_first(),
}


@pytest.mark.parametrize("name", [name for name in TILES if name != "whole 411"])
def test_a_jpeg_tile_comes_back_byte_for_byte(name):
    tile = TILES[name]
    transcoder = create_transcoder("jpegxl", exact=True)
    data = transcoder.transcode(tile)
    assert data is not None
    assert len(data) < len(tile.data)
    packed = EncodedTile(data, transcoder.encoding(tile.encoding), SIZE)
    assert transcoder.unpack(packed, transcoder.unpacked_encoding(tile.encoding)) == tile


@pytest.mark.parametrize("name", [name for name in TILES if name != "whole 411"])
def test_what_rebuilds_a_jpeg_can_be_left_out_of_all_tiles_that_have_it_in_common(name):
    tile = TILES[name]
    alone = create_transcoder("jpegxl", exact=True)
    whole = alone.transcode(tile)
    shared = alone.common([whole, alone.transcode(TILES["comment"]), whole])
    transcoder = create_transcoder("jpegxl", True, shared)
    data = transcoder.transcode(tile)
    assert len(data) + len(shared) + 40 <= len(whole)
    assert b"jbrd" not in data
    assert (imagecodecs.jpegxl_decode(data) == imagecodecs.jpegxl_decode(whole)).all()
    packed = EncodedTile(data, transcoder.encoding(tile.encoding), SIZE)
    assert transcoder.unpack(packed, tile.encoding) == tile
    assert transcoder.unpack(EncodedTile(whole, packed.encoding, SIZE), tile.encoding) == tile
    with pytest.raises(ValueError, match="without a jbrd box"):
        alone.unpack(packed, tile.encoding)


def test_a_tile_that_is_rebuilt_otherwise_keeps_its_own_box():
    alone = create_transcoder("jpegxl", exact=True)
    shared = alone.common([alone.transcode(whole("420"))] * 2)
    for name in ("comment", "restart markers", "progressive"):
        data = create_transcoder("jpegxl", True, shared).transcode(TILES[name])
        assert data == alone.transcode(TILES[name])
        assert b"jbrd" in data


def test_tiles_that_are_rebuilt_each_in_its_own_way_share_nothing():
    alone = create_transcoder("jpegxl", exact=True)
    packed = [alone.transcode(TILES[name]) for name in ("comment", "restart markers", "progressive")]
    assert alone.common(packed) is None
    assert alone.common([]) is None
    assert alone.common([imagecodecs.jpegxl_encode(drawn(SIZE), usecontainer=False)] * 2) is None
    assert create_transcoder("jpeg").common([stream()] * 2) is None


@pytest.mark.parametrize("name", TILES)
def test_a_jpeg_tile_with_optimised_entropy_coding_decodes_to_the_same_pixels(name):
    tile = TILES[name]
    transcoder = create_transcoder("jpeg")
    stored = transcoder.encoding(tile.encoding)
    data = transcoder.transcode(tile)
    if data is None:
        assert name in ("progressive", "optimised")
        return
    assert len(data) < len(tile.data)
    back = transcoder.unpack(EncodedTile(data, stored, SIZE), transcoder.unpacked_encoding(tile.encoding))
    assert (decode_tile(back) == decode_tile(tile)).all()


@pytest.mark.parametrize("name", TILES)
def test_among_optimised_tiles_each_has_huffman_tables_of_its_own(name):
    tile = TILES[name]
    transcoder = create_transcoder("jpeg")
    stored = transcoder.encoding(tile.encoding)
    shared = {marker for marker, _, _ in segments(stored.jpeg_tables)} if stored.jpeg_tables else set()
    assert DHT not in shared
    kept = EncodedTile(transcoder.keep(tile), stored, SIZE)
    assert DHT in {marker for marker, _, _ in segments(kept.data)}
    assert (decode_tile(kept) == decode_tile(tile)).all()


def arithmetic():
    """A header that says arithmetic coding, over data that is none."""
    return stream().replace(b"\xff\xc0", b"\xff\xc9", 1)


CANNOT = {
    "4:1:1": TILES["whole 411"].data,
    "arithmetic": arithmetic(),
    "CMYK": bytes(imagecodecs.jpeg8_encode(np.zeros((240, 256, 4), np.uint8))),
    "grey": bytes(imagecodecs.jpeg8_encode(drawn(SIZE)[..., 0].copy())),
    "cut": stream()[:900],
    "no JPEG": b"II*\0" * 300,
    "nothing": b"",
}


@pytest.mark.parametrize("name", CANNOT)
@pytest.mark.parametrize("transcoder", ROADS)
def test_what_a_recipe_cannot_take_is_kept_or_comes_back_as_it_was(transcoder, name):
    tile = EncodedTile(CANNOT[name], TileEncoding(JPEG, YCBCR, (2, 2)), SIZE)
    transcoder = create_transcoder(transcoder)
    data = transcoder.transcode(tile)
    if data is None:
        assert transcoder.keep(tile).endswith(tile.data[2:])
    else:
        packed = EncodedTile(data, transcoder.encoding(tile.encoding), SIZE)
        back = transcoder.unpack(packed, transcoder.unpacked_encoding(tile.encoding))
        assert back == tile if transcoder == "jpegxl" else (decode_tile(back) == decode_tile(tile)).all()


PLAIN = [
    TileEncoding(compression, RGB, predictor=predictor)
    for compression in (1, 5, 8, 50000)
    for predictor in (1, 2)
]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("encoding", PLAIN, ids=str)
def test_plain_samples_come_back_in_their_pixels_or_in_their_bytes(encoding, exact):
    tile = EncodedTile(plain.encode(encoding, drawn(SIZE)), encoding, SIZE)
    transcoder = create_transcoder("jpegxl", exact)
    data = transcoder.transcode(tile)
    assert data is not None
    back = transcoder.unpack(
        EncodedTile(data, transcoder.encoding(encoding), SIZE), transcoder.unpacked_encoding(encoding)
    )
    assert (decode_tile(back) == drawn(SIZE)).all()
    assert not exact or back == tile


def test_plain_samples_packed_by_another_program_are_kept_where_their_bytes_must_come_back():
    encoding = TileEncoding(8, RGB)
    data = bytes(imagecodecs.zlib_encode(drawn(SIZE).tobytes(), level=1))
    tile = EncodedTile(data, encoding, SIZE)
    assert plain.encode(encoding, drawn(SIZE)) != data
    assert create_transcoder("jpegxl", exact=True).transcode(tile) is None
    assert create_transcoder("jpegxl").transcode(tile) is not None


def test_jpeg_2000_is_on_no_recipe():
    for transcoder in ROADS:
        assert create_transcoder(transcoder).encoding(TileEncoding(33005, RGB)) is None


@given(st.binary(max_size=300), st.integers(0, 2000), st.sampled_from(list(TILES)))
@settings(max_examples=trial_size(50, 150))
def test_damaged_tiles_come_back_byte_for_byte_or_are_kept(noise, place, name):
    tile = TILES[name]
    data = tile.data[: place % len(tile.data)] + noise + tile.data[place % len(tile.data) + len(noise) :]
    damaged = EncodedTile(data, tile.encoding, SIZE)
    transcoder = create_transcoder("jpegxl", exact=True)
    packed = transcoder.transcode(damaged)
    if packed is not None:
        stored = EncodedTile(packed, transcoder.encoding(tile.encoding), SIZE)
        assert transcoder.unpack(stored, tile.encoding) == damaged


def test_a_packed_tile_of_another_level_s_tables_is_refused():
    tile = TILES["abbreviated"]
    transcoder = create_transcoder("jpegxl")
    packed = EncodedTile(transcoder.transcode(tile), TileEncoding(JPEGXL, RGB), SIZE)
    with pytest.raises(ValueError, match="lacks the level's shared tables"):
        transcoder.unpack(packed, TileEncoding(JPEG, RGB, jpeg_tables=tile.encoding.jpeg_tables))


def test_tifffile_decodes_packed_tiles_nearly_as_their_source():
    for name in ("abbreviated RGB", "whole 444"):
        tile = TILES[name]
        pixels = imagecodecs.jpegxl_decode(create_transcoder("jpegxl").transcode(tile))
        assert np.abs(pixels.astype(int) - decode_tile(tile)).max() <= 8
