"""Others' eyes: what they find in faulty files, and that they let every honest one pass."""

import json
import shutil
from contextlib import closing

import numpy as np
import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.conftest import each_of
from tests.drawn import colour, pixels_only
from tests.paths import FIXTURES
from tests.verification.test_verify import check, codes
from wsicomp import ConversionConfig
from wsicomp.cli import main
from wsicomp.errors import SlideReadError, VerificationError
from wsicomp.formats.identity import slide_identity
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, Size, TileGrid
from wsicomp.slide import Level
from wsicomp.verification import other_readers, pixel_agreement, reader_agreement, verify

FAULTY = ("jpeg2000_420", "jpeg2000_transform", "jpeg_rgb_jfif", "jpeg_ycbcr_adobe0", "dicom_fraction")


def fixture(family):
    found = sorted((FIXTURES / "v050").glob(f"{family}.*"))
    source, target = found if "target" in found[1].name else found[::-1]
    return (source / "level-0.dcm" if source.is_dir() else source), target


def colour_converted(pixels):
    """Taken for YCbCr, which it is not."""
    luma, blue, red = (pixels[..., channel].astype(float) - (128 if channel else 0) for channel in range(3))
    rgb = [luma + 1.402 * red, luma - 0.34414 * blue - 0.71414 * red, luma + 1.772 * blue]
    return np.clip(np.stack(rgb, axis=-1), 0, 255).astype(np.uint8)


def swapped(pixels):
    return np.ascontiguousarray(pixels[..., ::-1])


@pytest.mark.parametrize("family", FAULTY)
def test_what_0_5_0_wrote_with_wrong_pixels_is_found(family):
    source, target = fixture(family)
    sha256 = slide_identity(source)[1]
    with closing(open_reader(source)) as slide:
        found = verify.verify_slide(target, slide, sha256, 1, lambda done, total: None)
    assert {problem.code for problem in found.problems} == {"pixels-differ"}
    assert "grey levels" in found.problems[0].message


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """A noisy SVS with an odd pyramid: levels of downsample 1.99 and 3.96, in tiles that cut the edges."""
    path = tmp_path_factory.mktemp("oracle") / "source.svs"
    write_pyramid(path, [(520, 390), (262, 196), (132, 99)])
    return path


def write_pyramid(path, sizes, **options):
    chosen = {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb", "metadata": None} | options
    with tifffile.TiffWriter(path) as tiff:
        for number, (width, height) in enumerate(sizes):
            text = tiffs.DESCRIPTION.format(*sizes[0])
            pixels = pixels_only.noise(width, height, number)
            tiff.write(pixels, description=text if not number else "Aperio\r\nlevel", **chosen)


WORST = (
    {"codec": "jpeg", "quality": 1},
    {"codec": "jpeg", "quality": 10},
    {"codec": "webp", "quality": 0},
    {"codec": "jpegxl", "distance": 15, "effort": 1},
    {"codec": "jpegxl", "lossless": True, "effort": 1},
    {"codec": "jpeg", "lossless": True},
    {"codec": "none"},
    {"codec": "copy"},
)


@pytest.mark.parametrize(("options", "glass"), each_of(WORST, ["keep", "white"]), ids=str)
def test_every_honest_codec_passes_at_its_worst(options, glass, levels, tmp_path):
    config = ConversionConfig.of(glass=glass, margin_um=0, segmenter="threshold", **options)
    target = tmp_path / ("target.svs" if options["codec"] == "copy" else "target.tiff")
    report = wsicomp.convert_slide(levels, target, config)
    assert report.verified
    assert not [note for note in report.notes if "shows" in note and "tile" in note]
    assert check(target, levels).problems == ()


FAULTS = {
    "red and blue swapped": swapped,
    "another tile": lambda pixels: np.roll(pixels, 400, 0)[::-1].copy(),
}
FAULTS["converted once more"] = colour_converted


@pytest.mark.parametrize(
    "options", [{"codec": "jpeg"}, {"codec": "jpegxl", "effort": 1}, {"codec": "none"}], ids=str
)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_writer_with_a_fault_is_found_before_its_file_is_kept(fault, options, tmp_path, monkeypatch):
    from wsicomp.conversion import tile_stream

    source = tmp_path / "source.svs"
    colour.draw_jpeg(source, quality=95)
    sound = tile_stream.TileMaker._pixels
    monkeypatch.setattr(tile_stream.TileMaker, "_pixels", lambda self, index: fault(sound(self, index)))
    with pytest.raises(VerificationError, match="pixels-differ: level 0 tile"):
        wsicomp.convert_slide(source, tmp_path / "target.tif", ConversionConfig.of(glass="keep", **options))
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]
    config = ConversionConfig.of(glass="keep", verify=False, **options)
    wsicomp.convert_slide(source, tmp_path / "target.tif", config)
    assert codes(tmp_path / "target.tif") == set(), "without its source nothing is known of it"
    assert codes(tmp_path / "target.tif", source) == {"pixels-differ"}


