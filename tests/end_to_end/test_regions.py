"""Regions that keep their quality: every pixel of them, as other programs show it, whatever stands beside."""

import json

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

import wsicomp
from tests.conftest import trial_size
from tests.drawn import bombs
from wsicomp import ConfigError, ConversionConfig
from wsicomp.errors import MaskError, VerificationError
from wsicomp.regions.regions import Regions

PAIRS = (
    ("copy", "jpeg:10"),
    ("copy", "jpeg:60"),
    ("jpeg-lossless", "jpeg:30"),
    ("jpegxl-lossless", "jpegxl:3+effort=1"),
)
"""Codecs of regions and of other tissue."""
SUBSAMPLINGS = ("rgb", (1, 1), (2, 1), (2, 2))


def write_slide(path, rng, tile=64, coded=(2, 2), size=(500, 370), quality=90):
    """A generic pyramid of two levels with something to lose everywhere."""
    width, height = size
    with tifffile.TiffWriter(path) as tiff:
        for level in range(2):
            shape = (height >> level, width >> level)
            small = rng.integers(60, 240, (shape[0] // 8 + 1, shape[1] // 8 + 1, 3), np.uint8)
            smooth = np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))
            noisy = smooth.astype(int) + rng.integers(-12, 13, smooth.shape)
            colours = {"outcolorspace": "rgb"} if coded == "rgb" else {}
            tiff.write(
                np.clip(noisy, 0, 255).astype(np.uint8),
                tile=(tile, tile),
                photometric="rgb" if coded == "rgb" else "ycbcr",
                compression="jpeg",
                subsampling=None if coded == "rgb" else coded,
                compressionargs={"level": quality, **colours},
                subfiletype=level,
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def draw_mask(path, rng, size=(500, 370)):
    """A label image of discs at some scale, and where they are in pixels of level 0."""
    by = int(rng.choice([1, 2, 5, 10]))
    rows, columns = size[1] // by, size[0] // by
    y, x = np.mgrid[0:rows, 0:columns]
    mask = np.zeros((rows, columns), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        radius = rng.integers(1, max(2, rows // 6))
        mask[(x - rng.integers(0, columns)) ** 2 + (y - rng.integers(0, rows)) ** 2 <= radius**2] = 1
    Image.fromarray(mask).save(path)
    return np.kron(mask, np.ones((by, by), np.uint8)).astype(bool)


def convert(source, target, **options):
    return wsicomp.convert_slide(source, target, ConversionConfig.of(**options))


def level_pixels(path, level):
    """A level's pixels as OpenSlide shows them, or wsicomp where OpenSlide does not open the file."""
    try:
        opened = openslide.OpenSlide(path)
    except openslide.OpenSlideError:
        opened = wsicomp.open_slide(path)
    with opened as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))


def changed_inside(source, target, mask):
    """Count pixels of the region that differ, over both levels."""
    found = 0
    for level in range(2):
        before, after = (level_pixels(path, level) for path in (source, target))
        rows, columns = before.shape[:2]
        inside = np.zeros((rows, columns), bool)
        y, x = np.nonzero(mask)
        inside[np.minimum(y >> level, rows - 1), np.minimum(x >> level, columns - 1)] = True
        found += int((before != after).any(axis=-1)[inside].sum())
    return found


@pytest.mark.parametrize("seed", range(trial_size(8, 60)))
def test_no_pixel_of_a_region_changes(seed, tmp_path):
    rng = np.random.default_rng(seed)
    coded, tile = SUBSAMPLINGS[seed % 4], int(rng.choice([32, 64, 128]))
    source = write_slide(tmp_path / "slide.tif", rng, tile, coded)
    mask = draw_mask(tmp_path / "mask.png", rng)
    kept, other = PAIRS[seed // 2 % len(PAIRS)]
    config = ConversionConfig.of(
        roi=tmp_path / "mask.png", roi_codec=kept, tissue_codec=other, glass="keep", workers=1
    )
    report = wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    assert changed_inside(source, tmp_path / "out.tif", mask) == 0
    region = next(each for each in report.classes if each.name)
    assert region.is_exact
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=tmp_path / "mask.png").problems == ()


def test_a_tile_too_few_is_caught(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    source = write_slide(tmp_path / "slide.tif", rng)
    draw_mask(tmp_path / "mask.png", rng)
    honest = Regions.of_tiles

    def careless(self, level):
        found = honest(self, level)
        found.reshape(-1)[np.flatnonzero(found)[-1]] = 0
        return found

    monkeypatch.setattr(Regions, "of_tiles", careless)
    config = ConversionConfig.of(roi=tmp_path / "mask.png", tissue_codec="jpeg:10", glass="keep")
    with pytest.raises(VerificationError, match="region-missed"):
        wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    assert not (tmp_path / "out.tif").exists()


def test_regions_of_another_drawing_are_not_kept(tmp_path):
    rng = np.random.default_rng(2)
    source = write_slide(tmp_path / "slide.tif", rng)
    for name, place in (("made", slice(0, 40)), ("asked", slice(300, 340))):
        mask = np.zeros((370, 500), np.uint8)
        mask[place, place] = 1
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    config = ConversionConfig.of(roi=tmp_path / "made.png", tissue_codec="jpeg:10", glass="keep")
    wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    found = wsicomp.verify(tmp_path / "out.tif", source, roi=tmp_path / "asked.png")
    assert {problem.code for problem in found.problems} == {"region-missed"}
    with pytest.raises(ConfigError, match="`against`"):
        wsicomp.verify(tmp_path / "out.tif", roi=tmp_path / "made.png")


@pytest.mark.parametrize("coded", SUBSAMPLINGS)
def test_coarse_tiles_spoil_no_tables_of_their_neighbours(coded, tmp_path):
    """Pillow and libtiff keep tables from one tile to the next."""
    rng = np.random.default_rng(3)
    source = write_slide(tmp_path / "slide.tif", rng, coded=coded)
    draw_mask(tmp_path / "mask.png", rng)
    config = ConversionConfig.of(roi=tmp_path / "mask.png", tissue_codec="jpeg:20", glass="keep")
    wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    shown = level_pixels(tmp_path / "out.tif", 0)
    by_tifffile = tifffile.imread(tmp_path / "out.tif", key=0)
    with Image.open(tmp_path / "out.tif") as image:
        by_pillow = np.asarray(image.convert("RGB"))
    assert np.array_equal(by_tifffile, shown)
    assert np.abs(by_pillow.astype(int) - shown).max() <= 1


def test_what_becomes_no_smaller_is_kept(tmp_path):
    rng = np.random.default_rng(4)
    source = write_slide(tmp_path / "slide.tif", rng, quality=20)
    draw_mask(tmp_path / "mask.png", rng)
    config = ConversionConfig.of(roi=tmp_path / "mask.png", tissue_codec="jpeg:95", glass="keep")
    report = wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    assert [each.codec for each in report.classes] == ["copy", "copy"]
    assert all(each.is_exact for each in report.classes)
    for level in range(2):
        assert np.array_equal(level_pixels(source, level), level_pixels(tmp_path / "out.tif", level))


def test_a_region_s_own_codec_spares_what_it_would_not_make_smaller(tmp_path):
    rng = np.random.default_rng(9)
    source = write_slide(tmp_path / "slide.tif", rng, quality=20)
    draw_mask(tmp_path / "mask.png", rng)
    config = ConversionConfig.of(
        roi=tmp_path / "mask.png", roi_codec="jpeg:95", tissue_codec="jpeg-lossless", glass="keep"
    )
    report = wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    assert all(each.is_exact for each in report.classes)
    assert [each.name for each in report.classes] == ["", "label 1"]
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=tmp_path / "mask.png").problems == ()


def test_each_class_has_its_own_recipe(tmp_path):
    rng = np.random.default_rng(5)
    source = write_slide(tmp_path / "slide.tif", rng)
    corners = {"Tumor": (10, 10), "Stroma": (300, 200)}
    features = [
        {
            "type": "Feature",
            "properties": {"objectType": "annotation", "classification": {"name": name}},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + 90, y], [x + 90, y + 90], [x, y + 90], [x, y]]],
            },
        }
        for name, (x, y) in corners.items()
    ]
    (tmp_path / "drawn.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (tmp_path / "table.toml").write_text('[classes]\nTumor = "copy"\nStroma = "jpeg:70"\n')
    config = ConversionConfig.of(
        roi=tmp_path / "drawn.geojson",
        roi_classes=tmp_path / "table.toml",
        tissue_codec="jpeg:10",
        glass="keep",
    )
    report = wsicomp.convert_slide(source, tmp_path / "out.tif", config)
    outside, tumour, stroma = report.classes
    assert (outside.name, tumour.name, stroma.name) == ("", "Tumor", "Stroma")
    assert tumour.is_exact
    assert not stroma.is_exact
    assert stroma.mean_ssim > outside.mean_ssim
    assert sum(each.area for each in report.classes) == pytest.approx(1)


def test_a_class_in_other_capitals_is_not_lost_among_others(tmp_path):
    rng = np.random.default_rng(10)
    source = write_slide(tmp_path / "slide.tif", rng)
    square = [[10, 10], [90, 10], [90, 90], [10, 90], [10, 10]]
    feature = {
        "type": "Feature",
        "properties": {"classification": {"name": "tumor"}},
        "geometry": {"type": "Polygon", "coordinates": [square]},
    }
    (tmp_path / "drawn.geojson").write_text(json.dumps(feature))
    (tmp_path / "table.toml").write_text('[classes]\nTumor = "copy"\n"*" = "jpeg:10"\n')
    options = {"roi": tmp_path / "drawn.geojson", "roi_classes": tmp_path / "table.toml", "glass": "keep"}
    with pytest.raises(MaskError, match="write both alike"):
        convert(source, tmp_path / "out.tif", **options)


def test_regions_kept_on_large_levels_alone_say_so(tmp_path):
    rng = np.random.default_rng(11)
    source = write_slide(tmp_path / "slide.tif", rng)
    mask = draw_mask(tmp_path / "mask.png", rng)
    options = {"roi": tmp_path / "mask.png", "tissue_codec": "jpeg:10", "glass": "keep"}
    report = convert(source, tmp_path / "out.tif", roi_downsample=1.5, **options)
    assert mask.any()
    assert next(each for each in report.classes if each.name).levels == (0,)
    assert "label 1 on level 0 alone exact" in report.outcome.tissue_text
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=tmp_path / "mask.png").problems == ()


