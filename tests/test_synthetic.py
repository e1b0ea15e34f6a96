import hashlib

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.geometry import Region, Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

SLIDE = SyntheticSlide(Size(2221, 1967), seed=4, fragments=8)
WHOLE = Region(0, 0, 2221, 1967)


def psnr(first, second):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((first.astype(float) - second) ** 2)))


def read(path, level=0):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))


def test_the_same_fields_give_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a.svs", "b.svs"):
        write_slide(tmp_path / name, SyntheticSlide(Size(700, 500), seed=9))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    write_slide(tmp_path / "c.svs", SyntheticSlide(Size(700, 500), seed=10))
    assert len(digests) == 1
    assert hashlib.sha256((tmp_path / "c.svs").read_bytes()).hexdigest() not in digests


@settings(max_examples=20)
@given(st.integers(0, 1800), st.integers(0, 1500), st.integers(1, 420), st.integers(1, 420))
def test_a_region_is_the_crop_of_any_larger_one(x, y, width, height):
    part = Region(x, y, width, height)
    where = np.s_[y : y + height, x : x + width]
    assert (SLIDE.render(part) == whole_picture()[where]).all()
    assert (SLIDE.truth(part) == SLIDE.truth(WHOLE)[where]).all()


_PICTURES = {}


def whole_picture():
    if "whole" not in _PICTURES:
        _PICTURES["whole"] = SLIDE.render(Region(0, 0, 2300, 2000))
    return _PICTURES["whole"]


def test_tissue_is_stained_and_glass_is_not():
    slide = SyntheticSlide(Size(2221, 1967), seed=4, pen=False, dust=False, coverslip=False)
    distance = np.linalg.norm(255 - slide.render(WHOLE).astype(float), axis=2)
    truth = slide.truth(WHOLE)
    assert 0.1 < truth.mean() < 0.6
    assert distance[truth].mean() > 3 * distance[~truth].mean()
    assert np.percentile(distance[~truth], 99) < 60


def test_pen_dust_and_coverslip_are_drawn_and_are_not_tissue():
    clean = SyntheticSlide(SLIDE.size, seed=4, fragments=8, pen=False, dust=False, coverslip=False)
    dirty = np.abs(SLIDE.render(WHOLE).astype(int) - clean.render(WHOLE)).max(axis=2) > 30
    assert dirty.mean() > 0.002
    assert (SLIDE.truth(WHOLE) == clean.truth(WHOLE)).all()


def test_every_fragment_is_in_the_truth_with_about_its_size():
    slide = SyntheticSlide(Size(4000, 3000), seed=2, sections=0, fragments=5)
    truth = slide.truth(Region(0, 0, 4000, 3000))
    for fragment in slide.fragments_drawn:
        assert truth[int(fragment.center_y), int(fragment.center_x)]
    areas = sum((fragment.diameter_um / slide.mpp) ** 2 * np.pi / 4 for fragment in slide.fragments_drawn)
    assert 0.6 * areas < truth.sum() < 1.4 * areas
    assert any(fragment.pale for fragment in slide.fragments_drawn)
    assert all(50 <= fragment.diameter_um <= 500 for fragment in slide.fragments_drawn)


@pytest.mark.parametrize("downsample", [2, 4, 16])
def test_levels_are_what_box_reduction_of_level_0_gives(downsample):
    size = Size(2048, 1920)
    full = SLIDE.render(Region(0, 0, size.width, size.height)).astype(float)
    reduced = full.reshape(
        size.height // downsample, downsample, size.width // downsample, downsample, 3
    ).mean(axis=(1, 3))
    region = Region(0, 0, size.width // downsample, size.height // downsample)
    assert psnr(SLIDE.render(region, downsample), reduced) > 28


FORMS = [
    SyntheticFormat(),
    SyntheticFormat(photometric="rgb", tile_px=240, subsampling="444"),
    SyntheticFormat(subsampling="420", shared_tables=False),
    SyntheticFormat(compression="jpeg2000-rgb"),
    SyntheticFormat(compression="jpeg2000-ycbcr", downsamples=(1, 4)),
    SyntheticFormat(downsamples=(1,), states_mpp=False, label=False, macro=False),
    SyntheticFormat(container="tiff"),
    SyntheticFormat(container="tiff", compression="lzw", bigtiff=True, states_mpp=False),
    SyntheticFormat(container="tiff", compression="deflate", downsamples=(1, 2, 8)),
    SyntheticFormat(container="tiff", compression="none", downsamples=(1,)),
]


@pytest.mark.parametrize(
    "form", FORMS, ids=lambda form: f"{form.container}-{form.compression}-{form.tile_px}"
)
def test_openslide_sees_what_was_drawn(form, tmp_path):
    slide = SyntheticSlide(Size(901, 703), seed=1)
    write_slide(tmp_path / "slide", slide, form)
    with openslide.OpenSlide(tmp_path / "slide") as seen:
        assert seen.properties["openslide.vendor"] == (
            "aperio" if form.container == "svs" else "generic-tiff"
        )
        assert seen.level_count == len(form.downsamples)
        stated = seen.properties.get("openslide.mpp-x")
        assert (float(stated) == pytest.approx(0.5)) if form.states_mpp else (stated is None)
        names = {"thumbnail", "label", "macro"} if form.container == "svs" else set()
        unwanted = {name for name in ("label", "macro") if not getattr(form, name)}
        assert set(seen.associated_images) == names - unwanted
    floor = {"jpeg": 30, "jpeg2000-rgb": 33, "jpeg2000-ycbcr": 28}.get(form.compression, 99)
    assert psnr(read(tmp_path / "slide"), slide.render(Region(0, 0, 901, 703))) > floor


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (300, 200)])
def test_tiny_slides_are_drawn_too(size, tmp_path):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(Size(*size)))
    assert read(tmp_path / "slide.svs").shape == (size[1], size[0], 3)


def test_progress_reaches_its_total(tmp_path):
    seen = []
    write_slide(tmp_path / "s.svs", SyntheticSlide(Size(600, 500)), on_progress=lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1] > 0
