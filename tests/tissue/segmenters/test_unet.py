"""The U-Net segmenter: what it reads, how patches are joined, what it finds, and which weights it trusts."""

import dataclasses
import hashlib
import json
import math
import shutil
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.paths import ROOT
from wsicomp.errors import ConfigError, TileReadError, WeightsError
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Mpp, Region, Size
from wsicomp.progress import no_progress
from wsicomp.slide import Level, SlideInfo
from wsicomp.synthetic import SyntheticSlide
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.scale import choose_scale, read_scaled
from wsicomp.tissue.segmenters import unet
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

FLOAT32 = SHIPPED.with_name(f"{SHIPPED.stem}-float32.json")
GLASS, DARK = 240, 90


def slide_of(pixels, mpp=4.0):
    return PictureSlide(Path("picture.png"), pixels, mpp)


def segment(slide, segmenter):
    return segmenter.segment(slide, read_overview(slide, 2, no_progress), 2, no_progress)


def info_of(sizes, mpp, objective_power=None):
    levels = tuple(Level(Size(side, side), Size(256, 256), sizes[0] / side) for side in sizes)
    scale = None if mpp is None else Mpp(mpp, mpp)
    return SlideInfo(Path("a.svs"), "aperio", levels, scale, objective_power, None, "", {}, {})


class DarkIsTissue:
    """A network that any pixel decides alone, so that joined patches can be known exactly."""

    ran: int

    def __init__(self, weights, threads):
        DarkIsTissue.ran = 0

    def tissue(self, pixels):
        DarkIsTissue.ran += 1
        assert pixels.shape == (512, 512, 3)
        return (pixels.mean(axis=2) < 128).astype(np.float32)


RAW = UnetSegmenter(hole_um=0, speck_um=0, skips_blank=False)


@pytest.mark.gate
@given(st.integers(1, 1300), st.integers(1, 700), st.integers(0, 99))
def test_patches_join_without_a_seam_at_any_size(width, height, seed):
    pixels = np.where(np.random.default_rng(seed).random((height, width, 1)) < 0.4, DARK, GLASS)
    slide = slide_of(np.repeat(pixels, 3, axis=2).astype(np.uint8))
    overview = dataclasses.replace(read_overview(slide, 2, no_progress), read_at=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet, "LiteRtNetwork", DarkIsTissue)
        mask = RAW.segment(slide, overview, 2, no_progress)
    assert np.array_equal(mask.pixels, pixels[..., 0] == DARK)


def test_neighbouring_patches_overlap_by_a_tenth_or_more():
    for length in (1, 511, 512, 513, 900, 972, 973, 4000, 12_345):
        starts = unet._PatchGrid(Size(length, 1), 512).lefts
        assert starts[0] == 0
        assert starts[-1] == max(0, length - 512)
        assert all(after - before <= 512 * 0.9 + 0.5 for before, after in pairwise(starts))


def test_blank_patches_do_not_run(monkeypatch):
    monkeypatch.setattr(unet, "LiteRtNetwork", DarkIsTissue)
    pixels = np.full((512, 512 * 8, 3), GLASS, np.uint8)
    pixels[200:300, 100:200] = DARK
    mask = segment(slide_of(pixels), dataclasses.replace(RAW, skips_blank=True))
    assert DarkIsTissue.ran == 1
    assert mask.pixels.sum() == 100 * 100


class Unread(PictureSlide):
    """A picture that must not be read."""

    def read_region(self, level, region):
        raise AssertionError("read")


def test_what_the_overview_shows_is_not_read_again(monkeypatch):
    monkeypatch.setattr(unet, "LiteRtNetwork", DarkIsTissue)
    pixels = np.full((700, 900, 3), GLASS, np.uint8)
    pixels[100:600, 200:300] = DARK
    overview = read_overview(slide_of(pixels), 2, no_progress)
    mask = RAW.segment(Unread(Path("picture.png"), pixels, 4.0), overview, 2, no_progress)
    assert np.array_equal(mask.pixels, pixels[..., 0] == DARK)
    wide = np.full((700, 2100, 3), GLASS, np.uint8)
    coarser = read_overview(slide_of(wide), 2, no_progress)
    with pytest.raises(AssertionError, match="read"):
        RAW.segment(Unread(Path("picture.png"), wide, 4.0), coarser, 2, no_progress)


