"""What a shown file's bytes come from: a file as it is, or the original behind a conversion."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from wsicomp.errors import SlideReadError


class ByteSource(Protocol):
    """Bytes that any thread may read by position; `OriginalBytes` is one."""

    @property
    def total_bytes(self) -> int:
        """Their count."""
        ...

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on, fewer at the end, none behind it.

        Raises:
            OSError: they cannot be read; a `SlideReadError` where the file is damaged.
        """
        ...

    def close(self) -> None:
        """Close the file."""


class OpenedFile(Protocol):
    """An open file of the archive, with the bytes that it is shown as."""

    def source(self, member: str | None) -> ByteSource:
        """Return the bytes of a member, None for the only one. They are of use until the file is closed.

        Raises:
            SlideReadError: it holds no such member.
        """
        ...

    def close(self) -> None:
        """Close the file."""


class SingleFile:
    """An open file that is shown as one."""

    def __init__(self, only: ByteSource) -> None:
        self._only = only

    def source(self, _: str | None) -> ByteSource:
        """Return its bytes."""
        return self._only

    def close(self) -> None:
        """Close the file."""
        self._only.close()


class PlainBytes:
    """A regular file as it is.

    Raises:
        OSError: it cannot be opened, or is a link.
        SlideReadError: it is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise SlideReadError("is no regular file any more", path)

    @property
    def total_bytes(self) -> int:
        """Its size now."""
        return os.fstat(self._descriptor).st_size

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on, fewer at the end."""
        return os.pread(self._descriptor, count, start)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._descriptor)
