"""The reader's own ways: caches, threads, processes, errors, and files of other programs."""

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests import tiffs
from wsicomp import ConversionConfig, SlideAccessError, TileCache
from wsicomp.codecs.jpegxl import Transcoder
from wsicomp.codecs.registry import create_codec
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

PLAIN = {"segmenter": "threshold", "margin_um": 0}
OPTIONS = {
    "jpegxl.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep"},
    "white.tiff": {"codec": "jpegxl", "effort": 3, "background": "#fa1efa", **PLAIN},
    "empty.tiff": {"codec": "copy", "glass": "empty", **PLAIN},
    "white.svs": {"codec": "copy", **PLAIN},
    "jpeg.svs": {"codec": "jpeg", **PLAIN},
    "jpeg2000.svs": {"codec": "jpeg2000", **PLAIN},
    "webp.tiff": {"codec": "webp", **PLAIN},
    "none.tiff": {"codec": "none", **PLAIN},
}


class Files(dict):
    """A drawn slide and its conversions, by their names; each is written when it is first asked for."""

    def __init__(self, folder):
        super().__init__({"source.svs": folder / "source.svs"})
        slide = SyntheticSlide(Size(1500, 1100), seed=3)
        write_slide(self["source.svs"], slide, SyntheticFormat(downsamples=(1, 4)))

    def __missing__(self, name):
        self[name] = self["source.svs"].with_name(name)
        wsicomp.convert_slide(self["source.svs"], self[name], ConversionConfig.of(**OPTIONS[name]))
        return self[name]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("reader"))


def whole(slide, level=0):
    return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))


@pytest.mark.parametrize("name", ["white.svs", "jpeg.svs", "jpeg2000.svs", "none.tiff", "empty.tiff"])
def test_what_openslide_reads_too_looks_the_same_in_both(files, name):
    with openslide.OpenSlide(files[name]) as theirs, wsicomp.open_slide(files[name]) as ours:
        for level in range(theirs.level_count):
            assert np.array_equal(whole(ours, level), whole(theirs, level))
        assert ours.level_downsamples == theirs.level_downsamples


def test_blank_tiles_are_background(files):
    with wsicomp.open_slide(files["white.tiff"]) as slide:
        pixels = whole(slide)
        assert (pixels == (250, 30, 250, 255)).all(axis=2).mean() > 0.02
        assert slide.properties["openslide.objective-power"] == "20"


def test_a_slide_without_names_has_no_names(files, tmp_path):
    config = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", deidentify=True)
    wsicomp.convert_slide(files["source.svs"], tmp_path / "a.tiff", config)
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert {name.split(".")[0] for name in slide.properties} == {"openslide"}
        assert set(slide.associated_images) <= {"thumbnail"}
        assert slide.properties["openslide.mpp-x"]
        assert slide.properties["openslide.level-count"] == "2"


def test_threads_read_the_same_as_one_after_the_other(files):
    rng = np.random.default_rng(0)
    places = [(tuple(rng.integers(-50, 1200, 2).tolist()), int(rng.integers(2))) for _ in range(60)]
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        slide.set_cache(TileCache(1 << 19))
        expected = [np.asarray(slide.read_region(place, level, (300, 200))) for place, level in places]
        with ThreadPoolExecutor(8) as executor:
            found = executor.map(lambda at: np.asarray(slide.read_region(at[0], at[1], (300, 200))), places)
            assert all(map(np.array_equal, found, expected))


def test_a_slide_that_is_closed_while_threads_read_shows_its_pixels_or_says_so(files):
    slide = wsicomp.open_slide(files["jpegxl.tiff"])
    slide.set_cache(TileCache(0))
    expected = whole(slide)
    begun = threading.Barrier(5, timeout=30)

    def read(_):
        begun.wait()
        for count in range(200):
            try:
                assert np.array_equal(whole(slide), expected)
            except wsicomp.SlideClosedError:
                return count
        return None

    with ThreadPoolExecutor(4) as executor:
        reads = executor.map(read, range(4))
        begun.wait()
        time.sleep(0.1)
        slide.close()
        assert None not in list(reads)