class DamagedInPart(PictureSlide):
    """A picture whose tiles right of 1024 px cannot be read."""

    def read_region(self, level, region):
        if region.x + region.width > 1024:
            raise TileReadError("damaged")
        return super().read_region(level, region)


def test_patches_with_damaged_tiles_count_as_tissue(monkeypatch):
    monkeypatch.setattr(unet, "LiteRtNetwork", DarkIsTissue)
    pixels = np.full((512, 1800, 3), GLASS, np.uint8)
    mask = segment(DamagedInPart(Path("picture.png"), pixels, 4.0), RAW)
    assert not mask.pixels[:, :400].any()
    assert mask.pixels[:, 1024:].all()
    assert mask.notes == ("2 of 4 patches have damaged tiles and count as tissue",)


def test_no_thread_reads_a_slide_once_segmenting_has_failed(monkeypatch):
    class Fails(DarkIsTissue):
        def tissue(self, pixels):
            raise KeyboardInterrupt

    monkeypatch.setattr(unet, "LiteRtNetwork", Fails)
    pixels = np.full((2048, 2048, 3), DARK, np.uint8)
    with pytest.raises(KeyboardInterrupt):
        segment(slide_of(pixels), RAW)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wsicomp")]


class NoNumbers:
    """A LiteRT interpreter of a network that was trained to pieces."""

    def __init__(self, **_):
        pass

    def allocate_tensors(self):
        pass

    def get_input_details(self):
        return [{"shape": (1, 512, 512, 3), "dtype": np.float32, "index": 0}]

    def get_output_details(self):
        side = load_weights().mask_px
        return [{"shape": (1, side, side, 2), "dtype": np.float32, "index": 1}]

    def set_tensor(self, *_):
        pass

    def invoke(self):
        pass

    def get_tensor(self, _):
        return np.full(self.get_output_details()[0]["shape"], np.nan, np.float32)


def test_a_network_that_says_no_numbers_is_refused(monkeypatch):
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", NoNumbers)
    with pytest.raises(WeightsError, match="not finite"):
        segment(slide_of(np.full((64, 64, 3), DARK, np.uint8)), RAW)


def test_a_mask_too_large_to_tidy_is_refused_before_anything_is_read():
    slide = slide_of(np.full((8, 8, 3), GLASS, np.uint8), 0.25)
    overview = read_overview(slide, 1, no_progress)
    slide._info = info_of((100_000,), 0.25)
    with pytest.raises(ConfigError, match="take a lower magnification"):
        dataclasses.replace(RAW, magnification=40.0).segment(slide, overview, 1, no_progress)


@pytest.mark.parametrize("mpp", [352.8, 0.00025])
def test_a_scale_that_no_slide_has_is_not_believed(mpp):
    scale = choose_scale(info_of((12_288,), mpp), 4.0)
    assert (scale.factor, scale.mpp) == (8, 4.0)
    assert "which no slide has" in scale.assumption


def test_an_evenly_pink_patch_is_not_certainly_blank(monkeypatch):
    monkeypatch.setattr(unet, "LiteRtNetwork", DarkIsTissue)
    segment(slide_of(np.full((512, 512, 3), (200, 140, 180), np.uint8)), UnetSegmenter())
    assert DarkIsTissue.ran == 1


def test_an_even_dark_patch_is_not_certainly_blank(monkeypatch):
    monkeypatch.setattr(unet, "LiteRtNetwork", DarkIsTissue)
    pixels = np.full((512, 2048, 3), GLASS, np.uint8)
    pixels[:, :1024] = DARK
    assert segment(slide_of(pixels), dataclasses.replace(RAW, skips_blank=True)).pixels[:, :1024].all()


