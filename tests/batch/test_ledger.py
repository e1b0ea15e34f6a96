"""The ledger keeps what it is given, and says so when it cannot."""

import sqlite3
from dataclasses import replace

import pytest

from wsicomp.batch.entry import Entry, State, entry_flaw
from wsicomp.batch.ledger import Ledger
from wsicomp.errors import LedgerError

ENTRY = Entry("a/x.svs", "a/x.svs", State.DONE, "5-6", 100, elapsed_s=1.5, verified=True, target_bytes=25)


@pytest.fixture
def target(tmp_path):
    (tmp_path / ".wsicomp").mkdir()
    return tmp_path


def test_entries_come_back_as_they_were(target):
    other = replace(ENTRY, source="b", state=State.FAILED, error="broken", trace="line 1\nline 2")
    with Ledger(target) as ledger:
        ledger.put([other, ENTRY], {"a/x.svs": {"saved": 0.75}})
        ledger.note("source", "/slides")
    with Ledger(target, read_only=True) as ledger:
        assert list(ledger.entries()) == [ENTRY, other]
        assert ledger.report("a/x.svs") == {"saved": 0.75}
        assert ledger.report("b") is None
        assert (ledger.fact("source"), ledger.fact("nothing")) == ("/slides", None)
    assert ENTRY.saved == 0.75


def test_a_reader_sees_what_a_writer_writes_meanwhile(target):
    with Ledger(target) as ledger, Ledger(target, read_only=True) as reader:
        ledger.put([ENTRY])
        assert [entry.source for entry in reader.entries()] == ["a/x.svs"]
        ledger.drop(["a/x.svs"])
        assert list(reader.entries()) == []


def test_a_reader_changes_nothing_and_needs_a_ledger(target, tmp_path):
    with pytest.raises(LedgerError, match="no batch has written here"):
        Ledger(target, read_only=True)
    with Ledger(target) as ledger:
        ledger.put([ENTRY])
    with Ledger(target, read_only=True) as ledger, pytest.raises(LedgerError, match="readonly"):
        ledger.put([ENTRY])


def test_what_is_no_ledger_is_told_in_one_line(target):
    (target / ".wsicomp/ledger.sqlite").write_bytes(b"not a database, but long enough to be one" * 100)
    for read_only in (False, True):
        with pytest.raises(LedgerError, match="cannot be read or written") as told:
            Ledger(target, read_only)
        assert "\n" not in str(told.value)


def test_a_ledger_of_another_version_is_left_alone(target):
    with Ledger(target):
        pass
    with sqlite3.connect(target / ".wsicomp/ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LedgerError, match="version 99"):
        Ledger(target)


def test_texts_beyond_what_a_ledger_may_hold_are_cut_and_read_again(target):
    notes = "\n".join(f"note {number}" for number in range(5000))
    long = replace(ENTRY, notes=notes, error="ä" * 100_000, trace="x" * 200_000)
    allowed = replace(ENTRY, source="b", notes="\n".join("x" * 1000), error="e" * (1 << 17))
    with Ledger(target) as ledger:
        ledger.put([long, allowed])
    with Ledger(target, read_only=True) as ledger:
        found, same = ledger.entries()
    assert same == allowed
    assert found.notes.split("\n")[:2] == ["note 0", "note 1"]
    assert found.notes.split("\n")[-2:] == ["note 998", "(the rest was left out)"]
    assert found.error.startswith("ääää")
    assert len(found.trace) == 1 << 17
    assert entry_flaw(found) == ""
    assert entry_flaw(long).startswith("error is 'ää")
