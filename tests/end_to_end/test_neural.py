"""Conversions to neural tiles: written, checked, read back, carried for twenty years, refused in words."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from types import ModuleType

import numpy as np
import openslide
import pytest
import tifffile
from openslide.deepzoom import DeepZoomGenerator

import wsicomp
from tests.command_line import command_process
from tests.conftest import REAL_SLIDES, slow_unless
from tests.drawn import forged
from tests.paths import ROOT
from tests.verification.test_verify import edit_provenance
from wsicomp import ConfigError, ConversionConfig, SlideAccessError, SlideReadError, SlideWriteError
from wsicomp.cli import main
from wsicomp.codecs.likeness import find_likeness
from wsicomp.codecs.neural import build, runtime, store
from wsicomp.codecs.neural.build import cannot_run
from wsicomp.codecs.neural.model import create_model, read_model
from wsicomp.codecs.neural.payload import is_payload
from wsicomp.codecs.quality import ssim
from wsicomp.conversion import likeness
from wsicomp.conversion.likeness import with_likeness
from wsicomp.conversion.prepare import plan_flaw, prepare
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Size, TileIndex
from wsicomp.progress import Stages, no_progress
from wsicomp.slide import NEURAL
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.verification.verify import verify_slide

pytestmark = pytest.mark.gate

CODEC = "bmshj2018-factorized"
LAX = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("neural") / "source.svs"
    slide = SyntheticSlide(Size(820, 512), seed=4, sections=1, tissue_fraction=0.5)
    write_slide(path, slide, SyntheticFormat(downsamples=(1, 4)))
    return path


@pytest.fixture(scope="module")
def with_glass(tmp_path_factory):
    """A slide so wide that whole tiles are glass."""
    path = tmp_path_factory.mktemp("wide") / "source.svs"
    slide = SyntheticSlide(Size(1100, 800), seed=4, sections=1, tissue_fraction=0.5)
    write_slide(path, slide, SyntheticFormat(downsamples=(1, 4)))
    return path


def convert(source, target, **options):
    config = ConversionConfig.of(**({"codec": CODEC, "glass": "keep"} | options))
    return wsicomp.convert_slide(source, target, config)


@pytest.fixture(scope="module")
def converted(source):
    target = source.parent / "neural.tiff"
    return target, convert(source, target, **LAX)


@pytest.fixture(scope="module")
def carrying(source):
    """A conversion that carries its model."""
    target = source.parent / "carrying.tiff"
    return target, convert(source, target, embed_model=True, **LAX)


@pytest.fixture(scope="module")
def held(source):
    """A conversion that carries its model and keeps to floors."""
    target = source.parent / "held.tiff"
    return target, convert(source, target, embed_model=True, min_ssim=0.9, max_color_shift=20.0)


@pytest.fixture(scope="module")
def with_overview(source):
    target = source.parent / "overview.tiff"
    return target, convert(source, target, overview="jpeg", **LAX)


@pytest.fixture(scope="module")
def fallen_back(source):
    """A conversion that carries its model, and none of whose tiles needs it."""
    target = source.parent / "fallen back.tiff"
    return target, convert(source, target, embed_model=True, min_ssim=0.9999)


def likenesses(source, target):
    """The SSIM of each tile that lies in its level, of all levels."""
    with closing(open_reader(source)) as first, closing(open_reader(target)) as second:
        return [
            ssim(first.read_tile(index)[:rows, :columns], second.read_tile(index)[:rows, :columns])
            for number, level in enumerate(first.info.levels)
            for index in level.grid.raster(number)
            for rows, columns in [level.grid.region(index.column, index.row).size.shape]
        ]


@pytest.fixture(autouse=True)
def own_models(monkeypatch, tmp_path):
    """No test keeps a model among those of who runs it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def lost(monkeypatch, tmp_path):
    """A machine without any model, as after twenty years."""
    monkeypatch.setattr(store, "_known", {})
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    monkeypatch.delenv("WSICOMP_MODELS", raising=False)


def whole(slide, level=0):
    return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))


