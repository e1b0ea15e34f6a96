"""Files that state, or unpack to, far more than they hold: refused in a line, before memory or time go."""

import base64
import hashlib
import shutil
import time
import zlib
from contextlib import closing

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.conftest import each_of
from tests.drawn import bombs
from wsicomp import (
    ConfigError,
    ConversionConfig,
    MaskError,
    SlideReadError,
    SlideWriteError,
    UnsupportedSlideError,
)
from wsicomp.cli import main
from wsicomp.codecs import jpegxl, jpegxl_stream
from wsicomp.codecs.registry import bytes_a_pixel
from wsicomp.conversion.convert import plan_slide
from wsicomp.conversion.tile_stream import StreamOptions, TileMaker, stream_level
from wsicomp.errors import TileReadError
from wsicomp.files import limits
from wsicomp.formats.converted import lzma_restoration, writer
from wsicomp.formats.converted.output_tile import MadeTile
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.opening import open_reader, open_tiff
from wsicomp.formats.originals import index
from wsicomp.formats.safe_openslide import open_openslide
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.progress import no_progress
from wsicomp.slide import JPEG, JPEGXL, NEURAL, RGB, EncodedTile, TileEncoding
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.overview import read_overview

KEPT = {"glass": "keep", "workers": 2}
PACKED = {"codec": "jpegxl", "lossless": True, "restorable": True, **KEPT}
SLIDE = Size(4096, 4096)


def with_free(monkeypatch, *left):
    """Have the disk state these free bytes, one after another, and the last one from then on."""
    stated = list(left)
    real = shutil.disk_usage
    told = lambda path: real(path)._replace(free=stated.pop(0) if len(stated) > 1 else stated[0])  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", told)


@pytest.mark.parametrize(
    "options", [{"codec": "copy"}, {"codec": "jpeg"}, {"codec": "copy", "restorable": True}, PACKED]
)
def test_tiles_that_a_source_stores_once_are_stored_once(tmp_path, options):
    pixels = bombs.shared_tile(tmp_path / "source.tiff", side=8)
    report = wsicomp.convert_slide(
        tmp_path / "source.tiff", tmp_path / "target.tiff", ConversionConfig.of(**KEPT | options)
    )
    assert report.target_bytes < 1.5 * report.source_bytes
    with wsicomp.open_slide(tmp_path / "target.tiff") as slide:
        shown = np.asarray(slide.read_region((7 * 256, 7 * 256), 0, (256, 256)).convert("RGB"))
    if options["codec"] != "jpeg":
        assert np.array_equal(shown, pixels)
    with tifffile.TiffFile(tmp_path / "target.tiff") as tiff:
        assert len(set(tiff.pages.first.dataoffsets)) == 1
        if options["codec"] == "copy":
            assert np.array_equal(tiff.pages.first.asarray()[:256, 256:512], pixels)
    if "restorable" in options:
        wsicomp.restore_slide(tmp_path / "target.tiff", tmp_path / "again.tiff")
        assert (tmp_path / "again.tiff").read_bytes() == (tmp_path / "source.tiff").read_bytes()


def test_openslide_shows_tiles_that_share_their_bytes(tmp_path):
    pixels = bombs.shared_tile(tmp_path / "source.tiff", side=3)
    wsicomp.convert_slide(
        tmp_path / "source.tiff", tmp_path / "target.tiff", ConversionConfig.of(codec="copy", **KEPT)
    )
    with openslide.OpenSlide(tmp_path / "target.tiff") as slide:
        shown = np.asarray(slide.read_region((512, 256), 0, (256, 256)).convert("RGB"))
    assert np.array_equal(shown, pixels)


def test_a_target_that_has_no_room_is_not_begun(tmp_path, monkeypatch):
    source = tiffs.write_tiff(tmp_path / "source.svs", pixels=bombs.noise(512), compression=None)
    with_free(monkeypatch, 500_000)
    with pytest.raises(SlideWriteError, match="make room"):
        wsicomp.convert_slide(source, tmp_path / "a.svs", ConversionConfig.of(codec="none", **KEPT))
    with_free(monkeypatch, 1_500_000)
    with pytest.raises(SlideWriteError, match="to stay free"):
        wsicomp.convert_slide(
            source, tmp_path / "a.svs", ConversionConfig.of(codec="none", min_free=0.001, **KEPT)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]
    assert wsicomp.convert_slide(
        source, tmp_path / "a.svs", ConversionConfig.of(codec="none", **KEPT)
    ).verified