def test_another_file_never_takes_the_place_of_one_that_is_closed_in_a_read(files, monkeypatch):
    slide = wsicomp.open_slide(files["none.tiff"])
    expected, real = np.asarray(slide.read_region((0, 0), 0, (256, 256))), os.pread
    slide.set_cache(TileCache(0))
    others = []

    def closing(number, count, offset):
        slide.close()
        others.extend(files["source.svs"].open("rb") for _ in range(9))
        return real(number, count, offset)

    monkeypatch.setattr(os, "pread", closing)
    assert np.array_equal(np.asarray(slide.read_region((0, 0), 0, (256, 256))), expected)
    with pytest.raises(wsicomp.SlideClosedError):
        slide.read_region((0, 0), 0, (256, 256))
    for other in others:
        other.close()


def test_a_closed_file_is_closed(files):
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        number = slide._slide.file._file.number
        os.fstat(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_cache_holds_no_more_than_its_capacity_and_serves_several_slides(files):
    cache = TileCache(1 << 20)
    with (
        wsicomp.open_slide(files["jpegxl.tiff"]) as first,
        wsicomp.open_slide(files["jpeg.svs"]) as second,
    ):
        first.set_cache(cache)
        second.set_cache(cache)
        one, two = whole(first), whole(second)
        assert not np.array_equal(one, two)
        assert 0 < cache.bytes <= 1 << 20
        assert np.array_equal(whole(first), one)
        assert np.array_equal(whole(second), two)
    assert repr(cache) == "TileCache(1048576)"


def test_a_packed_tile_is_rebuilt_once_and_stays_after_its_pixels_are_gone(files, monkeypatch):
    real, rebuilt = Transcoder.unpack, []
    monkeypatch.setattr(Transcoder, "unpack", lambda *given: rebuilt.append(given) or real(*given))
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        cache = TileCache(1 << 22)  # half of the tiles, and what all are rebuilt to
        slide.set_cache(cache)
        expected = whole(slide)
        count = len(rebuilt)
        assert count > 20
        assert np.array_equal(whole(slide), expected)
        assert len(rebuilt) == count
        assert 1 << 21 < cache.bytes <= 1 << 22
        slide.set_cache(TileCache(1 << 10))
        assert np.array_equal(whole(slide), expected)
        assert len(rebuilt) == 2 * count


def test_a_cache_too_small_for_any_tile_is_no_error(files):
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        expected = whole(slide)
        slide.set_cache(TileCache(10))
        assert np.array_equal(whole(slide), expected)


def test_a_slide_goes_to_other_processes(files):
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        expected = whole(slide)
        with pickle.loads(pickle.dumps(slide)) as again:
            assert np.array_equal(whole(again), expected)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, context) as pool:
            sums = list(pool.map(_Sum(slide), [(0, 0), (100, 50)]))
    assert sums[0] == int(expected[:200, :300].sum())
    assert repr(slide).startswith("WsicompSlide(")


class _Sum:
    def __init__(self, slide):
        self.slide = slide

    def __call__(self, location):
        return int(np.asarray(self.slide.read_region(location, 0, (300, 200))).sum())


@pytest.mark.parametrize("level", [-1, 7])
def test_a_level_that_is_not_there_is_transparent_as_in_openslide(files, level):
    with (
        openslide.OpenSlide(files["source.svs"]) as theirs,
        wsicomp.open_slide(files["jpegxl.tiff"]) as ours,
    ):
        shown = [np.asarray(slide.read_region((0, 0), level, (20, 10))) for slide in (theirs, ours)]
        assert np.array_equal(*shown)
        assert not shown[0].any()


def test_an_empty_region_and_a_negative_one(files):
    with wsicomp.open_slide(files["jpegxl.tiff"]) as slide:
        assert slide.read_region((0, 0), 0, (0, 0)).size == (0, 0)
        with pytest.raises(openslide.OpenSlideError, match="-1 x 5"):
            slide.read_region((0, 0), 0, (-1, 5))


