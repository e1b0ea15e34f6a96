"""What an archive shows, by which names; with files that only say what original they hold."""

import errno
import os

import pytest

from tests.mount.conftest import errno_of, until
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.ledger import Ledger
from wsicomp.errors import SlideReadError
from wsicomp.mount.file_facts import HeldFolder, HeldOriginal, HeldOriginals
from wsicomp.mount.shown import ShownFile, ShownFolder, ShownLink
from wsicomp.mount.tree import ArchiveTree

OPENED = []
"""The files that were opened to find what they hold."""


def stated(path):
    """A file that begins with "holds " has originals: one, or several in a pack, with folders as "m/"."""
    OPENED.append(path)
    begin, *listed = path.read_text().split()
    names = [name for name in listed if not name.endswith("/")]
    folders = tuple(HeldFolder(name[:-1], 7, 0o750) for name in listed if name.endswith("/"))
    folders += (HeldFolder("m", 7, 0o750),) if any(name.startswith("m/") for name in names) else ()
    if begin == "locked":
        raise SlideReadError("Permission denied", path)
    if begin == "hostile":
        raise OverflowError
    if begin != "holds":
        return HeldOriginals()
    is_pack = len(names) > 1
    originals = (
        HeldOriginal(
            None if name == "?" else name,
            1000,
            5,
            "a" * 64,
            0o654 if is_pack else None,
            name if is_pack else None,
        )
        for name in names
    )
    return HeldOriginals(tuple(originals), folders if is_pack else ())


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for number, (name, text) in enumerate(files.items()):
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(10**18 + number, 10**18 + number))


def shown(tree, path=""):
    """What a tree shows, by path: None for a file as it is, else the name of the file that holds it."""
    found = {}
    for name, listed in tree.children(path).items():
        inner = f"{path}/{name}" if path else name
        each = tree.find(inner)
        assert each.__class__ is listed.__class__
        if isinstance(each, ShownFolder):
            found |= {f"{inner}/": None} | shown(tree, inner)
        elif isinstance(each, ShownLink):
            found[inner] = f"-> {each.text}"
        else:
            found[inner] = None if each.original is None else each.facts.path.name
    return found


@pytest.fixture
def tree(tmp_path):
    write(tmp_path / "a")
    return ArchiveTree(tmp_path / "a", stated)


def test_originals_have_the_names_that_their_files_state(tree):
    write(tree.archive, **{"x.svs.tiff": "holds x.svs", "sub__y.tif": "holds y.tif", "z.txt": "plain"})
    assert shown(tree) == {"x.svs": "x.svs.tiff", "sub/": None, "sub/y.tif": "y.tif", "z.txt": None}
    found = tree.find("x.svs")
    assert (found.bytes, found.mtime_ns) == (1000, 5)
    assert found.mode == (tree.archive / "x.svs.tiff").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"s.svs": "holds s.svs"}, {"s.svs": "s.svs"}),
        ({"s.svs": "plain", "s.svs.tiff": "holds s.svs"}, {"s.svs": None, "s.svs.tiff": "s.svs.tiff"}),
        (
            {"s.svs.tiff": "holds s.svs", "s.svs": "holds s.svs"},
            {"s.svs": "s.svs", "s.svs.tiff": "s.svs.tiff"},
        ),
        (
            {"a.tiff": "holds s.svs", "b.tiff": "holds s.svs"},
            {"s.svs": "b.tiff", "a.tiff": "a.tiff"},
        ),
        ({"s.svs.tiff": "holds ?"}, {"s.svs": "s.svs.tiff"}),
        ({"k.tiff": "holds ?"}, {"k.tiff": "k.tiff"}),
        ({"k.tiff": "holds ../k"}, {"k.tiff": "k.tiff"}),
        ({"k.tiff": "holds .wsicomp"}, {"k.tiff": "k.tiff"}),
        ({"k.tiff": f"holds {'k' * 256}"}, {"k.tiff": "k.tiff"}),
    ],
)
def test_every_file_has_one_name_of_its_own(tree, files, expected):
    write(tree.archive, **files)
    assert shown(tree) == expected


def test_the_empty_folders_of_a_slide_are_shown_wherever_its_files_are(tree):
    held = "holds m.mrxs m/Data.dat m/empty/ m/empty/inner/ ../out/ .wsicomp/"
    write(tree.archive, **{"m.mrxs.wsipack": held})
    expected = {"m.mrxs", "m/", "m/Data.dat", "m/empty/", "m/empty/inner/"}
    assert set(shown(tree)) == expected
    assert tree.find("m/empty").held == HeldFolder("m/empty", 7, 0o750)
    (tree.archive / "m/real").mkdir(parents=True)
    assert until(lambda: set(shown(tree)) == {*expected, "m/real/"})


def test_two_slides_that_share_files_are_both_shown(tree):
    write(tree.archive, **{"a.vms.wsipack": "holds a.vms map.jpg", "b.vms.wsipack": "holds b.vms map.jpg"})
    assert set(shown(tree)) == {"a.vms", "b.vms", "map.jpg"}


