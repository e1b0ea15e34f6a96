"""The conversions in a folder, and the names that their sources had, by its ledger or by what each file says.

Nothing is decoded here. What a file says of itself gives a name, which is checked, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import Entry
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_checks import path_flaw
from wsicomp.batch.outcomes import GONE, PART
from wsicomp.batch.target_jobs import stated_source
from wsicomp.batch.target_names import source_of
from wsicomp.concurrency.threads import available_cores, ordered_map
from wsicomp.files.folders import is_own
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.text.paths import as_path, as_text

MISSING, CLOSED, NOT_CONVERTED = "target missing", "unreadable folder", "not converted"
"""Why nothing can be done with a conversion before it is opened."""


WRITTEN_SUFFIXES = (".svs", ".tif", ".tiff", ".btf", PACK_SUFFIX)
"""The suffixes of the files that wsicomp writes."""


@dataclass(frozen=True)
class Conversion:
    """A conversion of a folder. Paths are relative, as text."""

    target: str
    """Its path in the folder."""
    source: str
    """The path that its source had in its tree."""
    bytes: int = 0
    """Bytes of the source, by the ledger; else of the conversion."""
    source_sha256: str = ""
    """SHA-256 of the source by the ledger; "" where that does not say."""
    cause: str = ""
    """Why there is nothing to read: `MISSING`, `CLOSED` or `NOT_CONVERTED`; else ""."""
    error: str = ""
    """The same in a line."""
    own_sha256: str = ""
    """SHA-256 of the file, where it is the source's own by the ledger; "" for a conversion."""


@dataclass(frozen=True)
class _Stated:
    """A file that no ledger knows; `name` is the one that it says its source had."""

    target: str
    name: str | None
    sha256: str
    bytes: int
    mtime_ns: int


def find_conversions(folder: Path) -> list[Conversion]:
    """Return the conversions in a folder, sorted by the paths of their sources, no two of which are equal.

    Files that a batch carried as they are count, by its ledger. The ledger's slides without a conversion
    there are among them, with the reason. So are other files whose suffix a conversion has; whether they are
    ones shows who reads them. Links are not followed.

    Raises:
        LedgerError: the folder has a ledger that cannot be read.
    """
    closed: list[Conversion] = []
    known, carried = known_targets(folder), carried_files(folder)
    paths = list(visible_files(folder, lambda exc: closed.append(_closed(folder, exc))))
    there = {as_text(path.relative_to(folder)): path for path in paths}
    found = [_by_record(record, folder) for record in carried.values()]
    instead = {one.source for one in found}
    slides = ((target, entry) for target, entry in known.items() if entry.source not in instead)
    by_ledger = [_by_ledger(entry, there.get(target)) for target, entry in slides]
    found += [each for each in by_ledger if each is not None]
    rest = [(text, path) for text, path in there.items() if text not in known and text not in carried]
    stated = (one for one in ordered_map(_stated, rest, available_cores()) if one is not None)
    found += _by_names(stated, {one.source for one in found})
    return sorted([*found, *closed], key=lambda one: one.source)


def known_targets(folder: Path) -> Mapping[str, Entry]:
    """Return the slides of a folder's ledger by their targets; none where there is no ledger.

    Raises:
        LedgerError: there is a ledger that cannot be read.
    """
    if not Ledger.is_there(folder):
        return {}
    with Ledger(folder, read_only=True) as ledger:
        return {entry.target: entry for entry in ledger.entries() if entry.target}


def carried_files(folder: Path) -> Mapping[str, Carried]:
    """Return the files that a batch carried into a folder, by their paths there; none without a ledger.

    Raises:
        LedgerError: there is a ledger that cannot be read.
    """
    if not Ledger.is_there(folder):
        return {}
    with Ledger(folder, read_only=True) as ledger:
        return {record.target: record for record in ledger.carried().values() if record.sha256}


