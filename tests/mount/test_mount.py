"""A mounted archive: programs find the originals in it, whatever happens beneath."""

import errno
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests.command_line import run_command
from tests.conftest import slow_unless, trial_size
from tests.mount.conftest import errno_of, files_of, until, write_conversion
from tests.paths import ROOT
from wsicomp import MountOptions

pytestmark = pytest.mark.gate


def is_usual(number):
    return number == signal.SIGTERM


def test_a_mount_shows_the_sources_byte_for_byte(drawn, mounted):
    sources = drawn / "sources"
    assert files_of(mounted) == files_of(sources)
    for path in ("one.svs", "sub/two.tif", "notes.txt"):
        assert (mounted / path).stat().st_mtime_ns == (sources / path).stat().st_mtime_ns
        assert subprocess.run(["cmp", mounted / path, sources / path], check=False).returncode == 0


def test_the_commands_mount_and_unmount(trees, place):
    sources, archive = trees
    assert run_command("mount", archive, place) == (0, f"Mounted 2 slides of {archive} at {place}\n", "")
    assert (place / "one.svs").read_bytes() == (sources / "one.svs").read_bytes()
    assert run_command("unmount", place) == (0, "", "")
    assert [*place.iterdir()] == []


def test_openslide_reads_a_mounted_slide_as_its_source(drawn, mounted):
    sources = drawn / "sources"
    with (
        openslide.OpenSlide(sources / "one.svs") as source,
        openslide.OpenSlide(mounted / "one.svs") as shown,
    ):
        assert dict(shown.properties) == dict(source.properties)
        regions = [((x, 200), 0, (250, 200)) for x in (0, 133, 400)] + [((0, 0), 1, (300, 250))]
        for region in regions:
            assert shown.read_region(*region).tobytes() == source.read_region(*region).tobytes()
        for name, image in source.associated_images.items():
            assert shown.associated_images[name].tobytes() == image.tobytes()


def test_other_programs_read_a_mounted_slide(drawn, mounted):
    pyvips = pytest.importorskip("pyvips")
    for name in ("one.svs", "sub/two.tif"):
        path, shown = drawn / "sources" / name, mounted / name
        assert np.array_equal(tifffile.imread(shown), tifffile.imread(path))
        found, expected = (pyvips.Image.tiffload(os.fspath(each)).write_to_memory() for each in (shown, path))
        assert found == expected


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def read_or_errno(file, count, start):
    """The bytes of an open file, or the errno by which they cannot be read."""
    try:
        return os.pread(file.fileno(), count, start)
    except OSError as exc:
        return exc.errno


def said(*command, folder):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_tools_behave_on_a_mount(drawn, mounted, tmp_path):
    sources = drawn / "sources"
    for command in (
        ["find", ".", "-type", "f", "-printf", "%p %s %T@ %m\n"],
        ["find", ".", "-type", "d"],
        ["find", ".", "-type", "f", "-exec", "sha256sum", "{}", ";"],
    ):
        found = said(*command, folder=mounted).splitlines()
        assert sorted(found) == sorted(said(*command, folder=sources).splitlines())
    sizes = "%b %S"
    assert said("stat", "-f", "-c", sizes, ".", folder=mounted) == said(
        "stat", "-f", "-c", sizes, drawn, folder="/"
    )
    assert os.fspath(mounted) in said("df", ".", folder=mounted)
    said("cp", "-a", ".", tmp_path / "copied", folder=mounted)
    assert files_of(tmp_path / "copied") == files_of(sources)


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_rsync_finds_nothing_to_do_a_second_time(drawn, mounted, tmp_path):
    said("rsync", "-a", "./", tmp_path / "synced", folder=mounted)
    assert said("rsync", "-a", "--itemize-changes", "./", tmp_path / "synced", folder=mounted) == ""
    assert files_of(tmp_path / "synced") == files_of(drawn / "sources")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "new").write_bytes(b""),
        lambda path: (path / "one.svs").unlink(),
        lambda path: (path / "one.svs").open("r+b"),
        lambda path: (path / "one.svs").rename(path / "other"),
        lambda path: (path / "new").mkdir(),
        lambda path: os.truncate(path / "one.svs", 0),
        lambda path: (path / "one.svs").chmod(0o600),
    ],
)
def test_nothing_can_be_changed(mounted, change):
    assert errno_of(change, mounted) == errno.EROFS


def test_64_readers_get_right_bytes(drawn, mounted):
    sources = files_of(drawn / "sources")

    def read(seed):
        chosen = random.Random(seed)
        for _ in range(trial_size(gate=5, full=50)):
            name = chosen.choice([*sources])
            start = chosen.randrange(len(sources[name]))
            count = chosen.randrange(1, 300_000)
            with (mounted / name).open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                if os.pread(file.fileno(), count, start) != sources[name][start : start + count]:
                    return False
        return True

    with ThreadPoolExecutor(64) as readers:
        assert all(readers.map(read, range(64)))


