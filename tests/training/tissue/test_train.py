"""Augmentation, sampling, settings, and one whole small training, stopped and resumed."""

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from tests.paths import ROOT
from wsicomp.cli import main
from wsicomp.errors import TrainingError, WeightsError
from wsicomp.geometry import Region, Size
from wsicomp.progress import Stages
from wsicomp.synthetic import SyntheticSlide
from wsicomp.tissue.segmenters.unet import LiteRtNetwork, enlarged
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights
from wsicomp.tissue.white_balance import white_balanced
from wsicomp.training.data.labels import GLASS, IGNORED, TISSUE, UNSCORED_TARGET, open_truth, targets
from wsicomp.training.data.patch_set import Patch, PatchSource, build_patch_set
from wsicomp.training.data.sampling import _spread, epoch_patches, folds, learns_from
from wsicomp.training.data.slide_table import ALL_GLASS, LabelledSlide, read_table
from wsicomp.training.data.synthetic import draw_labelled_slides
from wsicomp.training.settings import load_settings
from wsicomp.training.tissue.augment import Augmentation, augmented_patch
from wsicomp.training.tissue.export import check_name
from wsicomp.training.tissue.settings import NetworkSettings, TrainingSettings
from wsicomp.training.tissue.teacher import Teacher

CHANGES = [field.name for field in dataclasses.fields(Augmentation)]
LIGHT = np.array([238, 236, 240], np.float32)
needs_tensorflow = pytest.mark.skipif(not find_spec("tensorflow"), reason="needs the train extra")
FLOAT32 = SHIPPED.with_name(f"{SHIPPED.stem}-float32.json")
LAID_ON_GLASS = ("pen", "dust", "coverslip_edge", "printed_dots", "haze", "smear", "frame_marks")
NOTHING = Augmentation(**dict.fromkeys(CHANGES, 0.0))


def sample():
    """(pixels, labels): tissue on the left, glass, and a corner that does not score."""
    rng = np.random.default_rng(3)
    pixels = np.full((512, 512, 3), (238, 236, 240), np.int16)
    pixels[:, :200] = (170, 90, 150)
    pixels += rng.integers(-8, 8, pixels.shape, np.int16)
    labels = np.full((512, 512), GLASS, np.uint8)
    labels[:, :200] = TISSUE
    labels[400:, 400:] = IGNORED
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_keeps_shapes_and_what_tissue_is(change):
    pixels, labels = sample()
    settings = dataclasses.replace(NOTHING, **{change: 1.0})
    if change.startswith("brightness"):
        settings = dataclasses.replace(NOTHING, brightness=1.0, brightness_offset=80.0)
    differs = 0
    for seed in range(6):
        image, own = augmented_patch(pixels, labels, LIGHT, 256, settings, np.random.default_rng(seed))
        plain, _ = augmented_patch(pixels, labels, LIGHT, 256, NOTHING, np.random.default_rng(seed))
        assert (image.shape, image.dtype, own.shape) == ((256, 256, 3), np.uint8, (256, 256))
        assert set(np.unique(own)) <= {GLASS, IGNORED, TISSUE}
        again, _ = augmented_patch(pixels, labels, LIGHT, 256, settings, np.random.default_rng(seed))
        assert np.array_equal(image, again)
        differs += not np.array_equal(image, plain)
        if change not in (*LAID_ON_GLASS, "brightness", "restain") and (
            (own == TISSUE).sum() > 500 < (own == GLASS).sum()
        ):
            # Tissue stays darker than the glass beside it.
            assert image[own == TISSUE].mean() < image[own == GLASS].mean()
    # The grid of lines is for glass alone, and factors of brightness do nothing without brightness.
    assert differs or change in ("coverslip_grid", "brightness_factor")


