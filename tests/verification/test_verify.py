"""One broken file for each code that a check can give."""

import json
import re
import shutil
from contextlib import closing

import openslide
import pytest
import tifffile

from tests import tiffs
from tests.paths import FIXTURES, ROOT
from wsicomp import ConversionConfig, convert_slide
from wsicomp.formats import openslide as openslide_files
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff import xmp
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.verification import problems, verify


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A source and its conversion with a shared blank tile."""
    folder = tmp_path_factory.mktemp("verify")
    source = tiffs.write_tiff(folder / "source.svs", 400, 300)
    convert_slide(source, folder / "target.svs", ConversionConfig.of(margin_um=0))
    convert_slide(source, folder / "empty.tiff", ConversionConfig.of(glass="empty", margin_um=0))
    return folder


@pytest.fixture
def target(made, tmp_path):
    return shutil.copy(made / "target.svs", tmp_path / "target.svs")


def check(path, source=None):
    slide = None if source is None else open_reader(source)
    sha256 = None if source is None else file_sha256(source)
    found = verify.verify_slide(path, slide, sha256, 1, lambda done, total: None)
    if slide is not None:
        slide.close()
    return found


def codes(path, source=None):
    found = check(path, source).problems
    assert all(problem.code in problems.CODES for problem in found)
    assert all(problem.place and problem.message for problem in found)
    return {problem.code for problem in found}


def tag_values(path, code, page=0):
    with tifffile.TiffFile(path) as tiff:
        return list(tiff.pages[page].tags[code].value)


def edit_provenance(path, edit):
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags[xmp.XMP_TAG]
        values = json.loads(xmp.unwrap(tag.value))
        edit(values)
        tag.overwrite(xmp.wrap(json.dumps(values)))


def first_action(path, letter):
    with tifffile.TiffFile(path) as tiff:
        values = json.loads(xmp.unwrap(tiff.pages[0].tags[xmp.XMP_TAG].value))
    text = "".join(
        action * int(count)
        for row in values["plan"]["levels"][0]["actions"]
        for count, action in re.findall(r"(\d+)(\w)", row)
    )
    return text.index(letter)


def test_a_good_file_has_no_problems(made):
    found = check(made / "target.svs", made / "source.svs")
    assert found.problems == ()
    assert found.has_provenance
    assert found.tiles == 35


def test_a_slide_of_others_is_checked_for_what_any_slide_holds(made):
    found = check(made / "source.svs")
    assert found.problems == ()
    assert not found.has_provenance


def test_a_slide_of_others_is_good_against_itself_alone(made, tmp_path):
    other = tmp_path / "other.svs"
    other.write_bytes((made / "source.svs").read_bytes() + b"\0")
    assert codes(made / "source.svs", made / "source.svs") == set()
    assert codes(made / "source.svs", other) == codes(other, made / "source.svs") == {"source-differs"}


def test_what_broke_later_is_not_said_of_the_source(made, target):
    with tifffile.TiffFile(target) as tiff:
        number = first_action(target, "C")
        offset, count = tiff.pages[0].dataoffsets[number], tiff.pages[0].databytecounts[number]
    data = bytearray(target.read_bytes())
    data[offset + count // 2 : offset + count - 2] = b"\0" * (count - 2 - count // 2)
    target.write_bytes(data)
    found = check(target, made / "source.svs")
    assert {"tile-differs", "tiles-changed"} <= {problem.code for problem in found.problems}
    assert found.flawed == ()


def test_a_truncated_file_is_unreadable(target):
    target.write_bytes(target.read_bytes()[:-2000])
    assert codes(target) == {"unreadable"}


@pytest.mark.parametrize("text", ["{}", "[", '{"plan": {}}', '{"plan": {"levels": 3}, "level_sha256": []}'])
def test_a_damaged_provenance_block_is_unreadable(target, text):
    tiffs.overwrite_tag(target, xmp.XMP_TAG, xmp.wrap(text))
    assert codes(target) == {"unreadable"}


def test_a_file_that_openslide_refuses(target, monkeypatch):
    def refuse(path):
        raise openslide.OpenSlideError("no")

    monkeypatch.setattr(openslide_files, "open_openslide", refuse)
    found = check(target).problems
    assert [(problem.code, problem.message) for problem in found] == [("openslide-refuses", "no")]


def test_a_conversion_opens_its_source_and_its_target_in_openslide_once(tmp_path, monkeypatch):
    source = tiffs.write_tiff(tmp_path / "source.svs", 400, 300)
    opened, sound = [], openslide_files.open_openslide
    monkeypatch.setattr(openslide_files, "open_openslide", lambda path: opened.append(path) or sound(path))
    convert_slide(source, tmp_path / "target.svs", ConversionConfig.of(margin_um=0))
    assert len(opened) == 2
    assert opened.count(source) == 1


def test_bounds_that_openslide_would_crop_to(made, tmp_path):
    path = shutil.copy(made / "empty.tiff", tmp_path / "empty.tiff")
    for code in (324, 325):
        values = tag_values(path, code)
        last_row = [0 if number // 7 == 4 else value for number, value in enumerate(values)]
        tiffs.overwrite_tag(path, code, last_row)
    assert "openslide-differs" in codes(path)


def test_a_level_of_another_size(target):
    edit_provenance(target, lambda values: values["plan"]["levels"][0].update(size=[401, 300]))
    assert codes(target) == {"unreadable"}


def test_a_level_in_another_colour_space(target):
    tiffs.overwrite_tag(target, 262, 2)
    assert codes(target) == {"unreadable"}


def test_the_levels_of_another_source(made, target, tmp_path):
    other = tiffs.write_tiff(tmp_path / "other.svs", 320, 300)
    edit_provenance(target, lambda values: values["plan"]["source"].update(sha256=file_sha256(other)))
    assert codes(target, other) == {"level-differs"}


def test_a_missing_level(target):
    edit_provenance(
        target,
        lambda values: (
            values["plan"]["levels"].append(values["plan"]["levels"][0] | {"number": 1}),
            values["levels"].append(values["levels"][0]),
        ),
    )
    assert codes(target) == {"unreadable"}


def test_a_tile_that_does_not_decode(target):
    assert codes(tiffs.damage_tile(target, first_action(target, "C"))) == {"tile-damaged", "tiles-changed"}


def test_a_tile_that_is_gone(target):
    counts = tag_values(target, 325)
    counts[first_action(target, "C")] = 0
    tiffs.overwrite_tag(target, 325, counts)
    assert codes(target) == {"tile-missing", "tiles-changed"}


def test_a_blank_tile_that_is_not_the_shared_one(target):
    offsets, counts = tag_values(target, 324), tag_values(target, 325)
    blank, other = first_action(target, "B"), first_action(target, "C")
    offsets[blank], counts[blank] = offsets[other], counts[other]
    tiffs.overwrite_tag(tiffs.overwrite_tag(target, 324, offsets), 325, counts)
    assert "tile-not-blank" in codes(target)


def test_a_blank_tile_that_holds_a_picture(target):
    offsets, counts = tag_values(target, 324), tag_values(target, 325)
    blank, other = offsets[first_action(target, "B")], first_action(target, "C")
    shared = [number for number, offset in enumerate(offsets) if offset == blank]
    for number in shared:
        offsets[number], counts[number] = offsets[other + 7 + 1], counts[other + 7 + 1]
    tiffs.overwrite_tag(tiffs.overwrite_tag(target, 324, offsets), 325, counts)
    assert "tile-not-blank" in codes(target)


def test_one_changed_bit_in_a_tile(target):
    tiffs.flip_bit(target, first_action(target, "C"))
    assert "tiles-changed" in codes(target)


def test_a_property_that_is_not_the_source_s(made, target):
    with tifffile.TiffFile(target) as tiff:
        text = tiff.pages[0].description
    tiffs.overwrite_tag(
        target, 270, text.replace("AppMag = 20", "AppMag = 40").replace("MPP = 0.5", "MPP = 0.7")
    )
    assert codes(target, made / "source.svs") == {"openslide-differs", "property-differs"}


def test_a_text_that_was_edited_in_the_file_is_told_without_its_source(target):
    with tifffile.TiffFile(target) as tiff:
        text, place = tiff.pages[0].description, tiff.pages[0].tags[270].valueoffset
    with target.open("r+b") as file:
        file.seek(place)
        file.write(text.replace("JPEG/YCC", "JPEG/XYZ").encode("latin-1"))
    assert codes(target) == {"property-differs"}


def test_a_power_that_is_not_the_source_s(made, tmp_path):
    target = shutil.copy(made / "empty.tiff", tmp_path / "target.tiff")
    edit_provenance(target, lambda values: values["plan"].update(objective_power=40.0))
    assert codes(target, made / "source.svs") == {"property-differs"}


def test_a_copied_tile_that_is_not_the_source_s(made, target, tmp_path):
    other = shutil.copy(made / "source.svs", tmp_path / "other.svs")
    tiffs.flip_bit(other, first_action(target, "C"))
    edit_provenance(target, lambda values: values["plan"]["source"].update(sha256=file_sha256(other)))
    assert codes(target, other) == {"tile-differs"}


def test_a_file_held_against_another_source(target, tmp_path):
    assert codes(target, tiffs.write_tiff(tmp_path / "other.svs", 320, 300)) == {"source-differs"}


def test_an_associated_image_that_is_gone(target, made):
    edit_provenance(target, lambda values: values["plan"].update(images=["label"]))
    assert codes(target, made / "source.svs") == {"unreadable"}


def test_an_associated_image_that_is_not_the_source_s(tmp_path):
    source = tmp_path / "source.svs"
    write_slide(source, SyntheticSlide(Size(600, 500), seed=3))
    convert_slide(source, tmp_path / "target.svs", ConversionConfig.of(glass="keep"))
    with tifffile.TiffFile(source) as tiff:
        label = next(page for page in tiff.pages if page.subfiletype == 1)
        place = label.dataoffsets[0] + label.databytecounts[0] - 4
    data = bytearray(source.read_bytes())
    data[place] ^= 1
    source.write_bytes(data)
    edit_provenance(
        tmp_path / "target.svs", lambda values: values["plan"]["source"].update(sha256=file_sha256(source))
    )
    assert codes(tmp_path / "target.svs", source) == {"associated-differs"}


def test_a_file_whose_provenance_was_taken_out_is_not_good(target):
    tiffs.overwrite_tag(target, xmp.XMP_TAG, b"<x:xmpmeta/>")
    assert codes(target) == {"unreadable"}


def test_a_conversion_that_no_longer_rebuilds_its_source(tmp_path):
    source, target = tiffs.write_tiff(tmp_path / "source.svs", 400, 300), tmp_path / "target.tiff"
    config = ConversionConfig.of(codec="copy", glass="keep", restorable=True)
    convert_slide(source, target, config)
    with closing(open_reader(target)) as slide:
        place = slide.provenance.restoration.offset + 40
    data = bytearray(target.read_bytes())
    data[place] ^= 1
    target.write_bytes(data)
    assert codes(target) == {"not-restorable"}


def test_a_level_that_is_none(tmp_path, monkeypatch):
    source = tiffs.write_tiff(tmp_path / "source.svs", 400, 300)
    with tifffile.TiffWriter(source, append=True) as tiff:
        pixels = tiffs.picture(200, 150)
        tiff.write(pixels, tile=(64, 64), compression="jpeg", photometric="rgb", metadata=None)
    convert_slide(source, tmp_path / "target.svs", ConversionConfig.of(glass="keep", codec="copy"))
    monkeypatch.setattr(verify, "is_reduced", lambda *sizes: False)
    assert codes(tmp_path / "target.svs") == {"level-odd"}


def test_a_tile_that_other_programs_show_otherwise_than_the_source_s():
    fixtures = FIXTURES / "v050"
    source, target = fixtures / "jpeg_rgb_jfif.source.svs", fixtures / "jpeg_rgb_jfif.target.svs"
    assert codes(target, source) == {"pixels-differ"}


def test_every_code_has_a_broken_file_in_some_test():
    text = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [code for code in problems.CODES if f'"{code}"' not in text] == []


@pytest.mark.parametrize("name", ["z-stack", "tiled-label"])
def test_levels_that_are_none_are_found_in_files_of_0_5_0(name):
    path = FIXTURES / "v050_levels" / f"{name}-0.5.0.svs"
    found = verify.verify_slide(path, None, None, 1, lambda done, total: None)
    assert {problem.code for problem in found.problems} >= {"level-odd"}