def test_a_lossy_codec_of_regions_copies_what_it_would_not_make_smaller(tmp_path):
    rng = np.random.default_rng(12)
    source = write_slide(tmp_path / "slide.tif", rng, coded="rgb", quality=30)
    draw_mask(tmp_path / "mask.png", rng)
    options = {"roi": tmp_path / "mask.png", "glass": "keep"}
    report = convert(source, tmp_path / "out.tif", roi_codec="jpeg:95", tissue_codec="jpeg:10", **options)
    region = next(each for each in report.classes if each.name)
    assert region.codec == "copy"
    assert region.is_exact


def test_a_plain_copy_keeps_any_region(tmp_path):
    rng = np.random.default_rng(13)
    source = write_slide(tmp_path / "slide.tif", rng)
    draw_mask(tmp_path / "mask.png", rng)
    convert(source, tmp_path / "out.tif", codec="copy", glass="keep")
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=tmp_path / "mask.png").problems == ()


def test_names_of_classes_stay_out_of_a_deidentified_file(tmp_path):
    rng = np.random.default_rng(8)
    source = write_slide(tmp_path / "slide.tif", rng)
    square = [[10, 10], [90, 10], [90, 90], [10, 90], [10, 10]]
    feature = {
        "type": "Feature",
        "properties": {"classification": {"name": "Jane Roe's tumour"}},
        "geometry": {"type": "Polygon", "coordinates": [square]},
    }
    (tmp_path / "drawn.geojson").write_text(json.dumps(feature))
    options = {"roi": tmp_path / "drawn.geojson", "tissue_codec": "jpeg:10", "glass": "keep"}
    report = convert(source, tmp_path / "out.tif", deidentify=True, **options)
    assert [each.name for each in report.classes] == ["", "region 1"]
    assert b"Jane" not in (tmp_path / "out.tif").read_bytes()
    assert "Jane" not in json.dumps(report.to_json())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi_codec": "copy", "tissue_codec": "jpegxl:2"}, "jpegxl of tissue cannot stand beside"),
        ({"roi_codec": "jpegxl-lossless", "tissue_codec": "jpeg:50"}, "here JPEG XL"),
        ({"tissue_codec": "he-fine"}, "neural tiles stand beside no others"),
        ({"tissue_codec": "jpegxl-restorable"}, "only a whole file is restorable"),
        ({"tissue_codec": "jpeg:101"}, "quality"),
        ({"codec": "jpeg"}, "`roi_codec` and `tissue_codec`"),
        ({"roi_offset": "12"}, "the numbers X,Y"),
    ],
)
def test_recipes_that_cannot_stand_together_are_refused_in_a_line(options, message, tmp_path):
    rng = np.random.default_rng(6)
    source = write_slide(tmp_path / "slide.tif", rng)
    draw_mask(tmp_path / "mask.png", rng)
    options |= {"roi": tmp_path / "mask.png", "glass": "keep"}
    with pytest.raises(ConfigError, match=message) as caught:
        convert(source, tmp_path / "out.tif", **options)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_options_of_regions_need_regions():
    with pytest.raises(ConfigError, match="`roi`"):
        ConversionConfig.of(tissue_codec="jpeg:30")


