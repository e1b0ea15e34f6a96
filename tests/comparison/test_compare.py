"""Whole comparisons: files against their figures, samples against files, failures as rows."""

import csv
import io
import json
import math
import os
import shlex
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.metrics import structural_similarity

import wsicomp
from tests.comparison.drawn import BASE, draw_slide, drawn_bytes, quick
from tests.conftest import REAL_SLIDES, SLIDES, slow_unless
from wsicomp.cli import main
from wsicomp.comparison import ComparisonOptions, Rates, Status, compare_slides
from wsicomp.comparison.codec_specs import REFERENCE
from wsicomp.comparison.recommendation import Verdict, recommend
from wsicomp.comparison.results import UnmeasuredSlides
from wsicomp.comparison.tissue_tiles import tissue_tiles
from wsicomp.config import ConversionConfig, load_preset
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.outcome import outcome_of
from wsicomp.errors import ConfigError, TargetExistsError
from wsicomp.formats.opening import open_reader
from wsicomp.progress import Stages
from wsicomp.tissue.findings import find_glass


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(drawn_bytes())
    return path


def test_the_reference_is_jpeg_of_quality_90_in_the_same_tiles_and_levels(slide, tmp_path):
    found = compare_slides([slide], tmp_path / "out", quick("jpeg:90", glass=("keep",), keep_files=True))
    (path,) = (tmp_path / "out/files/001-slide").iterdir()
    assert found.slides[0].reference_bytes == path.stat().st_size
    with tifffile.TiffFile(slide) as source, tifffile.TiffFile(path) as made:
        pages = [[page for page in tiff.pages if page.is_tiled] for tiff in (source, made)]
        assert len(pages[0]) == len(pages[1]) == 2
        for ours, theirs in zip(pages[1], pages[0], strict=True):
            assert ours.shape == theirs.shape
            assert (ours.tilewidth, ours.tilelength) == (theirs.tilewidth, theirs.tilelength)
            assert ours.compression == tifffile.COMPRESSION.JPEG
            assert all(ours.databytecounts)
            assert len(set(ours.dataoffsets)) == len(ours.dataoffsets)  # every tile is stored, glass too
        page = made.pages[0]
        made.filehandle.seek(page.dataoffsets[0])
        stream = page.jpegtables[:-2] + made.filehandle.read(page.databytecounts[0])[2:]
    Image.new("RGB", (16, 16)).save(tmp_path / "q90.jpg", quality=90)
    with Image.open(tmp_path / "q90.jpg") as theirs, Image.open(io.BytesIO(stream)) as ours:
        assert ours.quantization == theirs.quantization  # libjpeg's tables of quality 90
        assert ours.layer == theirs.layer  # and its usual 4:2:0


def test_the_reference_of_a_drawn_slide_has_this_size(slide, tmp_path):
    found = compare_slides([slide], tmp_path / "out", quick("jpeg:90"))
    levels = {row.glass: row.level_bytes for row in found.rows}
    with closing(open_reader(slide)) as source:
        expected = []
        for number, level in enumerate(source.info.levels):
            size = 0
            for index in level.grid.raster(number):
                Image.fromarray(source.read_tile(index)).save(
                    tmp_path / "tile.jpg", quality=90, subsampling="4:2:0", optimize=True
                )
                size += (tmp_path / "tile.jpg").stat().st_size
            # JFIF's 18 bytes, and the quantisation tables with their marker, which the level shares
            expected.append(size - level.grid.count * (18 + 2 * 69))
    assert levels["keep"] == pytest.approx(expected, rel=1e-3)
    assert levels["keep"] == pytest.approx((222_784, 27_937), rel=0.01)


def run_recommended(found):
    """Run the command line of a recommendation as a shell would."""
    command = recommend(found).command
    assert main(shlex.split(command)[1:]) == 0
    return shlex.split(command)


