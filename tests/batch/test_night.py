"""A whole night of slides, good and bad; ledger, table and page agree with the disk to the byte."""

import csv
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests import tiffs
from tests.batch.trees import HOOKS, assert_agrees, entries, write_slide
from tests.conftest import REAL_SLIDES, SLIDES, is_small, trial_size
from wsicomp.batch import read_report
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide
from wsicomp.synthetic import write_slide as draw

pytestmark = pytest.mark.gate

SLIDES_IN_ALL = trial_size(32, 200)
BROKEN = SLIDES.parent / "broken"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("night") / "source"
    (root / "good").mkdir(parents=True)
    for number in range(trial_size(2, 5)):
        size = trial_size(Size(900, 700), Size(1500, 1200))
        draw(root / f"good/drawn {number}.svs", SyntheticSlide(size, seed=number))
    for path in trial_size(list(filter(is_small, REAL_SLIDES)), REAL_SLIDES):
        shutil.copy(path, root / "good" / path.name)
    write_slide(root / "Łódź, Ångström/päth with  späces/sl ide №1 (組織).svs", 1)
    write_slide(root / os.fsdecode(b"not utf-8 \xff\xfe.svs"), 2)
    write_slide(root / "same/x.svs", 3)
    write_slide(root / "SAME/x.svs", 4)
    write_slide(root / "linked to.svs", 5)
    (root / "a link.svs").symlink_to(root / "linked to.svs")
    (root / "loop").symlink_to(root)
    write_slide(root / ("n" * 248 + ".svs"), 6)
    bad = root / "bad"
    bad.mkdir()
    (bad / "empty.svs").touch()
    (bad / "text.tif").write_text("not a slide")
    whole = write_slide(bad / "truncated.svs", 7).read_bytes()
    (bad / "truncated.svs").write_bytes(whole[: len(whole) // 2])
    tiffs.loop_directories(write_slide(bad / "endless.svs", 8))
    tiffs.write_tiff(
        bad / "sixteen bit.tif", pixels=tiffs.picture(200, 150).astype("uint16"), compression=None, svs=False
    )
    if BROKEN.is_dir():
        for path in BROKEN.iterdir():
            shutil.copy(path, bad / path.name)
    (root / "mirax/scan").mkdir(parents=True)
    (root / "mirax/scan.mrxs").write_bytes(b"\xff\xd8 a preview")
    (root / "mirax/scan/Slidedat.ini").write_text("[GENERAL]\n")
    (root / "mirax/scan/Data0000.dat").write_bytes(bytes(1000))
    for name in ("segfault.svs", "abort.svs", "hang.svs"):
        write_slide(root / "deadly" / name)
    found = sum(1 for path in root.rglob("*") if path.suffix in (".svs", ".tif", ".tiff", ".dcm", ".mrxs"))
    for number in range(SLIDES_IN_ALL - found):
        write_slide(
            root / f"many/{number % 7}/slide {number}.{('svs', 'tif')[number % 2]}", 100 + number, 264
        )
    return root


def test_a_night_of_slides_and_every_one_accounted_for(source, tmp_path):
    target = tmp_path / "target"
    before = {path: path.lstat().st_mtime_ns for path in source.rglob("*")}
    options = ("--jobs", "2", "--stall-minutes", "0.15", "--min-free", "0")
    command = [sys.executable, "-m", "wsicomp", "batch", source, target, *options]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(HOOKS)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert_agrees(target)
    assert {path: path.lstat().st_mtime_ns for path in source.rglob("*")} == before
    found = entries(target)
    _check_ledger(found)
    _check_table(target, found, tmp_path / "slides.csv")
    _check_page(target, found, tmp_path / "report.html")


CONVERTED = ("done", "look")


def _check_ledger(found):
    causes = {name: entry.cause for name, entry in found.items() if entry.state == "failed"}
    assert causes["deadly/segfault.svs"] == causes["deadly/abort.svs"] == "crash"
    assert causes["deadly/hang.svs"] == "hang"
    assert causes["mirax/scan.mrxs"] == "unreadable"
    losing = {name for name, cause in causes.items() if cause == "would lose pixels of tissue"}
    assert not losing
    bad = {
        name
        for name, entry in found.items()
        if entry.state not in CONVERTED and not name.startswith("loop") and name not in losing
    }
    assert all(name.startswith(("bad/", "deadly/", "mirax/")) for name in bad), bad
    assert found["bad/sixteen bit.tif"].state == found["loop/"].state == "skipped"
    assert found["not utf-8 \\xff\\xfe.svs"].state in CONVERTED
    targets = [entry.target for entry in found.values() if entry.target]
    assert len({target.casefold() for target in targets}) == len(targets)
    assert found["a link.svs"].source_sha256 == found["linked to.svs"].source_sha256


def _check_table(target, found, path):
    command = [sys.executable, "-m", "wsicomp", "batch", "report", target, "--csv", path]
    subprocess.run(command, check=True, capture_output=True)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == sorted(
        found, key=lambda name: (found[name].state != "look", name)
    )
    for row in rows:
        entry = found[row["source"]]
        assert (row["state"], row["target_sha256"]) == (entry.state, entry.target_sha256)
        if row["state"] in CONVERTED:
            assert int(row["target_bytes"]) == entry.target_bytes


def _check_page(target, found, path):
    command = [sys.executable, "-m", "wsicomp", "batch", "report", target, "--html", path]
    subprocess.run(command, check=True, capture_output=True)
    page, report = path.read_text("utf-8"), read_report(target)
    states = [entry.state for entry in found.values() if entry.target]
    assert re.findall(r"<b>(\d+) of (\d+)</b>slides done", page) == [
        (str(sum(state in CONVERTED for state in states)), str(len(states)))
    ]
    for cause in report.causes:
        assert f"{cause.cause} <b>{cause.count}</b>" in page
    assert report.source_bytes == sum(
        entry.source_bytes for entry in found.values() if entry.state in CONVERTED
    )
