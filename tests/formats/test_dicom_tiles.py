"""Frames of DICOM slides are encoded tiles; OpenSlide's picture of the source is the judge."""

from __future__ import annotations

import random
import shutil
from contextlib import closing, suppress

import openslide
import pydicom
import pytest

import wsicomp
from tests.conftest import trial_size
from tests.drawn import pixels_only
from tests.drawn.dicom_slide import JPEG, JPEG2000, Form, dicom_of, tiles_of
from tests.drawn.shown_levels import same_levels, whole_levels
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.formats.dicom.levels import dicom_tiles
from wsicomp.formats.opening import open_reader
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

SIZES = (Size(700, 500), Size(233, 166))
COLOURS = {
    "ycbcr": (SyntheticFormat(tile_px=128, downsamples=(1, 3)), JPEG, "YBR_FULL_422"),
    "rgb": (SyntheticFormat(tile_px=128, downsamples=(1, 3), photometric="rgb"), JPEG, "RGB"),
    "jpeg2000": (
        SyntheticFormat(tile_px=128, downsamples=(1, 3), compression="jpeg2000-rgb"),
        JPEG2000,
        "RGB",
    ),
}
FORMS = {
    "full": Form(),
    "full, no table": Form(table="none"),
    "full, extended table": Form(table="extended"),
    "full, table beyond 4 GB": Form(table="wrapped"),
    "full, in two files": Form(parts=2),
    "sparse": Form(sparse=True, left_out=(0, 3)),
    "sparse, in two files": Form(sparse=True, left_out=(1,), parts=2, table="extended"),
    "sparse, undefined lengths": Form(sparse=True, left_out=(2,), undefined=True),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A slide of 700 x 500 px in each colour, as an SVS."""
    folder = tmp_path_factory.mktemp("drawn")
    for name, (form, _, _) in COLOURS.items():
        write_slide(folder / f"{name}.svs", SyntheticSlide(Size(700, 500), seed=3), form)
    return folder


def made(drawn, folder, form, colour="ycbcr"):
    _, syntax, photometric = COLOURS[colour]
    return dicom_of(drawn / f"{colour}.svs", folder, form, syntax, photometric)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_frame_is_the_tile_of_its_place(form, drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", form)
    with closing(open_reader(path)) as slide:
        for number, (size, _, tiles) in enumerate(tiles_of(drawn / "ycbcr.svs")):
            level = slide.info.levels[number]
            assert (level.size.width, level.size.height) == size
            assert level.blank == form.left_out
            for place, index in enumerate(level.grid.raster(number)):
                expected = b"" if place in form.left_out else tiles[place]
                assert slide.read_encoded_tile(index).data == expected


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("form", [FORMS["full"], FORMS["sparse, in two files"]], ids=["full", "sparse"])
def test_copied_frames_show_what_openslide_shows_of_the_source(colour, form, drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", form, colour)
    config = ConversionConfig.of(codec="copy", glass="keep")
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    assert sum(level.copied for level in report.levels) > 0 == sum(level.encoded for level in report.levels)
    assert same_levels(path, openslide.OpenSlide(tmp_path / "target.tiff"))


@pytest.mark.parametrize("colour", ["ycbcr", "rgb"])
def test_repacked_frames_show_what_openslide_shows_of_the_source(colour, drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", FORMS["full"], colour)
    config = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep")
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    assert (
        sum(level.transcoded for level in report.levels) > 0 == sum(level.encoded for level in report.levels)
    )
    assert same_levels(path, wsicomp.open_slide(tmp_path / "target.tiff"))


def test_a_table_beyond_4_gb_is_no_reason_not_to_convert(drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", FORMS["full, table beyond 4 GB"])
    judge = made(drawn, tmp_path / "judge", FORMS["full"])
    wsicomp.convert_slide(path, tmp_path / "copy.tiff", ConversionConfig.of(codec="copy", glass="keep"))
    wsicomp.convert_slide(path, tmp_path / "blank.tiff", ConversionConfig.of(codec="jpeg", quality=75))
    assert same_levels(judge, openslide.OpenSlide(tmp_path / "copy.tiff"))
    report = wsicomp.convert_slide(
        path, tmp_path / "whole.wsipack", ConversionConfig.preset("archive-lossless")
    )
    assert report.target_bytes < report.source_bytes


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("wrapped", "its offset table leads back at frame 2"),
        ("behind", "its offset table leads behind its last frame"),
        ("ended", "its offset table leads behind its last frame at frame 13;"),
        ("empty", "its frame 13 has only empty fragments"),
    ],
)
def test_openslide_never_reads_pixels_by_a_table_at_which_it_ends_the_process(table, words, drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", Form(table=table))
    with wsicomp.open_slide(path) as slide:
        assert slide.dimensions == (700, 500)
        for level in (0, 1):
            with pytest.raises(openslide.OpenSlideError, match=f"level-.*dcm: {words}"):
                slide.read_region((600, 400), level, (50, 50))
    with closing(OpenSlideSlide(path)) as slide, pytest.raises(SlideReadError, match=words):
        slide.read_tile(TileIndex(0, 0, 0))


def test_openslide_never_reads_a_label_by_such_a_table(drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", Form(table="behind"))
    label = pydicom.dcmread(path.with_name("level-1-0.dcm"))
    label.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    label.SOPInstanceUID = label.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    label.save_as(path.with_name("label.dcm"), enforce_file_format=True)
    with wsicomp.open_slide(path) as slide:
        assert list(slide.associated_images) == ["label"]
        assert slide.properties["openslide.associated.label.width"] == "233"
        assert "label" in slide.associated_images
        with pytest.raises(openslide.OpenSlideError, match=r"dcm: its offset table .*behind its last frame"):
            slide.associated_images["label"]
        with pytest.raises(KeyError):
            slide.associated_images["macro"]


def test_glass_is_taken_out_and_tissue_stays_verbatim(tmp_path):
    slide = SyntheticSlide(Size(1000, 700), seed=4, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(tmp_path / "drawn.svs", slide, COLOURS["ycbcr"][0])
    path = dicom_of(tmp_path / "drawn.svs", tmp_path / "dicom", FORMS["full, in two files"])
    config = ConversionConfig.of(codec="copy", glass="white", segmenter="threshold")
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    stored = [tile for _, _, tiles in tiles_of(tmp_path / "target.tiff") for tile in tiles]
    frames = {tile for _, _, tiles in tiles_of(tmp_path / "drawn.svs") for tile in tiles}
    assert sum(tile in frames for tile in stored) == sum(level.copied for level in report.levels)
    assert len(stored) > sum(level.copied for level in report.levels) > 9
    with openslide.OpenSlide(path) as before, openslide.OpenSlide(tmp_path / "target.tiff") as after:
        for shown, kept in zip(whole_levels(before), whole_levels(after), strict=True):
            changed = (shown != kept).any(axis=2)
            assert (kept[changed] == 255).all()
            assert (shown == kept).all(axis=2).any()


def test_a_place_without_a_frame_shows_no_picture_in_any_target(drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", FORMS["sparse"])
    roi = tmp_path / "roi.geojson"
    roi.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 200], [0, 200], [0, 0]]]}')
    for name, config in {
        "region": ConversionConfig.of(roi=roi, roi_codec="copy", segmenter="threshold"),
        "empty": ConversionConfig.of(codec="copy", glass="empty", format="tiff", segmenter="threshold"),
        "svs": ConversionConfig.of(codec="copy", glass="keep", format="svs"),
        "jpeg": ConversionConfig.of(codec="jpeg", glass="keep"),
    }.items():
        wsicomp.convert_slide(path, tmp_path / f"{name}.tif", config)
        with openslide.OpenSlide(tmp_path / f"{name}.tif") as after:
            levels = list(whole_levels(after))
        least = 230 if name == "empty" else 254  # glass is filled with its own colour
        assert all((level[:128, :128] >= least).all() for level in levels), name
        assert wsicomp.verify(tmp_path / f"{name}.tif", path, roi=config.regions.roi).problems == ()


def forms(path, sizes=SIZES):
    """What a level without encoded tiles is said to hold; None for one that has them."""
    return [found if isinstance(found, str) else None for found in dicom_tiles(path, sizes)]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Form(sparse=True, shift=5), "that stand off a plain grid"),
        (Form(sparse=True, shift=-128), "of which several have one place"),
        (Form(sparse=True, shift=1280), "that stand beyond their level"),
        (Form(left_out=(2, 3)), "of which 2 are missing"),
        (Form(table="none", fragments=2), "without a table of offsets"),
    ],
)
def test_what_is_no_plain_grid_has_no_encoded_tiles(form, words, drawn, tmp_path):
    found = forms(made(drawn, tmp_path / "dicom", form))
    assert len(found) == 2
    assert all(words in one for one in found)


def test_frames_in_several_fragments_are_joined(drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", Form(fragments=3))
    for (_, _, tiles), stored in zip(tiles_of(drawn / "ycbcr.svs"), dicom_tiles(path, SIZES), strict=True):
        assert [stored.file.read(*span, "tile") for span in stored.ranges.tolist()] == tiles
        stored.file.close()


def test_uncompressed_frames_are_pixels_and_the_reason_is_told(tmp_path):
    path, _ = pixels_only.dicom_pyramid(tmp_path / "dicom", [(600, 400), (300, 200)])
    assert forms(path, [Size(600, 400), Size(300, 200)]) == ["uncompressed DICOM frames"] * 2
    with closing(open_reader(path)) as slide:
        assert [level.form for level in slide.info.levels] == ["uncompressed DICOM frames"] * 2
    with pytest.raises(ConfigError, match="they are uncompressed DICOM frames"):
        wsicomp.convert_slide(path, tmp_path / "target.tiff", ConversionConfig.of(codec="copy"))
    wsicomp.convert_slide(path, tmp_path / "target.tiff", ConversionConfig.of(codec="none", glass="keep"))
    assert same_levels(path, openslide.OpenSlide(tmp_path / "target.tiff"))


def test_two_images_of_one_size_are_no_level_with_tiles(drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", FORMS["full"])
    shutil.copy(path, path.with_name("copy.dcm"))
    assert forms(path) == [None, None]
    data = path.read_bytes()
    uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID.encode()
    path.with_name("copy.dcm").write_bytes(data.replace(uid, uid[:-1] + bytes([uid[-1] ^ 1])))
    assert forms(path) == ["DICOM frames of several images of one size", None]


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_short_has_no_encoded_tiles(keep, drawn, tmp_path):
    path = made(drawn, tmp_path / "dicom", FORMS["full"])
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    first, second = forms(path)
    assert first is not None
    assert second is None


@pytest.mark.parametrize("form", [FORMS["full, extended table"], FORMS["sparse, undefined lengths"]], ids=str)
def test_no_damage_of_a_header_is_more_than_a_reason(form, drawn, tmp_path):
    chance = random.Random(1)
    data = made(drawn, tmp_path / "dicom", form).read_bytes()
    path, end = tmp_path / "damaged.dcm", data.index(b"\xe0\x7f\x10\x00OB") + 200
    for _ in range(trial_size(150, 5000)):
        at = chance.randrange(end)
        cut, put = chance.choice([(1, 1), (4, 4), (0, 7), (9, 0)])
        path.write_bytes(data[:at] + chance.choice([chance.randbytes(put), b"\xff" * put]) + data[at + cut :])
        for found in dicom_tiles(path, SIZES):
            if isinstance(found, str):
                continue
            for span in found.ranges.tolist():
                with suppress(SlideReadError):
                    assert len(found.file.read(*span, "tile")) <= len(data)
            found.file.close()