@pytest.mark.parametrize(
    ("sizes", "mpp", "level", "factor"),
    [
        ((64_000, 16_000, 4000), 0.25, 2, 1),
        ((64_000, 16_000), 0.25, 1, 4),
        ((64_000,), 0.25, 0, 16),
        ((27_000, 6750, 1687), 0.344, 1, 3),
        ((32_000, 12_000), 0.5, 1, 3),
        ((32_000, 5926), 0.5, 0, 8),
        ((1000,), 4.13, 0, 1),
        ((1000, 500), 28.97, 0, 1),
    ],
)
def test_the_coarsest_level_that_comes_within_a_tenth_is_read(sizes, mpp, level, factor):
    scale = choose_scale(info_of(sizes, mpp), 4.0)
    assert (scale.level, scale.factor) == (level, factor)
    assert scale.mpp == pytest.approx(mpp * sizes[0] / sizes[level] * factor)


def test_a_slide_without_mpp_is_read_by_its_objective_power_else_as_at_20x():
    by_power = choose_scale(info_of((16_000,), None, 40.0), 4.0)
    assert (by_power.factor, by_power.mpp) == (16, 4.0)
    assert "objective power of 40" in by_power.assumption
    assumed = choose_scale(info_of((16_000,), None), 4.0)
    assert (assumed.factor, assumed.mpp) == (8, 4.0)
    assert "states no scale" in assumed.assumption


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 9), st.data())
def test_a_scaled_region_is_the_means_of_its_blocks(width, height, factor, data):
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    slide = slide_of(pixels, 4.0 / factor)
    scale = choose_scale(slide.info, 4.0)
    assert scale.factor == factor
    x = data.draw(st.integers(0, scale.size.width - 1))
    y = data.draw(st.integers(0, scale.size.height - 1))
    part = read_scaled(slide, scale, Region(x, y, scale.size.width - x, scale.size.height - y))
    whole = read_scaled(slide, scale, Region(0, 0, scale.size.width, scale.size.height))
    assert np.array_equal(part, whole[y:, x:])
    block = pixels[:factor, :factor].reshape(-1, 3)
    if len(block) == factor * factor:
        assert np.abs(whole[0, 0] - block.mean(axis=0)).max() <= 0.51


@pytest.fixture(scope="module")
def drawn():
    """(pixels at 4 um, true mask) of a drawn slide with pen, dust and cover glass."""
    slide = SyntheticSlide(Size(8192, 6144), seed=31, tissue_fraction=0.3)
    small = Region(0, 0, 1024, 768)
    return slide.render(small, 8), slide.truth(small, 8)


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.gate
def test_the_shipped_network_finds_drawn_tissue_better_than_the_threshold(drawn):
    pixels, true = drawn
    found = segment(slide_of(pixels), UnetSegmenter())
    baseline = segment(slide_of(pixels), ThresholdSegmenter())
    assert dice(found.pixels, true) > 0.95
    assert dice(found.pixels, true) > dice(baseline.pixels, true)
    assert "tissue-unet" in found.source
    assert found.notes == ()


@pytest.mark.gate
def test_skipping_blank_patches_changes_next_to_nothing(drawn):
    pixels = np.pad(drawn[0], ((0, 600), (0, 600), (0, 0)), constant_values=GLASS)
    skipping = segment(slide_of(pixels), UnetSegmenter())
    running = segment(slide_of(pixels), UnetSegmenter(skips_blank=False))
    assert (skipping.pixels == running.pixels).mean() > 0.999


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 1), (3, 2)])
def test_a_slide_of_a_pixel_or_two_gets_a_mask_of_its_size(size):
    mask = segment(slide_of(np.full((*size, 3), GLASS, np.uint8)), UnetSegmenter())
    assert mask.pixels.shape == size


def test_glass_alone_has_no_tissue():
    noise = np.random.default_rng(1).normal(GLASS, 2, (700, 900, 3))
    slide = slide_of(np.clip(noise, 0, 255).astype(np.uint8))
    assert not segment(slide, UnetSegmenter(skips_blank=False)).pixels.any()


