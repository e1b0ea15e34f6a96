"""Sound slides with an unusual trait are read and converted as OpenSlide shows them, or refused in words."""

import numpy as np
import openslide
import pytest
import tifffile

from tests.conftest import each_of
from tests.drawn import sound
from wsicomp import ConversionConfig, SlideReadError, UnsupportedSlideError, convert_slide
from wsicomp.codecs.registry import tile_format
from wsicomp.conversion.restore import restore_slide
from wsicomp.errors import ConfigError
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, TileIndex
from wsicomp.progress import no_progress
from wsicomp.verification.verify import verify_slide

LARGEST = sound.tissue(300, 220)
PYRAMID = [LARGEST, sound.halved(LARGEST), sound.halved(LARGEST, 2)]


def convert(source, target, **choices):
    config = ConversionConfig.of(**({"segmenter": "threshold", "workers": 1} | choices))
    return convert_slide(source, target, config)


def shown(path):
    """All levels as OpenSlide shows them, transparent pixels on white."""
    levels = []
    with openslide.OpenSlide(path) as slide:
        for number, size in enumerate(slide.level_dimensions):
            rgba = np.asarray(slide.read_region((0, 0), number, size)).astype(np.int32)
            alpha = rgba[..., 3:]
            levels.append(((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))
    return levels


def read(path):
    """All levels as we read them."""
    slide = open_reader(path)
    try:
        levels = enumerate(slide.info.levels)
        return [
            slide.read_region(number, Region(0, 0, level.size.width, level.size.height))
            for number, level in levels
        ]
    finally:
        slide.close()


def scale(path):
    """Um per px and objective power as OpenSlide states them in text, None for neither."""
    with openslide.OpenSlide(path) as slide:
        return slide.properties.get("openslide.mpp-x"), slide.properties.get("openslide.objective-power")


def problems(path):
    return verify_slide(path, None, None, 1, no_progress).problems


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


# Damaged levels

LOSSY = [{"codec": "jpeg"}, {"codec": "none"}, {"codec": "jpegxl", "distance": 1.0}]
LOSSLESS = [{}, {"glass": "keep"}, {"codec": "jpegxl", "lossless": True}, {"codec": "jpeg", "lossless": True}]
DAMAGES = {
    "the only tile of the smallest level": (3, [(3, None)], 1),
    "a whole level": (3, [(1, None)], 6),
    "a whole level and a tile": (3, [(0, 7), (1, None)], 7),
    "a tile of level 0": (3, [(0, 0)], 1),
    "all of level 0 but its last tile": (3, [(0, number) for number in range(19)], 19),
}


def damaged(path, name, **options):
    levels, damage, count = DAMAGES[name]
    pictures = [LARGEST] + [sound.halved(LARGEST, times) for times in range(1, levels)]
    pictures += [sound.halved(LARGEST, 3)] if (3, None) in damage else []
    sound.pyramid(path, pictures, damage=damage, **options)
    return count


@pytest.mark.parametrize(("name", "choices"), each_of([*DAMAGES], [*LOSSY, *LOSSLESS]), ids=str)
def test_damaged_tiles_of_any_level_are_counted(name, choices, tmp_path):
    count = damaged(tmp_path / "a.svs", name)
    report = convert(tmp_path / "a.svs", tmp_path / "b.tiff", **choices)
    assert (report.lost_tiles, report.flawed_tiles) == ((count, 0) if choices in LOSSY else (0, count))


@pytest.mark.parametrize("choices", [{"codec": "jpeg"}, {}], ids=str)
def test_a_level_of_jpeg_2000_may_be_damaged_too(choices, tmp_path):
    options = {"encode": sound.jpeg2000, "compression": 33005}
    count = damaged(tmp_path / "a.svs", "a whole level", **options)
    report = convert(tmp_path / "a.svs", tmp_path / "b.svs", **choices)
    assert report.lost_tiles + report.flawed_tiles == count


def test_what_is_sound_beside_damage_is_kept_as_it_is(tmp_path):
    damaged(tmp_path / "a.svs", "a whole level")
    convert(tmp_path / "a.svs", tmp_path / "b.svs", glass="keep")
    convert(tmp_path / "a.svs", tmp_path / "c.tiff", glass="keep", codec="none")
    first, third = read_sound(tmp_path / "a.svs", (0, 2)), read_sound(tmp_path / "c.tiff", (0, 2))
    assert_same(first, read_sound(tmp_path / "b.svs", (0, 2)))
    assert_same(first, third)


def read_sound(path, numbers):
    slide = open_reader(path)
    sizes = {number: slide.info.levels[number].size for number in numbers}
    found = [slide.read_region(n, Region(0, 0, size.width, size.height)) for n, size in sizes.items()]
    slide.close()
    return found


def test_the_first_sixteen_tiles_may_be_damaged(tmp_path):
    picture = sound.tissue(640, 300)
    for level in (0, 1):
        path = tmp_path / f"{level}.svs"
        pictures = [picture] if level == 0 else [sound.tissue(1280, 600), picture]
        sound.pyramid(path, pictures, damage=[(level, number) for number in range(16)])
        assert convert(path, tmp_path / f"{level}.tiff", codec="jpeg").lost_tiles == 16


def test_a_damaged_level_comes_back_byte_for_byte(tmp_path):
    damaged(tmp_path / "a.svs", "a whole level and a tile")
    choices = {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}
    convert(tmp_path / "a.svs", tmp_path / "b.tiff", **choices)
    restore_slide(tmp_path / "b.tiff", tmp_path / "c.svs", workers=1)
    assert (tmp_path / "c.svs").read_bytes() == (tmp_path / "a.svs").read_bytes()


@pytest.mark.parametrize("choices", [{}, {"codec": "jpeg"}, {"glass": "keep"}], ids=str)
@pytest.mark.parametrize("kind", ["jpeg", "jpeg 2000"])
def test_a_slide_of_which_no_tile_of_level_0_decodes_is_refused(kind, choices, tmp_path):
    options = {"encode": sound.jpeg2000, "compression": 33005} if kind == "jpeg 2000" else {}
    sound.pyramid(tmp_path / "a.svs", PYRAMID, damage=[(0, None)], **options)
    with pytest.raises(SlideReadError, match="level 0"):
        convert(tmp_path / "a.svs", tmp_path / "b.svs", **choices)
    assert [path.name for path in tmp_path.iterdir()] == ["a.svs"]


def test_the_overview_is_taken_from_a_level_that_can_be_read(tmp_path):
    picture = sound.tissue(2200, 1100)
    pictures = [picture, sound.halved(picture)]
    sound.pyramid(tmp_path / "a.svs", pictures, damage=[(1, None)], tile=(256, 256))
    report = convert(tmp_path / "a.svs", tmp_path / "b.svs", codec="jpeg")
    assert report.lost_tiles == 15
    assert report.levels[0].blank, "glass is found all the same"


def test_a_damaged_tile_takes_no_sound_pixel_with_it_where_tiles_are_cut_anew(tmp_path):
    sound.pyramid(tmp_path / "a.svs", [LARGEST], damage=[(0, 6)], tile=(48, 48))
    report = convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="none", glass="keep")
    assert report.flawed_tiles
    assert report.lost_tiles == 0
    expected = sound.pyramid(tmp_path / "c.svs", [LARGEST], tile=(48, 48)) and read(tmp_path / "c.svs")[0]
    expected[:48, 6 * 48 :] = 255
    slide = open_reader(tmp_path / "b.tiff")
    np.testing.assert_array_equal(slide.read_region(0, Region(0, 0, 300, 220)), expected)
    slide.close()


