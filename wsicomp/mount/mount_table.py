"""What the kernel has mounted where, and how it is taken away (Linux)."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import SlideWriteError
from wsicomp.mount.holders import holders_of
from wsicomp.mount.patience import Patience
from wsicomp.mount.refusals import plain_refusal, without_path

KIND = "wsicomp"
"""What our mounts are called: of type "fuse.wsicomp"."""
_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LIMIT_S = 10.0


@dataclass(frozen=True)
class Mounted:
    """A mount of the kernel's table."""

    path: Path
    """Where it is."""
    kind: str
    """The type of its file system."""
    source: str
    """What is mounted there: of ours the archive's path."""

    @property
    def is_ours(self) -> bool:
        """Whether it is an archive of ours."""
        return self.kind == f"fuse.{KIND}"

    @property
    def is_trigger(self) -> bool:
        """Whether it only waits for somebody to look, and then mounts what belongs here."""
        return self.kind == "autofs"


def mounted_at(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at a path; None if nothing is. Of several mounts the last one counts.

    A mount whose server is gone is found as well. Links in the path's parents are followed.
    """
    path = os.path.join(os.path.realpath(mountpoint.parent), mountpoint.name)  # noqa: PTH118 - no look at it
    found = None
    for line in _TABLE.read_text(errors="surrogateescape").split("\n"):
        fields = line.split(" ")
        if "-" not in fields:
            continue
        if _unescaped(fields[4]) == path:
            kind, source = fields[fields.index("-") + 1 :][:2]
            found = Mounted(Path(path), kind, _unescaped(source))
    return found


def is_dead(mountpoint: Path) -> bool:
    """Return whether nobody serves what is mounted at a path any more, as after a crash of its server.

    A server that is slow to answer, or answers with an error, lives.
    """
    patience = Patience(_LIMIT_S, 2)
    try:
        patience.call(os.statvfs, mountpoint)
    except OSError as exc:
        return exc.errno == errno.ENOTCONN
    finally:
        patience.close()
    return False


def take_away(mountpoint: Path, is_lazy: bool) -> None:
    """Unmount a path. With `is_lazy` it goes at once, and those who have files open there lose them later.

    Raises:
        SlideWriteError: the system refuses, for instance because files are open there.
    """
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    command = [program, "-u"] if program else [shutil.which("umount") or "umount"]
    lazy = ["-z" if program else "-l"] if is_lazy else []
    try:
        done = subprocess.run(  # noqa: S603 - programs of the system
            [*command, *lazy, "--", os.fspath(mountpoint)], capture_output=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SlideWriteError(f"cannot be unmounted ({exc})", mountpoint) from exc
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        is_busy = "busy" in without_path(said, mountpoint)
        why = _busy(mountpoint) if is_busy else plain_refusal(said, mountpoint)
        raise SlideWriteError(f"cannot be unmounted: {why}", mountpoint)


def _busy(mountpoint: Path) -> str:
    holders = holders_of(mountpoint)
    if not holders:
        command = f"sudo fuser -vm {shlex.quote(os.fspath(mountpoint))}"
        return f"a program of another account has a file open in it, or its current folder there: {command}"
    return f"in use by {', '.join(map(str, holders))}; end what reads there, or leave the folder"


def _unescaped(text: str) -> str:
    """Return a path of the table: blanks and the like are written there as octal numbers."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
