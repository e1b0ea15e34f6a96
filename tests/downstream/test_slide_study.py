"""A study on drawn sections: the network that ships, and the tissue network trained on compressed patches."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from wsicomp.downstream.jpeg2000_rates import picture_at_rate
from wsicomp.downstream.settings import StudySettings
from wsicomp.downstream.slide_material import SlideMaterial, compressed_patch_set
from wsicomp.downstream.study import run_study
from wsicomp.downstream.study_verdict import losses_of_testing, matrix
from wsicomp.errors import TrainingError
from wsicomp.progress import Stages, no_progress
from wsicomp.training.data.patch_set import build_patch_set, open_patch_set
from wsicomp.training.data.slide_table import read_table

_ROWS = (("a", "test"), ("b", "test"), ("glass", "test"), ("c", "train"), ("d", "train"), ("e", "train"))
_TRAINING = """
patches = ["replaced.h5"]
validation_groups = ["e"]
crop_px = 64
batch = 2
patches_per_epoch = 4
epochs = 1
[network]
filters = [4, 4]
bottom = 4
"""


def _section(seed: int, has_tissue: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of 512 px with a textured pink piece on bright glass, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((512, 512), np.uint8)
    if has_tissue:
        centre = tuple(int(each) for each in rng.integers(200, 300, 2))
        cv2.ellipse(mask, centre, (150, 110), 30 * seed, 0, 360, 255, -1)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (512, 512, 1)).astype(np.float32), (0, 0), 2)[..., None]
    tissue = np.array([195, 110, 165], np.float32) + texture
    pixels = np.where(mask[..., None] > 0, tissue, np.array([238, 237, 239], np.float32))
    return (pixels + rng.normal(0, 2, pixels.shape)).clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    lines = ["name,image,mask,um_per_px,split"]
    for number, (name, split) in enumerate(_ROWS):
        pixels, mask = _section(number, name != "glass")
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}-mask.png")
        lines.append(f"{name},{name}.png,{name}-mask.png,4,{split}")
    (folder / "table.csv").write_text("\n".join(lines))
    target = folder / "sections.h5"
    build_patch_set(read_table(folder / "table.csv"), target, (2.5,), Stages())
    return target


def test_the_network_that_ships_is_tested_without_training(patches, tmp_path):
    settings = StudySettings(kind="slides", data=str(patches), rates=(1, 10, 100), few_shot=(), seeds=1)
    found = run_study(settings, tmp_path)
    assert set(found.patients) == {"a", "b"}, "glass alone has no Dice"
    assert [round(each.achieved) for each in found.rates[1:]] == [10, 100]
    assert matrix(found)[0].dice.mean > 0.9
    assert [each.rate for each in losses_of_testing(found)] == [10, 100]
    assert json.loads((tmp_path / "networks/rate-1-1").read_text())["manifest"].endswith("tissue-unet.json")


def test_a_compressed_patch_set_holds_what_decoders_give(patches, tmp_path):
    size = compressed_patch_set(patches, tmp_path / "less.h5", 20, no_progress)
    with open_patch_set(patches) as one, open_patch_set(tmp_path / "less.h5") as other:
        assert one.sources == other.sources
        coded = [picture_at_rate(one.read(patch)[0], 20) for patch in one.patches]
        assert size == sum(each.bytes for each in coded)
        for patch, each in zip(other.patches, coded, strict=True):
            assert np.array_equal(other.read(patch)[0], each.samples)
            assert np.array_equal(other.read(patch)[1], one.read(patch)[1])


def test_rows_of_other_rates_need_settings_of_training(patches):
    settings = StudySettings(kind="slides", data=str(patches), rows="all", few_shot=())
    with pytest.raises(TrainingError, match="training has to name the settings"):
        SlideMaterial(settings, no_progress)


@pytest.mark.slow
def test_the_tissue_network_is_trained_at_every_rate(patches, tmp_path):
    (tmp_path / "training.toml").write_text(_TRAINING)
    settings = StudySettings(
        kind="slides",
        data=str(patches),
        rates=(1, 20),
        rows="all",
        few_shot=(),
        seeds=1,
        training=str(tmp_path / "training.toml"),
    )
    found = run_study(settings, tmp_path / "out")
    assert [network.row.rate for network in found.networks] == [1, 20]
    assert all(0 <= cell.dice.mean <= 1 for cell in matrix(found))
    stages = set()
    run_study(replace(settings, margin=0.02), tmp_path / "out", lambda stage, _done, _all: stages.add(stage))
    assert stages == {"read"}
