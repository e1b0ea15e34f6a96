"""A source stays in quarantine for days that runs have seen, whatever a clock says; no edit goes unseen."""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.batch.trees import RESTORABLE, entries, run
from tests.drawn import ledgers
from tests.drawn.nights import draw_tissue
from wsicomp.batch import Entry, State, quarantine_clock
from wsicomp.batch.proof import ProofJob, file_fingerprint
from wsicomp.batch.quarantine import delete_from_quarantine, move_to_quarantine
from wsicomp.batch.worklist import Trees
from wsicomp.cli import main
from wsicomp.errors import KeptError
from wsicomp.files.atomic import partial_path

pytestmark = pytest.mark.gate

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
ENTRY = Entry("a.svs", "a.svs", State.DONE, source_bytes=9, verified=True)


def stayed(source, **changes):
    """Change what the source tree says of the one source in quarantine."""
    (path,) = (source / ".wsicomp-quarantine/.days").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


class Clock:
    """What a machine takes for the time, in days since `START`."""

    def __init__(self, monkeypatch):
        self.day = 0.0
        monkeypatch.setattr(quarantine_clock, "utc_now", self.now)

    def now(self):
        """As `utc_now` says it."""
        return (START + timedelta(days=self.day)).isoformat()

    def seen(self, entry, day, days=7.0):
        """The entry after a run on that day."""
        self.day = day
        return quarantine_clock.count_run_in_quarantine(entry, days)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def first_deletion(clock, nights, days=7.0):
    """The number of the run that deletes a source, of runs on such days; None if none does."""
    entry = quarantine_clock.enter_quarantine(ENTRY)
    for number, day in enumerate(nights, 1):
        entry = clock.seen(entry, day, days)
        if quarantine_clock.is_overdue(entry, days):
            return number
    return None


@pytest.mark.parametrize(
    ("nights", "days", "run_that_deletes"),
    [
        (range(1, 20), 7, 7),
        ([30], 7, None),
        ([30, 31, 32, 33, 34, 35], 7, None),
        ([30, 31, 32, 33, 34, 35, 36], 7, 7),
        ([30, 0, 30, 0, 30], 7, None),
        ([-30, 1, 2, 3, 4, 5, 6, 7], 7, 8),
        ([30, 1, 2, 3, 4, 5, 6, 7], 7, 8),
        ([number / 24 for number in range(1, 24 * 7)], 7, None),
        ([number / 24 for number in range(1, 24 * 7 + 1)], 7, 24 * 7),
        ([10_000, 20_000], 1, 2),
        ([10_000], 1, None),
        ([30, 30.001, 30.002], 0.5, None),
        ([0.0], 0, 1),
        ([7, 14, 21, 28, 35, 42, 49], 7, 7),
    ],
)
def test_quarantine_clock_quarantine_are_those_that_runs_have_seen(clock, nights, days, run_that_deletes):
    found = first_deletion(clock, nights, days)
    if run_that_deletes == 24 * 7:
        assert found in (24 * 7, 24 * 7 + 1, None), "an hour's parts of a day do not add up to the last bit"
    else:
        assert found == run_that_deletes


