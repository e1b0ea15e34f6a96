"""Conversions on the lossless roads, with an overview, and of slides with damaged tiles."""

import json

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.codecs.test_contract import drawn
from tests.command_line import run_command
from tests.conftest import REAL_SLIDES, is_small, slow_unless, trial_size
from tests.drawn import pixels_only
from tests.paths import ROOT
from wsicomp import ConfigError, TileReadError
from wsicomp.codecs.registry import create_transcoder
from wsicomp.config import ConversionConfig, load_preset
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile, TileEncoding
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

MOST = {  # of the source's tile bytes
    "CMU-1-Small-Region.svs": {"jpegxl": 0.72, "jpeg": 0.92},
    "biopsy_pyramid.tif": {"jpegxl": 0.80, "jpeg": 0.92},
    "breast_B4.svs": {"jpegxl": 0.80, "jpeg": 0.92},
    "breast_C2.svs": {"jpegxl": 0.80, "jpeg": 0.92},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("lossless") / "source.svs"
    write_slide(
        path,
        SyntheticSlide(Size(1100, 900), seed=3, fragments=0, dust=False, tissue_fraction=0.2),
        SyntheticFormat(downsamples=(1, 4)),
    )
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A slide of few tiles, for what takes long with each."""
    path = tmp_path_factory.mktemp("small") / "source.svs"
    slide = SyntheticSlide(Size(600, 500), seed=3, fragments=0, dust=False)
    write_slide(path, slide, SyntheticFormat(downsamples=(1, 4)))
    return path


def convert(source, target, **options):
    return wsicomp.convert_slide(source, target, ConversionConfig.of(**({"glass": "keep"} | options)))


def tile_bytes(path):
    with tifffile.TiffFile(path) as tiff:
        return sum(sum(page.databytecounts) for page in tiff.pages if page.is_tiled)


def whole(path, level=0):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))


@pytest.mark.gate
@pytest.mark.slides
@pytest.mark.parametrize("codec", ["jpegxl", "jpeg"])
@pytest.mark.parametrize(
    "slide",
    slow_unless(is_small, [path for path in REAL_SLIDES if path.name in MOST]),
    ids=lambda path: path.name,
)
def test_real_slides_shrink_by_what_was_promised(slide, codec, tmp_path):
    report = convert(slide, tmp_path / "target.tiff", codec=codec, lossless=True)
    assert tile_bytes(tmp_path / "target.tiff") <= MOST[slide.name][codec] * tile_bytes(slide)
    assert all(level.kept == level.copied == 0 for level in report.levels)


@pytest.mark.gate
@pytest.mark.parametrize("glass", ["keep", "white"])
def test_optimised_jpeg_is_the_same_in_every_reader_and_smaller(source, glass, tmp_path):
    report = convert(source, tmp_path / "target.svs", codec="jpeg", lossless=True, glass=glass)
    assert report.container == "svs"
    assert report.levels[0].transcoded > 0
    assert report.target_bytes < report.source_bytes
    before, after = whole(source), whole(tmp_path / "target.svs")
    with tifffile.TiffFile(tmp_path / "target.svs") as tiff:
        pixels = tiff.pages[0].asarray()
    assert np.abs(pixels.astype(int) - after[..., :3]).max() <= 1
    changed = (before != after).any(axis=2)
    assert (after[changed] == 255).all()
    assert changed.any() == (glass == "white")


@pytest.mark.gate
def test_packed_slides_may_lose_their_glass_too(source, tmp_path):
    report = convert(source, tmp_path / "target.tiff", codec="jpegxl", lossless=True, glass="white")
    assert report.levels[0].blank > 0
    before = whole(source)
    with wsicomp.open_slide(tmp_path / "target.tiff") as slide:
        after = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    changed = (before != after).any(axis=2)
    assert changed.any()
    assert (after[changed] == 255).all()


@pytest.mark.gate
def test_an_overview_opens_in_openslide_and_the_whole_in_ours(source, tmp_path):
    target = tmp_path / "target.tiff"
    report = convert(source, target, codec="jpegxl", lossless=True, overview="jpeg")
    assert [level.transcoded > 0 for level in report.levels] == [True, False]
    assert report.levels[1].copied > 0
    with openslide.OpenSlide(target) as theirs, wsicomp.open_slide(target) as ours:
        assert theirs.level_dimensions == ours.level_dimensions[1:]
        assert np.array_equal(whole(target), whole(source, 1))
        mpp = float(ours.properties["openslide.mpp-x"]) * 1100 / 275
        assert float(theirs.properties["openslide.mpp-x"]) == pytest.approx(mpp, rel=1e-3)
        assert np.array_equal(np.asarray(ours.read_region((0, 0), 0, ours.dimensions)), whole(source))
    code, found, _ = run_command("verify", target, "--against", source, "--json")
    assert code == 0
    verdicts = {reader["reader"]: reader["opens"] for reader in json.loads(found)["readers"]}
    assert verdicts["OpenSlide 4.0.1 and later"] == "partly"
    assert verdicts["tifffile"] == "partly"


def test_a_slide_of_one_level_gets_an_overview_of_its_own(tmp_path):
    write_slide(
        tmp_path / "a.tiff",
        SyntheticSlide(Size(1000, 700), seed=1),
        SyntheticFormat("tiff", downsamples=(1,)),
    )
    report = convert(tmp_path / "a.tiff", tmp_path / "b.tiff", codec="jpegxl", effort=3, overview="jpeg")
    assert [(level.width, level.encoded) for level in report.levels] == [(1000, 12), (250, 1)]
    with openslide.OpenSlide(tmp_path / "b.tiff") as slide:
        assert slide.dimensions == (250, 175)


def test_an_overview_is_for_codecs_that_openslide_does_not_read(source, tmp_path):
    with pytest.raises(ConfigError, match="reads codec jpeg itself"):
        convert(source, tmp_path / "a.tiff", codec="jpeg", overview="jpeg")


@pytest.mark.gate
@pytest.mark.parametrize(
    ("options", "container"),
    [
        ({"codec": "jpegxl", "effort": 3}, "tiff"),
        ({"codec": "jpegxl", "quality": 70, "effort": 3}, "tiff"),
        ({"codec": "jpeg2000"}, "svs"),
        ({"codec": "jpeg2000", "rate": 10.0}, "svs"),
        ({"codec": "webp"}, "tiff"),
        ({"codec": "none"}, "tiff"),
    ],
    ids=str,
)
def test_every_codec_converts_and_looks_like_its_source(small, options, container, tmp_path):
    report = convert(small, tmp_path / "a.tiff", **options)
    assert (report.container, report.codec) == (container, options["codec"])
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        for level, size in enumerate(slide.level_dimensions):
            after = np.asarray(slide.read_region((0, 0), level, size)).astype(float)
            error = np.mean((after - whole(small, level)) ** 2)
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > 30


def test_jpeg_2000_opens_in_openslide_whatever_the_source(tmp_path):
    write_slide(
        tmp_path / "a.tiff", SyntheticSlide(Size(600, 400), seed=1), SyntheticFormat("tiff", downsamples=(1,))
    )
    assert convert(tmp_path / "a.tiff", tmp_path / "b.svs", codec="jpeg2000").container == "svs"
    error = np.mean((whole(tmp_path / "a.tiff").astype(float) - whole(tmp_path / "b.svs")) ** 2)
    assert 10 * np.log10(255**2 / error) > 33


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"codec": "jpegxl", "format": "svs"}, "no svs with jpegxl"),
        ({"codec": "jpeg2000", "format": "tiff"}, "format svs alone"),
        ({"codec": "copy", "quality": 80}, "copy takes no `quality`"),
        ({"codec": "webp", "lossless": True}, "take jpegxl or jpeg"),
    ],
)
def test_what_no_reader_could_open_or_no_codec_takes_is_refused(source, options, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        convert(source, tmp_path / "a.tiff", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_quality_that_has_nothing_to_do_is_told(source, tmp_path):
    report = convert(source, tmp_path / "a.svs", quality=80)
    assert report.codec == "copy"
    assert any("quality has nothing to do" in note for note in report.notes)


def test_a_target_is_named_as_a_tiff(source, tmp_path):
    with pytest.raises(ConfigError, match=r"\.svs, \.tif"):
        convert(source, tmp_path / "a.png")


def test_tiles_that_would_not_shrink_stay_as_they_are(tmp_path):
    form = SyntheticFormat(compression="jpeg2000-rgb", downsamples=(1, 4))
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(600, 400), seed=1), form)
    report = convert(tmp_path / "a.svs", tmp_path / "b.svs", codec="jpegxl", lossless=True)
    assert report.codec == "copy"
    assert any("JPEG 2000 RGB, which codec jpegxl cannot repack" in note for note in report.notes)
    assert np.array_equal(whole(tmp_path / "a.svs"), whole(tmp_path / "b.svs"))


@pytest.fixture(scope="module")
def jpeg2000(tmp_path_factory):
    path = tmp_path_factory.mktemp("jpeg2000") / "a.svs"
    form = SyntheticFormat(compression="jpeg2000-rgb", downsamples=(1, 2))
    write_slide(path, SyntheticSlide(Size(600, 400), seed=1), form)
    return path


@pytest.mark.gate
@pytest.mark.parametrize(
    ("options", "told", "instead"),
    [
        ({"overview": "jpeg"}, "format svs alone; take overview none$", {"overview": "none"}),
        (
            {"overview": "jpeg", "format": "svs"},
            "an SVS holds no overview: .*; take overview none$",
            {"overview": "none"},
        ),
        (
            {"overview": "jpeg", "format": "tiff"},
            "take format svs and overview none$",
            {"format": "svs", "overview": "none"},
        ),
        (
            {"overview": "jpeg", "glass": "empty"},
            "glass blank and overview none$",
            {"glass": "white", "overview": "none"},
        ),
        ({"format": "tiff"}, "take format svs, or leave `lossless` out$", {"format": "svs"}),
        ({"format": "tiff"}, "take format svs, or leave `lossless` out$", {"lossless": False}),
    ],
    ids=str,
)
def test_what_is_advised_where_jpeg_2000_stands_in_the_way_works(jpeg2000, options, told, instead, tmp_path):
    given = {"codec": "jpegxl", "lossless": True, "glass": "white", **options}
    with pytest.raises(ConfigError, match=told):
        wsicomp.plan_slide(jpeg2000, ConversionConfig.of(**given))
    assert convert(jpeg2000, tmp_path / "a.tiff", **{**given, **instead}).verified


def test_an_svs_of_jpeg_cannot_have_an_overview(source):
    config = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", overview="jpeg", format="svs")
    with pytest.raises(ConfigError, match="no svs with jpegxl in it; take format tiff"):
        wsicomp.plan_slide(source, config)


def test_low_levels_of_jpeg_2000_are_no_overview(tmp_path):
    form = SyntheticFormat(compression="jpeg2000-rgb", downsamples=(1, 4))
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(600, 400), seed=1), form)
    with pytest.raises(ConfigError, match=r"cannot be lossless: .*; take overview none"):
        convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="jpegxl", lossless=True, overview="jpeg")


@pytest.fixture
def damaged(tmp_path):
    """A slide of 128 px tiles: the header of tile 6 is gone, and tile 9 ends early."""
    path = tmp_path / "damaged.tiff"
    pixels = drawn(Size(640, 512))
    tiles = [
        bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels[y : y + 128, x : x + 128]), level=92))
        for y in range(0, 512, 128)
        for x in range(0, 640, 128)
    ]
    tiles[6] = bytes(8) + tiles[6][8:]
    tiles[9] = tiles[9][: len(tiles[9]) // 2]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter(tiles), shape=pixels.shape, dtype=np.uint8, tile=(128, 128), compression="jpeg",
            photometric="ycbcr", subsampling=(2, 2), metadata=None,
        )  # fmt: skip
    return path


@pytest.mark.parametrize("codec", ["jpegxl", "jpeg"])
def test_damaged_tiles_are_kept_as_they_were_and_counted(damaged, codec, tmp_path):
    report = convert(damaged, tmp_path / "a.tiff", codec=codec, lossless=True)
    assert report.levels[0].kept == 2
    assert report.levels[0].transcoded == 18
    assert report.flawed_tiles == 2
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert np.asarray(slide.read_region((0, 0), 0, (128, 128))).any()
        with pytest.raises(wsicomp.SlideAccessError, match=r"tile \(1, 1\)"):
            slide.read_region((128, 128), 0, (128, 128))


def test_copied_tiles_that_decode_nowhere_are_counted_too(damaged, tmp_path):
    report = convert(damaged, tmp_path / "a.tiff", codec="copy")
    assert report.flawed_tiles == 2


def test_tiles_that_cannot_be_decoded_are_background_and_told(damaged, tmp_path):
    report = convert(damaged, tmp_path / "a.tiff", codec="jpeg")
    assert report.lost_tiles == report.levels[0].lost == 1
    assert report.flawed_tiles == 1
    assert report.levels[0].encoded == 19
    assert any("keep the source" in note for note in report.notes)
    assert (whole(tmp_path / "a.tiff")[128:256, 128:256] == 255).all()
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        with pytest.raises(wsicomp.SlideAccessError, match="look in the source"):
            slide.read_region((128, 128), 0, (10, 10))
        assert np.asarray(slide.read_region((0, 0), 0, (128, 128))).any()
    code, out, _ = run_command("verify", tmp_path / "a.tiff")
    assert code == 0
    assert "level 0 tile (1, 1): could not be decoded" in out
    assert "level 0 tile (4, 1): damaged in the source already" in out


@pytest.mark.parametrize(
    "options", [{"codec": "copy"}, {"codec": "jpegxl", "lossless": True}, {"codec": "jpeg"}]
)
def test_strict_stops_at_the_first_of_them(damaged, options, tmp_path):
    with pytest.raises(TileReadError, match=r"level 0 tile \(1, 1\)"):
        convert(damaged, tmp_path / "a.tiff", strict=True, workers=1, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.tiff"]


def test_a_name_in_a_tile_is_not_packed_where_no_names_are_wanted(tmp_path):
    source = tiffs.write_tiff(tmp_path / "a.tiff", svs=False)
    with tifffile.TiffFile(source) as tiff:
        first = tiff.pages[0].dataoffsets[0]
    data = bytearray(source.read_bytes())
    assert data[first : first + 2] == b"\xff\xd8"
    comment = b"\xff\xfe\x00\x0bDoe, Jane"
    tiles = layouts_with_comment(comment)
    (tmp_path / "b.tiff").write_bytes(tiles)
    convert(tmp_path / "b.tiff", tmp_path / "c.tiff", codec="jpegxl", lossless=True, deidentify=True)
    with wsicomp.open_slide(tmp_path / "c.tiff") as slide:
        assert comment[4:] not in (tmp_path / "c.tiff").read_bytes()
        assert slide.dimensions == (256, 256)


def layouts_with_comment(comment):
    """A slide of one tile, whose JPEG has a comment."""
    import random

    from tests import layouts

    data = bytes(imagecodecs.jpeg8_encode(drawn(Size(256, 256)), level=92, subsampling="420"))
    image = layouts.Image(256, 256, [data[:2] + comment + data[2:]], (256, 256))
    return layouts.lay_out([image], random.Random(0))


@pytest.mark.gate
@pytest.mark.parametrize(
    "preset", sorted((ROOT / "configs/presets").glob("*.toml")), ids=lambda path: path.stem
)
def test_every_preset_converts(preset, small, tmp_path):
    values = load_preset(preset)
    report = wsicomp.convert_slide(
        small, tmp_path / "a.tiff", ConversionConfig.of(**(values | {"overwrite": True}))
    )
    assert report.verified
    assert preset.read_text().startswith("# ")


def test_pixels_of_other_vendors_are_packed_without_loss(tmp_path):
    slide, levels = pixels_only.dicom_pyramid(tmp_path / "dicom", [(600, 400)])
    report = convert(slide, tmp_path / "a.tiff", codec="jpegxl", lossless=True, effort=3)
    assert report.levels[0].encoded > 0
    with wsicomp.open_slide(tmp_path / "a.tiff") as after:
        shown = np.asarray(after.read_region((0, 0), 0, after.dimensions).convert("RGB"))
    assert np.array_equal(shown, levels[0])
    with pytest.raises(ConfigError, match="they are uncompressed DICOM frames"):
        convert(slide, tmp_path / "b.tiff", codec="jpeg", lossless=True)


@pytest.mark.slides
def test_jpeg_of_a_dicom_slide_is_repacked_without_loss(tmp_path):
    slide = next((path for path in REAL_SLIDES if path.name == "camelyon_overview_jpeg.dcm"), None)
    if slide is None:
        pytest.skip("no DICOM slide here")
    report = convert(slide, tmp_path / "a.tiff", codec="jpegxl", lossless=True)
    assert report.levels[0].transcoded > 0
    with wsicomp.open_slide(tmp_path / "a.tiff") as after:
        assert np.array_equal(np.asarray(after.read_region((0, 0), 0, after.dimensions)), whole(slide))


@pytest.mark.gate
def test_glass_of_slides_without_tiles_of_their_own_is_not_painted_where_nothing_may_be_lost(tmp_path):
    slide, _ = pixels_only.dicom_pyramid(tmp_path / "dicom", [(600, 400)])
    report = convert(slide, tmp_path / "a.tiff", codec="jpegxl", lossless=True, effort=1, glass="white")
    assert report.levels[0].whitened == 0


def test_uncompressed_tiles_have_a_size_that_openslide_reads(tmp_path):
    form = SyntheticFormat(tile_px=240, downsamples=(1,))
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(500, 400), seed=1), form)
    convert(tmp_path / "a.svs", tmp_path / "b.tiff", codec="none")
    assert np.array_equal(whole(tmp_path / "a.svs"), whole(tmp_path / "b.tiff"))


@pytest.mark.parametrize("overview", [{"lossless": True}, {"effort": 1}], ids=str)
def test_even_a_small_slide_gets_an_overview(overview, tmp_path):
    form = SyntheticFormat("tiff", downsamples=(1,), tile_px=256)
    write_slide(tmp_path / "a.tiff", SyntheticSlide(Size(500, 300), seed=1), form)
    convert(tmp_path / "a.tiff", tmp_path / "b.tiff", codec="jpegxl", overview="jpeg", **overview)
    with openslide.OpenSlide(tmp_path / "b.tiff") as slide:
        assert slide.dimensions == (125, 75)


@pytest.mark.gate
@pytest.mark.parametrize("way", [{"codec": "copy"}, {"codec": "jpegxl", "lossless": True}], ids=str)
def test_levels_are_added_between_those_that_stay(way, tmp_path):
    form = SyntheticFormat(downsamples=(1, 16), tile_px=128)
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(1100, 900), seed=1), form)
    report = convert(tmp_path / "a.svs", tmp_path / "b.tiff", levels="full", **way)
    assert [level.width for level in report.levels] == [1100, 275, 68]
    assert run_command("verify", tmp_path / "b.tiff", "--against", tmp_path / "a.svs")[0] == 0


@pytest.mark.gate
def test_glass_that_was_taken_out_stays_so_in_a_second_conversion(source, tmp_path):
    plain = {"segmenter": "threshold", "margin_um": 0}
    convert(source, tmp_path / "empty.tiff", glass="empty", **plain)
    convert(source, tmp_path / "white.tiff", codec="jpegxl", lossless=True, glass="white", **plain)
    for name in ("empty.tiff", "white.tiff"):
        report = convert(tmp_path / name, tmp_path / f"{name}.svs", codec="copy")
        assert report.levels[0].blank > 0
        assert report.levels[0].empty == 0
        with wsicomp.open_slide(tmp_path / name) as slide:
            before = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
        after = whole(tmp_path / f"{name}.svs")
        opaque = before[..., 3] == 255
        assert (before == after)[opaque].all()
        if not opaque.all():
            glass = whole(source)[~opaque].mean(axis=0)
            assert np.abs(after[~opaque] - glass).max() <= 5
        names = (name, f"{name}.svs")
        hashes = [wsicomp.open_slide(tmp_path / name).properties["openslide.quickhash-1"] for name in names]
        with openslide.OpenSlide(source) as slide:
            assert slide.properties["openslide.quickhash-1"] not in hashes


@pytest.mark.gate
def test_a_chain_of_conversions_can_be_held_against_its_origin(source, tmp_path):
    convert(source, tmp_path / "a.tiff", codec="jpegxl", lossless=True)
    convert(tmp_path / "a.tiff", tmp_path / "b.svs", codec="copy")
    assert run_command("verify", tmp_path / "b.svs", "--against", source)[0] == 0


@pytest.mark.gate
def test_what_the_optimiser_dies_of_costs_one_tile(tmp_path):
    """Damage can make coefficients that no JPEG may have; the library then ends its process."""
    rng = np.random.default_rng(0)
    tile = bytes(imagecodecs.jpeg8_encode(drawn(Size(256, 256)), level=90, subsampling="420"))
    road = create_transcoder("jpeg")
    encoding = TileEncoding(7, 6, (2, 2))
    for _ in range(trial_size(60, 250)):
        data = bytearray(tile)
        data[int(rng.integers(620, len(data)))] = int(rng.integers(256))
        road.transcode(EncodedTile(bytes(data), encoding, Size(256, 256)))
    assert road.transcode(EncodedTile(tile, encoding, Size(256, 256))) is not None


def test_a_preset_has_a_name(source, tmp_path):
    code, out, _ = run_command("convert", source, tmp_path / "a.tiff", "--preset", "archive-lossless")
    assert code == 0
    assert "restorable" in out
