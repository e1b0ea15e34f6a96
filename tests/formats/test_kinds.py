"""TIFF of kinds that no scanner writes is shown as OpenSlide and the drawn truth have it, or refused."""

import json
from contextlib import closing

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests.drawn import kinds
from wsicomp.cli import main
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region


def shown_by_us(path, level=0):
    with closing(open_reader(path)) as slide:
        size = slide.info.levels[level].size
        return slide.read_region(level, Region(0, 0, size.width, size.height))


def shown_by_openslide(path, level=0):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[..., :3]


def converted(path, **options):
    target = path.with_name(f"target{path.suffix}")
    config = wsicomp.ConversionConfig.of(glass="keep", **options)
    return target, wsicomp.convert_slide(path, target, config)


TURNED = [("one.tif", None), ("one.svs", "lzw"), ("one.tif", "deflate"), ("one.svs", "zstd")]


@pytest.mark.parametrize(("name", "compression"), TURNED)
def test_bits_stored_lowest_first_are_read_as_they_are_meant(tmp_path, name, compression):
    truth = kinds.bits_turned(tmp_path / name, compression)
    assert np.array_equal(shown_by_us(tmp_path / name), truth)
    assert np.array_equal(shown_by_us(tmp_path / name, 1), kinds.half(truth))
    if compression != "zstd":
        assert np.array_equal(shown_by_openslide(tmp_path / name), truth)


def test_bits_of_jpeg_are_never_turned(tmp_path):
    kinds.bits_turned(tmp_path / "one.tif", "jpeg")
    assert np.array_equal(shown_by_us(tmp_path / "one.tif"), shown_by_openslide(tmp_path / "one.tif"))
    _, report = converted(tmp_path / "one.tif", codec="copy")
    assert not any("OpenSlide" in note for note in report.notes)


def test_a_conversion_of_turned_bits_shows_the_drawn_truth(tmp_path):
    truth = kinds.bits_turned(tmp_path / "one.tif", "lzw")
    target, report = converted(tmp_path / "one.tif", codec="jpegxl", lossless=True)
    assert np.array_equal(shown_by_us(target), truth)
    assert not any("OpenSlide shows" in note for note in report.notes)


def test_the_label_of_turned_bits_is_carried_as_it_is_meant(tmp_path):
    path = tmp_path / "one.svs"
    label = kinds.picture(64, 64)
    kinds.bits_turned(path, "lzw", label=label)
    target, _ = converted(path)
    with openslide.OpenSlide(target) as slide:
        assert np.array_equal(np.asarray(slide.associated_images["label"])[..., :3], label)


def test_turned_bits_are_not_copied(tmp_path):
    kinds.bits_turned(tmp_path / "one.tif", "deflate")
    with pytest.raises(wsicomp.WsicompError, match="FillOrder 2"):
        converted(tmp_path / "one.tif", codec="copy")


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(
    ("name", "compression"), [("one.svs", "jpeg"), ("one.tif", "jpeg"), ("one.tif", "lzw")]
)
def test_an_orientation_of_levels_is_told_in_one_note(tmp_path, name, compression, orientation, capsys):
    truth = kinds.oriented(tmp_path / name, orientation, compression)
    as_stored = f"says Orientation {orientation} (to be shown"
    assert main(["info", str(tmp_path / name)]) == 0
    told = capsys.readouterr().out
    assert told.count(as_stored) == 1
    assert "take care" not in told
    target, report = converted(tmp_path / name)
    assert [note for note in report.notes if "OpenSlide" in note and as_stored not in note] == []
    assert sum(as_stored in note for note in report.notes) == 1
    if compression == "jpeg":
        assert np.array_equal(shown_by_us(target), shown_by_openslide(tmp_path / name))
    else:
        assert np.array_equal(shown_by_us(tmp_path / name), truth)
    assert np.array_equal(shown_by_us(target), shown_by_openslide(target))


def test_openslide_turns_tiles_that_are_no_jpeg_each_for_itself(tmp_path):
    truth = kinds.oriented(tmp_path / "one.tif", 4, "lzw")
    shown = shown_by_openslide(tmp_path / "one.tif")
    assert np.array_equal(shown[:64], truth[:64][::-1])


@pytest.mark.parametrize("orientation", [1, 0, 9])
def test_an_orientation_that_says_nothing_is_no_note(tmp_path, orientation):
    kinds.oriented(tmp_path / "one.tif", orientation, "jpeg")
    with closing(open_reader(tmp_path / "one.tif")) as slide:
        assert not slide.info.remarks


SHOWN = {
    "PackBits (32773)": kinds.packbits,
    "grayscale, 1 sample of 8 bits": kinds.grey,
    "grayscale, 1 sample of 8 bits, deflate (32946)": kinds.white_is_zero,
    "palette colour, 1 sample of 8 bits": kinds.palette,
    "CMYK, 4 samples of 8 bits": kinds.cmyk,
    "LZW (5)": kinds.ycbcr,
    "RGB, 5 samples of 8 bits": kinds.five_samples,
}


