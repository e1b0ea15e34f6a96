"""A packed slide gives back all files of a slide, byte for byte, whatever they hold."""

import filecmp
import os
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsicomp
from tests.conftest import REAL_SLIDES, is_small, slow_unless, trial_size
from tests.drawn.jpegs import abbreviated, jpeg, with_thumbnail
from wsicomp import SlideReadError, SlideWriteError, TargetExistsError
from wsicomp.formats.originals.forms import UnitForm
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.formats.packed.pack import pack_slide
from wsicomp.formats.packed.unpack import unpack_slide, verify_pack
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, YCBCR, TileEncoding

TABLES, TILE = abbreviated(jpeg(seed=3))
CUT = jpeg(seed=5)[:-40]
LARGE = jpeg(2048, 1200, subsampling=2, restart_marker_blocks=32)


def same_tree(one, other):
    """Whether two folders hold the same files, by their bytes."""
    compared = filecmp.dircmp(one, other, ignore=[])
    files = [*compared.common_files]
    equal = not compared.left_only and not compared.right_only and not compared.funny_files
    return (
        equal
        and filecmp.cmpfiles(one, other, files, shallow=False) == (files, [], [])
        and all(same_tree(Path(one) / name, Path(other) / name) for name in compared.common_dirs)
    )


def round_trip(source, folder, **options):
    """Pack a slide and unpack it into `folder`/again; return the report and the packed file."""
    target = folder / "packed.wsipack"
    report = pack_slide(source, target, overwrite=True, **options)
    unpack_slide(target, folder / "again")
    return report, target


@pytest.fixture
def mrxs(tmp_path):
    """A slide of a folder, as 3DHISTECH writes them: JPEG tiles in data files, an index, a settings file."""
    slide, folder = tmp_path / "in/a.mrxs", tmp_path / "in/a"
    (folder / "deep/empty").mkdir(parents=True)
    slide.write_bytes(jpeg(64, 64, seed=9))
    (folder / "Slidedat.ini").write_text("[GENERAL]\nSLIDE_VERSION = 01.02\n")
    (folder / "Index.dat").write_bytes(np.arange(4000, dtype="<i4").tobytes())
    (folder / "Data0000.dat").write_bytes(b"".join(b"tile" + jpeg(seed=n) for n in range(6)))
    (folder / "deep/nothing").touch()
    (folder / "Data0000.dat").chmod(0o640)
    for number, path in enumerate([*sorted(folder.rglob("*"), reverse=True), folder, slide]):
        os.utime(path, ns=(10**18, 10**18 + number))
    return slide


def test_a_folder_comes_back_with_bytes_times_and_modes_and_no_folder_is_missing(mrxs, tmp_path):
    report, target = round_trip(mrxs, tmp_path)
    again = tmp_path / "again"
    assert same_tree(mrxs.parent, again)
    assert report.files == 5
    assert report.target_bytes < report.source_bytes
    for path in mrxs.parent.rglob("*"):
        there = again / path.relative_to(mrxs.parent)
        assert there.stat().st_mtime_ns == path.stat().st_mtime_ns
        assert there.stat().st_mode == path.stat().st_mode
    assert verify_pack(target) == ()


def test_the_identity_is_that_of_the_slide(mrxs, tmp_path):
    from wsicomp.formats.identity import slide_identity

    report, target = round_trip(mrxs, tmp_path)
    assert (report.source_bytes, report.sha256) == slide_identity(mrxs)
    with PackedSlide(target) as slide:
        assert slide.manifest.source.name == "a.mrxs"
        assert slide.manifest.opens == "a.mrxs"


def test_other_programs_for_zip_list_and_check_it(mrxs, tmp_path):
    _, target = round_trip(mrxs, tmp_path)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["about-this-pack.txt", "pieces.bin", "index.bin", "wsicomp.json"]
        assert "wsicomp restore" in archive.read("about-this-pack.txt").decode()
    assert is_pack(target)
    assert not is_pack(mrxs)


def test_any_byte_of_any_file_is_read_at_random(mrxs, tmp_path):
    _, target = round_trip(mrxs, tmp_path)
    generator = np.random.default_rng(0)
    for path in [part for part in mrxs.parent.rglob("*") if part.is_file()]:
        data = path.read_bytes()
        with wsicomp.open_original(target, str(path.relative_to(mrxs.parent))) as file:
            for start, end in np.sort(generator.integers(0, len(data) + 1, (20, 2)), 1).tolist():
                file.seek(start)
                assert file.read(end - start) == data[start:end]
    with pytest.raises(SlideReadError, match=r"holds no file b; it holds a/Data0000.dat, "):
        wsicomp.open_original(target, "b")


