import json
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsicomp import MaskError
from wsicomp.geometry import Size
from wsicomp.slide import Level
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import read_mask

SLIDE = Size(1000, 600)


def mask_of(pixels, slide=SLIDE):
    rows, columns = pixels.shape
    return TissueMask(pixels, slide, slide.width / columns, slide.height / rows, "test")


def level(size=SLIDE, tile=Size(64, 64)):  # noqa: B008
    return Level(size, tile, SLIDE.width / size.width)


@given(st.integers(0, 99), st.integers(0, 59), st.sampled_from([SLIDE, Size(250, 150), Size(63, 38)]))
def test_a_tile_has_coverage_wherever_a_mask_pixel_reaches_into_it(column, row, size):
    pixels = np.zeros((60, 100), np.bool_)
    pixels[row, column] = True
    grid = level(size).grid
    coverage = mask_of(pixels).coverage(level(size))
    scale_x, scale_y = size.width / 100, size.height / 60
    for index in grid.raster(0):
        region = grid.region(index.column, index.row)
        reaches = (
            region.x < (column + 1) * scale_x - 1e-3
            and region.x + region.width > column * scale_x + 1e-3
            and region.y < (row + 1) * scale_y - 1e-3
            and region.y + region.height > row * scale_y + 1e-3
        )
        if reaches:
            assert coverage[index.row, index.column] > 0
    assert np.count_nonzero(coverage) <= 4


def test_full_and_empty_masks_cover_all_and_nothing():
    assert (mask_of(np.ones((60, 100), np.bool_)).coverage(level()) == 1).all()
    assert (mask_of(np.zeros((60, 100), np.bool_)).coverage(level()) == 0).all()


def test_a_tile_of_the_mask_lies_where_the_mask_says():
    pixels = np.zeros((60, 100), np.bool_)
    pixels[10:20, 30:50] = True
    whole = np.zeros((640, 1024), np.bool_)
    for index in level().grid.raster(0):
        y, x = index.row * 64, index.column * 64
        whole[y : y + 64, x : x + 64] = mask_of(pixels).over_cells(level(), index.column, index.row, 1)
    expected = np.zeros((640, 1024), np.bool_)
    expected[100:200, 300:500] = True
    assert (whole == expected).all()


@given(
    st.integers(0, 99),
    st.sampled_from([0.0, 0.003, 0.5]),
    st.sampled_from([SLIDE, Size(250, 150), Size(63, 38)]),
    st.sampled_from([(60, 100), (600, 1000), (7, 9)]),
    st.sampled_from([1, 4, 7, 64]),
    st.booleans(),
)
def test_tiles_of_a_row_have_the_cells_that_tissue_reaches(seed, share, size, shape, cell_px, is_halved):
    rng = np.random.default_rng(seed)
    mask, of_level = mask_of(rng.random(shape) < share), level(size)
    grid = of_level.grid
    columns = [column for column in range(grid.columns) if rng.random() < 0.7] or [0]
    row = int(rng.integers(grid.rows))
    with patch("wsicomp.tissue.mask._MOST_AT_ONCE", 1 if is_halved else 1 << 22):
        found = mask.over_tiles(of_level, columns, row, cell_px)
    assert found.any(axis=(1, 2)).tolist() == (mask.coverage(of_level)[row, columns] > 0).tolist()
    for column, cells in zip(columns, found, strict=True):
        assert np.array_equal(cells, naive_cells(mask, of_level, column, row, cell_px))
    assert np.array_equal(mask.reaches_into(of_level), mask.coverage(of_level) > 0)


def naive_cells(mask, of_level, column, row, cell_px):
    """Return for each cell of a tile whether a mask pixel in its span is set, by a loop over the cells."""
    y, x = (
        mask._of_cells([number * 64], 64, cell_px, of_level.size, axis)
        for axis, number in enumerate((row, column))
    )
    return np.array(
        [
            [mask.pixels[top:bottom, left:right].any() for left, right in zip(*x, strict=True)]
            for top, bottom in zip(*y, strict=True)
        ]
    )


def test_dilation_is_in_level_0_pixels_and_never_too_small():
    pixels = np.zeros((60, 100), np.bool_)
    pixels[30, 50] = True
    grown = mask_of(pixels).dilated(25).pixels
    assert grown[30, 47:54].all()
    assert grown[27:34, 50].all()
    assert not grown[30, 46]
    assert (mask_of(pixels).dilated(0).pixels == pixels).all()


