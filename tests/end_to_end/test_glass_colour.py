"""Glass keeps its colour: no seam is seen where it was blanked or painted, and nothing takes its place."""

import shutil
import tracemalloc
from contextlib import closing

import numpy as np
import pytest
from openslide import OpenSlide

import wsicomp
from tests.drawn import glass as drawn
from tests.verification.test_verify import codes, edit_provenance
from wsicomp import ConversionConfig, convert_slide
from wsicomp.formats.opening import open_tiff
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import MOST_SHADES
from wsicomp.tissue.bare_glass import chosen_palette, nearest

STRIP_PX = 8
OPTIONS = {"segmenter": "threshold", "margin_um": 30}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A slide with tissue on uneven pink glass, and where the tissue is."""
    path = tmp_path_factory.mktemp("uneven") / "slide.svs"
    return path, drawn.draw_uneven(path)


def convert(source, target, **options):
    convert_slide(source, target, ConversionConfig.of(**OPTIONS, **options))
    with closing(open_tiff(target)) as slide:
        return slide.provenance.plan


@pytest.fixture(scope="module")
def copied(uneven):
    """The file that a conversion by default writes of it with copied tiles, and its plan."""
    target = uneven[0].parent / "copied.svs"
    return target, convert(uneven[0], target, codec="copy")


def pixels(path, level):
    with OpenSlide(path) as slide:
        region = slide.read_region((0, 0), level, slide.level_dimensions[level])
    return np.asarray(region)[..., :3].astype(np.float32)


def steps(plan, target, truth):
    """The steps between a blank tile and another, or one of another colour, along sides without tissue."""
    for level in plan.levels:
        shown, side = pixels(target, level.number), level.tile.width
        tissue = truth[:: 4**level.number, :: 4**level.number]
        shades = np.zeros(level.actions.shape, int) if level.shades is None else level.shades.astype(int)
        kinds = np.where(level.actions == "B", shades, -1)
        for turned in (False, True):
            picture, kind, bare = (
                (shown.transpose(1, 0, 2), kinds.T, tissue.T) if turned else (shown, kinds, tissue)
            )
            for row, column in np.argwhere(kind[:, :-1] != kind[:, 1:]).tolist():
                down, edge = slice(row * side, row * side + side), (column + 1) * side
                across = slice(edge - 2 * STRIP_PX, edge + 2 * STRIP_PX)
                if not bare[down, across].any():
                    left = picture[down, edge - STRIP_PX : edge].mean((0, 1))
                    yield np.abs(left - picture[down, edge : edge + STRIP_PX].mean((0, 1))).max()


@pytest.mark.parametrize("codec", ["copy", "jpeg"])
def test_no_seam_is_seen_by_default_at_half_a_percent_at_most(uneven, tmp_path, codec):
    source, truth = uneven
    plan = convert(source, tmp_path / "default.svs", codec=codec)
    found = [*steps(plan, tmp_path / "default.svs", truth)]
    assert len(found) > 30
    assert np.mean(found) <= 3
    assert np.percentile(found, 95) <= 5
    assert 1 < len(plan.palette) <= MOST_SHADES
    white = convert(source, tmp_path / "white.svs", codec=codec, glass="white")
    if codec == "copy":
        assert np.mean([*steps(white, tmp_path / "white.svs", truth)]) > 15
    default, least = ((tmp_path / f"{name}.svs").stat().st_size for name in ("default", "white"))
    assert default <= 1.005 * least


def test_white_glass_is_white_however_it_is_asked_for(uneven, tmp_path):
    plans = [
        convert(uneven[0], tmp_path / f"{number}.svs", codec="copy", **options)
        for number, options in enumerate(({"glass": "white"}, {"background": "white"}))
    ]
    assert plans[0].digest == plans[1].digest
    assert (tmp_path / "0.svs").read_bytes() == (tmp_path / "1.svs").read_bytes()
    assert plans[0].palette == ((255, 255, 255),)
    side, shown = plans[0].levels[0].tile.width, pixels(tmp_path / "0.svs", 0)
    for row, column in np.argwhere(plans[0].levels[0].actions == "B").tolist():
        tile = shown[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert (tile == 255).all()


@pytest.mark.parametrize("glass", ["blank", "empty"])
def test_our_reader_shows_the_colours_and_a_conversion_of_the_file_keeps_them(uneven, tmp_path, glass):
    first, again = tmp_path / "first.tiff", tmp_path / "again.tiff"
    plan = convert(uneven[0], first, codec="jpeg", glass=glass, format="tiff")
    assert len(plan.palette) > 1
    with wsicomp.open_slide(first) as slide, closing(open_tiff(first)) as reader:
        for level in plan.levels:
            shown = np.asarray(slide.read_region((0, 0), level.number, level.size.shape[::-1]))
            if glass == "blank":
                assert np.abs(shown[..., :3] - pixels(first, level.number)).max() <= 2
            blank = np.argwhere(np.isin(level.actions, ["B", "Z"]))
            for row, column in blank.tolist():
                index = TileIndex(level.number, column, row)
                assert np.abs(reader.read_tile(index) - np.array(plan.color(index), int)).max() <= 2
    convert_slide(first, again, ConversionConfig.of(glass="keep", codec="copy"))
    with closing(open_tiff(again)) as reader:
        assert reader.provenance.plan.palette == plan.palette
    if glass == "blank":
        assert (pixels(again, 0) == pixels(first, 0)).all()


def test_no_decoded_tile_is_kept_for_each_colour(copied):
    target, plan = copied
    level = plan.levels[0]
    blank = [TileIndex(0, column, row) for row, column in np.argwhere(level.actions == "B").tolist()]
    assert len({level.shade(index) for index in blank}) > 2
    with closing(open_tiff(target)) as reader:
        first = reader.read_tile(blank[0])
        tracemalloc.start()
        for index in blank:
            assert (reader.read_tile(index) == reader.read_tile(index)[0, 0]).all()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < first.nbytes
        first[:] = 0
        assert reader.read_tile(blank[0]).all()


def _other_letter(values):
    """Have the first blank tile take another colour than it is stored in."""
    level = values["plan"]["levels"][0]
    row = next(number for number, letters in enumerate(level["actions"]) if "B" in letters)
    level["shade_rows"][row] = level["shade_rows"][row].translate(str.maketrans("ab", "ba"))


def _other_color(values):
    values["plan"]["further_shades"][0] = [176, 92, 150]


def _black(values):
    values["plan"]["background"] = [12, 12, 12]


@pytest.mark.parametrize(
    ("damage", "code"),
    [(_other_letter, "tile-not-blank"), (_other_color, "plan-differs"), (_black, "plan-differs")],
)
def test_a_colour_that_is_not_stored_or_that_no_glass_has_is_found(copied, tmp_path, damage, code):
    target = shutil.copy(copied[0], tmp_path / "target.svs")
    assert codes(target) == set()
    edit_provenance(target, damage)
    assert code in codes(target)


def test_a_letter_without_a_colour_is_refused(copied, tmp_path):
    target = shutil.copy(copied[0], tmp_path / "target.svs")
    edit_provenance(target, lambda values: values["plan"].update(further_shades=[]))
    assert codes(target) == {"unreadable"}


def test_a_palette_has_what_is_near_to_almost_all_and_no_colour_of_tissue():
    chance = np.random.default_rng(0)
    glass = chance.normal((230, 215, 225), 0.5, (500, 3)).astype(np.float32)
    assert len(chosen_palette((230, 215, 225), glass, 26)) == 1
    ramp = (glass - np.linspace(0, 40, 500)[:, None]).astype(np.float32)
    palette = chosen_palette((230, 215, 225), ramp, 26)
    off = np.abs(np.array(palette)[nearest(palette, ramp)] - ramp).max(axis=-1)
    assert np.percentile(off, 95) <= 2
    assert len(chosen_palette((230, 215, 225), ramp, 4)) <= 4
    stained = np.vstack([glass, np.full((100, 3), (176, 92, 150))]).astype(np.float32)
    assert chosen_palette((230, 215, 225), stained, 26) == chosen_palette((230, 215, 225), glass, 26)
    assert chosen_palette((230, 215, 225), stained[500:], 26) == [(230, 215, 225)]