def test_pen_and_dust_on_glass_stay_glass_and_hide_tissue_under_them():
    pixels, labels = sample()
    settings = dataclasses.replace(NOTHING, pen=1.0, dust=1.0)
    hidden = 0
    for seed in range(20):
        _, own = augmented_patch(pixels, labels, LIGHT, 256, settings, np.random.default_rng(seed))
        _, plain = augmented_patch(pixels, labels, LIGHT, 256, NOTHING, np.random.default_rng(seed))
        assert np.array_equal(own == GLASS, plain == GLASS)
        hidden += ((own == IGNORED) & (plain == TISSUE)).sum()
    assert hidden > 0


def test_what_is_taught_moves_with_the_picture_and_is_hidden_with_it():
    pixels, labels = sample()
    pixels[:, :200] = (170, 90, 150)  # without noise, so that the picture says what is where
    taught = np.where(labels == TISSUE, 200, 30).astype(np.uint8)
    moving = dataclasses.replace(NOTHING, flip=1.0, rotate=1.0)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        image, own = augmented_patch(pixels, labels, LIGHT, 256, moving, rng, taught=taught)
        assert np.array_equal(own == 200, image[..., 1] < 150)
        assert set(np.unique(own)) <= {30, 200}
    covered = 0
    for seed in range(10):
        settings = dataclasses.replace(NOTHING, pen=1.0, frame_marks=1.0)
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        _, own = augmented_patch(pixels, labels, LIGHT, 256, settings, rngs[0], taught=taught)
        _, plain = augmented_patch(pixels, labels, LIGHT, 256, settings, rngs[1])
        assert not ((own == IGNORED) & (plain != IGNORED)).any()
        covered += ((own == IGNORED) & (plain == IGNORED)).sum()
    assert covered > 0


def test_targets_are_shares_of_tissue_of_what_scores():
    labels = np.full((8, 8), GLASS, np.uint8)
    labels[:4, :2] = TISSUE
    labels[:4, 2:4] = IGNORED  # half of the block scores, and all that scores is tissue
    labels[:4, 4:8] = 51  # a probability of 0.2
    labels[4:, :3] = IGNORED  # a quarter of the block scores
    assert targets(labels, 4) == pytest.approx(np.array([[1, 0.2], [UNSCORED_TARGET, 0]]))
    whole = targets(labels)
    assert np.array_equal(whole == UNSCORED_TARGET, labels == IGNORED)
    assert (whole[:4, :2] == 1).all()
    assert whole[0, 5] == pytest.approx(0.2)


def test_a_teacher_teaches_within_what_scores_and_has_its_share_there():
    slide = SyntheticSlide(Size(4096, 4096), seed=12, tissue_fraction=0.5)
    pixels = slide.render(Region(0, 0, 512, 512), 8)
    labels = np.where(slide.truth(Region(0, 0, 512, 512), 8), TISSUE, GLASS).astype(np.uint8)
    labels[:, 400:] = IGNORED  # padding, of which nothing is learnt
    labels[200:220, 100:300] = IGNORED
    found = LiteRtNetwork(load_weights(FLOAT32), 1).tissue(white_balanced(pixels, LIGHT))
    alone = Teacher(FLOAT32, 1.0).taught(pixels, labels, LIGHT)
    half = Teacher(FLOAT32, 0.5).taught(pixels, labels, LIGHT)
    assert (alone[:, 400:] == IGNORED).all()
    assert not (alone[:, :400] == IGNORED).any()
    assert np.abs(alone[:, :400] / 255.0 - found[:, :400]).max() < 0.01
    gap = (slice(200, 220), slice(100, 300))
    assert np.array_equal(half[gap], alone[gap])
    scores = (labels != IGNORED) & (half != 127)
    expected = (labels / 255.0 + found) / 2
    assert np.abs(half / 255.0 - expected)[scores].max() < 0.01


def patches_of(counts):
    """{(power, source): count} as patches."""
    listed = [Patch(0, power, source) for (power, source), count in counts.items() for _ in range(count)]
    return [dataclasses.replace(patch, number=number) for number, patch in enumerate(listed)]