PARTS = st.one_of(
    st.sampled_from([jpeg(), jpeg(seed=1, progressive=True), jpeg(seed=2, restart_marker_blocks=3)]),
    st.sampled_from([CUT, with_thumbnail(CUT, jpeg(16, 16)), with_thumbnail(jpeg(), jpeg(16, 16))]),
    st.sampled_from([TABLES, TILE, b"\xff\xd8" * 9, b"\xff\xd8\xff", b"\xff\xd9", bytes(3000)]),
    st.binary(max_size=80),
)


@given(st.lists(st.lists(PARTS, max_size=6).map(b"".join), min_size=1, max_size=3), st.randoms())
def test_files_of_any_bytes_with_jpeg_strewn_in_come_back(tmp_path_factory, contents, random):
    folder = tmp_path_factory.mktemp("any")
    inside = folder / "in/s"
    inside.mkdir(parents=True)
    (folder / "in/s.mrxs").write_bytes(b"x" + contents[0])
    for number, content in enumerate(contents):
        damaged = bytearray(content)
        for _ in range(random.randrange(3)):
            if damaged:
                damaged[random.randrange(len(damaged))] = random.randrange(256)
        (inside / f"{number}.dat").write_bytes(damaged)
    round_trip(folder / "in/s.mrxs", folder, workers=1)
    assert same_tree(folder / "in", folder / "again")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_large_jpeg_is_packed_by_its_restart_intervals(tmp_path, workers):
    source = tmp_path / "in/one.ndpi"
    source.parent.mkdir()
    source.write_bytes(b"before" + LARGE + b"behind")
    report, target = round_trip(source, tmp_path, workers=workers)
    assert same_tree(source.parent, tmp_path / "again")
    with PackedSlide(target) as slide:
        kinds = [slide.index.form(unit).kind for unit in range(len(slide.index.units.offsets))]
    assert kinds.count("intervals") > 2
    assert report.jpeg_bytes > 0.98 * len(LARGE)
    assert report.target_bytes < 0.9 * len(LARGE)


def test_bytes_without_any_pattern_are_stored_as_they_are(tmp_path):
    source = tmp_path / "in/noise.czi"
    source.parent.mkdir()
    source.write_bytes(np.random.default_rng(0).bytes((1 << 21) + 5))
    report, _ = round_trip(source, tmp_path)
    assert same_tree(source.parent, tmp_path / "again")
    assert report.target_bytes < report.source_bytes + 3000


@pytest.mark.slides
@pytest.mark.parametrize("slide", slow_unless(is_small, REAL_SLIDES), ids=lambda slide: slide.name)
def test_real_slides_come_back_and_are_smaller(slide, tmp_path):
    report, target = round_trip(slide, tmp_path)
    assert filecmp.cmp(slide, tmp_path / "again" / slide.name, shallow=False)
    is_jpeg = "jp2k" not in slide.name
    assert report.target_bytes < report.source_bytes + (0 if is_jpeg else 3000)
    assert verify_pack(target) == ()


def test_nothing_is_written_where_a_file_is_there_or_the_pack_is_damaged(mrxs, tmp_path):
    _, target = round_trip(mrxs, tmp_path)
    with pytest.raises(TargetExistsError, match="exists already"):
        unpack_slide(target, tmp_path / "again")
    with pytest.raises(SlideWriteError, match="is a directory, where something is to be written"):
        unpack_slide(target, tmp_path / "again", overwrite=True)
    assert same_tree(mrxs.parent, tmp_path / "again")
    data = bytearray(target.read_bytes())
    with PackedSlide(target) as slide:
        last = int(slide.index.units.offsets[-1])
    data[data.index(b"pieces.bin") + 60 + last] ^= 1
    target.write_bytes(data)
    with pytest.raises(SlideReadError):
        unpack_slide(target, tmp_path / "other")
    assert not (tmp_path / "other").exists() or not list((tmp_path / "other").iterdir())


def test_a_single_file_is_replaced_only_where_that_is_wanted(tmp_path):
    source = tmp_path / "in/one.czi"
    source.parent.mkdir()
    source.write_bytes(jpeg())
    _, target = round_trip(source, tmp_path)
    (tmp_path / "again/one.czi").write_bytes(b"other")
    unpack_slide(target, tmp_path / "again", overwrite=True)
    assert same_tree(source.parent, tmp_path / "again")