@pytest.mark.parametrize("said", SHOWN)
@pytest.mark.parametrize("name", ["one.tif", "one.svs"])
def test_samples_that_openslide_alone_reads_are_read_as_it_shows_them(tmp_path, said, name, capsys):
    path = tmp_path / name
    truth = SHOWN[said](path)
    shown = shown_by_openslide(path)
    assert np.abs(shown.astype(int) - truth).max() <= 3
    assert np.array_equal(shown_by_us(path), shown)
    assert np.array_equal(shown_by_us(path, 1), shown_by_openslide(path, 1))
    assert main(["info", str(path)]) == 0
    told = capsys.readouterr().out
    assert told.count("read as OpenSlide shows it") == 1
    assert said in told
    target, report = converted(path, codec="jpegxl", lossless=True)
    assert sum("read as OpenSlide shows it" in note for note in report.notes) == 1
    assert np.array_equal(shown_by_us(target), shown)
    with pytest.raises(wsicomp.WsicompError, match="pixels alone"):
        wsicomp.convert_slide(path, tmp_path / "copy.tif", wsicomp.ConversionConfig.of(codec="copy"))


def test_a_label_that_openslide_cannot_read_is_told_and_the_levels_are_read(tmp_path, capsys):
    path = tmp_path / "one.svs"
    grey = kinds.picture()[..., 1]
    kinds.pyramid(path, grey, photometric="minisblack", compression="jpeg", label=grey[:64, :64])
    shown = shown_by_openslide(path)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[2].dataoffsets[0], tiff.pages[2].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    assert main(["info", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["omitted"] == ["a label that OpenSlide cannot read"]
    target, report = converted(path, codec="jpegxl", lossless=True)
    assert any("a label that OpenSlide cannot read" in note for note in report.notes)
    assert np.array_equal(shown_by_us(target), shown)
    assert main(["verify", str(target), "--against", str(path)]) == 0


@pytest.mark.parametrize("draw", [kinds.grey, kinds.five_samples])
def test_codec_auto_encodes_what_cannot_be_copied(tmp_path, draw):
    truth = draw(tmp_path / "one.svs")
    target, _ = converted(tmp_path / "one.svs")
    assert np.abs(shown_by_openslide(target).astype(int) - truth).mean() < 4


def test_grey_jpeg_is_read_as_openslide_shows_it(tmp_path):
    kinds.pyramid(tmp_path / "one.svs", kinds.picture()[..., 1], photometric="minisblack", compression="jpeg")
    assert np.array_equal(shown_by_us(tmp_path / "one.svs"), shown_by_openslide(tmp_path / "one.svs"))


def test_sixteen_bits_stay_refused(tmp_path):
    kinds.sixteen_bits(tmp_path / "one.tif")
    with pytest.raises(wsicomp.UnsupportedSlideError, match="1 sample of 16 bits"):
        open_reader(tmp_path / "one.tif")


def test_a_sample_that_openslide_takes_for_alpha_hides_nothing(tmp_path):
    kinds.five_samples(tmp_path / "one.tif", last=7)
    with pytest.raises(wsicomp.UnsupportedSlideError, match="transparent"):
        open_reader(tmp_path / "one.tif")


@pytest.mark.parametrize(
    ("compression", "said"),
    [("lzma", r"LZMA \(34925\)"), ("jpeg2000", r"JPEG 2000 \(34712\)"), ("png", r"PNG \(34933\)")],
)
def test_a_compression_that_nobody_reads_is_refused_by_its_name(tmp_path, compression, said):
    kinds.pyramid(tmp_path / "one.tif", compression=compression)
    with pytest.raises(wsicomp.UnsupportedSlideError, match=said):
        open_reader(tmp_path / "one.tif")


def test_a_tiled_label_of_grey_is_no_level_and_so_the_slide_stays_refused(tmp_path):
    path = tmp_path / "one.svs"
    kinds.pyramid(path, kinds.picture()[..., 1], photometric="minisblack", tiled_label=True)
    with pytest.raises(wsicomp.UnsupportedSlideError, match="grayscale"):
        open_reader(path)


@pytest.mark.parametrize("name", ["one.tif", "one.svs"])
def test_grey_on_a_dark_ground_is_no_bright_field(tmp_path, name):
    dark = kinds.picture()[..., 1] // 8
    kinds.pyramid(tmp_path / name, dark, photometric="minisblack")
    with pytest.raises(wsicomp.UnsupportedSlideError, match="dark ground, as in fluorescence"):
        open_reader(tmp_path / name)


def test_a_grey_slide_without_identity_keeps_neither_label_nor_words(tmp_path):
    path, grey = tmp_path / "one.svs", kinds.picture()[..., 1]
    kinds.pyramid(path, grey, photometric="minisblack", label=grey[:64, :64])
    _, report = converted(path, deidentify=True)
    assert "label" in report.dropped
    with openslide.OpenSlide(tmp_path / "target.svs") as slide:
        assert "label" not in slide.associated_images


def test_webp_of_transparent_pixels_is_refused(tmp_path):
    kinds.webp_of_alpha(tmp_path / "one.tif", 0)
    with pytest.raises(wsicomp.UnsupportedSlideError, match="transparent pixels, expected opaque"):
        shown_by_us(tmp_path / "one.tif")
    with pytest.raises(wsicomp.UnsupportedSlideError, match="transparent pixels, expected opaque"):
        converted(tmp_path / "one.tif", codec="jpeg")


def test_webp_of_opaque_alpha_is_read(tmp_path):
    truth = kinds.webp_of_alpha(tmp_path / "one.tif", 255)
    assert np.array_equal(shown_by_us(tmp_path / "one.tif"), truth)


def test_info_says_that_openslide_does_not_open_a_slide(tmp_path, capsys):
    kinds.smallest_first(tmp_path / "one.svs")
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(tmp_path / "one.svs")
    assert main(["info", str(tmp_path / "one.svs")]) == 0
    assert "note: OpenSlide cannot open it (" in capsys.readouterr().out
