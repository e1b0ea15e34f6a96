"""The morning report says what the ledger says, and a browser needs nothing else to show it."""

import csv
import html
import json
import re
from dataclasses import fields, replace

import pytest

from tests import tiffs
from tests.batch.trees import CONFIG, RESTORABLE, entries, run, write_slide, write_tree
from wsicomp.batch import Entry, Ledger, State, read_report, write_csv, write_html
from wsicomp.batch.entry import HELD_FOR_SAVING
from wsicomp.batch.report import kept_reasons
from wsicomp.cli import main
from wsicomp.conversion.convert import convert_slide
from wsicomp.errors import SlideWriteError, TargetExistsError
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide
from wsicomp.synthetic import write_slide as write_tiff


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A tree with two failures, one of them with a name that would be markup."""
    folder = tmp_path_factory.mktemp("night")
    write_tree(folder / "source", 5, side=400)
    write_slide(folder / "source/<b>bold &amp; ünïcode.svs", 9)
    for name in ("bad.svs", "<script>alert(1).svs"):
        (folder / "source" / name).write_bytes(b"no slide")
    (folder / "source/loop").symlink_to(folder / "source")
    run(folder / "source", folder / "target")
    return folder / "target"


def test_its_figures_are_the_sums_of_the_entries(night):
    report, found = read_report(night), list(entries(night).values())
    done = [entry for entry in found if entry.state is State.DONE]
    assert report.states == {"look": 0, "waiting": 0, "running": 0, "done": 6, "skipped": 0, "failed": 2}
    assert report.slides == len(found) - 1, "a link to a folder is no slide"
    assert [(cause.cause, cause.count) for cause in report.skips] == [("link to a folder", 1)]
    assert report.source_bytes == sum(entry.source_bytes for entry in done)
    assert report.target_bytes == sum((night / entry.target).stat().st_size for entry in done)
    assert report.saved == 1 - report.target_bytes / report.source_bytes
    assert [(cause.cause, cause.count) for cause in report.causes] == [("unreadable", 2)]
    assert report.removed_tiles == sum(entry.removed_tiles for entry in done) > 0
    assert len(report.savings) + len(report.growths) == 6
    json.dumps(report.to_json())


def test_what_waits_is_projected_from_what_is_done(tmp_path):
    (tmp_path / ".wsicomp").mkdir()
    done = Entry("a", "a", State.DONE, source_bytes=100, target_bytes=25)
    with Ledger(tmp_path) as ledger:
        ledger.put([replace(done, source="b", state=State.WAITING, source_bytes=1000)])
        assert read_report(tmp_path).projected_bytes is None
        ledger.put([done])
    assert (read_report(tmp_path).waiting_bytes, read_report(tmp_path).projected_bytes) == (1000, 250)


def test_the_table_has_every_entry_to_the_byte(night, tmp_path):
    write_csv(night, tmp_path / "slides.csv")
    with (tmp_path / "slides.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    found = entries(night)
    assert rows.keys() == found.keys()
    for source, row in rows.items():
        for field in fields(Entry):
            if field.name != "trace":
                assert row[field.name] == str(getattr(found[source], field.name))


def test_the_table_goes_to_stdout_alone(night, tmp_path, capsysbinary):
    write_csv(night, tmp_path / "slides.csv")
    assert main(["batch", "report", str(night), "--csv", "-"]) == 0
    assert capsysbinary.readouterr().out == (tmp_path / "slides.csv").read_bytes()
    assert main(["batch", "report", str(night), "--csv", "-", "--json", "-"]) == 2
    assert b"only one of --csv and --json can go to stdout" in capsysbinary.readouterr().err


def test_the_reasons_why_sources_stay_are_counted(tmp_path):
    (tmp_path / ".wsicomp").mkdir()
    kept = [
        (HELD_FOR_SAVING, "saved 1 %"),
        (HELD_FOR_SAVING, "saved 2 %"),
        ("", "a link leads to it"),
        ("", ""),
    ]
    with Ledger(tmp_path) as ledger:
        ledger.put(
            Entry(f"{number}", f"{number}", State.DONE, kept_cause=cause, kept_because=why)
            for number, (cause, why) in enumerate(kept)
        )
    assert kept_reasons(tmp_path) == [
        ("their conversions save too little, or nothing", 2),
        ("a link leads to it", 1),
    ]


def test_the_page_names_every_slide_and_escapes_it(night, tmp_path):
    write_html(night, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;b&gt;bold &amp;amp; ünïcode" in page
    assert page.count("data:image/jpeg;base64,") == 6
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page.replace("http-equiv", "")
    report = read_report(night)
    assert f"{report.states['done']} of {report.slides}" in page
    for entry in entries(night).values():
        if entry.state is State.DONE:
            assert f"{entry.removed_tiles / entry.tiles * 100:.1f} % of the tiles were removed" in page


def test_the_page_can_do_with_fewer_pictures(night, tmp_path):
    write_html(night, tmp_path / "report.html", thumbnails=2)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    assert "4 more slides are done" in page


def test_a_report_overwrites_nothing_unless_told(night, tmp_path):
    for write in (write_csv, write_html):
        path = tmp_path / write.__name__
        path.write_text("mine")
        with pytest.raises(TargetExistsError):
            write(night, path)
        assert path.read_text() == "mine"
        write(night, path, overwrite=True)
        with pytest.raises(SlideWriteError):
            write(night, tmp_path / "no folder" / "report")


def test_an_empty_tree_has_a_report_too(tmp_path):
    (tmp_path / "source").mkdir()
    assert run(tmp_path / "source", tmp_path / "target").is_good
    write_html(tmp_path / "target", tmp_path / "report.html")
    assert "0 of 0" in (tmp_path / "report.html").read_text("utf-8")


def test_every_note_of_a_conversion_is_in_ledger_table_json_page_and_lines(tmp_path, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    write_slide(source / "slide 1.svs", 1)
    named = f"{tiffs.DESCRIPTION.format(200, 200)}|User = somebody"
    tiffs.write_tiff(source / "slide 0.svs", 200, 200, description=named)
    tiffs.damage_tile(source / "slide 0.svs", 5)
    config = CONFIG.changed(codec="jpegxl", glass="keep", deidentify=True)
    run(source, target, config)
    alone = convert_slide(source / "slide 0.svs", tmp_path / "alone.tiff", config)
    wanted = [f"left out: {', '.join(alone.dropped)}", *alone.notes]
    assert alone.dropped
    assert any("cannot be decoded" in note for note in alone.notes)
    entry = entries(target)["slide 0.svs"]
    assert entry.notes.splitlines() == wanted
    write_csv(target, tmp_path / "slides.csv")
    with (tmp_path / "slides.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert rows["slide 0.svs"]["notes"].splitlines() == wanted
    write_html(target, tmp_path / "page.html")
    page = html.unescape((tmp_path / "page.html").read_text("utf-8"))
    notes = {note["note"]: note for note in json.loads(json.dumps(read_report(target).to_json()))["notes"]}
    assert all(note in page and "slide 0.svs" in notes[note]["sources"] for note in wanted)
    shared = set(wanted) & set(entries(target)["slide 1.svs"].notes.splitlines())
    assert shared
    assert all(notes[note]["sources"] == ["slide 0.svs", "slide 1.svs"] for note in shared)
    assert main(["batch", "report", str(target)]) == 0
    out = capsys.readouterr().out
    assert all(f": {note}" in out for note in wanted)
    assert all(f"  note of 2 slides: {note}" in out for note in shared)
    assert all(f"  note of slide 0.svs: {note}" in out for note in set(wanted) - shared)


def test_what_was_to_be_foreseen_is_told_in_its_line_alone(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_slide(source / "slide.svs")
    run(source, target, CONFIG.changed(codec="webp", format="svs"))
    entry = entries(target)["slide.svs"]
    assert (entry.cause, entry.trace) == ("choices do not fit", "")
    assert entry.error == "OpenSlide opens no svs with webp in it; take format tiff"
    (source / "bad.svs").write_bytes(b"no slide")
    run(source, target, CONFIG.changed(codec="webp", format="svs"))
    write_html(target, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert entry.error in page
    assert entries(target)["bad.svs"].trace.startswith("Traceback"), "the ledger has it"
    assert "Traceback" not in page


@pytest.mark.gate
def test_nobody_is_told_to_name_a_target_that_the_batch_has_named(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    form = SyntheticFormat(compression="jpeg2000-rgb", downsamples=(1,))
    write_tiff(source / "slide.svs", SyntheticSlide(Size(600, 400), seed=1), form)
    for adopted in (False, True):
        assert run(source, target, RESTORABLE).is_good
        (entry,) = entries(target).values()
        assert (entry.adopted, entry.target) == (adopted, "slide.svs.tiff")
        notes = entry.notes.splitlines()
        assert "the target is an Aperio SVS whatever its name says" in notes
        (target / ".wsicomp/ledger.sqlite").unlink()


def test_a_conversion_that_is_taken_on_has_the_same_notes(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    path = write_slide(source / "slide.svs")
    tiffs.damage_tile(path, 5)
    run(source, target)
    before = entries(target)["slide.svs"]
    assert "damaged tiles of the source" in before.notes
    (target / ".wsicomp/ledger.sqlite").unlink()
    assert run(source, target).adopted == 1
    assert entries(target)["slide.svs"].notes == before.notes
    path.write_bytes(b"no slide any more")
    run(source, target)
    assert entries(target)["slide.svs"].notes == "", "what failed has none"


def test_the_table_has_numbers_where_a_conversion_grew(tmp_path):
    (tmp_path / ".wsicomp").mkdir()
    with Ledger(tmp_path) as ledger:
        ledger.put([Entry("a", "a", State.DONE, source_bytes=100, target_bytes=149)])
    write_csv(tmp_path, tmp_path / "slides.csv")
    with (tmp_path / "slides.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["saved"]) == -0.49


def test_the_page_says_its_tree_and_options_first_then_what_needs_a_person(tmp_path):
    (tmp_path / ".wsicomp").mkdir()
    done = Entry("grown", "grown", State.DONE, source_bytes=100, target_bytes=149, notes="a note")
    with Ledger(tmp_path) as ledger:
        ledger.put(
            [
                done,
                replace(done, source="look", target="look", state=State.LOOK, look="no tissue"),
                replace(done, source="saved", target="saved", source_bytes=1000),
                Entry("bad", "bad", State.FAILED, cause="unreadable", error="is bad", trace="Traceback: x"),
                Entry("no", "no", State.SKIPPED, cause="unsupported", error="is none"),
            ]
        )
        ledger.note("options", "preset archive-lossless, exclude <b>")
    write_html(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert f"<title>wsicomp batch: {tmp_path}, preset archive-lossless, exclude &lt;b&gt;</title>" in page
    heads = re.findall(r"<h[12]>([^<]*)</h", page)
    assert heads == [
        str(tmp_path),
        "Look at 1 slide before its source goes",
        "Failures by cause",
        "What became of tissue, and who opens it",
        "Larger than before",
        "Notes",
        "Skipped",
        "Slides by outcome",
        "Largest savings",
        "Slowest",
    ]
    assert "Traceback" not in page
    assert "is bad" in page
    assert not re.search(r"\)\.\d", html.unescape(re.sub(r"<[^>]*>", "", page))), "a space between sentences"


def test_a_cell_says_its_column_where_the_page_is_narrow(night, tmp_path):
    write_html(night, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    cells = re.findall(r'<td class="figure"([^>]*)>', page)
    assert cells
    assert all(cell.startswith(' data-name="') for cell in cells)
