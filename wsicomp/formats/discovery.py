"""The slides of a source tree, and the files and folders that were left out.

Files are judged by name and size. Only what may be DICOM by a name without suffix is opened: of DICOM, whole
slides alone are slides.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from wsicomp.errors import SlideReadError
from wsicomp.formats.slide_files import (
    DICOM_SUFFIX,
    LISTS,
    OF_SEVERAL_FILES,
    is_dicom_file,
    is_whole_slide,
    may_be_dicom,
    slide_parts,
    stamp_of,
)
from wsicomp.text.figures import counted
from wsicomp.text.paths import as_path, as_text

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide"),
    *(".czi", ".dcm"),
)
"""The suffixes of slides where no `include` names other files."""

QUARANTINE = ".wsicomp-quarantine"
"""The folder in a source tree that takes the sources that their conversions replace."""

PACKED_SUFFIXES = (".isyntax", ".vsi")
"""The suffixes of slides that nothing here reads, and that are kept whole."""

_LONGEST_SUFFIX, _MOST_KINDS, _MOST_ORPHANS = 10, 8, 5
ORPHANS_ALONE = "MRXS folders whose .mrxs is missing: "
"""How the words of a `LeftOut` begin that counts no files."""

_MIRAX_INDEX = "slidedat.ini"
_DICOM_INDEX = "DICOMDIR"
"""The name of a file that lists the DICOM files of a folder, and is DICOM itself."""


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
class LeftOut:
    """What of a tree is no slide and no part of one, and is not excluded by its user."""

    suffixes: Mapping[str, int] = field(default_factory=dict)
    """The count of files by their suffix in lower case, the most frequent first; "" for those without.

    Links, pipes and devices are none.
    """
    orphans: tuple[str, ...] = ()
    """The folders of MRXS slides whose `.mrxs` file is not there."""

    @property
    def files(self) -> int:
        """The count of files."""
        return sum(self.suffixes.values())

    def __str__(self) -> str:
        """Return them in words, "" where nothing is left out.

        >>> str(LeftOut({".xml": 8, ".isyntax": 1, "": 2}))
        '11 files: 8 .xml, 1 .isyntax, 2 without suffix'
        """
        folders = ", ".join(
            [*self.orphans[:_MOST_ORPHANS], *(["others"] if self.orphans[_MOST_ORPHANS:] else [])]
        )
        lost = f"{ORPHANS_ALONE}{folders}" if folders else ""
        if not self.suffixes:
            return lost
        kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in self.suffixes.items()]
        more = sum([*self.suffixes.values()][_MOST_KINDS:])
        said = ", ".join([*kinds[:_MOST_KINDS], *([f"{more} others"] if more else [])])
        return f"{counted(self.files, 'file')}: {said}{'; ' if lost else ''}{lost}"


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
    left_out: LeftOut = LeftOut()
    """What is left out where slides are found by `SUFFIXES`; nothing where the user says which they are."""


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
    packs: bool = False
    """Whether slides of `PACKED_SUFFIXES` are wanted, too."""

    def wants(self, path: Path) -> bool:
        """Return whether a file of the tree is a slide: by name, or as DICOM of a slide without suffix."""
        relative = path.relative_to(self.root)
        if any(part.startswith(".") for part in relative.parts):
            return False
        if self.listed is not None and as_text(relative) not in self.listed:
            return False
        if matches(relative, self.exclude):
            return False
        if self.listed is None and self.include:
            return matches(relative, self.include)
        return self.listed is not None or is_taken_for_slide(path, self.packs)

    def leaves_out(self, path: Path) -> bool:
        """Return whether a file that is not wanted is left out by our rule, and not by its user's."""
        is_ours = self.listed is None and not self.include
        return is_ours and not matches(path.relative_to(self.root), self.exclude)

    def beside(self, path: Path) -> Selection:
        """Return the same rule for the files of one slide, which a list of all others would only burden."""
        if self.listed is None or may_be_dicom(path):
            return self
        return replace(self, listed=frozenset({as_text(path.relative_to(self.root))}))


