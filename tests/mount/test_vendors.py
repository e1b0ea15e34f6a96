"""Slides of every vendor through a batch and a mount of its archive: the same files and the same pictures."""

import errno
import os
import random
import shutil
import subprocess

import numpy as np
import openslide
import pytest

import wsicomp
from tests import tiffs
from tests.command_line import run_command
from tests.conftest import REAL_SLIDES, is_small, slow_unless, trial_size
from tests.drawn import scanner_slides, vendor_tiffs
from tests.mount.conftest import files_of

OPENED = ("svs/s.svs", "n.ndpi", "vms/v.vms", "m:x/m.mrxs", "scn/s.scn")

pytestmark = pytest.mark.gate


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """A tree of drawn slides of several vendors, and the archive that a batch made of it."""
    folder = tmp_path_factory.mktemp("vendors")
    sources = folder / "sources"
    for name in ("svs", "vms", "m:x", "scn"):
        (sources / name).mkdir(parents=True)
    tiffs.write_tiff(sources / "svs/s.svs", 700, 500)
    scanner_slides.ndpi(sources / "n.ndpi")
    scanner_slides.vms(sources / "vms/v.vms")
    scanner_slides.mrxs(sources / "m:x/m.mrxs")
    svs = tiffs.write_tiff(folder / "s.svs", 700, 500, photometric="ycbcr", subsampling=(2, 1))
    vendor_tiffs.leica(sources / "scn/s.scn", svs, (128, 64))
    (sources / "m:x/m/empty/inner").mkdir(parents=True)
    (sources / "m:x/m/empty").chmod(0o750)
    (sources / "svs/notes.txt").write_text("plain")
    for path in sources.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    options = ("--preset", "archive-lossless", "--carry-others", "--jobs", "1", "--quiet")
    assert run_command("batch", sources, folder / "archive", *options)[0] == 0
    return folder


@pytest.fixture(scope="module")
def shown(batched, mounted, tmp_path_factory):
    """The archive, mounted with little memory."""
    place = tmp_path_factory.mktemp("shown")
    wsicomp.mount_archive(batched / "archive", place, wsicomp.MountOptions(cache_mb=1))
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_the_tree_of_a_batch_is_mounted_as_its_sources(batched, shown):
    sources = batched / "sources"
    assert files_of(shown) == files_of(sources)
    stated = ["find", ".", "-mindepth", "2", "-not", "-path", "./m:x/m", "-printf", "%p %y %T@\n"]
    stated += ["-type", "f", "-printf", "%s\n", "-or", "-name", "empty", "-printf", "%m\n"]
    lists = [subprocess.run(stated, cwd=tree, capture_output=True, check=True) for tree in (shown, sources)]
    assert sorted(lists[0].stdout.splitlines()) == sorted(lists[1].stdout.splitlines())


@pytest.mark.parametrize("name", OPENED)
def test_openslide_shows_the_same_through_the_mount(batched, shown, name):
    same_to_openslide(batched / "sources" / name, shown / name)


def same_to_openslide(source, shown):
    with openslide.OpenSlide(source) as one, openslide.OpenSlide(shown) as other:
        assert dict(one.properties) == dict(other.properties)
        assert one.level_dimensions == other.level_dimensions
        chosen = random.Random(1)
        for _ in range(trial_size(gate=5, full=50)):
            level = chosen.randrange(one.level_count)
            place = chosen.randrange(one.dimensions[0]), chosen.randrange(one.dimensions[1])
            region = place, level, (chosen.randrange(1, 300), chosen.randrange(1, 300))
            assert np.array_equal(one.read_region(*region), other.read_region(*region))
        assert {*one.associated_images} == {*other.associated_images}
        for key, image in one.associated_images.items():
            assert np.array_equal(image, other.associated_images[key])


def test_any_range_of_any_file_is_that_of_its_source(batched, shown):
    chosen = random.Random(2)
    for name, data in files_of(batched / "sources").items():
        with (shown / name).open("rb", buffering=0) as file:
            for _ in range(trial_size(gate=20, full=2000)):
                if chosen.random() < 0.1:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                start = chosen.randrange(len(data) + 10)
                count = chosen.choice([1, 100, 5000, len(data)])
                assert os.pread(file.fileno(), count, start) == data[start : start + count]


def test_a_damaged_archive_gives_right_bytes_or_an_error(batched, mounted, tmp_path):
    """Each damage is a changed bit; a file that cannot be opened any more is shown as it is."""
    place, archive = tmp_path / "place", tmp_path / "archive"
    place.mkdir()
    sources = files_of(batched / "sources")
    shutil.copytree(batched / "archive", archive)
    wsicomp.mount_archive(archive, place, wsicomp.MountOptions(cache_mb=1))
    chosen = random.Random(3)
    found = {"right": 0, "error": 0, "not shown": 0}
    files = [path for path in sorted(archive.rglob("*")) if path.suffix in (".svs", ".tiff", ".wsipack")]
    try:
        for number in range(trial_size(gate=20, full=2000)):
            path = files[number % len(files)]
            whole = path.read_bytes()
            at = chosen.randrange(len(whole))
            changed = bytearray(whole)
            changed[at] ^= 1 << chosen.randrange(8)
            (tmp_path / "new").write_bytes(changed)
            (tmp_path / "new").replace(path)
            for name, data in sources.items():
                found[what_is_read(place / name, data)] += 1
            (tmp_path / "new").write_bytes(whole)
            (tmp_path / "new").replace(path)
    finally:
        subprocess.run(["umount", "-l", place], check=False)
    assert found["right"]
    assert found["error"]


def what_is_read(path, data):
    """Whether a file has the right bytes, as far as it can be read."""
    kinds = {errno.EIO: "error", errno.ENOENT: "not shown", errno.ESTALE: "error"}
    try:
        with path.open("rb", buffering=0) as file:
            read = b"".join(iter(lambda: file.read(1 << 16), b""))
    except OSError as exc:
        return kinds[exc.errno]
    assert read == data
    return "right"


@pytest.mark.slides
@pytest.mark.parametrize("source", slow_unless(is_small, REAL_SLIDES), ids=lambda path: path.name)
def test_every_real_slide_is_mounted_as_it_was(source, mounted, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "place").mkdir()
    copy = tmp_path / "sources" / source.name
    shutil.copy2(source, copy)
    options = ("--preset", "archive-lossless", "--jobs", "1", "--quiet")
    assert run_command("batch", copy.parent, tmp_path / "archive", *options)[0] == 0
    wsicomp.mount_archive(tmp_path / "archive", tmp_path / "place")
    try:
        shown = tmp_path / "place" / source.name
        assert subprocess.run(["cmp", source, shown], check=False).returncode == 0
        assert shown.stat().st_mtime_ns == copy.stat().st_mtime_ns
        if openslide.OpenSlide.detect_format(source):
            same_to_openslide(source, shown)
    finally:
        subprocess.run(["umount", "-l", tmp_path / "place"], check=False)