def test_writing_ends_where_the_disk_would_have_too_little_left(tmp_path, monkeypatch, capsys):
    source = tiffs.write_tiff(tmp_path / "source.svs", pixels=bombs.noise(1024))
    monkeypatch.setattr(writer, "_CHECKED_BYTES", 50_000, raising=False)
    with_free(monkeypatch, 10**10, 2 * 10**9, 10**9)
    options = ["--glass", "keep", "--codec", "jpeg", "--min-free", "1.5"]
    assert main(["convert", str(source), str(tmp_path / "a.svs"), *options]) == 1
    assert "make room" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]


def test_what_stays_free_does_not_change_what_is_written():
    assert ConversionConfig.of(min_free=3).lasting() == ConversionConfig().lasting()


def test_large_tiles_are_worked_on_one_at_a_time(tmp_path, monkeypatch):
    bombs.large_tiles(tmp_path / "source.tiff", columns=3, rows=2)
    monkeypatch.setattr("wsicomp.conversion.prepare.check_reading", lambda *_: [])
    at_once = []

    def made(_, indices):
        at_once.append(len(indices))
        return [MadeTile(b"x") for _ in indices]

    monkeypatch.setattr(TileMaker, "tiles", made)
    with closing(open_reader(tmp_path / "source.tiff")) as slide:
        plan = plan_slide(tmp_path / "source.tiff", ConversionConfig.of(codec="copy", **KEPT))
        assert len(list(stream_level(slide, plan.levels[0], StreamOptions(), 8))) == 6
    assert set(at_once) == {1}


def test_how_many_tiles_are_worked_on_comes_from_their_size_and_the_machine(monkeypatch):
    assert limits.tiles_at_once(Size(256, 256)) == limits.tiles_at_once(Size(512, 512)) == 32
    assert limits.workers_for(Size(256, 256), 64) == 64
    monkeypatch.setattr(limits, "memory_bytes", lambda: 8 << 30)
    assert limits.workers_for(Size(4096, 4096), 64) == 1
    monkeypatch.setattr(limits, "memory_bytes", lambda: 512 << 30)
    assert 8 < limits.workers_for(Size(4096, 4096), 64) < 64


def test_neural_tiles_are_worked_on_in_as_many_threads_as_their_networks_have_memory_for(monkeypatch):
    neural = bytes_a_pixel(TileEncoding(NEURAL, RGB))
    monkeypatch.setattr(limits, "memory_bytes", lambda: 64 << 30)
    assert limits.workers_for(Size(256, 256), 16, neural) == 16
    assert limits.workers_for(Size(2048, 2048), 16, neural) == 1
    assert limits.workers_for(Size(2048, 2048), 16, bytes_a_pixel(TileEncoding(JPEG, RGB))) == 16
    assert bytes_a_pixel(None) == bytes_a_pixel(TileEncoding(6, RGB)) == limits.BYTES_A_PIXEL
    assert bytes_a_pixel(TileEncoding(JPEG, RGB), None, TileEncoding(NEURAL, RGB)) == neural


@pytest.mark.gate
def test_a_slide_of_really_large_tiles_is_converted(tmp_path):
    color = bombs.large_tiles(tmp_path / "source.tiff", columns=1, rows=1)
    report = wsicomp.convert_slide(
        tmp_path / "source.tiff", tmp_path / "target.tiff", ConversionConfig.of(codec="jpeg", **KEPT)
    )
    assert report.verified
    with openslide.OpenSlide(tmp_path / "target.tiff") as slide:
        assert slide.dimensions == (4096, 4096)
        shown = np.asarray(slide.read_region((2048, 2000), 0, (64, 64)).convert("RGB")).astype(int)
    assert np.abs(shown - color).max() <= 3


@pytest.mark.parametrize("codec", ["jpeg", "jpegxl", "webp", "jpeg2000"])
def test_a_stream_of_another_size_than_its_tile_is_not_decoded(tmp_path, codec):
    path = tmp_path / "source.svs"
    bombs.larger_frame(path, codec, side=2000)
    with closing(open_reader(path)) as slide, pytest.raises(TileReadError, match="2000"):
        slide.read_tile(TileIndex(0, 1, 1))


