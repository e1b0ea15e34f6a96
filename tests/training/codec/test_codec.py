"""Training and measuring codecs: settings, crops, tables, one small run stopped and resumed, the curves."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from tests.paths import ROOT
from wsicomp.cli import main
from wsicomp.codecs.neural.entropy import PRECISION
from wsicomp.codecs.neural.model import read_model
from wsicomp.codecs.quality import psnr, similarities, ssim
from wsicomp.codecs.registry import create_codec, decode_tile
from wsicomp.codecs.tile_quality import TileFidelity
from wsicomp.errors import TrainingError
from wsicomp.geometry import Size, TileIndex
from wsicomp.progress import Stages
from wsicomp.slide import EncodedTile
from wsicomp.training.codec import network
from wsicomp.training.codec.crops import CropSource, augmented_crop
from wsicomp.training.codec.curves import Measurement, RatePoint, at_equal_ssim, bits_at, curves
from wsicomp.training.codec.evaluate import CodecSetting, tiles_of_split, worst_tiles
from wsicomp.training.codec.settings import (
    CodecAugmentation,
    CodecNetwork,
    CodecSettings,
    Distortion,
)
from wsicomp.training.codec.tables import Classes, classed_tables, frequency_table
from wsicomp.training.data.labels import TISSUE
from wsicomp.training.data.patch_set import build_patch_set, open_patch_set
from wsicomp.training.data.sampling import PatchSamples
from wsicomp.training.data.slide_table import read_table
from wsicomp.training.data.synthetic import draw_labelled_slides
from wsicomp.training.settings import load_settings

TINY = """
patches = ["drawn.h5"]
validation_groups = ["drawn-101"]
crop_px = 64
batch = 2
iterations = {iterations}
report_every = 2
learning_rate = 1e-3
schedule = "cosine"
step_range = 1.5
classes = 3
tables = 8
[network]
channels = 8
latents = 12
nonlinearity = "gdn1"
[distortion]
mse = 0.01
ssim = 5.0
color = 0.05
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    table = draw_labelled_slides(folder / "drawn", 3, 1024, 100, Stages(None))
    rows = list(read_table(table))
    rows[2] = dataclasses.replace(rows[2], split="test")
    build_patch_set(rows, folder / "drawn.h5", (20.0, 10.0), Stages(None), dense=True)
    (folder / "tiny.toml").write_text(TINY.format(iterations=4))
    return folder


def settings_of(folder, **changes):
    found = load_settings(folder / "tiny.toml", CodecSettings)
    return dataclasses.replace(found, patches=(folder / "drawn.h5",), **changes)


@pytest.mark.gate
def test_dense_patch_sets_have_every_patch(folder, tmp_path):
    rows = read_table(folder / "drawn/table.tsv")
    thin = build_patch_set(rows, tmp_path / "thin.h5", (20.0, 10.0), Stages(None))
    with open_patch_set(folder / "drawn.h5") as dense:
        assert dense.counts()[20.0] > 2 * thin[20.0]
        assert dense.counts()[10.0] == thin[10.0]