def test_another_drawing_is_another_conversion(tmp_path):
    rng = np.random.default_rng(7)
    source = write_slide(tmp_path / "slide.tif", rng)
    digests = set()
    for _ in range(2):
        draw_mask(tmp_path / "mask.png", rng)
        config = ConversionConfig.of(roi=tmp_path / "mask.png", glass="keep")
        digests.add(wsicomp.plan_slide(source, config).digest)
    assert len(digests) == 2


def write_tiles(path, rng, absent=(), size=(500, 370)):
    """A smooth pyramid in JPEG tiles of 64 px with noise beyond the level's edge, some without bytes."""
    with tifffile.TiffWriter(path) as tiff:
        for level in range(2):
            width, height = size[0] >> level, size[1] >> level
            rows, columns = -(-height // 64), -(-width // 64)
            pixels = rng.integers(0, 255, (rows * 64, columns * 64, 3), np.uint8)
            y, x = np.mgrid[0:height, 0:width] << level
            waves = (200 + 30 * np.sin(x / 9), 150 + 30 * np.cos(y / 7), 180 + 20 * np.sin((x + y) / 11))
            pixels[:height, :width] = np.stack(waves, -1)

            def tiles(pixels=pixels, rows=rows, columns=columns, level=level):
                for row, column in np.ndindex(rows, columns):
                    part = pixels[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64].copy()
                    is_absent = (level, column, row) in absent
                    yield b"" if is_absent else imagecodecs.jpeg8_encode(part, 90, subsampling="420")

            tiff.write(
                tiles(),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(64, 64),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(2, 2),
                subfiletype=level,
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def write_labels(path, **boxes):
    """A label image of boxes, and the table that names them; each is left, top, right, bottom."""
    labels = np.zeros((370, 500), np.uint8)
    for value, (left, top, right, bottom) in enumerate(boxes.values(), 1):
        labels[top:bottom, left:right] = value
    Image.fromarray(labels).save(path)
    return path


def test_a_tile_of_the_wrong_class_is_caught(tmp_path, monkeypatch):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3))
    roi = write_labels(tmp_path / "roi.png", A=(100, 100, 180, 150), B=(100, 160, 350, 300))
    (tmp_path / "t.toml").write_text('[classes]\nA = "copy"\nB = "jpeg:20"\n[values]\nA = 1\nB = 2\n')
    honest = Regions.of_tiles

    def coarser(self, level):
        found = honest(self, level)
        found[found == 1] = 2
        return found

    monkeypatch.setattr(Regions, "of_tiles", coarser)
    with pytest.raises(VerificationError, match="region-missed"):
        convert(
            source,
            tmp_path / "out.tif",
            roi=roi,
            roi_classes=tmp_path / "t.toml",
            tissue_codec="jpeg:30",
            glass="keep",
            workers=1,
        )