def test_a_file_of_neural_tiles_shows_its_source(source, converted):
    target, report = converted
    assert report.verified
    assert report.codec == CODEC
    assert report.model.startswith("he-compact ")
    with openslide.OpenSlide(source) as shown, wsicomp.open_slide(target) as slide:
        assert slide.level_dimensions == shown.level_dimensions
        assert slide.properties["openslide.mpp-x"] == shown.properties["openslide.mpp-x"]
        assert slide.associated_images.keys() == shown.associated_images.keys()
        for level in range(slide.level_count):
            assert ssim(whole(slide, level), whole(shown, level)) > 0.8
        tiles, others = DeepZoomGenerator(slide, 254), DeepZoomGenerator(shown, 254)
        assert tiles.level_tiles == others.level_tiles
        here, there = (t.get_tile(t.level_count - 1, (2, 1)) for t in (tiles, others))
        assert ssim(np.asarray(here), np.asarray(there)) > 0.8


def test_the_tiff_says_what_it_is(converted):
    target, _ = converted
    with tifffile.TiffFile(target) as tiff:
        page = tiff.pages.first
        assert page.tags[259].value == NEURAL
        assert all(is_payload(data) or data[:2] == b"\xff\x0a" for data in stored(target, page))
    with closing(open_reader(target)) as slide:
        model = slide.provenance.plan.model
        found = store.find_model(CODEC, None)
        assert (model["name"], model["sha256"]) == (found.card.name, found.digest)
        assert model["trained_on"] == found.card.trained_on
        assert model["quality"] == found.card.quality
        assert model["embedded"] is False
        options = slide.provenance.plan.levels[0].recipes[0].options
        assert options["model"] == found.digest
        assert options["min_ssim"] == 0.0


def stored(path, page):
    data = path.read_bytes()
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        yield data[offset : offset + count]


def test_a_region_is_the_same_in_one_read_and_in_many(converted):
    with wsicomp.open_slide(converted[0]) as slide:
        region = np.asarray(slide.read_region((100, 80), 0, (700, 500)))
    with wsicomp.open_slide(converted[0]) as slide:
        for y in range(0, 500, 100):
            for x in range(0, 700, 100):
                part = np.asarray(slide.read_region((100 + x, 80 + y), 0, (100, 100))).astype(int)
                assert np.abs(part - region[y : y + 100, x : x + 100]).max() <= 1


def test_the_guard_s_figures_and_what_fell_back_are_in_report_and_file(source, tmp_path, monkeypatch):
    def no_jpeg(tile):
        raise ValueError("as of a source that is none")

    monkeypatch.setattr("wsicomp.codecs.jpegxl.from_jpeg", no_jpeg)
    report = convert(source, tmp_path / "a.tiff", min_ssim=0.99, max_color_shift=3.0)
    with closing(open_reader(tmp_path / "a.tiff")) as slide, closing(open_reader(source)) as original:
        for number, level in enumerate(report.levels):
            found = level.guarded
            record = slide.provenance.levels[number].guarded
            assert found.tiles == level.encoded == record.tiles
            assert found.fell_back == len(found.fell_back_tiles) == len(record.fell_back)
            assert found.least_ssim >= 0.99
            assert found.most_color_shift <= 3
            grid = slide.info.levels[number].grid
            for index in grid.raster(number):
                own, true = slide.read_tile(index), original.read_tile(index)
                assert ssim(own, true) >= 0.99 - 1e-3
                fell_back = index.row * grid.columns + index.column in record.fell_back
                assert not (fell_back and is_payload(slide.read_stored(index)))
    assert sum(level.guarded.fell_back for level in report.levels) > 0


@pytest.mark.parametrize("glass", slow_unless("empty".__eq__, ["white", "empty"]))
def test_glass_goes_as_with_every_codec(with_glass, tmp_path, glass):
    config = {"glass": glass, "segmenter": "threshold", "margin_um": 0, **LAX}
    report = convert(with_glass, tmp_path / "a.tiff", **config)
    level = report.levels[0]
    assert (level.blank if glass == "white" else level.empty) > 0
    with closing(open_reader(tmp_path / "a.tiff")) as slide:
        letter = "B" if glass == "white" else "Z"
        row, column = np.argwhere(slide.provenance.plan.levels[0].actions == letter)[0]
        tile = slide.info.levels[0].tile
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        place = int(column * tile.width), int(row * tile.height)
        glass_there = np.asarray(slide.read_region(place, 0, (8, 8)))
    assert (glass_there == 255).all() if glass == "white" else not glass_there.any()


def test_an_overview_opens_in_openslide(source, with_overview):
    target, report = with_overview
    assert report.levels[1].guarded is None
    with openslide.OpenSlide(target) as slide, openslide.OpenSlide(source) as shown:
        assert slide.dimensions == shown.level_dimensions[1]
        assert ssim(whole(slide), whole(shown, 1)) > 0.95
    with wsicomp.open_slide(target) as slide:
        assert slide.level_count == 2