def test_a_tile_of_many_scans_is_lost_and_told(tmp_path):
    bombs.many_scans(tmp_path / "source.tiff", scans=600)
    with closing(open_reader(tmp_path / "source.tiff")) as slide:
        for read in (slide.read_tile, slide.read_tile_eighth):
            with pytest.raises(TileReadError, match="scans, expected at most 500"):
                read(TileIndex(0, 1, 1))
    report = wsicomp.convert_slide(
        tmp_path / "source.tiff", tmp_path / "target.tiff", ConversionConfig.of(codec="jpeg", **KEPT)
    )
    assert report.levels[0].lost == 3


def test_a_tile_of_as_many_scans_as_anyone_writes_is_read(tmp_path):
    bombs.many_scans(tmp_path / "source.tiff", scans=0)
    with closing(open_reader(tmp_path / "source.tiff")) as slide:
        assert np.abs(slide.read_tile(TileIndex(0, 1, 0)).astype(int) - 200).max() <= 1


@pytest.mark.parametrize("kind", ["precincts", "layers", "tiles"])
def test_jpeg2000_that_is_cut_too_small_is_not_decoded(tmp_path, kind):
    bombs.cut_small(tmp_path / "source.svs", kind, side=1024)
    with (
        closing(open_reader(tmp_path / "source.svs")) as slide,
        pytest.raises(TileReadError, match="JPEG 2000"),
    ):
        slide.read_tile(TileIndex(0, 0, 0))


@pytest.mark.parametrize("options", [{"level": 0, "reversible": True}, {"level": 30, "resolutions": 9}])
@pytest.mark.parametrize("side", [16, 240, 512])
def test_jpeg2000_as_encoders_write_it_is_decoded(side, options):
    pixels = bombs.noise(side)
    data = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **options))
    tile = EncodedTile(data, TileEncoding(bombs.JPEG2000, RGB), Size(side, side))
    assert wsicomp.codecs.registry.decode_tile(tile).shape == pixels.shape


def packed(data):
    return EncodedTile(data, TileEncoding(JPEGXL, RGB), Size(256, 256))


def test_a_packed_jpeg_whose_comments_are_megabytes_is_not_unpacked():
    data = bombs.packed_comments(comments=40)
    assert len(data) < 20_000
    with pytest.raises(ValueError, match="bytes beside its picture"):
        jpegxl.rebuilt_jpeg(packed(data))


def test_a_packed_jpeg_with_comments_as_in_slides_is_unpacked():
    whole = jpegxl.rebuilt_jpeg(packed(bombs.packed_comments(comments=2)))
    assert whole.count(b"\xff\xfe\xff\xff") == 2


@pytest.mark.parametrize(
    ("width", "height"), [(8, 8), (256, 256), (240, 256), (264, 136), (4096, 3), (160, 128), (321, 7)]
)
def test_the_size_that_jpegxl_states_is_read(width, height):
    data = bytes(imagecodecs.jpegxl_encode(np.zeros((height, width, 3), np.uint8), lossless=True, effort=1))
    assert jpegxl_stream.read_size(jpegxl_stream.Bits(jpegxl_stream.codestream(data))) == Size(width, height)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    tiffs.write_tiff(folder / "source.svs", 400, 300)
    wsicomp.convert_slide(folder / "source.svs", folder / "archive.tiff", ConversionConfig.of(**PACKED))
    return folder / "archive.tiff"


@pytest.fixture
def few_bytes_beside(monkeypatch):
    """The bytes that a remainder may unpack to whatever it takes, so few that a test can exceed them."""
    monkeypatch.setattr(index, "_MOST_BESIDE_BYTES", 1 << 20)
    monkeypatch.setattr(lzma_restoration, "_MOST_BESIDE_BYTES", 1 << 20)


@pytest.fixture
def forged(archive, tmp_path):
    return shutil.copy(archive, tmp_path / "forged.tiff")


