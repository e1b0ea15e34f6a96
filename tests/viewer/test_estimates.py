"""What a conversion with drawn regions would weigh, beside what the conversion then weighs."""

import json
import math
import shlex
from contextlib import closing

import numpy as np
import pytest

from tests.command_line import run_command
from tests.comparison.drawn import draw_slide
from tests.conftest import REAL_SLIDES, is_small
from tests.drawn.colour import draw_jpeg2000
from tests.regions.slides import box, feature
from wsicomp import ConfigError, MaskError
from wsicomp.formats.opening import open_reader
from wsicomp.formats.picture import PictureSlide
from wsicomp.plan.level_plan import TileAction
from wsicomp.viewer.what_if import estimates as module
from wsicomp.viewer.what_if.estimates import AUTO, ConversionEstimates

DRAWING = {
    "type": "FeatureCollection",
    "features": [feature("Tumor", box(300, 260, 700, 600)), feature(None, box(900, 800, 1000, 900))],
}
SHAPES = {"type": "FeatureCollection", "features": [feature("Tissue", box(700, 700, 2000, 1900))]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_slide(tmp_path_factory.mktemp("drawn") / "my slide.svs")


@pytest.fixture(scope="module")
def estimates(drawn):
    with closing(open_reader(drawn)) as slide:
        yield ConversionEstimates(slide, str(drawn))


def made_by(command, folder, monkeypatch, drawing):
    """The conversion that a command makes where this drawing is saved as it names it."""
    monkeypatch.chdir(folder)
    words = shlex.split(command)
    (name,) = (word for word in words if word.endswith(".regions.geojson"))
    (folder / name).write_text(json.dumps(drawing))
    assert words[0] == "wsicomp"
    code, _, err = run_command(*words[1:])
    assert code == 0, err
    return next(path for path in folder.iterdir() if path.suffix in (".svs", ".tiff"))


def tiles_of(plan, region):
    return sum(
        int(level.takes(number).sum())
        for level in plan.levels
        for number, recipe in enumerate(level.recipes)
        if recipe.region == region
    )


@pytest.mark.parametrize(
    ("outside", "glass"),
    [(AUTO, "blank"), (AUTO, "keep"), ("jpeg:30", "white"), ("jpegxl:3", "blank"), ("copy", "empty")],
)
def test_the_command_makes_a_file_of_the_size_that_was_foretold(
    estimates, tmp_path, monkeypatch, outside, glass
):
    found = estimates.of_regions(DRAWING, outside, glass)
    made = made_by(found.command, tmp_path, monkeypatch, DRAWING)
    assert found.size.low <= made.stat().st_size <= found.size.high
    assert found.size.bytes == pytest.approx(made.stat().st_size, rel=0.02)
    with closing(open_reader(made)) as slide:
        plan = slide.provenance.plan
        assert {each.name: each.tiles for each in found.regions} == {
            name: tiles_of(plan, name) for name in ("Tumor", "region")
        }
        assert plan.stated_config["roi_codec"] == found.regions_codec


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """A slide of which most is glass."""
    return draw_slide(tmp_path_factory.mktemp("sparse") / "slide.svs", size=(3200, 2600), tissue=0.1)


@pytest.mark.parametrize("codec", [AUTO, "jpeg:50"])
def test_the_command_with_a_drawn_mask_keeps_the_tiles_that_were_foretold(
    sparse, tmp_path, monkeypatch, codec
):
    with closing(open_reader(sparse)) as slide:
        found = ConversionEstimates(slide, str(sparse)).of_mask(SHAPES, codec)
    made = made_by(found.command, tmp_path, monkeypatch, SHAPES)
    assert found.size.low <= made.stat().st_size <= found.size.high
    with closing(open_reader(made)) as slide:
        levels = slide.provenance.plan.levels
        gone = sum(level.count(TileAction.BLANK) + level.count(TileAction.EMPTY) for level in levels)
        assert found.kept_tiles == found.all_tiles - gone
        assert found.all_tiles == sum(level.grid.count for level in levels)
    assert 0 < found.rescued_tiles < found.kept_tiles < found.all_tiles


@pytest.mark.slow
@pytest.mark.slides
@pytest.mark.parametrize("path", list(filter(is_small, REAL_SLIDES)), ids=lambda path: path.name)
def test_a_real_slide_has_the_size_that_was_foretold(path, tmp_path, monkeypatch):
    with closing(open_reader(path)) as slide:
        size = slide.info.size
        corner = box(0.2 * size.width, 0.3 * size.height, 0.6 * size.width, 0.5 * size.height)
        drawing = {"type": "FeatureCollection", "features": [feature("Tumor", corner)]}
        found = ConversionEstimates(slide, str(path)).of_regions(drawing)
    made = made_by(found.command, tmp_path, monkeypatch, drawing)
    assert found.size.low <= made.stat().st_size <= found.size.high


def test_the_preset_is_named_where_it_says_the_same(estimates):
    plain = estimates.of_regions(DRAWING).command
    assert plain.endswith("'my slide-small.svs' --preset roi-archive --roi 'my slide.regions.geojson'")
    assert "--preset" not in estimates.of_regions(DRAWING, "jpeg:40").command


def test_no_tissue_is_looked_for_where_glass_is_kept(drawn, monkeypatch):
    def find_none(*_):
        raise AssertionError("it looked")

    monkeypatch.setattr(module, "find_glass", find_none)
    with closing(open_reader(drawn)) as slide:
        asked = ConversionEstimates(slide, "slide.svs")
        assert asked.of_regions(DRAWING, glass="keep").size.bytes > 0
        with pytest.raises(AssertionError, match="it looked"):
            asked.of_regions(DRAWING)


def test_tissue_is_found_once(estimates, monkeypatch):
    known = estimates.of_regions(DRAWING)
    monkeypatch.setattr(module, "find_glass", None)
    assert estimates.of_regions(DRAWING) == known


def test_nothing_is_written(estimates, drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    estimates.of_regions(DRAWING, "jpeg:30")
    estimates.of_mask(DRAWING)
    assert list(tmp_path.iterdir()) == []
    assert [path.name for path in drawn.parent.iterdir()] == [drawn.name]


def test_a_codec_that_cannot_stand_beside_exact_regions_is_refused_with_one_that_can(tmp_path):
    draw_jpeg2000(tmp_path / "slide.svs")
    with closing(open_reader(tmp_path / "slide.svs")) as slide:
        asked = ConversionEstimates(slide, "slide.svs")
        with pytest.raises(ConfigError, match=r"take jpeg2000:31dB for `tissue_codec`$"):
            asked.of_regions({"type": "Polygon", "coordinates": [box(0, 0, 40, 40)]}, "jpeg:50", "keep")


def test_regions_of_a_slide_of_pixels_alone_are_repacked_without_loss(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (500, 600, 3), np.uint8)
    path = tmp_path / "picture.png"
    path.write_bytes(b"it")
    asked = ConversionEstimates(PictureSlide(path, pixels, 1.0), "picture.png")
    found = asked.of_regions({"type": "Polygon", "coordinates": [box(0, 0, 90, 90)]}, glass="keep")
    assert found.regions_codec == "jpegxl-lossless"


@pytest.mark.parametrize(
    ("drawing", "message"),
    [
        ({}, "expected GeoJSON"),
        ([], "expected GeoJSON"),
        ("x", "expected GeoJSON"),
        (None, "expected GeoJSON"),
        ({"type": "FeatureCollection"}, "expected GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "no polygons"),
        ({"type": "Polygon", "coordinates": [box(0, 0, 1e7, 1e7)]}, "leave the slide"),
        ({"type": "Polygon", "coordinates": [box(0, 0, math.nan, 5)]}, "NaN or infinity"),
        ({"type": "Polygon", "coordinates": "everything"}, "expected GeoJSON"),
        ({"type": "Point", "coordinates": [5, 5]}, "no area"),
    ],
)
def test_what_is_no_drawing_on_the_slide_is_refused(estimates, drawing, message):
    with pytest.raises(MaskError, match=message):
        estimates.of_regions(drawing)


def test_a_refusal_does_not_quote_the_drawing(estimates):
    with pytest.raises(MaskError) as caught:
        estimates.of_regions({"type": "Polygon", "coordinates": [["Jane Doe"]]})
    assert "Jane" not in str(caught.value)
    with pytest.raises(MaskError) as caught:
        estimates.of_mask({"type": "Polygon", "coordinates": [["Jane Doe"]]})
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("codec", ["jpg", "jpeg:0", "jpeg@/etc/passwd", "mbt2018-mean:3", "he-compact:3"])
def test_a_codec_that_cannot_stand_there_is_refused(estimates, codec):
    with pytest.raises(ConfigError):
        estimates.of_regions(DRAWING, codec)


@pytest.mark.parametrize("glass", ["", "black", "keep "])
def test_an_unknown_treatment_of_glass_is_refused(estimates, glass):
    with pytest.raises(ConfigError):
        estimates.of_regions(DRAWING, AUTO, glass)