def test_a_file_that_carries_its_model_opens_where_the_model_is_not(
    source, converted, carrying, tmp_path, lost, monkeypatch
):
    plain, (path, carried) = converted[1], carrying
    shutil.copy(converted[0], tmp_path / "plain.tiff")
    assert carried.target_bytes > plain.target_bytes + 500_000
    monkeypatch.setattr(store, "SHIPPED", ROOT / "models")
    with wsicomp.open_slide(converted[0]) as slide:
        expected = whole(slide)
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    monkeypatch.setattr(store, "_known", {})
    with wsicomp.open_slide(path) as slide:
        assert (whole(slide) == expected).all()
    monkeypatch.setattr(store, "_known", {})
    with closing(open_reader(source)) as slide:
        digest = carried.source_sha256
        assert not verify_slide(path, slide, digest, 2, no_progress).problems
    monkeypatch.setattr(store, "_known", {})
    model = store.SHIPPED
    with pytest.raises(SlideAccessError) as error:
        wsicomp.open_slide(tmp_path / "plain.tiff")
    message = str(error.value)
    assert "he-compact" in message
    assert plain.model.split()[1] in message
    assert str(model) in message
    found = verify_slide(tmp_path / "plain.tiff", None, None, 2, no_progress)
    assert [problem.code for problem in found.problems] == ["model-missing"]
    assert "he-compact" in found.problems[0].message
    flip_a_tile(tmp_path / "plain.tiff")
    problems = verify_slide(tmp_path / "plain.tiff", None, None, 2, no_progress).problems
    assert {problem.code for problem in problems} == {"model-missing", "tile-damaged", "tiles-changed"}


def test_like_a_jpeg_is_no_less_like_the_source_in_the_mean_and_in_the_worst_tile(source, tmp_path):
    theirs = tmp_path / "jpeg.svs"
    wsicomp.convert_slide(source, theirs, ConversionConfig.of(codec="jpeg", quality=90, glass="keep"))
    report = convert(source, tmp_path / "a.tiff", like="jpeg:90", workers=1)
    convert(source, tmp_path / "b.tiff", like="jpeg:90", workers=3)
    assert (tmp_path / "a.tiff").read_bytes() == (tmp_path / "b.tiff").read_bytes()
    theirs, ours = likenesses(source, theirs), likenesses(source, tmp_path / "a.tiff")
    assert np.mean(ours) >= np.mean(theirs) - 1e-5
    assert min(ours) >= min(theirs) - 1e-5
    (note,) = (note for note in report.notes if note.startswith("as like as jpeg:90: on "))
    with closing(open_reader(tmp_path / "a.tiff")) as slide:
        plan = slide.provenance.plan
    options = [dict(recipe.options) for level in plan.levels for recipe in level.recipes]
    assert all(each == options[0] for each in options)
    assert f"tiles take quality {options[0]['quality']} or finer" in note
    assert f"at least {options[0]['min_ssim']:.4f}, which gives" in note
    assert (plan.stated_config["like"], plan.stated_config["min_ssim"]) == ("jpeg:90", None)
    config = ConversionConfig.of(codec=CODEC, glass="keep", like="jpeg:90")
    with closing(open_reader(source)) as slide:
        assert plan_flaw(slide, plan.source.sha256, config, plan) == ""
        other = config.changed(like="jpeg:80")
        assert "its config is not what this conversion has" in plan_flaw(
            slide, plan.source.sha256, other, plan
        )


@pytest.mark.parametrize(("most_px", "expected"), [(1, 1), (3 * 256 * 256, 3)])
def test_a_sample_of_large_tiles_has_few_of_them(source, monkeypatch, most_px, expected):
    taken = []

    def found(name, options, like, sample, of, workers):
        taken.extend(sample)
        return find_likeness(name, options, like, sample[:1], of, workers)

    monkeypatch.setattr(likeness, "_MOST_PX", most_px)
    monkeypatch.setattr(likeness, "find_likeness", found)
    with closing(open_reader(source)) as slide:
        assert slide.info.levels[0].tile == Size(256, 256)
        prepare(slide, ConversionConfig.of(codec=CODEC, glass="keep", like="jpeg:90"), Stages())
    assert len(taken) == expected


