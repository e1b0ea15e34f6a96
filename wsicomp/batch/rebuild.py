"""Write a ledger anew from the targets of a tree, where it is lost or cannot be read.

Every target says itself what it was made from. Of that only the slide's name is believed: the next run
compares each target with its source before it takes the target on, and a source is taken away only after the
usual proof. No slide and no target is touched. The old ledger is moved aside, not deleted.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.conversions import visible_files
from wsicomp.batch.entry import Entry, State, entry_flaw, with_short_texts
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_checks import distrust_file, path_flaw
from wsicomp.batch.ledger_files import FOLDER, SOURCE, ledger_path, make_ledger
from wsicomp.batch.monitoring import lock_tree, open_log
from wsicomp.batch.outcomes import outcome_of_error
from wsicomp.batch.target_jobs import is_tiff, stated_source
from wsicomp.batch.target_names import source_of
from wsicomp.batch.worklist import DAMAGED
from wsicomp.concurrency.threads import available_cores, ordered_map
from wsicomp.conversion.outcome import Tissue, outcome_of
from wsicomp.conversion.report import PACKED_CODEC, PACKED_OPENS_IN
from wsicomp.conversion.review import removed_area_of, review_note, review_reason
from wsicomp.errors import LedgerError, SlideReadError, SlideWriteError, UnsupportedSlideError, WsicompError
from wsicomp.files.inputs import is_folder
from wsicomp.formats.compatibility import planned_verdicts
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages, utc_now
from wsicomp.text.paths import as_text

_STEPS = 1_000_000
_DAMAGED_ERROR = "it is a damaged TIFF, and what it was made from cannot be read"


@dataclass(frozen=True)
class RebuiltLedger:
    """A rebuilt ledger, and the files that it was made of."""

    entries: tuple[Entry, ...]
    """The entries of all targets that say what they were made from."""
    damaged: tuple[tuple[str, str], ...]
    """Path and error of each target that cannot be read; the ledger has it as failed."""
    others: int
    """How many files of the tree are no conversions."""
    aside: Path | None
    """Where the old ledger was moved; None if there was none."""


@dataclass(frozen=True)
class _Read:
    """The facts that one file of the tree states; `name` is its source's, None where it states none."""

    target: str
    entry: Entry | None
    name: str | None = None
    error: str = ""


def rebuild_ledger(
    target: Path, even_if_sound: bool = False, on_progress: Progress | None = None
) -> RebuiltLedger:
    """Write the ledger of a tree anew from what its targets say, and move the old one aside.

    >>> from wsicomp.batch import rebuild_ledger
    >>> rebuilt = rebuild_ledger(Path("converted"))  # doctest: +SKIP
    >>> len(rebuilt.entries), rebuilt.damaged  # doctest: +SKIP
    (20, ())

    Raises:
        LedgerError: the ledger can be read and `even_if_sound` is False, a batch is running, or no batch
            wrote this tree.
        SlideWriteError: the ledger cannot be written.
    """
    if not is_folder(target):
        raise LedgerError("is no folder; name the tree that a batch writes", target)
    if not even_if_sound and _is_sound(target):
        raise LedgerError(
            "its ledger can be read and need not be rebuilt; `even_if_sound=True` rebuilds it all the same, "
            "without what only the ledger knows",
            target,
        )
    if not (os.path.lexists(target / FOLDER) or any(map(_is_conversion, _files(target)))):
        message = f"holds no {FOLDER} and no conversion; name the tree that a batch writes"
        raise LedgerError(message, target)
    with lock_tree(target) as folder, open_log(folder) as log:
        read = list(_read_all(target, on_progress))
        known = [one for one in read if one.entry is not None]
        entries = tuple(_by_source(known))
        damaged = tuple((one.target, one.error) for one in read if one.error)
        tree = _old_source(target)
        try:
            aside = make_ledger(ledger_path(target), [*entries, *_lost(damaged, entries)], tree)
        except (OSError, sqlite3.Error) as exc:
            found = getattr(exc, "strerror", None) or exc
            raise SlideWriteError(f"no ledger can be written there ({found})", folder) from exc
        log.info("the ledger was made anew: %d targets, %d damaged", len(entries), len(damaged))
    return RebuiltLedger(entries, damaged, len(read) - len(known) - len(damaged), aside)


def _is_conversion(path: Path) -> bool:
    try:
        return stated_source(path) is not None
    except (WsicompError, OSError):
        return False


def _is_sound(target: Path) -> bool:
    if not Ledger.is_there(target):
        return False
    try:
        with Ledger(target, read_only=True) as ledger:
            ledger.fact(SOURCE)
            ledger.settings()
            ledger.carried()
            return all(True for _ in ledger.entries())
    except LedgerError:
        return False


def _old_source(target: Path) -> str:
    """Return the source tree of the old ledger, "" if that cannot be read."""
    path = ledger_path(target)
    if not Ledger.is_there(target):
        return ""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            distrust_file(database)
            database.set_progress_handler(lambda: 1, _STEPS)  # a table that is a query without end
            row = database.execute("SELECT value FROM facts WHERE name = ?", (SOURCE,)).fetchone()
    except sqlite3.Error:
        return ""
    text = row[0] if row else ""
    is_path = type(text) is str and text.startswith("/") and not path_flaw(text.strip("/"))
    return text if is_path else ""