@pytest.mark.gate
def test_a_run_that_was_stopped_ends_as_one_that_was_not(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    shutil.rmtree(folder / "whole", ignore_errors=True)  # another test may have been first
    assert main(["train", "codec", "tiny.toml", "whole", "--name", "small"]) == 0
    assert "iteration 4 of 4" in capsys.readouterr().out
    (folder / "half.toml").write_text(TINY.format(iterations=4))
    from wsicomp.training.codec import fit

    class StoppedError(Exception):
        pass

    def stop(report):
        raise StoppedError

    with pytest.raises(StoppedError):
        fit.fit_codec(load_settings(folder / "half.toml", CodecSettings), folder / "halves", stop)
    assert len(json.loads((folder / "halves/state.json").read_text())) == 1
    assert main(["train", "codec", "half.toml", "halves", "--name", "small"]) == 0
    first, second = (read_model(folder / run / "small.safetensors") for run in ("whole", "halves"))
    assert first.card == second.card
    for name, tensor in first.tensors.items():
        if name.startswith(("g_a.", "g_s.")):
            assert np.allclose(tensor, second.tensors[name], atol=1e-3), name
    names = {path.name for path in (folder / "whole").iterdir()}
    wanted = {"settings.json", "state.json", "curves.csv", "curves.png", "last-0.pt", "last-1.pt"}
    assert names == {*wanted, "small.safetensors", "learnt-from.csv"}
    assert first.card.steps[0] > 1 > first.card.steps[-1]
    assert first.card.steps[first.card.step] == 1
    assert "drawn-" not in first.card.trained_on
    learnt_from = (folder / "whole/learnt-from.csv").read_text()
    assert [name in learnt_from for name in ("drawn-100", "drawn-101", "drawn-102")] == [True, False, False]


@pytest.mark.gate
def test_another_run_s_folder_is_refused(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    if not (folder / "whole").is_dir():
        assert main(["train", "codec", "tiny.toml", "whole", "--name", "small"]) == 0
    assert main(["train", "codec", "tiny.toml", "whole", "--iterations", "6"]) == 1
    assert "other settings" in capsys.readouterr().err


@pytest.mark.gate
def test_a_run_may_begin_with_what_another_has_learnt(folder, monkeypatch):
    monkeypatch.chdir(folder)
    if not (folder / "whole").is_dir():
        assert main(["train", "codec", "tiny.toml", "whole", "--name", "small"]) == 0
    from wsicomp.training.codec import fit

    wider = CodecNetwork(channels=8, latents=12, widths=(8, 8, 16), nonlinearity="relu")
    run = fit._Run(settings_of(folder, network=wider))
    fresh = {name: tensor.clone() for name, tensor in run.net.state_dict().items()}
    run.begin_with(folder / "whole")
    theirs = torch.load(folder / "whole/last-0.pt", weights_only=True)["net"]
    own = run.net.state_dict()
    assert torch.equal(own["g_a.0.weight"], theirs["g_a.0.weight"])
    assert not torch.equal(own["g_a.0.weight"], fresh["g_a.0.weight"])
    assert torch.equal(own["g_a.4.weight"][:8], theirs["g_a.4.weight"])
    assert torch.equal(own["g_a.4.weight"][8:], fresh["g_a.4.weight"][8:]), "wider here"
    narrow = fit._Run(settings_of(folder, network=CodecNetwork(channels=8, latents=5, nonlinearity="gdn1")))
    narrow.begin_with(folder / "whole")
    quantiles = theirs["entropy_bottleneck.quantiles"][:, 0]
    kept = (quantiles[:, 2] - quantiles[:, 0]).argsort(descending=True)[:5].sort().values
    for name in ("g_a.6.weight", "g_a.6.bias", "g_s.0.weight", "entropy_bottleneck.matrices.0"):
        assert torch.equal(narrow.net.state_dict()[name], theirs[name][kept]), name
    with pytest.raises(TrainingError, match="no run to begin with"):
        run.begin_with(folder / "drawn")


@pytest.mark.gate
def test_a_damaged_checkpoint_is_told(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["train", "codec", "tiny.toml", "torn", "--iterations", "2"]) == 0
    for path in (folder / "torn").glob("last-*.pt"):
        path.write_bytes(path.read_bytes()[:1000])
    assert main(["train", "codec", "tiny.toml", "torn", "--iterations", "2"]) == 1
    assert "damaged" in capsys.readouterr().err


@pytest.mark.gate
def test_the_trained_model_encodes_and_is_measured(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    if not (folder / "whole").is_dir():
        assert main(["train", "codec", "tiny.toml", "whole", "--name", "small"]) == 0
    sweeps = {"jpeg": [{"quality": 50}, {"quality": 90}], "jpegxl": [{"distance": 2.0, "effort": 1}]}
    monkeypatch.setattr("wsicomp.training.codec.evaluate.SWEEPS", sweeps)
    shutil.rmtree(folder / "measured", ignore_errors=True)
    code = main(["evaluate", "codec", "drawn.h5", "measured", "--model", "whole/small.safetensors"])
    assert code == 0
    out = capsys.readouterr().out
    assert "JPEG q90's own SSIM" in out
    names = {path.name for path in (folder / "measured").iterdir()}
    assert {"index.html", "curves.csv", "curves.png", "tiles.csv", "equal-ssim.csv"} <= names
    assert any(name.startswith("small") and name.endswith(".png") for name in names)
    page = (folder / "measured/index.html").read_text()
    assert "worst tiles" in page
    assert "2 tiles of tissue of drawn-102." in page
    assert main(["evaluate", "codec", "drawn.h5", "measured", "--model", "whole/small.safetensors"]) == 1
    (folder / "again").mkdir(exist_ok=True)
    shutil.copy(folder / "whole/small.safetensors", folder / "again")
    twice = ["--model", "whole/small.safetensors", "--model", "again/small.safetensors"]
    capsys.readouterr()
    assert main(["evaluate", "codec", "drawn.h5", "twice", *twice]) == 1
    assert "two models have the same name" in capsys.readouterr().err


@pytest.mark.gate
@pytest.mark.parametrize("architecture", ["bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier"])
def test_every_architecture_trains_a_step_and_becomes_a_model(folder, architecture, tmp_path):
    from wsicomp.training.codec.export import export_codec
    from wsicomp.training.codec.fit import fit_codec

    own = settings_of(
        folder,
        network=CodecNetwork(architecture, 8, 12, groups=(2, 4, 6)),
        step_range=1.0,
        iterations=1,
        report_every=1,
        distortion=Distortion(mse=0.01),
    )
    path = export_codec(fit_codec(own, tmp_path / "run"), own, tmp_path, "one")
    model = read_model(path)
    assert model.card.architecture == architecture
    codec = create_codec(
        architecture, {"model": str(path), "min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}
    )
    pixels = np.full((64, 64, 3), 128, np.uint8)
    pixels[::2] = 90
    back = decode_tile(EncodedTile(codec.payloads([pixels])[0], codec.encoding, Size(64, 64)))
    assert back.shape == pixels.shape


def test_shipped_settings_are_sound():
    for path in sorted((ROOT / "configs/training").glob("codec-*.toml")):
        assert load_settings(path, CodecSettings).patches


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("patches = []", "at least one patch set"),
        ("crop_px = 50", "crop_px is a multiple"),
        ("surprise = 1", "unknown setting surprise"),
        ("step_range = 5.0", "step_range"),
        ("classes = 0", "classes is 1"),
        ('precision = "int8"', "precision"),
        ('[network]\narchitecture = "vgg"', "architecture is one of"),
        ('[network]\narchitecture = "mbt2018-mean"\nnonlinearity = "relu"', "only bmshj2018-factorized"),
        ("[network]\ngroups = [1, 2]", "add up"),
        ("crop_px = 128\n[distortion]\nms_ssim = 1.0", "crop_px is 32 or more"),
        ("[distortion]\nmse = 0.0", "has a weight"),
        ("[augmentation]\nflip = 2.0", "probabilities"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, line, message):
    path = tmp_path / "bad.toml"
    first = "" if line.startswith("patches") else 'patches = ["a.h5"]\n'
    path.write_text(first + line)
    with pytest.raises(TrainingError, match=message):
        load_settings(path, CodecSettings)


@pytest.mark.gate
def test_crops_are_the_same_for_a_seed_and_hold_tissue(folder):
    with open_patch_set(folder / "drawn.h5") as patches:
        own = settings_of(folder)
        samples = PatchSamples([patches], own)
        first, second = (list(CropSource(samples, own).batches(3)) for _ in range(2))
        other = list(CropSource(samples, own).batches(4))
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        assert not np.array_equal(first[0], other[0])
        assert first[0].shape == (2, 64, 64, 3)
        assert first[0].dtype == np.float32
        tiles = list(CropSource(samples, own).tiles())
        assert all(tile.shape == (256, 256, 3) for tile in tiles)


@pytest.mark.parametrize("change", ["flip", "turn", "color", "blur"])
def test_augmentation_changes_what_it_says(change):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    nothing = dict.fromkeys(("flip", "turn", "color", "blur"), 0.0)
    plain = augmented_crop(crop, CodecAugmentation(**nothing), np.random.default_rng(1))
    assert np.array_equal(plain, crop.astype(np.float32) / 255)
    changed = [
        augmented_crop(crop, CodecAugmentation(**{**nothing, change: 1.0}), np.random.default_rng(seed))
        for seed in range(8)
    ]
    assert any(not np.array_equal(picture, plain) for picture in changed)
    assert all(0 <= picture.min() <= picture.max() <= 1 for picture in changed)
    if change in ("flip", "turn"):
        assert all(np.isclose(np.sort(picture.ravel()), np.sort(plain.ravel())).all() for picture in changed)


def test_ssim_for_training_is_that_of_the_measurements():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)
    second = np.clip(first + rng.normal(0, 25, first.shape), 0, 255).astype(np.uint8)
    pictures = [torch.from_numpy(a).permute(2, 0, 1)[None].float() / 255 for a in (first, second)]
    assert network.tensor_ssim(*pictures).item() == pytest.approx(ssim(first, second), abs=1e-4)


def test_our_measures_are_those_of_a_library():
    import pytorch_msssim

    rng = np.random.default_rng(0)
    first = np.clip(rng.normal(150, 30, (208, 224, 3)), 0, 255).astype(np.uint8)
    second = np.clip(first + rng.normal(0, 12, first.shape), 0, 255).astype(np.uint8)
    here, there = (torch.from_numpy(a).permute(2, 0, 1)[None].float() for a in (first, second))
    assert ssim(first, second) == pytest.approx(pytorch_msssim.ssim(here, there).item(), abs=1e-4)
    assert similarities(first, second)[1] == pytest.approx(
        pytorch_msssim.ms_ssim(here, there).item(), abs=1e-4
    )
    error = np.mean((first.astype(float) - second) ** 2)
    assert psnr(first, second) == pytest.approx(10 * np.log10(255**2 / error))


def test_the_rate_that_training_estimates_is_that_of_its_likelihoods():
    torch.manual_seed(0)
    net = network.build(CodecNetwork(channels=8, latents=12)).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        found = network.forward(net, pictures, torch.ones(2), half=False)
        own = net(pictures)
    bits = -torch.log2(own["likelihoods"]["y"]).flatten(1).sum(1) / 64**2
    assert torch.allclose(found.bits, bits, rtol=1e-3)
    assert torch.allclose(found.pictures, own["x_hat"], atol=1e-4)


def test_tables_add_up_and_cost_about_what_the_entropy_says():
    rng = np.random.default_rng(0)
    spread = rng.choice([0.3, 3.0], 4000)[:, None] * np.tile([1.0, 0.5, 2.0], 8)
    latents = rng.laplace(0, spread).astype(np.float32)
    classes = Classes(latents, 2, seed=1)
    found = classed_tables(latents, classes, 1.0, 16, seed=1)
    assert found.of.shape == (2, 24)
    for table in found.tables.frequencies:
        assert table.sum() == 1 << PRECISION
    values = np.rint(latents[:256].T.reshape(24, 16, 16)).astype(np.int32)
    bits = 8 * sum(map(len, found.encode(values)))
    single = classed_tables(latents, Classes(latents, 1, seed=1), 1.0, 16, seed=1)
    assert bits < 8 * sum(map(len, single.encode(values)))
    assert (found.decode(found.encode(values), (16, 16)) == values).all()


def test_a_frequency_table_leaves_out_what_never_comes():
    likely = np.zeros(255)
    likely[126:129] = 0.25, 0.5, 0.25
    table, first = frequency_table(likely)
    assert first == -1
    assert len(table) == 4
    assert table[-1] == 1
    assert table.sum() == 1 << PRECISION


def test_too_few_places_for_the_classes_are_refused():
    with pytest.raises(TrainingError, match="places to count"):
        Classes(np.zeros((10, 3), np.float32), 4, seed=1)


def point(codec, setting, bits, similar, power=40.0):
    return RatePoint(codec, setting, power, 1, bits, similar, similar - 0.05, similar, 35.0, 33.0, 2.0)


POINTS = [
    point("jpeg", "quality 75", 1.0, 0.94),
    point("jpeg", "quality 90", 2.0, 0.96),
    point("jpegxl", "distance 1", 1.5, 0.97),
    point("jpegxl", "distance 2", 0.75, 0.95),
    point("mine", "quality 1", 0.5, 0.95),
    point("mine", "quality 2", 1.0, 0.97),
]


def test_curves_are_compared_where_they_have_the_same_ssim():
    at_target, at_own = at_equal_ssim(POINTS, [0.95])
    assert at_target.ssim == 0.95
    assert at_target.bits_per_pixel["jpeg"] == pytest.approx(2**0.5)
    assert at_target.saved("mine", "jpeg") == pytest.approx(1 - 0.5 / 2**0.5)
    assert at_own.why == "JPEG q90's own SSIM"
    assert at_own.ssim == 0.96
    assert at_own.saved("mine", "jpeg") == pytest.approx(1 - 0.5 * 2**0.5 / 2)
    assert at_own.least_ssim["mine"] == pytest.approx(0.91)


def test_a_curve_that_does_not_reach_a_target_has_no_value_there():
    assert bits_at([found for found in POINTS if found.codec == "mine"], 0.99) is None
    (found, _) = at_equal_ssim(POINTS, [0.99])
    assert found.saved("mine", "jpeg") is None


def fidelity(bits, ssim, psnr, shift):
    return TileFidelity(TileIndex(0, 0, 0), bits * 100, 800, ssim, 0.99, psnr, shift)


@pytest.mark.gate
def test_curves_are_means_and_the_worst(folder):
    rows = [
        Measurement(
            "c", "s", 40.0, f"t{n}", fidelity(bits=1 + n, ssim=0.9 + n / 100, psnr=30.0 + n, shift=1.0 + n)
        )
        for n in range(4)
    ]
    (found,) = curves(rows)
    assert (found.bits_per_pixel, found.least_ssim, found.least_psnr) == (2.5, 0.9, 30.0)
    assert found.most_color_shift == 4.0
    with open_patch_set(folder / "drawn.h5") as patches:
        tiles = tiles_of_split([patches], None)
    named = [dataclasses.replace(tile, name=f"t{n}") for n, tile in enumerate(tiles[:4])]
    setting = CodecSetting("c", "s", create_codec("jpeg", {}))
    assert [row.tile for row, _ in worst_tiles(rows, named, setting, 2)] == ["t0", "t3"]


def test_only_tissue_of_the_split_is_measured(folder):
    with open_patch_set(folder / "drawn.h5") as patches:
        tiles = tiles_of_split([patches], "test")
        assert {tile.group for tile in tiles} == {patches.sources[2].group}
        assert all(tile.pixels.shape == (240, 240, 3) for tile in tiles)
        labels = patches.read(patches.patches[0])[1]
        assert (labels == TISSUE).any()
        with pytest.raises(TrainingError, match="no tile of tissue"):
            tiles_of_split([patches], "nowhere")


def test_defaults_are_the_study_s():
    own = CodecSettings()
    assert (own.distortion.mse, own.learning_rate, own.network.latents) == (0.0932, 1e-4, 320)
