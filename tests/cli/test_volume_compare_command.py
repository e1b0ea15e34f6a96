"""The command line of comparisons of volumes: what it says, what it writes, what it refuses."""

import csv
import json

import nibabel
import numpy as np
import pytest
from skimage.metrics import structural_similarity

import wsicomp
from wsicomp.cli import main
from wsicomp.volumes.phantom import drawn_volume

pytestmark = pytest.mark.gate


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A drawn CT and its labels, as NIfTI."""
    folder = tmp_path_factory.mktemp("drawn")
    found = drawn_volume(1, (5, 40, 48))
    affine = np.diag([-found.spacing[0], -found.spacing[1], found.spacing[2], 1])
    for name, voxels in (("ct", found.voxels), ("labels", found.labels)):
        nibabel.save(nibabel.Nifti1Image(voxels.T, affine), folder / f"{name}.nii.gz")
    return folder, found


def test_candidates_are_rows_of_page_tables_and_text(drawn, tmp_path, capsys):
    folder, found = drawn
    out = tmp_path / "out"
    words = ["--codec", "jpegls", "--codec", "jpegxl+rest_codec=jpeg+rest_quality=1"]
    words += ["--roi", str(folder / "labels.nii.gz"), "--workers", "2"]
    assert main(["volume", "compare", str(folder / "ct.nii.gz"), "--out", str(out), *words]) == 0
    assert "jpegls" in capsys.readouterr().out
    (exact, coarse) = json.loads((out / "results.json").read_text())["rows"]
    assert exact["is_exact"]
    assert exact["ratio"] == pytest.approx(found.voxels.nbytes / exact["bytes"])
    assert coarse["inside"]["changed"] == 0
    assert coarse["inside"]["voxels"] == np.count_nonzero(found.labels)
    assert coarse["outside"]["most_error"] > 0
    assert coarse["compress_cpu_s"] > 0
    with (out / "results.csv").open(newline="") as file:
        assert [row["candidate"] for row in csv.DictReader(file)] == [exact["candidate"], coarse["candidate"]]
    is_what_a_user_gets(coarse, folder, found, tmp_path / "ct.wsiv")
    assert {"index.html", "page.js", "volume-0.js", "volume-0-1.js"} <= {path.name for path in out.iterdir()}
    assert main(["volume", "compare", str(folder / "ct.nii.gz"), "--out", str(out), *words]) == 1
    assert "is not empty; name another folder or --overwrite" in capsys.readouterr().err


def is_what_a_user_gets(row, folder, drawn, target):
    """Hold a row against the file that the other command writes, and against sums and scikit-image."""
    words = ["--roi", str(folder / "labels.nii.gz"), "--rest-codec", "jpeg", "--rest-quality", "1"]
    assert main(["volume", "compress", str(folder / "ct.nii.gz"), str(target), *words]) == 0
    assert row["bytes"] == target.stat().st_size
    with wsicomp.open_volume(target) as volume:
        found = np.asarray(volume).T.astype(float)
    source, inside = drawn.voxels.astype(float), drawn.labels > 0
    error, span = np.abs(found - source), np.ptp(source)
    assert row["inside"]["most_error"] == error[inside].max() == 0
    assert row["outside"]["most_error"] == error[~inside].max()
    assert row["outside"]["psnr_db"] == pytest.approx(
        20 * np.log10(4096 / np.sqrt((error[~inside] ** 2).mean()))
    )
    assert row["whole"]["psnr_range_db"] == pytest.approx(20 * np.log10(span / np.sqrt((error**2).mean())))
    settings = {"data_range": span, "gaussian_weights": True, "use_sample_covariance": False}
    each = [structural_similarity(*pair, **settings) for pair in zip(source, found, strict=True)]
    assert row["ssim"] == pytest.approx(np.mean(each))


def test_what_fails_is_a_row_or_a_line_and_the_exit_code_says_so(drawn, tmp_path, capsys):
    folder, _ = drawn
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no volume")
    words = ["--codec", "jpegls", "--codec", "jpegls+roi", "--roi", str(tmp_path / "none.nii")]
    out = tmp_path / "out"
    assert main(["volume", "compare", str(folder / "ct.nii.gz"), str(bad), "--out", str(out), *words]) == 1
    said = capsys.readouterr().out
    assert "no file: ct.nii.gz, jpegls+roi: " in said
    assert "failed: bad.nii.gz: " in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--codec", "jpgxl"], "did you mean jpegxl"),
        (["--codec", "jpegxl+roi"], "jpegxl+roi needs --roi"),
        (["--modality", "PET"], "expected one of CT, MR"),
    ],
)
def test_another_command_line_is_refused_before_anything_is_read(tmp_path, capsys, words, said):
    out = tmp_path / "out"
    assert main(["volume", "compare", "none.nii", "--out", str(out), *words]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