def test_like_a_jpeg_of_a_slide_without_tissue_tiles_leaves_the_usual_floors(source):
    with closing(open_reader(source)) as slide:
        plan = prepare(slide, ConversionConfig.of(codec=CODEC, glass="keep"), Stages()).plan
        options = {**plan.levels[0].recipes[0].options, "like": "jpeg:90"}
        levels = [
            replace(forged.other_recipes(level, options=options), actions=np.full_like(level.actions, "B"))
            for level in plan.levels
        ]
        found = with_likeness(slide, replace(plan, levels=tuple(levels)), 1)
    assert found.levels == tuple(levels)
    assert found.notes[-1].startswith("there is no tissue tile to be like jpeg:90 on")


def damage_the_model(path):
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[65453]
        at = tag.valueoffset + tag.count // 2
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_a_carried_model_that_was_damaged_is_told_and_that_of_the_machine_taken(
    source, held, tmp_path, monkeypatch
):
    report = held[1]
    shutil.copy(held[0], tmp_path / "a.tiff")
    damage_the_model(tmp_path / "a.tiff")
    monkeypatch.setattr(store, "_known", {})
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert slide.read_region((0, 0), 0, (600, 300)).size == (600, 300)
    monkeypatch.setattr(store, "_known", {})
    with closing(open_reader(source)) as original:
        found = verify_slide(tmp_path / "a.tiff", original, report.source_sha256, 2, no_progress)
    assert [problem.code for problem in found.problems] == ["model-damaged"]
    assert found.measured is not None
    monkeypatch.setattr(store, "_known", {})
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    with pytest.raises(SlideAccessError, match=r"the model that it carries is damaged.* is not here"):
        wsicomp.open_slide(tmp_path / "a.tiff")


def test_a_carried_model_that_cannot_be_read_is_as_damaged(carrying, tmp_path, monkeypatch):
    path = tmp_path / "a.tiff"
    shutil.copy(carrying[0], path)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[65453]
        place, form = tag.offset, tiff.byteorder
    data = bytearray(path.read_bytes())
    data[place + 8 : place + 12] = (len(data) - 100).to_bytes(4, "little" if form == "<" else "big")
    path.write_bytes(data)
    monkeypatch.setattr(store, "_known", {})
    assert [problem.code for problem in verify_slide(path, None, None, 2, no_progress).problems] == [
        "model-damaged"
    ]


