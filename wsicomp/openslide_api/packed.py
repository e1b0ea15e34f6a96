"""Opens a packed slide as OpenSlide opens its original: its files stand in a private folder meanwhile.

Where the system allows it the folder is a mount, which a process of its own serves and in which a file is
rebuilt only where it is read. Else the files are written out. Either way nothing of it stays: what a process
left that was killed, the next one to open a packed slide takes away.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from openslide import OpenSlideError

from wsicomp.errors import SlideReadError, SlideWriteError
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.manifest import path_of_name
from wsicomp.formats.packed.unpack import unpack_slide
from wsicomp.formats.safe_openslide import open_openslide
from wsicomp.openslide_api.errors import SlideAccessError
from wsicomp.openslide_api.unconverted import UnconvertedSlide
from wsicomp.text.figures import as_bytes

_SHARE_OF_DISK = 2
"""The files of a packed slide take at most one part in so many of the free space."""
_PREFIX, _FILES = "wsicomp-slide-", "files"
_LOG = logging.getLogger("wsicomp.open_slide")
_LOG.addHandler(logging.NullHandler())


class PackedOriginal(UnconvertedSlide):
    """The original of a packed slide, as OpenSlide reads it; closing it takes its files away."""

    def __init__(self, opens: os.PathLike[str], packed: Path, shown: ShownFiles) -> None:
        super().__init__(opens)
        self._filename = str(packed)
        self._take_away = weakref.finalize(self, end_showing, shown)

    def close(self) -> None:
        """Close the slide, and take its files away."""
        super().close()
        self._take_away()


def open_packed(packed: Path) -> PackedOriginal:
    """Open the original of a packed slide.

    Raises:
        SlideAccessError: it is damaged, OpenSlide does not read its original, or its files can neither be
            mounted nor written out.
    """
    try:
        with PackedSlide(packed) as slide:
            manifest = slide.manifest
        shown = shown_files(packed, manifest.total_bytes)
    except (SlideReadError, SlideWriteError) as exc:
        raise SlideAccessError(exc.message, packed, exc.place) from exc
    try:
        opens = shown.folder / path_of_name(manifest.opens)
        return cast(PackedOriginal, open_openslide(opens, lambda _: PackedOriginal(opens, packed, shown)))
    except BaseException as exc:
        end_showing(shown)
        if isinstance(exc, OpenSlideError):
            raise SlideAccessError(f"OpenSlide does not read the slide in it ({exc})", packed) from exc
        raise


@dataclass(frozen=True)
class ShownFiles:
    """The files of a packed slide while programs read them."""

    folder: Path
    """Where they stand."""
    server: subprocess.Popen[bytes] | None
    """The process that serves them; None where they were written out."""
    owner: int
    """The process that opened them, and alone takes them away: a fork of it leaves them."""
    lock: int
    """The open folder that they are in, locked while they are shown."""


def shown_files(packed: Path, total_bytes: int) -> ShownFiles:
    """Mount a packed slide at a temporary folder, or write its files there; `end_showing` ends it.

    Raises:
        SlideReadError: its files can neither be mounted nor, for want of space, be written out.
        SlideWriteError: the temporary folder cannot be written.
    """
    _sweep(Path(tempfile.gettempdir()))
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock, folder = os.open(place, os.O_RDONLY), place / _FILES
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        folder.mkdir()
        server, why = _mounted(packed, folder)
        if server is None:
            _write_out(packed, folder, total_bytes, why)
    except BaseException:
        end_showing(ShownFiles(folder, None, os.getpid(), lock))
        raise
    return ShownFiles(folder, server, os.getpid(), lock)


def _sweep(parent: Path) -> None:
    """Take away what processes of this user left that were killed: folders that nobody holds."""
    for place in parent.glob(f"{_PREFIX}*"):
        try:
            if place.lstat().st_uid != os.getuid() or os.path.ismount(place / _FILES):
                continue
            lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        except OSError:  # it goes at this moment, or is a dead mount
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
        except OSError:
            pass  # another process reads it
        finally:
            os.close(lock)


def _mounted(packed: Path, folder: Path) -> tuple[subprocess.Popen[bytes] | None, str]:
    """Return the process that serves a packed slide as long as this one lives; or None, and why not."""
    server = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "wsicomp.mount", packed.absolute(), folder, "{}", "stdin ends"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,
    )
    assert server.stdout is not None
    assert server.stderr is not None
    if server.stdout.readline():
        return server, ""
    said = server.stderr.read().decode(errors="replace").splitlines()
    server.wait()
    return None, said[-1].removeprefix("cannot be mounted: ") if said else "its server ended"


def _write_out(packed: Path, folder: Path, total_bytes: int, why: str) -> None:
    free = shutil.disk_usage(folder).free
    if total_bytes * _SHARE_OF_DISK > free:
        found = f"cannot be mounted ({why}), and its files take {as_bytes(total_bytes)}"
        raise SlideReadError(f"{found} of {as_bytes(free)} free in {folder.parent}; restore it", packed)
    written = as_bytes(total_bytes)
    _LOG.warning("%s: cannot be mounted (%s); %s are written to %s meanwhile", packed, why, written, folder)
    unpack_slide(packed, folder)


def end_showing(shown: ShownFiles) -> None:
    """Unmount or delete the files of a packed slide, and the folder that they stood in."""
    if shown.owner != os.getpid():
        return
    if shown.server is not None:
        shown.server.terminate()
        shown.server.communicate()
    if not os.path.ismount(shown.folder):
        shutil.rmtree(shown.folder.parent, ignore_errors=True)
    os.close(shown.lock)