def refused(path, target):
    """The line in which `restore` refuses a file, of which nothing is written."""
    start = time.monotonic()
    with pytest.raises((SlideReadError, SlideWriteError)) as told:
        wsicomp.restore_slide(path, target)
    assert not target.exists()
    assert time.monotonic() - start < 20
    return str(told.value)


@pytest.mark.parametrize("bomb", [bombs.long_remainder, bombs.zero_blocks])
def test_a_remainder_that_unpacks_to_far_more_than_it_is_is_refused_unless_trusted(
    forged, tmp_path, bomb, few_bytes_beside
):
    bomb(forged, 1 / 16)
    assert "if you trust it" in refused(forged, tmp_path / "again.svs")
    wsicomp.restore_slide(forged, tmp_path / "again.svs", trust=True)
    assert (tmp_path / "again.svs").stat().st_size == 1 << 26


@pytest.mark.parametrize("bomb", [bombs.long_remainder, bombs.zero_blocks])
def test_verify_tells_of_a_remainder_that_it_does_not_unpack(forged, bomb, few_bytes_beside, capsys):
    bomb(forged, 1 / 16)
    assert main(["verify", str(forged)]) == 1
    assert "if you trust it, restore it with" in capsys.readouterr().out


@pytest.mark.gate
def test_convert_tells_that_a_source_of_holes_needs_trust(tmp_path, few_bytes_beside, capsys):
    tiffs.write_tiff(tmp_path / "s.svs", 400, 300)
    with (tmp_path / "s.svs").open("r+b") as file:
        file.truncate(1 << 26)
    report = wsicomp.convert_slide(tmp_path / "s.svs", tmp_path / "a.tiff", ConversionConfig.of(**PACKED))
    assert any("restoring it needs `trust=True`" in note for note in report.notes)
    assert main(["verify", str(tmp_path / "a.tiff")]) == 1
    assert "if you trust it, restore it with" in capsys.readouterr().out
    wsicomp.restore_slide(tmp_path / "a.tiff", tmp_path / "again.svs", trust=True)
    assert (tmp_path / "again.svs").read_bytes() == (tmp_path / "s.svs").read_bytes()


@pytest.mark.parametrize("stated", [1 << 50, 1 << 34])
def test_a_source_that_is_stated_to_be_larger_than_its_pieces_is_refused(forged, tmp_path, stated):
    source = {"plan": lambda plan: plan | {"source": plan["source"] | {"bytes": stated}}}
    bombs.reforged(forged, **source)
    assert f"the source has {stated}" in refused(forged, tmp_path / "again.svs")


def test_a_source_for_which_there_is_no_room_is_not_begun(archive, tmp_path, monkeypatch):
    with_free(monkeypatch, 1000)
    assert "make room" in refused(archive, tmp_path / "again.svs")


def test_a_piece_that_comes_often_is_refused(forged, tmp_path):
    bombs.same_piece(forged, times=5)
    assert "comes twice" in refused(forged, tmp_path / "again.svs")


def test_a_remainder_that_asks_for_gigabytes_of_memory_is_refused(forged, tmp_path):
    bombs.large_dictionary(forged)
    assert "emory" in refused(forged, tmp_path / "again.svs")


@pytest.mark.parametrize("bomb", [bombs.many_runs, bombs.many_values, bombs.many_tiles])
def test_a_provenance_that_is_larger_than_its_file_is_refused(forged, bomb):
    bomb(forged)
    start = time.monotonic()
    with pytest.raises(SlideReadError, match="damaged provenance"):
        open_tiff(forged)
    assert time.monotonic() - start < 5


def test_directories_that_share_a_list_are_refused(tmp_path):
    bombs.shared_lists(tmp_path / "source.tiff")
    with pytest.raises(SlideReadError, match="its directories state"):
        open_reader(tmp_path / "source.tiff")


def test_a_profile_of_gigabytes_is_refused(tmp_path):
    bombs.huge_profile(tmp_path / "source.tiff", gigabytes=0.375)
    with pytest.raises(SlideReadError, match="tag 34675 of 402653184 bytes"):
        open_reader(tmp_path / "source.tiff")


