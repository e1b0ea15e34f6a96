"""A whole study on drawn volumes: trained, tested, stopped, gone on with, told; and what it refuses."""

import csv
import json
import re
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from tests.downstream.drawn_heads import write_heads
from wsicomp.cli import main
from wsicomp.downstream.labelled_volumes import deal_patients, patients_of, samples_of
from wsicomp.downstream.settings import CodingSettings, SplitSettings, load_study
from wsicomp.downstream.study import rows_of_study, run_study
from wsicomp.downstream.volume_material import VolumeMaterial
from wsicomp.errors import TrainingError
from wsicomp.files.shipped import shipped_folder
from wsicomp.progress import no_progress

_CONFIG = """
kind = "volumes"
data = "heads"
rates = [1, 20]
rows = "all"
few_shot = []
seeds = 1
[split]
numbers_of_patient = 2
[learning]
filters = [6, 8]
steps = 100
batch = 16
crop_px = [16, 16]
report_steps = 50
learning_rate = 1e-2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_heads(folder / "heads", 20)
    (folder / "study.toml").write_text(_CONFIG)
    return folder


def test_a_whole_study_learns_goes_on_and_tells(folder, capsys):
    out = folder / "out"
    command = ["study", "downstream", str(folder / "study.toml"), "--out", str(out)]
    assert main(command) == 0
    assert "index.html" in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert [network["row"]["rate"] for network in results["networks"]] == [1, 20]
    assert {network["cases"] for network in results["networks"]} == {14}
    best = results["matrix"][0]
    assert best["dice"]["mean"] > 0.5, "bright blobs are found"
    assert results["rates"][1]["achieved"] == pytest.approx(20, rel=0.1)
    _check_tables(out, results)
    page = (out / "index.html").read_text()
    assert results["verdict"] in page
    assert "Published figures" in page
    _check_that_it_goes_on(folder, out)


def _check_tables(out, results):
    with (out / "cases.csv").open() as file:
        rows = [
            row for row in csv.DictReader(file) if row["learnt_from"] == "rate-1" and row["tested_at"] == "1"
        ]
    assert {row["patient"] for row in rows} == set(results["patients"].values())
    mean = np.mean([float(row["dice"]) for row in rows])
    with (out / "matrix.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["dice"]) == pytest.approx(mean, abs=1e-4)


def _check_that_it_goes_on(folder, out):
    """What is done stays as it was; a cell that is gone is made again, and the same."""
    kept = (out / "cells" / "rate-1-1.json").read_bytes()
    gone = json.loads((out / "cells" / "rate-20-1.json").read_text())
    (out / "cells" / "rate-20-1.json").unlink()
    stages = set()
    settings = load_study(folder / "study.toml")
    found = run_study(settings, out, lambda stage, _done, _all: stages.add(stage))
    assert stages == {"read", "train rate-20-1", "test rate-20-1"}
    assert (out / "cells" / "rate-1-1.json").read_bytes() == kept
    again = next(network for network in found.networks if network.row.rate == 20)
    assert again.key == gone["key"]
    assert again.curve[-1].loss == pytest.approx(gone["curve"][-1]["loss"], rel=1e-3)


def test_few_cases_take_as_many_bytes_as_all_do_compressed(folder):
    settings = load_study(folder / "study.toml")
    material = VolumeMaterial(settings, no_progress)
    compressed = sum(material._at(5, no_progress)[number].bytes for number in material._parts.learning)
    chosen = [material._few(5, seed) for seed in range(5)]
    case = 20 * 24 * 9 * 12 // 8
    assert {len(few) for few in chosen} == {compressed // case}
    assert len(set(chosen)) > 1, "seeds choose others"
    assert all(set(few) <= set(material._parts.learning) for few in chosen)
    assert len(material._few(1000, 1)) == 1


def test_no_patient_is_in_two_parts():
    patients = [str(number // 3) for number in range(90)]
    parts = deal_patients(patients, SplitSettings(), None)
    groups = [
        {patients[number] for number in part} for part in (parts.learning, parts.validation, parts.test)
    ]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert sorted((*parts.learning, *parts.validation, *parts.test)) == list(range(90))
    assert len(parts.test) == 24


def test_patients_come_from_a_table_or_from_numbers(tmp_path):
    (tmp_path / "patients.csv").write_text("name,patient\na.nii.gz,P1\nb.nii.gz,P1\n")
    table = SplitSettings(patients=str(tmp_path / "patients.csv"))
    assert patients_of(["a", "b"], table) == {"a": "P1", "b": "P1"}
    with pytest.raises(TrainingError, match=r"patients\.csv: no patient for c"):
        patients_of(["a", "c"], table)
    assert patients_of(["h_1", "h_2", "h_3"], SplitSettings(numbers_of_patient=2)) == {
        "h_1": "1",
        "h_2": "1",
        "h_3": "2",
    }
    with pytest.raises(TrainingError, match="no number in head"):
        patients_of(["head"], SplitSettings(numbers_of_patient=2))


@pytest.mark.parametrize(
    ("values", "modality", "bits", "peak", "dtype"),
    [
        ([0, 200], "MR", 8, 200, np.uint8),
        ([-5, 3000], "MR", 12, 3005, np.uint16),
        ([0, 1.5e6], "MR", 12, 4095, np.uint16),
        ([0.0, 0.5, 1.0], "MR", 12, 4095, np.uint16),
        ([-2000, 0, 5000], "CT", 12, 4096, np.uint16),
    ],
)
def test_values_become_samples_of_few_bits(values, modality, bits, peak, dtype):
    voxels = np.array(values, np.float64).reshape(1, 1, -1)
    found, depth, top = samples_of(voxels, CodingSettings(modality=modality), None)
    assert (depth, top, found.dtype) == (bits, peak, dtype)
    assert found.max() < 1 << bits
    assert found.min() == 0


def _removed(folder):
    (folder / "labels" / "head_003.nii").unlink()


def _other_shape(folder):
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((20, 24, 8), np.uint8), np.eye(4)), folder / "labels/head_003.nii"
    )


def _elsewhere(folder):
    labels = np.ones((20, 24, 9), np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([1.0, 1, 2, 1])), folder / "labels/head_003.nii")


def _fraction(folder):
    nibabel.save(nibabel.Nifti1Image(np.full((20, 24, 9), 0.5), np.eye(4)), folder / "labels/head_003.nii")


def _gap(folder):
    nibabel.save(
        nibabel.Nifti1Image(np.full((20, 24, 9), 7, np.uint8), np.eye(4)), folder / "labels/head_003.nii"
    )


def _constant(folder):
    nibabel.save(
        nibabel.Nifti1Image(np.ones((20, 24, 9), np.uint8), np.eye(4)), folder / "images/head_003.nii"
    )


def _not_finite(folder):
    voxels = np.full((20, 24, 9), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "images/head_003.nii")


def _cut(folder):
    path = folder / "images/head_003.nii"
    path.write_bytes(path.read_bytes()[:1000])


def _no_folder(folder):
    (folder / "labels").rename(folder / "truth")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_removed, r"head_003\.nii: has no labels in"),
        (_other_shape, r"shape \(20, 24, 8\), expected \(20, 24, 9\)"),
        (_elsewhere, "lies elsewhere"),
        (_fraction, r"a label is 0\.5, expected whole numbers"),
        (_gap, r"labels are \[1, 2, 7\], expected 1 to 3 without gaps"),
        (_constant, "one value alone"),
        (_not_finite, "NaN or infinity"),
        (_cut, r"head_003\.nii"),
        (_no_folder, "no folder labels"),
    ],
)
def test_bad_data_end_with_one_line_and_nothing_written(tmp_path, capsys, damage, message):
    write_heads(tmp_path / "heads", 6)
    damage(tmp_path / "heads")
    (tmp_path / "study.toml").write_text(_CONFIG)
    out = tmp_path / "out"
    assert main(["study", "downstream", str(tmp_path / "study.toml"), "--out", str(out)]) == 1
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert re.search(message, told), told
    assert not out.exists()


def test_too_few_patients_are_refused(tmp_path):
    write_heads(tmp_path / "heads", 6)
    (tmp_path / "study.toml").write_text(_CONFIG)
    with pytest.raises(TrainingError, match="3 patients: 1 would test, expected 2 or more"):
        run_study(load_study(tmp_path / "study.toml"), tmp_path / "out")


def test_a_folder_with_other_files_is_left_alone(tmp_path, folder):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds no study"):
        run_study(load_study(folder / "study.toml"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('kind = "films"', "kind is one of volumes, slides"),
        ("rates = [5, 1]", "rates begin with 1"),
        ("rates = [1]", "rates begin with 1"),
        ("few_shot = [7]", "few_shot names rates over 1"),
        ("seeds = 0", "seeds is 1 to 20"),
        ("colour = 3", "unknown setting colour"),
        ('margin = "much"', "margin is 'much', expected a number"),
    ],
)
def test_settings_are_checked(tmp_path, line, message):
    (tmp_path / "study.toml").write_text(f'data = "here"\n{line}\n')
    with pytest.raises(TrainingError, match=message):
        load_study(tmp_path / "study.toml")


@pytest.mark.parametrize("name", ["volumes", "volumes-matrix", "slides"])
def test_the_configs_that_ship_are_read(name):
    settings = load_study(shipped_folder("configs") / f"studies/downstream-{name}.toml")
    rows = [row.name for row in rows_of_study(settings)]
    assert rows[0] == "rate-1"
    expected = {"volumes": 3, "volumes-matrix": 11, "slides": 1}
    assert len(rows) == expected[name]
    assert replace(settings, seeds=1).seeds == 1
