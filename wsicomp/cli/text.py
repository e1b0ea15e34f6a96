"""Print lines for people, and write JSON for other programs."""

from __future__ import annotations

import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from wsicomp.cli.flags import with_flags
from wsicomp.files.tables import write_text
from wsicomp.text.escaping import printable


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines for a person, each as one line without control characters, whatever it contains.

    Parameters that the library's messages name become flags.
    """
    print(*(printable(with_flags(line)) for line in lines), sep="\n", file=file, flush=True)


def show_every_letter() -> None:
    """Let a terminal that lacks some letters show these as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_json(values: dict[str, Any] | list[Any], path: Path | None, overwrite: bool = False) -> None:
    """Write JSON to a file, or to stdout for None or "-".

    Raises:
        TargetExistsError: the file exists and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    text = json.dumps(values, indent=2) + "\n"
    if path is None or str(path) == "-":
        sys.stdout.write(text)
        return
    write_text(path, text, overwrite)
