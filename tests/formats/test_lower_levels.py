"""A slide from one of its levels on is an ordinary smaller slide: pixels, bytes, scale, texts."""

from contextlib import closing

import numpy as np
import openslide
import pytest

import wsicomp
from tests import tiffs
from tests.drawn import forged
from tests.drawn import levels as drawn
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError, UnsupportedSlideError
from wsicomp.formats.lower_levels import LowerLevels, level_of_power
from wsicomp.formats.opening import open_chosen, open_reader
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.formats.tiff import aperio
from wsicomp.geometry import Mpp, Region, Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

READERS = ("tiff", "converted", "openslide")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A slide of 40x, 20x, 5x and 2.5x, and what becomes of it."""
    folder = tmp_path_factory.mktemp("lower")
    form = SyntheticFormat(downsamples=(1, 2, 8, 16), objective_power=40)
    write_slide(folder / "slide.svs", SyntheticSlide(Size(1801, 1203), seed=3, mpp=0.25), form)
    wsicomp.convert_slide(folder / "slide.svs", folder / "target.tiff", forged.PACKED)
    return folder


def opened(reader, folder):
    if reader == "openslide":
        return OpenSlideSlide(folder / "slide.svs")
    return open_reader(folder / {"tiff": "slide.svs", "converted": "target.tiff"}[reader])


@pytest.mark.parametrize("reader", READERS)
def test_every_method_answers_for_the_levels_that_stay(reader, folder):
    with closing(opened(reader, folder)) as whole:
        lower = LowerLevels(whole, 1)
        assert [level.size for level in lower.info.levels] == [level.size for level in whole.info.levels[1:]]
        assert lower.info.levels[0].downsample == 1
        assert lower.info.file_size == whole.info.size != lower.info.size
        for number, level in enumerate(lower.info.levels):
            region = Region(3, 5, level.size.width - 9, level.size.height - 9)
            shown = whole.read_region(number + 1, region)
            assert np.array_equal(lower.read_region(number, region), shown)
            assert (lower.tile_ranges(number) == whole.tile_ranges(number + 1)).all()
            assert lower.content_key(number, region) == whole.content_key(number + 1, region)
            assert lower.is_by_openslide(number) == whole.is_by_openslide(number + 1)
            index, there = (next(iter(level.grid.raster(one))) for one in (number, number + 1))
            assert np.array_equal(lower.read_tile(index), whole.read_tile(there))
            assert np.array_equal(lower.read_tile_eighth(index), whole.read_tile_eighth(there))
            if reader != "openslide":
                assert lower.stored_tile(index) == whole.stored_tile(there)
                assert lower.read_encoded_tile(index) == whole.read_encoded_tile(there)
        if reader == "converted":
            levels = lower.provenance.plan.levels
            assert [level.number for level in levels] == [0, 1, 2]
            assert [level.size for level in levels] == [level.size for level in lower.info.levels]
            assert len(lower.provenance.levels) == 3


@pytest.mark.parametrize("reader", READERS)
def test_scale_and_texts_are_those_of_the_first_level(reader, folder):
    with closing(opened(reader, folder)) as whole:
        info = LowerLevels(whole, 2).info
        assert info.mpp == Mpp(2.0, 2.0), "sizes that were rounded make no pixel wider"
        assert info.objective_power == 5
        assert info.from_level == 2
        assert (info.properties["aperio.MPP"], info.properties["aperio.AppMag"]) == ("2", "5")
        assert float(info.properties.get("openslide.mpp-x", 2)) == 2
        assert "openslide.quickhash-1" not in info.properties
        assert info.properties.get("openslide.level-count", "2") == "2"
        fields = aperio.parse_fields(info.description)
        assert (fields["MPP"], fields["AppMag"]) == ("2", "5")


def test_the_size_of_the_scan_is_in_pixels_of_the_first_level_and_history_stays():
    text = (
        "Aperio Image Library v12\r\n800x600 [0,0 800x600] (256x256) J2K|AppMag = 40|StripeWidth = 2040|"
        "MPP = 0.2500|Left = 25.5|OriginalWidth = 800|Originalheight = 600|Title = MPP = 0.25\n"
    )
    assert aperio.description_at(text, 4.0) == (
        "Aperio Image Library v12\r\n800x600 [0,0 800x600] (256x256) J2K|AppMag = 10|StripeWidth = 2040|"
        "MPP = 1|Left = 25.5|OriginalWidth = 200|Originalheight = 150|Title = MPP = 0.25\n"
    )
    assert aperio.description_at("<OME MPP = 1|MPP = 1>", 4.0) == "<OME MPP = 1|MPP = 1>"
    assert aperio.field_at("MPP", "unknown", 4.0) == "unknown"


@pytest.mark.parametrize(
    ("most", "number"), [(40, 0), (80, 0), (39, 0), (20, 1), (19.1, 1), (21, 1), (5, 2), (2.5, 3)]
)
def test_the_finest_level_of_a_power_is_found(most, number, folder):
    for reader in READERS:
        with closing(opened(reader, folder)) as slide:
            assert level_of_power(slide.info, most) == number


@pytest.mark.parametrize(
    ("most", "told"), [(10, "take a `max_power` of 5 to begin there, or leave"), (1, "at 1x; leave")]
)
def test_a_power_that_no_level_has_is_refused_with_those_that_there_are(most, told, folder):
    with pytest.raises(ConfigError, match=r"the source has 40x, 20x, 5x, 2\.5x, no level at") as caught:
        open_chosen(folder / "slide.svs", ConversionConfig.of(max_power=most).output)
    assert told in caught.value.message


def test_without_a_power_um_per_px_decide_and_without_either_nothing_does(tmp_path):
    slide = SyntheticSlide(Size(800, 600), seed=3, mpp=0.25)
    for name, form in {
        "mpp": SyntheticFormat(container="tiff", downsamples=(1, 2), objective_power=None),
        "none": SyntheticFormat(container="tiff", downsamples=(1, 2), states_mpp=False),
    }.items():
        write_slide(tmp_path / f"{name}.tiff", slide, form)
    output = ConversionConfig.of(max_power=20).output
    with closing(open_chosen(tmp_path / "mpp.tiff", output)) as opened:
        assert opened.info.size == Size(400, 300)
        assert opened.info.mpp.mean == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="neither objective power nor um per px"):
        open_chosen(tmp_path / "none.tiff", output)


def test_a_level_that_is_not_there_is_refused(folder):
    with pytest.raises(ConfigError, match="`from_level` is 4, and the slide has 4 levels; take 0 to 3"):
        open_chosen(folder / "slide.svs", ConversionConfig.of(from_level=4).output)
    for wrong in ({"from_level": -1}, {"from_level": 1.5}, {"max_power": 0}):
        with pytest.raises(ConfigError):
            ConversionConfig.of(**wrong)
    with pytest.raises(ConfigError, match="both say where to begin"):
        ConversionConfig.of(from_level=1, max_power=20)
    with pytest.raises(ConfigError, match="restorable` keeps every level"):
        ConversionConfig.preset("archive-lossless", max_power=20)


def test_a_level_whose_holes_are_drawn_from_finer_ones_cannot_come_first(tmp_path):
    source = tmp_path / "slide.svs"
    forged.draw_tissue(source)
    for code in (324, 325):
        tiffs.overwrite_tag(source, code, (0, 0, 0, 0), page=2)
    with openslide.OpenSlide(source) as shown:
        assert np.asarray(shown.read_region((0, 0), 1, (9, 9)))[..., 3].all(), (
            "OpenSlide draws it from level 0"
        )
    with pytest.raises(UnsupportedSlideError, match=r"4 tiles without bytes, .* begin at another level"):
        wsicomp.convert_slide(source, tmp_path / "target.svs", forged.LOWER)
    assert not (tmp_path / "target.svs").exists()


def test_of_one_focal_plane_the_lower_levels_are_taken(tmp_path):
    truth = drawn.z_stack(tmp_path / "s.svs")
    config = ConversionConfig.of(z=1, from_level=1, glass="keep")
    wsicomp.convert_slide(tmp_path / "s.svs", tmp_path / "t.svs", config)
    with openslide.OpenSlide(tmp_path / "t.svs") as shown:
        assert shown.dimensions == (drawn.WIDTH // 4, drawn.HEIGHT // 4)
        pixels = np.asarray(shown.read_region((0, 0), 0, shown.dimensions).convert("RGB")).astype(int)
    assert np.abs(pixels - truth.planes[1][1]).mean() < 4
    assert wsicomp.verify(tmp_path / "t.svs", tmp_path / "s.svs").problems == ()
