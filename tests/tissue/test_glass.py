"""No tile with true tissue of 50 um is ever blanked, on slides whose tissue is drawn."""

import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import wsicomp
from tests.tissue.pieces import has_large_piece
from wsicomp import ConversionConfig
from wsicomp.formats.base import PixelsOnly
from wsicomp.formats.opening import open_reader
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.progress import Stages, no_progress
from wsicomp.slide import Level
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.tissue.glass_color import GlassColor, fit_glass_color
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.guard_findings import gaps_beside
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.tile_classes import TileKind, classify_tiles

SEEDS = [
    pytest.param(seed, marks={0: (), 4: pytest.mark.gate, 8: pytest.mark.gate}.get(seed, pytest.mark.slow))
    for seed in range(12)
]
SCALES = (0.5, 0.25, 1.0)
FORMS = (
    SyntheticFormat(),
    SyntheticFormat(tile_px=240, photometric="rgb", downsamples=(1, 4)),
    SyntheticFormat(downsamples=(1,), quality=40, subsampling="420"),
)


@pytest.fixture(scope="module", params=SEEDS)
def drawn(request, tmp_path_factory):
    """(path, slide, format) of one of several slides, each of another scale, tiling and coding."""
    return draw(request.param, tmp_path_factory.mktemp("drawn"))


