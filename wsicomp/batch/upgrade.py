"""Upgrade the restorable conversions of a folder, so that their sources are read at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.conversions import WRITTEN_SUFFIXES, visible_files
from wsicomp.batch.entry import Entry
from wsicomp.batch.ledger import CONVERTED, Ledger
from wsicomp.batch.monitoring import lock_tree
from wsicomp.concurrency.threads import available_cores
from wsicomp.conversion.upgrade import UpgradeReport, upgrade_conversion
from wsicomp.errors import LedgerError, SlideReadError, WsicompError
from wsicomp.files.inputs import is_folder, reason
from wsicomp.formats.converted.reader import NO_SOURCE
from wsicomp.formats.converted.restoration import open_converted_original, restored_blocks
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_converted
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.progress import Progress
from wsicomp.text.paths import as_path, as_text


@dataclass(frozen=True)
class UpgradedFile:
    """A conversion that was to be upgraded; its fields are the names in JSON."""

    file: str
    """Its path in the folder, as text."""
    upgraded: bool
    """Whether it was written anew; False where it had its index already, or was refused."""
    bytes_before: int = 0
    """Its size before."""
    bytes: int = 0
    """Its size now."""
    error: str = ""
    """Why it was refused, in one line; "" where it was not."""


def upgrade_folder(
    folder: Path,
    on_progress: Progress | None = None,
    on_file_done: Callable[[UpgradedFile], None] = lambda _: None,
) -> tuple[UpgradedFile, ...]:
    """Upgrade every restorable conversion in a folder, one after another; a refused one stays as it is.

    The ledger of a batch's tree is told the new files. A run that was stopped is taken up by the next one.

    >>> [one.file for one in upgrade_folder(Path("archive")) if one.upgraded]  # doctest: +SKIP
    ['a/slide.tiff']

    Raises:
        LedgerError: the ledger cannot be read, or a batch is running.
        SlideReadError: `folder` is no folder.
    """
    if not is_folder(folder):
        raise SlideReadError("is no folder; name a tree of conversions, or a conversion", folder)
    found = []
    with _opened_ledger(folder) as ledger:
        for path, entry in _restorable(folder, ledger):
            one, changed = _upgraded(folder, path, entry, on_progress)
            if ledger is not None and changed is not None:
                ledger.put([changed])
            found.append(one)
            on_file_done(one)
    return tuple(found)


def check_alone(file: Path) -> None:
    """Check that no ledger knows a conversion that is to be upgraded by itself.

    Raises:
        LedgerError: it lies in the tree of a batch, whose ledger has its SHA-256.
    """
    for folder in file.absolute().parents:
        if Ledger.is_there(folder):
            raise LedgerError(f"lies in the tree of a batch; name the tree, {folder}", file)


@contextmanager
def _opened_ledger(folder: Path) -> Iterator[Ledger | None]:
    """Yield the ledger of a tree, which no batch writes meanwhile; None where there is none."""
    with ExitStack() as opened:
        if not Ledger.is_there(folder):
            yield None
            return
        opened.enter_context(lock_tree(folder))
        yield opened.enter_context(Ledger(folder))


def _restorable(folder: Path, ledger: Ledger | None) -> Iterator[tuple[Path, Entry | None]]:
    """Yield the files that may be upgraded: the ledger's, or all that look like conversions."""
    if ledger is not None:
        for entry in list(ledger.entries(f"WHERE {CONVERTED} AND restorable ORDER BY target")):
            path = folder / as_path(entry.target)
            if path.suffix.lower() != PACK_SUFFIX:  # packed slides have had an index from the first
                yield path, entry
        return
    for path in sorted(visible_files(folder, lambda _: None)):
        if (
            path.suffix.lower() in WRITTEN_SUFFIXES
            and path.suffix.lower() != PACK_SUFFIX
            and _is_restorable(path)
        ):
            yield path, None


def _is_restorable(path: Path) -> bool:
    try:
        open_converted_original(path).close()
    except SlideReadError as exc:
        return exc.message != NO_SOURCE
    return True


def _upgraded(
    folder: Path, path: Path, entry: Entry | None, on_progress: Progress | None
) -> tuple[UpgradedFile, Entry | None]:
    """Return what became of a file, and its new entry where the ledger has to change."""
    name = as_text(path.relative_to(folder))
    try:
        expected = "" if entry is None else entry.source_sha256
        report = upgrade_conversion(path, None, on_progress, folder, expected)
        changed = None if entry is None else _changed(entry, path, report)
    except WsicompError as exc:
        return UpgradedFile(name, upgraded=False, error=exc.message), None
    except OSError as exc:  # it was taken away a moment ago
        return UpgradedFile(name, upgraded=False, error=reason(exc)), None
    return UpgradedFile(name, report.upgraded, report.bytes_before, report.bytes), changed


def _changed(entry: Entry, path: Path, report: UpgradeReport) -> Entry | None:
    """Return the entry of an upgraded file.

    None where the ledger knows the file already. A run that was stopped may have left one that it does not.

    Raises:
        SlideReadError: it does not rebuild its source.
    """
    status = path.stat()
    is_known = (status.st_size, status.st_mtime_ns) == (entry.target_bytes, entry.target_mtime_ns)
    if is_known and not report.upgraded:
        return None
    if not report.upgraded:
        _check_rebuilds(path)
    return replace(
        entry,
        target_sha256=file_sha256(path),
        target_bytes=status.st_size,
        target_mtime_ns=status.st_mtime_ns,
    )


def _check_rebuilds(path: Path) -> None:
    with closing(open_converted(path)) as slide:
        for _ in restored_blocks(slide, available_cores()):
            pass
