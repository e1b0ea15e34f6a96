"""An archive at lower power: other programs see the source's lower levels, exactly, at their true scale."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests.batch.trees import entries, run, sha256
from tests.command_line import run_command
from tests.conftest import REAL_SLIDES
from tests.drawn import forged
from tests.drawn import levels as drawn
from wsicomp import ConversionConfig
from wsicomp.batch.proof import ProofJob
from wsicomp.conversion.convert import plan_slide
from wsicomp.formats.opening import open_reader, open_tiff
from wsicomp.geometry import Size, TileIndex
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

FINDING = {"segmenter": "threshold", "margin_um": 0}
KINDS = {
    "copy": ("a.svs", {}),
    "glass kept": ("a.svs", {"glass": "keep"}),
    "empty": ("a.tiff", {"glass": "empty"}),
    "jpeg lossless": ("a.svs", {"codec": "jpeg", "lossless": True}),
    "without names": ("a.svs", {"deidentify": True}),
    "more levels": ("a.svs", {"levels": "full"}),
    "jpegxl lossless": ("a.tiff", {"codec": "jpegxl", "lossless": True}),
    "jpegxl with an overview": ("a.tiff", {"codec": "jpegxl", "effort": 1, "overview": "jpeg"}),
}
TILED = [path for path in REAL_SLIDES if path.suffix != ".dcm" and path.stat().st_size < 2e7]
FIRST = 1
"""The level of 20x."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A slide of 40x, 20x and 5x."""
    path = tmp_path_factory.mktemp("power") / "slide.svs"
    form = SyntheticFormat(downsamples=(1, 2, 8), objective_power=40)
    write_slide(path, SyntheticSlide(Size(1600, 1200), seed=5, mpp=0.25), form)
    return path


@pytest.fixture(scope="module", params=KINDS)
def made(request, source, tmp_path_factory):
    """(kind, report, target) of a conversion of each kind."""
    name, options = KINDS[request.param]
    target = tmp_path_factory.mktemp("made") / name
    config = ConversionConfig.of(**FINDING, max_power=20, **options)
    return request.param, wsicomp.convert(source, target, config), target


def copied_tiles(slide):
    """Each tile that is not encoded, with its index in the source."""
    for level, record in zip(slide.provenance.plan.levels, slide.provenance.levels, strict=True):
        if level.reduction == 1:
            there = FIRST + level.source_level
            for row, column in np.argwhere(np.isin(level.actions, ["C", "T"])).tolist():
                if row * level.grid.columns + column not in record.renewed:
                    yield TileIndex(level.number, column, row), TileIndex(there, column, row)


def test_every_tile_of_tissue_is_the_sources_lower_one(made, source):
    kind, report, target = made
    with closing(open_tiff(target)) as after, closing(open_reader(source)) as before:
        tiles = list(copied_tiles(after))
        assert len(tiles) > 4 or kind == "jpegxl with an overview"
        for here, there in tiles:
            level = before.info.levels[there.level]
            assert after.info.levels[here.level].size == level.size
            shown = np.s_[: level.grid.region(here.column, here.row).height, :]
            assert np.array_equal(after.read_tile(here)[shown], before.read_tile(there)[shown])
            if kind not in ("jpeg lossless", "without names"):
                assert after.read_encoded_tile(here).data == before.read_encoded_tile(there).data
    assert report.from_level == FIRST


def shown_tile(slide, index, grid):
    """A tile as OpenSlide shows it, at a whole pixel of level 0."""
    region, downsample = grid.region(index.column, index.row), slide.level_downsamples[index.level]
    assert downsample.is_integer()
    place = int(region.x * downsample), int(region.y * downsample)
    return np.asarray(slide.read_region(place, index.level, (region.width, region.height)))


def test_openslide_shows_exactly_the_pixels_of_the_sources_lower_levels(made, source):
    kind, _, target = made
    if kind.startswith("jpegxl"):
        pytest.skip("OpenSlide does not read it, or the overview alone")
    with closing(open_tiff(target)) as slide:
        tiles, levels = list(copied_tiles(slide)), slide.info.levels
    assert len(tiles) > 4
    with openslide.OpenSlide(source) as before, openslide.OpenSlide(target) as after:
        for here, there in tiles:
            grid = levels[here.level].grid
            assert after.level_dimensions[here.level] == before.level_dimensions[there.level]
            assert np.array_equal(shown_tile(after, here, grid), shown_tile(before, there, grid))