@pytest.mark.gate
@pytest.mark.parametrize(
    ("codecs", "wanted"),
    [
        ("jpeg-lossless", {}),
        ("jpegxl-restorable", {"opens_in": "wsicomp", "reversible": True}),
        ("jpeg:60", {"min_ssim": 0.3}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_command_makes_the_very_file_of_its_row(codecs, wanted, slide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = slide.rename(tmp_path / "a slide's.svs")
    choices = quick(codecs, glass=("keep", "white"), crops=False, **wanted)
    found = compare_slides([named.relative_to(tmp_path)], tmp_path / "out", choices)
    told = recommend(found)
    assert (told.verdict, told.codec) == (Verdict.TAKE, codecs)
    words = run_recommended(found)
    (row,) = [row for row in found.rows if (row.codec, row.glass) == (told.codec, told.glass)]
    made = tmp_path / words[3]
    assert made.stat().st_size == row.target_bytes
    with closing(open_reader(made)) as converted:
        assert outcome_of(converted.provenance, None, (), None).tissue is row.outcome.tissue
        assert outcome_of(converted.provenance, None, (), None).reversible is row.outcome.reversible


@pytest.mark.gate
def test_of_several_slides_a_batch_makes_the_files_of_the_row(slide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.svs", "sub/b [1].svs", "sub/c.svs"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(slide.read_bytes())
    sources = [Path("in/a.svs"), Path("in/sub/b [1].svs")]
    found = compare_slides(sources, tmp_path / "out", quick("jpeg-lossless", glass=("white",), crops=False))
    run_recommended(found)
    made = [path for path in (tmp_path / "in-small").rglob("*.svs") if ".wsicomp" not in path.parts]
    assert sorted(path.name.partition(".")[0] for path in made) == ["a", "b [1]"]
    rows = [row for row in found.rows if row.codec == "jpeg-lossless"]
    assert sorted(path.stat().st_size for path in made) == sorted(row.target_bytes for row in rows)


def recomputed_ssim(source, target):
    """Mean SSIM of the tissue tiles by scikit-image, of what OpenSlide shows of both files."""
    with closing(open_reader(source)) as slide:
        tissue = find_glass(slide, BASE, Stages()).tissue
    with (
        wsicomp.open_slide(target) as made,
        wsicomp.open_slide(source) as before,
        closing(open_reader(target)) as converted,
    ):
        plan = converted.provenance.plan
        found = []
        for index in tissue_tiles(plan.levels, converted.info.size, tissue):
            region = plan.levels[index.level].grid.region(index.column, index.row)
            scale = round(before.level_downsamples[index.level])
            place = (region.x * scale, region.y * scale), index.level, (region.width, region.height)
            pair = [np.asarray(shown.read_region(*place).convert("RGB")) for shown in (before, made)]
            found.append(
                structural_similarity(
                    *pair,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                    data_range=255,
                    channel_axis=2,
                )
            )
    return float(np.mean(found)), float(np.min(found)), len(found)


@pytest.mark.gate
def test_the_csv_is_what_the_files_say(slide, tmp_path):
    out = tmp_path / "out"
    compare_slides([slide], out, quick("copy,jpeg:60,webp:80,jpegxl-lossless", keep_files=True))
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    reference = (out / "files/001-slide/jpeg-90-keep.tiff").stat().st_size
    for row in rows:
        path = out / "files/001-slide" / f"{row['codec'].replace(':', '-')}-{row['glass']}.tiff"
        assert int(row["target_bytes"]) == path.stat().st_size
        assert float(row["reduction"]) == pytest.approx(1 - path.stat().st_size / reference)
        assert float(row["source_reduction"]) == pytest.approx(1 - path.stat().st_size / slide.stat().st_size)
        with tifffile.TiffFile(path) as tiff:
            levels = [
                sum(dict(zip(page.dataoffsets, page.databytecounts, strict=True)).values())
                for page in tiff.pages
                if page.is_tiled
            ]
        assert row["level_bytes"] == " ".join(map(str, levels))
        assert min(float(row["encode_s"]), float(row["read_s"])) > 0
    for codec in ("copy", "jpeg:60", "webp:80"):
        row = next(row for row in rows if (row["codec"], row["glass"]) == (codec, "keep"))
        path = out / "files/001-slide" / f"{codec.replace(':', '-')}-keep.tiff"
        mean, least, count = recomputed_ssim(slide, path)
        assert float(row["ssim"]) == pytest.approx(mean, abs=3e-5)
        assert float(row["least_ssim"]) == pytest.approx(least, abs=3e-5)
        assert int(row["tiles"]) == count > 10
    exact = [row for row in rows if row["codec"] in ("copy", "jpegxl-lossless")]
    assert {(row["ssim"], row["psnr_db"]) for row in exact} == {("1.0", "")}
    values = json.loads((out / "results.json").read_text())
    assert [row["target_bytes"] for row in values["slides"][0]["rows"]] == [
        int(row["target_bytes"]) for row in rows
    ]
    assert values["slides"][0]["rows"][0]["quality"]["bits_per_pixel"] == float(rows[0]["bits_per_pixel"])


@pytest.mark.gate
def test_tissue_is_as_true_without_the_glass(slide, tmp_path):
    """Tiles of pure tissue are the same bytes in every way with glass."""
    out = tmp_path / "out"
    compare_slides([slide], out, quick("jpeg:80", keep_files=True))
    files = [out / f"files/001-slide/jpeg-80-{glass}.tiff" for glass in ("keep", "blank", "empty")]
    with closing(open_reader(slide)) as source:
        found = find_glass(source, BASE, Stages())
    with (
        closing(open_reader(files[0])) as keep,
        closing(open_reader(files[1])) as white,
        closing(open_reader(files[2])) as empty,
    ):
        whole = np.argwhere(found.classes.kinds[0] == 2).tolist()
        assert whole
        for row, column in whole:
            index = wsicomp.geometry.TileIndex(0, column, row)
            assert keep.read_stored(index) == white.read_stored(index) == empty.read_stored(index)


@pytest.mark.gate
def test_without_glass_kept_quality_is_that_of_tissue_all_the_same(slide, tmp_path):
    white = compare_slides([slide], tmp_path / "white", quick("jpeg:80", glass=("blank",)))
    keep = compare_slides([slide], tmp_path / "keep", quick("jpeg:80"))
    assert [(row.codec, row.glass) for row in white.rows] == [("jpeg:90", "keep"), ("jpeg:80", "blank")]
    assert white.rows[1].quality == keep.rows[1].quality
    assert white.rows[1].reduction == keep.rows[2].reduction


@pytest.mark.slow
def test_intervals_hold_what_whole_files_are(tmp_path):
    """12 drawn slides: of every codec and way with glass at least 11 intervals hold the file's size."""
    codecs = "jpeg:70"
    held: dict[tuple[str, str], int] = {}
    widths, reductions = [], []
    for seed in range(12):
        path = draw_slide(
            tmp_path / f"{seed}.svs", seed, (1200, 1100), 0.2 + seed / 40, tile_px=64, quality=60 + seed
        )
        choices = quick(codecs, glass=("keep", "white"))
        whole = compare_slides([path], tmp_path / f"whole-{seed}", choices)
        sample = compare_slides([path], tmp_path / f"sample-{seed}", replace(choices, sample=70, seed=seed))
        for file, row in zip(whole.rows, sample.rows, strict=True):
            assert (file.codec, file.glass) == (row.codec, row.glass)
            inside = row.target_bytes_low <= file.target_bytes <= row.target_bytes_high
            held[row.codec, row.glass] = held.get((row.codec, row.glass), 0) + inside
            widths.append((row.target_bytes_high - row.target_bytes_low) / 2 / file.target_bytes)
            if (row.codec, row.glass) != ("jpeg:90", "keep"):
                reductions.append(row.reduction_low <= file.reduction <= row.reduction_high)
        path.unlink()
    assert min(held.values()) >= 11, held
    assert np.mean(reductions) >= 0.9
    assert np.mean(widths) < 0.04


@pytest.mark.slides
@pytest.mark.slow
def test_intervals_hold_what_whole_files_of_real_slides_are(tmp_path):
    held = total = 0
    for path in REAL_SLIDES:
        if path.name not in ("CMU-1-Small-Region.svs", "biopsy_pyramid.tif", "breast_C2.svs"):
            continue  # `scripts/bench compare` looks at all of them, and at every codec
        choices = quick("copy,jpeg:80", glass=("white",))
        whole = compare_slides([path], tmp_path / path.name, choices)
        sample = compare_slides([path], tmp_path / f"{path.name}-sample", replace(choices, sample=150))
        for file, row in zip(whole.rows, sample.rows, strict=True):
            assert (file.status, file.reason) == (row.status, row.reason)
            if file.status is Status.DONE:
                total += 1
                held += row.target_bytes_low <= file.target_bytes <= row.target_bytes_high
    assert total == 9
    assert held >= 8


@pytest.mark.gate
def test_a_sample_of_everything_is_the_file(slide, tmp_path):
    """Drawn whole there is nothing left to estimate: what remains is a blank tile and digits of JSON."""
    codecs = "copy,jpeg:70,jpegxl-lossless"
    whole = compare_slides([slide], tmp_path / "whole", quick(codecs))
    sample = compare_slides([slide], tmp_path / "sample", quick(codecs, sample=100_000))
    for file, row in zip(whole.rows, sample.rows, strict=True):
        assert row.target_bytes == pytest.approx(file.target_bytes, abs=64)
        assert row.reduction == pytest.approx(file.reduction, abs=1e-3)
        assert row.quality.ssim == pytest.approx(file.quality.ssim, abs=1e-9)
        assert row.quality.bits_per_pixel == pytest.approx(file.quality.bits_per_pixel)
        assert row.quality.worst_tile == file.quality.worst_tile or file.quality.psnr_db is None


@pytest.mark.gate
@pytest.mark.parametrize(
    "codec", slow_unless("jpeg:90".__eq__, ["jpeg:90", "jpegxl:1.0+effort=3", "jpeg2000:37dB", "webp:90"])
)
def test_a_setting_for_a_quality_lands_near_it_on_tiles_held_out(codec, tmp_path):
    path = draw_slide(tmp_path / "slide.svs", 3, (2200, 2000), 0.7, quality=98, subsampling="444")
    choices = quick(codec, glass=("keep",), sample=60, target_ssim=0.95)
    found = compare_slides([path], tmp_path / "out", choices)
    (landing,) = found.slides[0].landings
    assert landing.tiles > 10
    assert landing.held_out_tiles > 10
    assert abs(landing.off) <= 0.003
    assert landing.reaches
    row = next(row for row in found.rows if row.setting)
    assert row.codec == f"{landing.codec} at SSIM 0.95"
    assert row.quality.ssim == pytest.approx(0.95, abs=0.004)
    preset = load_preset(tmp_path / "out" / landing.preset)
    target = tmp_path / "again.tiff"
    report = convert_slide(path, target, ConversionConfig.of(**{**preset, "segmenter": "threshold"}))
    assert report.codec == landing.setting["codec"]


@pytest.mark.slow
def test_a_model_lands_by_its_guard(tmp_path):
    path = draw_slide(tmp_path / "slide.tiff", 3, (1600, 1600), 0.9, container="tiff", compression="none")
    choices = quick("he-compact", glass=("keep",), sample=20, target_ssim=0.966, target_tiles=20)
    found = compare_slides([path], tmp_path / "out", choices)
    (landing,) = found.slides[0].landings
    assert abs(landing.ssim - 0.966) < 0.002
    assert landing.reaches
    assert abs(landing.off) <= 0.012  # on ten tiles


@pytest.mark.gate
def test_like_a_jpeg_each_codec_lands_at_its_mean_and_a_model_at_its_least_too(tmp_path):
    path = draw_slide(tmp_path / "slide.tiff", 3, (1200, 1200), 0.9, container="tiff", compression="none")
    choices = quick("jpeg:50,he-compact:4", glass=("keep",), sample=20, like="jpeg:80", target_tiles=16)
    found = compare_slides([path], tmp_path / "out", choices)
    landings = {landing.codec: landing for landing in found.slides[0].landings}
    assert {landing.like for landing in landings.values()} == {"jpeg:80"}
    assert landings["jpeg"].setting["quality"] == 80
    model = landings["he-compact"]
    assert model.reaches
    assert model.ssim >= model.target_ssim - 0.0005
    assert model.setting["min_ssim"] > 0
    assert {"jpeg like jpeg:80", "he-compact like jpeg:80"} <= {row.codec for row in found.rows}
    preset = load_preset(tmp_path / "out" / model.preset)
    assert preset["quality"] == model.setting["quality"]
    assert "At equal quality: as true as jpeg:80" in (tmp_path / "out/index.html").read_text()


def test_a_quality_is_set_once():
    with pytest.raises(ConfigError, match="leave one of them out"):
        ComparisonOptions.of(like="jpeg:90", target_ssim=0.95)
    with pytest.raises(ConfigError, match="`like` is 'jpeg', expected a codec with its quality"):
        ComparisonOptions.of(like="jpeg")


@pytest.mark.gate
def test_what_is_missing_or_fails_is_a_row_with_its_reason(slide, tmp_path, monkeypatch):
    broken = tmp_path / "broken.svs"
    broken.write_bytes(slide.read_bytes()[:5000])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "models"))
    import torch.hub

    def refused(*_args, **_options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    found = compare_slides([broken, slide], tmp_path / "out", quick("mbt2018-mean:7,none,jpeg:90"))
    assert [bool(part.error) for part in found.slides] == [True, False]
    rows = {(row.codec, row.glass): row for row in found.rows}
    missing = rows["mbt2018-mean:7", "keep"]
    assert missing.status is Status.UNAVAILABLE
    assert "cannot be fetched (no network)" in missing.reason
    assert missing.target_bytes is missing.quality is None
    assert rows["jpeg:90", "empty"].status is Status.DONE
    page = (tmp_path / "out/index.html").read_text()
    assert "cannot be fetched (no network)" in page
    assert "Codecs on 1 slide; 1 failed" in page


@pytest.mark.gate
def test_a_codec_that_breaks_down_costs_its_own_rows(slide, tmp_path, monkeypatch):
    from wsicomp.codecs import webp

    def broken(self, pixels):
        raise RuntimeError("the library is at fault")

    monkeypatch.setattr(webp.Codec, "encode", broken)
    for sample in (None, 40):
        out = tmp_path / f"out-{sample}"
        choices = quick("webp:80,jpeg:90", sample=sample, curve_tiles=4, magnifications=(10.0,), patches=3)
        found = compare_slides([slide], out, choices)
        states = {row.codec: row.status for row in found.rows}
        assert states == {"webp:80": Status.FAILED, "jpeg:90": Status.DONE}
        assert {point.codec for point in found.slides[0].curves} == {"jpeg"}
        assert {row.codec for row in found.slides[0].magnified} == {"jpeg:90"}
        assert {piece.codec for piece in found.slides[0].crops} == {"jpeg:90"}


@pytest.mark.gate
def test_what_openslide_would_not_read_is_unavailable_with_its_reason(slide, tmp_path):
    found = compare_slides([slide], tmp_path / "out", quick("jpeg2000:37dB", sample=40))
    states = {(row.codec, row.glass): row.status for row in found.rows}
    assert states["jpeg2000:37dB", "empty"] is Status.UNAVAILABLE
    assert states["jpeg2000:37dB", "blank"] is Status.DONE


@pytest.mark.gate
def test_magnifications_are_those_that_the_slide_has(slide, tmp_path):
    choices = quick("copy,jpeg:90,webp:80", sample=40, magnifications=(40.0, 20.0, 10.0), patches=6)
    (found,) = compare_slides([slide], tmp_path / "out", choices).slides
    assert found.magnification == pytest.approx(20)
    assert [(row.magnification, row.codec) for row in found.magnified] == [
        (power, codec) for power in (20.0, 10.0) for codec in ("jpeg:90", "webp:80")
    ]
    for row in found.magnified:
        assert 1 <= row.patches <= 6
        assert row.least_saved <= row.saved <= row.most_saved or row.codec == "jpeg:90"
        if row.codec == "jpeg:90":
            assert (row.saved, row.least_saved, row.most_saved) == (0, 0, 0)


@pytest.mark.gate
def test_a_whole_archive_is_counted_and_of_few_slides_there_is_a_range_without_money(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(6):
        draw_slide(folder / f"{number}.svs", number, (400 + 40 * number, 400), 0.5)
    (folder / "other.tif").write_bytes((folder / "0.svs").read_bytes()[:9000])
    choices = quick("jpeg:60", glass=("white",))
    few, everything = (
        compare_slides([folder], tmp_path / str(drawn), choices, drawn=drawn, rates=Rates(1e9, 2))
        for drawn in (3, 20)
    )
    (_, row), (_, truth) = few.archive.rows, everything.archive.rows
    assert (few.archive.slides, few.archive.drawn, len(few.slides)) == (7, 3, 3)
    assert truth.saved_bytes_low == truth.saved_bytes == truth.saved_bytes_high
    done = [slide for slide in everything.slides if not slide.error]
    assert truth.saved_bytes == sum(slide.source_bytes - slide.rows[-1].target_bytes for slide in done)
    assert truth.saved_a_year == pytest.approx(truth.saved_bytes / 1e12 * 1e9)
    assert truth.hours > 0
    assert few.archive.is_rough
    assert (row.saved_bytes, row.target_bytes, row.saved_a_year) == (None, None, None)
    assert few.archive.unmeasured == (UnmeasuredSlides(".tif", 1, 9000),)
    saved = {slide.slide: slide.source_bytes - slide.rows[-1].target_bytes for slide in done}
    parts = [saved[slide.slide] / slide.source_bytes for slide in few.slides]
    rest = few.archive.measured_bytes - sum(slide.source_bytes for slide in few.slides)
    seen = sum(saved[slide.slide] for slide in few.slides)
    assert row.saved_bytes_low == pytest.approx(seen + rest * min(parts), abs=1)
    assert row.saved_bytes_high == pytest.approx(seen + rest * max(parts), abs=1)


@pytest.mark.gate
def test_a_slide_that_fails_saves_an_archive_nothing(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    good = draw_slide(folder / "good.svs", 1, (900, 900))
    (folder / "bad.svs").write_bytes(good.read_bytes()[:3000])
    found = compare_slides([folder], tmp_path / "out", quick("copy", glass=("white",)))
    assert found.archive.failed == 1
    saved = {row.codec: row.saved_bytes for row in found.archive.rows}
    assert saved["copy"] == good.stat().st_size - found.rows[1].target_bytes


def test_results_never_go_where_something_is(slide, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(TargetExistsError, match="not empty"):
        compare_slides([slide], tmp_path / "out", quick())
    with pytest.raises(ConfigError, match="give it without other sources"):
        compare_slides([tmp_path, slide], tmp_path / "new", quick())
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ConfigError, match="has no slide"):
        compare_slides([tmp_path / "hollow"], tmp_path / "new", quick())
    assert not (tmp_path / "new").exists()


@pytest.mark.gate
def test_nothing_is_left_of_the_files(slide, tmp_path):
    before = slide.read_bytes()
    compare_slides([slide], tmp_path / "out", quick("jpeg:90", glass=("keep",), sample=40))
    compare_slides([slide], tmp_path / "whole", quick("jpeg:90", glass=("keep",)))
    assert slide.read_bytes() == before
    for folder in ("out", "whole"):
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert names == {"index.html", "results.csv", "summary.csv", "results.json", "results.md"}


@pytest.mark.gate
@pytest.mark.slides
def test_a_dicom_slide_is_compared_too(tmp_path):
    path = SLIDES / "camelyon_overview_jpeg.dcm"
    found = compare_slides([path], tmp_path / "out", quick("copy,jpeg:90,jpegxl-lossless", sample=40))
    states = {(row.codec, row.glass): row.status for row in found.rows}
    assert states["copy", "keep"] is Status.DONE
    assert states["jpeg:90", "blank"] is Status.DONE
    assert not math.isnan(found.rows[-1].reduction)


def test_the_reference_comes_first_where_it_was_not_asked_for(slide, tmp_path):
    found = compare_slides([slide], tmp_path / "out", quick("copy", sample=40))
    assert (found.rows[0].codec, found.rows[0].glass) == (REFERENCE.label, "keep")
    assert found.rows[0].reduction == 0


@pytest.mark.gate
def test_a_quality_that_no_setting_reaches_is_told(slide, tmp_path):
    choices = quick("webp:90", glass=("keep",), sample=40, target_ssim=0.999)
    found = compare_slides([slide], tmp_path / "out", choices)
    (landing,) = found.slides[0].landings
    assert not landing.reaches
    assert landing.setting["quality"] == 100
    assert [row.codec for row in found.rows if row.setting] == ["webp nearest SSIM 0.999"]
    assert "No setting of this codec comes nearer" in (tmp_path / "out" / landing.preset).read_text()
    assert "no setting comes nearer" in (tmp_path / "out/index.html").read_text()


@pytest.mark.gate
def test_slides_are_summed_up_at_one_quality_whatever_their_settings(tmp_path):
    paths = [
        draw_slide(tmp_path / f"{seed}.svs", seed, (1500, 1300), 0.7, quality=99 - 25 * seed)
        for seed in (0, 1)
    ]
    choices = quick("jpeg:90", glass=("white",), sample=40, target_ssim=0.95)
    found = compare_slides(paths, tmp_path / "out", choices)
    settings = {landing.label for part in found.slides for landing in part.landings}
    assert len(settings) == 2
    (row,) = [row for row in found.summary if "SSIM" in row.codec]
    assert (row.codec, row.slides) == ("jpeg at SSIM 0.95", 2)


def test_too_little_tissue_for_a_setting_is_told(tmp_path):
    path = draw_slide(tmp_path / "small.svs", 1, (600, 500))
    found = compare_slides([path], tmp_path / "out", quick("jpeg:90", glass=("keep",), target_ssim=0.95))
    (row,) = [row for row in found.rows if row.status is Status.UNAVAILABLE]
    assert row.reason.endswith("tissue tiles, expected at least 8 to seek a setting on; take another slide")


@pytest.mark.slow
def test_a_projection_from_samples_is_as_unsure_as_they_are(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(3):
        draw_slide(folder / f"{number}.svs", number, (1500, 1300), 0.5, tile_px=128)
    choices = quick("jpeg:60", glass=("white",), sample=40)
    found = compare_slides([folder], tmp_path / "out", choices)
    row = found.archive.rows[-1]
    assert found.archive.drawn == 3  # all of them
    assert row.saved_bytes_low < row.saved_bytes < row.saved_bytes_high


@pytest.mark.gate
def test_tiles_too_small_for_ms_ssim_have_the_other_figures(tmp_path):
    path = draw_slide(tmp_path / "slide.svs", 1, (1000, 900), 0.6, tile_px=128)
    found = compare_slides([path], tmp_path / "out", quick("jpeg:60", glass=("keep",)))
    quality = found.rows[-1].quality
    assert quality.tiles > 4
    assert quality.ms_ssim is None
    assert 0.8 < quality.ssim < 1


@pytest.mark.gate
def test_slides_of_equal_names_and_names_that_are_no_utf8_are_told_apart(slide, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "slide.svs").write_bytes(slide.read_bytes())
    odd = tmp_path / os.fsdecode(b"caf\xe9.svs")
    odd.write_bytes(slide.read_bytes())
    sources = [*(folder / "slide.svs" for folder in folders), odd]
    found = compare_slides(sources, tmp_path / "out", quick("copy", glass=("keep",), sample=40))
    assert [part.slide for part in found.slides][:2] == ["a/slide.svs", "b/slide.svs"]
    assert not any(part.error for part in found.slides)
    assert "caf" in (tmp_path / "out/index.html").read_text()


@pytest.mark.gate
def test_results_in_an_archive_are_no_slides_of_it(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    draw_slide(folder / "slide.svs", 1, (600, 500))
    for overwrite in (False, True):
        choices = quick("copy", glass=("keep",), keep_files=True)
        found = compare_slides([folder], folder / "look", choices, overwrite=overwrite)
        assert found.archive.slides == 1


@pytest.mark.gate
def test_an_earlier_runs_tables_do_not_stay_beside_a_new_one(slide, tmp_path):
    out = tmp_path / "out"
    compare_slides([slide], out, quick("jpeg:90", sample=40, curve_tiles=4))
    (out / "mine.csv").write_text("mine")
    assert (out / "curves.csv").exists()
    choices = quick("copy", sample=40)
    compare_slides([slide], out, choices, overwrite=True, formats=("json",))
    assert {path.name for path in out.iterdir()} == {"results.json", "mine.csv"}
