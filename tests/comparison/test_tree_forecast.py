"""What `batch --dry-run` foretells of a tree, beside what the batch then makes of it."""

import json
from pathlib import Path

import pytest

from tests.batch.trees import run
from tests.command_line import run_command
from tests.drawn import forged
from tests.drawn.dicom_slide import Form, dicom_of
from tests.tiffs import write_tiff
from wsicomp import ConversionConfig, convert_slide
from wsicomp.comparison.tree_forecast import forecast_tree
from wsicomp.formats.discovery import FoundSlide
from wsicomp.progress import no_progress
from wsicomp.text.figures import as_bytes

CONFIG = ConversionConfig.of(segmenter="threshold", margin_um=0)
ARGUMENTS = ("--segmenter", "threshold", "--margin-um", "0")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    for number in range(3):
        forged.draw_tissue(folder / f"slide {number}.svs", number)
    (folder / "broken.svs").write_bytes((folder / "slide 0.svs").read_bytes()[:3000])
    return folder


def forecast(tree, slides, count, config=CONFIG):
    return forecast_tree(tree, slides, [Path(slide.source) for slide in slides], config, count, no_progress)


def found_slides(tree):
    return [FoundSlide(path.name, path.stat().st_size, "") for path in sorted(tree.iterdir())]


def test_every_slide_of_a_small_tree_is_foretold(tree):
    found = forecast(tree, found_slides(tree), 10)
    assert [one.source for one in found.slides] == sorted(path.name for path in tree.iterdir())
    assert [bool(one.error) for one in found.slides] == [True, False, False, False]
    saved = sum(one.saved_bytes for one in found.slides)
    assert (found.saved_bytes_low, found.saved_bytes_high) == (saved, saved)
    assert found.bytes == sum(path.stat().st_size for path in tree.iterdir())


def test_what_nobody_drew_is_not_in_the_total(tree):
    slides = [*found_slides(tree), FoundSlide("other.tiff", 10, "")]
    found = forecast(tree, slides, 2)
    assert len(found.slides) == 2
    assert found.is_rough
    assert found.bytes + found.unmeasured_bytes == sum(slide.bytes for slide in slides)
    assert 0 <= found.saved_bytes_low <= found.saved_bytes_high <= found.bytes


def test_the_dry_run_of_a_batch_is_what_the_batch_then_does(tree, tmp_path):
    out = tmp_path / "out"
    code, text, _ = run_command("batch", tree, out, "--dry-run", "--json", *ARGUMENTS)
    told = json.loads(text)["forecast"]
    assert code == 0
    assert not out.exists()
    code, text, _ = run_command("batch", tree, out, "--jobs", 1, *ARGUMENTS)
    assert code == 1
    for one in told["slides"]:
        assert bool(one["error"]) == (one["source"] == "broken.svs")
        if not one["error"]:
            told_bytes = min(one["estimate"]["target_bytes"], one["estimate"]["source_bytes"])
            assert told_bytes == pytest.approx((out / one["source"]).stat().st_size, abs=50)
            assert one["outcome"]["tissue"] == "exact bytes"


def test_the_dry_run_prints_a_table_and_a_total(tree, tmp_path):
    code, text, _ = run_command("batch", tree, tmp_path / "out", "--dry-run", *ARGUMENTS)
    lines = text.splitlines()
    assert code == 0
    assert "foretold of 4 slides:" in lines
    assert any(line.startswith("  slide 1.svs  ") and "exact bytes" in line for line in lines)
    assert any(line.startswith("  broken.svs  would fail: ") for line in lines)
    assert any(line.startswith("in all: ") and "saved, in about" in line for line in lines)
    _, text, _ = run_command("batch", tree, tmp_path / "out", "--dry-run", "--estimate", 0, *ARGUMENTS)
    assert "foretold" not in text


def test_growth_counts_where_the_source_cannot_or_may_not_take_the_targets_place(tree):
    larger = CONFIG.changed(codec="jpeg", quality=100, glass="keep")
    slides = [slide for slide in found_slides(tree) if slide.source != "broken.svs"]
    copied = forecast(tree, slides, 10, larger)
    assert copied.saved_bytes_high == 0
    assert all(one.found.takes_source for one in copied.slides)
    kept = forecast(tree, slides, 10, larger.changed(keep_if_larger="keep"))
    nameless = forecast(tree, slides, 10, larger.changed(deidentify=True))
    for found in (kept, nameless):
        assert found.saved_bytes_high < 0
        assert not any(one.found.takes_source for one in found.slides)


def test_copied_tiles_of_a_restorable_slide_are_foretold_once(tmp_path):
    (tmp_path / "in").mkdir()
    path = write_tiff(tmp_path / "in/s.svs", 300, 200, compression="aperio_jp2000_rgb")
    archive = ConversionConfig.preset("archive-lossless")
    (one,) = forecast(tmp_path / "in", [FoundSlide("s.svs", path.stat().st_size, "")], 1, archive).slides
    made = convert_slide(path, tmp_path / "made.svs", archive)
    assert sum(level.copied for level in made.levels) == 20
    assert one.found.target_bytes == pytest.approx(made.target_bytes, rel=0.01)


def test_a_series_counts_once_and_growth_is_told_as_growth(tmp_path):
    svs = write_tiff(tmp_path / "x.svs", 300, 200, photometric="ycbcr", subsampling=(2, 1))
    dicom_of(svs, tmp_path / "in", Form(parts=2))
    options = ("--codec", "copy", "--glass", "keep")
    _, text, _ = run_command("batch", tmp_path / "in", tmp_path / "out", "--dry-run", "--json", *options)
    told = json.loads(text)["forecast"]
    result = run(tmp_path / "in", tmp_path / "out", CONFIG.changed(codec="copy", glass="keep"))
    grown = result.target_bytes - result.converted_bytes
    assert grown > 0
    assert -told["saved_bytes_high"] == pytest.approx(grown, abs=10 * 20)  # frames have 8 bytes in front
    _, text, _ = run_command("batch", tmp_path / "in", tmp_path / "new", "--dry-run", *options)
    (line,) = (line for line in text.splitlines() if line.startswith("in all: "))
    percent = f"{-100 * told['saved_bytes_high'] / told['bytes']:.1f} %"
    assert line.startswith(f"in all: {percent} larger than the {as_bytes(told['bytes'])} now, in about")
