"""What is wrong with a file that a command was given, in the same words whoever opens it."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from wsicomp.errors import SlideReadError, WsicompError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_MOST_TOML_BYTES = 1 << 16
"""More than settings take: the parser needs the square of a key's parts in time, 2 s for as many bytes."""


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


def read_toml(path: Path, error: type[WsicompError], advice: str = "") -> dict[str, Any]:
    """The values of a TOML file of settings.

    Raises:
        WsicompError: of the kind `error`; it cannot be read, is no TOML, or is larger than settings are.
    """
    check_file(path, error, advice)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_TOML_BYTES + 1)
    except OSError as exc:
        raise error(reason(exc), path) from exc
    if len(data) > _MOST_TOML_BYTES:
        raise error(f"settings of more than {_MOST_TOML_BYTES} bytes; is it the right file?", path)
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as exc:
        raise error(f"not a TOML file ({exc})", path) from exc


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