def test_tissue_alone_is_tissue_everywhere():
    slide = SyntheticSlide(Size(4096, 4096), seed=4, sections=1, fragments=0, tissue_fraction=0.97)
    true = slide.truth(Region(0, 0, 512, 512), 8)
    inside = slide_of(slide.render(Region(100, 100, 300, 300), 8))
    assert true[100:400, 100:400].all()
    assert segment(inside, UnetSegmenter()).tissue_fraction > 0.99


def test_the_network_runs_without_a_word():
    code = (
        "from wsicomp.tissue.segmenters.unet import LiteRtNetwork;"
        "from wsicomp.tissue.segmenters.weights import load_weights;"
        "import numpy as np; LiteRtNetwork(load_weights(), 1).tissue(np.zeros((512, 512, 3), np.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout + done.stderr == b""


def test_a_small_mask_is_enlarged_between_its_pixels():
    small = np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)
    large = unet.enlarged(small, 8)
    assert large.shape == (8, 8)
    assert np.allclose(large[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    assert unet.enlarged(small, 2) is small


def copied(folder):
    facts = json.loads(SHIPPED.read_text())
    for entry in facts["files"].values():
        shutil.copy(SHIPPED.parent / entry["name"], folder)
    (folder / "net.json").write_text(json.dumps(facts))
    return facts, folder / "net.json"


@pytest.mark.parametrize("manifest", [SHIPPED, FLOAT32], ids=lambda path: path.stem)
def test_the_shipped_files_are_those_of_the_manifest(manifest):
    facts = json.loads(manifest.read_text())
    assert facts["name"] == manifest.stem
    for entry in facts["files"].values():
        data = (SHIPPED.parent / entry["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])


def test_a_changed_byte_is_found(tmp_path):
    facts, manifest = copied(tmp_path)
    network = tmp_path / facts["files"]["litert"]["name"]
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_weights(manifest)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "other"}, "expected 'wsicomp tissue network 1'"),
        ({"patch_px": 10**9}, "expected 64 to 4096"),
        ({"patch_px": "many"}, "not a network's manifest"),
        ({"patch_px": math.inf}, "not a network's manifest"),
        ({"mask_px": 0}, "masks of 0 px, expected a whole part of 512"),
        ({"mask_px": 100}, "masks of 100 px"),
        ({"learnt_from": ["a"]}, "not a list of sources"),
        ({"files": {}}, "not a network's manifest"),
        ({"files": {"litert": {"name": "../x", "sha256": ""}}}, "expected a file beside it"),
        ({"files": {"litert": {"name": "gone", "sha256": ""}}}, "no such file"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(tmp_path, change, told):
    facts, manifest = copied(tmp_path)
    manifest.write_text(json.dumps(facts | change))
    with pytest.raises(WeightsError, match=told):
        load_weights(manifest)


def test_what_is_no_network_is_refused_though_its_hash_fits(tmp_path):
    facts, manifest = copied(tmp_path)
    (tmp_path / "junk.tflite").write_bytes(b"junk" * 100)
    facts["files"]["litert"] = {"name": "junk.tflite", "sha256": hashlib.sha256(b"junk" * 100).hexdigest()}
    manifest.write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="LiteRT cannot run it"):
        segment(slide_of(np.full((600, 600, 3), DARK, np.uint8)), UnetSegmenter(manifest))


@pytest.mark.parametrize(("is_wanted", "starts"), [(True, 1), (False, 2)])
def test_a_batchs_process_starts_a_network_once_and_finds_the_same(is_wanted, starts, monkeypatch):
    started, real = [], unet.LiteRtNetwork
    monkeypatch.setattr(unet, "LiteRtNetwork", lambda *given: started.append(given) or real(*given))
    monkeypatch.setattr(unet, "KEPT_NETWORK", unet.KeptNetwork())
    unet.KEPT_NETWORK.is_wanted = is_wanted
    pixels = np.full((512, 512, 3), GLASS, np.uint8)
    pixels[100:300, 100:300] = DARK
    masks = [segment(slide_of(pixels), RAW) for _ in range(2)]
    assert len(started) == starts
    assert np.array_equal(masks[0].pixels, masks[1].pixels)
