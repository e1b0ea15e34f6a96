"""Sources that are no tiled TIFF are kept whole, in a packed slide, by the commands that keep others."""

import hashlib
import json
import random

import pytest

import wsicomp
from tests import tiffs
from tests.command_line import run_command
from tests.conftest import REAL_SLIDES
from tests.drawn import scanner_slides
from wsicomp import ConfigError, ConversionConfig, SlideReadError, SlideWriteError, TargetExistsError
from wsicomp.conversion.archive_form import is_best_packed
from wsicomp.conversion.restore import restore_slide
from wsicomp.formats.originals import index

ARCHIVE = ConversionConfig.preset("archive-lossless")


@pytest.fixture
def mirax(tmp_path):
    """A slide of several files: an index, and a folder with JPEGs in a file."""
    folder = tmp_path / "scans" / "slide"
    folder.mkdir(parents=True)
    tile = tiffs.jpeg(tiffs.picture(256, 256))
    (folder / "Data0000.dat").write_bytes(b"head" + tile * 3 + bytes(1000))
    (folder / "Slidedat.ini").write_text("[GENERAL]\n")
    (folder.parent / "slide.mrxs").write_bytes(tile)
    return folder.parent / "slide.mrxs"


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_slide_of_several_files_comes_back_as_it_was(mirax, tmp_path):
    report = wsicomp.convert(mirax, tmp_path / "slide.wsipack", ARCHIVE)
    assert (report.restorable, report.container, str(report.tissue)) == (True, "wsipack", "exact bytes")
    assert report.source_bytes == sum(map(len, tree(mirax.parent).values()))
    assert report.target_bytes == (tmp_path / "slide.wsipack").stat().st_size < report.source_bytes
    assert wsicomp.verify(tmp_path / "slide.wsipack", mirax).problems == ()
    wsicomp.restore(tmp_path / "slide.wsipack", tmp_path / "again")
    assert tree(tmp_path / "again") == tree(mirax.parent)
    with pytest.raises(TargetExistsError):
        wsicomp.restore(tmp_path / "slide.wsipack", tmp_path / "again")