# Tiles that are not stored


@pytest.mark.parametrize(
    "absent", [[(0, 3), (1, 2)], [(1, None)], [(2, None)], [(0, 0), (0, 19), (1, 0)]], ids=str
)
@pytest.mark.parametrize(
    "choices",
    [
        {"glass": "keep"},
        {"codec": "copy", "glass": "keep", "restorable": True},
        {"codec": "jpeg", "lossless": True, "glass": "keep"},
        {"codec": "none", "glass": "keep"},
        {"codec": "jpegxl", "lossless": True, "glass": "keep"},
    ],
    ids=str,
)
def test_holes_of_a_generic_tiff_stay_what_openslide_shows(absent, choices, tmp_path):
    sound.pyramid(tmp_path / "a.tiff", PYRAMID, absent=absent, svs=False)
    convert(tmp_path / "a.tiff", tmp_path / "b.tiff", **choices)
    assert_same(read(tmp_path / "a.tiff"), shown(tmp_path / "a.tiff"))
    assert_same(read(tmp_path / "b.tiff"), shown(tmp_path / "a.tiff"))
    if choices.get("codec") != "jpegxl":
        assert_same(shown(tmp_path / "b.tiff"), shown(tmp_path / "a.tiff"))
    if "restorable" in choices:
        restore_slide(tmp_path / "b.tiff", tmp_path / "c.tiff", workers=1)
        assert (tmp_path / "c.tiff").read_bytes() == (tmp_path / "a.tiff").read_bytes()
    assert problems(tmp_path / "a.tiff") == ()
    assert problems(tmp_path / "b.tiff") == ()