def test_a_carried_model_that_does_not_fit_into_memory_is_not_damaged(carrying, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(runtime, "_networks", {})
    monkeypatch.setitem(build.ARCHITECTURES, CODEC, fail)
    found = verify_slide(carrying[0], None, None, 2, no_progress).problems
    assert [problem.code for problem in found] == ["model-missing"]
    assert "its model cannot run on this machine (MemoryError)" in found[0].message


def test_a_model_that_ships_is_not_kept_again(converted, tmp_path, source):
    report = convert(source, tmp_path / "a.tiff", model="he-fine", **LAX)
    assert not any("WSICOMP_MODELS" in note for note in (*report.notes, *converted[1].notes))
    assert not store.kept_folder().exists()


def test_what_is_written_with_a_model_of_one_s_own_can_be_read_afterwards(
    source, tmp_path, lost, monkeypatch
):
    shipped = read_model(ROOT / "models/he-compact.safetensors")
    own = create_model(
        replace(shipped.card, name="lab/own", trained_on="ours"), shipped.tensors | changed(shipped)
    )
    (tmp_path / "own.safetensors").write_bytes(own.to_bytes())
    options = {"model": str(tmp_path / "own.safetensors"), **LAX}
    carried = convert(source, tmp_path / "carried.tiff", embed_model=True, **options)
    assert not (tmp_path / "data").exists()
    assert not any("WSICOMP_MODELS" in note for note in carried.notes)
    report = convert(source, tmp_path / "a.tiff", **options)
    assert any(f"lab_own-{own.digest[:16]}" in note and "WSICOMP_MODELS" in note for note in report.notes)
    monkeypatch.setattr(store, "_known", {})
    (tmp_path / "own.safetensors").unlink()
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert slide.read_region((0, 0), 0, (600, 300)).size == (600, 300)
    kept = tmp_path / "data/wsicomp/models" / f"lab_own-{own.digest[:16]}.safetensors"
    assert read_model(kept).digest == own.digest
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("no folder")
    (tmp_path / "own.safetensors").write_bytes(own.to_bytes())
    monkeypatch.setattr(store, "_known", {})
    with pytest.raises(SlideWriteError, match=r"cannot be kept there.*`embed_model=True`"):
        convert(source, tmp_path / "b.tiff", **options)
    assert not (tmp_path / "b.tiff").exists()


def changed(model):
    """A tensor of a model, a little different."""
    name = next(name for name in model.tensors if name.endswith("bias"))
    return {name: model.tensors[name] + np.float32(0.001)}


def flip_a_tile(path):
    """Damage tile (1, 0) of the first level in the file."""
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages.first.dataoffsets[1] + 60
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_damaged_neural_tile_is_told_by_its_place(source, converted, tmp_path):
    path = tmp_path / "a.tiff"
    shutil.copy(converted[0], path)
    flip_a_tile(path)
    with wsicomp.open_slide(path) as slide:
        with pytest.raises(SlideAccessError, match=r"\(1, 0\)"):
            slide.read_region((0, 0), 0, (600, 300))
        assert slide.read_region((600, 300), 0, (300, 300)).size == (300, 300)
    codes = {problem.code for problem in verify_slide(path, None, None, 2, no_progress).problems}
    assert "tile-damaged" in codes


def test_verify_against_the_source_measures_each_neural_tile_again(source, held, monkeypatch):
    target, report = held
    with closing(open_reader(target)) as slide, closing(open_reader(source)) as original:
        sha256 = slide.provenance.plan.source.sha256
        good = verify_slide(target, original, sha256, 2, no_progress)
        assert not good.problems
        guards = [level.guarded for level in report.levels]
        assert good.measured.tiles == sum(guard.tiles for guard in guards)
        assert good.measured.least_ssim == pytest.approx(min(g.least_ssim for g in guards), abs=2e-3)
        monkeypatch.setattr(original, "read_tile", lambda index: 255 - slide.read_tile(index))
        found = verify_slide(target, original, sha256, 2, no_progress).problems
    assert {problem.code for problem in found} == {"tile-unfaithful"}
    assert len({problem.place for problem in found}) == sum(level.encoded for level in report.levels)


@pytest.mark.parametrize(
    "options", [{"codec": "copy"}, {"codec": "jpeg", "lossless": True}, {"codec": "jpegxl", "lossless": True}]
)
def test_neural_tiles_are_not_carried_on(converted, tmp_path, options):
    with pytest.raises(ConfigError, match="take codec jpeg"):
        wsicomp.convert_slide(converted[0], tmp_path / "a.tiff", ConversionConfig.of(glass="keep", **options))
    assert not list(tmp_path.iterdir())


def test_codec_auto_makes_jpeg_of_neural_tiles(converted, tmp_path):
    report = wsicomp.convert_slide(converted[0], tmp_path / "a.svs", ConversionConfig.of(glass="keep"))
    assert report.codec == "jpeg"
    assert report.verified


def test_a_grandchild_is_not_measured_by_its_parent_s_guard(source, converted, tmp_path):
    convert(converted[0], tmp_path / "b.tiff", **LAX)
    with closing(open_reader(source)) as original, closing(open_reader(tmp_path / "b.tiff")) as slide:
        sha256 = slide.provenance.plan.source.origin_sha256
        found = verify_slide(tmp_path / "b.tiff", original, sha256, 2, no_progress)
    assert not found.problems
    assert found.measured is None


def test_info_names_the_model_and_the_guard(converted, capsys):
    assert main(["info", str(converted[0])]) == 0
    out = capsys.readouterr().out
    digest = store.find_model(CODEC, None).digest
    assert f"model: he-compact, SHA-256 {digest}, not in the file" in out
    assert "min_ssim 0.0" in out


def test_a_preset_s_model_may_be_left_out(source, tmp_path, capsys):
    run = ["convert", str(source), str(tmp_path / "a.tiff"), "--preset", "archive-neural", "--dry-run"]
    assert main([*run, "--codec", "jpegxl"]) == 2
    assert "has no model to embed; leave" in capsys.readouterr().err
    assert main([*run, "--codec", "jpegxl", "--no-embed-model"]) == 0


def test_a_neural_file_becomes_a_slide_for_every_program(converted, tmp_path):
    report = wsicomp.convert_slide(
        converted[0], tmp_path / "back.svs", ConversionConfig.of(codec="jpeg", quality=95, glass="keep")
    )
    assert report.verified
    with openslide.OpenSlide(tmp_path / "back.svs") as slide, wsicomp.open_slide(converted[0]) as neural:
        assert ssim(whole(slide), whole(neural)) > 0.95


def test_equal_digests_mean_equal_bytes_and_another_encoder_is_another_digest(source, converted, tmp_path):
    target, first = converted
    second = convert(source, tmp_path / "b.tiff", **LAX)
    assert first.digest == second.digest
    assert target.read_bytes() == (tmp_path / "b.tiff").read_bytes()
    own = store.find_model(CODEC, None)
    tensors = {name: tensor * 0 if name == "g_a.0.bias" else tensor for name, tensor in own.tensors.items()}
    (tmp_path / "other.safetensors").write_bytes(create_model(own.card, tensors).to_bytes())
    third = convert(source, tmp_path / "c.tiff", model=str(tmp_path / "other.safetensors"), **LAX)
    assert third.model == first.model
    assert third.digest != first.digest


@pytest.mark.parametrize("error", ["OSError('no libcudart')", "ImportError('circular')"])
def test_a_torch_that_does_not_load_leaves_the_cpu(tmp_path, monkeypatch, error):
    (tmp_path / "torch.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(runtime, "_may_have_gpu", lambda: True)
    assert runtime.chosen_device() == "cpu"
    with pytest.raises(ConfigError, match="device is 'cuda', and torch does not load here"):
        runtime.chosen_device("cuda")


@pytest.mark.skipif(runtime.chosen_device() == "cuda", reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_no_damage_of_tiles(converted, tmp_path, monkeypatch):
    monkeypatch.setenv("WSICOMP_DEVICE", "cuda")
    with pytest.raises(SlideAccessError, match="device is 'cuda'"):
        wsicomp.open_slide(converted[0])
    config = ConversionConfig.of(codec="jpeg", glass="keep")
    with pytest.raises(SlideReadError, match="device is 'cuda'"):
        wsicomp.convert_slide(converted[0], tmp_path / "a.svs", config)
    assert not list(tmp_path.iterdir())
    problems = verify_slide(converted[0], None, None, 2, no_progress).problems
    assert {problem.code for problem in problems} == {"model-missing"}


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError()])
def test_a_model_that_cannot_run_is_no_damage_of_tiles(converted, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(runtime, "cropped", fail)
    with pytest.raises(SlideReadError, match=r"level 0.*cannot run"):
        wsicomp.convert_slide(
            converted[0], tmp_path / "a.svs", ConversionConfig.of(codec="jpeg", glass="keep")
        )
    assert not list(tmp_path.iterdir())
    with wsicomp.open_slide(converted[0]) as slide, pytest.raises(SlideAccessError, match="cannot run"):
        slide.read_region((0, 0), 0, (600, 300))


@pytest.mark.parametrize(("has_torch", "advice"), [(True, "WSICOMP_DEVICE=cpu"), (False, "more memory")])
def test_a_model_that_cannot_run_is_advised_to_leave_a_gpu_only_where_torch_is(
    monkeypatch, has_torch, advice
):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if has_torch:
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert advice in cannot_run(MemoryError()).message


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan.update(model=None),
        lambda plan: plan["model"].pop("architecture"),
        lambda plan: plan["model"].update(architecture="jpeg"),
        lambda plan: plan["model"].update(sha256="0"),
        lambda plan: plan["levels"][0]["options"].pop("min_ssim"),
        lambda plan: plan["levels"][0]["options"].update(max_color_shift="6"),
    ],
)
def test_provenance_that_says_nonsense_of_its_model_is_refused(converted, tmp_path, change):
    path = tmp_path / "a.tiff"
    shutil.copy(converted[0], path)
    edit_provenance(path, lambda values: change(values["plan"]))
    with pytest.raises(SlideAccessError):
        wsicomp.open_slide(path)
    assert {problem.code for problem in verify_slide(path, None, None, 2, no_progress).problems} == {
        "unreadable"
    }