def test_a_pack_shows_its_files_and_folders(tree):
    write(tree.archive, **{"m.mrxs.wsipack": "holds m.mrxs m/Slidedat.ini m/data/0.dat"})
    pack = "m.mrxs.wsipack"
    files = {"m.mrxs": pack, "m/Slidedat.ini": pack, "m/data/0.dat": pack}
    assert shown(tree) == {"m/": None, "m/data/": None, **files}
    assert (tree.find("m").held.mtime_ns, tree.find("m/data").held) == (7, None)
    (tree.archive / "m").mkdir()
    write(tree.archive, m__notes="plain")
    assert shown(tree) == {"m/": None, "m/data/": None, "m/notes": None, **files}


@pytest.mark.parametrize(
    "names", ["m.mrxs m/../../x", "m.mrxs /etc/x", "m.mrxs m.mrxs", "m.mrxs m//x", "m m/x"]
)
def test_a_pack_whose_names_are_no_paths_below_it_is_shown_as_it_is(tree, names):
    write(tree.archive, **{"m.wsipack": f"holds {names}"})
    assert shown(tree) == {"m.wsipack": None}


@pytest.mark.parametrize(("own", "mode"), [(0o644, 0o654), (0o600, 0o610), (0o440, 0o650)])
def test_nobody_may_read_an_original_who_may_not_read_its_file(tree, own, mode):
    write(tree.archive, **{"m.wsipack": "holds m.mrxs m/x"})
    assert tree.find("m/x").mode == 0o654
    (tree.archive / "m.wsipack").chmod(own)
    assert tree.find("m/x").mode == mode


def test_the_ledger_and_half_written_files_are_not_shown(tree):
    write(tree.archive, **{".wsicomp__x": "1", ".a.svs.wsicomp.partial": "2", ".hidden": "3"})
    assert shown(tree) == {".hidden": None}


def test_links_are_shown_as_links_and_not_followed(tree, tmp_path):
    write(tmp_path / "outside", secret="x")
    (tree.archive / "out").symlink_to(tmp_path / "outside")
    (tree.archive / "loop").symlink_to(".")
    assert shown(tree) == {"out": f"-> {tmp_path / 'outside'}", "loop": "-> ."}
    assert errno_of(tree.find, "out/secret") == errno.ENOTDIR


def test_a_link_to_a_conversion_leads_to_its_original(tree):
    write(tree.archive, **{"sub__x.svs.tiff": "holds x.svs"})
    (tree.archive / "x.tiff").symlink_to("sub/x.svs.tiff")
    (tree.archive / "sub/again").symlink_to(tree.archive / "sub/x.svs.tiff")
    found = shown(tree)
    assert found["x.tiff"] == "-> sub/x.svs"
    assert found["sub/again"] == "-> x.svs"


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_shown(tree):
    write(tree.archive, **{"x.svs.tiff": "holds x.svs", "y.svs.tiff": "locked", "z.wsipack": "hostile"})
    assert shown(tree) == {"x.svs": "x.svs.tiff", "y.svs.tiff": None, "z.wsipack": None}


def test_what_changes_beneath_is_seen(tree):
    write(tree.archive, **{"k.tiff": "holds x.svs", "sub__y": "plain"})
    assert shown(tree) == {"x.svs": "k.tiff", "sub/": None, "sub/y": None}
    write(tree.archive, **{"k.tiff": "holds other.svs", "sub__z": "plain"})
    assert isinstance(tree.find("sub/z"), ShownFile)
    assert errno_of(tree.find, "x.svs") == errno.ENOENT
    assert tree.find("other.svs").facts.path.name == "k.tiff"
    (tree.archive / "sub/z").unlink()
    assert errno_of(tree.find, "sub/z") == errno.ENOENT


def test_a_file_is_opened_again_only_when_it_changes(tree):
    names = [f"{number}.svs.tiff" for number in range(100)]
    write(tree.archive, **{name: f"holds {name}" for name in names})
    OPENED.clear()
    for number in range(3):
        assert until(lambda count=100 + number: len(shown(tree)) == count)
        write(tree.archive, **{f"more{number}": "plain"})
    assert sorted(path.name for path in OPENED if path.name in names) == sorted(names)


def test_an_archive_that_is_gone_is_an_input_output_error(tree):
    write(tree.archive, **{"sub__x.svs.tiff": "holds x.svs"})
    assert isinstance(tree.find("sub/x.svs"), ShownFile)
    away = tree.archive.rename(tree.archive.with_name("away"))
    assert errno_of(tree.find, "sub/x.svs") == errno.EIO
    tree.archive.mkdir()
    assert errno_of(tree.children, "") == errno.EIO
    tree.archive.rmdir()
    away.rename(tree.archive)
    assert isinstance(tree.find("sub/x.svs"), ShownFile)


