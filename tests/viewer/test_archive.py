"""The list of a batch's archive, and its slides opened beside their sources."""

import hashlib
import json
import shutil
import threading
from dataclasses import replace

import pytest

from tests.batch.trees import run, write_slide, write_tree
from wsicomp.batch import Ledger
from wsicomp.cli import main
from wsicomp.errors import LedgerError
from wsicomp.geometry import Region
from wsicomp.viewer.exchange import Request
from wsicomp.viewer.folder import archive as archives
from wsicomp.viewer.folder.archive import ArchiveList
from wsicomp.viewer.folder.archive_slides import show_archive
from wsicomp.viewer.routes import answer
from wsicomp.viewer.session import Session


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A source tree and what a batch made of it: six slides, and one that is none."""
    folder = tmp_path_factory.mktemp("archive")
    write_tree(folder / "slides", 6)
    (folder / "slides/a/broken.tif").write_bytes(b"no slide")
    run(folder / "slides", folder / "out", carry_others=True)
    return folder / "slides", folder / "out"


@pytest.fixture
def trees(made, tmp_path):
    """The same, in folders of its own."""
    source, target = (tmp_path / path.name for path in made)
    shutil.copytree(made[0], source)
    shutil.copytree(made[1], target)
    with Ledger(target) as ledger:
        ledger.note("source", str(source))
    return source, target


@pytest.fixture
def session(trees):
    with_archive = Session()
    show_archive(with_archive, trees[1])
    yield with_archive
    with_archive.close()


def ask(session, *words, **query):
    """The JSON that an address answers."""
    found = answer(session, "GET", Request(words, query))
    return json.loads(found.data)


def number_of(session, name):
    return next(each["entry"] for each in ask(session, "archive.json", find=name)["entries"])


def test_an_archive_lists_what_its_ledger_says(session, trees):
    found = ask(session, "archive.json")
    with Ledger(trees[1], read_only=True) as ledger:
        entries = {entry.source: entry for entry in ledger.entries()}
    assert [each["name"] for each in found["entries"]] == sorted(entries)
    assert found["totals"]["states"] == {"done": 6, "failed": 1}
    assert found["totals"]["target_bytes"] == sum(entry.target_bytes for entry in entries.values())
    for each in found["entries"]:
        entry = entries[each["name"]]
        assert (each["state"], each["source_bytes"]) == (entry.state, entry.source_bytes)
        if entry.is_converted:
            assert each["outcome"] == entry.tissue
            assert each["saved"] == pytest.approx(entry.saved, abs=1e-6)


def test_a_page_of_the_list_is_what_was_asked_for(session):
    every = [each["name"] for each in ask(session, "archive.json")["entries"]]
    part = ask(session, "archive.json", **{"from": "2", "count": "3"})
    assert [each["name"] for each in part["entries"]] == every[2:5]
    assert (part["found"], part["from"]) == (7, 2)


def test_the_list_is_searched_filtered_and_ordered(session):
    assert {each["name"] for each in ask(session, "archive.json", find="B/SLIDE")["entries"]} == {
        "b/slide 1.svs",
        "b/slide 4.svs",
    }
    assert [each["state"] for each in ask(session, "archive.json", state="failed")["entries"]] == ["failed"]
    saved = [each["saved"] for each in ask(session, "archive.json", order="saved", state="done")["entries"]]
    assert saved == sorted(saved, reverse=True)
    assert ask(session, "archive.json", order="outcome")["entries"][0]["state"] == "failed"


@pytest.mark.parametrize(
    ("words", "query", "status"),
    [
        (("archive.json",), {"from": "-1"}, 404),
        (("archive.json",), {"count": "1e9"}, 404),
        (("archive.json",), {"order": "__class__"}, 400),
        (("session.json",), {"entry": "0"}, 404),
        (("session.json",), {"entry": "99"}, 404),
        (("session.json",), {"entry": "../a"}, 404),
        (("entry-thumbnail", "99"), {}, 404),
        (("entry-thumbnail",), {}, 404),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(session, words, query, status):
    assert answer(session, "GET", Request(words, query)).status == status


def test_a_viewer_of_slides_has_no_list():
    assert answer(Session(), "GET", Request(("archive.json",))).status == 404


def test_a_slide_opens_beside_its_source(session, trees):
    number = number_of(session, "b/slide 1.svs")
    found = ask(session, "session.json", entry=str(number))
    first, second = found["slides"]
    assert (first["role"], second["role"], second["source"]) == ("source", "conversion", first["id"])
    assert first["bytes"] == (trees[0] / "b/slide 1.svs").stat().st_size
    assert second["bytes"] == (trees[1] / "b/slide 1.svs").stat().st_size
    assert found["entry"]["name"] == found["title"] == "b/slide 1.svs"
    assert found["entry"]["sentences"] == []


def test_neighbours_are_those_of_the_list_that_the_reader_came_from(session):
    shown = [each["entry"] for each in ask(session, "archive.json", order="saved", find=".svs")["entries"]]
    found = ask(session, "session.json", entry=str(shown[2]), order="saved", find=".svs")["entry"]
    assert (found["previous"], found["next"]) == (shown[1], shown[3])
    assert (found["place"], found["of"]) == (2, 6)
    assert (
        ask(session, "session.json", entry=str(shown[0]), order="saved", find=".svs")["entry"]["previous"]
        is None
    )


def test_a_failed_slide_says_why_and_names_no_path_of_the_machine(session, trees, tmp_path):
    found = ask(session, "session.json", entry=str(number_of(session, "broken")))
    assert found["slides"] == []
    assert found["entry"]["sentences"][0].startswith("It was not converted: not a whole-slide image")
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize(
    ("removal", "restorable", "said"),
    [
        ("quarantined", True, "Its source is in quarantine, and shown from there."),
        ("deleted", True, "Its source was deleted: the conversion gives it back, byte for byte."),
        ("deleted", False, "Its source was deleted: it cannot come back."),
        ("", False, "Its source is not where the batch found it."),
    ],
)
def test_a_source_that_went_is_accounted_for(trees, removal, restorable, said):
    source, target = trees
    place = source / "a/slide 0.svs"
    if removal == "quarantined":
        (source / ".wsicomp-quarantine/a").mkdir(parents=True)
        place.rename(source / ".wsicomp-quarantine/a/slide 0.svs")
    else:
        place.unlink()
    with Ledger(target) as ledger:
        (entry,) = ledger.entries("WHERE source = ?", ("a/slide 0.svs",))
        ledger.put([replace(entry, removal=removal, restorable=restorable)])
    session = Session()
    show_archive(session, target)
    found = ask(session, "session.json", entry=str(number_of(session, "slide 0")))
    session.close()
    assert found["entry"]["sentences"] == [said]
    roles = [each["role"] for each in found["slides"]]
    assert roles == (["source", "conversion"] if removal == "quarantined" else ["conversion"])


def test_a_conversion_that_went_leaves_the_source(session, trees):
    (trees[1] / "a/slide 0.svs").unlink()
    found = ask(session, "session.json", entry=str(number_of(session, "slide 0")))
    assert [each["role"] for each in found["slides"]] == ["source"]
    assert found["entry"]["sentences"] == ["Its conversion is not in the folder any more."]


def test_a_link_in_the_archive_is_not_followed(session, trees, tmp_path):
    write_slide(tmp_path / "other.svs", 99)
    place = trees[1] / "a/slide 0.svs"
    place.unlink()
    place.symlink_to(tmp_path / "other.svs")
    found = ask(session, "session.json", entry=str(number_of(session, "slide 0")))
    assert [each["role"] for each in found["slides"]] == ["source"]


def tile(session, number):
    return answer(session, "GET", Request(("tiles", str(number), "0", "0", "0")))


def test_few_slides_stay_open_and_the_others_open_again_under_their_numbers(session, monkeypatch):
    monkeypatch.setattr("wsicomp.viewer.folder.archive_slides._MOST_OPEN", 2)
    numbers, pictures = [], []
    for each in ask(session, "archive.json", find=".svs")["entries"]:
        shown = ask(session, "session.json", entry=str(each["entry"]))["slides"]
        numbers.append([slide["id"] for slide in shown])
        pictures.append([tile(session, number).data for number in numbers[-1]])
    assert len(session.slides) == 4
    first = session.slides.keys()
    assert numbers[0][0] not in first
    assert [tile(session, number).data for number in numbers[0]] == pictures[0]
    assert ask(session, "session.json", entry="1") is not None
    assert len({number for pair in numbers for number in pair}) == 12


def test_a_slide_that_makes_room_stays_readable_for_who_reads_it(session, monkeypatch):
    monkeypatch.setattr("wsicomp.viewer.folder.archive_slides._MOST_OPEN", 1)
    names = [each["entry"] for each in ask(session, "archive.json", find=".svs")["entries"]]
    ask(session, "session.json", entry=str(names[0]))
    held = session.archive.opened(names[0]).slides[0].shown
    before = held.read(0, _whole(held))
    conversion = session.archive.opened(names[0]).slides[1]
    assert conversion.worst is not None
    assert conversion.tissue is not None
    del conversion
    session.archive.opened(names[1])
    assert (held.read(0, _whole(held)) == before).all()
    slide = held.slide
    del held
    with pytest.raises((OSError, ValueError)):
        slide.read_region(0, _whole_of(slide))


def _whole(shown):
    return _whole_of(shown.slide)


def _whole_of(slide):
    return Region(0, 0, slide.info.size.width, slide.info.size.height)


def test_a_slide_that_was_converted_again_has_another_number(session, trees):
    number = number_of(session, "slide 0")
    before = ask(session, "session.json", entry=str(number))["slides"][1]["id"]
    session.archive._forget(number)
    place = trees[1] / "a/slide 0.svs"
    place.write_bytes((trees[1] / "b/slide 1.svs").read_bytes())
    assert tile(session, before).status == 404
    assert ask(session, "session.json", entry=str(number))["slides"][1]["id"] != before


def test_thumbnails_are_made_of_what_can_be_read(session, trees):
    number = number_of(session, "slide 0")
    picture = answer(session, "GET", Request(("entry-thumbnail", str(number)), {"stamp": "x"}))
    assert (picture.media_type, picture.is_lasting) == ("image/jpeg", True)
    assert picture.data[:2] == b"\xff\xd8"
    broken = answer(session, "GET", Request(("entry-thumbnail", str(number_of(session, "broken")))))
    assert (broken.media_type, broken.status) == ("image/svg+xml", 200)


def state_of(target):
    files = [path for path in sorted((target / ".wsicomp").rglob("*")) if path.is_file()]
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files
        if not path.name.endswith("-shm")
    }


def test_a_ledger_is_neither_written_nor_waited_for_while_a_batch_writes_it(trees):
    target = trees[1]
    with Ledger(target) as ledger:
        (entry,) = ledger.entries("WHERE source = ?", ("a/slide 0.svs",))
        ledger.put([replace(entry, state="running")])
        ledger._database.execute("BEGIN IMMEDIATE")
        before = state_of(target)
        session = Session()
        show_archive(session, target)
        found = ask(session, "archive.json", find="slide 0")
        ask(session, "session.json", entry=str(found["entries"][0]["entry"]))
        assert found["entries"][0]["state"] == "running"
        assert state_of(target) == before
        ledger._database.execute("COMMIT")
        ledger.put([entry])
    session.close()


def test_the_list_follows_a_batch(trees, monkeypatch):
    monkeypatch.setattr(archives, "_LEAST_WAIT_S", 0.0)
    monkeypatch.setattr(archives, "_PATIENCE", 0)
    source, target = trees
    archive = ArchiveList(target)
    numbers = {entry.name: entry.number for entry in archive.listing().entries}
    write_slide(source / "a/another.svs", 50)
    run(source, target, carry_others=True)
    after = {entry.name: entry.number for entry in archive.listing().entries}
    assert after.keys() - numbers.keys() == {"a/another.svs"}
    assert {name: after[name] for name in numbers} == numbers


def test_a_question_is_answered_of_the_list_as_it_is_now(trees, monkeypatch):
    archive = ArchiveList(trees[1])
    before = archive.listing()
    assert archive.chosen() == list(before.entries)
    now = replace(before, entries=before.entries[:1])
    monkeypatch.setattr(archives, "id", lambda _: 1, raising=False)  # a new list can lie where an old one lay
    monkeypatch.setattr(archive, "listing", lambda: now)
    assert archive.chosen() == list(now.entries)


def test_a_folder_without_ledger_shows_every_slide_and_finds_a_source_beside(trees, tmp_path):
    source, target = trees
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "slide 0.svs").write_bytes((source / "a/slide 0.svs").read_bytes())
    (folder / "small.svs").write_bytes((target / "a/slide 0.svs").read_bytes())
    (folder / "alone.svs").write_bytes((target / "b/slide 1.svs").read_bytes())
    session = Session()
    show_archive(session, folder)
    found = ask(session, "archive.json")
    assert [each["name"] for each in found["entries"]] == ["alone.svs", "slide 0.svs", "small.svs"]
    assert (found["ledger"], found["totals"]["saved"]) == (False, None)
    roles = [
        [slide["role"] for slide in ask(session, "session.json", entry=str(number))["slides"]]
        for number in (1, 2, 3)
    ]
    session.close()
    assert roles == [["conversion"], ["source"], ["source", "conversion"]]


def test_a_damaged_ledger_ends_the_command_in_one_line(trees, capsys):
    (trees[1] / ".wsicomp/ledger.sqlite").write_bytes(b"x" * 4096)
    with pytest.raises(LedgerError):
        ArchiveList(trees[1])
    assert main(["view", str(trees[1]), "--no-browser"]) == 1
    assert "ledger" in capsys.readouterr().err


def test_what_is_for_one_slide_is_refused_with_a_folder(trees, capsys):
    assert main(["view", str(trees[1]), str(trees[0] / "a/slide 0.svs"), "--no-browser"]) == 2
    assert "CONVERTED is for one slide" in capsys.readouterr().err


def test_many_ask_at_once(session):
    failures = []

    def browse():
        for number in range(1, 8):
            found = answer(session, "GET", Request(("session.json",), {"entry": str(number)}))
            shown = json.loads(found.data)["slides"]
            failures.extend(slide for slide in shown if tile(session, slide["id"]).status != 200)

    threads = [threading.Thread(target=browse) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