def test_a_file_that_is_added_or_removed_beneath_comes_and_goes(trees, place):
    _, archive = trees
    wsicomp.mount_archive(archive, place)
    assert names_in(place) == {"one.svs", "notes.txt", "sub"}
    shutil.copy(archive / "sub/two.tif", archive / "three.tif")
    (archive / "notes.txt").unlink()
    (archive / "sub/later").mkdir()
    assert until(lambda: names_in(place) == {"one.svs", "two.tif", "sub"})
    assert until(lambda: "later" in names_in(place / "sub"))
    assert errno_of(os.stat, place / "notes.txt") == errno.ENOENT


def test_an_open_file_is_read_on_when_it_is_removed_beneath(trees, place):
    sources, archive = trees
    wsicomp.mount_archive(archive, place)
    with (place / "one.svs").open("rb", buffering=0) as file:
        (archive / "one.svs.tiff").unlink()
        data = b"".join(iter(lambda: file.read(100_000), b""))
    assert data == (sources / "one.svs").read_bytes()
    assert until(lambda: errno_of(os.stat, place / "one.svs") == errno.ENOENT)


def test_an_open_file_never_shows_bytes_of_the_one_that_replaced_it(trees, place, tmp_path):
    sources, archive = trees
    before = (sources / "one.svs").read_bytes()
    other = tmp_path / "other/one.svs"
    write_conversion(other, tmp_path / "other/one.svs.tiff", seed=9, size=(700, 600))
    wsicomp.mount_archive(archive, place)
    with (place / "one.svs").open("rb", buffering=0) as old:
        assert os.pread(old.fileno(), 10_000, 0) == before[:10_000]
        (tmp_path / "other/one.svs.tiff").replace(archive / "one.svs.tiff")
        assert until(lambda: (place / "one.svs").stat().st_size == other.stat().st_size)
        assert (place / "one.svs").read_bytes() == other.read_bytes()
        for start in range(0, len(before), 50_000):
            data = read_or_errno(old, 10_000, start)
            assert data in (errno.ESTALE, before[start : start + 10_000])
    assert (place / "one.svs").read_bytes() == other.read_bytes()


def test_damage_is_an_error_that_is_logged_in_a_line(trees, place, start):
    sources, archive = trees
    before = (sources / "one.svs").read_bytes()
    path = archive / "one.svs.tiff"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    server = start(archive)
    failed = 0
    with (place / "one.svs").open("rb", buffering=0) as file:
        for begin in range(0, len(before), 8192):
            data = read_or_errno(file, 8192, begin)
            assert data in (errno.EIO, before[begin : begin + 8192])
            failed += data == errno.EIO
    assert failed
    assert (place / "sub/two.tif").read_bytes() == (sources / "sub/two.tif").read_bytes()
    server.terminate()
    said = server.communicate()[1].splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"one.svs: {path}: ")
    assert "damaged" in said[0]


@pytest.mark.parametrize("number", slow_unless(is_usual, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
def test_a_signal_unmounts(drawn, place, start, number):
    server = start(drawn / "archive")
    with (place / "one.svs").open("rb") as file:
        assert file.read(4)
        server.send_signal(number)
        assert server.wait(20) == 0
        assert not os.path.ismount(place)
    assert [*place.iterdir()] == []


def server_of(place):
    """The process that serves a mount in the background."""
    found = subprocess.run(["pgrep", "-f", f"wsicomp.mount .* {place} "], capture_output=True, check=True)
    return int(found.stdout.split()[0])


def test_a_server_that_is_killed_under_load_is_healed_by_the_next_mount(drawn, place):
    sources = files_of(drawn / "sources")
    for _ in range(trial_size(gate=1, full=20)):
        wsicomp.mount_archive(drawn / "archive", place, MountOptions(cache_mb=1))
        load = "import sys\nwhile True: open(sys.argv[1], 'rb').read(100_000)"
        readers = [
            subprocess.Popen([sys.executable, "-c", load, place / name], stderr=subprocess.DEVNULL)
            for name in ("one.svs", "sub/two.tif")
        ]
        assert files_of(place) == sources
        os.kill(server_of(place), signal.SIGKILL)
        assert all(reader.wait(20) for reader in readers)
        assert until(lambda: errno_of(os.stat, place) == errno.ENOTCONN)
    wsicomp.mount_archive(drawn / "archive", place)
    assert files_of(place) == sources
    os.kill(server_of(place), signal.SIGKILL)
    assert until(lambda: errno_of(os.stat, place) == errno.ENOTCONN)
    wsicomp.unmount_archive(place)
    assert [*place.iterdir()] == []


def test_a_share_that_does_not_answer_holds_nobody_up(trees, place, start, tmp_path):
    """The share is a mount of ours whose server is stopped."""
    sources, archive = trees
    share = tmp_path / "share"
    share.mkdir()
    inner = start(archive, at=share)
    server = start(share, "--timeout-s", "1")
    try:
        assert (place / "one.svs").read_bytes() == (sources / "one.svs").read_bytes()
        inner.send_signal(signal.SIGSTOP)
        assert errno_of(names_in, place / "sub") == errno.EIO
        assert errno_of((place / "notes.txt").read_bytes) == errno.EIO
        inner.send_signal(signal.SIGCONT)
        assert until(lambda: not errno_of((place / "notes.txt").read_bytes))
        assert files_of(place) == files_of(sources)
        inner.kill()
        assert until(lambda: errno_of(names_in, place) == errno.EIO)
        server.terminate()
        assert server.wait(20) == 0
    finally:
        subprocess.run(["umount", "-l", share], check=False)


def test_memory_does_not_grow_with_the_files_that_were_opened(drawn, place, tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(trial_size(gate=30, full=100)):
        shutil.copy(drawn / "archive/one.svs.tiff", archive / f"{number:03}.svs.tiff")
    wsicomp.mount_archive(archive, place, MountOptions(cache_mb=1))
    server = Path(f"/proc/{server_of(place)}")

    def read(names):
        for name in names:
            assert (place / name).read_bytes()[:2] == b"II"
        return int((server / "status").read_text().partition("VmRSS:")[2].split()[0])

    names = sorted(names_in(place))
    first = read(names[:10])
    assert read(names) < first + 20_000
    assert len([*(server / "fd").iterdir()]) < 40


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda place: (place / "file").touch(), "is not empty"),
        (lambda place: place.rmdir(), "no such folder"),
        (lambda place: (place.rmdir(), place.touch()), "is no folder"),
    ],
)
def test_what_is_no_empty_folder_is_refused(drawn, place, make, found):
    make(place)
    code, out, err = run_command("mount", drawn / "archive", place)
    assert (code, out) == (2, "")
    assert err == f"wsicomp: {place}: {found}; name an empty folder to mount at\n"