def test_an_epoch_draws_powers_alike_and_sources_in_turn():
    patches = patches_of({(2.5, 0): 50, (2.5, 1): 2, (10.0, 2): 5})
    drawn = epoch_patches(patches, 2000, {}, np.random.default_rng(1))
    powers = Counter(patch.power for patch in drawn)
    assert abs(powers[2.5] - 1000) < 120
    sources = Counter(patch.source for patch in drawn if patch.power == 2.5)
    assert abs(sources[0] - sources[1]) <= 1


def test_nothing_is_drawn_twice_before_all_was_drawn_once():
    patches = patches_of({(2.5, 0): 30})
    drawn = epoch_patches(patches, 30, {}, np.random.default_rng(1))
    assert {patch.number for patch in drawn} == set(range(30))


def test_power_weights_decide_and_powers_without_one_are_left_out():
    patches = patches_of({(2.5, 0): 5, (5.0, 0): 5, (20.0, 0): 5})
    drawn = epoch_patches(patches, 1000, {"2.5": 3, "5": 1}, np.random.default_rng(1))
    powers = Counter(patch.power for patch in drawn)
    assert powers[20.0] == 0
    assert abs(powers[2.5] - 750) < 60


def test_power_weights_that_fit_no_patch_are_refused():
    with pytest.raises(TrainingError, match="no weight for 5"):
        epoch_patches(patches_of({(5.0, 0): 5}), 10, {"2.5": 1}, np.random.default_rng(1))


def test_validation_takes_every_patch_once_and_every_source_alike():
    patches = patches_of({(2.5, 0): 60, (2.5, 1): 4, (10.0, 2): 5})
    chosen = _spread(patches, 12, seed=1)
    assert len({patch.number for patch in chosen}) == 12
    assert Counter(patch.source for patch in chosen) == {0: 4, 1: 4, 2: 4}
    assert len(_spread(patches, 64, seed=1)) == 64
    assert chosen == _spread(patches, 12, seed=1)


def test_neither_test_nor_validation_nor_unlicensed_sources_are_learnt_from():
    settings = TrainingSettings(validation_groups=("v",), held_out_groups=("h",))
    source = PatchSource("a", "g", "train", "CC0", may_train=True, light=(240.0, 240.0, 240.0))
    assert learns_from(settings, source)
    for change in ({"group": "v"}, {"group": "h"}, {"split": "test"}, {"may_train": False}):
        assert not learns_from(settings, dataclasses.replace(source, **change))


