"""The slides of a source tree, and the files and folders that were left out.

Files are judged by name and size alone; none is opened here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from wsicomp.errors import SlideReadError
from wsicomp.formats.slide_files import OF_SEVERAL_FILES, slide_parts, stamp_of
from wsicomp.text.paths import as_path, as_text

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide"),
    *(".czi", ".dcm"),
)
"""The suffixes of slides where no `include` names other files."""

QUARANTINE = ".wsicomp-quarantine"
"""The folder in a source tree that takes the sources that their conversions replace."""

_DICOM = ".dcm"


@dataclass(frozen=True)
class FoundSlide:
    """A slide of the tree."""

    source: str
    """Its path in the tree, as text."""
    bytes: int
    """The bytes of all its files.

    Of a DICOM file its own alone, for the others of its series are not known unread.
    """
    stamp: str
    """A text that changes with the sizes and times of its files."""
    hard_link: tuple[int, int] | None = None
    """Device and inode of a file with several names; None for any other slide."""


@dataclass(frozen=True)
class Inventory:
    """The content of a source tree. All paths are relative, as text."""

    slides: tuple[FoundSlide, ...]
    """The slides, sorted by path."""
    links: tuple[str, ...]
    """The folders that are links, which are not entered."""
    closed: tuple[tuple[str, str], ...]
    """The folders that cannot be read, each with the reason."""
    others: int
    """The count of files that are not slides by their names."""
    missing: tuple[tuple[str, str], ...] = ()
    """The listed paths that no slide of the tree has, each with the reason."""


@dataclass(frozen=True)
class Selection:
    """The rule by which files of a tree are its slides: by suffix, by `include`, or as `listed`.

    Hidden files and files that `exclude` names are none.
    """

    root: Path
    """The folder at the top of the tree."""
    include: tuple[str, ...] = ()
    """Globs of names or of paths in the tree that are slides; empty: by `SUFFIXES`."""
    exclude: tuple[str, ...] = ()
    """Globs of names or of paths in the tree that are not slides."""
    listed: frozenset[str] | None = None
    """The paths in the tree, as text, that alone are slides; None without a list."""

    def wants(self, path: Path) -> bool:
        """Return whether a file of the tree is a slide, by its name."""
        relative = path.relative_to(self.root)
        if any(part.startswith(".") for part in relative.parts):
            return False
        if self.listed is not None:
            wanted = as_text(relative) in self.listed
        else:
            wanted = matches(relative, self.include) if self.include else path.suffix.lower() in SUFFIXES
        return wanted and not matches(relative, self.exclude)

    def beside(self, path: Path) -> Selection:
        """Return the same rule for the files of one slide, which a list of all others would only burden."""
        if self.listed is None or path.suffix.lower() == _DICOM:
            return self
        return replace(self, listed=frozenset({as_text(path.relative_to(self.root))}))


def matches(path: Path, globs: Sequence[str]) -> bool:
    """Return whether one of the globs fits a relative path or its name."""
    return any(fnmatch(str(path), glob) or fnmatch(path.name, glob) for glob in globs)


def find_slides(selection: Selection) -> Inventory:
    """Return the slides of a tree.

    Links to files are slides like others. Links to folders are not entered, so that nothing is found twice
    and nothing outside of the tree.

    >>> find_slides(Selection(Path("slides"))).slides  # doctest: +SKIP
    (FoundSlide(source='a.svs', bytes=1938955, stamp='1938955-1700000000000000000'),)
    """
    slides: list[FoundSlide] = []
    links: list[str] = []
    closed: list[tuple[str, str]] = []
    others, root = 0, selection.root

    def refused(exc: OSError) -> None:
        closed.append((as_text(os.path.relpath(exc.filename, root)), exc.strerror or str(exc)))

    for name, folders, files in os.walk(root, onerror=refused):
        folder = Path(name)
        links += _prune(folder, root, folders, files)
        wanted = [folder / file for file in sorted(files) if selection.wants(folder / file)]
        series = _folder_stamp(path for path in wanted if path.suffix.lower() == _DICOM)
        slides += [_found_slide(path, root, series) for path in wanted]
        others += len(files) - len(wanted)
    slides.sort(key=lambda slide: slide.source)
    missing = _missing(selection, {slide.source for slide in slides})
    return Inventory(tuple(slides), tuple(sorted(links)), tuple(sorted(closed)), others, missing)


def _missing(selection: Selection, found: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the listed paths that were not found, each with the reason."""
    missing = []
    for text in sorted((selection.listed or frozenset()) - set(found)):
        path = selection.root / as_path(text)
        reason = "is hidden, excluded, behind a link to a folder, or no file; list another path"
        if not os.path.lexists(path):
            reason = "no such file; take it out of the list, or put it back"
        missing.append((text, reason))
    return tuple(missing)


def _prune(folder: Path, root: Path, folders: list[str], files: Sequence[str]) -> list[str]:
    """Leave out of the folders to enter hidden ones, links, and parts of a slide; return the links."""
    owners = {name.casefold() for name in files}
    entered, links = [], []
    for name in sorted(folders):
        if name.startswith(".") or f"{name.casefold()}.mrxs" in owners:
            continue
        if os.path.islink(folder / name):  # noqa: PTH114 - raises nowhere
            links.append(as_text((folder / name).relative_to(root)))
        else:
            entered.append(name)
    folders[:] = entered
    return links


def folders_of(root: Path) -> Iterator[tuple[tuple[int, int], Path]]:
    """Yield every readable folder of a tree with its device and inode, hidden folders too.

    Folders on file systems without inodes are left out.
    """
    for name, *_ in os.walk(root):
        with suppress(OSError):
            status = os.lstat(name)
            if status.st_ino:
                yield (status.st_dev, status.st_ino), Path(name)


def _found_slide(path: Path, root: Path, series: str) -> FoundSlide:
    """Return a slide by its name and size; one that cannot be examined too, whose conversion will fail."""
    source, suffix = as_text(path.relative_to(root)), path.suffix.lower()
    try:
        if suffix in OF_SEVERAL_FILES:
            size = sum(part.stat().st_size for part in slide_parts(path))
            return FoundSlide(source, size, stamp_of(path))
        status = path.stat()
    except (OSError, SlideReadError):
        return FoundSlide(source, 0, "")
    stamp = series if suffix == _DICOM else f"{status.st_size}-{status.st_mtime_ns}"
    is_linked = status.st_nlink > 1 and status.st_ino and suffix != _DICOM
    hard_link = (status.st_dev, status.st_ino) if is_linked and not path.is_symlink() else None
    return FoundSlide(source, status.st_size, stamp, hard_link)


def _folder_stamp(paths: Iterable[Path]) -> str:
    """Return one stamp for all DICOM files of a folder.

    Any of them may belong to the same slide as another.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        digest.update(f"{os.fsencode(path.name)!r} {status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()