def test_the_tissue_fraction_is_that_of_the_mask():
    pixels = np.zeros((60, 100), np.bool_)
    pixels[:15] = True
    assert mask_of(pixels).tissue_fraction == 0.25


def test_a_png_is_tissue_where_it_is_not_black(tmp_path):
    pixels = np.zeros((60, 100), np.uint8)
    pixels[5:9, 7:11] = 1
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", SLIDE)
    assert (mask.pixels == (pixels > 0)).all()
    assert (mask.scale_x, mask.scale_y) == (10, 10)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA"])
def test_any_mode_of_picture_will_do(tmp_path, mode):
    image = Image.new("L", (100, 60))
    image.paste(255, (7, 5, 11, 9))
    image = image.convert(mode)
    if mode == "RGBA":
        image.putalpha(255)
        image = image.convert("RGB")
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", SLIDE).pixels.sum() == 16


def test_a_tiff_is_a_mask_too(tmp_path):
    pixels = np.zeros((60, 100), np.uint8)
    pixels[5:9, 7:11] = 255
    tifffile.imwrite(tmp_path / "mask.tif", pixels, compression="deflate")
    assert (read_mask(tmp_path / "mask.tif", SLIDE).pixels == (pixels > 0)).all()


def polygon(*rings):
    return {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": rings}}


SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]
HOLE = [[150, 150], [250, 150], [250, 250], [150, 250], [150, 150]]


def geojson(path, content):
    path.write_text(json.dumps(content))
    return path


def test_outlines_from_qupath_are_drawn_with_their_holes(tmp_path):
    content = {"type": "FeatureCollection", "features": [polygon(SQUARE, HOLE)]}
    pixels = read_mask(geojson(tmp_path / "m.geojson", content), SLIDE).pixels
    assert pixels.shape == (600, 1000)
    assert pixels[120, 120]
    assert not pixels[200, 200]
    assert not pixels[50, 50]
    assert abs(int(pixels.sum()) - (200**2 - 100**2)) < 1500


def test_overlapping_outlines_join(tmp_path):
    shifted = [[x + 50, y + 50] for x, y in SQUARE]
    pixels = read_mask(geojson(tmp_path / "m.json", [polygon(SQUARE), polygon(shifted)]), SLIDE).pixels
    assert pixels[200, 200]


def test_several_polygons_in_one_annotation_are_all_drawn(tmp_path):
    shifted = [[x + 400, y] for x, y in SQUARE]
    geometry = {"type": "MultiPolygon", "coordinates": [[SQUARE], [shifted]]}
    content = {"type": "GeometryCollection", "geometries": [geometry]}
    pixels = read_mask(geojson(tmp_path / "m.json", content), SLIDE).pixels
    assert pixels[200, 200]
    assert pixels[200, 600]


def test_a_large_slide_is_drawn_small(tmp_path):
    mask = read_mask(geojson(tmp_path / "m.json", [polygon(SQUARE)]), Size(100_000, 50_000))
    assert mask.pixels.shape == (2048, 4096)
    assert mask.pixels.any()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.png", b"not a picture", "expected PNG, TIFF or GeoJSON"),
        ("m.tif", b"not a picture", "not a mask"),
        ("m.json", b"{", "not a mask"),
        ("m.json", b'{"type": "FeatureCollection", "features": []}', "no polygons"),
        ("m.json", b'{"features": 1}', "not a mask"),
        (
            "m.json",
            b'[{"type": "Polygon", "coordinates": [[[0, 0], [2000, 0], [0, 9]]]}]',
            "leaves the slide",
        ),
        ("m.json", b'[{"type": "Polygon", "coordinates": [["a"]]}]', "not a mask"),
        ("gone.png", None, "no such file"),
    ],
)
def test_a_file_that_is_no_mask_is_refused(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MaskError, match=told):
        read_mask(tmp_path / name, SLIDE)


@pytest.mark.parametrize("shape", [(60, 60), (100, 60), (600, 990)])
def test_a_mask_of_other_proportions_is_refused(tmp_path, shape):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(MaskError, match="proportions"):
        read_mask(tmp_path / "mask.png", SLIDE)


@given(st.integers(1, 64), st.integers(1, 3000), st.integers(1, 3000))
def test_a_mask_reduced_by_a_whole_number_fits_however_its_size_was_rounded(reduction, width, height):
    from wsicomp.tissue.mask_reader import has_proportions_of

    for columns in {max(1, width // reduction), -(-width // reduction)}:
        for rows in {max(1, height // reduction), -(-height // reduction)}:
            assert has_proportions_of(Size(columns, rows), Size(width, height))