def test_folds_hold_every_group_once():
    groups = [f"g{number}" for number in range(17)]
    dealt = folds(groups, 5, 1)
    assert sorted(group for fold in dealt for group in fold) == sorted(groups)
    assert {len(fold) for fold in dealt} == {3, 4}
    assert dealt == folds(groups[::-1], 5, 1)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/training").glob("tissue-*.toml")), ids=lambda path: path.stem
)
def test_every_shipped_training_config_is_one(path):
    assert load_settings(path, TrainingSettings).patches


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("patches = [", "not a TOML file"),
        ("", "is empty, 0 bytes"),
        ("seed = 1", "names at least one patch set"),
        ("patches = ['a']\nseeds = 1", "unknown setting seeds"),
        ("patches = ['a']\n[network]\nwidth = 1", "unknown setting network.width"),
        ("patches = ['a']\nbatch = 0", "1 or more"),
        ("patches = ['a']\nbatch = 1.5", "expected int"),
        ("patches = ['a']\nlearning_rate = 'two'", "expected a number"),
        ("patches = ['a']\nlearning_rate = nan", "expected a number"),
        ("patches = ['a']\nlearning_rate = -1", "expected a number from 0"),
        ("patches = ['a']\nseed = -1", "seed is 0 or more"),
        ("patches = ['a']\nheld_out_groups = 'patient C'", "held_out_groups is 'patient C', expected a list"),
        ("patches = ['a']\nnetwork = 3", "expected a table"),
        ("patches = ['a']\n[network]\nfilters = [1.5]", "network.filters is"),
        ("patches = ['a']\n[network]\nnorm_momentum = 7", "below 1"),
        ("patches = ['a']\n[augmentation]\nflip = 3", "at most 1"),
        ("patches = ['a']\n[power_weights]\nfine = 1", "names 'fine'"),
        ("patches = ['a']\n[power_weights]\n5 = 0", "not all 0"),
        ("patches = ['a']\nlicensed_only = 1", "expected bool"),
        ("patches = ['a']\ncrop_px = 100", "a multiple of 32"),
        ("patches = ['a']\nloss = 'l1'", "loss is one of dice"),
        ("patches = ['a']\nteacher = 3", "teacher is 3, expected str"),
        ("patches = ['a']\nteacher_share = 2", "teacher_share is at most 1"),
        ("patches = ['a']\n[network]\nhalvings = 3", "halvings is 0 to 2"),
        ("patches = ['a']\n[network]\nhalvings = 1\nmask_stride = 4", "mask_stride is 1, 2 or 4"),
        ("patches = ['a']\nschedule = 'steps'", "schedule is one of constant"),
        ("patches = ['a']\n[network]\nfilters = [0]", "1 to 6 blocks"),
        ("patches = 3", "patches is 3, expected a list"),
    ],
)
def test_settings_that_are_wrong_are_refused(tmp_path, text, told):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(TrainingError, match=told):
        load_settings(tmp_path / "run.toml", TrainingSettings)


SETTINGS = """
patches = ["drawn.h5"]
validation_groups = ["drawn-101"]
crop_px = 64
batch = 2
patches_per_epoch = 6
epochs = {epochs}
learning_rate = 1e-3
schedule = "cosine"
loss = "dice+crossentropy"
network = {{ filters = [4, 8], bottom = 8, halvings = 1 }}
"""