def misread(monkeypatch):
    """Let our JPEG decoder take blue for red."""
    from wsicomp.codecs import jpeg

    sound = jpeg.decode
    monkeypatch.setattr(jpeg, "decode", lambda tile: swapped(sound(tile)))


def test_a_source_that_we_alone_read_so_is_not_encoded(tmp_path, monkeypatch, capsys):
    source = tmp_path / "source.svs"
    colour.draw_jpeg(source)
    misread(monkeypatch)
    with pytest.raises(SlideReadError, match=r"read otherwise than OpenSlide 4.* grey levels"):
        wsicomp.convert_slide(source, tmp_path / "a.tif", ConversionConfig.of(codec="jpeg", glass="keep"))
    with pytest.raises(SlideReadError, match="take codec copy with glass keep"):
        wsicomp.convert_slide(source, tmp_path / "a.svs", ConversionConfig.of(codec="copy", glass="white"))
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]
    plan = wsicomp.plan_slide(source, ConversionConfig.of(codec="copy", glass="keep"))
    assert "is read otherwise" in plan.notes[-1]
    assert main(["info", str(source)]) == 0
    assert "take care: level 0 tile" in capsys.readouterr().out
    assert main(["info", str(source), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["seen_otherwise"]) == 1


def test_a_file_that_we_read_otherwise_than_openslide_is_not_good(tmp_path, monkeypatch):
    source = tmp_path / "source.svs"
    colour.draw_jpeg(source)
    wsicomp.convert_slide(source, tmp_path / "target.svs", ConversionConfig.of(codec="copy", glass="keep"))
    misread(monkeypatch)
    assert codes(source) == codes(tmp_path / "target.svs") == {"pixels-differ"}


def test_where_openslide_alone_is_wrong_that_is_a_note(tmp_path):
    source, target = tmp_path / "source.svs", tmp_path / "target.svs"
    pixels = colour.draw_jpeg2000(source, 33003, "444", True)
    report = wsicomp.convert_slide(source, target, ConversionConfig.of(codec="jpeg", glass="keep"))
    assert "OpenSlide" in report.notes[-1]
    assert "alone shows level 0 tile" in report.notes[-1]
    with closing(open_reader(target)) as slide:
        found = slide.read_region(0, Region(0, 0, *pixels.shape[1::-1])).astype(int)
    assert np.abs(found - pixels).mean() < 4


@pytest.mark.gate
def test_damaged_tiles_of_a_source_are_no_false_alarm(levels, tmp_path):
    source = shutil.copy(levels, tmp_path / "source.svs")
    for page, number in ((0, 5), (0, 59), (1, 0), (2, 3)):
        with tifffile.TiffFile(source) as tiff:
            offset, count = tiff.pages[page].dataoffsets[number], tiff.pages[page].databytecounts[number]
        data = bytearray(source.read_bytes())
        data[offset + count // 2 : offset + count] = bytes(count - count // 2)
        source.write_bytes(data)
    tiffs.damage_tile(source, 7)
    tiffs.damage_tile(source, 1, page=2)
    for number, options in enumerate(
        ({"codec": "copy"}, {"codec": "jpeg"}, {"codec": "jpegxl", "lossless": True, "effort": 1})
    ):
        target = tmp_path / f"{number}.tif"
        report = wsicomp.convert_slide(source, target, ConversionConfig.of(glass="keep", **options))
        assert report.flawed_tiles + report.lost_tiles >= 4
        assert check(target, source).problems == ()


@pytest.mark.gate
def test_tiles_without_bytes_of_an_svs_are_no_false_alarm(levels, tmp_path):
    source = shutil.copy(levels, tmp_path / "source.svs")
    for page in (0, 1):
        for code in (324, 325):
            with tifffile.TiffFile(source) as tiff:
                values = list(tiff.pages[page].tags[code].value)
            values[9] = values[14] = 0
            tiffs.overwrite_tag(source, code, values, page=page)
    for number, options in enumerate(
        ({"codec": "copy"}, {"codec": "jpeg"}, {"codec": "jpegxl", "effort": 1})
    ):
        target = tmp_path / f"{number}.{'svs' if number < 2 else 'tif'}"
        wsicomp.convert_slide(source, target, ConversionConfig.of(glass="keep", **options))
        assert check(target, source).problems == ()
    assert reader_agreement.check_reading(open_reader(source)) == []


def places(level, wanted=None, **options):
    everything = np.ones(level.grid.count, bool) if wanted is None else wanted
    return reader_agreement.chosen_tiles(0, level, everything, 7, **options)


def test_the_same_places_are_looked_at_each_time_and_a_quarter_of_them_at_the_far_edges():
    level = Level(Size(5000, 4000), Size(100, 100), 1.0)
    found = places(level)
    assert found == places(level)
    assert len(found) == len(set(found)) == 32
    assert sum(index.column == 49 or index.row == 39 for index in found) == 8
    small = Level(Size(1000, 900), Size(100, 100), 1.0)
    assert len(places(small)) == 90


def test_a_thorough_look_takes_in_all_far_edges():
    level = Level(Size(8000, 6000), Size(100, 100), 1.0)
    found = places(level, thorough=True)
    assert sum(index.column == 79 or index.row == 59 for index in found) == 80 + 60 - 1
    assert len(found) > 2000


def test_verify_looks_thoroughly_when_it_is_asked_to(levels, tmp_path, monkeypatch, capsys):
    target = tmp_path / "target.svs"
    wsicomp.convert_slide(levels, target, ConversionConfig.of(codec="copy", glass="keep"))
    monkeypatch.setattr(reader_agreement, "SMALL_PX", 10_000)
    seen = []
    sound = pixel_agreement.PixelCheck.problem
    monkeypatch.setattr(
        pixel_agreement.PixelCheck,
        "problem",
        lambda self, index: (seen.append(index), sound(self, index))[1],
    )
    assert main(["verify", str(target), "--against", str(levels)]) == 0
    grid = TileGrid(Size(520, 390), Size(64, 64))
    edges = {
        index for index in grid.raster(0) if index.column == grid.columns - 1 or index.row == grid.rows - 1
    }
    assert len(edges & set(seen)) == 8 < len(edges)
    seen.clear()
    assert main(["verify", str(target), "--against", str(levels), "--thorough"]) == 0
    assert edges <= set(seen)


@pytest.mark.parametrize("markers", ["no marker", "JFIF", "Adobe 0", "Adobe 1"])
@pytest.mark.parametrize("photometric", [2, 6])
def test_other_decoders_are_told_the_colours_by_the_photometric_alone(photometric, markers, tmp_path):
    pixels = colour.draw_jpeg(tmp_path / "a.tif", photometric, markers, svs=False)
    with closing(open_reader(tmp_path / "a.tif")) as slide:
        look = other_readers.StoredRegions(slide).read(0, Region(0, 0, *pixels.shape[1::-1]))
    assert look is not None
    assert np.abs(look.pixels.astype(int) - pixels).mean() < 3


def test_pixels_between_those_of_a_level_are_held_against_ours(levels):
    with closing(open_reader(levels)) as slide:
        shown = other_readers.OpenSlideRegions(slide.shown())
        level = slide.info.levels[1]
        slide.shown()._whole = {1: None}  # as if the level were large
        between = 0
        for index in level.grid.raster(1):
            region = level.grid.region(index.column, index.row)
            own = other_readers.PlacedPixels(slide.read_region(1, region), region.x, region.y)
            look = shown.read(level.size, region)
            if look is not None:
                between += not look.is_whole
                assert other_readers.difference(own.at(look), look.pixels).worst <= 2, index
        assert between > 6


def test_an_encoder_that_is_wrong_every_time_is_found_all_the_same(tmp_path, monkeypatch):
    from wsicomp.codecs import jpeg
    from wsicomp.errors import VerificationError

    y, x = np.mgrid[0:512, 0:512]
    pixels = np.stack([200 + x % 40, 90 + y % 40, 60 + (x + y) % 30], axis=-1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(256, 256), photometric="rgb", metadata=None)
    honest = jpeg.Codec.encode
    monkeypatch.setattr(jpeg.Codec, "encode", lambda self, tile: honest(self, tile[..., ::-1]))
    config = wsicomp.ConversionConfig.of(codec="jpeg", glass="keep", workers=1)
    with pytest.raises(VerificationError, match="pixels-differ"):
        wsicomp.convert_slide(tmp_path / "a.tif", tmp_path / "b.tif", config)
    assert not (tmp_path / "b.tif").exists()
