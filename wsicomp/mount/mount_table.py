"""What the kernel has mounted where, and how it is taken away (Linux)."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import ConfigError
from wsicomp.mount.patience import Patience

KIND = "wsicomp"
"""What our mounts are called: of type "fuse.wsicomp"."""
NOT_MOUNTED = "cannot be mounted"
"""What is said where libfuse has said why."""
_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_SPEAKER = re.compile(r"^\S*(?:fusermount3?|umount): ")
_LIMIT_S = 10.0


@dataclass(frozen=True)
class Mounted:
    """A mount of the kernel's table."""

    path: Path
    """Where it is."""
    kind: str
    """The type of its file system."""

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
            found = Mounted(Path(path), fields[fields.index("-") + 1])
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
        ConfigError: the system refuses, for instance because files are open there.
    """
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    command = [program, "-u"] if program else [shutil.which("umount") or "umount"]
    lazy = ["-z" if program else "-l"] if is_lazy else []
    try:
        done = subprocess.run(  # noqa: S603 - programs of the system
            [*command, *lazy, "--", os.fspath(mountpoint)], capture_output=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ConfigError(f"cannot be unmounted ({exc})", mountpoint) from exc
    if done.returncode:
        said = last_line(done.stderr)
        busy = "files in it are open, or a program's current folder is there; end these programs first"
        raise ConfigError(f"cannot be unmounted: {busy if 'busy' in said else said}", mountpoint)


def last_line(data: bytes, without: str = "") -> str:
    """Return the last line that a program said, without its name before it.

    A line that ends with the words `without` says less than the one before it, if there is one.
    """
    lines = data.decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    if without and len(said) > 1 and said[-1].endswith(without):
        said.pop()
    return _SPEAKER.sub("", said[-1]) if said else "it does not say why"


def _unescaped(text: str) -> str:
    """Return a path of the table: blanks and the like are written there as octal numbers."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