def draw(seed, folder):
    mpp = SCALES[seed % 3]
    slide = SyntheticSlide(
        Size(2201 - 13 * seed, 1803 + 7 * seed),
        seed=seed,
        mpp=mpp,
        sections=seed % 2 if mpp >= 0.5 else 0,
        tissue_fraction=0.12,
        fragments=round(12 * min(1, 2 * mpp)),
    )
    form = FORMS[seed // 3 % 3]
    path = folder / "slide.svs"
    write_slide(path, slide, form)
    return path, slide, form


def tissue_lost(plan, slide, form):
    """Tiles of any level that the plan blanks though a piece of true tissue 50 um across is on them."""
    lost = []
    for level in plan.levels:
        downsample = form.downsamples[level.number]
        truth = slide.truth(Region(0, 0, level.size.width, level.size.height), downsample)
        for index in level.grid.raster(level.number):
            if level.actions[index.row, index.column] != TileAction.BLANK.value:
                continue
            region = level.grid.region(index.column, index.row)
            part = truth[region.y : region.y + region.height, region.x : region.x + region.width]
            if has_large_piece(part, slide.mpp * downsample):
                lost.append(index)
    return lost


def test_no_tile_with_a_drawn_fragment_is_blanked(drawn):
    path, slide, form = drawn
    plan = wsicomp.plan_slide(path)
    assert tissue_lost(plan, slide, form) == []


@pytest.mark.gate
def test_the_guard_alone_keeps_every_fragment_when_the_mask_sees_nothing(drawn, tmp_path):
    path, slide, form = drawn
    Image.new("L", (slide.size.width // 8, slide.size.height // 8)).save(tmp_path / "nothing.png")
    plan = wsicomp.plan_slide(path, ConversionConfig.of(mask=tmp_path / "nothing.png"))
    assert tissue_lost(plan, slide, form) == []


@pytest.mark.gate
@pytest.mark.parametrize("segmenter", ["unet", "threshold"])
def test_painting_glass_leaves_every_piece_of_tissue(drawn, tmp_path, segmenter):
    path, slide, _ = drawn
    config = ConversionConfig.of(codec="jpeg", background="#00ff00", segmenter=segmenter)
    wsicomp.convert_slide(path, tmp_path / "t.svs", config)
    source, target = open_reader(path), open_reader(tmp_path / "t.svs")
    whole = Region(0, 0, slide.size.width, slide.size.height)
    truth = slide.truth(whole).astype(np.uint8)
    deep = cv2.erode(truth, np.ones((5, 5), np.uint8)).astype(np.bool_)
    before, after = (s.read_region(0, whole).astype(int) for s in (source, target))
    painted = np.abs(after - (0, 255, 0)).max(axis=2) < 20
    # Where the network sees nothing, as in drawn fat, the guard keeps tiles whole and none is painted; beside
    # what it found elsewhere it keeps the gaps.
    assert painted.mean() > 0.003 or segmenter == "unet"
    assert not has_large_piece(painted & deep, slide.mpp)
    assert (painted & deep).sum() <= 0.01 * deep.sum()
    assert np.abs(after - before)[deep].mean() < 4
    source.close()
    target.close()


@pytest.mark.gate
def test_clean_glass_is_blanked_almost_everywhere(tmp_path):
    slide = SyntheticSlide(Size(4096, 4096), seed=3, fragments=0, pen=False, dust=False, coverslip=False)
    write_slide(tmp_path / "slide.svs", slide)
    plan = wsicomp.plan_slide(tmp_path / "slide.svs")
    level = plan.levels[0]
    free = sum(
        not slide.truth(level.grid.region(index.column, index.row)).any() for index in level.grid.raster(0)
    )
    assert level.count(TileAction.BLANK) >= 0.75 * free


@pytest.mark.gate
def test_what_is_found_on_one_level_is_kept_on_all(tmp_path):
    slide = SyntheticSlide(Size(4096, 4096), seed=5, sections=0, fragments=3, pen=False, dust=False)
    write_slide(tmp_path / "slide.svs", slide)
    Image.new("L", (512, 512)).save(tmp_path / "nothing.png")
    plan = wsicomp.plan_slide(tmp_path / "slide.svs", ConversionConfig.of(mask=tmp_path / "nothing.png"))
    for fragment in slide.fragments_drawn:
        for level in plan.levels:
            column = int(fragment.center_x / (4096 / level.size.width)) // level.tile.width
            row = int(fragment.center_y / (4096 / level.size.height)) // level.tile.height
            assert level.actions[row, column] == TileAction.COPY.value


class Unreadable(PixelsOnly):
    """A slide whose every tile is damaged."""

    def __init__(self, slide):
        self._info = slide.info

    def read_tile(self, index):
        raise wsicomp.TileReadError("damaged")

    def read_region(self, level, region):
        raise wsicomp.TileReadError("damaged")

    read_tile_eighth = read_tile


def test_a_tile_that_cannot_be_decoded_is_kept(tmp_path):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(Size(600, 500), sections=0, fragments=0))
    slide = open_reader(tmp_path / "slide.svs")
    with Stages().stage("segment") as progress:
        overview = read_overview(slide, 1, progress)
        mask = TissueMask(np.zeros((50, 60), np.bool_), slide.info.size, 10, 10, "test")
        guard = GlassGuard(slide.info, fit_glass_color(overview, mask), 0)
        survey = classify_tiles(Unreadable(slide), mask, guard, 1, progress)
    slide.close()
    assert all((kinds == TileKind.RESCUED).all() for kinds in survey.kinds)


@pytest.mark.parametrize(("size", "margin_px"), [((520, 500), 100), ((512, 512), 700)])
def test_what_is_found_keeps_its_whole_margin_also_on_a_small_tile(size, margin_px):
    width, height = size
    pixels = np.full((height, width, 3), 240, np.uint8)
    pixels[-8:, -8:] = 60
    with closing(PictureSlide("a.png", pixels, 4.0)) as slide:
        guard = GlassGuard(
            slide.info, GlassColor(np.vstack([np.full((1, 3), 240.0), np.zeros((5, 3))])), margin_px
        )
        nothing = TissueMask(np.zeros((10, 10), np.bool_), slide.info.size, 52, 52, "test")
        found = classify_tiles(slide, nothing, guard, 1, no_progress).found
    kept = found.at(np.arange(width), np.arange(height))
    distance = cv2.distanceTransform(
        (pixels[..., 0] > 100).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    assert kept[distance < margin_px].all()
    assert not kept[distance > margin_px + 40].any()


@pytest.mark.parametrize("margin_um", [0, 5, 50])
def test_scattered_nuclei_are_one_thing_whatever_the_margin(margin_um):
    pixels = np.full((256, 256, 3), 240, np.uint8)
    for x in range(20, 240, 64):
        for y in range(20, 240, 64):
            cv2.circle(pixels, (x, y), 11, (110, 70, 150), -1)
    slide = PictureSlide(Path("nuclei.png"), pixels, 0.25)
    color = GlassColor(np.vstack([np.full((1, 3), 240.0), np.zeros((5, 3))]))
    guard = GlassGuard(slide.info, color, margin_um / 0.25)
    assert guard.find(slide, TileIndex(0, 0, 0)) is not None


@pytest.mark.parametrize("color", [(200, 140, 180), (10, 10, 10)])
def test_no_glass_is_learnt_from_what_no_glass_looks_like(color):
    slide = PictureSlide(Path("field.png"), np.full((300, 300, 3), color, np.uint8), 0.5)
    nothing = TissueMask(np.zeros((38, 38), np.bool_), slide.info.size, 8.0, 8.0, "test")
    glass = fit_glass_color(read_overview(slide, 1, no_progress), nothing)
    assert glass.typical == (255, 255, 255)
    assert GlassGuard(slide.info, glass, 100).find(slide, TileIndex(0, 0, 0)) is not None


def test_the_glass_colour_follows_an_uneven_lamp():
    coefficients = np.array([[230.0] * 3, [10.0] * 3, [0.0] * 3, [-5.0] * 3, [0.0] * 3, [0.0] * 3])
    color = GlassColor(coefficients)
    seen = color.at(np.array([0.0, 0.5, 1.0]), np.array([0.2]))
    assert seen.shape == (3, 1, 3)
    assert seen[0, 0].tolist() == [215, 230, 235]
    assert color.typical == (230, 230, 230)


@pytest.mark.parametrize(
    "glass", [np.s_[:, :], np.s_[:, :100], np.s_[:9, :9], np.s_[40, :]], ids=["all", "half", "corner", "line"]
)
def test_the_colour_of_glass_is_found_wherever_glass_is(glass):
    coefficients = np.array([[225.0, 228, 230], [6.0] * 3, [-8.0] * 3, [-5.0] * 3, [3.0] * 3, [4.0] * 3])
    places = (np.arange(180) + 0.5) / 180, (np.arange(160) + 0.5) / 160
    truth = np.moveaxis(GlassColor(coefficients).at(*places), 0, -1)
    pixels = np.rint(truth).astype(np.uint8)
    pixels[::7, ::5] -= 60  # dust, which the mask has missed
    tissue = np.ones((160, 180), np.bool_)
    tissue[glass] = False
    size = Size(1800, 1600)
    found = fit_glass_color(Overview(pixels, size, 10.0, 10.0), TissueMask(tissue, size, 10.0, 10.0, "test"))
    seen = np.moveaxis(found.at(*places), 0, -1)
    assert np.abs(seen - truth)[glass].max() < 1


@pytest.mark.parametrize(("downsample", "side"), [(1, 8), (4, 4), (16, 1), (64, 1)])
def test_a_block_is_8_um_and_at_most_8_px(downsample, side, tmp_path):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(Size(300, 300), sections=0, fragments=0))
    slide = open_reader(tmp_path / "slide.svs")
    guard = GlassGuard(slide.info, GlassColor(np.zeros((6, 3))), 0)
    assert guard.block_px(Level(Size(300, 300), Size(64, 64), downsample)) == side
    slide.close()


def cleft(with_finds):
    """Finds every 240 px in the middle of a cleft of 240 px between two slabs of tissue, and the tissue."""
    tissue, finds = np.zeros((500, 1000), np.bool_), np.zeros((500, 1000), np.bool_)
    tissue[:220] = tissue[280:] = True
    finds[248:252, 100:900:60] = with_finds
    slide = Size(4000, 2000)
    return TissueMask(finds, slide, 4.0, 4.0, "guard"), TissueMask(tissue, slide, 4.0, 4.0, "test")


def test_a_cleft_of_tissue_stays_where_something_lies_in_it():
    finds, tissue = cleft(with_finds=True)
    gaps = gaps_beside(finds, tissue, reach_px=125)
    assert (gaps | finds.pixels)[220:280, 100:840].all()
    assert not (gaps & tissue.pixels).any()


def test_gaps_of_the_mask_alone_are_its_own():
    assert not gaps_beside(*cleft(with_finds=False), reach_px=125).any()


@pytest.mark.gate
def test_gaps_of_a_long_strip_need_no_more_memory_than_some_grids():
    pixels = np.zeros((3, 1_000_000), np.bool_)
    pixels[1, ::1000] = True
    strip = TissueMask(pixels, Size(1_000_000, 3), 1.0, 1.0, "guard")
    tracemalloc.start()
    assert gaps_beside(strip, replace(strip, pixels=np.zeros_like(strip.pixels)), reach_px=6250).any()
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()
