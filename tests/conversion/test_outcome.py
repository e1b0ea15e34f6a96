"""What a conversion says it did to a slide: of a plan, of a finished file, on the command line."""

import json
from contextlib import closing

import numpy as np
import openslide
import pytest

import wsicomp
from tests.command_line import run_command
from tests.drawn import forged
from wsicomp import ConversionConfig
from wsicomp.codecs.quality import ssim
from wsicomp.conversion.convert import plan_slide
from wsicomp.conversion.outcome import Tissue, planned_outcome
from wsicomp.formats.opening import open_reader

KINDS = {
    "copy": ("a.svs", {}, Tissue.BYTES),
    "copy without names": ("a.svs", {"deidentify": True}, Tissue.PIXELS),
    "jpeg lossless": ("a.svs", {"codec": "jpeg", "lossless": True}, Tissue.PIXELS),
    "jpegxl lossless": ("a.tiff", {"codec": "jpegxl", "lossless": True}, Tissue.BYTES),
    "added levels": ("a.svs", {"levels": "full"}, Tissue.BYTES),
    "none": ("a.tiff", {"codec": "none", "format": "tiff"}, Tissue.PIXELS),
    "jpeg": ("a.svs", {"codec": "jpeg", "quality": 60}, Tissue.LOSSY),
    "jpegxl": ("a.tiff", {"codec": "jpegxl", "distance": 2.0, "effort": 1}, Tissue.LOSSY),
    "jpeg2000": ("a.svs", {"codec": "jpeg2000", "psnr": 38.0}, Tissue.LOSSY),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("outcome") / "slide.svs"
    forged.draw_tissue(path)
    return path


def config_of(options, **more):
    return ConversionConfig.of(segmenter="threshold", **options, **more)


@pytest.fixture(scope="module", params=KINDS)
def made(request, source, tmp_path_factory):
    """(kind, report, planned outcome, target) of a conversion of each kind."""
    name, options, _ = KINDS[request.param]
    target = tmp_path_factory.mktemp("made") / name
    report = wsicomp.convert(source, target, config_of(options))
    with closing(open_reader(source)) as slide:
        planned = planned_outcome(plan_slide(source, config_of(options)), slide)
    return request.param, report, planned, target


def test_each_kind_of_conversion_says_what_became_of_tissue(made):
    kind, report, _, _ = made
    assert report.tissue is KINDS[kind][2]
    assert json.loads(json.dumps(report.to_json()))["tissue"] == KINDS[kind][2].value
    assert (report.least_ssim is not None) == (report.tissue is Tissue.LOSSY) == bool(report.ssim_tiles)


def test_a_plan_foretells_the_outcome(made):
    _, report, planned, _ = made
    assert (planned.tissue, planned.lossy_codec) == (report.tissue, report.lossy_codec)
    assert (planned.opens_in, planned.reversible) == (report.opens_in, report.restorable)


def test_exact_tissue_is_exact_by_openslide(made, source):
    kind, report, _, target = made
    if report.tissue is Tissue.LOSSY or kind == "jpegxl lossless":
        pytest.skip("lossy, or OpenSlide does not read it")
    with openslide.OpenSlide(source) as before, openslide.OpenSlide(target) as after:
        center = before.dimensions[0] // 2, before.dimensions[1] // 2
        shown = [np.asarray(slide.read_region(center, 0, (128, 128))) for slide in (before, after)]
    assert np.array_equal(*shown)


def test_the_least_ssim_is_that_of_the_worst_tile_that_was_read_back(source, tmp_path):
    report = wsicomp.convert(
        source, tmp_path / "a.svs", config_of({"codec": "jpeg", "quality": 30}, glass="keep")
    )
    found = []
    with closing(open_reader(source)) as before, closing(open_reader(tmp_path / "a.svs")) as after:
        for number, level in enumerate(before.info.levels):
            for index in level.grid.raster(number):
                size = level.grid.region(index.column, index.row).size
                if min(size.shape) >= 11:
                    part = np.s_[: size.height, : size.width]
                    found.append(ssim(before.read_tile(index)[part], after.read_tile(index)[part]))
    assert report.ssim_tiles == len(found)
    assert report.least_ssim == pytest.approx(min(found))


def test_painted_glass_does_not_count_as_loss(source, tmp_path):
    """A codec that is nearly exact has a least SSIM near 1, though the glass of its tiles is painted."""
    options = {"codec": "jpegxl", "distance": 0.1, "effort": 1, "background": "#000000"}
    report = wsicomp.convert(source, tmp_path / "a.tiff", config_of(options))
    assert sum(level.whitened for level in report.levels)
    assert report.least_ssim > 0.99


def test_what_was_not_verified_is_not_said(source, tmp_path):
    report = wsicomp.convert(source, tmp_path / "a.svs", config_of({"codec": "jpeg"}, verify=False))
    assert (report.tissue, report.least_ssim, report.opens_in) == (Tissue.LOSSY, None, None)
    assert "SSIM not measured" in report.outcome.tissue_text


def test_the_command_says_lossy_first_and_the_outcome_last(source, tmp_path):
    arguments = ("--segmenter", "threshold", "--overwrite")
    code, out, _ = run_command("convert", source, tmp_path / "a.svs", "--codec", "jpeg", *arguments)
    first, *_ = out.splitlines()
    assert code == 0
    assert first.startswith(f"{tmp_path / 'a.svs'}: LOSSY, ")
    labels = [line.strip().partition(":")[0] for line in out.splitlines()]
    place = labels.index("size")
    assert labels[place : place + 4] == ["size", "tissue", "opens in", "reversible"]
    assert set(labels[place + 4 :]) <= {"note", "left out"}
    code, out, _ = run_command("convert", source, tmp_path / "a.svs", *arguments)
    assert "LOSSY" not in out
    assert "tissue: exact bytes" in out


def test_a_dry_run_says_the_outcome_too(source, tmp_path):
    arguments = ("--codec", "jpeg", "--segmenter", "threshold", "--dry-run")
    code, out, _ = run_command("convert", source, tmp_path / "a.svs", *arguments)
    assert code == 0
    assert out.startswith("LOSSY: would write")
    assert "  tissue: LOSSY, jpeg (quality 90); SSIM not measured" in out.splitlines()
    _, text, _ = run_command("convert", source, tmp_path / "a.svs", *arguments, "--json", "-")
    assert json.loads(text)["outcome"]["tissue"] == "lossy"