def is_taken_for_slide(path: Path, packs: bool) -> bool:
    """Return whether a file is a slide by its suffix, or as DICOM of a whole slide without one.

    With `packs` slides of `PACKED_SUFFIXES` are some, too. A file without suffix that cannot be read is taken
    for one, for whoever opens it tells the error.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or (packs and suffix in PACKED_SUFFIXES):
        return True
    if not may_be_dicom(path) or path.name.upper() == _DICOM_INDEX:
        return False
    try:
        # One that is gone was found to be a slide before it was taken away.
        return not os.path.lexists(path) or (path.is_file() and is_whole_slide(path))
    except FileNotFoundError:
        return False
    except OSError:
        return True


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
    suffixes, orphans = Counter[str](), list[str]()

    def refused(exc: OSError) -> None:
        closed.append((as_text(os.path.relpath(exc.filename, root)), exc.strerror or str(exc)))

    for name, folders, files in os.walk(root, onerror=refused):
        folder = Path(name)
        links += _prune(selection, folder, folders, files)
        wanted = [folder / file for file in sorted(files) if selection.wants(folder / file)]
        series = _folder_stamp(path for path in wanted if _is_of_series(path))
        slides += [_found_slide(path, root, series) for path in wanted]
        others += len(files) - len(wanted)
        apart = {folder / file for file in files}.difference(wanted, _named_by(wanted))
        suffixes.update(
            _counted_suffix(path) for path in apart if selection.leaves_out(path) and _is_regular(path)
        )
        index = [
            path for path in apart if path.name.casefold() == _MIRAX_INDEX and selection.leaves_out(path)
        ]
        if index and folder != root:
            orphans.append(as_text(folder.relative_to(root)))
    slides.sort(key=lambda slide: slide.source)
    missing = _missing(selection, {slide.source for slide in slides})
    left_out = LeftOut(dict(sorted(suffixes.items(), key=_by_count)), tuple(sorted(orphans)))
    return Inventory(tuple(slides), tuple(sorted(links)), tuple(sorted(closed)), others, missing, left_out)


def _named_by(slides: Iterable[Path]) -> set[Path]:
    """Return the files beside slides that these name as their own."""
    found = set[Path]()
    for path in slides:
        if path.suffix.lower() in LISTS:
            with suppress(OSError, SlideReadError):
                found.update(slide_parts(path))
    return found


def _is_regular(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _counted_suffix(path: Path) -> str:
    """Return the suffix by which a file is counted; "" for what is no suffix but the end of a name."""
    suffix = path.suffix.lower()
    return as_text(suffix) if len(suffix) <= _LONGEST_SUFFIX and not suffix[1:].isdigit() else ""


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


def _prune(selection: Selection, folder: Path, folders: list[str], files: Sequence[str]) -> list[str]:
    """Leave out of the folders to enter hidden ones, links, and parts of a slide; return the links.

    The folder of a VSI slide that is not wanted is one as others are: what it holds may be slides.
    """
    owners = {
        name.casefold()
        for name in files
        if not name.casefold().endswith(".vsi") or selection.wants(folder / name)
    }
    entered, links = [], []
    for name in sorted(folders):
        key = name.casefold()
        is_of_vsi = key.startswith("_") and key.endswith("_") and f"{key[1:-1]}.vsi" in owners
        if name.startswith(".") or f"{key}.mrxs" in owners or is_of_vsi:
            continue
        if os.path.islink(folder / name):  # noqa: PTH114 - raises nowhere
            links.append(as_text((folder / name).relative_to(selection.root)))
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
    is_of_series = _is_of_series(path)
    stamp = series if is_of_series else f"{status.st_size}-{status.st_mtime_ns}"
    is_linked = status.st_nlink > 1 and status.st_ino and not is_of_series
    hard_link = (status.st_dev, status.st_ino) if is_linked and not path.is_symlink() else None
    return FoundSlide(source, status.st_size, stamp, hard_link)


def _is_of_series(path: Path) -> bool:
    """Return whether a slide's file may be one of a DICOM series: by its suffix, or by what is in it."""
    if path.suffix.lower() == DICOM_SUFFIX:
        return True
    with suppress(OSError):
        return may_be_dicom(path) and is_dicom_file(path)
    return False


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
