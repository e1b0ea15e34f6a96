"""Carry into the target tree what is no slide or could not be converted, so that the archive is whole.

A file keeps its path, if a Windows share takes it. Where that is the place of a conversion, the copy gets a
mark (`apart`). Once a slide is converted after all, its copy goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.carried import LINK, NO_SLIDE, NOT_CONVERTED, OWN_PREFIX, Carried
from wsicomp.batch.carry_job import CarryJob
from wsicomp.batch.entry import NAME_TAKEN, Entry, State
from wsicomp.batch.ledger_files import aside_path
from wsicomp.batch.outcomes import JobOutcome
from wsicomp.batch.remembered import FILE
from wsicomp.batch.scheduler import Scheduler, Task
from wsicomp.batch.target_names import apart, case_folded, safe_target
from wsicomp.batch.worker_process import STOPPED
from wsicomp.config import ConversionConfig
from wsicomp.conversion.archive_form import can_pack
from wsicomp.errors import LedgerError, SlideReadError
from wsicomp.files.alike import folders_to, move_aside
from wsicomp.files.atomic import sweep_partial
from wsicomp.files.folders import opened_folder
from wsicomp.formats.discovery import QUARANTINE, Selection
from wsicomp.formats.slide_files import OF_SEVERAL_FILES, may_be_dicom, slide_parts
from wsicomp.text.paths import as_path, as_text

_PARTIAL = ".wsicomp.partial"


@dataclass(frozen=True)
class _Other:
    """A file of the source tree that has no conversion."""

    source: str
    status: os.stat_result
    why: str


def place_of(target: str) -> str:
    """Return a target's path in a form that is equal for all spellings that a file system may confuse."""
    return case_folded(str(as_path(target)))


