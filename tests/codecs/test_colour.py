"""Encoded tiles decode to the drawn truth, as in OpenSlide, tifffile and Pillow, by every recipe."""

import io
import itertools
import random

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

import wsicomp
from tests.conftest import trial_size
from tests.drawn import colour
from tests.paths import FIXTURES
from wsicomp import ConfigError, ConversionConfig, WsicompError
from wsicomp.cli import main
from wsicomp.codecs import jpeg, jpeg2000, jpegxl
from wsicomp.codecs.jpeg_optimizer import optimize
from wsicomp.codecs.jpeg_stream import (
    DQT,
    segments,
    standard_huffman_tables,
    tables_behind_frame,
    tile_of_whole_stream,
    whole_stream,
    with_plain_colors,
)
from wsicomp.codecs.registry import create_codec, create_transcoder, decode_tile, decode_tile_eighth
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.slide import JPEG, JPEGXL, RGB, YCBCR, EncodedTile, TileEncoding

SOUND = FIXTURES / "v050_sound"
SIZE = Size(64, 64)
ERRORS = {"444": 3, "422": 4, "420": 4}  # of quality 95 on the drawn picture
PAIRINGS = list(itertools.product(colour.MARKERS, colour.NUMBERS, (True, False)))
CONTRADICTORY = [
    (RGB, "JFIF", "1 2 3", "444"),
    (RGB, "Adobe 1, JFIF", "0 1 2", "444"),
    (RGB, "Adobe 1", "1 2 3", "444"),
    (RGB, "JFIF", "1 2 3", "420"),
    (YCBCR, "Adobe 0", "1 2 3", "420"),
    (YCBCR, "no marker", "R G B", "422"),
    (YCBCR, "JFIF, Adobe 0", "R G B", "444"),
]


def whole(slide):
    return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3].astype(int)


def by_openslide(path):
    with openslide.OpenSlide(path) as slide:
        return whole(slide)


def by_api(path):
    with wsicomp.open_slide(path) as slide:
        return whole(slide)


def by_reader(path):
    slide = open_reader(path)
    size = slide.info.size
    pixels = slide.read_region(0, Region(0, 0, size.width, size.height)).astype(int)
    slide.close()
    return pixels


def tile_of(path):
    slide = open_reader(path)
    tile = slide.read_encoded_tile(TileIndex(0, 0, 0))
    slide.close()
    return tile


def convert(source, target, **options):
    return wsicomp.convert_slide(source, target, ConversionConfig.of(**({"glass": "keep"} | options)))


def is_refused_by_openslide(markers):
    """Of an unknown transform libjpeg warns unless there is JFIF, and OpenSlide takes that for an error."""
    return "Adobe 2" in markers and "JFIF" not in markers


@pytest.mark.gate
@pytest.mark.parametrize("subsampling", colour.SUBSAMPLINGS)
@pytest.mark.parametrize("photometric", [RGB, YCBCR])
def test_photometric_alone_says_what_a_jpeg_tile_holds(photometric, subsampling, tmp_path):
    path = tmp_path / "source.svs"
    for markers, numbers, shared in PAIRINGS:
        truth = colour.draw_jpeg(path, photometric, markers, numbers, subsampling, shared).astype(int)
        ours, case = by_reader(path), (markers, numbers, shared)
        assert np.abs(ours - truth).max() <= ERRORS[subsampling], case
        if is_refused_by_openslide(markers):
            with pytest.raises(openslide.OpenSlideError):
                by_openslide(path)
        else:
            assert (by_openslide(path) == ours).all(), case
        if photometric == YCBCR or subsampling == "444":  # libtiff reads no other RGB
            assert (np.asarray(Image.open(path)) == ours).all(), case
        assert (by_api(path) == ours).all(), case


@pytest.mark.gate
@pytest.mark.parametrize("subsampling", colour.SUBSAMPLINGS)
@pytest.mark.parametrize("photometric", [RGB, YCBCR])
def test_every_recipe_of_a_jpeg_tile_agrees_with_photometric(photometric, subsampling, tmp_path):
    path = tmp_path / "source.svs"
    for markers, numbers, shared in PAIRINGS:
        colour.draw_jpeg(path, photometric, markers, numbers, subsampling, shared)
        tile, case = tile_of(path), (markers, numbers, shared)
        pixels = decode_tile(tile)
        assert (jpeg._decode_leniently(tile) == pixels).all(), case
        means = pixels.reshape(8, 8, 8, 8, 3).mean((1, 3))
        assert np.abs(decode_tile_eighth(tile) - means).mean() < 6, case  # 4:2:2 is coarse so small
        _check_packed(tile, pixels, case)
        _check_optimised(tile, pixels, case)