@pytest.mark.parametrize("glass", ["white", "empty", "keep"])
def test_a_region_over_tiles_that_the_source_lacks(glass, tmp_path):
    absent = {(0, 6, 4), (0, 7, 4), (0, 6, 5)}
    source = write_tiles(tmp_path / "slide.tif", np.random.default_rng(1), absent)
    roi = write_labels(tmp_path / "roi.png", A=(300, 200, 500, 370))
    Image.fromarray(np.asarray(Image.open(roi)) * 255).save(tmp_path / "tissue.png")
    mask = {} if glass == "keep" else {"mask": tmp_path / "tissue.png"}
    convert(source, tmp_path / "out.tif", roi=roi, tissue_codec="jpeg:20", glass=glass, workers=1, **mask)
    assert changed_inside(source, tmp_path / "out.tif", np.asarray(Image.open(roi)) > 0) == 0
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=roi).problems == ()


def test_tiles_that_are_encoded_to_name_nobody_are_not_said_to_be_exact(tmp_path):
    source = write_tiles(tmp_path / "slide.tif", np.random.default_rng(3))
    inner = write_labels(tmp_path / "inner.png", A=(100, 100, 180, 150))
    edge = write_labels(tmp_path / "edge.png", A=(300, 200, 500, 370))
    options = {"tissue_codec": "jpeg:30", "glass": "keep", "workers": 1, "deidentify": True}
    inside = convert(source, tmp_path / "inner.tif", roi=inner, **options)
    assert inside.outcome.exact_regions == ("region 1",)
    report = convert(source, tmp_path / "edge.tif", roi=edge, **options)
    assert [each.is_exact for each in report.classes if each.name] == [False]
    assert "exact" not in report.outcome.tissue_text