def test_verify_says_what_our_reader_needs(converted):
    verdict = verify_slide(converted[0], None, None, 2, no_progress).readers[0]
    assert verdict.opens == "yes"
    assert "model he-compact" in verdict.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "jpeg", "embed_model": True}, "no model to embed"),
        ({"codec": "jpeg", "min_ssim": 0.9}, "takes no `min_ssim`"),
        ({"lossless": True}, "without loss"),
        ({"format": "svs"}, "format tiff"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(source, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        convert(source, tmp_path / "a.tiff", **options)
    assert not list(tmp_path.iterdir())


BLOCKED = """
import sys
for name in {!r}.split(","):
    sys.modules[name] = None
"""
EXTRA = "torch,compressai"


@pytest.fixture(scope="module")
def without_extra():
    """What runs a command where the extra is not installed."""
    with command_process(BLOCKED.format(EXTRA)) as run:
        yield run


@pytest.fixture(scope="module")
def without_coder():
    """What runs a command where the entropy coder is not installed."""
    with command_process(BLOCKED.format("constriction")) as run:
        yield run


def test_the_models_that_ship_need_no_extra(without_extra, source, converted, tmp_path):
    lax = ("--min-ssim", "0", "--min-psnr", "0", "--max-color-shift", "255", "--glass", "keep")
    run = without_extra("convert", source, tmp_path / "a.tiff", "--codec", CODEC, *lax)
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "a.tiff").read_bytes() == converted[0].read_bytes()
    run = without_extra("verify", converted[0], "--against", source)
    assert (run.returncode, run.stderr) == (0, "")
    assert "by model he-compact" in run.stdout
    assert "extra" not in run.stdout


@pytest.mark.parametrize("codec", ["bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier"])
def test_without_the_extra_other_codecs_say_what_to_install(without_extra, source, tmp_path, codec):
    run = without_extra("convert", source, tmp_path / "a.tiff", "--codec", codec)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith(f"wsicomp: codec {codec} needs the extra neural, of which torch is missing")
    assert "pip install 'wsicomp[neural]'" in run.stderr


@pytest.mark.parametrize("model", ["a.pth", "bmshj2018-factorized-mse-7"])
def test_without_the_extra_compressai_s_own_models_say_what_to_install(
    without_extra, source, tmp_path, model
):
    (tmp_path / "a.pth").write_bytes(b"no checkpoint")
    named = tmp_path / model if model == "a.pth" else model
    run = without_extra("convert", source, tmp_path / "a.tiff", "--codec", CODEC, "--model", named)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "pip install 'wsicomp[neural]'" in run.stderr


def test_without_the_extra_a_gpu_is_refused(without_extra, source, tmp_path):
    run = without_extra("convert", source, tmp_path / "a.tiff", "--codec", CODEC, "--device", "cuda")
    assert run.returncode == 2
    assert "pip install 'wsicomp[neural]'" in run.stderr


def test_where_the_entropy_coder_is_missing_neural_tiles_say_so_and_all_else_works(
    without_coder, source, converted, tmp_path
):
    run = without_coder("convert", source, tmp_path / "a.tiff", "--codec", CODEC)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert f"codec {CODEC} needs constriction: pip install constriction" in run.stderr
    run = without_coder("verify", converted[0])
    assert run.returncode == 1
    assert "pip install constriction" in run.stdout
    assert without_coder("info", converted[0]).returncode == 0
    arguments = ("convert", source, tmp_path / "b.svs", "--codec", "jpeg", "--glass", "keep")
    run = without_coder(*arguments)
    assert run.returncode == 0, run.stderr
    assert without_coder("verify", tmp_path / "b.svs").returncode == 0


def test_the_command_line_takes_all_of_it(source, tmp_path):
    report = tmp_path / "report.json"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "wsicomp", "convert", source, tmp_path / "a.tiff", "--codec", CODEC),
            *("--model", "he-compact", "--quality", "2", "--device", "cpu", "--glass", "keep"),
            *("--min-ssim", "0.9", "--min-psnr", "20", "--max-color-shift", "30", "--json", report),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert run.returncode == 0, run.stderr
    assert "held against their pixels" in run.stdout
    level = json.loads(report.read_text())["levels"][0]
    assert level["guarded"]["tiles"] == level["encoded"]


