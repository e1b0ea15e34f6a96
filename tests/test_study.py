"""The parts of `scripts/study` that need no slide: curves, filters and pictures with a coarse background."""

import sys

import cv2
import numpy as np
import pytest

from tests.paths import ROOT
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.tissue.mask import TissueMask

sys.path.insert(0, str(ROOT / "scripts"))

import results_page
import roi_slides
import study_codecs
import study_roi
import study_smoothing
import study_tiles
from PIL import Image
from study_tiles import Point, registered, single


@pytest.fixture(scope="module")
def tissue():
    """Pink with purple blots of several sizes."""
    random = np.random.default_rng(3)
    picture = np.full((512, 512, 3), (225, 170, 205), np.float32)
    for sigma, depth in ((1, 60), (3, 300), (10, 700)):
        blots = cv2.GaussianBlur(random.normal(size=(512, 512)).astype(np.float32), (0, 0), sigma)
        picture -= depth * np.maximum(blots, 0)[..., None] * np.array([0.9, 1, 0.5], np.float32)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tiles(tissue):
    return study_tiles.picture_tiles(tissue)[:2]


def point(bits, ssim, setting=0.0):
    return Point(setting, bits, ssim, 1.25, 0.5)


def test_tiles_are_the_whole_ones_of_every_picture(tmp_path, tissue):
    Image.fromarray(tissue[:300]).save(tmp_path / "a.png")
    Image.fromarray(tissue[:, :256]).save(tmp_path / "b.webp", lossless=True)
    (tmp_path / "notes.txt").write_text("no picture")
    found = study_tiles.tiles_of(tmp_path, 100)
    assert [
        np.array_equal(tile, tissue[y : y + 256, x : x + 256])
        for tile, (y, x) in zip(found, [(0, 0), (0, 256), (0, 0), (256, 0)], strict=True)
    ] == [True] * 4
    assert len(study_tiles.tiles_of(tmp_path, 3)) == 3


def test_a_folder_without_pictures_ends_the_study_with_one_line(tmp_path):
    with pytest.raises(SystemExit, match="no picture of at least 256 px"):
        study_tiles.tiles_of(tmp_path, 4)


@pytest.mark.parametrize("coder", study_codecs.coders(), ids=lambda coder: coder.name)
def test_more_quality_takes_more_bits_and_is_truer(coder, tiles):
    ends = [
        study_tiles.point(coder, setting, tiles[:1])
        for setting in sorted(coder.settings)[:: len(coder.settings) - 1]
    ]
    coarse, fine = sorted(ends, key=lambda end: end.bits_per_pixel)
    assert coarse.bits_per_pixel < 0.8 * fine.bits_per_pixel
    assert coarse.ssim < fine.ssim <= 1
    assert fine.ssim > 0.9


def test_bits_and_ssim_are_of_the_stored_bytes_and_the_originals(tiles):
    coder = single(
        "raw",
        (1,),
        lambda _, tile: tile.tobytes(),
        lambda data: np.frombuffer(data, np.uint8).reshape(256, 256, 3),
    )
    assert study_tiles.point(coder, 1, tiles).bits_per_pixel == 24
    assert study_tiles.point(coder, 1, tiles).ssim == 1
    assert study_tiles.point(coder, 1, tiles, tiles[::-1]).ssim < 0.9


def test_the_table_gives_bits_between_two_settings_and_says_where_a_ladder_ends():
    line = [point(1, 0.88), point(4, 0.96)]
    row = study_codecs.table({"made up": line}).splitlines()[-1]
    assert row == "| made up | 1.41 | 3.36 | - (ends at 0.960) | 1.2 | 0.5 |"
    assert study_codecs.bits_cell([point(1, 0.93), point(2, 0.99)], 0.9) == "- (begins at 0.930)"


def test_the_report_says_that_heif_is_missing():
    assert "pillow-heif is not installed" in study_codecs.report({"WebP": [point(1, 0.9)]}, 4)
    assert "not installed" not in study_codecs.report({"HEIF (x265) 4:4:4": [point(1, 0.9)]}, 4)


def test_no_codec_of_wsicomp_is_avif_or_heif():
    from wsicomp.codecs.registry import codecs

    assert not [name for name in codecs() if name in ("avif", "heif", "heic")]
    assert "heif" not in (ROOT / "pyproject.toml").read_text()