def test_a_file_that_states_no_level_to_keep_regions_on_is_checked_all_the_same(tmp_path):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3))
    drawn = write_labels(tmp_path / "drawn.png", A=(100, 100, 180, 150))
    other = write_labels(tmp_path / "other.png", A=(300, 200, 400, 300))
    target = tmp_path / "out.tif"
    convert(source, target, roi=drawn, tissue_codec="jpeg:30", glass="keep", workers=1)

    def forge(**stated):
        bombs.reforged(target, plan=lambda plan: plan | {"config": plan["config"] | stated})

    forge(roi_downsample=0.001)
    assert "region-missed" in [each.code for each in wsicomp.verify(target, source, roi=other).problems]
    forge(roi_offset="elsewhere")
    with pytest.raises(wsicomp.SlideReadError, match="says of its regions"):
        wsicomp.verify(target, source, roi=drawn)


def test_a_damaged_file_is_a_problem_with_regions_too(tmp_path):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3))
    roi = write_labels(tmp_path / "roi.png", A=(100, 100, 180, 150))
    (tmp_path / "bad.tif").write_bytes(b"II*\0garbage")
    assert [each.code for each in wsicomp.verify(tmp_path / "bad.tif", source, roi=roi).problems] == [
        "unreadable"
    ]


def test_a_class_with_an_endless_name_is_refused_before_a_tile_is_read(tmp_path):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3))
    ring = [[100, 100], [200, 100], [200, 160], [100, 100]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": "x" * 1001},
    }
    (tmp_path / "roi.geojson").write_text(json.dumps(feature))
    with pytest.raises(ConfigError, match="1001 characters, expected at most 1000"):
        convert(source, tmp_path / "out.tif", roi=tmp_path / "roi.geojson", glass="keep")


