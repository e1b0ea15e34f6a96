"""Check many written files in worker processes: named files, and all in folders that could be ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.bulk import BulkOptions, BulkResult, run_bulk
from wsicomp.batch.bulk_jobs import VerifyJob
from wsicomp.batch.carried import Carried
from wsicomp.batch.conversions import (
    CLOSED,
    MISSING,
    WRITTEN_SUFFIXES,
    carried_files,
    find_conversions,
    known_targets,
    visible_files,
)
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.outcomes import JobOutcome
from wsicomp.batch.scheduler import FINISHED, BatchCallbacks, Stop, Task
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.files.folders import is_own
from wsicomp.files.inputs import is_folder
from wsicomp.text.paths import as_path, as_text
from wsicomp.verification.verify import Verification

_MISSING = "is not there any more, says its ledger"


@dataclass(frozen=True)
class CheckedFile:
    """A file that was checked."""

    file: str
    """Its path."""
    found: Verification | None
    """What was found; None where it could not be checked."""
    error: str
    """Why it could not be checked; "" where it was."""

    @property
    def is_sound(self) -> bool:
        """Whether it was checked and has no problem."""
        return self.found is not None and self.found.is_sound


@dataclass(frozen=True)
class CheckedFiles:
    """The result of a check of many files."""

    files: tuple[CheckedFile, ...]
    """Every file that was finished, sorted by path."""
    foreign: int
    """The count of whole TIFFs in folders that wsicomp did not write, which were passed by."""
    unfinished: int
    """The count of files that were not finished."""
    why: str
    """"finished", "stopped", or what kept the work from going on."""
    elapsed_s: float
    """Seconds that it took."""

    @property
    def is_sound(self) -> bool:
        """Whether every file was checked and has no problem."""
        return self.why == FINISHED and not self.unfinished and all(one.is_sound for one in self.files)


@dataclass(frozen=True)
class _Candidate:
    """A file to check; `error` says why it cannot be, "" where it can."""

    path: Path
    source: Path | None = None
    is_asked_for: bool = True
    bytes: int = 0
    error: str = ""
    own_sha256: str = ""
    source_sha256: str = ""


def verify_files(
    paths: Sequence[Path],
    against: Path | None = None,
    options: BulkOptions | None = None,
    thorough: bool = False,
    callbacks: BatchCallbacks | None = None,
    stop: Stop | None = None,
) -> CheckedFiles:
    """Check files, and in folders every file that wsicomp could have written, each in a worker process.

    In a folder, a file that its ledger knows is checked whatever it is, must be made from the ledger's
    source, and is missed if it is gone. Other files count by their suffix; whole TIFFs that wsicomp did not
    write are passed by. `against` is a source tree, where `paths` are one folder of conversions: each is
    compared with its source there.

    >>> from wsicomp.batch import verify_files
    >>> checked = verify_files([Path("archive")])  # doctest: +SKIP
    >>> [one.file for one in checked.files if not one.is_sound]  # doctest: +SKIP
    []

    Raises:
        ConfigError: `against` is given with more than one folder, or no scheduler answers.
        LedgerError: the ledger of a folder cannot be read.
        SlideReadError: a folder holds no file that could be ours.
    """
    options = options or BulkOptions()
    if against is not None and not (len(paths) == 1 and is_folder(paths[0]) and is_folder(against)):
        raise ConfigError(
            "`against` goes with one file, or with one folder of conversions and one of sources"
        )
    candidates = {as_text(one.path.absolute()): one for path in paths for one in _candidates(path, against)}
    entries = [_entry(name, one) for name, one in candidates.items()]

    def task(entry: Entry, workers: int) -> Task:
        one = candidates[entry.source]
        source = None if one.source is None else one.source.absolute()
        how = thorough, workers, one.is_asked_for, one.own_sha256, one.source_sha256
        return Task(entry, VerifyJob(entry.source, one.path.absolute(), source, *how))

    folders = dict.fromkeys((path if is_folder(path) else path.parent).absolute() for path in paths)
    done = run_bulk(entries, task, [*folders], options, callbacks, stop)
    return _result(done, {name: one.path for name, one in candidates.items()})


def _candidates(path: Path, against: Path | None) -> Iterator[_Candidate]:
    if not is_folder(path):
        yield _Candidate(path, bytes=_size(path))
        return
    found = list(_with_sources(path, against) if against is not None else _in_folder(path))
    if not found:
        suffixes = ", ".join(WRITTEN_SUFFIXES)
        raise SlideReadError(f"holds no file that wsicomp could have written ({suffixes})", path)
    yield from found


def _in_folder(folder: Path) -> Iterator[_Candidate]:
    """Yield the files of a folder that could be ours, and those that its ledger misses."""
    known, carried, closed = known_targets(folder), carried_files(folder), list[_Candidate]()

    def refused(exc: OSError) -> None:
        error = f"the folder cannot be read ({exc.strerror or exc})"
        closed.append(_Candidate(Path(exc.filename or folder), error=error))

    seen: set[str] = set()
    for path in visible_files(folder, refused):
        seen.add(text := as_text(path.relative_to(folder)))
        if text not in carried and (text in known or path.suffix.lower() in WRITTEN_SUFFIXES):
            digests = _digests(known.get(text))
            yield _Candidate(path, None, text in known, _size(path), "", *digests)
    yield from (_carried(record, folder) for record in carried.values())
    for text, entry in known.items():
        if entry.is_converted and text not in seen:
            yield _Candidate(folder / as_path(text), error=_MISSING)
    yield from closed


def _carried(record: Carried, folder: Path) -> _Candidate:
    """Return a file that a batch carried as it is, to check by its SHA-256."""
    path = folder / as_path(record.target)
    if not is_own(path, folder):
        return _Candidate(path, error=_MISSING)
    return _Candidate(path, bytes=record.bytes, own_sha256=record.sha256)


def _with_sources(folder: Path, sources: Path) -> Iterator[_Candidate]:
    """Yield the conversions of a folder, each with the source that its name leads to."""
    for one in find_conversions(folder):
        path = folder / as_path(one.target)
        if one.cause in ("", MISSING, CLOSED):
            source, sha256 = sources / as_path(one.source), one.source_sha256
            yield _Candidate(path, source, bool(sha256), _size(path), one.error, one.own_sha256, sha256)


def _digests(entry: Entry | None) -> tuple[str, str]:
    """Return the SHA-256 of a target, if it is the source's own file, and of the source, both by the ledger.

    "" stands for what the ledger does not say.
    """
    if entry is None or not entry.is_converted:
        return "", ""
    source = entry.source_sha256
    return source if source == entry.target_sha256 else "", source


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _entry(name: str, one: _Candidate) -> Entry:
    state = State.FAILED if one.error else State.WAITING
    return Entry(name, name, state, source_bytes=one.bytes, error=one.error)


def _result(done: BulkResult, paths: dict[str, Path]) -> CheckedFiles:
    files = tuple(
        CheckedFile(str(paths[entry.source]), outcome.verification, _error(outcome))
        for entry, outcome in done.outcomes
        if entry.state is not State.SKIPPED
    )
    foreign = len(done.outcomes) - len(files)
    return CheckedFiles(files, foreign, done.unfinished, done.why, done.elapsed_s)


def _error(outcome: JobOutcome) -> str:
    return outcome.error if outcome.verification is None else ""
