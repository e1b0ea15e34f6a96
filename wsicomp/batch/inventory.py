"""What is in a source tree: every slide, and what was passed by and why.

Files are told by name and size alone; none is opened here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from wsicomp.batch.names import as_text
from wsicomp.errors import SlideReadError
from wsicomp.readers.parts import slide_parts

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide"),
    *(".czi", ".dcm"),
)
"""The files that are taken for slides where no `include` says it."""

QUARANTINE = ".wsicomp-quarantine"
"""The folder in a source tree that takes sources which their conversions replace."""

_OF_MANY = (".mrxs", ".vms", ".vmu")


@dataclass(frozen=True)
class FoundSlide:
    """A slide of the tree. `stamp` changes with its files' sizes and times; `bytes` are those of all of them.

    Of a DICOM file only its own bytes count: which others are of its series is not known unread.
    """

    source: str
    bytes: int
    stamp: str


@dataclass(frozen=True)
class Inventory:
    """`links` are folders that are links, which are not entered, `closed` those that cannot be read.

    `others` counts the files that are no slides by their names. All paths are relative, as text.
    """

    slides: tuple[FoundSlide, ...]
    links: tuple[str, ...]
    closed: tuple[tuple[str, str], ...]
    others: int


@dataclass
class _Findings:
    slides: list[FoundSlide] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0


def find_slides(root: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Inventory:
    """Walk a tree. Globs match a file's name or its path in the tree; hidden files are passed by.

    Links to files are slides like others; links to folders are not entered, so that nothing is found twice
    and nothing outside of the tree.
    """
    found = _Findings()

    def refused(exc: OSError) -> None:
        found.closed.append((as_text(os.path.relpath(exc.filename, root)), exc.strerror or str(exc)))

    for folder, folders, files in os.walk(root, onerror=refused):
        _prune(Path(folder), root, folders, files, found)
        stamps: dict[str, str] = {}
        for name in sorted(files):
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if not name.startswith(".") and _is_wanted(relative, include, exclude):
                found.slides.append(_found(path, relative, stamps, files))
            else:
                found.others += 1
    slides = sorted(found.slides, key=lambda slide: slide.source)
    return Inventory(tuple(slides), tuple(sorted(found.links)), tuple(sorted(found.closed)), found.others)


def _prune(folder: Path, root: Path, folders: list[str], files: Sequence[str], found: _Findings) -> None:
    """Leave out hidden folders, links, and those that belong to a slide beside them."""
    owners = {name.casefold() for name in files}
    entered = []
    for name in sorted(folders):
        if name.startswith(".") or f"{name.casefold()}.mrxs" in owners:
            continue
        if Path(folder, name).is_symlink():
            found.links.append(as_text((folder / name).relative_to(root)))
        else:
            entered.append(name)
    folders[:] = entered


def _is_wanted(relative: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def matches(globs: Sequence[str]) -> bool:
        return any(fnmatch(relative, glob) or fnmatch(Path(relative).name, glob) for glob in globs)

    wanted = matches(include) if include else Path(relative).suffix.lower() in SUFFIXES
    return wanted and not matches(exclude)


def _found(path: Path, relative: str, stamps: dict[str, str], files: Sequence[str]) -> FoundSlide:
    """What its name and size say; a file that cannot be looked at is a slide too, which will fail."""
    suffix = path.suffix.lower()
    try:
        if suffix in _OF_MANY:
            parts = slide_parts(path)
            return FoundSlide(as_text(relative), sum(part.stat().st_size for part in parts), stamp_of(parts))
        if suffix == ".dcm":
            if not stamps:
                stamps[""] = stamp_of(tuple(_dicom_files(path.parent, files)))
            return FoundSlide(as_text(relative), path.stat().st_size, stamps[""])
        return FoundSlide(as_text(relative), path.stat().st_size, stamp_of((path,)))
    except (OSError, SlideReadError):
        return FoundSlide(as_text(relative), 0, "")


def _dicom_files(folder: Path, files: Sequence[str]) -> Iterator[Path]:
    """Any of them may be of the same slide as another: one that comes or goes changes all."""
    for name in sorted(files):
        if name.lower().endswith(".dcm"):
            yield folder / name


def stamp_of(parts: Sequence[Path]) -> str:
    """A text that changes when one of the files does, by size or time.

    Raises:
        OSError: one is not there.
    """
    facts = [f"{(status := part.stat()).st_size}-{status.st_mtime_ns}" for part in parts]
    return facts[0] if len(facts) == 1 else hashlib.sha256(" ".join(facts).encode()).hexdigest()