def test_holes_of_a_generic_tiff_have_the_source_s_bounds(tmp_path):
    sound.pyramid(tmp_path / "a.tiff", PYRAMID, absent=[(0, n) for n in (0, 1, 2, 3, 4)], svs=False)
    convert(tmp_path / "a.tiff", tmp_path / "b.tiff", glass="keep")
    convert(tmp_path / "a.tiff", tmp_path / "c.tiff", glass="empty", codec="jpeg")
    with (
        openslide.OpenSlide(tmp_path / "a.tiff") as first,
        openslide.OpenSlide(tmp_path / "b.tiff") as second,
    ):
        names = [name for name in first.properties if "bounds" in name]
        assert names
        assert [first.properties[name] for name in names] == [second.properties[name] for name in names]
    with openslide.OpenSlide(tmp_path / "c.tiff") as third:
        assert not [name for name in third.properties if "bounds" in name]


def test_holes_of_an_svs_are_filled_as_before(tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID, absent=[(1, 2)])
    convert(tmp_path / "a.svs", tmp_path / "b.svs", glass="keep")
    assert_same(shown(tmp_path / "b.svs"), shown(tmp_path / "a.svs"))
    with pytest.raises(ConfigError, match="format svs, or codec jpeg"):
        convert(tmp_path / "a.svs", tmp_path / "c.tiff", format="tiff", codec="copy", glass="keep")


# Scales


@pytest.mark.parametrize("name", sound.RESOLUTIONS)
def test_resolution_tags_of_any_type_are_read_or_not_stated(name, tmp_path):
    tags, expected = sound.RESOLUTIONS[name]
    sound.pyramid(tmp_path / "a.tiff", [LARGEST], svs=False, tags=tags)
    slide = open_reader(tmp_path / "a.tiff")
    mpp = slide.info.mpp
    slide.close()
    assert (mpp and (mpp.x, mpp.y)) == (expected and pytest.approx((expected, expected)))
    assert problems(tmp_path / "a.tiff") == ()
    convert(tmp_path / "a.tiff", tmp_path / "b.tiff", glass="keep")
    stated = scale(tmp_path / "b.tiff")[0]
    assert (stated and float(stated)) == (expected and pytest.approx(expected))