def _check_packed(tile, pixels, case):
    """Its bytes come back, and whoever decodes the JPEG XL itself sees the same picture."""
    transcoder = create_transcoder("jpegxl", exact=True)
    if tile.encoding.photometric == RGB and tile.encoding.subsampling != (1, 1):
        assert transcoder.transcode(tile) is None  # libjxl takes no such JPEG
        return
    packed = EncodedTile(jpegxl._transcoded(tile), TileEncoding(JPEGXL, RGB), tile.size)
    assert transcoder.unpack(packed, tile.encoding) == tile, case
    for data in (packed.data, jpegxl.from_jpeg(tile)):
        assert np.abs(imagecodecs.jpegxl_decode(data).astype(int) - pixels).mean() < 1, case


def _check_optimised(tile, pixels, case):
    """The same pixels, also for a program that goes by markers and drops what stands before the frame."""
    transcoder = create_transcoder("jpeg")
    stored = transcoder.encoding(tile.encoding)
    for data in filter(None, (transcoder.transcode(tile), transcoder.keep(tile))):
        assert (decode_tile(EncodedTile(data, stored, tile.size)) == pixels).all(), case
    data = transcoder.transcode(tile)
    if data is not None and stored.jpeg_tables:
        assert (by_guess(as_large_image_has_it(data, stored)) == pixels).all(), case


@pytest.mark.parametrize("case", CONTRADICTORY, ids=str)
def test_conversions_of_contradictory_jpeg_show_what_was_drawn(case, tmp_path):
    for shared in (True, False):
        source = tmp_path / f"source{shared}.svs"
        truth = colour.draw_jpeg(source, *case, shared).astype(int)
        shown = by_openslide(source)
        recipes = {
            "copy.svs": {"codec": "copy"},
            "packed.tif": {"codec": "jpegxl", "lossless": True, "restorable": True},
            "optimised.svs": {"codec": "jpeg", "lossless": True},
            "encoded.svs": {"codec": "jpeg", "quality": 95},
            "encoded.tif": {"codec": "jpegxl", "distance": 0.5},
            "plain.tif": {"codec": "none"},
        }
        for name, options in recipes.items():
            target = tmp_path / f"{shared}{name}"
            convert(source, target, **options)
            least = 6 if name.startswith("encoded") else 0
            assert np.abs(by_api(target) - shown).max() <= least, name
            assert np.abs(by_reader(target) - truth).max() <= least + 4, name
            with tifffile.TiffFile(target) as tiff:
                readable = tiff.pages[0].compression != JPEGXL
            if readable:
                assert np.abs(by_openslide(target) - shown).max() <= least, name
                # tifffile goes by JFIF and Adobe segments: it shows copied tiles as it shows the source.
                copied = tile_of(target).data == tile_of(source).data
                theirs = tifffile.imread(source) if copied else shown
                assert np.abs(tifffile.imread(target).astype(int) - theirs).max() <= least, name
                if case[0] == YCBCR or case[3] == "444" or least or name == "plain.tif":
                    by_pillow = np.asarray(Image.open(target)).astype(int)
                    assert np.abs(by_pillow - shown).max() <= least, name
        restored = tmp_path / f"{shared}restored.svs"
        wsicomp.restore_slide(tmp_path / f"{shared}packed.tif", restored)
        assert restored.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("case", [*CONTRADICTORY[:3], *CONTRADICTORY[4:]], ids=str)
def test_associated_images_in_contradictory_jpeg_show_what_was_drawn(case, tmp_path):
    source, target = tmp_path / "source.svs", tmp_path / "target.tif"
    truth = colour.draw_jpeg_images(source, *case[:3])
    convert(source, target, codec="jpegxl", lossless=True)
    with openslide.OpenSlide(source) as theirs, wsicomp.open_slide(target) as ours:
        for name, pixels in truth.items():
            shown = np.asarray(ours.associated_images[name])[..., :3].astype(int)
            assert np.abs(shown - pixels).max() <= 4, name
            assert (np.asarray(theirs.associated_images[name])[..., :3] == shown).all(), name


