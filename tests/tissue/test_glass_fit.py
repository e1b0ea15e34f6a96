"""The colour of glass by six equations is that by all samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.geometry import Size
from wsicomp.tissue.glass_color import fit_glass_color
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview


def by_all_samples(pixels, is_glass):
    """Return the (6, 3) coefficients by numpy's least squares over all samples, reweighted as often."""
    rows, columns = np.nonzero(is_glass)
    y, x = (2 * (at + 0.5) / count - 1 for at, count in zip((rows, columns), pixels.shape, strict=False))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    colors, weights = pixels[rows, columns].astype(float), np.ones((len(x), 1))
    for _ in range(8):
        coefficients = np.linalg.lstsq(terms * weights, colors * weights, rcond=None)[0]
        residual = np.linalg.norm(colors - terms @ coefficients, axis=1, keepdims=True)
        weights = 1 / np.sqrt(1 + (residual / (2 * np.median(residual) + 1)) ** 2)
    return coefficients, terms


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 300))
@pytest.mark.parametrize("glass", [np.s_[:, :], np.s_[:30, 100:140], np.s_[5:9, :], np.s_[70:, :3]])
def test_the_fit_is_within_a_quarter_of_a_grey_level(glass, seed, noise, dust):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:120j, -1:1:160j]
    slopes = rng.uniform(-12, 12, 3)
    lamp = 222 + x * slopes[0] + y * slopes[1] + x * y * slopes[2]
    lamp = lamp[..., None] + rng.uniform(-3, 3, 3)  # hardly tinted: what is, no glass has
    pixels = lamp + rng.normal(0, noise, lamp.shape)
    pixels[tuple(rng.integers(0, side, dust) for side in (120, 160))] -= 40
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    tissue = np.ones((120, 160), np.bool_)
    tissue[glass] = False
    slide = Size(160, 120)
    found = fit_glass_color(Overview(pixels, slide, 1.0, 1.0), TissueMask(tissue, slide, 1.0, 1.0, "test"))
    expected, terms = by_all_samples(pixels, ~tissue)
    if found.typical != (255, 255, 255):
        assert np.abs(terms @ (found.coefficients - expected)).max() < 0.25
