"""What is a level and what is not: focal planes, SubIFDs, labels in tiles and labels in the wrong place."""

import json
import struct
from contextlib import closing
from itertools import pairwise

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.drawn import levels as drawn
from wsicomp import ConversionConfig, SlideReadError, UnsupportedSlideError, convert_slide
from wsicomp.batch.proof import ProofJob
from wsicomp.cli import main
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff.ome import parse_ome
from wsicomp.geometry import Mpp, Region, Size

FULL, LOW = (drawn.WIDTH, drawn.HEIGHT), (drawn.WIDTH // 4, drawn.HEIGHT // 4)
STACKS = [
    drawn.z_stack,
    drawn.z_stack_by_plane,
    drawn.z_stack_without_lower_levels,
    drawn.z_stack_with_one_pyramid,
    drawn.twice_the_same_size,
    drawn.reduced_ones_of_full_size,
    drawn.ome_z_stack,
]
PYRAMIDS = [
    drawn.ome_tiff,
    drawn.sub_ifds_without_ome,
    drawn.ome_with_label_and_macro,
    drawn.ome_with_label_first,
]


def by_name(function):
    return function.__name__


def convert(source, target, **options):
    return convert_slide(source, target, ConversionConfig.of(**{"glass": "keep", "workers": 1} | options))


def pixels_of(path):
    """Each level as OpenSlide shows it."""
    with openslide.OpenSlide(path) as slide:
        downsamples = slide.level_downsamples
        assert all(first < second for first, second in pairwise(downsamples))
        return [
            np.asarray(slide.read_region((0, 0), number, size).convert("RGB"))
            for number, size in enumerate(slide.level_dimensions)
        ]


def assert_shows(found, expected):
    """Levels of these sizes, and of these pixels but for what JPEG of smooth squares leaves of them."""
    assert [level.shape for level in found] == [level.shape for level in expected]
    for level, truth in zip(found, expected, strict=True):
        difference = np.abs(level.astype(int) - truth)
        assert difference.mean() < 3, difference.mean()
        assert np.percentile(difference, 90) < 12


def is_good(target, source, capsys):
    assert main(["verify", str(target), "--against", str(source)]) == 0, capsys.readouterr().out
    return capsys.readouterr().out


def says(path, capsys, *options):
    assert main(["info", str(path), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


# Focal planes


@pytest.mark.parametrize("draw", STACKS, ids=by_name)
def test_focal_planes_are_refused_in_one_line_that_names_them(draw, tmp_path, capsys):
    source = tmp_path / "s.svs"
    planes = draw(source).planes
    assert main(["convert", str(source), str(tmp_path / "t.svs"), "--glass", "keep"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{len(planes)} focal planes of 512 x 384 px" in message
    assert "choose one by --z" in message
    assert [path.name for path in tmp_path.iterdir()] == ["s.svs"]


@pytest.mark.parametrize("draw", STACKS, ids=by_name)
def test_each_plane_alone_becomes_a_slide_of_its_own_levels(draw, tmp_path, capsys):
    source = tmp_path / "s.svs"
    planes = draw(source).planes
    for z, plane in enumerate(planes):
        target = tmp_path / f"{z}.tif"
        report = convert(source, target, z=z)
        assert_shows(pixels_of(target), plane)
        assert f"z {z}" in " ".join(report.notes)
        assert "is kept, the others are not carried on" in " ".join(report.notes)
        rest = len(planes) - 1
        assert f"not carried on: {rest} other focal plane{'s' if rest > 1 else ''}" in " ".join(report.notes)
        is_good(target, source, capsys)


def test_the_note_says_where_the_plane_lies_and_so_does_the_target(tmp_path):
    drawn.z_stack(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs", z=2)
    assert any("z 2 (OffsetZ 1.5) is kept" in note for note in report.notes)
    with openslide.OpenSlide(tmp_path / "t.svs") as shown:
        assert shown.properties["aperio.OffsetZ"] == "1.5"
        assert shown.properties["openslide.mpp-x"] == "0.5"
    with closing(wsicomp.open_slide(tmp_path / "t.svs")) as ours:
        assert ours.properties["aperio.OffsetZ"] == "1.5"
        assert ours.properties["openslide.level-count"] == "2"
        assert "openslide.quickhash-1" not in ours.properties


def test_a_plane_without_scale_takes_that_of_the_first_image(tmp_path):
    source = tmp_path / "s.svs"
    sizes = [(drawn.scene(*FULL, seed), seed) for seed in (0, 1)]
    texts = [drawn.aperio(FULL), drawn.aperio(FULL, "|OffsetZ = 1", mpp=None)]
    drawn.write(
        source, [(pixels, {"description": text}) for (pixels, _), text in zip(sizes, texts, strict=True)]
    )
    convert(source, tmp_path / "t.svs", z=1)
    with openslide.OpenSlide(tmp_path / "t.svs") as shown:
        assert shown.properties["openslide.mpp-x"] == "0.5"
        assert shown.properties["openslide.objective-power"] == "20"


@pytest.mark.parametrize("draw", [drawn.z_stack, drawn.ome_z_stack], ids=by_name)
@pytest.mark.parametrize("codec", ["jpegxl", "copy"])
def test_of_one_plane_the_whole_file_is_restored(draw, codec, tmp_path):
    source = tmp_path / "s.svs"
    draw(source)
    convert(source, tmp_path / "t.tif", z=1, restorable=True, codec=codec, lossless=codec == "jpegxl")
    wsicomp.restore_slide(tmp_path / "t.tif", tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(("draw", "z"), [(drawn.z_stack, 3), (drawn.tiled_label_by_word, 1)])
def test_a_plane_that_is_not_there_is_refused(draw, z, tmp_path):
    draw(tmp_path / "s.svs")
    with pytest.raises(UnsupportedSlideError, match=f"no plane z {z}"):
        convert(tmp_path / "s.svs", tmp_path / "t.svs", z=z)
    with pytest.raises(wsicomp.ConfigError, match="z is -1"):
        ConversionConfig.of(z=-1)


def test_plane_0_of_a_slide_without_planes_is_the_slide(tmp_path):
    truth = drawn.two_lower_levels_of_one_size(tmp_path / "s.tif")
    convert(tmp_path / "s.tif", tmp_path / "t.tif", z=0)
    assert_shows(pixels_of(tmp_path / "t.tif"), truth.levels)


def test_info_lists_the_planes_and_shows_one_of_them(tmp_path, capsys):
    drawn.z_stack(tmp_path / "s.svs")
    found = says(tmp_path / "s.svs", capsys)
    assert [plane["offset"] for plane in found["planes"]] == ["-1.5", "0", "1.5"]
    assert [level["width"] for level in found["levels"]] == [512, 128]
    assert main(["info", str(tmp_path / "s.svs"), "--z", "1"]) == 0
    text = capsys.readouterr().out
    assert "focal plane z 2: 512 x 384 px, OffsetZ 1.5" in text
    assert "z 1 (OffsetZ 0) is kept" in text


def test_an_offset_that_is_no_number_is_told_to_nobody(tmp_path, capsys):
    drawn.z_stack(tmp_path / "s.svs", offsets=("0", drawn.PATIENT))
    assert drawn.PATIENT not in json.dumps(says(tmp_path / "s.svs", capsys))


def test_of_an_archive_of_one_plane_the_plane_is_still_known(tmp_path, capsys):
    source, archive, target = (tmp_path / name for name in ("s.svs", "a.tif", "t.svs"))
    drawn.z_stack(source)
    convert(source, archive, z=2, codec="jpegxl", lossless=True)
    convert(archive, target, codec="copy")
    for against in (source, archive):
        is_good(target, against, capsys)


def test_a_source_of_which_one_plane_was_converted_is_not_removed(tmp_path):
    source, target = tmp_path / "s.svs", tmp_path / "t.svs"
    drawn.z_stack(source)
    report = convert(source, target, z=1)
    proof = ProofJob(
        "s", source, target, report.source_sha256, file_sha256(target), True, ConversionConfig.of(z=1)
    )
    assert "one of its 3 focal planes alone" in proof.run(lambda *told: None).error


def test_segment_takes_the_same_choice(tmp_path, capsys):
    drawn.z_stack(tmp_path / "s.svs")
    command = ["segment", str(tmp_path / "s.svs"), str(tmp_path / "m.png"), "--segmenter", "threshold"]
    assert main(command) == 1
    assert "planes are no levels: choose one by" in capsys.readouterr().err
    assert main([*command, "--z", "1"]) == 0


def test_of_two_lower_levels_of_one_size_the_first_is_taken_and_the_other_named(tmp_path, capsys):
    truth = drawn.two_lower_levels_of_one_size(tmp_path / "s.tif")
    report = convert(tmp_path / "s.tif", tmp_path / "t.tif")
    assert_shows(pixels_of(tmp_path / "t.tif"), truth.levels)
    assert "1 smaller image of one size with a level" in " ".join(report.notes)
    is_good(tmp_path / "t.tif", tmp_path / "s.tif", capsys)


def test_what_openslide_shows_of_a_stack_stays_as_it_is(tmp_path):
    drawn.z_stack(tmp_path / "s.svs")
    with (
        closing(wsicomp.open_slide(tmp_path / "s.svs")) as ours,
        openslide.OpenSlide(tmp_path / "s.svs") as other,
    ):
        assert ours.level_dimensions == other.level_dimensions
        assert dict(ours.properties) == dict(other.properties)


# SubIFDs and OME-XML


@pytest.mark.parametrize("draw", PYRAMIDS, ids=by_name)
def test_a_pyramid_in_subifds_is_read_as_levels(draw, tmp_path, capsys):
    source, target = tmp_path / "s.ome.tif", tmp_path / "t.tif"
    truth = draw(source)
    with closing(open_reader(source)) as slide:
        for number, pixels in enumerate(truth.levels):
            size = slide.info.levels[number].size
            region = slide.read_region(number, Region(0, 0, size.width, size.height))
            assert_shows([region], [pixels])
        assert any("OpenSlide shows" in remark for remark in slide.info.remarks)
    convert(source, target)
    assert_shows(pixels_of(target), truth.levels)
    is_good(target, source, capsys)
    with openslide.OpenSlide(target) as shown:
        stated = 0.5 if draw is drawn.sub_ifds_without_ome else 0.25
        assert float(shown.properties["openslide.mpp-x"]) == pytest.approx(stated)
    with closing(wsicomp.open_slide(target)) as ours:
        assert ours.level_dimensions == tuple(level.shape[1::-1] for level in truth.levels)
        assert float(ours.properties["openslide.mpp-x"]) == pytest.approx(stated)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("codec", ["jpegxl", "copy"])
def test_a_file_with_subifds_is_restored_byte_for_byte(big, codec, tmp_path, capsys):
    source, target = tmp_path / "s.ome.tif", tmp_path / "t.tif"
    drawn.ome_tiff(source, big)
    convert(source, target, restorable=True, codec=codec, lossless=codec == "jpegxl")
    is_good(target, source, capsys)
    wsicomp.restore_slide(target, tmp_path / "back.tif")
    assert (tmp_path / "back.tif").read_bytes() == source.read_bytes()


def test_label_and_macro_of_an_ome_tiff_are_carried_and_another_series_is_named(tmp_path, capsys):
    source, target = tmp_path / "s.ome.tif", tmp_path / "t.tif"
    truth = drawn.ome_with_label_and_macro(source)
    report = convert(source, target)
    notes = " ".join(report.notes)
    assert "256 x 128 px" in notes
    assert drawn.PATIENT not in notes + json.dumps(says(source, capsys))
    with closing(open_reader(target)) as slide:
        assert set(slide.info.associated_images) == {"label", "macro"}
    assert_carries(target, truth.images)
    is_good(target, source, capsys)


def test_deidentified_nothing_of_ome_xml_is_left(tmp_path, capsys):
    source, target = tmp_path / "s.ome.tif", tmp_path / "t.tif"
    drawn.ome_with_label_and_macro(source)
    report = convert(source, target, deidentify=True)
    assert "ImageDescription" in report.dropped
    data = target.read_bytes()
    assert b"Roe" not in data
    assert b"openmicroscopy" not in data
    assert_no_label(target)
    is_good(target, source, capsys)


@pytest.mark.parametrize("draw", [drawn.ome_of_channels, drawn.ome_of_times], ids=by_name)
def test_channels_and_times_are_refused(draw, tmp_path):
    draw(tmp_path / "s.ome.tif")
    with pytest.raises(UnsupportedSlideError, match="expected one picture in RGB"):
        convert(tmp_path / "s.ome.tif", tmp_path / "t.tif")


@pytest.mark.parametrize(
    ("scale", "mpp"),
    [
        ('PhysicalSizeX="0.5" PhysicalSizeY="0.25"', Mpp(0.5, 0.25)),
        (
            'PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0005" PhysicalSizeYUnit="mm"',
            Mpp(0.5, 0.5),
        ),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="µm" PhysicalSizeY="1" PhysicalSizeYUnit="\u03bcm"', Mpp(1, 1)),
        ('PhysicalSizeX="1e-4" PhysicalSizeXUnit="cm" PhysicalSizeY="1E-6" PhysicalSizeYUnit="m"', Mpp(1, 1)),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1" PhysicalSizeYUnit="pixel"', None),
        ('PhysicalSizeX="0" PhysicalSizeY="0"', None),
        ('PhysicalSizeX="-1" PhysicalSizeY="INF"', None),
        ('PhysicalSizeX="NaN" PhysicalSizeY="1"', None),
        ('PhysicalSizeX="0.5"', None),
        ("", None),
    ],
)
def test_ome_xml_states_the_scale_in_its_units(scale, mpp):
    text = drawn.ome_xml(FULL, scale)
    image = parse_ome(text.encode().decode("latin-1")).images[0]
    if mpp is None:
        assert image.mpp is None
    else:
        assert (image.mpp.x, image.mpp.y) == pytest.approx((mpp.x, mpp.y))
    assert image.objective_power == 40


def test_an_image_without_tiff_data_and_samples_is_the_only_one_there_is(tmp_path):
    text = (
        drawn.ome_xml(FULL)
        .replace('<TiffData IFD="0" PlaneCount="1"/>', "")
        .replace(' SamplesPerPixel="3"', "")
    )
    drawn.write(tmp_path / "s.ome.tif", drawn.sub_ifd_pages(drawn.pyramid(), text))
    with closing(open_reader(tmp_path / "s.ome.tif")) as slide:
        assert len(slide.info.levels) == 3
        assert slide.info.mpp == Mpp(0.25, 0.25)


LAUGHS = '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
HOSTILE = {
    "a document type": drawn.ome_xml(FULL, head=LAUGHS).replace(drawn.PATIENT, "&b;"),
    "a file's text": drawn.ome_xml(
        FULL, head='<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    ).replace(drawn.PATIENT, "&x;"),
    "an unknown entity": drawn.ome_xml(FULL).replace(drawn.PATIENT, "&nbsp;"),
    "cut": drawn.ome_xml(FULL)[:-40],
    "too deep": "<OME>" + "<a>" * 5000 + "</a>" * 5000 + "</OME>",
    "too many images": "<OME>" + "<Image/>" * 5000 + "</OME>",
    "too long": "<OME>" + " " * (1 << 24) + "</OME>",
    "no OME": "<html/>",
    "nothing": "",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_ome_xml_says_nothing(text):
    assert parse_ome(text) is None


@pytest.mark.parametrize("what", ["a document type", "cut"])
def test_with_ome_xml_that_says_nothing_the_pyramid_is_read_by_its_tags(what, tmp_path):
    source, levels = tmp_path / "s.ome.tif", drawn.pyramid()
    scale = {"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"}
    drawn.write(source, drawn.sub_ifd_pages(levels, HOSTILE[what], **scale))
    with closing(open_reader(source)) as slide:
        assert [level.size.width for level in slide.info.levels] == [512, 256, 128]
        assert slide.info.mpp == Mpp(1, 1)


def test_absurd_counts_of_tiff_data_are_bounded():
    data = '<TiffData IFD="0" PlaneCount="999999999"/><TiffData IFD="999999999999999999999" PlaneCount="-4"/>'
    image = parse_ome(drawn.ome_xml(FULL, tiff_data=data)).images[0]
    assert image.pages == (0,)


def test_planes_in_other_files_are_named(tmp_path):
    uuid = (
        '<TiffData IFD="0"/><TiffData FirstZ="1"><UUID FileName="other.ome.tif">urn:uuid:2</UUID></TiffData>'
    )
    text = drawn.ome_xml(FULL, sizes='SizeZ="2" SizeC="3" SizeT="1"', tiff_data=uuid)
    drawn.write(
        tmp_path / "s.ome.tif",
        [(drawn.scene(*FULL, 0), {"description": text.replace("<OME", '<OME UUID="urn:uuid:1"')})],
    )
    report = convert(tmp_path / "s.ome.tif", tmp_path / "t.tif")
    assert any("in other files" in note for note in report.notes)


def sub_offsets(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return page.offset, list(page.subifds), page.tags[330].valueoffset


def point_subifd(path, offset):
    """Let the second SubIFD's entry say another place; `offset` is made from those of main and first."""
    main, subs, where = sub_offsets(path)
    with path.open("r+b") as file:
        file.seek(where + 4)
        file.write(struct.pack("<I", offset(main, subs)))


@pytest.mark.parametrize(
    "offset",
    [
        lambda main, subs: main,
        lambda main, subs: subs[0],
        lambda main, subs: 0xFFFFFFF0,
        lambda main, subs: 4,
    ],
    ids=["the main image", "another SubIFD", "past the end", "no directory"],
)
def test_a_subifd_that_leads_astray_is_refused_in_one_line(offset, tmp_path, capsys):
    source = tmp_path / "s.ome.tif"
    drawn.ome_tiff(source)
    point_subifd(source, offset)
    assert main(["convert", str(source), str(tmp_path / "t.tif"), "--glass", "keep"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def link_after(path, directory, target):
    """Set the link behind a directory."""
    with path.open("r+b") as file:
        file.seek(directory)
        (count,) = struct.unpack("<H", file.read(2))
        file.seek(directory + 2 + 12 * count)
        file.write(struct.pack("<I", target))


def test_a_chain_behind_a_subifd_is_followed_and_a_loop_in_it_ends(tmp_path):
    source = tmp_path / "s.tif"
    levels = drawn.pyramid()
    drawn.write(source, drawn.sub_ifd_pages(levels))
    main, subs, _ = sub_offsets(source)
    link_after(source, subs[0], subs[1])
    with tifffile.TiffFile(source, mode="r+") as tiff:
        tiff.pages[0].tags[330].overwrite(subs[:1])
    with closing(open_reader(source)) as slide:
        assert len(slide.info.levels) == 3
    for target in (subs[0], subs[1], main):
        link_after(source, subs[1], target)
        with closing(open_reader(source)) as slide:
            assert len(slide.info.levels) == 3


def test_a_truncated_file_with_subifds_is_refused(tmp_path):
    source = tmp_path / "s.ome.tif"
    drawn.ome_tiff(source)
    source.write_bytes(source.read_bytes()[:-4000])
    with pytest.raises(SlideReadError):
        open_reader(source)


# Labels, macros and thumbnails


def images_of(path):
    """All pictures of a TIFF, by tifffile: those of SubIFDs and of the chains behind them too."""
    with tifffile.TiffFile(path) as tiff:
        found = [page.asarray() for page in tiff.pages]
        for first in [offset for page in tiff.pages for offset in page.subifds or ()]:
            offset = first
            while offset:
                tiff.filehandle.seek(offset)
                found.append(tifffile.TiffPage(tiff, (0, len(found))).asarray())
                tiff.filehandle.seek(offset)
                (count,) = struct.unpack(tiff.tiff.tagnoformat, tiff.filehandle.read(tiff.tiff.tagnosize))
                tiff.filehandle.seek(offset + tiff.tiff.tagnosize + count * tiff.tiff.tagsize)
                link = tiff.filehandle.read(tiff.tiff.offsetsize)
                (offset,) = struct.unpack(tiff.tiff.offsetformat, link)
        return found


def is_label(pixels):
    """Whether the strong yellow and blue of the drawn label are anywhere in a picture."""
    if pixels.ndim != 3:
        return False
    red, green, blue = (pixels[..., band].astype(int) for band in range(3))
    return bool(((red > 200) & (green > 200) & (blue < 120)).any() or ((blue > 180) & (red < 60)).any())


def assert_no_label(path):
    assert not any(is_label(pixels) for pixels in images_of(path))


def assert_carries(path, images):
    with closing(open_reader(path)) as slide:
        found = {name: image.size for name, image in slide.info.associated_images.items()}
    assert found == {name: Size(pixels.shape[1], pixels.shape[0]) for name, pixels in images.items()}
    stored = images_of(path)
    for pixels in images.values():
        (picture,) = [one for one in stored if one.shape == pixels.shape]
        assert np.abs(picture.astype(int) - pixels).mean() < 6


TILED = [
    drawn.tiled_label_by_word,
    drawn.tiled_label_by_type,
    drawn.tiled_macro_by_type,
    drawn.tiled_macro_in_generic,
    drawn.tiled_label_in_generic,
]
SECOND = [drawn.label_second_by_word, drawn.label_second_by_type, drawn.label_second_unnamed]


@pytest.mark.parametrize("draw", TILED, ids=by_name)
def test_a_label_or_macro_in_tiles_is_carried_as_what_it_is_and_is_no_level(draw, tmp_path, capsys):
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    truth = draw(source)
    report = convert(source, target)
    (name,) = truth.images
    assert_shows(pixels_of(target), truth.levels)
    assert_carries(target, truth.images)
    assert any(f"OpenSlide takes the tiled {name}" in note for note in report.notes)
    is_good(target, source, capsys)
    if "generic" not in draw.__name__:
        with openslide.OpenSlide(target) as shown:
            assert list(shown.associated_images) == [name]


@pytest.mark.parametrize("draw", TILED, ids=by_name)
def test_its_pixels_are_those_that_tifffile_decodes(draw, tmp_path):
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    (name,) = draw(source).images
    convert(source, target)
    shape = drawn.label().shape if name == "label" else (160, 480, 3)
    before, after = ([one for one in images_of(path) if one.shape == shape] for path in (source, target))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("draw", [*TILED, *SECOND, drawn.macro_by_word_label_by_type], ids=by_name)
def test_an_unwanted_label_or_macro_is_left_nowhere(draw, tmp_path):
    source = tmp_path / "s.tif"
    draw(source)
    assert any(is_label(pixels) for pixels in images_of(source))
    for number, options in enumerate(({"deidentify": True}, {"label": False, "macro": False})):
        convert(source, tmp_path / f"{number}.tif", **options)
        assert_no_label(tmp_path / f"{number}.tif")


@pytest.mark.parametrize(
    "draw", [*SECOND, drawn.macro_by_word_label_by_type, drawn.tiled_label_by_type], ids=by_name
)
def test_no_label_alone_leaves_none_whatever_it_calls_itself(draw, tmp_path):
    draw(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", label=False)
    assert_no_label(tmp_path / "t.svs")


@pytest.mark.parametrize("draw", TILED[:2], ids=by_name)
def test_a_source_with_a_tiled_label_is_restored(draw, tmp_path):
    draw(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.tif", codec="jpegxl", lossless=True, restorable=True)
    wsicomp.restore_slide(tmp_path / "t.tif", tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == (tmp_path / "s.svs").read_bytes()


@pytest.mark.parametrize("draw", SECOND[:2], ids=by_name)
def test_a_label_that_stands_second_keeps_its_name_and_openslides_name_is_told(draw, tmp_path):
    truth = draw(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert any("second, for the thumbnail; here it is the label" in note for note in report.notes)
    assert_carries(tmp_path / "t.svs", truth.images)
    with openslide.OpenSlide(tmp_path / "t.svs") as shown:
        assert list(shown.associated_images) == ["label"]
    with closing(wsicomp.open_slide(tmp_path / "t.svs")) as ours:
        assert list(ours.associated_images) == ["label"]


def test_a_second_image_that_has_not_the_slides_proportions_is_told_of(tmp_path):
    drawn.label_second_unnamed(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert any("it may be a label" in note for note in report.notes)


def test_an_svs_of_one_level_shows_its_label_as_thumbnail_and_says_so(tmp_path):
    pixels, text = drawn.scene(*FULL, 0), {"description": drawn.aperio(FULL)}
    strips = {"rowsperstrip": 16, "subfiletype": 1, "description": f"{drawn.HEAD}\nlabel 160x144"}
    drawn.write(tmp_path / "s.svs", [(pixels, text), (drawn.label(), strips)])
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert any("for the thumbnail: here it is the label" in note for note in report.notes)


def test_every_image_that_is_not_carried_on_is_named(tmp_path, capsys):
    truth = drawn.all_sorts(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    (note,) = [note for note in report.notes if note.startswith("not carried on")]
    for size in ("another label of 160 x 144", "96 x 64", "64 x 320", "48 x 32", "24 x 16"):
        assert f"{size} px" in note
    assert_shows(pixels_of(tmp_path / "t.svs"), truth.levels)
    assert says(tmp_path / "s.svs", capsys)["omitted"]


@pytest.mark.parametrize("kind", [4, 5])
def test_a_mask_is_no_level(kind, tmp_path):
    levels, pages = drawn.svs_pages()
    drawn.write(tmp_path / "s.svs", [*pages, (levels[1], {"subfiletype": 1})])
    tiffs.overwrite_tag(tmp_path / "s.svs", 254, kind, page=2)
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert any("a mask of 128 x 96 px in tiles" in note for note in report.notes)
    assert len(pixels_of(tmp_path / "t.svs")) == 2


def test_levels_that_are_filled_up_to_whole_tiles_are_levels(tmp_path):
    full = drawn.scene(500, 900, 0)
    low = np.full((512, 256, 3), 255, np.uint8)
    low[:450, :250] = drawn.reduced(full, 2)
    drawn.write(tmp_path / "s.tif", [(full, {}), (low, {"subfiletype": 1})])
    convert(tmp_path / "s.tif", tmp_path / "t.tif")
    assert_shows(pixels_of(tmp_path / "t.tif"), [full, low])
