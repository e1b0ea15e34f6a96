"""The originals of restorable conversions, read at random: the source's bytes or an error, never others."""

import io
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.conftest import REAL_SLIDES, trial_size
from tests.paths import FIXTURES
from wsicomp.codecs import jpegxl
from wsicomp.errors import SlideReadError, TileReadError, UnsupportedSlideError

PACKED = {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}
TIFFS = [path for path in REAL_SLIDES if path.suffix != ".dcm"]


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archived")
    tiffs.write_tiff(folder / "source.svs", 700, 500)
    config = wsicomp.ConversionConfig.of(**PACKED)
    wsicomp.convert(folder / "source.svs", folder / "kept.tiff", config)
    return folder


def ranges(total, count, seed=0):
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.randrange(total + 10), rng.choice([1, 7, 600, 4096, 70_000, 2_000_000])


def test_any_range_is_the_sources(archived):
    data = (archived / "source.svs").read_bytes()
    with wsicomp.open_original(archived / "kept.tiff") as file:
        for start, count in ranges(len(data), trial_size(100, 2000)):
            assert file.raw.original.read(start, count) == data[start : start + count]
            file.seek(start)
            assert file.read(count) == data[start : start + count]
        file.seek(-100, io.SEEK_END)
        assert (file.read(), file.read()) == (data[-100:], b"")


@pytest.mark.slides
@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [path for path in REAL_SLIDES if path.suffix != ".dcm"], ids=lambda path: path.name
)
def test_any_range_of_a_real_slide_is_its_own(source, tmp_path):
    config, data = wsicomp.ConversionConfig.preset("archive-lossless"), source.read_bytes()
    container = wsicomp.plan_slide(source, config).container
    target = tmp_path / ("kept.svs" if container == "svs" else "kept.tiff")
    wsicomp.convert(source, target, config)
    with wsicomp.open_original(target) as file:
        for start, count in ranges(len(data), 2000):
            assert file.raw.original.read(start, count) == data[start : start + count]


def test_threads_read_it_at_once(archived):
    data = (archived / "source.svs").read_bytes()
    with wsicomp.open_original(archived / "kept.tiff") as file, ThreadPoolExecutor(16) as threads:

        def reads(seed):
            for start, count in ranges(len(data), 20, seed):
                assert file.raw.original.read(start, count) == data[start : start + count]

        list(threads.map(reads, range(16)))


def test_tifffile_and_copyfileobj_read_it(archived, tmp_path):
    with wsicomp.open_original(archived / "kept.tiff") as file, tifffile.TiffFile(file) as tiff:
        seen = tiff.asarray()
    assert np.array_equal(seen, tifffile.imread(archived / "source.svs"))
    with wsicomp.open_original(archived / "kept.tiff") as file, (tmp_path / "copy.svs").open("wb") as copy:
        shutil.copyfileobj(file, copy)
    assert (tmp_path / "copy.svs").read_bytes() == (archived / "source.svs").read_bytes()


def test_a_damage_is_an_error_or_does_not_matter(archived, tmp_path):
    data, kept = (archived / "source.svs").read_bytes(), (archived / "kept.tiff").read_bytes()
    rng, bad = random.Random(0), tmp_path / "bad.tiff"
    for _ in range(trial_size(30, 2000)):
        broken = bytearray(kept)
        broken[rng.randrange(len(kept))] ^= 1 << rng.randrange(8)
        bad.write_bytes(broken)
        try:
            with wsicomp.open_original(bad) as file:
                assert file.read() == data
        except SlideReadError:
            continue


def test_the_error_names_the_tile(archived, tmp_path):
    with tifffile.TiffFile(archived / "kept.tiff") as tiff:
        offset, columns = tiff.pages[0].dataoffsets[7], -(-700 // tiff.pages[0].tilewidth)
    broken = bytearray((archived / "kept.tiff").read_bytes())
    broken[offset + 60] ^= 1
    (tmp_path / "bad.tiff").write_bytes(broken)
    with wsicomp.open_original(tmp_path / "bad.tiff") as file, pytest.raises(TileReadError) as told:
        file.read()
    assert f"level 0 tile ({7 % columns}, {7 // columns})" in str(told.value)


def test_a_file_without_a_source_says_so(archived, tmp_path):
    with pytest.raises(SlideReadError, match="does not hold its source"):
        wsicomp.open_original(archived / "source.svs")
    (tmp_path / "empty.tiff").write_bytes(b"")
    with pytest.raises(SlideReadError):
        wsicomp.open_original(tmp_path / "empty.tiff")


def test_a_file_of_before_is_restored_in_order_alone(tmp_path):
    old = FIXTURES / "v050_written" / "jpegxl-restorable.tiff"
    with pytest.raises(UnsupportedSlideError, match="in order alone"):
        wsicomp.open_original(old)
    wsicomp.restore(old, tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == (old.parent / "source.svs").read_bytes()


def test_tiles_share_what_rebuilds_them_and_a_file_of_before_is_as_good(archived, tmp_path, monkeypatch):
    """A file of before, whose tiles each hold what rebuilds them, beside one whose tiles share it."""
    source, config = archived / "source.svs", wsicomp.ConversionConfig.of(**PACKED)
    monkeypatch.setattr(jpegxl.Transcoder, "common", lambda *_: None)
    wsicomp.convert(source, tmp_path / "before.tiff", config)
    monkeypatch.undo()
    tiles = {}
    for name, path in (("before", tmp_path / "before.tiff"), ("shared", archived / "kept.tiff")):
        assert wsicomp.verify(path, source).is_sound
        wsicomp.restore(path, tmp_path / f"{name}.svs")
        assert (tmp_path / f"{name}.svs").read_bytes() == source.read_bytes()
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            ranges_of_tiles = zip(page.dataoffsets, page.databytecounts, strict=True)
            data = path.read_bytes()
            tiles[name] = [data[offset : offset + count] for offset, count in ranges_of_tiles]
    boxes = sum(b"jbrd" in tile for tile in tiles["before"])
    assert boxes > 1
    assert not any(b"jbrd" in tile for tile in tiles["shared"])
    saved = (tmp_path / "before.tiff").stat().st_size - (archived / "kept.tiff").stat().st_size
    assert saved > 200 * boxes
