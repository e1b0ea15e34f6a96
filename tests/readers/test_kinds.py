"""TIFF of kinds that no scanner writes is shown as OpenSlide and the drawn truth have it, or refused."""

from contextlib import closing

import numpy as np
import openslide
import pytest

import wsicomp
from tests.drawn import kinds
from wsicomp.geometry import Region
from wsicomp.readers import open_slide


def shown_by_us(path, level=0):
    with closing(open_slide(path)) as slide:
        size = slide.info.levels[level].size
        return slide.read_region(level, Region(0, 0, size.width, size.height))


def shown_by_openslide(path, level=0):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[..., :3]


def converted(path, **options):
    target = path.with_name(f"target{path.suffix}")
    config = wsicomp.ConversionConfig(glass="keep", **options)
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
