"""What is wrong with a file that a command was given, in the same words whoever opens it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wsicomp.errors import SlideReadError, WsicompError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def reason(exc: OSError) -> str:
    """What the file system says, in our words where everyone meets it."""
    if isinstance(exc, WsicompError):
        return exc.message
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return "no such file"
    return exc.strerror or str(exc)


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name; False, no error, for a name that none can have."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Whether there is a file of that name; False, no error, for a name that none can have."""
    return os.path.isfile(path)  # noqa: PTH113


def check_file(path: Path, error: type[WsicompError] = SlideReadError, advice: str = "") -> None:
    """Refuse what cannot be read as a file, before it is opened: opening a pipe would wait for ever.

    Raises:
        WsicompError: of the kind `error`; there is none, or it is something else, or empty, or closed to us.
    """
    if found := _trouble(path):
        raise error(f"{found}; {advice}" if advice else found, path)


def _trouble(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as exc:
        return reason(exc)
    except ValueError:  # a NUL, which no name holds
        return "no such file"
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return f"is {_KINDS.get(kind, 'something else')}, not a file"
    return "" if status.st_size else "is empty, 0 bytes"
