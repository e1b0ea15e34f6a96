"""Figures of volumes, against scikit-image, SciPy's entropy and sums by hand."""

import math

import numpy as np
import pytest
from scipy.stats import entropy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests.volumes.comparison.drawn import SHAPE, voxels
from wsicomp.codecs.quality import psnr
from wsicomp.volumes.comparison.figures import (
    ValueCounts,
    counted_values,
    measure_fidelity,
    peak_to_noise_db,
    similarity_map,
)


def smooth(seed, dtype=np.int16):
    """A volume with structure, of 16 bits: (slices, rows, columns)."""
    rng = np.random.default_rng(seed)
    waves = np.add.outer(np.sin(np.arange(SHAPE[1]) / 3), np.cos(np.arange(SHAPE[2]) / 4))
    return (9000 * waves + rng.normal(12000, 800, SHAPE)).astype(dtype)


def noisy(source, spread, seed=2):
    noise = np.random.default_rng(seed).normal(0, spread, source.shape)
    return (source + noise.astype(np.int64)).astype(source.dtype)


def measured(source, found, mask=None):
    masks = [None] * len(source) if mask is None else mask
    span = float(source.max()) - float(source.min())
    return measure_fidelity(zip(source, found, masks, strict=True), span), span


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_ssim_and_psnr_are_those_of_scikit_image(dtype):
    source = (smooth(1) // (200 if dtype == np.uint8 else 1)).astype(dtype)
    found = noisy(source, 3 if dtype == np.uint8 else 500)
    fidelity, span = measured(source, found)
    theirs = [
        structural_similarity(
            one.astype(np.float64),
            other.astype(np.float64),
            data_range=span,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(source, found, strict=True)
    ]
    assert fidelity.ssim == pytest.approx(np.mean(theirs), abs=1e-9)
    assert fidelity.least_ssim == pytest.approx(min(theirs), abs=1e-9)
    assert fidelity.worst_slice == np.argmin(theirs)
    for peak in (4096, 65_535, span):
        ours = psnr(source.astype(np.float64), found.astype(np.float64), peak)
        assert peak_to_noise_db(fidelity.whole, peak) == pytest.approx(ours, abs=1e-9)
        expected = peak_signal_noise_ratio(
            source.astype(np.float64), found.astype(np.float64), data_range=peak
        )
        assert peak_to_noise_db(fidelity.whole, peak) == pytest.approx(expected, abs=1e-9)


def test_sixteen_bits_do_not_cancel_out():
    source = np.full((32, 32), 65_535.0)
    source[::2] -= 1
    assert similarity_map(source, source, 65_535).min() == pytest.approx(1, abs=1e-12)


def test_inside_and_outside_of_a_region_are_measured_apart():
    source = smooth(3)
    mask = np.zeros(SHAPE, bool)
    mask[:, 4:16, 4:16] = True
    found = np.where(mask, source, noisy(source, 300))
    fidelity, span = measured(source, found, mask)
    error = source.astype(np.int64) - found
    assert (fidelity.inside.changed, fidelity.inside.voxels) == (0, int(mask.sum()))
    assert peak_to_noise_db(fidelity.inside, span) is None
    assert fidelity.outside.changed == int((error != 0).sum())
    assert fidelity.outside.most == abs(error).max()
    assert fidelity.outside.squares == (error**2).sum()
    assert fidelity.ssim_inside > fidelity.ssim
    assert fidelity.whole.voxels == source.size


def test_what_is_exact_says_so():
    source = voxels()
    fidelity, _ = measured(source, source.copy())
    assert (fidelity.ssim, fidelity.least_ssim, fidelity.whole.changed) == (1.0, 1.0, 0)
    assert fidelity.ssim_inside is None
    assert fidelity.entropy_bits == counted_values(source).entropy_bits


def test_slices_smaller_than_the_window_have_no_ssim():
    source = voxels()[:, :10]
    fidelity, _ = measured(source, noisy(source, 5))
    assert (fidelity.ssim, fidelity.worst_slice) == (None, None)
    assert fidelity.whole.changed


def test_entropy_span_and_quantiles_of_values():
    source = voxels(4)
    counts = counted_values(source)
    _, times = np.unique(source, return_counts=True)
    assert counts.entropy_bits == pytest.approx(entropy(times, base=2))
    assert (counts.least, counts.greatest, counts.used_bits) == (-1024, 3071, 12)
    for share in (0.01, 0.5, 0.995):
        assert counts.quantile(share) == np.quantile(source, share, method="inverted_cdf")


def test_values_that_are_not_finite_or_not_whole_take_no_bits():
    counts = ValueCounts()
    counts.add(np.array([[np.nan, np.inf, 2.0, 3.0]], np.float32))
    assert (counts.used_bits, counts.least, counts.greatest, counts.entropy_bits) == (None, 2, 3, 1)
    halves = counted_values([np.array([[0.5, 1.0]])])
    assert halves.used_bits is None


def test_a_constant_volume_has_no_entropy_and_takes_no_bit():
    counts = counted_values([np.full((4, 4), -5, np.int16)])
    assert (counts.entropy_bits, counts.used_bits, counts.span) == (0, 0, 0)


def test_more_values_than_sixteen_bits_have_are_not_counted():
    counts = counted_values(np.random.default_rng(1).normal(size=(3, 300, 300)))
    assert counts.entropy_bits is None
    assert counts.least <= counts.quantile(0.5) <= counts.greatest
    assert math.isfinite(counts.span)
