"""Mode, owner and times of files and folders, and how others get them: no copy may be open to more people.

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
_READABLE, _USABLE = 0o400, 0o700


@dataclass(frozen=True)
class Attributes:
    """Mode, owner and time of a file or folder."""

    mode: int
    """Permission bits, without set-user-ID, set-group-ID and sticky bits; a folder's with set-group-ID."""
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

    @classmethod
    def of_folder(cls, path: Path) -> Attributes:
        """Return the attributes of a folder without its time; its user can always work in it.

        Raises:
            OSError: the folder cannot be examined.
        """
        found = path.stat()
        return cls(stat.S_IMODE(found.st_mode) & 0o2777 | _USABLE, found.st_uid, found.st_gid)

    def give(self, descriptor: int) -> None:
        """Give an open file, flushed, or folder this mode and time, and owner and group where this user may.

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
            mode &= ~0o2070 | (mode & 0o007) << 3
        with suppress(OSError):
            os.fchmod(descriptor, mode)
        if self.mtime_ns is not None:
            with suppress(OSError, OverflowError):
                os.utime(descriptor, ns=(self.mtime_ns, self.mtime_ns))


def make_private(descriptor: int) -> None:
    """Let nobody but the user open a file that is being written, where its file system has modes."""
    with suppress(OSError):
        os.fchmod(descriptor, PRIVATE)