def test_a_transform_that_openslide_refuses_is_not_copied_but_encoded(tmp_path):
    source = tmp_path / "source.svs"
    truth = colour.draw_jpeg(source, RGB, "Adobe 2", "1 2 3").astype(int)
    with pytest.raises(WsicompError, match="transform that OpenSlide refuses; take codec jpeg"):
        convert(source, tmp_path / "copy.svs", codec="copy")
    convert(source, tmp_path / "jpeg.svs", codec="jpeg", quality=95)
    assert np.abs(by_openslide(tmp_path / "jpeg.svs") - truth).max() <= 8


def test_tables_that_say_other_colours_than_tiff_do_not_count():
    pixels = colour.picture(64, 64)
    for photometric, marker in ((RGB, "JFIF"), (YCBCR, "Adobe 0"), (RGB, "Adobe 1")):
        stream = colour.jpeg_stream(pixels, photometric, "no marker", "1 2 3", "444")
        tables, data = colour.split(stream)
        tables = tables[:2] + colour.MARKERS[marker] + tables[2:]
        tile = EncodedTile(data, TileEncoding(JPEG, photometric, jpeg_tables=tables), SIZE)
        found = decode_tile(tile)
        assert np.abs(found.astype(int) - pixels).max() <= 4, (photometric, marker)
        _check_packed(tile, found, (photometric, marker))


def test_a_tile_that_looks_disguised_comes_back_as_it_was_or_is_not_packed():
    stream = colour.jpeg_stream(colour.picture(64, 64), YCBCR, "no marker", "1 2 3", "444")
    plain = EncodedTile(stream, TileEncoding(JPEG, YCBCR), SIZE)
    misled = EncodedTile(stream[:2] + colour.ADOBE[0] + stream[2:], plain.encoding, SIZE)
    twice = EncodedTile(whole_stream(misled.data, misled.encoding), plain.encoding, SIZE)
    assert twice.data != misled.data
    alike = EncodedTile(twice.data.replace(b"\xff\xeb", b"\xff\xe5"), plain.encoding, SIZE)
    for tile in (plain, misled, alike):
        assert tile_of_whole_stream(whole_stream(tile.data, tile.encoding), tile.encoding) == tile.data
    assert create_transcoder("jpegxl").transcode(twice) is None


def test_markers_between_scans_are_not_packed():
    stream = colour.jpeg_stream(colour.picture(64, 64), YCBCR, "no marker", "1 2 3", "444")
    tile = EncodedTile(stream[:-2] + colour.ADOBE[0] + stream[-2:], TileEncoding(JPEG, YCBCR), SIZE)
    assert create_transcoder("jpegxl").transcode(tile) is None


@pytest.mark.parametrize("photometric", [RGB, YCBCR])
def test_what_earlier_versions_packed_comes_back_in_right_colours(photometric):
    """They put the tables, and an Adobe segment before RGB, in front of the tile and left it as it was."""
    for markers, numbers in itertools.product(colour.MARKERS, colour.NUMBERS):
        pixels = colour.picture(64, 64)
        tables, data = colour.split(colour.jpeg_stream(pixels, photometric, markers, numbers, "444"))
        encoding = TileEncoding(JPEG, photometric, jpeg_tables=tables)
        head = b"\xff\xd8" + (colour.ADOBE[0] if photometric == RGB else b"") + tables[2:-2]
        packed = imagecodecs.jpegxl_encode_jpeg(head + data[2:], usecontainer=True)
        back = create_transcoder("jpegxl").unpack(
            EncodedTile(bytes(packed), TileEncoding(JPEGXL, RGB), SIZE), encoding
        )
        assert back == EncodedTile(data, encoding, SIZE)
        assert np.abs(decode_tile(back).astype(int) - pixels).max() <= 4


@pytest.mark.parametrize("source", sorted(SOUND.glob("*.source.svs")), ids=lambda path: path.name)
def test_sound_files_of_earlier_versions_stay_sound(source):
    target = next(SOUND.glob(f"{source.name.split('.')[0]}.target.*"))
    assert main(["verify", str(target), "--against", str(source)]) == 0
    assert np.abs(by_reader(target)[:, :32] - by_reader(source)[:, :32]).max() <= 8