def test_every_damaged_byte_is_an_error_or_does_no_harm(mrxs, tmp_path):
    _, target = round_trip(mrxs, tmp_path)
    sound, damaged = target.read_bytes(), tmp_path / "damaged.wsipack"
    generator = np.random.default_rng(1)
    truth = {path: path.read_bytes() for path in mrxs.parent.rglob("*") if path.is_file()}
    silent = 0
    for place in generator.integers(0, len(sound), trial_size(60, 600)).tolist():
        data = bytearray(sound)
        data[place] ^= 1 << int(generator.integers(8))
        damaged.write_bytes(data)
        try:
            found = verify_pack(damaged)
        except SlideReadError:
            continue
        silent += not found
        for path, expected in truth.items():
            try:
                with wsicomp.open_original(damaged, str(path.relative_to(mrxs.parent))) as file:
                    assert file.read() == expected
            except SlideReadError:
                assert found
    assert silent < 40


def test_a_slide_that_changes_while_it_is_packed_is_no_slide_yet(mrxs, tmp_path):
    def growing(stage, _done, _total):
        if stage == "write":
            with (mrxs.parent / "a/Index.dat").open("ab") as file:
                file.write(b"more")

    with pytest.raises(SlideReadError, match="changed while it was packed"):
        pack_slide(mrxs, tmp_path / "packed.wsipack", on_progress=growing)
    assert not [path for path in tmp_path.iterdir() if path.name != "in"]


def test_two_names_that_differ_in_case_alone_are_refused(mrxs, tmp_path):
    (mrxs.parent / "a/INDEX.dat").write_bytes(b"other")
    with pytest.raises(SlideReadError, match="which some systems hold for one"):
        pack_slide(mrxs, tmp_path / "packed.wsipack")


def test_what_no_pack_can_hold_is_refused_and_never_left_out(mrxs, tmp_path):
    entry = mrxs.parent / "a/deep/odd"
    for make, found in (
        (lambda: entry.symlink_to("nowhere"), "is a link to no file"),
        (lambda: entry.symlink_to(tmp_path), "is a link to no file"),
        (lambda: os.mkfifo(entry), "is a pipe"),
    ):
        make()
        with pytest.raises(SlideReadError, match=found):
            pack_slide(mrxs, tmp_path / "packed.wsipack")
        entry.unlink()
    entry.symlink_to(mrxs)
    round_trip(mrxs, tmp_path)
    assert (tmp_path / "again/a/deep/odd").read_bytes() == mrxs.read_bytes()


def test_a_slide_of_olympus_has_its_folder(tmp_path):
    source = tmp_path / "in/b.vsi"
    (tmp_path / "in/_b_/stack1").mkdir(parents=True)
    source.write_bytes(b"II*\0" + bytes(100))
    (tmp_path / "in/_b_/stack1/frame_t.ets").write_bytes(b"SIS\0" + jpeg() + jpeg(seed=1))
    round_trip(source, tmp_path)
    assert same_tree(tmp_path / "in", tmp_path / "again")


def test_the_same_slide_is_packed_to_the_same_bytes_by_any_number_of_workers(mrxs, tmp_path):
    (mrxs.parent / "a/tiles").write_bytes(TABLES + 9 * TILE + LARGE)
    packed = []
    for workers in (1, 3):
        target = tmp_path / f"{workers}.wsipack"
        pack_slide(mrxs, target, workers=workers)
        packed.append(target.read_bytes())
    assert packed[0] == packed[1]


def test_a_tile_that_states_more_pixels_than_there_is_memory_for_is_refused():
    form = UnitForm("tile", TileEncoding(JPEG, YCBCR), Size(1 << 16, 1 << 15))
    with pytest.raises(ValueError, match="too little memory"):
        form.check()


def test_what_rebuilds_many_jpegs_alike_is_stored_once(tmp_path):
    source = tmp_path / "in/tiles.czi"
    source.parent.mkdir()
    tiles = [jpeg(64, 64, seed) for seed in range(40)]
    source.write_bytes(b"".join(tiles))
    report, target = round_trip(source, tmp_path)
    assert same_tree(source.parent, tmp_path / "again")
    alone = [len(imagecodecs.jpegxl_encode_jpeg(tile, usecontainer=True)) for tile in tiles]
    assert report.target_bytes < sum(alone) - 38 * 150
    with PackedSlide(target) as slide:
        shared = [form for form in slide.index.forms if form.jbrd is not None]
        assert len(shared) == 1
        assert (slide.index.units.forms == slide.index.forms.index(shared[0])).sum() == 39