def test_the_options_of_a_batch_are_not_shown_where_it_has_a_ledger(tree):
    write(tree.archive, **{"wsicomp.toml": "plain", "sub__wsicomp.toml": "plain"})
    assert shown(tree) == {"wsicomp.toml": None, "sub/": None, "sub/wsicomp.toml": None}
    with_ledger(tree.archive)
    assert shown(ArchiveTree(tree.archive, stated)) == {"sub/": None, "sub/wsicomp.toml": None}


def with_ledger(archive, *entries):
    (archive / ".wsicomp").mkdir(exist_ok=True)
    with Ledger(archive) as ledger:
        ledger.put(
            Entry(source, target, State.DONE, source_sha256=digest) for source, target, digest in entries
        )


def test_a_ledger_knows_the_paths_of_originals(tree):
    write(
        tree.archive,
        **{
            "p_q__x.svs.tiff": "holds x.svs",
            "y.svs.tiff": "holds other.svs",
            "z.svs.tiff": "holds z.svs",
            "p_q__plain": "plain",
        },
    )
    with_ledger(
        tree.archive,
        ("p:q/x.svs", "p_q/x.svs.tiff", "a" * 64),
        ("y.svs", "y.svs.tiff", "a" * 64),
        ("once.svs", "z.svs.tiff", "b" * 64),
        ("gone.svs", "gone.svs.tiff", "a" * 64),
    )
    assert shown(ArchiveTree(tree.archive, stated)) == {
        "p_q/": None,
        "p_q/plain": None,
        "p:q/": None,
        "p:q/x.svs": "x.svs.tiff",
        "y.svs": "y.svs.tiff",
        "z.svs": "z.svs.tiff",
    }


def test_names_that_are_no_text_are_shown(tree):
    name = os.fsdecode(b"\xff\n.svs")
    (tree.archive / f"{name}.tiff").write_text("holds ?")
    (tree.archive / name.upper()).write_text("plain")
    assert shown(tree) == {name: f"{name}.tiff", name.upper(): None}


@pytest.mark.parametrize("path", ["missing", "pipe"])
def test_what_is_neither_folder_nor_file_is_no_archive(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SlideReadError):
        ArchiveTree(tmp_path / path, stated)


def test_one_file_is_a_tree_of_what_it_holds(tmp_path):
    write(tmp_path, **{"m.wsipack": "holds m.mrxs m/x", "k.tiff": "holds b.svs"})
    assert shown(ArchiveTree(tmp_path / "m.wsipack", stated)) == {
        "m.mrxs": "m.wsipack",
        "m/": None,
        "m/x": "m.wsipack",
    }
    assert shown(ArchiveTree(tmp_path / "k.tiff", stated)) == {"b.svs": "k.tiff"}


def test_an_original_that_stood_elsewhere_is_as_closed_as_the_folder_of_its_file(tree):
    write(tree.archive, **{"p_q__in__x.svs.tiff": "holds x.svs", "r_s__y.svs.tiff": "holds y.svs"})
    (tree.archive / "p_q").chmod(0o750)
    with_ledger(
        tree.archive,
        ("p:q/in/x.svs", "p_q/in/x.svs.tiff", "a" * 64),
        ("r:s/y.svs", "r_s/y.svs.tiff", "a" * 64),
    )
    found = ArchiveTree(tree.archive, stated)
    own = (tree.archive / "r_s/y.svs.tiff").stat().st_mode & 0o777
    assert found.find("r:s/y.svs").mode == own
    assert found.find("p:q/in/x.svs").mode == own & 0o700
    assert (found.find("p:q").reach, found.find("r:s").reach) == (0o700, 0o777)


def test_what_a_ledger_moves_is_seen_when_it_changes(tree):
    write(tree.archive, **{"p_q__x.svs.tiff": "holds x.svs"})
    with_ledger(tree.archive, ("p:q/x.svs", "p_q/x.svs.tiff", "a" * 64))
    found = ArchiveTree(tree.archive, stated)
    assert found.find("p:q/x.svs").bytes == 1000
    write(tree.archive, **{"p_q__x.svs.tiff": "plain and longer"})
    assert errno_of(found.find, "p:q/x.svs") == errno.ENOENT
    assert found.find("p_q/x.svs.tiff").original is None


def test_what_a_batch_writes_into_its_ledger_is_seen(tree, monkeypatch):
    monkeypatch.setattr("wsicomp.mount.ledger_names._LEAST_AGE_S", 0.0)
    write(tree.archive, **{"sub__k.tiff": "holds ?"})
    found = ArchiveTree(tree.archive, stated)
    assert shown(found) == {"sub/": None, "sub/k.tiff": "k.tiff"}
    with_ledger(tree.archive, ("sub/x.svs", "sub/k.tiff", "a" * 64))
    assert until(lambda: shown(found) == {"sub/": None, "sub/x.svs": "k.tiff"})