@pytest.mark.parametrize("offset", ["nan,0", "0,inf", "1", "1,2,3", "a,b"])
def test_an_offset_is_two_finite_numbers(offset):
    with pytest.raises(ConfigError, match="expected the numbers X,Y"):
        ConversionConfig.of(roi="regions.png", roi_offset=offset)


def test_regions_go_with_an_overview_in_jpeg(tmp_path):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3), size=(1500, 1200))
    roi = tmp_path / "roi.png"
    mask = np.zeros((120, 150), np.uint8)
    mask[20:40, 30:60] = 1
    Image.fromarray(mask).save(roi)
    report = convert(
        source,
        tmp_path / "out.tif",
        roi=roi,
        roi_codec="jpegxl-lossless",
        tissue_codec="jpegxl:4+effort=1",
        overview="jpeg",
        glass="keep",
        workers=1,
    )
    assert len(report.levels) > 2
    with openslide.OpenSlide(tmp_path / "out.tif") as overview:
        assert overview.dimensions[0] < 1500
    assert wsicomp.verify(tmp_path / "out.tif", source, roi=roi).problems == ()
    with pytest.raises(ConfigError, match="OpenSlide reads codec copy and jpeg itself"):
        ConversionConfig.of(roi=roi, tissue_codec="jpeg:40", overview="jpeg")


def test_a_margin_goes_around_tissue_as_it_is_found(tmp_path):
    rng = np.random.default_rng(3)
    source = write_slide(tmp_path / "slide.tif", rng)
    mask = np.zeros((370, 500), np.uint8)
    mask[70:120, 70:120] = 255
    Image.fromarray(mask).save(tmp_path / "tissue.png")
    options = {"roi": "tissue", "mask": tmp_path / "tissue.png", "tissue_codec": "jpeg:30", "workers": 1}
    bare = convert(source, tmp_path / "bare.tif", **options)
    wide = convert(source, tmp_path / "wide.tif", roi_margin_um=20, **options)
    tiles = [next(each.tiles for each in report.classes if each.name) for report in (bare, wide)]
    assert tiles[0] < tiles[1]


@pytest.mark.parametrize("option", [{"roi_offset": "1,2"}, {"roi_mpp": 1.0}, {"roi_classes": "t.toml"}])
def test_what_places_a_file_of_regions_is_refused_without_one(option):
    with pytest.raises(ConfigError, match='`roi="tissue"` is none'):
        ConversionConfig.of(roi="tissue", **option)


def test_a_file_with_regions_says_why_its_tiles_are_not_copied_again(tmp_path):
    source = write_slide(tmp_path / "slide.tif", np.random.default_rng(3))
    roi = write_labels(tmp_path / "roi.png", A=(100, 100, 180, 150))
    packed = {
        "roi_codec": "jpegxl-lossless",
        "tissue_codec": "jpegxl:4+effort=1",
        "glass": "keep",
        "workers": 1,
    }
    convert(source, tmp_path / "once.tif", roi=roi, **packed)
    with pytest.raises(ConfigError, match="they are tiles of several recipes"):
        convert(tmp_path / "once.tif", tmp_path / "again.tif", roi=roi)
    convert(tmp_path / "once.tif", tmp_path / "again.tif", roi=roi, **packed)
    mask = np.asarray(Image.open(roi)) > 0
    assert (
        changed_inside(source, tmp_path / "once.tif", mask)
        == changed_inside(source, tmp_path / "again.tif", mask)
        == 0
    )
