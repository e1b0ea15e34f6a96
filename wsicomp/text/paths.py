"""File names as lines of text, and back: any name, whatever its bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPED = re.compile(rb"\\(\\|x[0-9a-f]{2})")


def as_text(path: str | os.PathLike[str]) -> str:
    r"""Return a path as one line of text.

    A backslash is doubled. Bytes that do not print or are not UTF-8 become `\xNN`.

    >>> print(as_text("a\nb"))
    a\x0ab
    """
    return "".join(map(_escaped, os.fspath(path)))


def _escaped(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    return letter if letter.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def as_path(text: str) -> Path:
    r"""Return the path that `as_text` turned into this text.

    >>> as_path(as_text("a\nb")) == Path("a\nb")
    True
    """
    return Path(os.fsdecode(_ESCAPED.sub(_unescaped, text.encode())))


def _unescaped(match: re.Match[bytes]) -> bytes:
    found = match[1]
    return b"\\" if found == b"\\" else bytes.fromhex(found[1:].decode())
