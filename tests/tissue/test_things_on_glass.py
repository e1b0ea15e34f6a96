"""What lies on glass stays with its margin and no more, padding goes, and paint makes no tile larger."""

import cv2
import numpy as np
import pytest
from PIL import Image

import wsicomp
from tests.conftest import each_of
from tests.drawn import glass as drawn
from wsicomp import ConversionConfig, convert_slide, plan_slide
from wsicomp.formats.opening import open_reader
from wsicomp.plan.level_plan import TileAction
from wsicomp.progress import no_progress
from wsicomp.tissue.glass_color import fit_glass_color
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.padding import find_padding, without_padding
from wsicomp.training.tissue.scores import inner_tissue

MARGIN_PX = 50 / drawn.MPP
GAP_PX = 250 / drawn.MPP
"""Narrower ones between things stay."""


def touched(flags, downsample=1):
    """Which tiles of a level have any of these level-0 pixels on them."""
    side = drawn.TILE * downsample
    rows, columns = (-(-length // side) for length in flags.shape)
    padded = np.pad(flags, ((0, rows * side - flags.shape[0]), (0, columns * side - flags.shape[1])))
    return padded.reshape(rows, side, columns, side).any(axis=(1, 3))


def within(flags, distance):
    return cv2.distanceTransform((~flags).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= distance


def without_gaps(flags, width):
    """The same with its gaps of less than a width filled."""
    around = np.pad(flags, int(width))
    return (
        within(~within(around, width / 2), width / 2)[int(width) : -int(width), int(width) : -int(width)] < 1
    )


def blind(folder):
    """The choice of a mask that sees nothing."""
    Image.new("L", (drawn.SIDE // 8, drawn.SIDE // 8)).save(folder / "nothing.png")
    return ConversionConfig.of(mask=folder / "nothing.png")


@pytest.mark.gate
@pytest.mark.parametrize("shape", drawn.SHAPES)
def test_a_thin_shape_stays_with_its_margin_and_hardly_more(shape, tmp_path):
    truth = drawn.draw_shape(tmp_path / "s.svs", shape)
    plan = plan_slide(tmp_path / "s.svs", blind(tmp_path))
    wide, wider = within(truth, MARGIN_PX), without_gaps(within(truth, MARGIN_PX + 48), GAP_PX)
    for level, downsample in zip(plan.levels, (1, 4), strict=True):
        blank = level.actions == TileAction.BLANK.value
        assert not (blank & touched(wide, downsample)).any()
        assert (~blank & ~touched(wider, downsample)).sum() == 0


@pytest.mark.gate
@pytest.mark.parametrize(("apart_um", "stays"), [(250, True), (600, False)])
def test_what_looks_like_glass_between_flecks_of_tissue_stays(apart_um, stays, tmp_path):
    """Fat that was washed out shows no more than some walls and nuclei."""
    field = drawn.draw_washed_out(tmp_path / "s.svs", apart_um)
    plan = plan_slide(tmp_path / "s.svs", blind(tmp_path))
    for level, downsample in zip(plan.levels, (1, 4), strict=True):
        blank = level.actions == TileAction.BLANK.value
        assert (blank & touched(field, downsample)).any() != stays
        assert not (~blank & ~touched(within(field, MARGIN_PX + 48), downsample)).any()


@pytest.mark.gate
@pytest.mark.parametrize(
    ("filling", "color"),
    each_of([("corners", 0), ("band", 255), ("most", 0), ("most", 255)], ["GREY", "PINK"]),
)
def test_padding_is_glass_and_does_not_bend_its_colour(filling, color, tmp_path):
    places, padding = filling
    glass = getattr(drawn, color)
    truth, filled = drawn.draw_filled(tmp_path / "s.svs", places, padding, glass)
    plan = plan_slide(tmp_path / "s.svs", ConversionConfig.of(segmenter="threshold", background="auto"))
    assert np.abs(np.array(plan.background) - glass).max() <= 4
    blank = plan.levels[0].actions == TileAction.BLANK.value
    assert not (blank & touched(truth)).any()
    far = ~touched(within(truth, MARGIN_PX + 100))
    assert (blank & far).sum() >= 0.8 * far.sum()
    inside = far & ~touched(~filled)
    assert (blank & inside).sum() >= 0.95 * inside.sum()


@pytest.mark.gate
def test_exact_black_that_is_not_bounded_by_straight_lines_stays(tmp_path):
    truth = drawn.draw_black_ink(tmp_path / "s.svs")
    plan = plan_slide(tmp_path / "s.svs", blind(tmp_path))
    for level, downsample in zip(plan.levels, (1, 4), strict=True):
        blank = level.actions == TileAction.BLANK.value
        assert not (blank & touched(within(truth, MARGIN_PX), downsample)).any()


def test_glass_that_is_pure_white_all_over_is_fitted_as_white(tmp_path):
    pixels = np.full((1024, 1024, 3), 255, np.uint8)
    pixels[300:600, 400:800] = drawn.TISSUE
    drawn.write_pyramid(tmp_path / "s.svs", pixels)
    slide = open_reader(tmp_path / "s.svs")
    overview = read_overview(slide, 1, no_progress)
    mask = TissueMask(
        overview.pixels[..., 1] < 200, slide.info.size, overview.scale_x, overview.scale_y, "test"
    )
    slide.close()
    assert fit_glass_color(overview, mask, find_padding(overview)).typical == (255, 255, 255)


def test_tissue_that_touches_padding_is_whole_and_the_fringe_of_padding_is_none(tmp_path):
    drawn.draw_filled(tmp_path / "s.svs", "band", 0)
    slide = open_reader(tmp_path / "s.svs")
    overview = read_overview(slide, 1, no_progress)
    slide.close()
    black = find_padding(overview).black
    seen = overview.pixels.min(axis=2) < 150
    tissue = TissueMask(seen, overview.slide, overview.scale_x, overview.scale_y, "test")
    left = without_padding(tissue, black).pixels
    scale = round(overview.scale_x)
    columns = np.flatnonzero(left.any(axis=0)) * scale
    assert columns.min() >= 700  # nothing to the left of the band, where there is no tissue
    assert left[1250 // scale, 1270 // scale]


@pytest.mark.gate
@pytest.mark.parametrize("codec", ["jpeg", pytest.param("jpegxl", marks=pytest.mark.slow), "webp"])
def test_no_tile_is_larger_without_its_glass(codec, tmp_path):
    drawn.draw_filled(tmp_path / "s.svs", "corners", 255)
    sizes, actions = {}, {}
    for glass in ("keep", "white"):
        config = ConversionConfig.of(codec=codec, glass=glass, segmenter="threshold", format="tiff")
        convert_slide(tmp_path / "s.svs", tmp_path / f"{glass}.tiff", config)
        slide = open_reader(tmp_path / f"{glass}.tiff")
        levels = slide.provenance.plan.levels
        sizes[glass] = [slide.tile_ranges(level.number)[:, 1] for level in levels]
        actions[glass] = [level.actions.reshape(-1) for level in levels]
        slide.close()
    for kept, white, action in zip(sizes["keep"], sizes["white"], actions["white"], strict=True):
        own = action != TileAction.BLANK.value
        assert (white[own] <= kept[own]).all()
        as_they_are = action == TileAction.ENCODE.value
        assert (white[as_they_are] == kept[as_they_are]).all()


@pytest.mark.gate
@pytest.mark.parametrize("codec", ["jpeg", "none"])
def test_fat_beside_stained_tissue_is_not_painted_over_at_tile_borders(codec, tmp_path):
    truth = drawn.draw_fat(tmp_path / "s.svs")
    config = ConversionConfig.of(codec=codec, segmenter="threshold", background="#00ff00", levels="full")
    convert_slide(tmp_path / "s.svs", tmp_path / "t.tiff", config)
    inner = inner_tissue(np.where(truth, 255, 0).astype(np.uint8), drawn.MPP)
    slide = open_reader(tmp_path / "t.tiff")
    for number, level in enumerate(slide.info.levels):
        rows, columns = level.size.shape
        pixels = np.vstack(
            [
                np.hstack(
                    [
                        slide.read_tile(wsicomp.geometry.TileIndex(number, x, y))
                        for x in range(level.grid.columns)
                    ]
                )
                for y in range(level.grid.rows)
            ]
        )[:rows, :columns].astype(int)
        painted = (np.abs(pixels - (0, 255, 0)).max(axis=2) < 20).astype(np.uint8)
        painted = cv2.resize(painted, inner.shape[::-1], interpolation=cv2.INTER_NEAREST)
        assert not (painted.astype(np.bool_) & inner).any()
    slide.close()