def visible_files(folder: Path, refused: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield every regular file that is not hidden, none of them through a link.

    `refused` is called with the error of each folder that cannot be read.
    """
    for name, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for file in files:
            path = Path(name) / file
            if not file.startswith(".") and not os.path.islink(path) and os.path.isfile(path):  # noqa: PTH113, PTH114
                yield path


def _closed(folder: Path, exc: OSError) -> Conversion:
    text = as_text(os.path.relpath(exc.filename or folder, folder))
    error = f"the folder cannot be read ({exc.strerror or exc}); what lies in it is missing"
    return Conversion(f"{text}/", f"{text}/", cause=CLOSED, error=error)


def _by_record(record: Carried, folder: Path) -> Conversion:
    """Return a file that was carried as it is into a folder."""
    facts = record.target, record.source, record.bytes, record.sha256
    if not is_own(folder / as_path(record.target), folder):
        return Conversion(*facts, cause=MISSING, error="its copy is not there any more")
    return Conversion(*facts, own_sha256=record.sha256)


def _by_ledger(entry: Entry, path: Path | None) -> Conversion | None:
    """Return the conversion of a slide of the ledger.

    None for one that was gone before it was converted, and for a file of another slide.
    """
    sha256 = entry.source_sha256 if entry.is_converted else ""
    if path is not None:
        own = sha256 if sha256 == entry.target_sha256 else ""
        return Conversion(entry.target, entry.source, entry.source_bytes, sha256, own_sha256=own)
    cause, error = MISSING, "its conversion is not there any more"
    if entry.cause in (GONE, PART):  # the files of another slide come with that one
        return None
    if not entry.is_converted:
        why = f": {entry.cause}" if entry.cause else ""
        cause, error = NOT_CONVERTED, f"it has no conversion here ({entry.state}{why})"
    return Conversion(entry.target, entry.source, entry.source_bytes, sha256, cause, error)


def _stated(place: tuple[str, Path]) -> _Stated | None:
    """Return what a file states of its source; None for a file that cannot be a conversion, by its name."""
    text, path = place
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        return None
    try:
        status = path.stat()
        source = stated_source(path)
    except Exception:  # one damaged file is no reason to leave out the others; its job says what it is
        source = None
    if source is None:
        return _Stated(text, None, "", 0, 0)
    return _Stated(text, source.name, source.sha256, source.bytes, status.st_mtime_ns)


def _by_names(stated: Iterable[_Stated], taken: set[str]) -> Iterator[Conversion]:
    """Yield conversions by the names that they state; where two would have one, the newer has it.

    The other is called as it is itself. So is a copy of a conversion, as of a hard link, by its own name.
    """
    ranked = sorted(stated, key=lambda one: (not _fits(one), -one.mtime_ns, one.target))
    originals = {one.sha256 for one in ranked if _fits(one)}
    for one in ranked:
        wished = likely_names(one.target, one.name, one.sha256 in originals)
        names = [name for name in wished if name not in taken]
        name = names[0] if names else _free(one.target, taken)
        taken.add(name)
        yield Conversion(one.target, name, one.bytes)


def _fits(one: _Stated) -> bool:
    return source_of(one.target, one.name) == _beside(one.target, one.name)


def likely_names(target: str, stated_name: str | None, may_be_copy: bool = False) -> Iterator[str]:
    """Yield the paths that a conversion's source may have had, the likeliest first.

    `target` is the conversion's path in its tree, as text; `stated_name` is the name that it says its source
    had, None where it says none. With `may_be_copy` another conversion of the same source has that name.
    """
    found, beside = source_of(target, stated_name), _beside(target, stated_name)
    is_alike = PurePosixPath(stated_name or "").suffix == PurePosixPath(target).suffix
    if found and (found != target or (may_be_copy and is_alike)):
        yield found
    if beside:
        yield beside
    yield target


def _beside(target: str, stated_name: str | None) -> str:
    """Return the path of a conversion with the name that it states; "" if it states no sound name."""
    name = as_text(stated_name or "")
    if "/" in name or name in ("", ".", ".."):
        return ""
    path = str(PurePosixPath(target).with_name(name))
    return "" if path_flaw(path) else path


def _free(text: str, taken: set[str]) -> str:
    while text in taken:
        text += "~"
    return text
