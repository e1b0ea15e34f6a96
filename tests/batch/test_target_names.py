"""Targets have names that every file system takes, no two are equal, and finished slides keep theirs."""

import shutil

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, assert_agrees, entries, files, run, write_slide
from wsicomp.batch import Ledger, rebuild_ledger
from wsicomp.batch.target_names import (
    assign_targets,
    packed_target,
    possible_targets,
    safe_name_note,
    source_of,
)
from wsicomp.text.paths import as_path

SAFE = ("a.tif", "console.tif", "a b.tif", "com.tif", "lpt10.tif", "ä/ü.tif", "a (1) [x]~.tif", "a.b/c.tif")
UNSAFE = (
    *("CON.tif", "nul.x.tif", "com1.tif", "LPT9 .tif", "a:b.tif", "a<b.tif", "a>b.tif", 'a"b.tif'),
    *("a|b.tif", "a?b.tif", "a*b.tif", "a\\\\b.tif", "a\\x0ab.tif", "a\\x01b.tif", "a\\xffb.tif"),
)
IN_FOLDERS = ("con/a.tif", "AUX.d/a.tif", "end./a.tif", "end /a.tif", "end./b/CON.tif")
KEPT = RESTORABLE.changed(keep_if_larger="keep")
FORBIDDEN = set('<>:"|?*\\')
PORTS = {f"{name}{number}" for name in ("com", "lpt") for number in range(10)}
DEVICES = {"con", "prn", "aux", "nul", *PORTS}


def is_safe(target):
    """By the rules of Windows, written a second time."""
    return all(
        not FORBIDDEN & set(part)
        and not part.endswith((".", " "))
        and part.split(".")[0].rstrip().lower() not in DEVICES
        for part in target.split("/")
    )


@pytest.mark.parametrize("config", [CONFIG, RESTORABLE])
def test_names_that_windows_does_not_take_get_targets_that_it_does(config):
    targets = assign_targets((*UNSAFE, *IN_FOLDERS), config, {})
    assert all(map(is_safe, targets.values()))
    assert len(set(targets.values())) == len(UNSAFE) + len(IN_FOLDERS)
    for source, target in targets.items():
        assert target in possible_targets(source)
        assert target in safe_name_note(source, target)
    assert [source_of(targets[source], str(as_path(source))) for source in UNSAFE] == list(UNSAFE)
    assert len({targets[source].split("/")[0] for source in IN_FOLDERS if source.startswith("end.")}) == 1


def test_other_names_stay_as_they_are():
    targets = assign_targets(SAFE, RESTORABLE, {})
    assert targets == {source: source for source in SAFE}
    assert not any(safe_name_note(source, target) for source, target in targets.items())


def test_a_safe_target_collides_with_no_slide_that_has_its_name():
    (safe,) = assign_targets(["a:b.tif"], RESTORABLE, {}).values()
    targets = assign_targets(["a:b.tif", "a_b.tif", safe], RESTORABLE, {})
    assert len(set(targets.values())) == 3
    assert targets["a_b.tif"] == "a_b.tif"


def test_slides_that_were_finished_by_unsafe_names_keep_their_targets(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("CON.tif", "end./a:b.tif", "plain.tif"):
        write_slide(source / name)
    with monkeypatch.context() as earlier:
        earlier.setattr("wsicomp.batch.target_names.safe_target", lambda target: target)
        assert run(source, target).converted == 3
    before = files(target)
    assert set(before) == {"CON.tif", "end./a:b.tif", "plain.tif"}
    write_slide(source / "NUL.tif")
    assert run(source, target).converted == 1
    assert before.items() <= files(target).items()
    assert is_safe(entries(target)["NUL.tif"].target)
    assert_agrees(target)


def test_the_notes_say_it_and_a_rebuilt_ledger_finds_it_again(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    names = ("CON.tif", "end./a:b.tif", "plain.tif")
    for name in names:
        write_slide(source / name)
    assert run(source, target, KEPT).converted == 3
    assert "a Windows share does not take its name" in entries(target)["CON.tif"].notes
    assert "Windows" not in entries(target)["plain.tif"].notes
    before = files(target)
    rebuild_ledger(target, even_if_sound=True)
    result = run(source, target, KEPT)
    assert (result.adopted, result.converted) == (3, 0)
    assert set(entries(target)) == set(names)
    shutil.rmtree(target / ".wsicomp")
    assert run(source, target, KEPT).adopted == 3
    assert files(target) == before
    with Ledger(target, read_only=True) as ledger:
        assert {entry.source for entry in ledger.entries() if entry.is_converted} == set(names)


def test_a_stated_name_that_leads_elsewhere_is_no_source():
    for name in ("../a.tif", "/etc/passwd", "..", ".", "", ".hidden.tif", "b/a.tif", "x\0.tif"):
        assert source_of("f/a.tif", name) == "f/a.tif"


VENDORS = ("a/m.mrxs", "v.vms", "n.NDPI", "s.scn", "d.dcm", "c?.czi", "x" * 250 + ".bif")


def test_what_is_no_tiff_gets_the_name_of_a_packed_slide_where_the_source_has_to_come_back():
    targets = assign_targets((*VENDORS, "t.tif", "T.TIF"), RESTORABLE, {})
    assert targets["a/m.mrxs"] == "a/m.mrxs.wsipack"
    assert targets["n.NDPI"] == "n.NDPI.wsipack"
    assert {targets[name].rpartition(".")[2] for name in VENDORS} == {"wsipack"}
    assert "wsipack" not in targets["t.tif"] + targets["T.TIF"]
    assert all(len(target.encode()) <= 255 for target in targets.values())
    for source in VENDORS:
        assert targets[source] in possible_targets(source)
        assert source_of(targets[source], source.rpartition("/")[2]) == source
    assert assign_targets(VENDORS, CONFIG, targets)["v.vms"] == "v.vms.tiff", "not restorable"
    as_svs = RESTORABLE.changed(format="svs")
    assert assign_targets(["v.vms"], as_svs, {}) == {"v.vms": "v.vms.svs"}, "another form was asked for"


def test_a_tiff_that_became_a_packed_slide_keeps_that_name():
    sources = ("t.tif", "T.TIF", "CON.tif", "s.svs", "y" * 251 + ".tif")
    assigned = assign_targets(sources, RESTORABLE, {})
    packed = {source: packed_target(target, source) for source, target in assigned.items()}
    assert packed["T.TIF"] == "T.TIF.wsipack"
    assert packed["s.svs"] == "s.svs.wsipack"
    assert len({name.casefold() for name in packed.values()}) == len(sources)
    assert all(map(is_safe, packed.values()))
    assert all(len(target.encode()) <= 255 for target in packed.values())
    assert assign_targets(sources, RESTORABLE, packed) == packed
    for source, target in packed.items():
        assert source_of(target, source) == source
    assert assign_targets(sources, CONFIG, packed)["T.TIF"] == "T.TIF"