@pytest.mark.parametrize("text", sound.SCALES, ids=repr)
def test_the_scale_of_an_svs_is_a_number_or_not_stated(text, tmp_path):
    expected = sound.SCALES[text]
    sound.pyramid(tmp_path / "a.svs", [LARGEST], description=sound.APERIO.format(300, 220, text, text))
    slide = open_reader(tmp_path / "a.svs")
    mpp, power = slide.info.mpp, slide.info.objective_power
    slide.close()
    assert (mpp and mpp.x, power) == (expected, expected)
    assert problems(tmp_path / "a.svs") == ()
    convert(tmp_path / "a.svs", tmp_path / "b.svs", glass="keep")
    assert scale(tmp_path / "b.svs") == scale(tmp_path / "a.svs")
    convert(tmp_path / "a.svs", tmp_path / "c.tiff", format="tiff", codec="jpeg")
    assert scale(tmp_path / "c.tiff") == (None if expected is None else "0.5", None)


@pytest.mark.parametrize("power", ["1e9", "1e-9", "0.001", "100000"])
def test_an_objective_that_does_not_exist_misleads_no_network(power, tmp_path):
    sound.pyramid(tmp_path / "a.svs", [LARGEST], description=sound.APERIO.format(300, 220, power, 0))
    report = convert(tmp_path / "a.svs", tmp_path / "b.svs", segmenter="unet")
    assert any("states no scale" in note for note in report.notes)


# Tiles of several sizes

TILES = [
    [(64, 64), (32, 32), (16, 16)],
    [(240, 240), (112, 112), (80, 80)],
    [(256, 256), (240, 240), (64, 48)],
    [(16, 16), (128, 128), (64, 64)],
    [(100, 100), (50, 50), (64, 64)],
]


@pytest.mark.parametrize(("tiles", "glass"), each_of(TILES, ["keep", "white", "empty"]))
def test_uncompressed_levels_are_read_by_openslide_whatever_the_source_s_tiles(tiles, glass, tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID, tile=list(tiles))
    convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="none", glass=glass)
    for one, other in zip(shown(tmp_path / "a.svs"), shown(tmp_path / "b.tiff"), strict=True):
        tissue = one.astype(int).sum(axis=2) < 560
        np.testing.assert_array_equal(one[tissue], other[tissue])
        if glass == "keep":
            np.testing.assert_array_equal(one, other)


@pytest.mark.gate
@pytest.mark.parametrize("tiles", TILES, ids=str)
def test_uncompressed_sources_of_several_tile_sizes_are_encoded(tiles, tmp_path):
    sound.pyramid(
        tmp_path / "a.tiff", PYRAMID, tile=list(tiles), svs=False, encode=sound.ENCODERS[1], compression=1
    )
    assert_same(read(tmp_path / "a.tiff"), PYRAMID)
    report = convert(tmp_path / "a.tiff", tmp_path / "b.tiff", glass="keep")
    assert report.codec == "jpeg"
    for choices in ({"codec": "none"}, {"codec": "jpegxl", "lossless": True, "effort": 3}):
        convert(tmp_path / "a.tiff", tmp_path / "b.tiff", glass="keep", overwrite=True, **choices)
        assert_same(read(tmp_path / "b.tiff"), PYRAMID)
    with pytest.raises(ConfigError, match="cannot be copied"):
        convert(tmp_path / "a.tiff", tmp_path / "c.tiff", codec="copy", glass="keep")


# Planes and alpha

OPAQUE = np.full((220, 300), 255, np.uint8)
FORMS = [
    *[(compression, 2, None, None) for compression in sound.ENCODERS],
    *[(compression, planar, OPAQUE, 2) for compression in (1, 7, 8) for planar in (1, 2)],
    *[(8, 1, OPAQUE, kind) for kind in (None, 0, 1)],
]


@pytest.mark.parametrize(("compression", "planar", "alpha", "kind"), FORMS)
def test_planes_and_opaque_alpha_are_read_as_openslide_does(compression, planar, alpha, kind, tmp_path):
    rgb = sound.planes(tmp_path / "a.tiff", compression, planar, alpha, kind)
    found = read(tmp_path / "a.tiff")
    assert_same(found, shown(tmp_path / "a.tiff"))
    assert np.abs(found[0].astype(int) - rgb).max() <= (20 if compression == 7 else 0)
    assert problems(tmp_path / "a.tiff") == ()