@pytest.mark.slides
@pytest.mark.slow
@pytest.mark.parametrize(
    "slide", [path for path in REAL_SLIDES if path.suffix == ".svs" and "breast" not in path.name], ids=str
)
def test_real_slides_convert_and_are_true(slide, tmp_path):
    report = convert(slide, tmp_path / "a.tiff")
    assert report.verified
    with openslide.OpenSlide(slide) as shown, wsicomp.open_slide(tmp_path / "a.tiff") as neural:
        x, y = (side // 2 for side in shown.dimensions)
        here, there = (
            np.asarray(s.read_region((x, y), 0, (512, 512)).convert("RGB")) for s in (neural, shown)
        )
    assert ssim(here, there) > 0.95
    assert all(level.guarded.least_ssim >= 0.95 for level in report.levels)


def test_tiles_are_read_by_their_index_as_from_any_slide(converted):
    with closing(open_reader(converted[0])) as slide:
        indices = [TileIndex(0, column, 0) for column in range(3)]
        for index, tile in zip(indices, slide.read_tiles(indices), strict=True):
            assert np.abs(tile.astype(int) - slide.read_tile(index)).max() <= 1
            assert slide.read_tile_eighth(index).shape == (32, 32, 3) or tile.shape != (256, 256, 3)


def test_an_overview_opens_where_the_model_is_not(source, with_overview, lost):
    with openslide.OpenSlide(source) as shown, wsicomp.open_slide(with_overview[0]) as slide:
        assert ssim(whole(slide, 1), whole(shown, 1)) > 0.95
        assert slide.get_thumbnail((200, 200)).size[0] == 200
        with pytest.raises(SlideAccessError, match=r"model he-compact .* is not here"):
            slide.read_region((0, 0), 0, (600, 300))


OPEN = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
import numpy as np
import wsicomp
with wsicomp.open_slide(sys.argv[2]) as slide:
    level = int(sys.argv[3])
    print(int(np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level])).sum()))
