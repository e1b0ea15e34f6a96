"""Archives of small drawn slides, and mounts of them where the system allows any."""

import contextlib
import os
import subprocess
import sys
import time
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest

import wsicomp
from tests.paths import ROOT
from wsicomp import ConversionConfig
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

RESTORABLE = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", restorable=True)
SVS = SyntheticFormat(tile_px=128, downsamples=(1, 2))
TIFF = SyntheticFormat("tiff", tile_px=128, downsamples=(1, 2))


def write_conversion(source, target, seed=1, form=SVS, size=(600, 500)):
    """Draw a slide at `source`, and convert it restorably to `target`."""
    for path in (source, target):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_slide(source, SyntheticSlide(Size(*size), seed=seed), form)
    os.utime(source, ns=(10**18 + seed, 10**18 + seed))
    wsicomp.convert_slide(source, target, RESTORABLE)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder with `sources`, and `archive` with their conversions beside two other files."""
    folder = tmp_path_factory.mktemp("drawn")
    write_conversion(folder / "sources/one.svs", folder / "archive/one.svs.tiff", 1)
    write_conversion(folder / "sources/sub/two.tif", folder / "archive/sub/two.tif", 2, TIFF)
    for name in ("notes.txt", "sub/table.csv"):
        for tree in ("sources", "archive"):
            (folder / tree / name).write_bytes(name.encode() * 5000)
            os.utime(folder / tree / name, ns=(10**18, 10**18))
    return folder


@pytest.fixture
def trees(drawn, tmp_path):
    """Copies of `sources` and `archive` that a test may change."""
    subprocess.run(["cp", "-a", drawn / "sources", drawn / "archive", tmp_path], check=True)
    return tmp_path / "sources", tmp_path / "archive"


def why_no_mount():
    """Why nothing can be mounted here; "" where it can be tried."""
    if sys.platform != "linux" or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no FUSE here"
    if find_spec("mfusepy") is None or find_library("fuse3") is None:
        return "mfusepy or libfuse 3 is not installed"
    return ""


@pytest.fixture(scope="session")
def mounted(drawn, tmp_path_factory):
    """The archive of `drawn`, mounted for all tests that do not change it; skips where none can be."""
    why = why_no_mount()
    path = tmp_path_factory.mktemp("mounted")
    if not why:
        try:
            wsicomp.mount_archive(drawn / "archive", path, wsicomp.MountOptions(cache_mb=1))
        except wsicomp.ConfigError as exc:
            why = str(exc)
            if not any(word in why for word in ("permitted", "ermission denied", "/dev/fuse")):
                raise
    if why:
        pytest.skip(why)
    yield path
    subprocess.run(["umount", "-l", path], check=False, capture_output=True)


@pytest.fixture
def place(mounted, tmp_path):
    """A folder to mount at; what is mounted there is taken away behind the test."""
    path = tmp_path / "place"
    path.mkdir()
    yield path
    subprocess.run(["umount", "-l", path], check=False, capture_output=True)


@pytest.fixture
def start(place):
    """Start `wsicomp mount --foreground`, and return its process once it is mounted."""
    started = []

    def mount(archive, *options, at=place):
        command = [sys.executable, "-m", "wsicomp", "mount", archive, at, "--foreground", *options]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline().startswith("Mounted"), process.stderr.read()
        return process

    yield mount
    for process in started:
        process.kill()
        process.communicate()


def until(is_so, limit_s=20.0):
    """Wait until something is so; False where it is not in time."""
    end = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def files_of(folder):
    """The bytes of all files below a folder, by their paths in it."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def errno_of(function, *args):
    """The errno by which a call fails; 0 where it does not."""
    with contextlib.suppress(BaseException):
        try:
            function(*args)
        except OSError as exc:
            return exc.errno
    return 0