def test_a_second_mount_in_one_place_is_refused_and_so_is_a_mountpoint_in_the_archive(trees, place):
    _, archive = trees
    wsicomp.mount_archive(archive, place)
    with pytest.raises(wsicomp.TargetExistsError, match=f"{archive} is mounted here already"):
        wsicomp.mount_archive(archive, place)
    (archive / "inside").mkdir()
    with pytest.raises(wsicomp.ConfigError, match="overlap"):
        wsicomp.mount_archive(archive, archive / "inside")
    with pytest.raises(wsicomp.SlideReadError, match="no such folder or file"):
        wsicomp.mount_archive(archive / "missing", archive / "inside")
    with pytest.raises(wsicomp.ConfigError, match="no archive is mounted here"):
        wsicomp.unmount_archive(archive)


def test_a_mount_with_open_files_stays(drawn, place):
    wsicomp.mount_archive(drawn / "archive", place)
    waiting = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waiting, cwd=place / "sub", stdin=subprocess.PIPE) as program:
        code, out, err = run_command("unmount", place)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "in use by python" in err
        assert f"(process {program.pid})" in err
        program.communicate(b"\n")
    with (place / "one.svs").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        file.close()
        with pytest.raises(wsicomp.SlideWriteError, match=rf"\(process {os.getpid()}\)"):
            wsicomp.unmount_archive(place)
    wsicomp.unmount_archive(place)


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="no rights to give up")
def test_where_mounting_is_not_allowed_one_line_says_so(drawn, place):
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    command = [*without, sys.executable, "-m", "wsicomp", "mount", drawn / "archive", place, "--foreground"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"wsicomp: {place}: cannot be mounted: this system does not allow it")


def test_one_file_is_mounted_as_its_original(drawn, place):
    wsicomp.mount_archive(drawn / "archive/one.svs.tiff", place)
    assert files_of(place) == {"one.svs": (drawn / "sources/one.svs").read_bytes()}


def test_any_name_can_be_mounted_and_mounted_at(trees, place):
    sources, archive = trees
    name = "a, b\\c é \t\\040=x\u2028\x85"
    archive = archive.rename(archive.with_name(name))
    (place / name).mkdir()
    wsicomp.mount_archive(archive, place / name)
    assert (place / name / "one.svs").read_bytes() == (sources / "one.svs").read_bytes()
    wsicomp.unmount_archive(place / name)
    assert [*(place / name).iterdir()] == []


def test_a_link_into_the_mount_itself_holds_nobody_up(trees, place):
    sources, archive = trees
    (archive / "own").symlink_to(place / "one.svs")
    (archive / "loop").symlink_to(place)
    (archive / "kept").symlink_to("one.svs.tiff")
    wsicomp.mount_archive(archive, place, MountOptions(timeout_s=5))
    assert (place / "own").readlink() == place / "one.svs"
    assert (place / "kept").readlink() == Path("one.svs")
    assert (place / "kept").read_bytes() == (sources / "one.svs").read_bytes()
    assert names_in(place / "loop") == names_in(place)


def test_the_mount_of_an_archive_that_is_gone_can_be_taken_away(trees, place):
    _, archive = trees
    wsicomp.mount_archive(archive, place)
    shutil.rmtree(archive)
    assert errno_of(names_in, place) == errno.EIO
    with pytest.raises(wsicomp.SlideWriteError, match="mounted here already"):
        wsicomp.mount_archive(place.parent / "sources", place)
    wsicomp.unmount_archive(place)
    assert [*place.iterdir()] == []
