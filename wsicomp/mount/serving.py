"""Serves a mount: this process answers the kernel until it is told to end, or the mount is taken away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from wsicomp.errors import SlideWriteError
from wsicomp.extras import require
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.mount.file_system import ArchiveFileSystem
from wsicomp.mount.held_originals import held_originals, open_held
from wsicomp.mount.mount_table import KIND
from wsicomp.mount.open_files import OpenFiles
from wsicomp.mount.options import MountOptions
from wsicomp.mount.patience import Patience
from wsicomp.mount.refusals import HeldStderr, plain_refusal
from wsicomp.mount.tree import ArchiveTree

_THREADS, _SINCE = 32, (3, 12)
"""How many calls of the kernel are answered at once, and the first libfuse that can be told so."""
_CACHED_S = 1
"""How long the kernel keeps names and attributes: what changes beneath shows after so many seconds."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_archive_mount(
    archive: Path, mountpoint: Path, options: MountOptions, on_mounted: Callable[[], None]
) -> None:
    """Mount an archive, and serve it until a signal ends this process or the mount is taken away.

    `on_mounted` is called once programs can look into it. SIGINT, SIGTERM and SIGHUP unmount it.

    Raises:
        SlideWriteError: it cannot be mounted.
        SlideReadError: there is no such archive.
    """
    fuse = _library()
    is_mounted = threading.Event()

    def mounted() -> None:
        is_mounted.set()
        stderr.end()
        on_mounted()

    cache = UnitCache(options.cache_mb << 20)
    tree = ArchiveTree(archive, held_originals, Patience(options.timeout_s))
    files = OpenFiles(tree, lambda path: open_held(path, cache))
    for number in _SIGNALS:  # libfuse takes those that nobody else has
        signal.signal(number, signal.SIG_DFL)
    more = {"max_threads": _THREADS, "max_idle_threads": _THREADS} if _version(fuse) >= _SINCE else {}
    stderr = HeldStderr()
    with closing(tree.patience):
        try:
            fuse.FUSE(
                ArchiveFileSystem(tree, files, mounted),
                os.fspath(mountpoint),
                raw_fi=True,
                foreground=True,
                ro=True,
                use_ino=True,
                default_permissions=True,
                allow_other=options.allow_other,
                attr_timeout=_CACHED_S,
                entry_timeout=_CACHED_S,
                subtype=KIND,
                fsname=_escaped(os.fspath(tree.archive)),
                **more,
            )
        except RuntimeError as exc:  # libfuse's number, which is that of a signal too
            if not is_mounted.is_set():
                why = plain_refusal(stderr.end(), mountpoint)
                raise SlideWriteError(f"cannot be mounted: {why}", mountpoint) from exc
        finally:
            stderr.end()
            files.close_all()


def _library() -> Any:
    """Return mfusepy, which loads the system's libfuse.

    Raises:
        SlideWriteError: there is no libfuse.
        MissingExtraError: mfusepy is not installed.
    """
    require("mount", "mfusepy")
    from ctypes.util import find_library  # noqa: PLC0415 - looks for programs of the system, slowly

    if find_library("fuse3") is not None:
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        import mfusepy  # noqa: PLC0415 - an extra
    except OSError as exc:
        message = f"no libfuse is installed ({exc}); install the system's package fuse3"
        raise SlideWriteError(message) from exc
    return mfusepy


def _version(fuse: Any) -> tuple[int, int]:
    return fuse.fuse_version_major, fuse.fuse_version_minor


def _escaped(text: str) -> str:
    """Return a text as a value among libfuse's options, which commas separate."""
    return text.replace("\\", "\\\\").replace(",", "\\,")