def test_a_damaged_tile_is_named_and_the_others_can_be_read_on(files, tmp_path):
    path = tmp_path / "bad.tiff"
    path.write_bytes((files["jpegxl.tiff"]).read_bytes())
    tiffs.damage_tile(path, 8)
    with wsicomp.open_slide(path) as slide:
        with pytest.raises(SlideAccessError, match=r"level 0 tile \(2, 1\): damaged") as caught:
            whole(slide)
        assert isinstance(caught.value, openslide.OpenSlideError)
        assert isinstance(caught.value, wsicomp.SlideReadError)
        assert np.asarray(slide.read_region((0, 0), 0, (256, 256))).any()


def test_a_damaged_label_does_not_hide_the_slide(files, tmp_path):
    data = bytearray((files["jpegxl.tiff"]).read_bytes())
    with tifffile.TiffFile(files["jpegxl.tiff"]) as tiff:
        label = tiff.pages[0].pages[0]
        assert "label" in label.description
        data[label.dataoffsets[0] + 9] ^= 255
    (tmp_path / "bad.tiff").write_bytes(data)
    with wsicomp.open_slide(tmp_path / "bad.tiff") as slide:
        assert whole(slide).any()
        assert np.asarray(slide.associated_images["macro"]).any()
        with pytest.raises(SlideAccessError, match="label: damaged"):
            slide.associated_images["label"]


def test_what_openslide_reads_is_openslide_s(files):
    with wsicomp.open_slide(files["source.svs"]) as slide:
        assert isinstance(slide, openslide.OpenSlide)


def test_a_tiff_of_jpeg_xl_by_another_program_opens(tmp_path):
    pixels = tiffs.picture(200, 150)
    codec = create_codec("jpegxl", {"lossless": True})
    tiles = [
        codec.encode(np.ascontiguousarray(np.pad(pixels, ((0, 42), (0, 56), (0, 0)))[y : y + 64, x : x + 64]))
        for y in (0, 64, 128)
        for x in (0, 64, 128, 192)
    ]
    with tifffile.TiffWriter(tmp_path / "other.tiff") as tiff:
        tiff.write(
            iter(tiles),
            shape=pixels.shape,
            dtype=np.uint8,
            tile=(64, 64),
            compression=50002,
            photometric="rgb",
        )
    with wsicomp.open_slide(tmp_path / "other.tiff") as slide:
        assert np.array_equal(whole(slide)[..., :3], pixels)
        assert slide.properties["openslide.vendor"] == "generic-tiff"


@pytest.mark.parametrize("content", [b"", b"II*\0 wsicomp 0.2.0", b"hello", b"II*\0\xff\xff\xff\x7f"])
def test_what_is_no_slide_is_an_error_of_both_kinds(tmp_path, content):
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(SlideAccessError) as caught:
        wsicomp.open_slide(tmp_path / "a.svs")
    assert isinstance(caught.value, openslide.OpenSlideError)
    with pytest.raises(SlideAccessError, match="No such file"):
        wsicomp.open_slide(tmp_path / "none.svs")


def test_a_converted_archive_converts_back_to_a_slide_for_everyone(files, tmp_path):
    config = ConversionConfig.of(codec="copy", glass="keep")
    report = wsicomp.convert_slide(files["jpegxl.tiff"], tmp_path / "again.svs", config)
    assert report.container == "svs"
    with (
        openslide.OpenSlide(files["source.svs"]) as before,
        openslide.OpenSlide(tmp_path / "again.svs") as after,
    ):
        for level in range(before.level_count):
            assert np.array_equal(whole(before, level), whole(after, level))


def test_packed_tiles_decode_in_tifffile(files):
    with (
        tifffile.TiffFile(files["jpegxl.tiff"]) as tiff,
        openslide.OpenSlide(files["source.svs"]) as source,
    ):
        assert tiff.pages[0].compression == 50002
        difference = np.abs(tiff.pages[0].asarray().astype(int) - whole(source)[..., :3])
        assert difference.mean() < 3
    assert imagecodecs.JPEGXL.available