def test_a_macro_that_no_memory_holds_is_told_when_it_is_asked_for(tmp_path, monkeypatch):
    bombs.large_macro(tmp_path / "source.svs", side=3000)
    wsicomp.convert_slide(
        tmp_path / "source.svs", tmp_path / "target.svs", ConversionConfig.of(codec="none", **KEPT)
    )
    with wsicomp.open_slide(tmp_path / "target.svs") as slide:
        assert slide.associated_images["macro"].size == (3000, 3000)
        monkeypatch.setattr(limits, "_LEAST_BUDGET", 1 << 20)
        monkeypatch.setattr(limits, "memory_bytes", lambda: 1 << 20)
        with pytest.raises(wsicomp.SlideAccessError, match="memory"):
            slide.associated_images["macro"]


def test_outlines_that_cross_too_often_are_refused(tmp_path):
    bombs.crossing_edges(tmp_path / "mask.geojson", edges=12_000)
    with pytest.raises(MaskError, match="too many edges above each other"):
        read_mask(tmp_path / "mask.geojson", SLIDE)


def test_too_many_outlines_over_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("wsicomp.tissue.outlines._MOST_AREA_PX", 10**8, raising=False)
    bombs.many_outlines(tmp_path / "mask.geojson", outlines=20)
    with pytest.raises(MaskError, match="too many outlines"):
        read_mask(tmp_path / "mask.geojson", SLIDE)


def test_outlines_as_people_draw_them_are_read(tmp_path):
    bombs.crossing_edges(tmp_path / "mask.geojson", edges=500)
    assert 0.3 < read_mask(tmp_path / "mask.geojson", SLIDE).tissue_fraction < 0.7


def test_a_mask_in_a_tile_far_larger_than_itself_is_refused(tmp_path):
    bombs.tile_of_a_mask(tmp_path / "mask.tiff")
    with pytest.raises(MaskError, match="3600000000 samples"):
        read_mask(tmp_path / "mask.tiff", Size(64, 64))


def test_a_large_mask_with_alpha_is_read(tmp_path):
    bombs.large_mask(tmp_path / "mask.png", side=3000)
    assert read_mask(tmp_path / "mask.png", SLIDE).tissue_fraction == 1


def test_openslide_does_not_see_a_text_of_millions_of_fields(tmp_path, capsys):
    bombs.long_text(tmp_path / "source.svs", times=4_100_000)
    with pytest.raises(openslide.OpenSlideError, match="fields or lines"):
        open_openslide(tmp_path / "source.svs")
    assert main(["info", str(tmp_path / "source.svs")]) == 0
    assert "um per px: 0.5 x 0.5" in capsys.readouterr().out


def test_a_text_of_many_fields_is_converted_into_a_file_that_others_open(tmp_path):
    text = bombs.long_text(tmp_path / "source.svs", "|a=b", times=20_000)
    wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "a.svs", ConversionConfig.of(**KEPT))
    with openslide.OpenSlide(tmp_path / "a.svs") as slide:
        assert slide.properties["openslide.mpp-x"] == "0.5"
        assert len(slide.properties["openslide.comment"]) < 60_000
    with closing(open_reader(tmp_path / "a.svs")) as slide:
        assert slide.info.description.endswith(text)


@pytest.mark.gate
@pytest.mark.parametrize(
    ("repeated", "target"),
    each_of([("x", 25_000_000), ("\xe9", 5_000_000), (",", 2_000_000)], ["a.svs", "a.tiff"]),
)
def test_a_text_of_megabytes_is_converted_and_read_again(tmp_path, repeated, target):
    piece, times = repeated
    text = bombs.long_text(tmp_path / "source.svs", piece, times)
    report = wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / target, ConversionConfig.of(**KEPT))
    assert report.target_bytes < 4_000_000
    with closing(open_reader(tmp_path / target)) as slide:
        assert slide.info.description.endswith(text)
    wsicomp.convert_slide(tmp_path / target, tmp_path / f"again{target}", ConversionConfig.of(**KEPT))
    with closing(open_reader(tmp_path / f"again{target}")) as slide:
        assert slide.info.description.endswith(text)


def test_texts_that_no_target_holds_are_refused_before_a_tile_is_written(tmp_path, monkeypatch):
    bombs.long_text(tmp_path / "source.svs", "x", 2_000_000)
    monkeypatch.setattr("wsicomp.conversion.convert.MOST_PACKET_BYTES", 2_000_000)
    monkeypatch.setattr("wsicomp.conversion.convert.stream_level", None)
    with pytest.raises(UnsupportedSlideError, match="its texts may take 6 MB"):
        wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "a.svs", ConversionConfig.of(**KEPT))
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]