def test_a_clock_30_days_ahead_deletes_nothing_and_the_run_says_what_goes_when(tmp_path, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    held = source / ".wsicomp-quarantine/a.svs"
    assert run(source, target, RESTORABLE, delete_source=True).in_quarantine == 1
    long_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat(timespec="seconds")
    stayed(source, seen=long_ago)
    options = [
        "batch",
        str(source),
        str(target),
        "--preset",
        "archive-lossless",
        "--jobs",
        "1",
        "--min-free",
        "0",
    ]
    assert main([*options, "--delete-source-after-verify", "--dry-run"]) == 0
    assert "sources in quarantine that would stay for their days: 1" in capsys.readouterr().out
    assert main([*options, "--delete-source-after-verify"]) == 0
    out = capsys.readouterr().out
    assert held.exists()
    day = (datetime.now(UTC) + timedelta(days=6)).date().isoformat()
    assert "in quarantine: 1 source, " in out
    assert f"delete the first not before {day}, after 6 days more" in out
    entry = entries(target)["a.svs"]
    assert (entry.quarantine_age, entry.quarantine_runs) == (1.0, 1)
    stayed(source, age=6.0, runs=6, seen=long_ago)
    assert run(source, target, RESTORABLE, delete_source=True).deleted == 1
    assert not held.exists()


def test_an_old_ledgers_quarantine_begins_its_days_anew(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE, delete_source=True)
    ledgers.edit(
        target,
        "ALTER TABLE slides DROP COLUMN quarantine_age",
        "ALTER TABLE slides DROP COLUMN quarantine_runs",
        "ALTER TABLE slides DROP COLUMN quarantine_seen",
        *(f"ALTER TABLE slides DROP COLUMN {name}" for name in ("tissue", "least_ssim", "opens_in")),
        "UPDATE slides SET removed = '2020-01-01T00:00:00+00:00'",
        "DROP TABLE settings",
        "DROP TABLE carried",
        "PRAGMA user_version = 2",
    )
    shutil.rmtree(source / ".wsicomp-quarantine/.days")
    assert run(source, target, RESTORABLE, delete_source=True).deleted == 0
    assert (source / ".wsicomp-quarantine/a.svs").exists()
    assert entries(target)["a.svs"].quarantine_age == 0


def test_the_ledgers_word_skips_no_days(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE, delete_source=True)
    ledgers.edit(target, "UPDATE slides SET quarantine_age = 100, quarantine_runs = 9")
    result = run(source, target, RESTORABLE, delete_source=True)
    assert (result.deleted, result.in_quarantine) == (0, 1)
    assert result.first_goes_days == pytest.approx(7, abs=0.1)
    assert (source / ".wsicomp-quarantine/a.svs").exists()
    assert entries(target)["a.svs"].quarantine_age < 1


def test_a_source_in_quarantine_of_which_nothing_is_written_down_begins_its_days(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE, delete_source=True)
    path = stayed(source, age=100.0, runs=9)
    path.unlink()
    ledgers.edit(target, "UPDATE slides SET quarantine_age = 100, quarantine_runs = 9")
    assert run(source, target, RESTORABLE, delete_source=True).deleted == 0
    assert json.loads(path.read_text())["runs"] == 0
    stayed(source, age=100.0, runs=9, sha256="0" * 64)
    assert run(source, target, RESTORABLE, delete_source=True).deleted == 0, "they are of another source"
    stayed(source, age=100.0, runs=9)
    assert run(source, target, RESTORABLE, delete_source=True).deleted == 1
    assert not path.exists()


def test_what_is_put_back_from_quarantine_begins_its_days_when_it_comes_again(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE, delete_source=True)
    path = stayed(source, age=100.0, runs=9)
    partial_path(path).write_bytes(b"half")
    (source / ".wsicomp-quarantine/a.svs").rename(source / "a.svs")
    run(source, target, RESTORABLE)
    assert list(path.parent.iterdir()) == []
    assert run(source, target, RESTORABLE, delete_source=True).quarantined == 1
    assert json.loads(path.read_text())["age"] == 0


DAMAGES = {
    "words": b"long enough",
    "nothing": b"",
    "a list": b"[]",
    "nested without end": b"[" * 60_000,
    "too long": b" " * 200_000 + b"{}",
    "of other fields": b'{"source": "a.svs"}',
    "of another source": {"source": "b.svs"},
    "of a source out of the tree": {"source": "../a.svs"},
    "of no digest": {"sha256": "x"},
    "of negative days": {"age": -1},
    "of no days": {"age": float("nan")},
    "of days without end": {"age": float("inf")},
    "of runs that are true": {"runs": True},
    "seen at no time": {"seen": "soon"},
    "seen at a number": {"seen": 5},
}


def test_damaged_words_of_the_source_tree_keep_every_source_in_one_line(tmp_path, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE, delete_source=True)
    draw_tissue(source / "c.svs", 2)
    path = stayed(source, age=100.0, runs=9)
    good = path.read_bytes()
    for name, damage in DAMAGES.items():
        path.write_bytes(
            damage if isinstance(damage, bytes) else json.dumps(json.loads(good) | damage).encode()
        )
        result = run(source, target, RESTORABLE, delete_source=True)
        assert (result.deleted, result.quarantined, result.is_good) == (0, 0, False), name
        assert result.nothing_removed.startswith(str(path)), name
        assert (source / "c.svs").exists(), name
    options = [
        "--preset",
        "archive-lossless",
        "--jobs",
        "1",
        "--min-free",
        "0",
        "--delete-source-after-verify",
    ]
    assert main(["batch", str(source), str(target), *options]) == 1
    assert (
        f"  no source was taken away: {path}: is not a record that wsicomp wrote" in capsys.readouterr().out
    )
    assert run(source, target, RESTORABLE).is_good, "who takes nothing away is not kept from it"
    path.unlink()
    (tmp_path / "elsewhere.json").write_bytes(good)
    path.symlink_to(tmp_path / "elsewhere.json")
    assert "is a link" in run(source, target, RESTORABLE, delete_source=True).nothing_removed
    path.unlink()
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / path.name).write_bytes(good)
    path.parent.symlink_to(tmp_path / "elsewhere")
    assert "is a link" in run(source, target, RESTORABLE, delete_source=True).nothing_removed
    assert (tmp_path / "elsewhere" / path.name).read_bytes() == good


