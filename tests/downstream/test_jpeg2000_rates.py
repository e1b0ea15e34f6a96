"""Rates of JPEG 2000: what is asked for is reached, by other decoders, and mosaics come back."""

import io

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from wsicomp.downstream import jpeg2000_rates
from wsicomp.downstream.jpeg2000_rates import (
    encode_at_rate,
    mosaic,
    picture_at_rate,
    psnr_of,
    slices_at_rate,
    unmosaicked,
)


@pytest.fixture(scope="module")
def head():
    """12 bits: smooth, with fine texture, as MR is."""
    rng = np.random.default_rng(5)
    rough = cv2.GaussianBlur(rng.normal(size=(30 * 50, 36)), (0, 0), 4).reshape(30, 50, 36)
    texture = rng.normal(size=(30, 50, 36))
    values = 2000 + 9000 * rough + 60 * texture
    return values.clip(0, 4095).astype(np.uint16)


@pytest.mark.parametrize("rate", [2, 5, 20, 50])
def test_small_slices_reach_the_rate_in_mosaics(head, rate):
    found = slices_at_rate(head, 12, rate)
    assert head.size * 12 / 8 / found.bytes == pytest.approx(rate, rel=0.06)
    assert found.samples.shape == head.shape
    assert found.samples.dtype == head.dtype
    assert found.samples.max() < 1 << 12


def test_a_slice_alone_ends_in_its_headers(head):
    found = slices_at_rate(head[:1], 12, 100)
    assert head[0].size * 1.5 / found.bytes < 40


def test_quality_falls_with_the_rate_and_rate_1_is_exact(head):
    psnrs = [psnr_of(head, slices_at_rate(head, 12, rate).samples, 4095) for rate in (2, 5, 20, 50)]
    assert psnrs == sorted(psnrs, reverse=True)
    whole = slices_at_rate(head, 12, 1)
    assert whole.bytes == head.size * 3 // 2
    assert psnr_of(head, whole.samples, 4095) is None


def test_psnr_is_that_of_scikit_image(head):
    found = slices_at_rate(head, 12, 20).samples
    assert psnr_of(head, found, 4095) == pytest.approx(peak_signal_noise_ratio(head, found, data_range=4095))


def test_other_decoders_read_the_same_from_a_stream(head):
    picture = mosaic(head, (5, 6))
    data = encode_at_rate(picture, 20)
    ours = imagecodecs.jpeg2k_decode(data)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), ours)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), ours)


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_a_mosaic_gives_its_slices_back(head, count):
    grid = jpeg2000_rates._grid(count, 50, 36)
    assert grid[0] * grid[1] >= count
    assert np.array_equal(unmosaicked(mosaic(head[:count], grid), grid, (count, 50, 36)), head[:count])


def test_neighbours_in_a_mosaic_meet_at_the_same_edge(head):
    picture = mosaic(np.stack([head[0]] * 4), (2, 2))
    assert np.array_equal(picture[49], picture[50])
    assert np.array_equal(picture[:, 35], picture[:, 36])


def test_large_slices_take_a_mosaic_each(monkeypatch, head):
    monkeypatch.setattr(jpeg2000_rates, "_MOSAIC_PX", 10 * 50 * 36)
    found = slices_at_rate(head[:23], 12, 5)
    assert found.samples.shape == (23, 50, 36)
    assert psnr_of(head[:23], found.samples, 4095) > 30


def test_a_picture_reaches_the_rate_of_its_pixels():
    rng = np.random.default_rng(1)
    rough = cv2.GaussianBlur(rng.normal(size=(256, 256, 3)), (0, 0), 5)
    pixels = (128 + 600 * rough + rng.normal(0, 5, rough.shape)).clip(0, 255).astype(np.uint8)
    found = picture_at_rate(pixels, 20)
    assert pixels.size / found.bytes == pytest.approx(20, rel=0.05)
    assert psnr_of(pixels, found.samples, 255) > 25
