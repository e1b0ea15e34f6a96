"""Take away sources that their conversions replace, after a proof of each.

A source is proved to be replaced, moved into quarantine, proved again, and deleted.

Nothing that was found earlier is trusted. Before each step the whole source and the whole target are read
once more, and the files that were read must be the files that are moved.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from wsicomp.batch.companions import (
    check_companions,
    delete_companions,
    file_fingerprint,
    move_companions,
    move_proved,
    put_companions_back,
    remove_folders,
)
from wsicomp.batch.entry import HELD_FOR_REVIEW, HELD_FOR_SAVING, Entry, State
from wsicomp.batch.ledger import CONVERTED, LOOK_FIRST
from wsicomp.batch.outcomes import TEMPORARY_CAUSES, Companions, JobOutcome
from wsicomp.batch.proof import ProofJob
from wsicomp.batch.quarantine_clock import DELETED, enter_quarantine, is_overdue
from wsicomp.batch.scheduler import Scheduler, Task
from wsicomp.batch.source_records import (
    Records,
    RemovalStep,
    read_records,
    remove_quarantine_time,
    remove_step,
    write_quarantine_time,
    write_step,
)
from wsicomp.batch.worker_process import CRASHED, HUNG, NOT_STARTED, STOPPED
from wsicomp.batch.worklist import Trees
from wsicomp.config import ConversionConfig
from wsicomp.conversion.region_files import config_of_slide
from wsicomp.errors import KeptError, MaskError
from wsicomp.files.alike import folders_to, make_alike
from wsicomp.files.folders import opened_folder
from wsicomp.formats.slide_files import opening_suffix
from wsicomp.progress import utc_now
from wsicomp.text.figures import as_saving
from wsicomp.text.paths import as_path, as_text

NO_VERDICT = (STOPPED, CRASHED, HUNG, NOT_STARTED, *TEMPORARY_CAUSES)
"""Causes that say nothing about what was to be checked or proved."""

NO_OTHERS = Companions()
"""Of a slide of one file."""

_Step = Callable[[Entry, Trees, tuple[str, ...], Companions], Entry]


def with_proved_sizes(entry: Entry, facts: tuple[str, ...], companions: Companions = NO_OTHERS) -> Entry:
    """Return the entry with the sizes that the proof found, whatever the ledger says."""
    source_bytes, target_bytes = (int(fact.split()[1]) for fact in facts)
    return replace(entry, source_bytes=source_bytes + companions.bytes, target_bytes=target_bytes)


def reason_to_keep(entry: Entry, min_saving: float) -> tuple[str, str]:
    """Return why a source stays before it is read: (cause, reason in words); ("", "") if it may go.

    `min_saving` is in per cent of the source's bytes.
    """
    if entry.needs_release:
        return HELD_FOR_REVIEW, f"{entry.look}: it stays until somebody has looked (wsicomp batch accept)"
    saved_bytes = entry.source_bytes - entry.target_bytes
    if saved_bytes < 0:
        return HELD_FOR_SAVING, f"its conversion is larger than the source ({as_saving(entry.saved)})"
    if saved_bytes * 100 < min_saving * entry.source_bytes:
        return HELD_FOR_SAVING, f"saved {_floored(entry.saved)} %, under {min_saving:g} %"
    return "", ""


def _floored(saved: float) -> str:
    """Return a part in per cent, rounded down to two decimals."""
    return f"{math.floor(saved * 10_000) / 100:g}"


def move_to_quarantine(
    entry: Entry, trees: Trees, facts: tuple[str, ...], companions: Companions = NO_OTHERS
) -> Entry:
    """Move a source into quarantine that was just proved to be replaced; return its changed entry.

    `facts` are the fingerprints of both files from the proof, `companions` the source's other files. The file
    that opens the slide goes first; where one cannot be moved, all are put back.

    The entry's days in quarantine and its acceptance have to come from the source tree (`Records.apply_to`).

    Raises:
        KeptError: source or target changed since the proof, or the file system refuses.
    """
    _check_released(entry)
    source, place = trees.source_of(entry), trees.quarantine_of(entry)
    folders = folders_to(source, as_path(entry.source))
    _check_same(source, entry, trees, facts)
    check_companions(source.parent, companions)
    moved = replace(enter_quarantine(entry), kept_because="", kept_cause="")
    try:
        make_alike(place.parent, trees.source, [*folders[:1], *folders])
        with (
            opened_folder(source.parent, trees.source) as here,
            opened_folder(place.parent, trees.source) as there,
        ):
            if file_fingerprint(here.held / source.name) != facts[0]:
                raise KeptError("another file took its place after it was proved")
            write_quarantine_time(trees.source, moved)
            _note_step(entry, trees, companions, is_deletion=False)
            move_proved(source.name, here, there, facts[0])
            _move_others(entry, trees, companions, partial(there.move, source.name, here, source.name, False))
    except OSError as exc:
        raise KeptError(f"it cannot be moved into quarantine ({exc.strerror or exc})") from exc
    remove_step(trees.source, entry.source)
    return moved


def _note_step(entry: Entry, trees: Trees, companions: Companions, *, is_deletion: bool) -> None:
    """Write down which files are about to be taken away, for the run after one that is killed."""
    if companions.files:
        step = RemovalStep(entry.source, is_deletion, companions.files, companions.folders)
        write_step(trees.source, step)


def _move_others(entry: Entry, trees: Trees, companions: Companions, put_back: Callable[[], object]) -> None:
    """Move a slide's other files after the one that opens it; if one cannot be moved, put all back.

    Raises:
        KeptError, OSError: one could not be moved.
    """
    try:
        move_companions(trees.source, entry.source, companions)
    except (KeptError, OSError):
        put_companions_back(trees.source, entry.source, companions)
        put_back()
        remove_step(trees.source, entry.source)
        raise


def delete_from_quarantine(
    entry: Entry, trees: Trees, facts: tuple[str, ...], companions: Companions = NO_OTHERS
) -> Entry:
    """Delete a source in quarantine that was just proved once more; return its changed entry.

    `facts` are the fingerprints of both files from the proof, `companions` the source's other files. The file
    that opens the slide goes last.

    Raises:
        KeptError: source or target changed since the proof, or the file system refuses.
    """
    _check_released(entry)
    place = trees.quarantine_of(entry)
    _check_same(place, entry, trees, facts)
    check_companions(place.parent, companions)
    try:
        _note_step(entry, trees, companions, is_deletion=True)
        delete_companions(trees.source, entry.source, companions)
        with opened_folder(place.parent, trees.source) as folder:
            if file_fingerprint(folder.held / place.name) != facts[0]:
                raise KeptError("another file took its place after it was proved")
            os.unlink(place.name, dir_fd=folder.descriptor)
    except OSError as exc:
        raise KeptError(f"it cannot be deleted ({exc.strerror or exc})") from exc
    remove_folders(trees.source, place.parent, companions)
    remove_quarantine_time(trees.source, entry.source)
    remove_step(trees.source, entry.source)
    return replace(entry, removal=DELETED, removed=utc_now(), kept_because="", kept_cause="")


def _check_released(entry: Entry) -> None:
    if entry.needs_release:
        raise KeptError(f"{entry.look}, and nobody has looked at it")


def _check_same(source: Path, entry: Entry, trees: Trees, facts: tuple[str, ...]) -> None:
    target = trees.target_of(entry)
    try:
        with opened_folder(target.parent, trees.target) as folder:
            is_same = (file_fingerprint(source), file_fingerprint(folder.held / target.name)) == facts
    except OSError as exc:
        raise KeptError(f"its target cannot be read ({exc.strerror or exc})") from exc
    if not is_same:
        raise KeptError("source or target changed after they were compared")


class SourceRemoval:
    """Takes sources of a run away step by step, and records why others stay.

    `nothing_removed` says what is wrong with the source tree's records, so that no source goes; else "".
    """

    def __init__(self, scheduler: Scheduler, config: ConversionConfig, found: Collection[str]) -> None:
        self._scheduler, self._trees, self._config = scheduler, scheduler.trees, config
        self._found = found
        self._proved: set[str] = set()
        self.nothing_removed = ""

    def run(self) -> None:
        """Move proved sources into quarantine, and delete those whose days there are over."""
        options, ledger = self._scheduler.options, self._scheduler.ledger
        if not options.delete_source or self._scheduler.reason() or (records := self.records()) is None:
            return
        verified = ledger.entries(f"WHERE {CONVERTED} AND verified AND removal = '' {LOOK_FIRST}")
        done = [records.apply_to(entry) for entry in verified]
        asked = [entry for entry in done if self._is_to_go(entry)]
        asked = [entry for entry in asked if not self._is_linked(entry)]
        self._proved.update(entry.source for entry in asked)
        scheduler = self._scheduler
        proofs = (self._proof(entry, self._trees.source_of(entry)) for entry in asked)
        scheduler.work(proofs, partial(self._remove_if_proved, move_to_quarantine))
        quarantine = ledger.entries(f"WHERE {CONVERTED} AND removal = 'quarantined' {LOOK_FIRST}")
        held = [records.apply_to(entry) for entry in quarantine]
        overdue = [entry for entry in held if self._is_overdue(entry)]
        self._proved.update(f"{entry.source}/" for entry in overdue)
        proofs = (
            self._proof(entry, self._trees.quarantine_of(entry), entry.source in records.deletions)
            for entry in overdue
        )
        scheduler.work(proofs, partial(self._remove_if_proved, delete_from_quarantine))

    def records(self) -> Records | None:
        """Return the source tree's records; None where a record is damaged, so that no source is removed."""
        try:
            return read_records(self._trees.source)
        except KeptError as exc:
            if not self.nothing_removed:
                self._scheduler.log.error("no source is taken away: %s", exc)
            self.nothing_removed = str(exc)
            return None

    def _is_linked(self, entry: Entry) -> bool:
        """Return whether a link in the tree leads to a source, which would then lead nowhere."""
        source = self._trees.source_of(entry)
        if os.path.islink(source) or os.path.realpath(source) not in self._linked:  # noqa: PTH114 - raises nowhere
            return False
        self._keep(entry, KeptError("a link in the tree leads to it"))
        return True

    @cached_property
    def _linked(self) -> set[str]:
        paths = [self._trees.source / as_path(source) for source in self._found]
        return {os.path.realpath(path) for path in paths if os.path.islink(path)}  # noqa: PTH114

    def _is_to_go(self, entry: Entry) -> bool:
        options = self._scheduler.options
        has_failed = entry.kept_because and not entry.kept_cause
        return (
            entry.source in self._found
            and entry.source not in self._proved
            and (entry.restorable or options.even_if_lossy)
            and (not has_failed or options.retry_failed)
            and not self._is_held_back(entry)
        )

    def _is_held_back(self, entry: Entry) -> bool:
        """Return whether a source stays by what the ledger knows, and record why; every run asks anew."""
        cause, why = reason_to_keep(entry, self._scheduler.options.min_saving)
        if cause:
            self._proved.add(entry.source if not entry.removal else f"{entry.source}/")
            self._keep(entry, KeptError(why), cause)
        return bool(cause)

    def _is_overdue(self, entry: Entry) -> bool:
        options, source = self._scheduler.options, self._trees.source_of(entry)
        return (
            options.selection(self._trees.source, self._config).wants(source)
            and f"{entry.source}/" not in self._proved
            and is_overdue(entry, options.quarantine_days)
            and not self._is_held_back(entry)
        )

    def _config_of(self, entry: Entry) -> ConversionConfig:
        """Return a slide's config; that of the batch, which proves nothing, where its regions are gone."""
        with suppress(MaskError):
            return config_of_slide(self._config, self._trees.source, entry.source)
        return self._config

    def _proof(self, entry: Entry, source: Path, may_lack: bool = False) -> Task:
        job = ProofJob(
            entry.source,
            source,
            self._trees.target_of(entry),
            entry.source_sha256,
            entry.target_sha256,
            self._scheduler.options.even_if_lossy,
            self._config_of(entry),
            entry.is_accepted,
            may_lack,
        )
        return Task(entry, job)

    def _remove_if_proved(self, step: _Step, task: Task, outcome: JobOutcome) -> None:
        """Take a source a step further away if the proof succeeded."""
        if outcome.cause in NO_VERDICT:
            return
        if outcome.state is State.LOOK:
            unseen = replace(task.entry, look=outcome.error, state=State.LOOK)
            self._keep(unseen, KeptError(reason_to_keep(unseen, 0)[1]), HELD_FOR_REVIEW)
            return
        try:
            if outcome.state is not State.DONE:
                raise KeptError(outcome.error)
            if not task.entry.removal and self._is_part_due(task.entry, outcome.companions):
                self._proved.discard(task.entry.source)
                return
            entry, job = task.entry, task.job
            assert isinstance(job, ProofJob)
            if not job.may_lack:  # some of its bytes are gone already
                entry = with_proved_sizes(entry, outcome.facts, outcome.companions)
            if self._is_held_back(entry):
                return
            entry = step(entry, self._trees, outcome.facts, outcome.companions)
        except KeptError as exc:
            self._keep(task.entry, exc)
            return
        self._scheduler.put(entry)
        self._scheduler.counts[entry.removal] += 1
        self._scheduler.log.info("%s: the source is %s", entry.source, entry.removal)

    def _is_part_due(self, entry: Entry, companions: Companions) -> bool:
        """Return whether a file of a slide has yet to be looked at as a slide, as the files of a series are.

        Raises:
            KeptError: a file of the slide is another slide of the tree, or a link leads to it.
        """
        folder, suffix = as_path(entry.source).parent, opening_suffix(as_path(entry.source))
        due = False
        for name, _ in companions.files:
            path = folder / as_path(name)
            if os.path.realpath(self._trees.source / path) in self._linked:
                raise KeptError(f"a link in the tree leads to its file {name}")
            if as_text(path) in self._found:
                if opening_suffix(path) != suffix:
                    raise KeptError(f"its file {name} is a slide of its own")
                due = due or self._is_waiting(as_text(path))
        return due

    def _is_waiting(self, source: str) -> bool:
        entries = self._scheduler.ledger.entries("WHERE source = ?", (source,))
        return any(entry.state in (State.WAITING, State.RUNNING) for entry in entries)

    def _keep(self, entry: Entry, exc: KeptError, cause: str = "") -> None:
        self._scheduler.put(replace(entry, kept_because=str(exc), kept_cause=cause))
        self._scheduler.counts["kept"] += 1
        self._scheduler.log.warning("%s: the source stays: %s", entry.source, exc)