# The order of tables


def as_large_image_has_it(tile, encoding):
    """Source: large_image 1.3x, `TiledTiffDirectory.getTile`: the tables, and the tile from its frame on."""
    at = next(place for code in (b"\xff\xc0", b"\xff\xc2") if (place := tile.find(code, 2, -2)) > 0)
    data = bytearray(tile)
    scan = data.find(b"\xff\xda")
    if (
        encoding.photometric == RGB
        and data[at + 10 : at + 19 : 3] == data[scan + 5 : scan + 11 : 2] == b"\0\1\2"
    ):
        data[at + 10 : at + 19 : 3] = data[scan + 5 : scan + 11 : 2] = b"RGB"
    return encoding.jpeg_tables[:-2] + bytes(data[at:-2]) + b"\xff\xd9"


def by_guess(stream):
    return np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))


def written_tiles():
    """(name, tile) of every kind of JPEG tile that is written anew into a level with JPEGTables."""
    pixels = colour.picture(256, 256)
    size = Size(256, 256)
    codec = create_codec("jpeg", {"quality": 90})
    yield "encoded", EncodedTile(codec.encode(pixels), codec.encoding, size)
    blank = jpeg.encode_uniform(codec.encoding, size, (250, 240, 230))
    yield "blank among encoded", EncodedTile(blank, codec.encoding, size)
    transcoder = create_transcoder("jpeg")
    for photometric, numbers, subsampling in itertools.product((RGB, YCBCR), colour.NUMBERS, ("444", "420")):
        name = f"{photometric} {numbers} {subsampling}"
        stream = colour.jpeg_stream(pixels, photometric, "no marker", numbers, subsampling, 90)
        tables, data = colour.split(stream)
        source = TileEncoding(JPEG, photometric, colour.SUBSAMPLINGS[subsampling], jpeg_tables=tables)
        stored = transcoder.encoding(source)
        tile = EncodedTile(data, source, size)
        yield f"optimised {name}", EncodedTile(transcoder.transcode(tile), stored, size)
        yield (
            f"blank among optimised {name}",
            EncodedTile(jpeg.encode_uniform(stored, size, (255, 255, 255)), stored, size),
        )
        yield (
            f"blank among copied {name}",
            EncodedTile(jpeg.encode_uniform(source, size, (255, 255, 255)), source, size),
        )
        if photometric == YCBCR or numbers != "1 2 3":
            yield f"kept {name}", EncodedTile(transcoder.keep(tile), stored, size)


@pytest.mark.parametrize(("name", "tile"), [pytest.param(*found, id=found[0]) for found in written_tiles()])
def test_all_decoders_read_a_written_tile_from_its_frame_on(name, tile):
    pixels = decode_tile(tile)
    cut = as_large_image_has_it(tile.data, tile.encoding)
    if tile.encoding.photometric == RGB or "R G B" not in name or "kept" not in name:
        assert (by_guess(cut) == pixels).all()
    space = "rgb" if tile.encoding.photometric == RGB else "ycbcr"
    assert (imagecodecs.jpeg8_decode(cut, colorspace=space, outcolorspace="rgb") == pixels).all()
    whole_again = imagecodecs.jpeg8_decode(
        tile.data, tables=tile.encoding.jpeg_tables, colorspace=space, outcolorspace="rgb"
    )
    assert (whole_again == pixels).all()
    before_frame = [marker for marker, start, _ in segments(tile.data) if start < tile.data.find(b"\xff\xc0")]
    assert before_frame == []