@pytest.mark.parametrize("compression", [5, 8, 50000])
@pytest.mark.parametrize("planar", [1, 2])
def test_planes_with_a_predictor_are_read(compression, planar, tmp_path):
    rgb = sound.planes(tmp_path / "a.tiff", compression, planar, OPAQUE, predictor=2)
    found = read(tmp_path / "a.tiff")
    np.testing.assert_array_equal(found[0], rgb)
    assert_same(found, shown(tmp_path / "a.tiff"))


@pytest.mark.gate
@pytest.mark.parametrize("alpha", [None, OPAQUE], ids=["planes", "alpha"])
@pytest.mark.parametrize("svs", [False, True], ids=["tiff", "svs"])
def test_planes_and_alpha_are_converted_by_every_codec(alpha, svs, tmp_path):
    source = tmp_path / ("a.svs" if svs else "a.tiff")
    rgb = sound.planes(source, planar=2 if alpha is None else 1, alpha=alpha, svs=svs)
    for choices in ({"codec": "none"}, {"codec": "jpegxl", "lossless": True}):
        convert(source, tmp_path / "b.tiff", glass="keep", overwrite=True, **choices)
        np.testing.assert_array_equal(read(tmp_path / "b.tiff")[0], rgb)
    for choices in ({}, {"codec": "jpeg"}, {"codec": "webp"}, {"codec": "jpeg2000", "format": "svs"}):
        report = convert(source, tmp_path / "c.tiff", overwrite=True, **choices)
        assert report.verified
    with pytest.raises(
        ConfigError, match=r"cannot be copied: they are (planar RGB|RGB with alpha); take codec jpeg"
    ):
        convert(source, tmp_path / "d.tiff", codec="copy")
    with pytest.raises(ConfigError, match=r"planar RGB|RGB with alpha.*take `restorable=False`"):
        convert(source, tmp_path / "d.tiff", codec="jpegxl", lossless=True, glass="keep", restorable=True)
    with pytest.raises(ConfigError, match="take codec jpegxl with `lossless=True`"):
        convert(source, tmp_path / "d.tiff", codec="jpeg", lossless=True)


def test_a_tile_of_which_one_plane_is_damaged_is_lost_alone(tmp_path):
    sound.planes(tmp_path / "a.tiff", holes=(3,))
    data = bytearray((tmp_path / "a.tiff").read_bytes())
    slide = open_reader(tmp_path / "a.tiff")
    assert slide.info.levels[0].absent == (3,)
    assert len(slide.tile_ranges(0)) == slide.info.levels[0].grid.count == 20
    slide.close()
    with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
        offset, count = tiff.pages[0].dataoffsets[27], tiff.pages[0].databytecounts[27]
    data[offset : offset + count] = bytes(count)
    (tmp_path / "a.tiff").write_bytes(data)
    assert convert(tmp_path / "a.tiff", tmp_path / "b.tiff", codec="jpeg").lost_tiles == 1


@pytest.mark.parametrize("kind", [None, 0, 1, 2])
@pytest.mark.parametrize("compression", [7, 8])
def test_alpha_that_is_not_opaque_is_refused_in_one_line(kind, compression, tmp_path):
    alpha = OPAQUE.copy()
    alpha[50:90, 40:120] = 128
    sound.planes(tmp_path / "a.tiff", compression, 1, alpha, kind)
    for choices in ({}, {"glass": "keep", "codec": "none"}):
        with pytest.raises(UnsupportedSlideError, match="transparent pixels, expected opaque ones"):
            convert(tmp_path / "a.tiff", tmp_path / "b.tiff", **choices)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tiff"]


# What is no bright-field slide of 8 bits

