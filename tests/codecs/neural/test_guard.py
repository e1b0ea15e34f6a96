"""No tile stands that the model does not do well: it is refined, or falls back, and both are told."""

import math

import numpy as np
import pytest

from tests.codecs.test_contract import drawn
from tests.conftest import trial_size
from wsicomp.codecs.base import Fallback
from wsicomp.codecs.memory import remembering
from wsicomp.codecs.neural import codec as neural
from wsicomp.codecs.neural.entropy import ClassedTables
from wsicomp.codecs.neural.payload import is_payload, unpack
from wsicomp.codecs.quality import Fidelity, fidelity, psnr, ssim
from wsicomp.codecs.registry import create_codec, decode_tile, decode_tiles, encode_tiles
from wsicomp.errors import ConfigError, SlideWriteError
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, YCBCR, EncodedTile, TileEncoding

NAME = "bmshj2018-factorized"
LAX = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}
SIZE = Size(256, 256)


def coded(options, pixels):
    codec = create_codec(NAME, options)
    (made,) = encode_tiles(codec, [pixels])
    back = decode_tile(EncodedTile(made.data, codec.encoding, Size(pixels.shape[1], pixels.shape[0])))
    return made, back


def test_a_tile_that_is_true_enough_is_a_payload_at_the_step_that_was_asked_for():
    made, back = coded({**LAX, "quality": 2}, drawn(SIZE))
    assert made.fallback is Fallback.NONE
    assert is_payload(made.data)
    assert unpack(made.data).step == 1
    assert made.fidelity == fidelity(drawn(SIZE), back)


@pytest.mark.gate
@pytest.mark.parametrize("limit", [{"min_ssim": 0.9999}, {"min_psnr": 70.0}, {"max_color_shift": 0.01}])
def test_a_tile_that_is_not_true_enough_at_any_step_is_jpeg_xl_that_is(limit):
    made, back = coded({**LAX, **limit}, drawn(SIZE))
    assert made.fallback is Fallback.FELL_BACK
    assert not is_payload(made.data)
    assert made.data[:2] == b"\xff\x0a"
    found = fidelity(drawn(SIZE), back)
    assert neural.Guard(**{**LAX, **limit}).passes(found)


def test_what_lies_beyond_the_level_does_not_count_for_its_last_tiles():
    tile = np.zeros((256, 256, 3), np.uint8)
    tile[:48, :32] = np.random.default_rng(0).integers(90, 220, (48, 32, 3))
    codec = create_codec(NAME)
    (whole,) = encode_tiles(codec, [tile])
    (cut,) = encode_tiles(codec, [tile], visible=[Size(32, 48)])
    after = [decode_tile(EncodedTile(made.data, codec.encoding, SIZE))[:48, :32] for made in (whole, cut)]
    assert ssim(tile[:48, :32], after[0]) < 0.95 <= ssim(tile[:48, :32], after[1])
    assert cut.fidelity == fidelity(tile[:48, :32], after[1])


