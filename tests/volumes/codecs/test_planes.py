"""Every codec of planes keeps its promise: exact, or a stated loss."""

import bz2
import io
import tracemalloc

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from wsicomp.errors import ConfigError, UnknownCodecError, VolumeReadError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane, plane_dtype
from wsicomp.volumes.codecs.registry import PLANE_CODECS, plane_codec

LOSSLESS = [name for name, info in PLANE_CODECS.items() if info.is_lossless]
SHAPES = [(1, 1), (1, 40), (37, 1), (33, 65), (130, 97)]


def drawn(shape: tuple[int, int], bits: int, seed: int = 0) -> SamplePlane:
    """Return a smooth plane with noise and both extremes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    most = (1 << bits) - 1
    smooth = most * (0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 11)) + rng.normal(0, most / 50, shape)
    plane = np.clip(np.rint(smooth), 0, most).astype(plane_dtype(bits))
    plane[0, 0], plane[-1, -1] = 0, most
    return plane


def psnr_db(found: SamplePlane, expected: SamplePlane, bits: int) -> float:
    error = np.mean((found.astype(float) - expected) ** 2)
    return float(10 * np.log10(((1 << bits) - 1) ** 2 / error))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_codec_returns_every_sample(name: str, bits: int) -> None:
    codec = plane_codec(name)
    assert codec.lossless
    for shape in SHAPES:
        plane = drawn(shape, bits)
        back = codec.decode(codec.encode(plane, bits), shape, bits)
        assert back.dtype == plane.dtype
        assert back.flags.c_contiguous
        assert np.array_equal(back, plane), shape


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("fill", [0, 4095, "noise"])
def test_constant_planes_and_noise_are_exact(name: str, fill: int | str) -> None:
    codec = plane_codec(name)
    noise = np.random.default_rng(3).integers(0, 1 << 12, (40, 50)).astype(np.uint16)
    plane = noise if fill == "noise" else np.full((40, 50), fill, np.uint16)
    assert np.array_equal(codec.decode(codec.encode(plane, 12), plane.shape, 12), plane)


@pytest.mark.parametrize("effort", [1, 5, 7, 9])
def test_jpeg_xl_stores_repeated_shapes_in_a_form_that_it_reads(effort: int) -> None:
    plane = np.zeros((512, 512), np.uint16)
    letter = np.random.default_rng(0).integers(0, 2, (10, 8)) * 4095
    for y in range(20, 320, 40):
        for x in range(10, 490, 12):
            plane[y : y + 10, x : x + 8] = letter
    codec = plane_codec("jpegxl", effort=effort)
    assert np.array_equal(codec.decode(codec.encode(plane, 12), plane.shape, 12), plane)


def test_other_programs_read_the_planes() -> None:
    plane = drawn((64, 48), 8)
    with Image.open(io.BytesIO(plane_codec("jpeg2000").encode(plane, 8))) as image:
        assert np.array_equal(np.asarray(image), plane)
    wide = drawn((64, 48), 12)
    assert np.array_equal(imagecodecs.jpegxl_decode(plane_codec("jpegxl").encode(wide, 12)), wide)
    assert bz2.decompress(plane_codec("bz2").encode(wide, 12)) == wide.astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("name", "quality", "bits", "least_db"),
    [
        ("jpegxl", 90, 12, 35),
        ("jpegxl", 30, 8, 25),
        ("jpegls", 4, 12, 60),
        ("jpeg2000", 50, 12, 49),
        ("jpeg2000", 35, 8, 34),
        ("htj2k", 8, 12, 50),
        ("htj2k", 8, 8, 30),
        ("jpeg", 90, 8, 30),
    ],
)
def test_a_lossy_codec_stays_close_and_within_its_bits(
    name: str, quality: float, bits: int, least_db: float
) -> None:
    plane = drawn((96, 128), bits)
    codec = plane_codec(name, quality)
    data = codec.encode(plane, bits)
    back = codec.decode(data, plane.shape, bits)
    assert not codec.lossless
    assert back.dtype == plane.dtype
    assert back.max() < 1 << bits
    assert psnr_db(back, plane, bits) > least_db
    if name not in ("jpeg", "jpegxl"):  # they have no lossless form, or are perceptual
        assert len(data) < len(plane_codec(name).encode(plane, bits))


def test_jpeg_ls_errs_by_no_more_than_it_was_allowed() -> None:
    plane = drawn((96, 128), 12)
    codec = plane_codec("jpegls", 3)
    back = codec.decode(codec.encode(plane, 12), plane.shape, 12)
    assert np.abs(back.astype(int) - plane).max() == 3


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("rate", [4, 10, 40])
def test_jpeg_2000_reaches_the_rate_that_was_asked_for(rate: float, bits: int) -> None:
    plane = drawn((256, 256), bits)
    codec = plane_codec("jpeg2000", rate=rate)
    data = codec.encode(plane, bits)
    assert plane.nbytes / len(data) == pytest.approx(rate, rel=0.06)
    assert codec.decode(data, plane.shape, bits).shape == plane.shape


def test_a_rate_that_costs_nothing_is_lossless() -> None:
    plane = np.full((64, 64), 7, np.uint16)
    codec = plane_codec("jpeg2000", rate=5)
    assert np.array_equal(codec.decode(codec.encode(plane, 12), plane.shape, 12), plane)


CODECS = [plane_codec(name, None if info.is_lossless else 50) for name, info in PLANE_CODECS.items()]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_plane_of_another_size_is_refused_before_memory_is_taken(codec: PlaneCodec) -> None:
    bits = 8 if codec.name == "jpeg" else 12
    data = codec.encode(np.zeros((3000, 3000), plane_dtype(bits)), bits)
    tracemalloc.start()
    with pytest.raises(VolumeReadError):
        codec.decode(data, (20, 30), bits)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
    with pytest.raises(VolumeReadError):
        codec.decode(data, (3000, 3001), bits)
    with pytest.raises(VolumeReadError):
        codec.decode(b"", (20, 30), bits)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_plane_of_other_bits_is_refused(name: str) -> None:
    codec = plane_codec(name)
    plane = drawn((20, 30), 12)
    with pytest.raises(VolumeReadError):
        codec.decode(codec.encode(plane, 12), plane.shape, 8)
    with pytest.raises(VolumeReadError, match="samples of 4095, expected at most 1023"):
        codec.decode(codec.encode(plane, 12), plane.shape, 10)


def test_what_a_codec_cannot_do_is_said() -> None:
    with pytest.raises(UnknownCodecError, match="did you mean jpegxl"):
        plane_codec("jpgxl")
    with pytest.raises(ConfigError, match="zstd has no `quality`"):
        plane_codec("zstd", 5)
    with pytest.raises(ConfigError, match="jpegls has no `rate`"):
        plane_codec("jpegls", rate=5)
    with pytest.raises(ConfigError, match="`effort` of jpegxl is 11, expected 1 to 9"):
        plane_codec("jpegxl", effort=11)
    with pytest.raises(ConfigError, match="never lossless"):
        plane_codec("jpeg")
    with pytest.raises(ConfigError, match="exclude each other"):
        plane_codec("jpeg2000", 40, rate=5)
    with pytest.raises(ConfigError, match="8 bits a sample, and these have 12"):
        plane_codec("jpeg", 50).encode(drawn((8, 8), 12), 12)