def in_place(path, at=-1):
    """Write one byte into a file and put its time back, as somebody who would not be seen."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(at, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )


def exchanged(path):
    """Put another file of the same size and times in a file's place."""
    before = path.stat()
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_edited_unseen_between_proof_and_removal_keeps_the_source(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a.svs", 1)
    run(source, target, RESTORABLE)
    entry, trees = entries(target)["a.svs"], Trees(source, target)
    here, there = trees.source_of(entry), trees.target_of(entry)
    good = {path: path.read_bytes() for path in (here, there)}

    def facts(path):
        digests = entry.source_sha256, entry.target_sha256
        proved = ProofJob("a.svs", path, there, *digests, False, RESTORABLE).run(lambda *_: None)
        assert proved.state == "done", proved.error
        return proved.facts

    held = trees.quarantine_of(entry)
    for step, place in ((move_to_quarantine, here), (delete_from_quarantine, held)):
        proved = facts(place)
        for change in (in_place, exchanged):
            for changed in (there, place):
                change(changed)
                with pytest.raises(KeptError, match="changed after they were compared"):
                    step(entry, trees, proved)
                assert place.exists()
                changed.write_bytes(good[there if changed == there else here])
                os.utime(changed, ns=(0, entry.target_mtime_ns))
        entry = step(entry, trees, facts(place)) if step is move_to_quarantine else entry
    assert held.read_bytes() == good[here]
    entry = delete_from_quarantine(replace(entry, quarantine_age=9.0), trees, facts(held))
    assert (entry.removal, held.exists()) == ("deleted", False)


def test_which_file_tells_an_edit_whose_time_was_put_back(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"same size")
    before = file_fingerprint(path)
    in_place(path)
    assert file_fingerprint(path) != before


def test_a_target_tree_behind_a_link_takes_no_source_away(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    draw_tissue(source / "a/b.svs", 1)
    run(source, target, RESTORABLE)
    (target / "a").rename(tmp_path / "elsewhere")
    (target / "a").symlink_to(tmp_path / "elsewhere")
    assert run(source, target, RESTORABLE, delete_source=True).quarantined == 0
    assert (source / "a/b.svs").exists()
    assert "a folder on the way is a link" in entries(target)["a/b.svs"].error
