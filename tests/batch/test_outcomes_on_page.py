"""Ledger, page and JSON of a batch say what became of tissue, who opens the targets, and what comes back."""

import sqlite3

from tests.batch.trees import CONFIG, RESTORABLE, entries, run, write_slide
from wsicomp.batch import read_report, rebuild_ledger, write_html
from wsicomp.batch.ledger import Ledger

LOSSY = CONFIG.changed(codec="jpeg", quality=40, keep_if_larger="keep")


def convert(tmp_path, config):
    write_slide(tmp_path / "in" / "a.svs")
    run(tmp_path / "in", tmp_path / "out", config)
    return tmp_path / "out"


def test_a_lossy_batch_says_so_on_its_page(tmp_path):
    target = convert(tmp_path, LOSSY)
    (group,) = read_report(target).outcomes
    assert (group.tissue, group.reversible, group.count, group.sources) == ("lossy", False, 1, ("a.svs",))
    assert 0 < group.least_ssim < 1
    write_html(target, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "LOSSY" in page
    assert f"least SSIM {group.least_ssim:.3f}" in page
    assert group.opens_in in page


def test_an_archive_says_that_its_sources_come_back(tmp_path):
    target = convert(tmp_path, RESTORABLE.changed(keep_if_larger="keep"))
    (group,) = read_report(target).outcomes
    assert (group.tissue, group.reversible, group.least_ssim) == ("exact bytes", True, None)
    assert "OpenSlide" in group.opens_in.partition("NOT in ")[2]


def test_a_rebuilt_ledger_knows_the_outcome(tmp_path):
    target = convert(tmp_path, LOSSY)
    before = entries(target)["a.svs"]
    for path in (target / ".wsicomp").glob("ledger.sqlite*"):
        path.unlink()
    rebuild_ledger(target)
    after = entries(target)["a.svs"]
    assert (after.tissue, after.opens_in.split(";")[0]) == (before.tissue, before.opens_in.split(";")[0])


def test_a_ledger_of_an_earlier_version_gets_the_columns(tmp_path):
    target = convert(tmp_path, CONFIG)
    with sqlite3.connect(target / ".wsicomp/ledger.sqlite") as database:
        database.execute("UPDATE slides SET tissue = '', opens_in = '', least_ssim = 0")
    database.close()
    with Ledger(target, read_only=True) as ledger:
        assert [entry.tissue for entry in ledger.entries()] == [""]
    (group,) = read_report(target).outcomes
    assert group.tissue == ""
    write_html(target, tmp_path / "page.html")
    assert "not recorded: made by 0.6.0 or before" in (tmp_path / "page.html").read_text("utf-8")


def test_a_source_that_stands_for_itself_comes_back(tmp_path):
    target = convert(tmp_path, CONFIG.changed(codec="jpeg", quality=100, glass="keep"))
    (group,) = read_report(target).outcomes
    assert (target / "a.svs").read_bytes() == (tmp_path / "in/a.svs").read_bytes()
    assert (group.tissue, group.reversible) == ("exact bytes", True)