class Carrying:
    """Carries what a run leaves unconverted, and takes copies away that a conversion has replaced."""

    def __init__(self, scheduler: Scheduler, config: ConversionConfig) -> None:
        self._packs = can_pack(config)
        self._scheduler, self._trees, self._ledger = scheduler, scheduler.trees, scheduler.ledger
        self._known: Mapping[str, Carried] = {}

    def run(self) -> None:
        """Remove copies of slides that are converted now; then, if asked to, carry what is new or changed."""
        entries = list(self._ledger.entries())
        known = self._known = self._ledger.carried()
        if not known and not self._scheduler.options.carry_others:
            return
        settled = self._files_of(entry for entry in entries if entry.is_converted)
        replaced = [record for record in known.values() if record.source in settled]
        targets = {place_of(entry.target) for entry in entries if entry.is_converted}
        for record in replaced:
            self._remove(record, targets)
        self._put((), [record.source for record in replaced])
        if self._scheduler.options.carry_others and not self._scheduler.reason():
            self._carry(entries, settled, {one: known[one] for one in known.keys() - settled})

    def _carry(self, entries: list[Entry], settled: set[str], known: Mapping[str, Carried]) -> None:
        others = list(self._others(entries, settled))
        links = [_left(one, known.get(one.source)) for one in others if one.why == LINK]
        there = {one.source for one in others}
        gone = [one.source for one in known.values() if not one.sha256 and one.source not in there]
        self._put(links, gone)
        targets = _assigned((one for one in others if one.why != LINK), entries, known)
        tasks = (
            self._task(one, targets[one.source], known.get(one.source)) for one in others if one.why != LINK
        )
        self._scheduler.work((task for task in tasks if task), self._done)

    def _files_of(self, entries: Iterable[Entry]) -> set[str]:
        """Return all files of some slides, as their paths in the source tree."""
        found = set()
        for entry in entries:
            found.add(entry.source)
            path = self._trees.source_of(entry)
            if path.suffix.lower() in OF_SEVERAL_FILES or may_be_dicom(path):
                with suppress(SlideReadError, ValueError):
                    found.update(as_text(part.relative_to(self._trees.source)) for part in slide_parts(path))
        return found

    def _others(self, entries: list[Entry], settled: set[str]) -> Iterator[_Other]:
        """Yield the files that have no conversion and will get none, and the links, which are not carried."""
        unconverted = {entry.shown for entry in entries if entry.state in (State.FAILED, State.SKIPPED)}
        taken = {entry.shown for entry in entries if entry.cause == NAME_TAKEN}
        waiting = self._files_of(entry for entry in entries if entry.state in (State.WAITING, State.RUNNING))
        passed = (settled | waiting) - taken
        options = self._scheduler.options
        slides = Selection(self._trees.source, options.include, options.exclude, packs=self._packs)
        for path, status in _files(self._trees.source):
            source = as_text(path.relative_to(self._trees.source))
            if source in passed:
                continue
            if not stat.S_ISREG(status.st_mode):
                yield _Other(source, status, LINK)
            elif source in unconverted:
                yield _Other(source, status, NOT_CONVERTED)
            elif not slides.wants(path):  # else a slide that this run was not asked for
                yield _Other(source, status, NO_SLIDE)

    def _task(self, other: _Other, target: str, known: Carried | None) -> Task | None:
        """Return the task that carries a file; None where its copy is there, as far as size and time say."""
        ours = known if known is not None and known.target == target and known.sha256 else None
        facts = ours.target_facts if ours else None
        path = self._trees.target / as_path(target)
        is_same = (
            known is not None
            and not known.error
            and (known.bytes, known.mtime_ns) == (other.status.st_size, other.status.st_mtime_ns)
            and facts is not None
            and _facts_of(path, self._trees.target) == facts
        )
        recheck = self._scheduler.options.recheck
        if is_same and not recheck:
            return None
        source = self._trees.source / as_path(other.source)
        root = self._trees.source
        job = CarryJob(other.source, target, other.why, source, root, path, self._trees.target, ours, recheck)
        return Task(Entry(other.source, "", source_bytes=other.status.st_size), job)

    def _done(self, task: Task, outcome: JobOutcome) -> None:
        job = task.job
        assert isinstance(job, CarryJob)
        record = outcome.carried
        if record is None:
            sweep_partial(job.target, job.root)
            if outcome.cause == STOPPED:
                return
            known = self._known.get(job.name) or Carried(job.name, job.target_name, job.why)
            record = replace(known, error=outcome.error)
            self._scheduler.log.warning("%s: not carried: %s", job.name, outcome.error)
        if outcome.aside:
            self._scheduler.log.warning("%s: %s", job.name, outcome.aside)
        self._put([record])
        self._scheduler.counts["carried" if not record.error else "uncarried"] += 1
        self._scheduler.bytes["carried"] += 0 if record.error else record.bytes

    def _put(self, records: Iterable[Carried], dropped: Iterable[str] = ()) -> None:
        """Write records; the next run finds by itself what a full disk keeps out of the ledger."""
        try:
            self._ledger.put_carried(records, dropped)
        except LedgerError as exc:
            self._scheduler.log.error("%s", exc)
            self._scheduler.counts["uncarried"] += 1

    def _remove(self, record: Carried, targets: set[str]) -> None:
        """Delete the copy of a file that a conversion replaces; move it aside if it is of another file."""
        if not record.sha256 or place_of(record.target) in targets:
            return  # none, or the conversion has its place
        path = self._trees.target / as_path(record.target)
        present = _facts_of(path, self._trees.target)
        source = _facts_of(self._trees.source / as_path(record.source), self._trees.source)
        try:
            if present != record.target_facts:
                return
            if source == (record.bytes, record.mtime_ns):
                with opened_folder(path.parent, self._trees.target) as folder:
                    folder.remove(path.name)
            else:
                folders = folders_to(self._trees.source / as_path(record.source), as_path(record.source))
                place = aside_path(self._trees.target, record.target)
                aside = move_aside(path, place, self._trees.target, folders)
                self._scheduler.log.warning("%s: its earlier copy is now %s", record.source, aside)
        except OSError as exc:
            self._scheduler.log.warning(
                "%s: its copy %s stays (%s)", record.source, path, exc.strerror or exc
            )


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all files of a tree but a batch's own, hidden ones too; links are not followed."""
    for name, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith((QUARANTINE, OWN_PREFIX)))
        for file in sorted(files):
            if not file.startswith(OWN_PREFIX) and not file.endswith(_PARTIAL):
                with suppress(OSError):  # gone since
                    path = Path(name) / file
                    yield path, path.lstat()


def _left(other: _Other, known: Carried | None) -> Carried:
    """Return the record of a link or a pipe; a copy stays known that was made while it was a file."""
    kind = "a link" if stat.S_ISLNK(other.status.st_mode) else "no regular file"
    before = known or Carried(other.source, other.source, LINK)
    return replace(before, why=LINK, error=f"is {kind}, which is not carried")


def _assigned(
    others: Iterable[_Other], entries: Iterable[Entry], known: Mapping[str, Carried]
) -> dict[str, str]:
    """Return the target of each file: its own path, or one apart where a conversion or another copy is.

    A name that a Windows share does not take becomes one that it does, like that of a slide.
    """
    places = {place_of(entry.target) for entry in entries if entry.target and not _is_free(entry)}
    places.add(place_of(FILE))
    targets: dict[str, str] = {}
    for other in others:
        before = known.get(other.source)
        safe = safe_target(other.source)
        wished = safe if before is None or not before.sha256 else before.target
        target = wished if place_of(wished) not in places else apart(safe, other.source)
        places.add(place_of(target))
        targets[other.source] = target
    return targets


def _is_free(entry: Entry) -> bool:
    """Return whether a slide's own path is free for its copy: it has no conversion there."""
    is_unconverted = entry.state in (State.FAILED, State.SKIPPED) and not entry.target_sha256
    return is_unconverted and entry.target in (entry.source, safe_target(entry.source))


def _facts_of(path: Path, root: Path) -> tuple[int, int] | None:
    """Return bytes and time (ns) of a regular file of a tree; None without one."""
    try:
        with opened_folder(path.parent, root) as folder:
            status = folder.status(path.name)
    except OSError:
        return None
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns
