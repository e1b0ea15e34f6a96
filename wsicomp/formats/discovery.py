"""What is in a source tree: every slide, and what was passed by and why.

Files are told by name and size alone; none is opened here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from wsicomp.errors import SlideReadError
from wsicomp.formats.slide_files import slide_parts, stamp_of
from wsicomp.path_text import as_text

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide"),
    *(".czi", ".dcm"),
)
"""The files that are taken for slides where no `include` says it."""

QUARANTINE = ".wsicomp-quarantine"
"""The folder in a source tree that takes sources which their conversions replace."""

_OF_MANY = (".mrxs", ".vms", ".vmu")
_DICOM = ".dcm"


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


@dataclass(frozen=True)
class Selection:
    """Which files of a tree are its slides: by suffix or `include`, and not by `exclude` or hidden."""

    root: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, path: Path) -> bool:
        """Whether a file of the tree is one, by its name. Globs match it, or its path in the tree."""
        relative = path.relative_to(self.root)
        if any(part.startswith(".") for part in relative.parts):
            return False
        wanted = _matches(relative, self.include) if self.include else path.suffix.lower() in SUFFIXES
        return wanted and not _matches(relative, self.exclude)


def _matches(path: Path, globs: Sequence[str]) -> bool:
    return any(fnmatch(str(path), glob) or fnmatch(path.name, glob) for glob in globs)


def find_slides(selection: Selection) -> Inventory:
    """Walk a tree.

    Links to files are slides like others; links to folders are not entered, so that nothing is found twice
    and nothing outside of the tree.
    """
    found, root = _Findings(), selection.root

    def refused(exc: OSError) -> None:
        found.closed.append((as_text(os.path.relpath(exc.filename, root)), exc.strerror or str(exc)))

    for name, folders, files in os.walk(root, onerror=refused):
        folder = Path(name)
        _prune(folder, root, folders, files, found)
        wanted = [folder / file for file in sorted(files) if selection.wants(folder / file)]
        series = _together(path for path in wanted if path.suffix.lower() == _DICOM)
        found.slides += [_found(path, root, series) for path in wanted]
        found.others += len(files) - len(wanted)
    slides = sorted(found.slides, key=lambda slide: slide.source)
    return Inventory(tuple(slides), tuple(sorted(found.links)), tuple(sorted(found.closed)), found.others)


def _prune(folder: Path, root: Path, folders: list[str], files: Sequence[str], found: _Findings) -> None:
    """Leave out hidden folders, links, and those that belong to a slide beside them."""
    owners = {name.casefold() for name in files}
    entered = []
    for name in sorted(folders):
        if name.startswith(".") or f"{name.casefold()}.mrxs" in owners:
            continue
        if os.path.islink(folder / name):  # noqa: PTH114 - raises nowhere
            found.links.append(as_text((folder / name).relative_to(root)))
        else:
            entered.append(name)
    folders[:] = entered


def folders_of(root: Path) -> Iterator[tuple[tuple[int, int], Path]]:
    """Every folder of a tree by its device and inode, hidden ones too; those that cannot be read are not.

    File systems without inodes say 0, by which no folder is told.
    """
    for name, *_ in os.walk(root):
        with suppress(OSError):
            status = os.lstat(name)
            if status.st_ino:
                yield (status.st_dev, status.st_ino), Path(name)


def _found(path: Path, root: Path, series: str) -> FoundSlide:
    """What its name and size say; a file that cannot be looked at is a slide too, which will fail."""
    source, suffix = as_text(path.relative_to(root)), path.suffix.lower()
    try:
        if suffix in _OF_MANY:
            size = sum(part.stat().st_size for part in slide_parts(path))
            return FoundSlide(source, size, stamp_of(path))
        status = path.stat()
    except (OSError, SlideReadError):
        return FoundSlide(source, 0, "")
    stamp = series if suffix == _DICOM else f"{status.st_size}-{status.st_mtime_ns}"
    return FoundSlide(source, status.st_size, stamp)


def _together(paths: Iterable[Path]) -> str:
    """A stamp of all DICOM files of a folder: any of them may be of the same slide as another."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        digest.update(f"{os.fsencode(path.name)!r} {status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()
