"""Any file's name as a line of text, and back."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPED = re.compile(rb"\\(\\|x[0-9a-f]{2})")


def as_text(path: str | os.PathLike[str]) -> str:
    r"""A path as one line of text: bytes that are no UTF-8 or no print as `\xNN`, a backslash twice."""
    return "".join(map(_escaped, os.fspath(path)))


def _escaped(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    return letter if letter.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def as_path(text: str) -> Path:
    """The path that `as_text` made the text of."""
    return Path(os.fsdecode(_ESCAPED.sub(_unescaped, text.encode())))


def _unescaped(match: re.Match[bytes]) -> bytes:
    found = match[1]
    return b"\\" if found == b"\\" else bytes.fromhex(found[1:].decode())