def test_other_programs_are_told_the_true_scale(made):
    kind, report, target = made
    with tifffile.TiffFile(target) as tiff:
        page = next(one for one in tiff.pages if one.shape[:2] == (600, 800))
        unit = {2: 25400, 3: 10000}[page.tags["ResolutionUnit"].value]
        assert unit / np.divide(*page.tags["XResolution"].value) == pytest.approx(0.5, rel=1e-4)
        if target.suffix == ".svs":
            assert "|AppMag = 20|" in f"{page.description}|"
            assert "|MPP = 0.5|" in f"{page.description}|"
            assert "800x600 [0,0 800x600]" in page.description
    with wsicomp.open_slide(target) as slide:
        assert slide.dimensions == (800, 600)
        assert float(slide.properties["openslide.mpp-x"]) == 0.5
        assert slide.properties["openslide.objective-power"] == "20"
        if kind != "without names":
            assert slide.properties["aperio.MPP"] == "0.5"
        assert slide.properties["openslide.level-count"] == str(slide.level_count)
    if target.suffix == ".svs":
        pyvips = pytest.importorskip("pyvips", reason="libvips is not installed: pip install pyvips[binary]")
        image = pyvips.Image.tiffload(str(target))
        assert (image.width, image.height) == (800, 600)
        assert (1000 / image.xres, 1000 / image.yres) == pytest.approx((0.5, 0.5), rel=1e-4)
    if not kind.startswith("jpegxl"):
        with openslide.OpenSlide(target) as shown:
            assert float(shown.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-4)
            if target.suffix == ".svs":
                assert float(shown.properties["openslide.objective-power"]) == 20
    assert report.power == 20


def level_by_tifffile(path, size):
    """The pixels of the tiled image of this size."""
    with tifffile.TiffFile(path) as tiff:
        shapes = {page.shape[1::-1]: page for page in tiff.pages if page.is_tiled}
        return shapes[size].asarray()


@pytest.mark.slides
@pytest.mark.gate
@pytest.mark.parametrize("path", TILED, ids=lambda path: path.name)
def test_the_lower_levels_of_a_real_slide_are_exactly_what_they_were(path, tmp_path):
    with openslide.OpenSlide(path) as before:
        sizes, stated = before.level_dimensions, before.properties.get("openslide.mpp-x")
        downsamples = before.level_downsamples
    if len(sizes) == 1:
        pytest.skip("it has one level")
    for first in range(1, len(sizes)):
        target = tmp_path / f"{first}{'.svs' if path.suffix == '.svs' else '.tiff'}"
        wsicomp.convert(path, target, ConversionConfig.of(from_level=first, glass="keep"))
        for size in sizes[first:]:
            assert np.array_equal(level_by_tifffile(target, size), level_by_tifffile(path, size))
        with openslide.OpenSlide(target) as after:
            assert after.level_dimensions == sizes[first:]
            found = after.properties.get("openslide.mpp-x")
            assert (found is None) == (stated is None)
            if stated is not None:
                expected = float(stated) * downsamples[first]
                assert float(found) == pytest.approx(expected, rel=2e-3), (
                    "OpenSlide's own is of rounded sizes"
                )


def test_locations_are_those_of_the_first_level(source, tmp_path):
    config = ConversionConfig.of(from_level=1, glass="keep")
    wsicomp.convert(source, tmp_path / "a.svs", config)
    with wsicomp.open_slide(tmp_path / "a.svs") as ours, openslide.OpenSlide(source) as theirs:
        here = ours.read_region((600, 400), 0, (90, 80))
        assert np.array_equal(np.asarray(here), np.asarray(theirs.read_region((1200, 800), 1, (90, 80))))


def test_it_passes_verify_against_its_source(made, source):
    found = wsicomp.verify(made[2], source)
    assert found.problems == ()


def test_it_says_what_is_gone(source, tmp_path):
    code, out, _ = run_command(
        "convert", source, tmp_path / "a.svs", "--max-power", "20", "--segmenter", "threshold"
    )
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0].endswith("format svs, from level 1 on (20x)")
    assert "tissue: exact bytes, from level 1 on (20x)" in lines
    assert "reversible: no" in lines
    assert "note: it begins at level 1 of the source (20x): 1 finer level left out for good" in lines
    _, out, _ = run_command("verify", tmp_path / "a.svs", "--against", source)
    assert out.splitlines()[0].endswith(f", as made from {source}, from level 1 on")
    _, out, _ = run_command("info", tmp_path / "a.svs")
    assert "begins at level 1 of what was scanned: finer levels are gone" in out
    code, out, _ = run_command(
        *("convert", source, tmp_path / "b.svs", "--from-level", "2", "--codec", "jpeg"),
        *("--segmenter", "threshold", "--dry-run"),
    )
    assert code == 0
    assert "LOSSY, jpeg (quality 90), from level 2 on (5x); SSIM not measured" in out
    code, out, err = run_command("convert", source, tmp_path / "b.svs", "--max-power", "10")
    assert (code, out) == (2, "")
    assert err == (
        f"wsicomp: {source}: the source has 40x, 20x, 5x, no level at 10x; "
        "take a --max-power of 5 to begin there, or leave --max-power out\n"
    )
    assert not (tmp_path / "b.svs").exists()


