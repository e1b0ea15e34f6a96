"""The drawn slides that other tests stand on: what they promise about pixels, truth and files."""

import dataclasses
import inspect
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from wsicomp.geometry import Region, Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, srgb_profile, write, write_slide

SLIDE = SyntheticSlide(Size(2221, 1967), seed=4)
SMALL = SyntheticSlide(Size(620, 501), seed=7)
WHOLE = Region(0, 0, 2221, 1967)


def whole(slide, downsample=1):
    size = slide.size.reduced(downsample)
    return Region(0, 0, size.width, size.height)


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Each slide is drawn, not copied from one that was drawn before."""
    monkeypatch.setattr(write, "_draw", inspect.unwrap(write._draw))


@pytest.fixture(scope="module")
def picture():
    return SLIDE.render(WHOLE)


@pytest.fixture(scope="module")
def truth():
    return SLIDE.truth(WHOLE)


def psnr(one, other):
    return 10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-6))


def box_reduced(image, downsample):
    rows, columns = image.shape[0] // downsample, image.shape[1] // downsample
    cut = image[: rows * downsample, : columns * downsample].astype(float)
    return cut.reshape(rows, downsample, columns, downsample, -1).mean(axis=(1, 3))


@pytest.mark.gate
def test_the_same_fields_give_the_same_pixels(picture):
    from wsicomp.synthetic.slide import painter_of

    painter_of.cache_clear()
    assert np.array_equal(picture, SLIDE.render(WHOLE))


@pytest.mark.gate
def test_another_seed_gives_another_slide(picture):
    assert psnr(picture, dataclasses.replace(SLIDE, seed=5).render(WHOLE)) < 25


@pytest.mark.parametrize("downsample", [1, 3, 4, 16])
def test_a_region_is_the_crop_of_a_larger_one(downsample):
    size = SLIDE.size.reduced(downsample)
    full, tissue = (
        SLIDE.render(whole(SLIDE, downsample), downsample),
        SLIDE.truth(whole(SLIDE, downsample), downsample),
    )
    part = Region(size.width // 3, size.height // 5, size.width // 2, size.height // 3)
    window = np.s_[part.y : part.y + part.height, part.x : part.x + part.width]
    assert np.array_equal(SLIDE.render(part, downsample), full[window])
    assert np.array_equal(SLIDE.truth(part, downsample), tissue[window])


def test_a_region_may_not_begin_outside_the_slide():
    with pytest.raises(ValueError, match="expected x and y of 0 or more"):
        SLIDE.render(Region(-1, 0, 10, 10))


def test_sections_cover_about_the_wanted_share():
    slide = dataclasses.replace(SLIDE, fragments=0, tissue_fraction=0.4)
    assert slide.truth(whole(slide, 4), 4).mean() == pytest.approx(0.4, abs=0.06)


def test_tissue_deep_inside_is_darker_than_glass(picture, truth):
    deep = cv2.erode(truth.astype(np.uint8), np.ones((31, 31))) > 0
    bare = cv2.dilate(truth.astype(np.uint8), np.ones((31, 31))) == 0
    assert picture[deep].mean() < picture[bare].mean() - 15


def test_glass_without_artefacts_stays_glass():
    slide = dataclasses.replace(SLIDE, pen=False, dust=False, coverslip=False)
    bare = cv2.dilate(slide.truth(WHOLE).astype(np.uint8), np.ones((41, 41))) == 0
    glass = slide.render(WHOLE)[bare]
    assert glass.min() > 215
    assert 0.5 < glass.std(axis=0).mean() < 6


def test_artefacts_darken_glass_and_are_no_tissue(picture, truth):
    clean = dataclasses.replace(SLIDE, pen=False, dust=False, coverslip=False, fragments=0)
    covered = (clean.render(WHOLE).astype(int) - picture).max(axis=2) > 60
    assert (covered & ~truth).sum() > 2000


def test_a_slide_without_tissue_has_none():
    slide = SyntheticSlide(Size(900, 700), sections=0, fragments=0)
    assert not slide.truth(whole(slide)).any()
    assert slide.fragments_drawn == ()


def test_every_fragment_is_in_the_truth_with_about_its_diameter():
    slide = SyntheticSlide(Size(6000, 5000), seed=2, sections=1, tissue_fraction=0.2, fragments=20)
    assert len(slide.fragments_drawn) >= 15
    _, labels = cv2.connectedComponents(slide.truth(whole(slide, 2), 2).astype(np.uint8))
    for fragment in slide.fragments_drawn:
        piece = labels[round(fragment.center_y / 2), round(fragment.center_x / 2)]
        assert piece
        diameter_um = np.sqrt((labels == piece).sum() * 4 / np.pi) * 2 * slide.mpp
        assert diameter_um == pytest.approx(fragment.diameter_um, rel=0.12, abs=2)


def test_fragments_are_small_some_pale_and_some_across_tile_borders():
    slide = SyntheticSlide(Size(12000, 9000), seed=1, fragments=24)
    drawn = slide.fragments_drawn
    assert all(50 <= fragment.diameter_um <= 500 for fragment in drawn)
    assert any(fragment.pale for fragment in drawn)
    assert sum(fragment.center_x % 256 == 0 for fragment in drawn) >= 3


@pytest.mark.parametrize("downsample", [2, 4, 16])
def test_levels_agree_with_the_box_reduced_slide(picture, truth, downsample):
    level = SLIDE.render(whole(SLIDE, downsample), downsample)
    assert psnr(level, box_reduced(picture, downsample)) > 27
    share = box_reduced(truth, downsample)[..., 0]
    same = SLIDE.truth(whole(SLIDE, downsample), downsample) == (share >= 0.5)
    assert same.mean() > 0.97


FORMS = {
    "aperio": SyntheticFormat(),
    "rgb jpeg": SyntheticFormat(photometric="rgb"),
    "420": SyntheticFormat(subsampling="420"),
    "own tables": SyntheticFormat(subsampling="444", shared_tables=False),
    "rgb, own tables": SyntheticFormat(photometric="rgb", shared_tables=False),
    "33005": SyntheticFormat(compression="jpeg2000-rgb"),
    "33003": SyntheticFormat(compression="jpeg2000-ycbcr"),
    "none": SyntheticFormat(compression="none"),
    "lzw": SyntheticFormat(compression="lzw"),
    "deflate": SyntheticFormat(compression="deflate"),
    "tiles of 240": SyntheticFormat(tile_px=240),
    "tiles of 512, bigtiff": SyntheticFormat(tile_px=512, bigtiff=True),
    "generic": SyntheticFormat(container="tiff"),
    "generic rgb": SyntheticFormat(container="tiff", photometric="rgb"),
    "generic, deflate": SyntheticFormat(container="tiff", compression="deflate"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_openslide_reads_what_was_drawn(tmp_path, form):
    path = tmp_path / "slide.bin"
    write_slide(path, SMALL, form)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == (
            "aperio" if form.container == "svs" else "generic-tiff"
        )
        assert slide.level_dimensions == ((620, 501), (155, 125), (38, 31))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        read = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert psnr(read, SMALL.render(whole(SMALL))) > (
        60 if form.compression in {"none", "lzw", "deflate"} else 32
    )


def test_an_svs_has_what_aperio_files_have(tmp_path):
    path = tmp_path / "slide.svs"
    write_slide(path, SMALL, SyntheticFormat(icc_profile=srgb_profile(), objective_power=40))
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.objective-power"] == "40"
        assert slide.properties["aperio.MPP"] == "0.5000"
        assert set(slide.associated_images) == {"label", "macro", "thumbnail"}
        assert slide.associated_images["label"].size == (387, 463)
        assert slide.color_profile is not None
    with tifffile.TiffFile(path) as tiff:
        pages = tiff.pages
        assert pages[0].description.startswith(
            "Aperio Image Library v12.0.0\r\n620x501 [0,0 620x501] (256x256)"
        )
        assert 347 in pages[0].tags
        assert not pages[1].is_tiled
        assert [page.subfiletype for page in pages][-2:] == [1, 9]
        assert [page.description.split("\n")[1] for page in pages][-2:] == ["label 387x463", "macro 1280x431"]


def test_a_generic_tiff_marks_its_reduced_levels(tmp_path):
    path = tmp_path / "slide.tiff"
    write_slide(path, SMALL, SyntheticFormat(container="tiff"))
    with tifffile.TiffFile(path) as tiff:
        assert [page.subfiletype for page in tiff.pages] == [0, 1, 1]
        assert tiff.pages[0].tags["ResolutionUnit"].value == 3
        assert tiff.pages[0].subifds is None


def test_a_file_may_be_silent_about_its_scale(tmp_path):
    form = SyntheticFormat(states_mpp=False, downsamples=(1,), label=False, macro=False, thumbnail=False)
    for container in ("svs", "tiff"):
        path = tmp_path / f"slide.{container}"
        write_slide(path, SMALL, dataclasses.replace(form, container=container))
        with openslide.OpenSlide(path) as slide:
            assert openslide.PROPERTY_NAME_MPP_X not in slide.properties
            assert openslide.PROPERTY_NAME_OBJECTIVE_POWER not in slide.properties
            assert slide.level_count == 1
            assert not slide.associated_images


def test_the_same_slide_is_written_as_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        write_slide(tmp_path / name, SMALL)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_progress_ends_with_all_tiles(tmp_path):
    seen = []
    write_slide(tmp_path / "slide.svs", SMALL, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


@pytest.mark.parametrize("size", [Size(1, 1), Size(300, 200), Size(17, 900)])
def test_tiny_slides_can_be_written_too(tmp_path: Path, size):
    path = tmp_path / "slide.svs"
    write_slide(path, SyntheticSlide(size))
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (size.width, size.height)


@pytest.mark.parametrize(
    "wrong", [{"tile_px": 250}, {"container": "tiff", "compression": "jpeg2000-rgb"}, {"downsamples": (2, 4)}]
)
def test_a_form_that_no_file_can_have_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        SyntheticFormat(**wrong)
