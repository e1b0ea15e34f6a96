"""JPEG 2000 is as true as was asked, whatever OpenJPEG makes of the request."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.drawn.pale import pale_tile, specked_tile, write_pale_slide
from tests.paths import FIXTURES
from wsicomp import ConversionConfig, convert_slide
from wsicomp.codecs.base import Fallback
from wsicomp.codecs.quality import color_shift
from wsicomp.codecs.registry import create_codec, encode_tiles, is_guarded
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Size
from wsicomp.progress import no_progress
from wsicomp.verification.verify import verify_slide


def psnr(first, second):
    return 10 * np.log10(255**2 / max(1e-12, np.mean((first.astype(float) - second) ** 2)))


def verify(target, source):
    slide = open_reader(source)
    try:
        return verify_slide(target, slide, open_reader(target).provenance.plan.source.sha256, 1, no_progress)
    finally:
        slide.close()


@pytest.mark.parametrize("asked_db", [30.0, 34.0, 37.0, 40.0, 44.0])
def test_a_pale_tile_has_the_psnr_that_was_asked_for_where_openjpeg_misses_it(asked_db):
    tile = pale_tile()
    (made,) = encode_tiles(create_codec("jpeg2000", {"psnr": asked_db}), [tile])
    back = imagecodecs.jpeg2k_decode(made.data)
    assert psnr(tile, back) >= asked_db
    assert made.fidelity.psnr == pytest.approx(psnr(tile, back))
    plainly = imagecodecs.jpeg2k_encode(tile, level=asked_db, codecformat="j2k", reversible=False)
    missed = psnr(tile, imagecodecs.jpeg2k_decode(plainly)) < asked_db
    assert made.fallback is Fallback.REFINED or not missed


@pytest.mark.parametrize("speck_px", [6, 10])
@pytest.mark.parametrize("asked_db", [30.0, 37.0])
def test_a_speck_on_glass_is_still_there(speck_px, asked_db):
    tile = specked_tile(speck_px=speck_px)
    (made,) = encode_tiles(create_codec("jpeg2000", {"psnr": asked_db}), [tile])
    back = imagecodecs.jpeg2k_decode(made.data)
    assert color_shift(tile, back) <= max(6, 255 / 10 ** (asked_db / 20))
    plainly = imagecodecs.jpeg2k_encode(tile, level=asked_db, codecformat="j2k", reversible=False)
    assert color_shift(tile, imagecodecs.jpeg2k_decode(plainly)) > 10


def test_what_lies_beyond_the_level_does_not_count_for_its_last_tiles():
    tile = np.zeros((256, 256, 3), np.uint8)
    tile[:40, :24] = np.random.default_rng(0).integers(90, 220, (40, 24, 3))
    codec = create_codec("jpeg2000", {"psnr": 37.0})
    (whole,) = encode_tiles(codec, [tile])
    (cut,) = encode_tiles(codec, [tile], visible=[Size(24, 40)])
    inside = np.s_[:40, :24]
    assert psnr(tile[inside], imagecodecs.jpeg2k_decode(whole.data)[inside]) < 37
    assert psnr(tile[inside], imagecodecs.jpeg2k_decode(cut.data)[inside]) >= 37
    assert cut.fidelity.psnr == pytest.approx(psnr(tile[inside], imagecodecs.jpeg2k_decode(cut.data)[inside]))


def test_what_no_wavelet_of_openjpegs_reaches_is_lossless():
    tile = pale_tile(side=64)
    (made,) = encode_tiles(create_codec("jpeg2000", {"psnr": 70.0}), [tile])
    assert (imagecodecs.jpeg2k_decode(made.data) == tile).all()
    assert made.fidelity.psnr == np.inf


def test_a_codec_is_guarded_if_it_measures_its_tiles():
    assert is_guarded("jpeg2000")
    assert is_guarded("bmshj2018-factorized")
    assert not any(is_guarded(name) for name in ("copy", "jpeg", "jpegxl", "webp", "none"))


@pytest.mark.gate
@pytest.mark.parametrize("options", [{"psnr": 37.0}, {"rate": 60.0}], ids=str)
def test_a_conversion_reports_its_least_psnr_and_verify_finds_it_again(options, tmp_path):
    truth = write_pale_slide(tmp_path / "pale.tif")
    config = ConversionConfig.of(codec="jpeg2000", glass="keep", workers=1, **options)
    report = convert_slide(tmp_path / "pale.tif", tmp_path / "out.svs", config)
    shown = tifffile.imread(tmp_path / "out.svs", series=0)
    tiles = [
        np.s_[row : row + 256, column : column + 256] for row in (0, 256) for column in range(0, 1024, 256)
    ]
    measured = [psnr(truth[tile], shown[tile]) for tile in tiles]
    guarded = report.levels[0].guarded
    assert guarded.tiles == 8
    assert guarded.least_psnr == pytest.approx(min(measured), abs=0.01)
    if "psnr" in options:
        assert min(measured) >= options["psnr"]
    found = verify(tmp_path / "out.svs", tmp_path / "pale.tif")
    assert not found.problems
    assert found.measured.least_psnr == pytest.approx(min(measured), abs=0.01)


def test_verify_finds_the_tiles_that_0_5_0_left_under_their_psnr():
    found = verify(
        FIXTURES / "v050" / "jpeg2000_pale.target.svs", FIXTURES / "v050" / "jpeg2000_pale.source.tif"
    )
    assert {problem.code for problem in found.problems} == {"tile-unfaithful"}
    assert all("PSNR 36." in problem.message for problem in found.problems)
    assert found.measured.least_psnr < 37