def test_a_mask_is_drawn_on_the_sources_level_0(source, tmp_path):
    outline = [[0, 0], [1024, 0], [1024, 1200], [0, 1200], [0, 0]]
    mask = {"type": "Polygon", "coordinates": [outline]}
    (tmp_path / "mask.geojson").write_text(json.dumps(mask))
    config = ConversionConfig.of(from_level=1, mask=tmp_path / "mask.geojson", margin_um=0)
    report = wsicomp.convert(source, tmp_path / "a.svs", config)
    assert report.tissue_fraction == pytest.approx(1024 / 1600, abs=0.01)
    plan = plan_slide(source, config.changed(codec="jpeg"))
    assert (plan.levels[0].actions[:, :2] == "E").all(), "512 px are two tiles, whole in the outline"


def test_a_larger_result_never_brings_the_finer_levels_back(tmp_path):
    form = SyntheticFormat(container="tiff", downsamples=(1, 2), quality=5, objective_power=None)
    write_slide(tmp_path / "s.tiff", SyntheticSlide(Size(600, 400), seed=1), form)
    config = ConversionConfig.of(from_level=1, codec="none", glass="keep", keep_if_larger="copy")
    config = config.changed(codec="jpeg", quality=100)
    report = wsicomp.convert(tmp_path / "s.tiff", tmp_path / "t.tiff", config)
    assert report.target_bytes > report.source_bytes
    assert not report.is_source
    with openslide.OpenSlide(tmp_path / "t.tiff") as shown:
        assert shown.dimensions == (300, 200)


def test_a_conversion_can_be_lowered_once_more_and_is_held_against_both(source, tmp_path):
    once, twice = tmp_path / "once.svs", tmp_path / "twice.svs"
    wsicomp.convert(source, once, ConversionConfig.of(**FINDING, from_level=1))
    report = wsicomp.convert(once, twice, ConversionConfig.of(**FINDING, from_level=1))
    assert report.from_level == 2
    assert report.power == 5
    for behind in (once, source):
        assert wsicomp.verify(twice, behind).problems == ()
    wsicomp.convert(once, tmp_path / "again.svs", ConversionConfig.of(**FINDING))
    for behind in (once, source):
        assert wsicomp.verify(tmp_path / "again.svs", behind).problems == ()


def test_names_on_a_level_that_would_come_first_are_not_let_through(tmp_path):
    """A level is proved by the finer ones, though they are left out."""
    source = tmp_path / "slide.svs"
    full = drawn.scene(drawn.WIDTH, drawn.HEIGHT, 0)
    low = drawn.reduced(full, 4)
    low[20:40, 20:80] = 0
    drawn.write(source, [(one, {"description": drawn.aperio(one.shape[1::-1])}) for one in (full, low)])
    with pytest.raises(wsicomp.UnsupportedSlideError, match="may name somebody; begin at another"):
        wsicomp.convert(source, tmp_path / "t.svs", forged.LOWER.changed(deidentify=True))
    assert not (tmp_path / "t.svs").exists()


def draw_tree(folder, count=2):
    folder.mkdir()
    for seed in range(count):
        forged.draw_tissue(folder / f"{seed}.svs", seed)


def test_a_batch_makes_them_knows_them_again_and_takes_them_on(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tree(source)
    config = forged.COPIED.changed(max_power=10)
    assert run(source, target, config).converted == 2
    before = {path.name: sha256(path) for path in target.glob("*.svs")}
    assert run(source, target, config).converted == 0
    (target / ".wsicomp" / "ledger.sqlite").unlink()
    assert run(source, target, config).adopted == 2
    assert all(entry.adopted for entry in entries(target).values())
    assert {path.name: sha256(path) for path in target.glob("*.svs")} == before
    with pytest.raises(wsicomp.ConfigError, match="max_power is not given, was 10"):
        run(source, target, forged.COPIED)
    assert run(source, target, forged.COPIED, reconvert=True).converted == 2, (
        "the whole slides were asked for"
    )
    with openslide.OpenSlide(target / "0.svs") as shown:
        assert shown.level_count == 2


def test_a_source_goes_only_for_the_level_that_was_asked_for(tmp_path):
    source, target = tmp_path / "slide.svs", tmp_path / "target.svs"
    forged.draw_tissue(source)
    wsicomp.convert(source, target, forged.LOWER)

    def proved(config, path=target):
        job = ProofJob("slide.svs", source, path, sha256(source), sha256(path), True, config, released=True)
        return job.run(lambda *_: None)

    assert proved(forged.LOWER).state == "done"
    outcome = proved(forged.COPIED)
    assert outcome.state == "skipped"
    assert "would make another conversion" in outcome.error
    lie = tmp_path / "lie.svs"
    whole = plan_slide(source, forged.COPIED)
    forged.forge(
        source, lie, forged.Forgery(forged.LOWER, (), lambda plan: replace(plan, digest=whole.digest))
    )
    outcome = proved(forged.COPIED, lie)
    assert outcome.state == "skipped", "its digest is right, and it says honestly that it lacks a level"
    assert "would make another conversion" in outcome.error
