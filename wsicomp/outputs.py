"""Refusing to write where something is that must stay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsicomp.errors import SlideWriteError, TargetExistsError


def partial_path(target: Path) -> Path:
    """Where a target is written before it is complete: hidden, and by a name that only wsicomp uses."""
    return target.with_name(f".{target.name}.wsicomp.partial")


def check_output(path: Path, inputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse a path that could not or must not be written, before anything is read.

    Raises:
        SlideWriteError: it is one of the inputs by whatever name, no regular file, or in no directory.
        TargetExistsError: it exists and `overwrite` is False.
    """
    try:
        for place in (path, partial_path(path)):
            _check_no_input(place, inputs := tuple(inputs), path)
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise SlideWriteError(f"is {kind}; name a file to write", path)
        if path.exists() and not overwrite:
            raise TargetExistsError("exists already; choose another name or --overwrite", path)
        if not path.parent.is_dir():
            raise SlideWriteError(f"its directory {path.parent} does not exist; make it first", path)
    except SlideWriteError:
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", path) from exc


def check_apart(first: Path, second: Path) -> None:
    """Refuse two outputs of one run that would be one file.

    Raises:
        SlideWriteError: they are, whatever they are called.
    """
    if first.resolve() in (second.resolve(), partial_path(second).resolve()):
        raise SlideWriteError(f"is {second} too; name another file", first)


def _check_no_input(place: Path, inputs: tuple[Path | None, ...], named: Path) -> None:
    for given in inputs:
        if given is not None and place.exists() and given.exists() and place.samefile(given):
            raise SlideWriteError(f"is an input, {given}; an input is never overwritten", named)