def test_libtiff_tifffile_pillow_and_openslide_read_blank_and_encoded_tiles_alike(tmp_path):
    mask = np.zeros((colour.HEIGHT, colour.WIDTH), np.uint8)
    mask[:, :40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for photometric, options in (
        (YCBCR, {"codec": "jpeg"}),
        (RGB, {"codec": "copy"}),
        (RGB, {"codec": "jpeg", "lossless": True}),
    ):
        source, target = tmp_path / f"{photometric}.svs", tmp_path / f"{photometric}{len(options)}.svs"
        colour.draw_jpeg(source, photometric, numbers="0 1 2", shared=photometric == YCBCR, glassy=True)
        convert(source, target, glass="white", mask=tmp_path / "mask.png", margin_um=0, **options)
        shown = by_openslide(target)
        assert (shown[:, 64:] == 255).all()
        assert (tifffile.imread(target) == shown).all()
        assert (np.asarray(Image.open(target)) == shown).all()
        assert (by_api(target) == shown).all()


def test_a_tile_kept_as_earlier_versions_kept_it_is_known():
    stream = colour.jpeg_stream(colour.picture(64, 64), YCBCR, "no marker", "1 2 3", "444")
    tables, data = colour.split(stream)
    tile = EncodedTile(data, TileEncoding(JPEG, YCBCR, jpeg_tables=tables), SIZE)
    transcoder = create_transcoder("jpeg")
    earlier = data[:2] + standard_huffman_tables() + data[2:]
    assert earlier != transcoder.keep(tile)
    assert len(earlier) == len(transcoder.keep(tile))
    assert transcoder.is_kept(tile, earlier)
    assert transcoder.is_kept(tile, transcoder.keep(tile))
    assert not transcoder.is_kept(tile, data)
    assert DQT not in {marker for marker, _, _ in segments(transcoder.keep(tile))}


# JPEG 2000

FORMS = list(itertools.product((33003, 33005), colour.SUBSAMPLINGS, (False, True)))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(("compression", "subsampling", "transform"), FORMS)
def test_jpeg_2000_is_converted_from_ycbcr_exactly_once(
    compression, subsampling, transform, lossless, tmp_path
):
    path = tmp_path / "source.svs"
    truth = colour.draw_jpeg2000(path, compression, subsampling, transform, lossless).astype(int)
    if transform and subsampling != "444":  # of components that differ in size there is no transform
        for read in (by_reader, by_openslide, by_api):
            with pytest.raises((WsicompError, openslide.OpenSlideError)):
                read(path)
        return
    ours = by_reader(path)
    assert np.abs(ours - truth).max() <= (4 if lossless else 15)
    assert (by_api(path) == ours).all()
    if compression == 33003 and transform:
        assert np.abs(by_openslide(path) - truth).max() > 150
        assert (tifffile.imread(path) == ours).all()
    else:
        assert (by_openslide(path) == ours).all()


@pytest.mark.parametrize(
    ("compression", "subsampling", "transform"),
    [form for form in FORMS if form[1] == "444" or not form[2]],
)
def test_conversions_of_jpeg_2000_show_what_was_drawn(compression, subsampling, transform, tmp_path):
    source = tmp_path / "source.svs"
    truth = colour.draw_jpeg2000(source, compression, subsampling, transform).astype(int)
    shown = by_reader(source)
    recipes = {
        "copy.svs": ({"codec": "copy"}, 0),
        "auto.svs": ({}, 0),
        "jpeg.svs": ({"codec": "jpeg", "quality": 95}, 8),
        "jpegxl.tif": ({"codec": "jpegxl", "distance": 0.5}, 6),
        "plain.tif": ({"codec": "none"}, 0),
    }
    for name, (options, least) in recipes.items():
        target = tmp_path / name
        convert(source, target, **options)
        assert np.abs(by_api(target) - shown).max() <= least, name
        if name != "jpegxl.tif":
            assert np.abs(by_openslide(target) - truth).max() <= least + 4, name
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(tmp_path / "copy.svs") as after:
        stored = [
            [file.filehandle.read_segments(page.dataoffsets, page.databytecounts) for page in file.pages]
            for file in (before, after)
        ]
        assert [list(part) for part in stored[0]] == [list(part) for part in stored[1]]
        expected = 33005 if transform else compression
        assert after.pages[0].compression == expected


@pytest.mark.parametrize("first_has_transform", [True, False])
def test_a_level_of_rgb_and_ycbcr_tiles_is_read_tile_by_tile_and_never_copied(first_has_transform, tmp_path):
    source = tmp_path / "source.svs"
    truth = colour.draw_mixed_jpeg2000(source, first_has_transform).astype(int)
    assert np.abs(by_reader(source) - truth).max() <= 1
    assert np.abs(by_api(source) - truth).max() <= 1
    with pytest.raises(
        ConfigError, match=r"copied: they are JPEG 2000 .some RGB, some YCbCr.; take codec jpeg"
    ):
        convert(source, tmp_path / "copy.svs", codec="copy")
    _check_encoded_anew(source, truth, tmp_path)


def _check_encoded_anew(source, truth, tmp_path):
    convert(source, tmp_path / "auto.svs", quality=95)
    assert np.abs(by_openslide(tmp_path / "auto.svs") - truth).max() <= 8
    convert(source, tmp_path / "lossless.tif", codec="jpegxl", lossless=True)
    assert (by_api(tmp_path / "lossless.tif") == by_reader(source)).all()


def test_a_tile_of_other_colours_beyond_the_first_ones_is_refused_when_it_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("wsicomp.formats.tiff.stored_encodings._SAMPLES", 1)
    for first_has_transform in (True, False):
        source = tmp_path / f"source{first_has_transform}.svs"
        colour.draw_mixed_jpeg2000(source, first_has_transform)
        with pytest.raises(WsicompError, match="OpenSlide would show it in wrong colours; take codec jpeg"):
            convert(source, tmp_path / "copy.svs")


@pytest.mark.parametrize(("compression", "transform"), [(33003, True), (33005, False), (33005, True)])
def test_jpeg_2000_in_boxes_is_read_as_tifffile_reads_it_and_never_copied(compression, transform, tmp_path):
    source = tmp_path / "source.svs"
    truth = colour.draw_jpeg2000(source, compression, transform=transform, boxed=True)
    assert (by_reader(source) == truth).all()
    assert (by_api(source) == truth).all()
    assert (tifffile.imread(source) == truth).all()
    with pytest.raises(ConfigError, match=r"copied: they are JPEG 2000 .in JP2 boxes.; take codec jpeg"):
        convert(source, tmp_path / "copy.svs", codec="copy")
    _check_encoded_anew(source, truth.astype(int), tmp_path)


def test_boxes_that_say_other_colours_than_tiff_are_refused(tmp_path):
    source = tmp_path / "source.svs"
    colour.draw_jpeg2000(source, 33003, boxed=True)
    with pytest.raises(WsicompError, match="JP2 boxes state other colours than TIFF compression 33003"):
        by_reader(source)


@pytest.mark.parametrize(("compression", "transform"), [(33003, False), (33003, True), (33005, True)])
def test_the_blank_tile_of_a_copied_jpeg_2000_level_is_background(compression, transform, tmp_path):
    source, target = tmp_path / "source.svs", tmp_path / "target.svs"
    colour.draw_jpeg2000(source, compression, transform=transform, glassy=True)
    mask = np.zeros((colour.HEIGHT, colour.WIDTH), np.uint8)
    mask[:, :40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for background, color in (("white", (255, 255, 255)), ("#f0e6dc", (240, 230, 220))):
        convert(
            source,
            target,
            codec="copy",
            glass="blank",
            background=background,
            mask=tmp_path / "mask.png",
            margin_um=0,
            overwrite=True,
        )
        for read in (by_openslide, by_api, by_reader):
            assert np.abs(read(target)[:, 64:] - color).max() <= 1


def test_ycbcr_is_converted_as_openslide_does_it_for_every_pair_of_chroma(tmp_path):
    blue, red = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    planes = np.stack([np.full_like(blue, 128), blue, red], axis=-1)
    stream = bytes(imagecodecs.jpeg2k_encode(planes, level=0, codecformat="j2k", reversible=True, mct=False))
    path = tmp_path / "chroma.svs"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter([stream]),
            shape=(256, 256, 3),
            dtype=np.uint8,
            tile=(256, 256),
            compression=33003,
            photometric="rgb",
            description="Aperio Image Library",
            metadata=None,
        )
    assert (by_reader(path) == by_openslide(path)).all()


def test_headers_of_tiles_in_a_codestream_outweigh_the_main_one():
    pixels = colour.picture(64, 64)
    stream = colour.jpeg2000_stream(pixels, False, "444", True)
    segment = stream.index(b"\xff\x52")
    length = 2 + int.from_bytes(stream[segment + 2 : segment + 4], "big")
    cod = bytearray(stream[segment : segment + length])
    main = bytearray(stream)
    main[segment + 8] = 0
    start = main.index(b"\xff\x90")
    count = int.from_bytes(main[start + 6 : start + 10], "big")
    changed = main[:start] + main[start : start + 6] + (count + length).to_bytes(4, "big")
    changed += main[start + 10 : start + 12] + cod + main[start + 12 :]
    assert jpeg2000.true_compression(bytes(main), 33003) == 33003
    assert jpeg2000.true_compression(bytes(changed), 33003) == 33005
    tile = EncodedTile(bytes(changed), TileEncoding(33003, RGB), SIZE)
    assert (decode_tile(tile) == pixels).all()


def segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


ODD_SEGMENTS = [
    colour.JFIF,
    *colour.ADOBE.values(),
    segment(0xE0, b"JFXX\0\x10"),
    segment(0xE0, b""),
    segment(0xEE, b"Adobe\0\x64\0\0\0\0\0\0\0"),
    segment(0xEE, b"Adobe"),
    segment(0xEE, b"x" * 12),
    segment(0xEA, colour.JFIF[4:]),
    segment(0xEB, colour.ADOBE[1][4:]),
    segment(0xFE, b"words"),
    whole_stream(b"\xff\xd8" + colour.ADOBE[0], TileEncoding(JPEG, YCBCR))[2:20],
    whole_stream(b"\xff\xd8" + colour.JFIF, TileEncoding(JPEG, RGB))[2:18],
]


@pytest.mark.gate
def test_no_row_of_segments_changes_colours_or_bytes_on_any_recipe():
    rng = random.Random(7)
    transcoder = create_transcoder("jpegxl", exact=True)
    for number in range(trial_size(40, 150)):
        photometric = (RGB, YCBCR)[number % 2]
        stream = colour.jpeg_stream(
            colour.picture(64, 64), photometric, "no marker", rng.choice(list(colour.NUMBERS)), "444"
        )
        tables, data = colour.split(stream) if rng.random() < 0.5 else (None, stream)
        if tables is not None and rng.random() < 0.3:
            tables = tables[:2] + rng.choice(ODD_SEGMENTS) + tables[2:]
        odd = [rng.choice(ODD_SEGMENTS) for _ in range(rng.randint(0, 4))]
        tile = EncodedTile(
            data[:2] + b"".join(odd) + data[2:], TileEncoding(JPEG, photometric, jpeg_tables=tables), SIZE
        )
        pixels = decode_tile(tile)
        assert np.abs(pixels.astype(int) - colour.picture(64, 64)).max() <= 4, odd
        packed = transcoder.transcode(tile)
        if packed is not None:
            assert np.abs(imagecodecs.jpegxl_decode(packed).astype(int) - pixels).mean() < 1, odd
            stored = EncodedTile(packed, TileEncoding(JPEGXL, RGB), SIZE)
            assert transcoder.unpack(stored, tile.encoding) == tile, odd


@pytest.mark.parametrize("photometric", [RGB, YCBCR])
def test_optimised_progressive_tiles_and_restart_intervals_survive_without_what_stands_before_the_frame(
    photometric,
):
    stream = colour.jpeg_stream(colour.picture(64, 64), photometric, "JFIF", "0 1 2", "444")
    progressive = optimize(stream)
    restart = segment(0xDD, b"\0\x04")
    for whole in (progressive, progressive[:2] + colour.ADOBE[1] + progressive[2:]):
        tile = EncodedTile(whole, TileEncoding(JPEG, photometric, jpeg_tables=None), SIZE)
        plain = with_plain_colors(whole, photometric)
        assert (by_guess(plain) == decode_tile(tile)).all()
        moved = tables_behind_frame(plain)
        assert sorted(moved) == sorted(plain)
        assert (by_guess(moved) == decode_tile(tile)).all()
    tables, data = colour.split(stream)
    marked = data[:2] + restart + data[2:]
    kept = create_transcoder("jpeg").keep(
        EncodedTile(marked, TileEncoding(JPEG, photometric, jpeg_tables=tables), SIZE)
    )
    frame = kept.index(b"\xff\xc0")
    assert frame < kept.index(restart) < kept.index(b"\xff\xda")


def test_a_restorable_copy_of_rgb_under_33003_gives_its_source_back(tmp_path):
    source, target = tmp_path / "source.svs", tmp_path / "target.svs"
    colour.draw_jpeg2000(source, 33003, transform=True)
    convert(source, target, codec="copy", restorable=True)
    wsicomp.restore_slide(target, tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == source.read_bytes()