def start(folder, *arguments):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-m", "wsicomp", "train", "tissue", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def train(folder, *arguments):
    """(exit code, stderr) of a whole run."""
    process = start(folder, *arguments)
    _, stderr = process.communicate()
    return process.returncode, stderr


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with a patch set of four drawn slides."""
    folder = tmp_path_factory.mktemp("train")
    rows = read_table(draw_labelled_slides(folder / "drawn", 4, 1024, 100, Stages()))
    build_patch_set(rows, folder / "drawn.h5", (5.0,), Stages())
    (folder / "run.toml").write_text(SETTINGS.format(epochs=3))
    return folder


@needs_tensorflow
@pytest.mark.slow
def test_a_run_that_stops_goes_on_to_the_same_end(drawn):
    assert train(drawn, "run.toml", "whole")[0] == 0
    killed = start(drawn, "run.toml", "halves")
    assert "epoch 1 of 3" in killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert len(json.loads((drawn / "halves/state.json").read_text())) < 3
    assert not (drawn / "halves/tissue-unet.json").exists()
    assert train(drawn, "run.toml", "halves")[0] == 0
    ends = [json.loads((drawn / run / "state.json").read_text()) for run in ("whole", "halves")]
    for figure in ("loss", "validation_loss", "dice"):
        whole, halves = ([epoch[figure] for epoch in end] for end in ends)
        assert whole == pytest.approx(halves, rel=1e-3), figure
    best = max(ends[0], key=lambda epoch: epoch["dice"])["epoch"]
    assert [path.name for path in (drawn / "whole").glob("best-*")] == [f"best-{best}.keras"]
    manifest = drawn / "whole/tissue-unet.json"
    facts = json.loads(manifest.read_text())
    assert [source["name"] for source in facts["learnt_from"]] == ["drawn-100", "drawn-102", "drawn-103"]
    assert (drawn / "whole/curves.csv").read_text().count("\n") == 4
    assert (drawn / "whole/curves.png").read_bytes().startswith(b"\x89PNG")
    for name in ("tissue-unet", "tissue-unet-float32"):
        weights = load_weights(drawn / f"whole/{name}.json")
        assert weights.name == name
        probability = LiteRtNetwork(weights, 2).tissue(np.zeros((512, 512, 3), np.uint8))
        assert 0 <= probability.min() <= probability.max() <= 1
    sizes = [(drawn / f"whole/tissue-unet{kind}.tflite").stat().st_size for kind in ("", "-float32")]
    assert sizes[0] < sizes[1]
    for arguments, wrong in (
        (["whole", "--epochs", "5"], "holds a run with other settings"),
        (["new", "--name", "../x"], "the name is '../x'"),
        (["run.toml"], "is no folder"),
    ):
        code, told = train(drawn, "run.toml", *arguments)
        assert code == 1
        assert wrong in told
        assert told.splitlines()[-1].startswith("wsicomp: ")
    (drawn / "halves/state.json").write_text("[{}]")
    code, told = train(drawn, "run.toml", "halves")
    assert code == 1
    assert "holds no run that can go on" in told.splitlines()[-1]


@needs_tensorflow
@pytest.mark.slow
def test_a_small_network_learns_from_a_large_one_and_its_mask_is_enlarged(drawn):
    large = f'teacher = "{FLOAT32}"'
    small = "halvings = 2, normalised_stem = true, expanding_depth = 1, mask_stride = 4"
    text = SETTINGS.format(epochs=1).replace("halvings = 1", small)
    (drawn / "small.toml").write_text(f"{large}\n{text}")
    code, told = train(drawn, "small.toml", "small")
    assert code == 0, told
    weights = load_weights(drawn / "small/tissue-unet.json")
    assert (weights.patch_px, weights.mask_px) == (512, 128)
    assert len(weights.litert) < 35_000  # weights alone, without what training needs
    probability = LiteRtNetwork(weights, 1).tissue(np.full((512, 512, 3), 200, np.uint8))
    assert probability.shape == (512, 512)
    assert 0 <= probability.min() <= probability.max() <= 1
    facts = json.loads((drawn / "small/tissue-unet.json").read_text())
    assert facts["settings"]["teacher"] == str(FLOAT32)
    wrong = {**facts, "mask_px": 512}
    (drawn / "small/wrong.json").write_text(json.dumps(wrong))
    with pytest.raises(WeightsError, match="float32 of 512 px"):
        LiteRtNetwork(load_weights(drawn / "small/wrong.json"), 1)


@needs_tensorflow
@pytest.mark.slow
def test_every_slide_is_measured_by_a_network_that_never_saw_it(drawn, capsys):
    code, told = train(drawn, "run.toml", "folds", "--folds", "3", "--epochs", "1")
    assert code == 0, told
    held = json.loads((drawn / "folds/folds.json").read_text())
    assert sorted(held) == ["drawn-100", "drawn-101", "drawn-102", "drawn-103"]
    for group, manifest in held.items():
        facts = json.loads((drawn / "folds" / manifest).read_text())
        assert group not in [source["group"] for source in facts["learnt_from"]]
        assert group not in facts["settings"]["validation_groups"]
    table = drawn / "drawn/table.tsv"
    arguments = ["evaluate", "tissue", str(table), str(drawn / "measured"), "--folds"]
    assert main([*arguments, str(drawn / "folds/folds.json")]) == 0
    assert "unet" in capsys.readouterr().out
    code, told = train(drawn, "run.toml", "few", "--folds", "9")
    assert code == 1
    assert "9 folds of 4 groups" in told


KERAS = """
import sys, numpy as np, keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
patches = np.load(sys.argv[2])
np.save(sys.argv[2], np.stack([np.asarray(model.predict_on_batch(own[None]))[0, ..., 1] for own in patches]))
"""


@needs_tensorflow
@pytest.mark.slow
def test_the_shipped_keras_and_litert_files_are_one_network(tmp_path):
    slide = SyntheticSlide(Size(8192, 8192), seed=12, tissue_fraction=0.5)
    patches = [slide.render(Region(x, y, 512, 512), 8) for x in (0, 512) for y in (0, 512)]
    np.save(tmp_path / "patches.npy", np.stack(patches))
    model = SHIPPED.with_suffix(".keras")
    command = [sys.executable, "-W", "ignore", "-c", KERAS, str(model), str(tmp_path / "patches.npy")]
    subprocess.run(command, check=True, capture_output=True)
    by_keras = np.stack([enlarged(own, 512) for own in np.load(tmp_path / "patches.npy")])
    assert 0.2 < (by_keras > 0.5).mean() < 0.9
    for manifest, least_alike, most_apart in ((FLOAT32, 0.9999, 1e-3), (SHIPPED, 0.998, 0.5)):
        network = LiteRtNetwork(load_weights(manifest), 2)
        by_litert = np.stack([network.tissue(patch) for patch in patches])
        assert ((by_litert > 0.5) == (by_keras > 0.5)).mean() >= least_alike
        assert np.abs(by_litert - by_keras).max() < most_apart


def test_the_dataset_commands_make_what_training_reads(tmp_path, capsys):
    assert main(["dataset", "draw", str(tmp_path / "d"), "--count", "1", "--size", "1024"]) == 0
    table, target = tmp_path / "d/table.tsv", tmp_path / "p.h5"
    assert main(["dataset", "build", str(table), str(target), "--power", "5", "--power", "10"]) == 0
    assert "2 patches of 1 slide: 1 at 5x, 1 at 10x" in capsys.readouterr().out
    for arguments, told, code in (
        (["dataset", "build", str(table), str(target)], "exists already", 1),
        (["dataset", "build", str(table), str(table), "--overwrite"], "is an input", 1),
        (
            ["dataset", "build", str(table), str(tmp_path / "q.h5"), "--split", "none"],
            "no row of that split",
            1,
        ),
        (["dataset", "build", str(table), str(tmp_path / "q.h5"), "--power", "0"], "expected 0.1 to 40", 2),
        (["dataset", "draw", str(tmp_path / "d")], "is not empty", 1),
        (["dataset", "draw", str(tmp_path / "e"), "--count", "0"], "--count is 0, expected 1 to 1000", 2),
        (["dataset", "draw", str(table / "e"), "--count", "1", "--size", "256"], "is no folder", 1),
    ):
        assert main(arguments) == code
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1


@needs_tensorflow
@pytest.mark.slow
def test_a_folder_that_is_no_run_is_left_alone(drawn):
    folder = drawn / "notes"
    folder.mkdir()
    (folder / "best-model.keras").write_text("mine")
    code, told = train(drawn, "run.toml", "notes")
    assert code == 1
    assert "holds no run" in told.splitlines()[-1]
    assert [path.name for path in folder.iterdir()] == ["best-model.keras"]


@pytest.mark.parametrize("name", ["state", "settings", "last-0", "best-12"])
def test_a_network_is_not_named_as_the_run_s_own_files(name):
    with pytest.raises(TrainingError, match="a file of the run"):
        check_name(name)


def test_the_um_per_px_of_a_slide_are_its_own(tmp_path):
    row = LabelledSlide("a", tmp_path / "a.svs", None, ALL_GLASS, 4.0, "train", "a", "none", True)
    with pytest.raises(TrainingError, match="um_per_px is for pictures"):
        open_truth(row)


@needs_tensorflow
@pytest.mark.gate
def test_the_paper_network_has_its_parameters():
    code = (
        "from wsicomp.training.tissue.network import build_unet as build;"
        "from wsicomp.training.tissue.settings import NetworkSettings as S;"
        "print(build(S()).count_params())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split()[-1] == "1997986"
    assert NetworkSettings().filters == (32, 32, 64, 128, 128)
