"""Measuring segmenters: figures that can be counted by hand, and the command with its page."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from wsicomp.cli import main
from wsicomp.errors import MissingExtraError
from wsicomp.extras import require
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.progress import no_progress
from wsicomp.synthetic import SyntheticSlide
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.segmenters.weights import SHIPPED
from wsicomp.training.data.labels import GLASS, IGNORED, TISSUE, open_truth
from wsicomp.training.data.slide_table import read_table
from wsicomp.training.tissue.brightness import BrightenedSlide
from wsicomp.training.tissue.evaluate import EvaluationSettings, _tile_truth, evaluate
from wsicomp.training.tissue.scores import agreement, inner_tissue


def test_agreement_counts_what_scores():
    labels = np.array([[TISSUE, TISSUE, GLASS, GLASS, IGNORED, IGNORED]], np.uint8)
    found = np.array([[True, False, True, False, True, False]])
    counted = agreement(found, labels)
    assert (counted.hit, counted.missed, counted.false, counted.glass) == (1, 1, 1, 2)
    assert counted.dice == pytest.approx(0.5)
    assert counted.iou == pytest.approx(1 / 3)
    assert (counted.recall, counted.precision, counted.glass_cost) == (0.5, 0.5, 0.5)


def test_glass_alone_scores_one_if_nothing_is_found():
    labels = np.zeros((4, 4), np.uint8)
    assert agreement(np.zeros((4, 4), np.bool_), labels).dice == 1
    assert agreement(np.eye(4, dtype=np.bool_), labels).dice == 0


def test_inner_tissue_is_farther_than_20_um_from_what_is_not_tissue():
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 10:50] = TISSUE
    inner = inner_tissue(labels, 4.0)
    assert inner.sum() == 30 * 30
    assert inner[15:45, 15:45].all()
    assert not inner_tissue(np.zeros((9, 9), np.uint8), 4.0).any()


def test_added_brightness_stops_at_black_and_white():
    slide = PictureSlide("a.png", np.array([[[0, 100, 250]]], np.uint8), 1.0)
    region = Region(0, 0, 1, 1)
    assert BrightenedSlide(slide, 75).read_region(0, region).tolist() == [[[75, 175, 255]]]
    assert BrightenedSlide(slide, -75).read_tile(TileIndex(0, 0, 0))[0, 0].tolist() == [0, 25, 175]
    assert BrightenedSlide(slide, 5).info is slide.info


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return draw_table(tmp_path_factory.mktemp("evaluate"), Size(700, 600))


def draw_table(folder, size):
    """Two drawn slides of a size at 4 um per px with their true masks; one name needs escaping."""
    lines = ["name\timage\tmask\tum_per_px\tsplit\tsource_group\tdifficulty"]
    for number, (name, split) in enumerate((("one", "test"), ("two&<b>", "train"))):
        whole = Size(8 * size.width, 8 * size.height)
        slide = SyntheticSlide(whole, seed=50 + number, tissue_fraction=0.3, pen=number == 1)
        region = Region(0, 0, size.width, size.height)
        Image.fromarray(slide.render(region, 8)).save(folder / f"{number}.png")
        Image.fromarray(slide.truth(region, 8).astype(np.uint8) * 255).save(folder / f"{number}-mask.png")
        lines.append(f"{name}\t{number}.png\t{number}-mask.png\t4\t{split}\tp{number}\tpen & dust")
    (folder / "table.tsv").write_text("\n".join(lines) + "\n")
    return folder / "table.tsv"


class Known:
    """A segmenter that says what it was told."""

    def __init__(self, pixels):
        self._pixels = pixels

    def segment(self, slide, overview, workers, progress):
        return TissueMask(self._pixels, slide.info.size, 1.0, 1.0, "known")


def test_perfect_and_blind_segmenters_measure_as_they_must(table):
    row = read_table(table)[0]
    true = np.asarray(Image.open(row.mask)) > 0
    ways = {"perfect": Known(true), "blind": Known(np.zeros_like(true))}
    found = evaluate([row], lambda *_: ways, EvaluationSettings((2.5, 1.25)), None, no_progress)
    scores = {(score.method, score.magnification): score.agreement for score in found.scores}
    assert scores["perfect", 2.5].dice == 1
    assert scores["perfect", 1.25].dice > 0.97
    assert scores["blind", 2.5].dice == 0
    perfect, blind = found.costs
    assert perfect.lost_by_mask_px == perfect.lost_px == 0
    assert perfect.inner_px == blind.inner_px > 10_000
    assert blind.lost_by_mask_px == blind.inner_px
    assert blind.lost_px == 0, "the guard keeps what the mask does not see"
    assert perfect.glass_tiles == blind.glass_tiles > 50
    assert perfect.kept_by_mask_tiles <= perfect.kept_tiles < perfect.glass_tiles


@pytest.mark.gate
def test_the_command_measures_and_makes_a_page(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs the train extra")
    table = draw_table(tmp_path, Size(480, 480))
    target = tmp_path / "measured"
    arguments = ["evaluate", "tissue", str(table), str(target)]
    assert main([*arguments, "--brightness", "--magnification", "2.5", "--magnification", "1.25"]) == 0
    out = capsys.readouterr().out
    assert "threshold" in out
    assert "glass tiles kept" in out
    with (target / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2
    unet = [float(row["dice"]) for row in rows if row["method"] == "unet" and row["magnification"] == "2.5"]
    assert min(unet) > 0.8, "half of one is pale fat"
    with (target / "brightness.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 9
    with (target / "tiles.csv").open() as file:
        assert {row["remarks"] for row in csv.DictReader(file)} == {"pen & dust"}
    page = (target / "index.html").read_text()
    assert "two&amp;&lt;b&gt;" in page
    assert "<b>" not in page
    assert main(arguments) == 1
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--split", "test"]) == 0


def test_no_input_is_in_the_folder_that_is_written(table, capsys):
    before = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    assert main(["evaluate", "tissue", str(table), str(table.parent), "--overwrite"]) == 1
    assert "an input; name another folder" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in table.parent.iterdir()}


def test_a_folder_that_is_a_file_is_refused_before_anything_is_measured(table, tmp_path, capsys):
    (tmp_path / "m").write_text("mine")
    assert main(["evaluate", "tissue", str(table), str(tmp_path / "m"), "--overwrite"]) == 1
    assert "is no folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.gate
def test_tiles_are_counted_alike_whatever_their_size(table):
    row = read_table(table)[0]
    truth = open_truth(row, 128.0)
    inner, glass = inner_tissue(truth.labels, 4.0), truth.labels == GLASS
    tiles = _tile_truth(truth)
    assert tiles.inner_px.sum() == inner.sum()
    for index in truth.slide.info.levels[0].grid.raster(0):
        region = truth.slide.info.levels[0].grid.region(index.column, index.row)
        there = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
        assert tiles.inner_px[index.row, index.column] == inner[there].sum()
        assert tiles.is_glass[index.row, index.column] == glass[there].all()


@pytest.mark.gate
def test_a_network_says_what_it_has_learnt_from(table, tmp_path, capsys):
    facts = json.loads(SHIPPED.read_text())
    facts["learnt_from"] = [{"name": "one", "group": "p0", "licence": "CC0"}]
    shutil.copy(SHIPPED.with_suffix(".tflite"), tmp_path)
    (tmp_path / "net.json").write_text(json.dumps(facts))
    options = ["--weights", str(tmp_path / "net.json")]
    assert main(["evaluate", "tissue", str(table), str(tmp_path / "m"), *options]) == 0
    assert "has learnt from one:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--split", "none"], "no row"),
        (["--weights", "gone.json"], "gone.json: no such file"),
        (["--folds", "gone.json"], "gone.json: no such file"),
    ],
)
def test_what_cannot_be_measured_is_one_line(table, tmp_path, capsys, options, told):
    assert main(["evaluate", "tissue", str(table), str(tmp_path / "m"), *options]) == 1
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_magnification_out_of_range_is_wrong_usage(table, tmp_path, capsys):
    command = ["evaluate", "tissue", str(table), str(tmp_path / "m"), "--magnification", "100"]
    assert main(command) == 2
    assert "--magnification is 100.0, expected 0.5 to 40\n" in capsys.readouterr().err


def test_a_missing_extra_is_named_with_its_command():
    with pytest.raises(MissingExtraError, match=r"pip install 'wsicomp\[train\]'"):
        require("train", "no_such_module")
