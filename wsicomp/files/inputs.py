"""Check files that a command was given, and report what is wrong in the same words everywhere."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsicomp.errors import SlideReadError, SlideWriteError, WsicompError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_MOST_TOML_BYTES = 1 << 16
"""The largest TOML file that is parsed.

The parser's time grows with the square of the number of a key's parts: 2 s at this size.
"""


def given_path(path: str | os.PathLike[str], error: type[WsicompError] = SlideReadError) -> Path:
    """Return a path that a caller gave, unless it is empty: `Path` would take that for the current folder.

    Raises:
        WsicompError: of the class `error`: the path is empty.
    """
    found = Path(path)
    if not os.fspath(path):
        raise error("an empty path; name a file or a folder")
    return found


def given_output(path: str | os.PathLike[str], error: type[WsicompError] = SlideWriteError) -> Path:
    """Return the path of a file to write that a caller gave.

    Raises:
        WsicompError: of the class `error`: the path is empty, or ends as that of a folder that is not there.
    """
    found = given_path(path, error)
    if str(path).endswith("/") and not found.is_dir():
        raise error("ends in / as a folder, and there is none; name a file to write", found)
    return found


def reason(exc: OSError) -> str:
    """Return in words why the file system refused."""
    if isinstance(exc, WsicompError):
        return exc.message
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return "no such file"
    return exc.strerror or str(exc)


@contextmanager
def reading(path: Path, error: type[WsicompError] = SlideReadError) -> Iterator[None]:
    """Turn an OSError of the file system into an error that names the file.

    Raises:
        WsicompError: of the class `error`: the file cannot be read.
    """
    try:
        yield
    except WsicompError:
        raise
    except OSError as exc:
        raise error(reason(exc), path) from exc


def is_folder(path: Path) -> bool:
    """Return whether a folder has this name; False, no error, for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Return whether a regular file has this name; False, no error, for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113


def check_file(
    path: Path, error: type[WsicompError] = SlideReadError, advice: str = "", may_be_empty: bool = False
) -> None:
    """Refuse a path that is no readable regular file, or an empty one unless it `may_be_empty`.

    It is not opened: to open a pipe would wait for ever. `advice` ends the message.

    Raises:
        WsicompError: of the class `error`: the file does not exist, is no regular file, is empty, or may not
            be read.
    """
    found = ""
    try:
        status = path.stat()
        kind = stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG:
            found = f"is {_KINDS.get(kind, 'something else')}, not a file"
        elif not status.st_size and not may_be_empty:
            found = "is empty, 0 bytes"
    except OSError as exc:
        found = reason(exc)
    except ValueError:  # a NUL, which no name holds
        found = "no such file"
    if found:
        raise error(f"{found}; {advice}" if advice else found, path)


def read_toml(path: Path, error: type[WsicompError], advice: str = "") -> dict[str, Any]:
    """Return the values of a TOML file with options.

    Raises:
        WsicompError: of the class `error`: the file cannot be read, is not TOML, or has more than 64 KiB.
    """
    check_file(path, error, advice)
    with reading(path, error), path.open("rb") as file:
        data = file.read(_MOST_TOML_BYTES + 1)
    if len(data) > _MOST_TOML_BYTES:
        raise error(f"over {_MOST_TOML_BYTES} bytes, expected a TOML file of options; check the path", path)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise error(f"not a TOML file ({exc})", path) from exc


def line_of_key(path: Path, key: str) -> int:
    """Return the number of the line that gives a key of a TOML file its value; 1 if none begins so."""
    with reading(path):
        lines = path.read_text("utf-8-sig").splitlines()
    begins = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[]=.]""")
    return next((number for number, line in enumerate(lines, 1) if begins.match(line)), 1)