def test_a_slide_of_one_file_comes_back_under_any_name(tmp_path):
    source = tiffs.write_tiff(tmp_path / "slide.svs")
    report = wsicomp.convert(source, tmp_path / "slide.wsipack", ARCHIVE)
    assert report.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    wsicomp.restore(tmp_path / "slide.wsipack", tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == source.read_bytes()
    assert run_command("restore", tmp_path / "slide.wsipack", f"{tmp_path}/new/")[0] == 0
    assert (tmp_path / "new" / "slide.svs").read_bytes() == source.read_bytes()
    (tmp_path / "there").mkdir()
    wsicomp.restore(tmp_path / "slide.wsipack", tmp_path / "there")
    assert (tmp_path / "there" / "slide.svs").read_bytes() == source.read_bytes()


def test_a_link_in_a_tree_is_not_followed_out_of_it(mirax, tmp_path):
    packed, root = tmp_path / "slide.wsipack", tmp_path / "tree"
    wsicomp.convert(mirax, packed, ARCHIVE)
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(SlideWriteError):
        restore_slide(packed, root / "sub", root=root)
    assert list((tmp_path / "outside").iterdir()) == []


def test_files_of_zeros_alone_are_restored_when_they_are_trusted(tmp_path, monkeypatch):
    with (tmp_path / "zeros.bin").open("wb") as file:
        file.truncate(1 << 24)
    report = wsicomp.convert(tmp_path / "zeros.bin", tmp_path / "zeros.wsipack", ARCHIVE)
    assert not any("trust" in note for note in report.notes)
    monkeypatch.setattr(index, "_MOST_BESIDE_BYTES", 1 << 20)
    report = wsicomp.convert(tmp_path / "zeros.bin", tmp_path / "told.wsipack", ARCHIVE)
    (note,) = (note for note in report.notes if "trust" in note)
    assert "restoring it needs `trust=True`: it holds files of 16.8 MB in " in note
    with pytest.raises(SlideReadError, match="trust"):
        wsicomp.restore(tmp_path / "zeros.wsipack", tmp_path / "again.bin")
    wsicomp.restore(tmp_path / "zeros.wsipack", tmp_path / "again.bin", trust=True)
    assert (tmp_path / "again.bin").stat().st_size == 1 << 24


def test_what_the_slide_names_and_has_not_is_told_and_so_are_links(tmp_path):
    slide = scanner_slides.mrxs(tmp_path / "m.mrxs")
    assert len(wsicomp.convert(slide, tmp_path / "whole.wsipack", ARCHIVE).notes) == 1
    (tmp_path / "m/Data0001.dat").rename(tmp_path / "elsewhere.dat")
    (tmp_path / "m/Index.dat").rename(tmp_path / "m/INDEX.DAT")
    report = wsicomp.convert(slide, tmp_path / "rest.wsipack", ARCHIVE)
    assert report.notes[1:] == (
        "named by the slide and not there: m/Data0001.dat; the rest is packed as it is",
    )
    (tmp_path / "m/Data0001.dat").symlink_to(tmp_path / "elsewhere.dat")
    report = wsicomp.convert(slide, tmp_path / "linked.wsipack", ARCHIVE)
    assert report.notes[1:] == (
        "1 link among its files, such as m/Data0001.dat: packed and restored as files",
    )
    slide = scanner_slides.vms(tmp_path / "v.vms")
    for name in ("v_map2.jpg", "v(1,0).jpg"):
        (tmp_path / name).unlink()
    report = wsicomp.convert(slide, tmp_path / "v.wsipack", ARCHIVE)
    assert "not there: v(1,0).jpg, v_map2.jpg;" in report.notes[1]


def test_a_slide_is_packed_also_where_its_files_cannot_be_listed_anew(mirax, tmp_path):
    (mirax.parent / "slide/Slidedat.ini").unlink()
    (mirax.parent / "slide/Slidedat.ini").mkdir()
    report = wsicomp.convert(mirax, tmp_path / "slide.wsipack", ARCHIVE)
    assert report.notes[1:] == ("its files could not be listed, to tell which are missing, or links",)
    assert wsicomp.verify(tmp_path / "slide.wsipack", mirax).problems == ()


def test_a_pack_that_gains_nothing_does_not_say_that_there_is_no_jpeg(tmp_path):
    (tmp_path / "noise.isyntax").write_bytes(random.Random(1).randbytes(20_000))
    report = wsicomp.convert(tmp_path / "noise.isyntax", tmp_path / "noise.wsipack", ARCHIVE)
    assert report.notes[1] == (
        "it gains nothing: no JPEG in the source became smaller, and the rest is packed already"
    )


def test_verify_finds_damage_and_another_source(mirax, tmp_path):
    packed = tmp_path / "slide.wsipack"
    wsicomp.convert(mirax, packed, ARCHIVE)
    other = tiffs.write_tiff(tmp_path / "other.svs")
    assert [one.code for one in wsicomp.verify(packed, other).problems] == ["source-differs"]
    data = bytearray(packed.read_bytes())
    data[1500] ^= 1
    packed.write_bytes(data)
    assert {one.code for one in wsicomp.verify(packed).problems} == {"not-restorable"}
    code, out, _ = run_command("verify", packed)
    assert (code, "not-restorable" in out) == (1, True)


def test_info_tells_what_it_holds(mirax, tmp_path):
    wsicomp.convert(mirax, tmp_path / "slide.wsipack", ARCHIVE)
    code, out, _ = run_command("info", tmp_path / "slide.wsipack")
    assert (code, "packed slide" in out, "slide.mrxs" in out) == (0, True, True)
    code, out, _ = run_command("info", tmp_path / "slide.wsipack", "--json")
    assert sorted(one["name"] for one in json.loads(out)["files"]) == sorted(
        str(path) for path in tree(mirax.parent)
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, "archive-lossless"),
        ({"codec": "copy", "glass": "keep", "restorable": True, "format": "svs"}, "leave `format`"),
    ],
)
def test_what_a_packed_slide_cannot_do_is_said(options, found, mirax, tmp_path):
    with pytest.raises(ConfigError, match=found):
        wsicomp.convert(mirax, tmp_path / "slide.wsipack", ConversionConfig.of(**options))
    assert not (tmp_path / "slide.wsipack").exists()


def test_a_tiff_is_packed_only_where_its_tiles_cannot_be_a_tiffs(mirax, tmp_path):
    assert is_best_packed(mirax, ARCHIVE)
    assert not is_best_packed(tiffs.write_tiff(tmp_path / "slide.svs"), ARCHIVE)
    planar = tiffs.write_tiff(tmp_path / "planar.tif", svs=False, planarconfig="separate", compression="zlib")
    assert is_best_packed(planar, ARCHIVE)
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(20))
    with pytest.raises(SlideReadError):
        is_best_packed(tmp_path / "broken.tif", ARCHIVE)


@pytest.mark.slides
@pytest.mark.parametrize(
    "source", [path for path in REAL_SLIDES if path.suffix == ".dcm"], ids=lambda path: path.name
)
def test_a_dicom_slide_is_named_a_packed_slide_where_a_tiff_cannot_give_it_back(source, tmp_path):
    assert is_best_packed(source, ARCHIVE)
    with pytest.raises(ConfigError, match=r"kept\.wsipack"):
        wsicomp.convert(source, tmp_path / "kept.tiff", ARCHIVE)
    wsicomp.convert(source, tmp_path / "kept.wsipack", ARCHIVE)
    wsicomp.restore(tmp_path / "kept.wsipack", tmp_path / "back.dcm")
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("command", ["convert", "compare", "view"])
def test_a_packed_slide_is_no_source_and_the_error_says_where_its_files_are(command, mirax, tmp_path):
    packed = tmp_path / "slide.wsipack"
    wsicomp.convert(mirax, packed, ARCHIVE)
    more = {"convert": [tmp_path / "a.tiff"], "compare": ["--out", tmp_path / "a"], "view": []}[command]
    code, out, err = run_command(command, packed, *more)
    assert code == 1
    assert "a packed slide; get its files by `wsicomp restore`" in out + err
