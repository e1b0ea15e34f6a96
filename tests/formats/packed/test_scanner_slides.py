"""Slides of several files and kinds come back from a pack as OpenSlide knows them."""

import filecmp
import shutil

import numpy as np
import openslide
import pytest

from tests.drawn import scanner_slides
from tests.drawn.dicom_slide import Form, dicom_of
from tests.formats.packed.test_pack import round_trip
from tests.tiffs import write_tiff
from wsicomp.formats.packed import pieces
from wsicomp.formats.packed.container import PackedSlide


def dicom(path):
    """A DICOM series, beside a file of another series."""
    svs = path.with_suffix(".svs")
    write_tiff(svs, 300, 200, photometric="ycbcr", subsampling=(2, 1))
    dicom_of(svs, path.parent / "other", Form())
    first = dicom_of(svs, path.parent, Form(parts=2))
    shutil.move(next((path.parent / "other").iterdir()), path.parent / "of-another-series.dcm")
    shutil.rmtree(path.parent / "other")
    svs.unlink()
    return first


SLIDES = {
    "ndpi": ("hamamatsu", lambda folder: scanner_slides.ndpi(folder / "a.ndpi")),
    "ndpi beyond 65,535 px": ("hamamatsu", lambda folder: scanner_slides.wide_ndpi(folder / "a.ndpi")),
    "vms": ("hamamatsu", lambda folder: scanner_slides.vms(folder / "a.vms")),
    "mrxs": ("mirax", lambda folder: scanner_slides.mrxs(folder / "a.mrxs")),
    "dicom": ("dicom", lambda folder: dicom(folder / "a.dcm")),
}
FILES = {
    "ndpi": ["a.ndpi"],
    "ndpi beyond 65,535 px": ["a.ndpi"],
    "vms": ["a(0,0).jpg", "a(1,0).jpg", "a.vms", "a_macro.jpg", "a_map2.jpg"],
    "mrxs": ["a", "a/Data0000.dat", "a/Data0001.dat", "a/Index.dat", "a/Slidedat.ini", "a.mrxs"],
    "dicom": ["level-0-0.dcm", "level-0-1.dcm"],
}


def shown(path):
    """All that OpenSlide tells of a slide."""
    with openslide.OpenSlide(path) as slide:
        regions = [
            np.asarray(slide.read_region((0, 0), level, [min(side, 2000) for side in size]))
            for level, size in enumerate(slide.level_dimensions)
        ]
        images = {name: np.asarray(image) for name, image in slide.associated_images.items()}
        return dict(slide.properties), regions, images


@pytest.mark.parametrize("kind", SLIDES)
def test_openslide_shows_the_slide_that_came_back_as_it_shows_the_source(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_CUT_FROM_PX", 1 << 18)
    vendor, draw = SLIDES[kind]
    (tmp_path / "in").mkdir()
    path = draw(tmp_path / "in")
    (tmp_path / "in/stranger.txt").write_text("no part of the slide")
    assert openslide.OpenSlide.detect_format(path) == vendor
    report, target = round_trip(path, tmp_path)
    assert report.target_bytes < report.source_bytes
    again = tmp_path / "again" / path.name
    back = sorted(each.relative_to(tmp_path / "again") for each in (tmp_path / "again").rglob("*"))
    assert [str(each) for each in back] == FILES[kind]
    for name in back:
        source = tmp_path / "in" / name
        assert source.is_dir() or filecmp.cmp(source, tmp_path / "again" / name, shallow=False)
    assert report.files == len([each for each in back if (tmp_path / "again" / each).is_file()])
    properties, regions, images = shown(path)
    theirs, their_regions, their_images = shown(again)
    assert theirs == properties
    assert all(map(np.array_equal, regions, their_regions))
    assert images.keys() == their_images.keys()
    assert all(np.array_equal(image, their_images[name]) for name, image in images.items())
    with PackedSlide(target) as slide:
        kinds = {form.kind for form in slide.index.forms}
    assert "intervals" in kinds or kind not in ("ndpi", "ndpi beyond 65,535 px")
