"""Cleaning masks in micrometres, writing them for others, and the audit picture."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely.geometry import shape

from wsicomp.errors import ConfigError
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Size
from wsicomp.slide import Level
from wsicomp.tissue import morphology
from wsicomp.tissue.audit import REMOVED, SAVED, audit_picture
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.mask_writer import write_mask
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.tile_classes import TileKind


def fill_holes(pixels, diameter_px):
    return morphology.fill_holes(BitMask.of(pixels), diameter_px).pixels()


def drop_specks(pixels, diameter_px):
    return morphology.drop_specks(BitMask.of(pixels), diameter_px).pixels()


def blob(rows=60, columns=80):
    pixels = np.zeros((rows, columns), np.bool_)
    pixels[10:50, 20:60] = True
    return pixels


def test_holes_up_to_a_disc_are_filled_and_larger_ones_stay():
    pixels = blob()
    pixels[20:23, 25:28] = False
    pixels[30:45, 35:50] = False
    filled = fill_holes(pixels, 6)
    assert filled[20:23, 25:28].all()
    assert not filled[30:45, 35:50].any()
    assert np.array_equal(fill_holes(pixels, 0), pixels)


def test_glass_at_the_edge_of_the_picture_is_no_hole():
    pixels = np.ones((20, 20), np.bool_)
    pixels[0, :3] = False
    assert np.array_equal(fill_holes(pixels, 100), pixels)


def test_specks_are_dropped_and_pieces_stay():
    pixels = blob()
    pixels[2:4, 2:4] = True
    cleaned = drop_specks(pixels, 4)
    assert not cleaned[2:4, 2:4].any()
    assert np.array_equal(cleaned[10:50], blob()[10:50])
    assert not drop_specks(np.zeros((5, 5), np.bool_), 4).any()


def test_bands_of_rows_find_what_the_whole_picture_shows(monkeypatch):
    noise = np.random.default_rng(1).standard_normal((400, 90)).astype(np.float32)
    pixels = cv2.GaussianBlur(noise, (0, 0), 2) > 0.02
    pixels[50:350, 40] = True
    tidied = {}
    for band in (1, 7, 1000):
        monkeypatch.setattr(morphology, "_LEAST_SQUARE_PX", band)
        tidied[band] = fill_holes(pixels, 4.5), drop_specks(pixels, 4.5)
    assert (tidied[1000][0] != pixels).any()
    assert (tidied[1000][1] != pixels).any()
    for band in (1, 7):
        assert np.array_equal(tidied[band], tidied[1000])


def mask_of(pixels, scale=4.0):
    rows, columns = pixels.shape
    return TissueMask(pixels, Size(round(columns * scale), round(rows * scale)), scale, scale, "test")


def info_of(mask):
    shape = (mask.slide.height, mask.slide.width, 3)
    return PictureSlide("a.png", np.full(shape, 255, np.uint8), 0.5).info


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ome.tiff", ".geojson"])
def test_a_written_mask_reads_back_as_it_was(tmp_path, suffix):
    pixels = blob()
    pixels[25:35, 30:40] = False
    pixels[2, 3] = True
    mask = mask_of(pixels)
    write_mask(tmp_path / f"mask{suffix}", mask, info_of(mask))
    back = read_mask(tmp_path / f"mask{suffix}", mask.slide)
    rows, columns = back.pixels.shape
    enlarged = np.repeat(np.repeat(pixels, rows // 60, axis=0), columns // 80, axis=1)
    assert (back.pixels != enlarged).mean() < (0.02 if suffix == ".geojson" else 1e-9)
    assert [path.name for path in tmp_path.iterdir()] == [f"mask{suffix}"]


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outlines_enclose_each_tissue_pixel_and_no_glass_pixel(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("outline") / "mask.geojson"
    mask = mask_of(pixels, 64.0)
    write_mask(path, mask, info_of(mask))
    if not pixels.any():
        assert json.loads(path.read_text())["features"] == []
        return
    back = read_mask(path, mask.slide).pixels
    middles = back[32::64, 32::64]
    assert np.array_equal(middles, pixels)
    outlines = shape(json.loads(path.read_text())["features"][0]["geometry"])
    assert outlines.is_valid
    # Of pixels that touch at a corner alone the smooth outline has 39 %.
    assert outlines.area == pytest.approx(pixels.sum() * 64 * 64, rel=0.65)


def test_an_ome_tiff_has_levels_and_its_scale(tmp_path):
    mask = mask_of(np.repeat(np.repeat(blob(), 20, axis=0), 20, axis=1))
    write_mask(tmp_path / "mask.ome.tiff", mask, info_of(mask))
    with tifffile.TiffFile(tmp_path / "mask.ome.tiff") as tiff:
        assert [level.shape for level in tiff.series[0].levels] == [(1200, 1600), (600, 800), (300, 400)]
        assert 'PhysicalSizeX="2.0"' in tiff.ome_metadata
    write_mask(tmp_path / "again.ome.tiff", mask, info_of(mask))
    assert (tmp_path / "again.ome.tiff").read_bytes() == (tmp_path / "mask.ome.tiff").read_bytes()


def test_a_name_that_says_no_format_is_refused(tmp_path):
    mask = mask_of(blob())
    with pytest.raises(ConfigError, match=r"expected one of \.png"):
        write_mask(tmp_path / "mask.bmp", mask, info_of(mask))
    assert not list(tmp_path.iterdir())


def test_the_audit_picture_shows_what_goes_and_what_the_guard_saved():
    level = Level(Size(800, 600), Size(200, 200), 1.0)
    kinds = np.full((3, 4), TileKind.GLASS, np.uint8)
    kinds[1, 1], kinds[0, 3] = TileKind.MIXED, TileKind.RESCUED
    pixels = np.zeros((300, 400), np.bool_)
    pixels[120:180, 120:180] = True
    overview = Overview(np.full((300, 400, 3), 240, np.uint8), level.size, 2.0, 2.0)
    picture = audit_picture(overview, level, kinds, TissueMask(pixels, level.size, 2.0, 2.0, "test"))
    assert picture.shape[0] > 300
    shade = np.rint(240 * 0.55 + np.array(REMOVED) * 0.45)
    assert np.array_equal(picture[250, 250], shade)
    assert np.array_equal(picture[150, 150], [240] * 3)
    assert np.array_equal(picture[1, 301], SAVED)
