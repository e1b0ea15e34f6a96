"""Every file that is no slide, or a broken one, gives one clear line and writes nothing."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests import tiffs
from tests.paths import SHARED
from wsicomp import ConversionConfig, SlideReadError, UnsupportedSlideError, WsicompError, convert_slide
from wsicomp.cli import main
from wsicomp.formats.opening import open_tiff

SHARED = Path(os.environ.get("WSICOMP_SLIDES", SHARED / "data/slides"))
BROKEN = sorted((SHARED.parent / "broken").glob("*")) if SHARED.is_dir() else []


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("this is not a slide")


def header_alone(path):
    path.write_bytes(b"II*\0\x08\0\0\0")


def truncated(path):
    tiffs.write_tiff(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def loop(path):
    tiffs.loop_directories(tiffs.write_tiff(path))


def offset_past_the_end(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 324, [10**9] * 12)


def count_past_the_end(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 325, [10**9] * 12)


def too_few_tiles(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 256, 100_000)


def absurd_width(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 256, 2**32 - 1, page=0)


def absurd_tile(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 322, 65_520)


def zero_tile(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 322, 0)


def unknown_compression(path):
    tiffs.overwrite_tag(tiffs.write_tiff(path), 259, 52479)


def sixteen_bit(path):
    tiffs.write_tiff(path, pixels=np.zeros((150, 200, 3), np.uint16), compression="deflate")


def fluorescence(path):
    tiffs.write_tiff(
        path, pixels=np.zeros((150, 200), np.uint8), photometric="minisblack", compression="deflate"
    )


def four_samples(path):
    tiffs.write_tiff(path, pixels=np.zeros((150, 200, 4), np.uint8), compression="deflate")


def strips(path):
    tiffs.write_tiff(path, tile=None, rowsperstrip=16)


def damaged_first_tile(path):
    tiffs.damage_tile(tiffs.write_tiff(path))


def damaged_later_tile(path):
    tiffs.damage_tile(tiffs.write_tiff(path), 7)


def directory(path):
    path.mkdir()


def missing(path):
    pass


MAKERS = [
    empty,
    text,
    header_alone,
    truncated,
    loop,
    offset_past_the_end,
    count_past_the_end,
    too_few_tiles,
    absurd_width,
    absurd_tile,
    zero_tile,
    unknown_compression,
    sixteen_bit,
    fluorescence,
    four_samples,
    strips,
    directory,
    missing,
]


def fails_cleanly(source, folder, capsys):
    """One line on stderr, exit code 1, no file but the source, and the source as it was."""
    before = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else None
    assert main(["convert", str(source), str(folder / "target.svs")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("wsicomp: ")
    assert list(folder.iterdir()) == ([source] if source.parent == folder and source.exists() else [])
    if before is not None:
        assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    return captured.err


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_bad_source_fails_in_one_line(make, tmp_path, capsys):
    source = tmp_path / "bad source.svs"
    make(source)
    assert str(source) in fails_cleanly(source, tmp_path, capsys)


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.name)
@pytest.mark.slides
def test_a_broken_slide_of_others_fails_in_one_line(path, tmp_path, capsys):
    fails_cleanly(path, tmp_path, capsys)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (truncated, "damaged|truncated"),
        (loop, "loop"),
        (offset_past_the_end, r"tile \(0, 0\).*truncated"),
        (too_few_tiles, "12 tile offsets .* expected 1563 x 3"),
        (unknown_compression, "52479"),
        (sixteen_bit, "16 bits"),
        (fluorescence, "1 sample of 8 bits"),
        (strips, "strips, expected tiles"),
        (absurd_tile, "12 tile offsets"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_line_says_what_is_wrong(make, told, tmp_path):
    make(tmp_path / "bad.svs")
    with pytest.raises(WsicompError, match=told):
        convert_slide(tmp_path / "bad.svs", tmp_path / "target.svs")


def test_what_is_no_slide_and_what_is_no_bright_field_slide_are_told_apart(tmp_path):
    sixteen_bit(tmp_path / "deep.svs")
    with pytest.raises(UnsupportedSlideError):
        convert_slide(tmp_path / "deep.svs", tmp_path / "target.svs")
    text(tmp_path / "text.svs")
    with pytest.raises(SlideReadError) as info:
        convert_slide(tmp_path / "text.svs", tmp_path / "target.svs")
    assert not isinstance(info.value, UnsupportedSlideError)


@pytest.mark.parametrize("make", [damaged_first_tile, damaged_later_tile])
def test_a_damaged_tile_does_not_keep_a_slide_from_being_converted(make, tmp_path):
    make(tmp_path / "bad.svs")
    assert convert_slide(tmp_path / "bad.svs", tmp_path / "target.svs").flawed_tiles == 1
    with pytest.raises(WsicompError, match="tile"):
        convert_slide(tmp_path / "bad.svs", tmp_path / "strict.svs", ConversionConfig.of(strict=True))


def test_more_directories_than_a_slide_has_are_told_as_that(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for _ in range(1001):
            tiff.write(np.zeros((16, 16, 3), np.uint8), photometric="rgb", metadata=None)
    with pytest.raises(SlideReadError, match="1001 directories or more, expected at most 1000"):
        open_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("head", [b"II*\0\xd0\x07\0\0", b"MM\0+\0\x08\0\0\0\0\0\0\0\0\x07\xd0"])
def test_a_file_that_ends_before_its_first_directory_is_told_to_be_cut_short(head, tmp_path):
    (tmp_path / "a.svs").write_bytes(head.ljust(1000, b"\0"))
    told = "a TIFF without images, or it is cut short: its first directory is to stand at byte 2000 of 1000"
    with pytest.raises(SlideReadError, match=told):
        open_tiff(tmp_path / "a.svs")