def test_the_picture_has_every_curve(tmp_path):
    lines = {"WebP": [point(1, 0.9), point(2, 0.95)], "AVIF": [point(0.8, 0.9), point(1.5, 0.95)]}
    study_codecs.draw(lines, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().count('id="line2d') > 2
    study_codecs.draw(lines, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (990, 616)


def test_diffusion_keeps_a_strong_edge_and_the_mean_and_smooths_noise():
    noise = np.random.default_rng(0).integers(-6, 7, (64, 64, 3))
    tile = np.full((64, 64, 3), 60) + noise
    tile[:, 32:] += 140
    tile = tile.astype(np.uint8)
    made = study_smoothing.diffused(tile, 0.1)
    assert made[:, 4:28].std() < tile[:, 4:28].std() / 3
    assert made[:, 32].mean() - made[:, 31].mean() > 130
    assert made.mean() == pytest.approx(tile.mean(), abs=0.1)
    blurred = study_smoothing.diffused(tile, 10)
    assert blurred[:, 32].mean() - blurred[:, 31].mean() < 40


def test_a_filter_stands_beside_the_same_codec_coarser(tiles):
    codecs = {"JPEG q90": (registered("JPEG", "jpeg:{:g}", (10, 50, 90)), 90)}
    filters = {"none": lambda tile: tile, "median": study_smoothing.FILTERS["median, 3 px"]}
    lines = study_smoothing.table(tiles, filters, codecs).splitlines()
    usual, same, median = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    assert same[2:4] == usual[2:4] == ["0.0 %", same[3]]
    assert same[4] == "0.0 %"
    assert float(median[2].rstrip(" %")) > 0
    assert float(median[3]) < float(usual[3])


def test_a_recombined_picture_is_exact_where_its_mask_is_and_coarse_elsewhere(tissue):
    foreground = np.zeros(tissue.shape[:2], np.bool_)
    foreground[100:300, 50:333] = True
    made = study_roi.recombined(tissue, foreground)
    assert np.array_equal(made[foreground], tissue[foreground])
    assert np.abs(made[~foreground].astype(int) - tissue[~foreground]).mean() > 3


def test_a_picture_that_is_all_foreground_saves_nothing(tissue):
    section = study_roi.Section("all", tissue, np.full(tissue.shape[:2], 255, np.uint8), 0.5)
    found = study_roi.measured(section, study_roi.MASKS["labels, by hand"])
    assert (found.foreground, found.saved_png, found.saved_jpegxl, found.ssim) == (1, 0, 0, 1)
    assert "| exact | 1.000 |" in study_roi.table({"labels": [found]})


def test_less_foreground_saves_more(tissue):
    labels = np.zeros(tissue.shape[:2], np.uint8)
    labels[:128], labels[128:256] = 255, 128
    section = study_roi.Section("part", tissue, labels, 0.5)
    found = study_roi.measured(section, study_roi.MASKS["labels, by hand"])
    assert found.foreground == 0.5
    assert 0.2 < found.saved_png < 0.5
    assert found.psnr_db < 40


def test_a_mask_covers_the_picture_that_it_was_made_of():
    coarse = np.array([[True, False], [False, True]])
    mask = TissueMask(coarse, Size(5, 6), 2.5, 3.0, "drawn")
    expected = np.zeros((6, 5), np.bool_)
    expected[:3, :3] = expected[3:, 3:] = True
    assert np.array_equal(study_roi.enlarged(mask, (6, 5)), expected)


def test_a_segmenter_finds_the_tissue_of_a_picture(tissue):
    picture = np.full((600, 700, 3), 250, np.uint8)
    picture[100:400, 200:500] = tissue[:300, :300]
    section = study_roi.Section("drawn", picture, np.zeros((600, 700), np.uint8), 4.0)
    found = study_roi.MASKS["threshold"](section)
    assert found.shape == (600, 700)
    assert found[120:380, 220:480].mean() > 0.9
    assert not found[:60].any()
    assert not found[:, 540:].any()


def test_masks_of_another_program_are_read_by_name(tmp_path, tissue):
    Image.fromarray(np.eye(2, dtype=np.uint8) * 255).save(tmp_path / "one.png")
    section = study_roi.Section("one", tissue, np.zeros(tissue.shape[:2], np.uint8), 0.5)
    found = study_roi.in_folder(tmp_path)(section)
    assert found.shape == tissue.shape[:2]
    assert found[[0, -1, 0], [0, -1, -1]].tolist() == [True, True, False]


def test_the_page_has_the_marks_of_every_table():
    page = study_tiles.PAGE.read_text()
    for table in ("codecs", "smoothing", "roi"):
        assert "| x |" in results_page.replaced(page, table, "| x |")


def test_the_published_way_keeps_what_is_found_on_a_slide(tmp_path):
    source = tmp_path / "slide.svs"
    drawn = SyntheticSlide(Size(1100, 779), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(source, drawn, SyntheticFormat(tile_px=128, quality=90, downsamples=(1,)))
    assert roi_slides.fidelity_of(source, source) == (float("inf"), pytest.approx(1))
    found = roi_slides.measured(source, {"segmenter": "threshold"})
    assert 0 < found.foreground < 1
    assert 0 < found.saved < 1
    assert 15 < found.psnr_db < 60
    assert found.ssim < 1
