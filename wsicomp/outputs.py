"""Refusing to write where something is that must stay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsicomp.errors import SlideWriteError, TargetExistsError


def check_output(path: Path, inputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse a path that could not or must not be written, before anything is read.

    Raises:
        SlideWriteError: it is one of the inputs by whatever name, no regular file, or in no directory.
        TargetExistsError: it exists and `overwrite` is False.
    """
    if path.exists():
        for given in inputs:
            if given is not None and given.exists() and path.samefile(given):
                raise SlideWriteError(f"is an input, {given}; an input is never overwritten", path)
        if not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise SlideWriteError(f"is {kind}; name a file to write", path)
        if not overwrite:
            raise TargetExistsError("exists already; choose another name or --overwrite", path)
    elif not path.parent.is_dir():
        raise SlideWriteError(f"its directory {path.parent} does not exist; make it first", path)
