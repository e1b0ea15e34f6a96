"""Which processes keep a mount from being taken away, as far as /proc shows them to this account (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Holder:
    """A process that has a file open in a mount, or its current folder there."""

    number: int
    """The number by which the system knows it."""
    name: str
    """What it is called."""

    def __str__(self) -> str:
        return f"{self.name} (process {self.number})"


def holders_of(mountpoint: Path) -> tuple[Holder, ...]:
    """Return the first few processes that hold a mount, by their numbers; only those that may be seen.

    Nothing in the mount is looked at: where files lie is told by the text of links in /proc.
    """
    place = f"{os.path.realpath(mountpoint.parent)}/{mountpoint.name}"
    found: list[Holder] = []
    for number in sorted(int(path.name) for path in _PROCESSES.iterdir() if path.name.isdecimal()):
        if any(path == place or path.startswith(f"{place}/") for path in _paths_of(number)):
            with suppress(OSError):  # it has ended
                found.append(
                    Holder(number, (_PROCESSES / f"{number}/comm").read_text(errors="replace").strip())
                )
        if len(found) == _MOST_NAMED:
            break
    return tuple(found)


def _paths_of(number: int) -> Iterator[str]:
    """Yield the paths of a process's current folder, open files and mapped ones."""
    process = _PROCESSES / str(number)
    links = [process / "cwd"]
    with suppress(OSError):
        links += (process / "fd").iterdir()
    for link in links:
        with suppress(OSError):
            yield os.fspath(link.readlink())
    with suppress(OSError), (process / "maps").open(errors="surrogateescape") as lines:
        for line in lines:
            yield f"/{line.partition('/')[2]}".rstrip("\n")