"""


def shown_without(modules, path, level):
    """What a level of a file shows where modules are not installed."""
    arguments = [sys.executable, "-c", OPEN, modules, str(path), str(level)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)


def test_an_overview_opens_where_the_entropy_coder_is_not(with_overview):
    with wsicomp.open_slide(with_overview[0]) as slide:
        expected = int(np.asarray(slide.read_region((0, 0), 1, slide.level_dimensions[1])).sum())
    run = shown_without("constriction", with_overview[0], 1)
    assert (run.returncode, run.stdout) == (0, f"{expected}\n"), run.stderr
    run = shown_without("constriction", with_overview[0], 0)
    assert "pip install constriction" in run.stderr


def test_a_file_whose_tiles_all_fell_back_asks_for_no_model(source, tmp_path, lost, monkeypatch):
    monkeypatch.setattr(store, "SHIPPED", ROOT / "models")
    report = convert(source, tmp_path / "a.tiff", min_ssim=0.9999)
    assert not any(level.guarded.refined for level in report.levels)
    with closing(open_reader(tmp_path / "a.tiff")) as slide:
        stored = [slide.read_stored(index) for index in slide.info.levels[0].grid.raster(0)]
    assert not any(is_payload(data) for data in stored)
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    monkeypatch.setattr(store, "_known", {})
    with openslide.OpenSlide(source) as shown, wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert ssim(whole(slide), whole(shown)) > 0.999
        expected = int(np.asarray(slide.read_region((0, 0), 0, slide.dimensions)).sum())
    with closing(open_reader(source)) as original:
        found = verify_slide(tmp_path / "a.tiff", original, report.source_sha256, 2, no_progress)
    assert not found.problems
    assert found.measured.tiles == sum(level.guarded.tiles for level in report.levels)
    run = shown_without("constriction,torch,compressai", tmp_path / "a.tiff", 0)
    assert (run.returncode, run.stdout) == (0, f"{expected}\n"), run.stderr


@pytest.mark.parametrize("is_here", [True, False])
def test_a_damaged_model_is_told_even_where_no_tile_needs_it(
    fallen_back, tmp_path, lost, monkeypatch, is_here
):
    monkeypatch.setattr(store, "SHIPPED", ROOT / "models")
    shutil.copy(fallen_back[0], tmp_path / "a.tiff")
    damage_the_model(tmp_path / "a.tiff")
    monkeypatch.setattr(store, "_known", {})
    if not is_here:
        monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    found = verify_slide(tmp_path / "a.tiff", None, None, 2, no_progress)
    assert [problem.code for problem in found.problems] == ["model-damaged"]
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert slide.read_region((0, 0), 0, (64, 64)).size == (64, 64)


def test_a_payload_is_read_by_the_carried_model_whatever_the_file_counts(source, tmp_path, lost, monkeypatch):
    monkeypatch.setattr(store, "SHIPPED", ROOT / "models")
    convert(source, tmp_path / "a.tiff", embed_model=True, **LAX)
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        expected = whole(slide)

    def all_sparse(values):
        for record in values["levels"]:
            record["guarded"]["sparse"] = record["guarded"]["tiles"]

    edit_provenance(tmp_path / "a.tiff", all_sparse)
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nowhere")
    monkeypatch.setattr(store, "_known", {})
    with wsicomp.open_slide(tmp_path / "a.tiff") as slide:
        assert (whole(slide) == expected).all()