GRAY = LARGEST[..., 1].copy()
KINDS = {
    "RGB, 3 samples of 16 bits": lambda path: sound.of_kind(path, LARGEST.astype("<u2") * 257, 2, 16),
    "CIELab, 3 samples of 8 bits": lambda path: sound.of_kind(path, LARGEST, 8),
    "RGB, 3 floating-point samples of 32 bits": lambda path: sound.of_kind(
        path, LARGEST.astype("<f4"), 2, 32, {339: ("H", [3, 3, 3])}
    ),
    "grayscale, 1 sample of 1 bit": lambda path: sound.of_kind(path, GRAY, 1, 1),
    "YCbCr, 3 samples of 12 bits": lambda path: sound.of_kind(path, LARGEST, 6, 12, compression=7),
    "signed samples of 8 bits, expected unsigned": lambda path: sound.of_kind(
        path, LARGEST, 2, 8, {339: ("H", [2, 2, 2])}
    ),
    "predictor 3": lambda path: sound.of_kind(path, LARGEST, 2, tags={317: ("H", [3])}),
    "JPEG tiles of 1 sample of 8 bits": lambda path: sound.pyramid(
        path, [LARGEST], encode=lambda tile: sound.ENCODERS[7](np.ascontiguousarray(tile[..., 1]))
    ),
    "JPEG tiles of 3 samples of 12 bits": lambda path: sound.pyramid(
        path, [LARGEST], encode=lambda tile: sound.jpeg(tile).replace(b"\x00\x11\x08", b"\x00\x11\x0c", 1)
    ),
    "no photometric": lambda path: sound.write(
        path, [sound.Image((300, 220), [bytes(12288)] * 20, compression=1, tags={262: None})]
    ),
}


@pytest.mark.parametrize("words", KINDS)
def test_other_kinds_of_samples_are_named(words, tmp_path, recwarn):
    KINDS[words](tmp_path / "a.tiff")
    with pytest.raises(UnsupportedSlideError) as caught:
        open_reader(tmp_path / "a.tiff")
    assert words in str(caught.value)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


# Containers


def test_what_can_hold_jpeg_2000_is_said(tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID)
    with pytest.raises(ConfigError, match="take format svs, or codec jpeg") as caught:
        convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="jpeg2000", format="tiff")
    assert "glass" not in str(caught.value)
    with pytest.raises(ConfigError, match="glass empty needs format tiff; take glass blank, or codec jpeg"):
        convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="jpeg2000", glass="empty")


def test_a_source_of_jpeg_2000_is_told_where_it_can_be_copied_to(tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID, encode=sound.jpeg2000, compression=33005)
    with pytest.raises(ConfigError, match="take format svs, or codec jpeg") as caught:
        convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="copy", glass="keep", format="tiff")
    assert "glass" not in str(caught.value)
    with pytest.raises(ConfigError, match="take glass blank, or codec jpeg"):
        convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="copy", glass="empty")
    with pytest.raises(ConfigError, match="opens no svs with jpegxl in it; take format tiff"):
        convert(tmp_path / "a.svs", tmp_path / "b.svs", codec="jpegxl", format="svs")
    convert(tmp_path / "a.svs", tmp_path / "c.svs", codec="copy", glass="keep")
    assert_same(shown(tmp_path / "c.svs"), PYRAMID)


def test_every_tile_of_an_untouched_jpeg_level_is_the_source_s(tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID)
    slide = open_reader(tmp_path / "a.svs")
    tile = slide.read_encoded_tile(TileIndex(0, 1, 1))
    pixels = tile_format(tile.encoding.compression).decode(tile)
    np.testing.assert_array_equal(shown(tmp_path / "a.svs")[0][64:128, 64:128], pixels)
    slide.close()


def test_a_tile_whose_header_is_damaged_makes_no_slide_of_12_bits(tmp_path):
    sound.pyramid(tmp_path / "a.svs", PYRAMID)
    data = (tmp_path / "a.svs").read_bytes()
    (tmp_path / "a.svs").write_bytes(data.replace(b"\x00\x11\x08", b"\x00\x11\x0c", 1))
    assert convert(tmp_path / "a.svs", tmp_path / "b.svs", codec="jpeg").lost_tiles == 1
