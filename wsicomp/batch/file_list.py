"""A list of the slides to convert, from a file or from stdin, as `find` and `ls` write it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from wsicomp.errors import ConfigError
from wsicomp.files.inputs import check_file, reading
from wsicomp.text.escaping import quoted
from wsicomp.text.paths import as_text

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, with which some editors begin a file."""

_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The marks with which UTF-16 begins, as `>` of PowerShell writes it."""


def read_list(file: Path, source: Path) -> frozenset[str]:
    """Return the slides that a list names, as their paths in the tree `source`, as text.

    The list has a path a line, or between NULs if there is one in it. A path is absolute, or relative to
    `source`; one that is not there counts from the working folder, as `find` writes it. `file` is - for
    stdin. A list in UTF-16 begins with its mark.

    Raises:
        ConfigError: the list cannot be read, names nothing, or names a path outside `source`.
    """
    data = _as_utf_8(_content(file), file)
    mark = b"\0" if b"\0" in data else b"\n"
    lines = [line if mark == b"\0" else line.removesuffix(b"\r") for line in data.split(mark)]
    found = frozenset(_in_tree(lines, file, source))
    if not found:
        raise ConfigError("lists no slide; write a path a line", file)
    return found


def _content(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    with reading(file, ConfigError):
        check_file(file, ConfigError)
        return file.read_bytes()


def _as_utf_8(data: bytes, file: Path) -> bytes:
    if not data.startswith(_MARKS_OF_UTF_16):
        return data.removeprefix(_MARK)
    try:
        return data.decode("utf-16").encode()
    except UnicodeError as exc:
        raise ConfigError("begins as UTF-16 and is none; write it as UTF-8", file) from exc


def _in_tree(lines: list[bytes], file: Path, source: Path) -> Iterator[str]:
    roots = [os.path.abspath(source), os.path.realpath(source)]  # noqa: PTH100 - links in it stay as they are
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        path = _placed(os.fsdecode(line), source)
        relative = next((os.path.relpath(path, root) for root in roots if path.startswith(f"{root}/")), "")
        if not relative:
            raise ConfigError(
                f"{quoted(os.fsdecode(line))} is outside {source}; list paths inside it",
                file,
                f"line {number}",
            )
        yield as_text(relative)


def _placed(line: str, source: Path) -> str:
    """Return a listed path: relative to `source`, or to the working folder if it is there alone."""
    path = os.path.normpath(source / line)
    here = os.path.abspath(line)  # noqa: PTH100 - links in it stay as they are
    return here if os.path.lexists(here) and not os.path.lexists(path) else path
