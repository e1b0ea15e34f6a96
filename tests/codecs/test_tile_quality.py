"""Rate and fidelity of tiles, one by one and over many."""

import math
from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wsicomp.codecs.quality import psnr, similarities, ssim
from wsicomp.codecs.registry import create_codec
from wsicomp.codecs.tile_quality import (
    TileFidelity,
    encoded_fidelity,
    overall_quality,
    round_trip,
    tile_fidelity,
)
from wsicomp.geometry import TileIndex


def pictures(noise, seed=0):
    rng = np.random.default_rng(seed)
    first = np.clip(rng.normal(200, 30, (32, 32, 3)), 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    second = np.clip(first + rng.normal(0, noise, first.shape), 0, 255).astype(np.uint8)
    return first, second


@pytest.mark.parametrize("noise", [0, 2, 10, 60])
def test_ssim_and_psnr_are_those_of_scikit_image(noise):
    first, second = pictures(noise)
    theirs = structural_similarity(
        first,
        second,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )
    assert ssim(first, second) == pytest.approx(theirs, abs=1e-5)
    if noise:
        assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(first, second), abs=1e-9)
    else:
        assert math.isinf(psnr(first, second))


def test_the_first_of_both_similarities_is_that_which_is_given_alone():
    first, second = pictures(12)
    assert similarities(first, second)[0] == ssim(first, second)


def tile(number, ssim=0.9, psnr=30.0, size=1000):
    return TileFidelity(TileIndex(0, number, 0), size, 1000, ssim, 0.99, psnr, 1.0 + number)


def test_exact_tiles_have_no_psnr_and_do_not_raise_the_mean():
    found = overall_quality([tile(0, 1.0, math.inf), tile(1, 0.8, 30.0), tile(2, 0.9, 40.0)])
    assert (found.tiles, found.exact_tiles, found.psnr_db, found.least_psnr_db) == (3, 1, 35.0, 30.0)
    assert found.ssim == pytest.approx(0.9)
    assert (found.worst_tile, found.most_color_shift_levels) == ("level 0 tile (1, 0)", 3.0)
    assert overall_quality([tile(0, 1.0, math.inf)]).psnr_db is None
    assert overall_quality([]) is None


def test_a_tile_counts_as_often_as_it_speaks_for_others():
    found = overall_quality([tile(0, 0.8, size=500), tile(1, 0.9, size=1500)], np.array([3.0, 1.0]))
    assert found.ssim == pytest.approx(0.825)
    assert found.bits_per_pixel == pytest.approx(8 * (3 * 500 + 1500) / 4000)
    assert found.ssim_spread == pytest.approx(math.sqrt(0.75 * 0.025**2 + 0.25 * 0.075**2))


def test_what_lies_outside_of_the_level_is_not_looked_at():
    first, second = pictures(0)
    second = second.copy()
    second[:, 200:] = 0
    found = tile_fidelity(TileIndex(0, 0, 0), 77, first[:, :200], second)
    assert (found.ssim, found.px, found.bytes) == (1.0, 256 * 200, 77)


def test_tiles_with_less_tissue_count_for_the_worst_and_not_for_the_mean():
    found = overall_quality(
        [tile(0, 0.9, 35.0), replace(tile(1, 0.5, 22.0), is_edge=True)], np.array([1.0, 9.0])
    )
    assert (found.tiles, found.edge_tiles, found.ssim, found.psnr_db) == (1, 1, 0.9, 35.0)
    assert (found.least_ssim, found.least_psnr_db, found.worst_tile) == (0.5, 22.0, "level 0 tile (1, 0)")
    assert overall_quality([replace(tile(1), is_edge=True)]) is None


@pytest.mark.parametrize(("codec", "options"), [("jpeg", {"quality": 50}), ("jpegxl", {"lossless": True})])
def test_a_codec_is_measured_by_what_it_stores_and_what_comes_back(codec, options):
    first, second = pictures(20)
    made = create_codec(codec, options)
    found = encoded_fidelity(made, [(TileIndex(0, 0, 0), first), (TileIndex(0, 1, 0), second)])
    for fidelity, source, (stored, back) in zip(
        found, (first, second), round_trip(made, [first, second]), strict=True
    ):
        assert fidelity == tile_fidelity(fidelity.index, stored, source, back)
        assert fidelity.bits_per_pixel == 8 * stored / 256**2
        assert math.isinf(fidelity.psnr) == (codec == "jpegxl")
    assert [fidelity.index.column for fidelity in found] == [0, 1]