def test_a_packed_text_of_gigabytes_is_refused(forged, monkeypatch):
    monkeypatch.setattr("wsicomp.plan.provenance._MOST_TEXT_BYTES", 1_000_000)
    bombs.reforged(forged, texts=[base64.b64encode(zlib.compress(bytes(2_000_000))).decode()])
    with pytest.raises(SlideReadError, match="larger than any source's"):
        open_tiff(forged)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("tile", "columns", "rows"), [(512, 12, 9), (64, 300, 3)])
def test_tiles_that_share_their_bytes_are_decoded_once_for_the_overview(
    tmp_path, monkeypatch, is_shared, tile, columns, rows
):
    bombs.one_tile(tmp_path / "source.tiff", tile, columns, rows, is_shared)
    with closing(open_reader(tmp_path / "source.tiff")) as slide:
        monkeypatch.setattr(TiffSlide, "content_key", lambda *_: None)
        expected = read_overview(slide, 2, no_progress).pixels
        monkeypatch.undo()
        read = []
        monkeypatch.setattr(
            slide, "read_region", lambda *at: read.append(at) or TiffSlide.read_region(slide, *at)
        )
        assert np.array_equal(read_overview(slide, 2, no_progress).pixels, expected)
    assert len(read) <= 5


@pytest.mark.gate
def test_blank_tiles_of_our_own_are_decoded_once_for_the_overview(tmp_path, monkeypatch):
    tiffs.write_tiff(tmp_path / "source.svs", 4096, 4096, tile=(256, 256))
    options = ConversionConfig.of(segmenter="threshold", margin_um=0, workers=2)
    report = wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "a.svs", options)
    assert report.levels[0].blank > 50
    with closing(open_reader(tmp_path / "a.svs")) as slide:
        monkeypatch.setattr(ConvertedSlide, "content_key", lambda *_: None)
        expected = read_overview(slide, 2, no_progress).pixels
        monkeypatch.undo()
        assert np.array_equal(read_overview(slide, 2, no_progress).pixels, expected)


def test_tiles_without_bytes_are_not_surveyed(tmp_path, monkeypatch):
    bombs.one_tile(tmp_path / "source.tiff", 512, 12, 9, is_shared=False)
    monkeypatch.setattr("wsicomp.tissue.glass_guard.GlassGuard.find_among", None)
    plan = plan_slide(tmp_path / "source.tiff", ConversionConfig.of(segmenter="threshold", margin_um=0))
    assert plan.levels[0].count(TileAction.COPY) == 1


def test_a_slide_too_large_for_its_mask_is_refused_before_a_pixel_is_read(tmp_path, monkeypatch):
    bombs.one_tile(tmp_path / "source.tiff", 4096, 25, 25)
    monkeypatch.setattr("wsicomp.conversion.prepare.check_reading", lambda *_: [])
    monkeypatch.setattr("wsicomp.tissue.findings.read_overview", None)
    with pytest.raises(ConfigError, match=r"source\.tiff: a mask of 12800 x 12800 px"):
        plan_slide(tmp_path / "source.tiff")


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_tiles_that_are_too_large_are_refused_and_not_left_to_openslide(tmp_path, photometric):
    shape = (4112, 4112, 3) if photometric == "rgb" else (4112, 4112)
    options = {"tile": (4112, 4112), "compression": "zlib", "photometric": photometric, "metadata": None}
    tifffile.imwrite(tmp_path / "source.tiff", np.full(shape, 200, np.uint8), **options)
    with pytest.raises(
        UnsupportedSlideError, match="tiles of 4112 x 4112 px; expected tiles of 1 to 4096 px"
    ):
        open_reader(tmp_path / "source.tiff")


def test_the_bombs_digest_is_sound(forged):
    bombs.long_remainder(forged, 1 / 16)
    with closing(open_tiff(forged)) as slide:
        assert slide.provenance.plan.source.sha256 == hashlib.sha256(bytes(1 << 26)).hexdigest()
