"""The class of each tile: held against a plain reading of random masks, pixel by pixel and tile by tile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.regions.slides import info, level, table, tiles_under
from wsicomp import MaskError
from wsicomp.geometry import Size
from wsicomp.regions.regions import Regions, grown
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import has_proportions_of

SIDES = st.integers(1, 60)
MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.bool_, shape, elements=st.sampled_from([False, False, False, True]))
)


@given(MASKS, st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
def test_exactly_the_tiles_under_a_region_are_its(pixels, by, width, height, downsample):
    rows, columns = pixels.shape
    slide = Size(columns * by, rows * by)
    lower = (-(-slide.width // downsample), -(-slide.height // downsample))
    if not pixels.any():
        with pytest.raises(MaskError, match="no region"):
            Regions.of_arrays({"a": pixels}, info(slide))
        return
    regions = Regions.of_arrays({"a": pixels}, info(slide))
    marked = regions.of_tiles(level(lower, (width, height), slide))
    expected = tiles_under(pixels, slide, level(lower, (width, height), slide))
    assert marked[expected].all()
    if slide.width % lower[0] == 0 and slide.height % lower[1] == 0:
        assert (marked == expected).all()


@given(MASKS, st.integers(-6, 6), st.integers(-6, 6), SIDES, SIDES)
def test_a_mask_of_another_scale_loses_no_tile_and_marks_none_a_pixel_away(
    pixels, more_x, more_y, width, height
):
    rows, columns = pixels.shape
    by = 7
    slide = Size(columns * by + more_x, rows * by + more_y)
    if not pixels.any() or not has_proportions_of(Size(columns, rows), slide):
        return
    where = level((slide.width, slide.height), (width, height), slide)
    marked = Regions.of_arrays({"a": pixels}, info(slide)).of_tiles(where)
    rounded = tuple(
        side / each if side % each == 0 else by
        for side, each in zip((slide.width, slide.height), (columns, rows), strict=True)
    )
    for steps in (None, rounded):
        assert marked[tiles_under(pixels, slide, where, steps)].all()
    beside = BitMask.of(np.pad(pixels, 1)).with_neighbours().pixels()[1:-1, 1:-1]
    assert not marked[~tiles_under(beside, slide, where)].any()


@given(
    st.integers(0, 299),
    st.integers(0, 199),
    st.integers(1, 80),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.integers(0, 9),
)
def test_a_part_of_the_slide_lies_at_its_offset(x, y, width, mpp, seed):
    slide = info(Size(400, 300), mpp=0.5)
    pixels = np.random.default_rng(seed).random((9, width)) < 0.2
    step = mpp / 0.5
    if not pixels.any() or x + width * step > 400 or y + 9 * step > 300:
        return
    where = level((400, 300), (16, 16), slide.size)
    marked = Regions.of_arrays({"a": pixels}, slide, offset=(x, y), mpp=mpp).of_tiles(where)
    whole = np.zeros((300 * 2, 400 * 2), bool)  # half pixels: any of these scales is whole there
    by = int(2 * step)
    block = np.kron(pixels, np.ones((by, by), bool))
    whole[2 * y : 2 * y + block.shape[0], 2 * x : 2 * x + block.shape[1]] = block
    expected = np.add.reduceat(np.add.reduceat(whole, range(0, 600, 32), 0, int), range(0, 800, 32), 1) > 0
    raster = whole.reshape(300, 2, 400, 2).any(axis=(1, 3))
    most = np.add.reduceat(np.add.reduceat(raster, range(0, 300, 16), 0, int), range(0, 400, 16), 1) > 0
    assert marked[expected].all()
    assert (marked > 0).tolist() == most.tolist()


@given(
    arrays(np.bool_, (14, 70), elements=st.sampled_from([False] * 20 + [True])),
    st.floats(0.1, 30),
    st.integers(1, 4),
)
def test_a_margin_reaches_every_place_that_near_and_not_two_pixels_further(pixels, margin, by):
    mask = TissueMask(pixels, Size(70 * by, 14 * by), by, by, "drawn")
    near = grown(mask, margin).pixels
    away = np.full(pixels.shape, np.inf)
    down, across = np.mgrid[:14, :70]
    for row, column in np.argwhere(pixels):
        gap_y, gap_x = (np.maximum(abs(each) - 1, 0) for each in (down - row, across - column))
        away = np.minimum(away, np.hypot(gap_x, gap_y) * by)
    assert near[away < margin].all()
    assert not near[away > margin + 2.5 * by].any()


@pytest.mark.parametrize("width", [78, 90])
def test_a_mask_whose_last_column_is_cut_or_filled_up_may_be_meant_in_either_way(width):
    slide = Size(width, 7)
    every_pixel = level((width, 7), (1, 7), slide)
    for column in range(12):
        pixels = np.zeros((1, 12), bool)
        pixels[0, column] = True
        found = Regions.of_arrays({"a": pixels}, info(slide)).of_tiles(every_pixel)
        assert found[0, column * 7 : column * 7 + 7].all()
        assert found[tiles_under(pixels, slide, every_pixel)].all()


@pytest.mark.parametrize("by", [4, 16])
@pytest.mark.parametrize("rounded", ["cut", "filled"])
def test_a_level_that_lost_or_gained_a_part_of_a_pixel_loses_no_tile(by, rounded):
    slide = Size(1027, 619)
    size = [side // by if rounded == "cut" else -(-side // by) for side in (1027, 619)]
    lower = level(size, (3, 5), slide)
    for x, y in ((0, 0), (1020, 600), (by * 3 * (size[0] // 3) - 1, by * 5 * (size[1] // 5) - 1), (500, 300)):
        pixels = np.zeros(slide.shape, bool)
        pixels[min(y, 618), min(x, 1026)] = True
        found = Regions.of_arrays({"a": pixels}, info(slide)).of_tiles(lower)
        assert found[
            min(min(y, 618) // by // 5, len(found) - 1), min(min(x, 1026) // by // 3, found.shape[1] - 1)
        ]
        assert found[tiles_under(pixels, slide, lower)].all()
        assert np.count_nonzero(found) <= 4


def test_the_first_class_counts_where_classes_overlap(tmp_path):
    first, second = np.zeros((60, 100), bool), np.zeros((60, 100), bool)
    first[:30, :30], second[:30, 10:60] = True, True
    found = Regions.of_arrays({"a": first, "b": second}, info())
    tiles = found.of_tiles(info().levels[0])
    assert tiles[0].tolist() == [1] * 5 + [2] * 5 + [0] * 6
    assert found.notes == ()
    order = table(tmp_path / "t.toml", '[classes]\nb = "jpeg:80"\na = "copy"\n')
    found = Regions.of_arrays({"a": first, "b": second}, info(), classes=order)
    assert found.of_tiles(info().levels[0])[0].tolist() == [2] + [1] * 9 + [0] * 6
    assert [(each.name, each.codec) for each in found.classes] == [("b", "jpeg:80"), ("a", "copy")]
    assert found.notes == ("'a' overlaps 'b', which counts there",)


def test_classes_beside_each_other_do_not_contradict(tmp_path):
    left = np.zeros((60, 100), bool)
    left[:, :50] = True
    codecs = table(tmp_path / "t.toml", '[classes]\na = "copy"\nb = "jpeg:80"\n')
    assert Regions.of_arrays({"a": left, "b": ~left}, info(), classes=codecs).notes == ()


def test_a_mask_of_tissue_is_a_region():
    pixels = np.zeros((60, 100), bool)
    mask = TissueMask(pixels, Size(1000, 600), 10, 10, "threshold")
    with pytest.raises(MaskError, match="no tissue"):
        Regions.of_mask(mask)
    pixels[10:20, 10:20] = True
    regions = Regions.of_mask(TissueMask(pixels, Size(1000, 600), 10, 10, "threshold"), codec="copy")
    assert np.count_nonzero(regions.of_tiles(info().levels[0])) == 9
    assert (regions.source, regions.classes[0].name, regions.classes[0].codec) == (
        "threshold",
        "tissue",
        "copy",
    )


def test_a_region_that_covers_everything_is_said_so():
    found = Regions.of_arrays({"all": np.ones((60, 100), bool)}, info())
    assert found.notes == ("'all' covers the whole slide",)
    assert (found.of_tiles(info().levels[0]) == 1).all()


def test_regions_lie_on_the_file_of_which_finer_levels_are_left_out():
    finest = level((4000, 2400), (64, 64), Size(4000, 2400))
    pixels = np.zeros((60, 100), bool)
    pixels[10:20, 10:20] = True
    shown = info(Size(1000, 600), mpp=2.0, left_out=(finest,))
    at_file = Regions.of_arrays({"a": pixels[10:20, 10:20]}, shown, offset=(400, 400), mpp=20)
    whole = Regions.of_arrays({"a": pixels}, shown)
    assert at_file.classes[0].mask.slide == whole.classes[0].mask.slide == Size(1000, 600)
    assert (at_file.of_tiles(shown.levels[0]) == whole.of_tiles(shown.levels[0])).all()


def test_a_probability_at_the_threshold_counts():
    halves = np.zeros((60, 100))
    halves[:32] = 0.5
    assert Regions.of_arrays({"a": halves}, info()).classes[0].mask.tissue_fraction == 32 / 60


@pytest.mark.parametrize(
    ("array", "given", "told"),
    [
        (np.zeros((60, 100), bool), {}, "no region: every sample is 0"),
        (np.ones((60, 90), bool), {}, "do not have the proportions of the slide's 1000 x 600 px"),
        (np.ones((60, 100, 3, 2)), {}, "expected rows and columns"),
        (np.full((60, 100), np.nan), {}, "samples of NaN in rows from 0 on, expected probabilities"),
        (np.full((60, 100), 7.0), {}, "7 to 7"),
        (np.full((60, 100), "a"), {}, "samples of type <U1"),
        (np.ones((60, 100), bool), {"offset": (2000, 0)}, "misses the slide: it covers 2000, 0 to 2100, 60"),
        (np.ones((60, 100), bool), {"mpp": 50.0}, "reaches beyond the slide"),
        (np.ones((60, 100), bool), {"offset": (-500, 0), "mpp": 5.0}, "reaches beyond the slide"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array, given, told):
    with pytest.raises(MaskError, match=told):
        Regions.of_arrays({"tumour": array}, info(), **given)


def test_um_need_a_slide_that_states_them():
    pixels = np.ones((60, 100), bool)
    with pytest.raises(MaskError, match=r"does not state its um per px.*roi_margin_um"):
        Regions.of_arrays({"a": pixels}, info(mpp=None), margin_um=20)
    with pytest.raises(MaskError, match=r"does not state its um per px, which `roi_mpp` needs"):
        Regions.of_arrays({"a": pixels}, info(mpp=None), mpp=2)


@pytest.mark.parametrize("place", [2, 1001, 2815, 2816, 2999])
def test_finer_levels_that_are_left_out_may_have_been_cut(place):
    finest = level((3003, 2400), (64, 64), Size(3003, 2400))
    shown = info(Size(750, 600), mpp=2.0, left_out=(finest,))
    pixels = np.zeros((2400, 3003), bool)
    pixels[100, place] = True
    touched = Regions.of_arrays({"a": pixels}, shown).of_tiles(shown.levels[0])
    assert touched[0, place // 4 // 64]  # by a reduction by 4, which leaves out the last 3 columns
    assert touched[0, int(place * 750 / 3003) // 64]
    assert touched.any(axis=0).sum() <= 2
