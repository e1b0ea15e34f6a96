"""Mounts an archive as the files that it was made from, and takes such a mount away (Linux)."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from wsicomp.errors import ConfigError, SlideWriteError, TargetExistsError
from wsicomp.extras import require
from wsicomp.files.inputs import given_path, reason
from wsicomp.mount.archives import check_archive
from wsicomp.mount.mount_table import is_dead, mounted_at, take_away
from wsicomp.mount.options import MountOptions

StrPath = str | os.PathLike[str]

_DEVICE = Path("/dev/fuse")
_WANTED = "name an empty folder to mount at"


def mount_archive(archive: StrPath, mountpoint: StrPath, options: MountOptions | None = None) -> None:
    """Mount an archive: a folder in which every restorable conversion stands as its original.

    Each original has its old name, path, size, time and bytes, and is rebuilt where a program reads it. All
    other files of the archive are there as they are. Nothing can be written. A process of its own serves the
    mount until `unmount_archive`; this function returns once programs can look into it.

    Args:
        archive: The tree of a batch, any other folder, or one file.
        mountpoint: An empty folder. The dead mount of a server that crashed is taken away first.
        options: How; by default 256 MB of rebuilt tiles are kept, and only you can look into it.

    Raises:
        ConfigError: The mountpoint is no empty folder, or not apart from the archive.
        MissingExtraError: The extra `mount` is not installed.
        SlideReadError: There is no such archive, or it cannot be read.
        SlideWriteError: The system has no FUSE or does not allow it; a `TargetExistsError` where an archive
            is mounted there already.

    Examples:
        >>> wsicomp.mount_archive("archive", "slides")  # doctest: +SKIP
        >>> wsicomp.unmount_archive("slides")  # doctest: +SKIP
    """
    source, place = prepare_mount(archive, mountpoint)
    values = json.dumps(asdict(options or MountOptions()))
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "wsicomp.mount", source, place, values],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={**os.environ, "PYTHONPATH": paths},
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        if server.stdout.readline():
            server.returncode = 0  # it goes on, and nobody waits for it
            return
        said = server.stderr.read().decode(errors="replace").split("\n")
    why = next((line for line in reversed(said) if line.strip()), "cannot be mounted: its server ended")
    raise SlideWriteError(why, mountpoint)


def mount_in_foreground(
    archive: StrPath, mountpoint: StrPath, options: MountOptions, on_mounted: Callable[[], None]
) -> None:
    """Mount an archive as `mount_archive` does, and serve it in this process until a signal comes.

    `on_mounted` is called once programs can look into it.

    Raises:
        ConfigError, MissingExtraError, SlideReadError, SlideWriteError: as for `mount_archive`.
    """
    from wsicomp.mount.serving import serve_archive_mount  # noqa: PLC0415 - all that reads slides

    serve_archive_mount(*prepare_mount(archive, mountpoint), options, on_mounted)


def unmount_archive(mountpoint: StrPath) -> None:
    """Take the mount of an archive away; its server ends.

    Raises:
        ConfigError: No archive is mounted there.
        SlideWriteError: Files are open in it; or the system does not allow it.
    """
    path = given_path(mountpoint, ConfigError).absolute()
    check_platform()
    found = mounted_at(path)
    if found is None or not found.is_ours:
        raise ConfigError("no archive is mounted here", path)
    take_away(path, is_lazy=is_dead(path))


def prepare_mount(archive: StrPath, mountpoint: StrPath) -> tuple[Path, Path]:
    """Return both paths, absolute, once an archive can be mounted at the mountpoint.

    Raises:
        ConfigError: the mountpoint is no empty folder apart from the archive.
        MissingExtraError: the extra `mount` is not installed.
        SlideReadError: there is no such archive, or it cannot be read.
        SlideWriteError: the system has no FUSE, or the mountpoint is in use.
    """
    source = given_path(archive).absolute()
    place = given_path(mountpoint, ConfigError).absolute()
    check_platform()
    require("mount", "mfusepy")
    check_archive(source)
    _heal(place)
    _check_empty(place)
    here, there = source.resolve(), place.resolve()
    if here in (there, *there.parents) or there in here.parents:
        raise ConfigError(f"{source} and {place} overlap; choose a mountpoint apart from the archive")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        message = f"{_DEVICE} cannot be opened: this system has no FUSE, or does not allow it"
        raise SlideWriteError(message, place)
    return source, place


def check_platform() -> None:
    """Check that this is Linux.

    Raises:
        SlideWriteError: it is not.
    """
    if sys.platform != "linux":
        message = "archives are mounted on Linux; other systems read such a mount over the network"
        raise SlideWriteError(message)


def _heal(mountpoint: Path) -> None:
    """Take away the dead mount of a server that crashed.

    Raises:
        SlideWriteError: an archive is mounted here, or a dead mount is not ours.
    """
    found = mounted_at(mountpoint)
    if found is None or found.is_trigger:
        return
    if not is_dead(mountpoint):
        if found.is_ours:
            message = f"{found.source} is mounted here already; unmount it first"
            raise TargetExistsError(message, mountpoint)
        return
    if not found.is_ours:
        message = f"a file system of type {found.kind} is mounted here and does not answer; unmount it first"
        raise SlideWriteError(message, mountpoint)
    take_away(mountpoint, is_lazy=True)


def _check_empty(mountpoint: Path) -> None:
    """Check that a mountpoint is an empty folder.

    Raises:
        ConfigError: it is not.
    """
    try:
        with os.scandir(mountpoint) as entries:
            is_empty = next(entries, None) is None
    except OSError as exc:
        kinds = {errno.ENOTDIR: "is no folder", errno.ENOENT: "no such folder"}
        message = f"{kinds.get(exc.errno or 0, reason(exc))}; {_WANTED}"
        raise ConfigError(message, mountpoint) from exc
    if not is_empty:
        raise ConfigError(f"is not empty; {_WANTED}", mountpoint)
