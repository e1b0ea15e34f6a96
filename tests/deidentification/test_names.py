"""A word is hidden in every place where one fits, and looked for in the target's bytes and streams."""

from __future__ import annotations

import base64
import re
import zlib
from contextlib import closing

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
import wsicomp.cli
from tests.drawn import names
from tests.drawn.jpegs import packed_jpeg
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import plan_flaw
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_source, open_tiff
from wsicomp.progress import no_progress
from wsicomp.verification.verify import verify_slide

ROADS = {
    "copy": {"codec": "copy"},
    "jpeg": {"codec": "jpeg"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
}
TAKES = {
    "jpeg lossless": (names.JPEG,),
    "jpegxl lossless": (names.JPEG, names.DEFLATE, names.LZW, names.ZSTANDARD),
}


def streams(path):
    """A file's bytes, and all that is packed in them, unpacked."""
    yield path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        pages = [*tiff.pages, *(sub for page in tiff.pages if page.pages for sub in page.pages)]
        for page in pages:
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                tiff.filehandle.seek(offset)
                data = tiff.filehandle.read(count)
                if page.compression in (8, 32946):
                    yield zlib.decompressobj().decompress(data)
                elif page.compression == 50000:
                    yield imagecodecs.zstd_decode(data)
                elif page.compression == 50002 and b"jbrd" in data:
                    yield imagecodecs.jpegxl_decode_jpeg(data)
                elif page.compression == 50002:
                    for shared in re.findall(rb'"shared":"([^"]+)"', path.read_bytes()):
                        yield rebuilt(data, base64.b64decode(shared))


def rebuilt(codestream, shared):
    """The JPEG of a packed tile and what a level's tiles share; nothing if they do not belong together."""
    try:
        return imagecodecs.jpegxl_decode_jpeg(packed_jpeg(codestream, shared))
    except RuntimeError:
        return b""


def convert(source, target, **options):
    config = ConversionConfig.of(**({"glass": "keep", "deidentify": True, "workers": 1} | options))
    return wsicomp.convert_slide(source, target, config)


def level_pixels(path, level=0):
    with wsicomp.open_slide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[..., :3]


def assert_nameless(target):
    assert not any(names.WORD in stream for stream in streams(target))


def takes(place, road):
    """Whether a road keeps such tiles; that pixels alone leave nothing is tried of one place a format."""
    compression = names.IN_TILES[place][0]
    if road == "jpeg":
        return place.endswith("tail")
    return compression in TAKES.get(road, (compression,))


@pytest.mark.parametrize(
    ("place", "road"),
    [(place, road) for road in ROADS for place in names.IN_TILES if takes(place, road)],
)
def test_a_word_in_a_tile_is_in_no_target(place, road, tmp_path):
    compression = names.IN_TILES[place][0]
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    pixels = names.in_tiles(source, place)
    assert any(names.WORD in stream for stream in streams(source))
    report = convert(source, target, **ROADS[road])
    assert_nameless(target)
    if road == "jpeg":
        return
    if compression in (names.DEFLATE, names.LZW, names.ZSTANDARD):
        assert (level_pixels(target) == pixels).all()
    elif not any("encoded anew" in note for note in report.notes):
        assert (level_pixels(target) == level_pixels(source)).all()


def test_a_comment_behind_a_packed_jpeg_is_gone_and_its_pixels_are_not(tmp_path):
    names.jpeg_xl_of_jpeg(tmp_path / "s.tif")
    convert(tmp_path / "s.tif", tmp_path / "t.tif", codec="copy")
    assert_nameless(tmp_path / "t.tif")
    assert (level_pixels(tmp_path / "t.tif") == level_pixels(tmp_path / "s.tif")).all()


@pytest.mark.parametrize("road", ["copy", "jpeg lossless", "jpegxl lossless"])
def test_a_shared_table_that_nobody_uses_is_gone(road, tmp_path):
    names.shared_table(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.tif", format="tiff", **ROADS[road])
    assert_nameless(tmp_path / "t.tif")
    assert (level_pixels(tmp_path / "t.tif") == level_pixels(tmp_path / "s.svs")).all()


@pytest.mark.parametrize("road", ["copy", "jpeg lossless", "jpegxl lossless"])
def test_tiles_that_were_encoded_anew_to_name_nobody_are_counted_as_that(road, tmp_path, capsys):
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    names.beyond_the_edge(source, names.JPEG)
    report = convert(source, target, **ROADS[road])
    (level,) = report.levels
    assert (level.copied + level.transcoded + level.kept, level.encoded) == (7, 2)
    (note,) = [note for note in report.notes if "encoded anew" in note]
    assert note.startswith("2 tiles stored more than a picture, which could name a patient")
    wsicomp.cli.main(["verify", str(target), "--against", str(source)])
    assert ": good" in capsys.readouterr().out


def test_a_report_in_words_counts_no_tile_as_kept_that_was_encoded_anew(tmp_path, capsys):
    names.beyond_the_edge(tmp_path / "s.tif", names.JPEG)
    paths = [str(tmp_path / "s.tif"), str(tmp_path / "t.tif")]
    wsicomp.cli.main(
        ["convert", *paths, "--codec", "jpegxl", "--lossless", "--deidentify", "--glass", "keep"]
    )
    said = capsys.readouterr().out
    assert "tiles: 7 repacked without loss, 2 encoded anew\n" in said


@pytest.mark.parametrize("compression", [names.JPEG, names.DEFLATE, names.WEBP])
@pytest.mark.parametrize("codec", ["copy", "jpeg"])
def test_writing_beyond_the_edge_is_drawn_over(codec, compression, tmp_path):
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    names.beyond_the_edge(source, compression)
    report = convert(source, target, codec=codec)
    with tifffile.TiffFile(target) as tiff:
        page = tiff.pages[0]
        for number in range(6, 9):
            tiff.filehandle.seek(page.dataoffsets[number])
            data = tiff.filehandle.read(page.databytecounts[number])
            beyond = page.decode(data, number, jpegtables=page.jpegtables)[0].squeeze()
            whole = np.asarray(beyond)
            assert whole[names.HEIGHT - 128 :].size == 0 or int(whole[20:].min()) > 20
    assert (codec == "jpeg") or any("encoded anew" in note for note in report.notes)
    off = np.abs(level_pixels(target).astype(int) - level_pixels(source)).max()
    assert off <= (40 if compression == names.JPEG or codec == "jpeg" else 0)


@pytest.mark.parametrize("compression", [names.JPEG, names.DEFLATE])
def test_faint_writing_beyond_the_edge_is_drawn_over(compression, tmp_path):
    names.faint_beyond_the_edge(tmp_path / "s.tif", compression)
    report = convert(tmp_path / "s.tif", tmp_path / "t.tif", codec="copy")
    assert any("encoded anew" in note for note in report.notes)


def test_an_icc_profile_is_neutral_and_transforms_alike(tmp_path):
    names.icc_profile(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert_nameless(tmp_path / "t.svs")
    assert any("ICC profile is a neutral one" in note for note in report.notes)


HONEST = {
    "a comment in every tile": (lambda path: names.in_tiles(path, "jpeg comment"), "s.tif"),
    "a table that nobody uses": (names.shared_table, "s.svs"),
    "a neutral profile": (names.icc_profile, "s.svs"),
    "a thumbnail drawn anew": (names.label_as_thumbnail, "s.svs"),
    "an image left out": (names.label_as_level, "s.svs"),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_was_rebuilt_passes_beside_its_source_and_is_taken_on_by_a_batch(name, tmp_path):
    draw, file = HONEST[name]
    source, target = tmp_path / file, tmp_path / "t.tif"
    draw(source)
    options = {"codec": "copy", "format": "tiff"}
    convert(source, target, **options)
    config = ConversionConfig.of(glass="keep", deidentify=True, workers=1, **options)
    with closing(open_source(source, target)) as slide, closing(open_tiff(target)) as converted:
        sha256 = file_sha256(source)
        assert not verify_slide(target, slide, sha256, 1, no_progress).problems
        assert plan_flaw(slide, sha256, config, converted.provenance.plan) == ""


def test_a_label_that_stands_second_is_replaced_by_what_the_levels_show(tmp_path):
    pixels = names.label_as_thumbnail(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert_nameless(tmp_path / "t.svs")
    with openslide.OpenSlide(tmp_path / "t.svs") as slide:
        shown = np.asarray(slide.associated_images["thumbnail"])[..., :3]
    assert abs(shown.mean() - pixels.mean()) < 3


@pytest.mark.parametrize("draw", [names.label_as_level, names.name_on_the_small_level])
def test_an_image_that_does_not_show_the_slide_is_no_level_and_goes(draw, tmp_path):
    draw(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert any("does not show what the slide shows" in note for note in report.notes)
    with openslide.OpenSlide(tmp_path / "t.svs") as slide:
        assert slide.level_count == 1


def test_a_day_in_numbers_is_gone(tmp_path):
    names.dates_in_numbers(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert_nameless(tmp_path / "t.svs")
    assert b"1947" not in (tmp_path / "t.svs").read_bytes()
    assert {"Left", "Exposure Time", "Gamma"} <= set(report.dropped)


def test_a_nameless_target_is_verified_against_its_source(tmp_path):
    names.in_tiles(tmp_path / "s.svs", "jpeg comment")
    convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert wsicomp.cli.main(["verify", str(tmp_path / "t.svs"), "--against", str(tmp_path / "s.svs")]) == 0


def test_without_deidentify_tiles_stay_as_they_are(tmp_path):
    names.in_tiles(tmp_path / "s.svs", "jpeg comment")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", deidentify=False)
    assert names.WORD in (tmp_path / "t.svs").read_bytes()
