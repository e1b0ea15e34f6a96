import contextlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsicomp.codecs import jpeg, plain
from wsicomp.codecs.jpeg_stream import segments
from wsicomp.codecs.pixels import eighth
from wsicomp.codecs.registry import decode_tile, tile_format
from wsicomp.geometry import Size
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    RGB,
    YCBCR,
    EncodedTile,
    TileEncoding,
)

SIZE = Size(48, 32)
DQT, DHT = 0xDB, 0xC4


def noise(size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*size.shape, 3), np.uint8)


def smooth():
    y, x = np.mgrid[0:256, 0:256]
    return np.stack([x % 256, y % 256, (x + y) // 2 % 256], axis=-1).astype(np.uint8)


def psnr(first, second):
    return 10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2))


def markers(stream):
    return [marker for marker, _, _ in segments(stream)]


def split_tables(stream):
    """(JPEGTables, abbreviated stream) of a whole stream, as libtiff stores them."""
    tables, rest = b"", stream[:2]
    position = 2
    for marker, start, end in segments(stream):
        if marker in (DQT, DHT):
            tables += stream[start:end]
        else:
            rest += stream[start:end]
        position = end
    return b"\xff\xd8" + tables + b"\xff\xd9", rest + stream[position:]


@pytest.mark.parametrize("quality", [50, 90, 100])
def test_encoded_tiles_decode_to_nearly_their_pixels(quality):
    codec = jpeg.Codec(quality)
    tile = EncodedTile(codec.encode(smooth()), codec.encoding, Size(256, 256))
    assert psnr(decode_tile(tile), smooth()) > {50: 28, 90: 30, 100: 31}[quality]


def test_an_encoded_tile_shares_its_quantisation_tables_and_owns_its_huffman_tables():
    codec = jpeg.Codec(90)
    assert set(markers(codec.encoding.jpeg_tables)) == {DQT}
    found = markers(codec.encode(smooth()))
    assert DQT not in found
    assert DHT in found


def test_the_codec_states_what_it_does():
    codec = jpeg.Codec(77)
    assert codec.config() == {"quality": 77}
    assert not codec.lossless
    assert codec.encoding.compression == JPEG


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "411"])
def test_the_subsampling_is_read_from_the_frame(subsampling):
    stream = imagecodecs.jpeg8_encode(smooth(), subsampling=subsampling)
    expected = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "411": (4, 1)}[subsampling]
    assert jpeg.frame_subsampling(stream) == expected


@pytest.mark.parametrize(
    "stream", [b"", b"\xff\xd8", b"GIF89a", b"\xff\xd8\xff\xc0\xff\xff", b"\xff\xd8\x00\x00\x00\x00"]
)
def test_bytes_that_are_no_jpeg_are_refused(stream):
    with pytest.raises(ValueError, match="JPEG"):
        jpeg.frame_subsampling(stream)


def test_a_grey_jpeg_is_refused():
    with pytest.raises(ValueError, match="three components"):
        jpeg.frame_subsampling(imagecodecs.jpeg8_encode(np.ascontiguousarray(smooth()[..., 0])))


def test_a_tile_of_another_size_is_refused():
    tile = EncodedTile(imagecodecs.jpeg8_encode(smooth()), TileEncoding(JPEG, YCBCR), Size(128, 128))
    with pytest.raises(ValueError, match="shape"):
        decode_tile(tile)


colors = st.tuples(*[st.integers(0, 255)] * 3)
subsamplings = st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 1)])


@given(colors, subsamplings, st.sampled_from([RGB, YCBCR]), st.sampled_from([None, 75, 90]))
def test_a_uniform_tile_decodes_to_its_colour_in_any_encoding(color, subsampling, photometric, quality):
    tables = None if quality is None else split_tables(imagecodecs.jpeg8_encode(noise(), level=quality))[0]
    encoding = TileEncoding(JPEG, photometric, subsampling, jpeg_tables=tables)
    stream = jpeg.encode_uniform(encoding, SIZE, color)
    pixels = decode_tile(EncodedTile(stream, encoding, SIZE))
    assert (pixels == pixels[0, 0]).all()
    assert np.abs(pixels[0, 0].astype(int) - color).max() <= 4
    assert jpeg.frame_subsampling(stream) == subsampling


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("photometric", [RGB, YCBCR])
def test_white_is_white_to_the_bit_at_every_quality(quality, photometric):
    tables = split_tables(imagecodecs.jpeg8_encode(noise(), level=quality))[0]
    encoding = TileEncoding(JPEG, photometric, (2, 2), jpeg_tables=tables)
    stream = jpeg.encode_uniform(encoding, SIZE, (255, 255, 255))
    assert (decode_tile(EncodedTile(stream, encoding, SIZE)) == 255).all()


