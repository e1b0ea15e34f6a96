"""Print lines for people, and write JSON for other programs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from wsicomp.cli.flags import with_flags
from wsicomp.cli.verbosity import is_quiet
from wsicomp.errors import SlideWriteError
from wsicomp.files.inputs import reason
from wsicomp.files.tables import write_text
from wsicomp.text.escaping import printable


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines for a person, each as one line without control characters, whatever it contains.

    Parameters that the library's messages name become flags. With --quiet nothing goes to stdout.
    """
    if is_quiet() and file is None:
        return
    say_anyway(*lines, file=file)


def say_anyway(*lines: str, file: TextIO | None = None) -> None:
    """Print lines as `say` does, with --quiet as well: what is wrong."""
    show("".join(f"{printable(with_flags(line))}\n" for line in lines), file)


def show(text: str, file: TextIO | None = None) -> None:
    """Write a text to stdout, or to another stream, at once.

    What stderr does not take is lost: there is no place where to say it, and the work goes on.

    Raises:
        SlideWriteError: stdout takes no more, as on a full disk.
        BrokenPipeError: nobody reads stdout any longer.
    """
    stream = file or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except OSError as exc:
        if stream is sys.stderr:
            return
        if isinstance(exc, BrokenPipeError):
            raise
        raise SlideWriteError(f"cannot be written ({reason(exc)})", "stdout") from exc


def drop_what_is_not_taken() -> None:
    """Drop what stdout and stderr did not take: Python would try once more when it ends, and fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def open_closed_streams() -> None:
    """Let stdin, stdout and stderr lead nowhere where the caller closed them.

    Else a target could get the number of one of them, and with it what libraries print there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # opens the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def show_every_letter() -> None:
    """Let a terminal that lacks some letters show these as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_json(values: dict[str, Any] | list[Any], path: Path | None, overwrite: bool = False) -> None:
    """Write JSON to a file, or to stdout for None or "-".

    Raises:
        TargetExistsError: the file exists and `overwrite` is False.
        SlideWriteError: the file or stdout cannot be written.
    """
    text = json.dumps(values, indent=2) + "\n"
    if path is None or str(path) == "-":
        show(text)
        return
    write_text(path, text, overwrite)