def test_the_guard_sees_what_a_reader_will_not_what_the_encoder_meant(monkeypatch):
    written = ClassedTables.encode
    monkeypatch.setattr(ClassedTables, "encode", lambda self, values: written(self, values // 2))
    made, back = coded({}, drawn(SIZE))
    assert made.fallback is Fallback.FELL_BACK
    assert ssim(drawn(SIZE), back) >= 0.95


def jpeg_of(pixels, level):
    import imagecodecs

    data = imagecodecs.jpeg8_encode(pixels, level=level, subsampling="444")
    return EncodedTile(data, TileEncoding(JPEG, YCBCR, (1, 1)), Size(pixels.shape[1], pixels.shape[0]))


def test_a_tile_that_was_jpeg_is_its_own_coefficients_where_that_is_smaller():
    codec = create_codec(NAME)
    coarse = jpeg_of(drawn(SIZE), 20)
    tile = decode_tile(coarse)
    (alone,) = encode_tiles(codec, [tile])
    (made,) = encode_tiles(codec, [tile], [coarse])
    assert made.fallback is Fallback.REPACKED
    assert len(made.data) < min(len(alone.data), len(coarse.data))
    back = decode_tile(EncodedTile(made.data, codec.encoding, SIZE))
    assert made.fidelity == fidelity(tile, back)
    assert ssim(tile, back) > 0.98


@pytest.mark.parametrize("source", [jpeg_of(drawn(SIZE), 100), jpeg_of(255 - drawn(SIZE), 20), None])
def test_coefficients_that_are_larger_or_of_another_picture_are_not_taken(source):
    (made,) = encode_tiles(create_codec(NAME), [drawn(SIZE)], [source])
    assert made.fallback is not Fallback.REPACKED


def test_a_source_that_is_no_jpeg_is_encoded_from_its_pixels():
    broken = EncodedTile(b"\xff\xd8\xff\xd9", TileEncoding(JPEG, YCBCR, (2, 2)), SIZE)
    (made,) = encode_tiles(create_codec(NAME), [drawn(SIZE)], [broken])
    assert made.fallback is not Fallback.REPACKED


def test_lossless_jpeg_xl_that_is_not_is_an_error(monkeypatch):
    monkeypatch.setattr(neural, "_from_jpegxl", lambda data, like: like ^ 1)
    with pytest.raises(SlideWriteError, match="lossless"):
        coded({}, drawn(Size(16, 8)))


def test_a_tile_larger_than_networks_are_given_is_jpeg_xl():
    made, _ = coded(LAX, np.zeros((16, 2049, 3), np.uint8))
    assert made.fallback is Fallback.FELL_BACK


def test_a_tile_is_refined_before_it_falls_back():
    coarse, _ = coded({**LAX, "quality": 2}, drawn(SIZE))
    finest = len(create_codec(NAME).model.card.steps)
    fine, _ = coded({**LAX, "quality": finest}, drawn(SIZE))
    between = (coarse.fidelity.psnr + fine.fidelity.psnr) / 2
    made, back = coded({**LAX, "quality": 2, "min_psnr": between}, drawn(SIZE))
    assert made.fallback is Fallback.REFINED
    assert unpack(made.data).step > 1
    assert psnr(drawn(SIZE), back) >= between


@pytest.mark.parametrize("limit", ["min_ssim", "min_psnr"])
def test_a_tile_takes_the_coarsest_step_that_is_true_enough_and_only_the_guard_decides(limit):
    steps = range(1, len(create_codec(NAME).model.card.steps) + 1)
    each = [coded({**LAX, "quality": step}, drawn(SIZE))[0] for step in steps]
    wanted = 4
    least = (getattr(each[wanted].fidelity, limit[4:]) + getattr(each[wanted - 1].fidelity, limit[4:])) / 2
    made, _ = coded({**LAX, limit: least}, drawn(SIZE))
    assert made.data == each[wanted].data
    assert made.fallback is Fallback.NONE


def test_where_the_search_begins_changes_nothing():
    codec = create_codec(NAME, {"min_ssim": 0.93, "max_color_shift": 255.0, "min_psnr": 0.0})
    tiles = [drawn(SIZE, seed) for seed in range(2)]
    plain = np.full((256, 256, 3), (236, 232, 238), np.uint8)
    noisy = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    first, second = encode_tiles(codec, tiles)
    assert encode_tiles(codec, [plain, plain, *tiles])[2:] == [first, second]
    assert encode_tiles(codec, [noisy, noisy, *tiles])[2:] == [first, second]


def test_a_brown_spot_that_ssim_does_not_see_is_a_shift_of_colour():
    pixels = drawn(SIZE)
    spoilt = pixels.astype(np.int16)
    spoilt[64:80, 96:112] += np.array([12, 2, -14], np.int16)
    spoilt = np.clip(spoilt, 0, 255).astype(np.uint8)
    found = fidelity(pixels, spoilt)
    assert found.ssim > 0.99
    assert found.color_shift > 10
    assert not neural.Guard(0.95, 25.0, 6.0).passes(found)


def test_a_tile_with_nothing_on_it_goes_where_it_is_cheapest():
    pixels = np.full((256, 256, 3), (236, 232, 238), np.uint8)
    made, back = coded({}, pixels)
    assert made.fallback in (Fallback.SPARSE, Fallback.FELL_BACK)
    assert len(made.data) < 200
    assert ssim(pixels, back) > 0.99


def test_noise_falls_back_and_is_still_true():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    made, back = coded({"min_ssim": 0.98}, pixels)
    assert made.fallback is Fallback.FELL_BACK
    assert ssim(pixels, back) >= 0.98


def test_a_tile_too_small_to_compare_is_lossless():
    pixels = drawn(Size(16, 8))
    made, back = coded({}, pixels)
    assert made.fidelity == Fidelity(1.0, math.inf, 0.0)
    assert (back == pixels).all()


@pytest.mark.parametrize("size", [Size(240, 240), Size(512, 256), Size(100, 70), Size(17, 33)])
def test_tiles_of_any_size_come_back_in_it(size):
    made, back = coded(LAX, drawn(size))
    assert back.shape == (*size.shape, 3)
    assert made.fidelity.psnr == pytest.approx(psnr(drawn(size), back))


@pytest.mark.gate
def test_a_batch_is_what_its_tiles_are_each_alone():
    codec = create_codec(NAME, LAX)
    tiles = [drawn(size, seed) for seed, size in enumerate([SIZE] * 5 + [Size(64, 48)] * 2 + [SIZE])]
    together = encode_tiles(codec, tiles)
    alone = [encode_tiles(codec, [tile])[0] for tile in tiles]
    for one, other in zip(together, alone, strict=True):
        assert one.fidelity.psnr == pytest.approx(other.fidelity.psnr, abs=0.05)
    stored = [
        EncodedTile(made.data, codec.encoding, Size(tile.shape[1], tile.shape[0]))
        for made, tile in zip(together, tiles, strict=True)
    ]
    for back, tile in zip(decode_tiles(stored), stored, strict=True):
        assert np.abs(back.astype(int) - decode_tile(tile)).max() <= 1


def test_a_jpeg_stream_stands_for_a_tile_too():
    import imagecodecs

    pixels = drawn(SIZE)
    data = imagecodecs.jpeg8_encode(pixels, level=95)
    back = decode_tile(EncodedTile(data, create_codec(NAME).encoding, SIZE))
    assert psnr(pixels, back) > 30


def test_a_payload_of_another_size_is_refused():
    made, _ = coded(LAX, drawn(SIZE))
    with pytest.raises(ValueError, match="expected 240"):
        decode_tile(EncodedTile(made.data, create_codec(NAME).encoding, Size(240, 256)))


@pytest.mark.gate
def test_damages_give_an_error_or_the_right_pixels():
    rng = np.random.default_rng(0)
    codec = create_codec(NAME, LAX)
    pixels = drawn(Size(64, 64))
    data = codec.encode(pixels)
    assert is_payload(data)
    right = decode_tile(EncodedTile(data, codec.encoding, Size(64, 64)))
    errors, trials = 0, trial_size(400, 2000)
    for _ in range(trials):
        try:
            back = decode_tile(EncodedTile(damaged(data, rng), codec.encoding, Size(64, 64)))
        except (ValueError, RuntimeError):
            errors += 1
            continue
        assert (back == right).all()
    assert errors > 0.95 * trials


@pytest.mark.gate
def test_damages_with_a_right_checksum_end_no_process():
    import zlib

    rng = np.random.default_rng(1)
    codec = create_codec(NAME, LAX)
    data = codec.encode(drawn(Size(64, 64)))
    for _ in range(trial_size(100, 500)):
        forged = bytearray(damaged(data, rng))
        forged[:4] = data[:4]
        forged[8:16] = data[8:16]
        forged[4:8] = zlib.crc32(forged[8:]).to_bytes(4, "little")
        try:
            back = decode_tile(EncodedTile(bytes(forged), codec.encoding, Size(64, 64)))
        except (ValueError, RuntimeError):
            continue
        assert back.shape == (64, 64, 3)


def damaged(data, rng):
    """The bytes with some changed, cut, doubled, or others put in."""
    found = bytearray(data)
    kind = rng.integers(5)
    at, other = sorted(rng.integers(0, len(found), 2).tolist())
    if kind == 0:
        found[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        found = found[:at]
    elif kind == 2:
        del found[at : other + 1]
    elif kind == 3:
        found[at:at] = rng.integers(0, 256, int(rng.integers(1, 40))).astype(np.uint8).tobytes()
    else:
        found[at : other + 1] = rng.integers(0, 256, other + 1 - at).astype(np.uint8).tobytes()
    return bytes(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_ssim": 1.1}, "min_ssim is 1.1"),
        ({"min_psnr": -1.0}, "min_psnr is -1"),
        ({"max_color_shift": 256.0}, "max_color_shift is 256"),
        ({"quality": 0}, "quality of model"),
        ({"quality": 99}, "quality of model"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create_codec(NAME, options)


def test_what_is_remembered_is_what_would_be_made_and_nothing_is_made_twice(monkeypatch):
    tiles = [drawn(Size(128, 128), seed) for seed in range(3)]
    limits = [{**LAX, "quality": 2}, {**LAX, "min_ssim": 0.97}, {**LAX, "max_color_shift": 0.01}, {}]
    alone = [encode_tiles(create_codec(NAME, limit), tiles) for limit in limits]
    made = []
    write, encode = neural.NeuralCodec._packed, neural.jpegxl.Codec.encode
    monkeypatch.setattr(
        neural.NeuralCodec, "_packed", lambda codec, *of: (made.append(of[2]), write(codec, *of))[1]
    )
    monkeypatch.setattr(
        neural.jpegxl.Codec, "encode", lambda codec, of: (made.append(0), encode(codec, of))[1]
    )
    with remembering():
        first = [encode_tiles(create_codec(NAME, limit), tiles) for limit in limits]
        before = len(made)
        again = [encode_tiles(create_codec(NAME, limit), tiles) for limit in reversed(limits)]
        lossless = [tile for tile in again[1] if tile.fidelity == Fidelity(1.0, math.inf, 0.0)]
    assert first == alone == again[::-1]
    assert len(made) - before == len(lossless)  # no setting is sought by these
    encode_tiles(create_codec(NAME, limits[0]), tiles)
    assert len(made) > before + len(lossless)  # all is forgotten