def test_a_uniform_tile_defines_no_table_that_the_level_shares():
    tables, _ = split_tables(imagecodecs.jpeg8_encode(noise()))
    encoding = TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=tables)
    assert set(markers(jpeg.encode_uniform(encoding, SIZE, (1, 2, 3)))).isdisjoint({DQT, DHT})


def test_a_shared_table_without_the_code_is_named():
    tables, _ = split_tables(imagecodecs.jpeg8_encode(np.full((16, 16, 3), 128, np.uint8), optimize=True))
    encoding = TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=tables)
    with pytest.raises(ValueError, match="no code for category"):
        jpeg.encode_uniform(encoding, SIZE, (255, 255, 255))


PLAIN = [
    TileEncoding(compression, RGB, predictor=predictor)
    for compression in (1, 5, 8, 32946, 50000)
    for predictor in (1, 2)
]


@pytest.mark.parametrize("encoding", PLAIN, ids=str)
def test_plain_samples_come_back_exactly(encoding):
    tile = EncodedTile(plain.encode(encoding, noise()), encoding, SIZE)
    assert (decode_tile(tile) == noise()).all()


JPEG2000 = [TileEncoding(compression, RGB) for compression in (APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB)]


@pytest.mark.parametrize("encoding", [*PLAIN, *JPEG2000], ids=str)
def test_a_uniform_tile_of_a_lossless_encoding_has_nearly_exactly_its_colour(encoding):
    stream = tile_format(encoding.compression).encode_uniform(encoding, SIZE, (250, 240, 230))
    pixels = decode_tile(EncodedTile(stream, encoding, SIZE))
    assert np.abs(pixels.astype(int) - (250, 240, 230)).max() <= 1
    assert len(stream) < 5000 or encoding.compression == 1


@pytest.mark.parametrize("encoding", PLAIN, ids=str)
def test_too_few_samples_are_refused(encoding):
    data = plain.encode(encoding, noise(Size(48, 16)))
    with pytest.raises((ValueError, RuntimeError)):
        decode_tile(EncodedTile(data, encoding, SIZE))


def test_samples_that_are_not_rgb_are_refused():
    with pytest.raises(ValueError, match="expected RGB"):
        decode_tile(EncodedTile(bytes(SIZE.width * SIZE.height * 3), TileEncoding(1, YCBCR), SIZE))


@given(st.binary(max_size=400), st.integers(0, 3))
def test_damaged_lzw_is_an_error_and_never_the_end_of_the_process(data, head):
    encoded = imagecodecs.lzw_encode(smooth()[:32, :48].tobytes())
    tile = EncodedTile(bytes(encoded[: 40 * head]) + data, TileEncoding(5, RGB), SIZE)
    with contextlib.suppress(ValueError, RuntimeError):
        assert decode_tile(tile).shape == (*SIZE.shape, 3)


def test_a_stream_of_another_compression_is_no_lzw():
    data = imagecodecs.jpeg8_encode(smooth()[:32, :48])
    for start in range(200):
        with pytest.raises((ValueError, RuntimeError)):
            decode_tile(EncodedTile(data[start:], TileEncoding(5, RGB), SIZE))


@pytest.mark.parametrize("sides", [(16, 24), (100, 40), (1, 1), (7, 20)])
def test_an_eighth_is_the_means_of_blocks_of_8_px(sides):
    pixels = np.random.default_rng(8).integers(0, 256, (*sides, 3), np.uint8)
    small = eighth(pixels)
    assert small.shape == (-(-sides[0] // 8), -(-sides[1] // 8), 3)
    for row, column in np.ndindex(sides[0] // 8, sides[1] // 8):
        mean = pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].mean((0, 1))
        assert np.abs(small[row, column] - mean).max() <= 0.51
