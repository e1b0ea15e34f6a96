"""Restore the sources of a folder of conversions into a new tree, byte for byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.api import check_apart
from wsicomp.batch.bulk import BulkOptions, BulkResult, run_bulk
from wsicomp.batch.bulk_jobs import RestoreJob
from wsicomp.batch.conversions import NOT_CONVERTED, Conversion, find_conversions
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.scheduler import FINISHED, BatchCallbacks, Stop, Task
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.files.atomic import make_folder, sweep_partial
from wsicomp.files.inputs import is_folder
from wsicomp.formats.discovery import matches
from wsicomp.options import option, same_option
from wsicomp.text.paths import as_path

_STATES = {"": State.WAITING, NOT_CONVERTED: State.SKIPPED}
"""The state of a conversion before anything is read; any other cause is a failure."""


@dataclass(frozen=True)
class BatchRestoreOptions(BulkOptions):
    """The options of restoring a folder of conversions."""

    include: tuple[str, ...] = option(
        (),
        "restore only conversions whose name or path, or that of their source, matches; may be repeated",
        metavar="GLOB",
    )
    exclude: tuple[str, ...] = option((), "leave out those that match; may be repeated", metavar="GLOB")
    overwrite: bool = option(False, "replace other files in TARGET_DIR")
    trust: bool = option(
        False, "restore even a file that states a far larger source than its bytes should make"
    )
    min_free: float = same_option(
        BatchOptions, "min_free", "begin no file that could leave fewer GB free on TARGET_DIR's disk"
    )


@dataclass(frozen=True)
class RestoredTree:
    """The result of restoring a folder of conversions; its fields are the names in JSON."""

    restored: int
    """Files that were written."""
    found: int
    """Files that were there already, with the very bytes."""
    skipped: int
    """Conversions that do not hold their source, and slides without a conversion."""
    failed: int
    """Conversions that could not be restored."""
    unfinished: int
    """Conversions that were not finished, as after a stop or for want of space."""
    no_room: int
    """The count of these that the disk had too little space for."""
    bytes: int
    """Bytes of the sources that are there now."""
    why: str
    """"finished", "stopped", or what kept the work from going on."""
    elapsed_s: float
    """Seconds that it took."""
    problems: tuple[Entry, ...]
    """What was skipped or failed, sorted by source."""
    no_room_needs_bytes: int = 0
    """The least that a file without space needs, in bytes."""
    no_room_free_bytes: int = 0
    """The bytes that were free then."""

    @property
    def is_good(self) -> bool:
        """Whether every source that was asked for is there."""
        return self.why == FINISHED and not (self.problems or self.unfinished)


def restore_batch(
    archive: Path,
    target: Path,
    options: BatchRestoreOptions | None = None,
    callbacks: BatchCallbacks | None = None,
    stop: Stop | None = None,
) -> RestoredTree:
    """Restore the source of every restorable conversion in the folder `archive` into the tree `target`.

    Each file gets the path that its source had: by the ledger of `archive`, else by what the conversion says.
    A file appears only when its SHA-256 is that of its source. One that is there already with these bytes is
    done, so that a rerun does what is missing. `callbacks` are told how far it is, `stop` lets another thread
    end it.

    >>> from wsicomp.batch import restore_batch
    >>> restored = restore_batch(Path("archive"), Path("again"))  # doctest: +SKIP
    >>> restored.is_good, restored.restored  # doctest: +SKIP
    (True, 20)

    Raises:
        ConfigError: the trees overlap, options do not fit, or no scheduler answers.
        LedgerError: the ledger of `archive` cannot be read.
        SlideReadError: `archive` is no folder, or holds no conversion that is asked for.
        SlideWriteError: `target` cannot be made.
    """
    options = options or BatchRestoreOptions()
    if not is_folder(archive):
        raise SlideReadError("is no folder; name a tree of conversions", archive)
    if target.exists() and not target.is_dir():
        raise ConfigError("is no folder; name a tree to write into", target)
    check_apart(archive, target)
    archive, target = archive.absolute(), target.absolute()
    wanted = _wanted(archive, options)
    root = make_folder(target, archive)

    def task(entry: Entry, workers: int) -> Task:
        places = archive / as_path(entry.target), archive, root / as_path(entry.source), root
        digests = entry.source_sha256, entry.target_sha256
        job = RestoreJob(entry.source, *places, workers, *digests, options.overwrite, options.trust)
        return Task(entry, job)

    def clean(task: Task) -> None:
        sweep_partial(root / as_path(task.entry.source), root)

    entries = [_entry(conversion) for conversion in wanted]
    return _result(run_bulk(entries, task, (archive, root), options, callbacks, stop, clean))


def _wanted(archive: Path, options: BatchRestoreOptions) -> list[Conversion]:
    """Return the conversions whose own path or whose source's path is asked for.

    Raises:
        SlideReadError: there is none.
    """
    found = find_conversions(archive)
    wanted = [one for one in found if _is_wanted(one, options)]
    if not wanted:
        asked = f"{len(found)} conversions, none of them asked for" if found else "no conversion"
        raise SlideReadError(f"holds {asked}; name a tree that `wsicomp batch` wrote", archive)
    return wanted


def _is_wanted(conversion: Conversion, options: BatchRestoreOptions) -> bool:
    paths = [as_path(text) for text in (conversion.source, conversion.target)]
    is_included = not options.include or any(matches(path, options.include) for path in paths)
    return is_included and not any(matches(path, options.exclude) for path in paths)


def _entry(conversion: Conversion) -> Entry:
    return Entry(
        conversion.source,
        conversion.target,
        _STATES.get(conversion.cause, State.FAILED),
        source_bytes=conversion.bytes,
        source_sha256=conversion.source_sha256,
        target_sha256=conversion.own_sha256,
        cause=conversion.cause,
        error=conversion.error,
    )


def _result(done: BulkResult) -> RestoredTree:
    entries = [entry for entry, _ in done.outcomes]
    states = Counter(str(entry.state) for entry in entries if not entry.adopted)
    there = [entry for entry in entries if entry.state is State.DONE]
    return RestoredTree(
        restored=states[State.DONE],
        found=len(there) - states[State.DONE],
        skipped=states[State.SKIPPED],
        failed=states[State.FAILED],
        unfinished=done.unfinished,
        no_room=done.no_room,
        bytes=sum(entry.source_bytes for entry in there),
        why=done.why,
        elapsed_s=done.elapsed_s,
        problems=tuple(entry for entry in entries if entry.state is not State.DONE),
        no_room_needs_bytes=done.no_room_needs_bytes,
        no_room_free_bytes=done.no_room_free_bytes,
    )