def _read_all(target: Path, on_progress: Progress | None) -> Iterator[_Read]:
    """Yield what every file of the tree says that could be a target, in the order of their paths."""
    paths = sorted(_files(target))
    stages = Stages(on_progress)
    with stages.stage("read the targets") as progress:
        results = ordered_map(lambda path: _read(target, path), paths, available_cores())
        for number, one in enumerate(results, 1):
            progress(number, len(paths))
            yield one


def _files(target: Path) -> Iterator[Path]:
    """Yield every file that could be a target.

    Raises:
        LedgerError: a folder cannot be read.
    """

    def refused(exc: OSError) -> None:
        reason = exc.strerror or exc
        message = f"cannot be read ({reason}), so that a ledger would lack its targets; make it readable"
        raise LedgerError(message, exc.filename or target) from exc

    return visible_files(target, refused)


def _read(target: Path, path: Path) -> _Read:
    text = as_text(path.relative_to(target))
    try:
        if is_pack(path):
            return _read_pack(text, path)
        if not is_tiff(path):
            return _Read(text, None)
        status = path.stat()
        with closing(open_tiff(path)) as slide:
            provenance = slide.provenance
        if provenance is None:
            return _Read(text, None)
        entry = _entry(text, provenance, status.st_size, status.st_mtime_ns, file_sha256(path))
        if flaw := entry_flaw(entry):
            raise SlideReadError(f"its provenance says what no conversion can: {flaw}", path)
    except UnsupportedSlideError:
        return _Read(text, None)
    except Exception as exc:  # one target is no reason to leave out the others
        error = outcome_of_error(exc, path).error
        said = error if isinstance(exc, SlideReadError) else f"{_DAMAGED_ERROR} ({error})"
        return _Read(text, None, error=said)
    return _Read(text, entry, provenance.plan.source.name)


def _read_pack(text: str, path: Path) -> _Read:
    """Return what a packed slide says, as `_read` does.

    Raises:
        SlideReadError: it is damaged.
    """
    with PackedSlide(path) as packed:
        source = packed.manifest.source
    status = path.stat()
    entry = Entry(
        source=text,
        target=text,
        state=State.DONE,
        source_bytes=source.bytes,
        source_sha256=source.sha256,
        target_sha256=file_sha256(path),
        target_bytes=status.st_size,
        target_mtime_ns=status.st_mtime_ns,
        ended=utc_now(),
        adopted=True,
        codec=PACKED_CODEC,
        restorable=True,
        tissue=Tissue.BYTES,
        opens_in=PACKED_OPENS_IN,
    )
    return _Read(text, entry, source.name)


def _entry(text: str, provenance: Provenance, size: int, mtime_ns: int, sha256: str) -> Entry:
    """Return the entry of a target, without stamp and settings, so that the next run looks at its source."""
    plan = provenance.plan
    look = review_reason(provenance)
    outcome = outcome_of(provenance, None, planned_verdicts(plan), None)
    actions = Counter[TileAction]()
    for level in plan.levels:
        actions.update({action: level.count(action) for action in TileAction})
    entry = Entry(
        source=text,
        target=text,
        state=State.LOOK if look else State.DONE,
        source_bytes=plan.source.bytes,
        digest=plan.digest,
        source_sha256=plan.source.sha256,
        target_sha256=sha256,
        target_bytes=size,
        target_mtime_ns=mtime_ns,
        ended=utc_now(),
        adopted=True,
        codec=plan.codec,
        restorable=provenance.restoration is not None,
        tiles=actions.total(),
        removed_tiles=actions[TileAction.BLANK] + actions[TileAction.EMPTY],
        lost_tiles=sum(len(record.lost) for record in provenance.levels),
        notes="\n".join(as_text(note) for note in (*plan.notes, *([review_note(look)] if look else []))),
        model="" if plan.model is None else f"{plan.model['name']} {plan.model['sha256']}",
        removed_area=removed_area_of(provenance) or 0.0,
        look=look,
        tissue=outcome.tissue,
        least_ssim=outcome.least_ssim or 0.0,
        opens_in=outcome.opens_in or "",
    )
    return with_short_texts(entry)


def _by_source(read: Iterable[_Read]) -> Iterator[Entry]:
    """Yield the entries by the sources that their targets name, no two by the same.

    Where several targets name one source, the newest has it. The others are entered by their own paths, and
    so are targets whose names say nothing.
    """
    taken: set[str] = set()
    rest: list[Entry] = []
    for one in sorted(read, key=_newest_first):
        assert one.entry is not None
        source = source_of(one.target, one.name)
        if source and source not in taken:
            taken.add(source)
            yield replace(one.entry, source=source)
        else:
            rest.append(one.entry)
    for entry in rest:
        source = entry.target
        while source in taken:
            source += "~"
        taken.add(source)
        yield replace(entry, source=source)


def _newest_first(one: _Read) -> tuple[int, str]:
    assert one.entry is not None
    return -one.entry.target_mtime_ns, one.target


def _lost(damaged: Iterable[tuple[str, str]], entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield failed entries for targets that cannot be read."""
    taken = {entry.source for entry in entries}
    for target, error in damaged:
        if target not in taken:
            yield Entry(target, target, State.FAILED, ended=utc_now(), cause=DAMAGED, error=error)
