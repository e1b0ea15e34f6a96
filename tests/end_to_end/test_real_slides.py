"""Every real slide, in every codec and way with glass that suits it, seen through OpenSlide."""

import json
from itertools import product

import numpy as np
import openslide
import pytest

import wsicomp
from tests.conftest import REAL_SLIDES, each_of, is_small, slow_unless
from wsicomp import ConfigError, ConversionConfig
from wsicomp.geometry import Size, TileGrid
from wsicomp.plan.level_plan import TileAction

pytestmark = [pytest.mark.gate, pytest.mark.slides]

SAME = ("openslide.vendor", "openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power")


def suits(path, codec, glass):
    holds_jpeg2000 = path.name in ("TCGA-CR-7395.svs", "camelyon_overview_jp2k.dcm")
    return not (holds_jpeg2000 and (codec, glass) == ("copy", "empty"))


def profile(slide):
    return None if slide.color_profile is None else slide.color_profile.tobytes()


@pytest.fixture(params=slow_unless(is_small, REAL_SLIDES), ids=lambda path: path.name)
def source(request):
    return request.param


def with_glass(*kinds):
    """Every slide with every kind of glass; at the gate, each small slide with one and each kind once."""
    small, large = ([path for path in REAL_SLIDES if is_small(path) is so] for so in (True, False))
    slow = [pytest.param(*pair, marks=pytest.mark.slow) for pair in product(large, kinds)]
    return [
        pytest.param(*each.values, marks=each.marks, id="-".join((each.values[0].name, each.values[1])))
        for each in [*(each_of(small, kinds) if small else ()), *slow]
    ]


@pytest.mark.parametrize(("codec", "glass"), each_of(("copy", "jpeg"), ("keep", "white", "empty")))
def test_a_real_slide_converts_and_opens_as_before(source, codec, glass, tmp_path):
    target, config = tmp_path / "target.svs", ConversionConfig.of(codec=codec, glass=glass)
    if not suits(source, codec, glass):
        with pytest.raises(ConfigError, match="codec jpeg"):
            wsicomp.convert_slide(source, target, config)
        assert not list(tmp_path.iterdir())
        return
    report = wsicomp.convert_slide(source, target, config)
    assert report.verified
    with openslide.OpenSlide(source) as before, openslide.OpenSlide(target) as after:
        assert after.level_dimensions == before.level_dimensions
        assert profile(after) == profile(before)
        for axis in "xy":
            name = f"openslide.mpp-{axis}"
            assert (name in after.properties) == (name in before.properties)
            if name in before.properties:
                stated = float(before.properties[name])
                # An SVS states the mean of both directions.
                near = 1e-6 if source.suffix != ".dcm" else 1e-3
                assert float(after.properties[name]) == pytest.approx(stated, rel=near)
        if report.container == "svs" and source.suffix != ".dcm":
            for name in SAME:
                assert after.properties.get(name) == before.properties.get(name)
            assert set(after.associated_images) == set(before.associated_images)
            for name, image in before.associated_images.items():
                assert (np.asarray(after.associated_images[name]) == np.asarray(image)).all()
            own = {key: value for key, value in before.properties.items() if key.startswith("aperio.")}
            assert {key: after.properties.get(key) for key in own} == own


@pytest.mark.parametrize(("source", "glass"), with_glass("empty", "white", "keep"))
def test_every_copied_tile_shows_the_very_pixels_of_the_source(source, glass, tmp_path):
    if not suits(source, "copy", glass):
        pytest.skip(f"{source.name} has no tiles that can be copied with glass {glass}")
    target = tmp_path / "target.svs"
    config = ConversionConfig.of(codec="copy", glass=glass)
    plan = wsicomp.plan_slide(source, config)
    wsicomp.convert_slide(source, target, config)
    copied = 0
    with openslide.OpenSlide(source) as before, openslide.OpenSlide(target) as after:
        for level in plan.levels:
            downsample = before.level_downsamples[level.number]
            for index in TileGrid(level.size, level.tile).raster(level.number):
                if level.actions[index.row, index.column] != TileAction.COPY.value:
                    continue
                # Read away from the tile's border, where OpenSlide may blend in the next tile.
                region = level.grid.region(index.column, index.row)
                where = (round((region.x + 1) * downsample), round((region.y + 1) * downsample))
                size = (max(1, region.width - 3), max(1, region.height - 3))
                seen = [np.asarray(slide.read_region(where, level.number, size)) for slide in (before, after)]
                assert (seen[0] == seen[1]).all(), index
                copied += 1
    assert copied == sum(level.count(TileAction.COPY) for level in plan.levels) > 0


def test_a_dicom_slide_can_become_an_svs(tmp_path):
    slides = [path for path in REAL_SLIDES if path.suffix == ".dcm"]
    for path in slides:
        wsicomp.convert_slide(
            path, tmp_path / f"{path.stem}.svs", ConversionConfig.of(format="svs", glass="keep")
        )
        with openslide.OpenSlide(path) as before, openslide.OpenSlide(tmp_path / f"{path.stem}.svs") as after:
            assert after.properties["openslide.vendor"] == "aperio"
            assert after.level_dimensions == before.level_dimensions
            stated = float(before.properties["openslide.mpp-x"])
            assert float(after.properties["openslide.mpp-x"]) == pytest.approx(stated, rel=1e-3)
            whole = Size(*before.dimensions)
            seen = [
                np.asarray(slide.read_region((0, 0), 0, (whole.width, whole.height)).convert("RGB")).astype(
                    float
                )
                for slide in (before, after)
            ]
            assert np.abs(seen[0] - seen[1]).mean() < 6


@pytest.mark.parametrize(("source", "glass"), with_glass("keep", "blank"))
def test_a_region_of_a_real_slide_keeps_every_pixel_on_every_level(source, glass, tmp_path):
    with openslide.OpenSlide(source) as slide:
        width, height = slide.dimensions
    # An odd place in the middle, where there is tissue.
    left, top, wide, high = width // 3 + 5, height // 3 + 7, width // 5, height // 4
    corners = [[left, top], [left + wide, top], [left + wide, top + high], [left, top + high], [left, top]]
    drawing = tmp_path / "drawn.geojson"
    drawing.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    config = ConversionConfig.of(roi=drawing, glass=glass, segmenter="threshold", roi_codec="copy")
    report = wsicomp.convert_slide(source, tmp_path / "target.tiff", config)
    assert [each.is_exact for each in report.classes if each.name] == [True]
    assert report.ssim_tiles <= sum(level.encoded + level.whitened for level in report.levels)
    with openslide.OpenSlide(source) as before, wsicomp.open_slide(tmp_path / "target.tiff") as after:
        for level, factor in enumerate(before.level_downsamples):
            size = tuple(int(side / factor) for side in (wide, high))
            shown = [np.asarray(one.read_region((left, top), level, size)) for one in (before, after)]
            assert np.array_equal(*shown), level
    assert wsicomp.verify(tmp_path / "target.tiff", source, roi=drawing).problems == ()
