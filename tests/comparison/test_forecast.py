"""What `--dry-run` foretells of a conversion, beside what the conversion then is."""

import json

import pytest

import wsicomp
from tests.command_line import run_command
from tests.drawn import forged
from wsicomp import ConversionConfig
from wsicomp.comparison import forecast_conversion
from wsicomp.comparison.overhead import planned_overhead
from wsicomp.comparison.sampled_files import overhead_bytes
from wsicomp.conversion.convert import prepared_slide
from wsicomp.progress import Stages

EXACT = {
    "copy": ("a.svs", {}),
    "keep": ("a.svs", {"glass": "keep"}),
    "empty": ("a.tiff", {"glass": "empty"}),
}
DRAWN = {
    "jpeg": ("a.svs", {"codec": "jpeg", "quality": 70}),
    "lossless jpeg": ("a.svs", {"codec": "jpeg", "lossless": True}),
    "restorable": ("a.tiff", {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}),
    "jpegxl": ("a.tiff", {"codec": "jpegxl", "effort": 1, "distance": 2.0}),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("forecast") / "slide.svs"
    forged.draw_tissue(path)
    return path


def config_of(options):
    return ConversionConfig.of(segmenter="threshold", margin_um=0, **options)


@pytest.mark.parametrize("kind", EXACT)
def test_the_size_of_a_copy_is_counted(source, tmp_path, kind):
    """All but a few bytes: TIFF wants directories at even places."""
    name, options = EXACT[kind]
    found = forecast_conversion(source, config_of(options))
    wsicomp.convert(source, tmp_path / name, config_of(options))
    assert found.made_tiles == 0
    assert found.target_bytes == pytest.approx((tmp_path / name).stat().st_size, abs=50)
    assert found.target_bytes_high - found.target_bytes_low <= 1


@pytest.mark.parametrize("kind", DRAWN)
def test_the_size_of_encoded_tiles_is_near(source, tmp_path, kind):
    """All tiles of so small a slide are made: what is left is the place of directories."""
    name, options = DRAWN[kind]
    found = forecast_conversion(source, config_of(options))
    report = wsicomp.convert(source, tmp_path / name, config_of(options))
    assert found.made_tiles > 0
    assert found.target_bytes == pytest.approx(report.target_bytes, rel=0.01)
    assert found.outcome.tissue is report.tissue


@pytest.mark.parametrize("kind", [kind for kind in (*EXACT, *DRAWN) if kind != "restorable"])
def test_what_a_file_has_besides_its_tiles_is_known_from_its_plan(source, tmp_path, kind):
    config = config_of((EXACT | DRAWN)[kind][1])
    with prepared_slide(source, config, Stages(), None) as (slide, prepared):
        written = overhead_bytes(slide, prepared, config, tmp_path)
        assert planned_overhead(slide, prepared, config) == pytest.approx(written, rel=0.01, abs=500)


def test_nothing_is_written_but_the_picture(source, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    forecast_conversion(source, config_of({"codec": "jpeg"}), audit=tmp_path / "look.png")
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"]


def test_a_dry_run_prints_the_estimate_and_gives_it_as_json(source, tmp_path):
    arguments = (
        "convert",
        source,
        tmp_path / "a.svs",
        "--codec",
        "jpeg",
        "--segmenter",
        "threshold",
        "--dry-run",
    )
    code, out, _ = run_command(*arguments)
    lines = [line.strip() for line in out.splitlines()]
    assert code == 0
    assert any(line.startswith("size: ") and "by 20 tiles that were made" in line for line in lines)
    assert any(line.startswith("about ") and line.endswith(" on this machine") for line in lines)
    estimate = json.loads(run_command(*arguments, "--json", "-")[1])["estimate"]
    assert estimate["target_bytes_low"] <= estimate["target_bytes"] <= estimate["target_bytes_high"]
    assert estimate["source_bytes"] == source.stat().st_size
    assert list(tmp_path.iterdir()) == []
