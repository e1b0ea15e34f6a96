"""Mode, owner and times of a file, and how another file gets them: a copy must never be open to more people.

It knows nothing of slides.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wsicomp.files.inputs import reading

PRIVATE = 0o600
"""The mode of a file while it is written, whatever the umask."""
_READABLE = 0o400


@dataclass(frozen=True)
class Attributes:
    """Mode, owner and time of a file."""

    mode: int
    """Permission bits, without set-user-ID, set-group-ID and sticky bits."""
    owner: int
    """Number of the user."""
    group: int
    """Number of the group."""
    mtime_ns: int | None = None
    """Time of the last change in ns since 1970; None for the time of writing."""

    @classmethod
    def of(cls, path: Path, with_time: bool = False) -> Attributes:
        """Return the attributes of a file, by default without its time.

        Raises:
            SlideReadError: the file cannot be examined.
        """
        with reading(path):
            found = path.stat()
        time = found.st_mtime_ns if with_time else None
        return cls(stat.S_IMODE(found.st_mode) & 0o777, found.st_uid, found.st_gid, time)

    def give(self, descriptor: int) -> None:
        """Give an open file, flushed, this mode and time, and this owner and group where this user may.

        Where the group cannot be given, the file's own group may do no more than everybody: else people who
        could not read the first file could read the second. Its user can always read it. A file system
        without modes or such times keeps its own.
        """
        with suppress(OSError):
            os.fchown(descriptor, self.owner, -1)
        with suppress(OSError):
            os.fchown(descriptor, -1, self.group)
        mode = self.mode | _READABLE
        if os.fstat(descriptor).st_gid != self.group:
            mode &= ~0o070 | (mode & 0o007) << 3
        with suppress(OSError):
            os.fchmod(descriptor, mode)
        if self.mtime_ns is not None:
            with suppress(OSError, OverflowError):
                os.utime(descriptor, ns=(self.mtime_ns, self.mtime_ns))


def make_private(descriptor: int) -> None:
    """Let nobody but the user open a file that is being written, where its file system has modes."""
    with suppress(OSError):
        os.fchmod(descriptor, PRIVATE)
