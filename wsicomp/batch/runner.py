"""Run a batch: check, convert and take away, in this order, and act on each outcome."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from wsicomp.batch.carried import Carried
from wsicomp.batch.carrying import Carrying, place_of
from wsicomp.batch.entry import Entry, State, entry_flaw, with_short_texts
from wsicomp.batch.hard_links import LinkedJob
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.ledger import CONVERTED
from wsicomp.batch.ledger_files import aside_path, audit_path, review_picture_path
from wsicomp.batch.outcomes import FORGED, JobOutcome
from wsicomp.batch.quarantine import NO_VERDICT, SourceRemoval, reason_to_keep
from wsicomp.batch.quarantine_clock import QUARANTINED, days_left
from wsicomp.batch.scheduler import ASKED, FINISHED, UNTIL, Scheduler, Task
from wsicomp.batch.slide_configs import RefusedJob, SlideConfigs
from wsicomp.batch.target_jobs import PictureJob, RecheckJob, ReturnJob, unscaled_audit_path
from wsicomp.batch.target_names import packed_target
from wsicomp.batch.worker_process import CRASHED, NOT_STARTED, STOPPED
from wsicomp.batch.worklist import DAMAGED, Trees, Worklist, name_taken
from wsicomp.config import ConversionConfig
from wsicomp.conversion.report import reported_notes
from wsicomp.errors import MaskError
from wsicomp.files.atomic import sweep_partial
from wsicomp.files.folders import opened_folder, remove_own
from wsicomp.formats.discovery import QUARANTINE
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.progress import utc_now
from wsicomp.text.paths import as_path, as_text

_OF_REPORT = (
    *("digest", "source_sha256", "source_bytes", "codec", "verified", "restorable"),
    *("rescued_tiles", "flawed_tiles", "lost_tiles", "tissue"),
)
"""The fields of an entry that have the name and the value of a field of its report."""

_TRIES = 3
"""How often a slide whose process dies is begun in one run; another slide may have been the reason."""


@dataclass(frozen=True)
class BatchResult:
    """The result of a run; its fields are the names in JSON."""

    look: int
    """All slides asked for that a person has to look at now."""
    why: str
    """"finished", "until", "stopped", or what kept the run from going on."""
    converted: int
    """Slides that this run converted."""
    adopted: int
    """Targets that were there already and that this run took on."""
    skipped: int
    """Slides that this run skipped."""
    failed: int
    """Slides that failed in this run."""
    quarantined: int
    """Sources that this run moved into quarantine."""
    deleted: int
    """Sources that this run deleted."""
    kept: int
    """Sources that were to go in this run and stay."""
    no_room: int
    """Slides that were not begun because the disk had too little space."""
    waiting: int
    """All slides asked for that wait for conversion now."""
    failures: int
    """All slides asked for that are failed now."""
    elapsed_s: float
    """Seconds that the run took."""
    in_quarantine: int = 0
    """Sources in quarantine that only their days keep from being deleted."""
    quarantine_bytes: int = 0
    """Bytes of these sources."""
    first_goes_days: float | None = None
    """Days until the first of them can be deleted if a run sees every day; None where there is none."""
    last_goes_days: float | None = None
    """Days until the last of them can be deleted, likewise."""
    nothing_removed: str = ""
    """Why no source was taken away: what is wrong with the source tree's records; else ""."""
    no_room_needs_bytes: int = 0
    """The least that a slide without space needs, in bytes."""
    no_room_free_bytes: int = 0
    """The bytes that were free then."""
    min_free: float = 0.0
    """The GB that were to stay free."""
    outdated: int = 0
    """Converted slides that were made with other defaults or an older version."""
    source: str = ""
    """The source tree."""
    target: str = ""
    """The target tree."""
    targets: int = 0
    """Conversions that the target tree has now."""
    converted_bytes: int = 0
    """Bytes of the sources of the slides that this run converted or took on."""
    target_bytes: int = 0
    """Bytes of these conversions."""
    carried: int = 0
    """Files that this run carried into the target tree as they are."""
    carried_bytes: int = 0
    """Bytes of these files."""
    uncarried: int = 0
    """Files that were to be carried in this run and could not be."""
    quarantine: str = ""
    """The folder that holds sources in quarantine; "" where none is."""
    left_out: int = 0
    """Files of the source tree that are no slides by their names, and were not carried."""
    left_out_what: str = ""
    """How many of them have which suffix, and the MRXS folders whose slide is missing, carried or not."""

    @property
    def is_good(self) -> bool:
        """Whether nothing failed or was left behind, and only the user ended the run or kept sources."""
        is_hindered = self.failures or self.no_room or self.nothing_removed or self.uncarried
        return not is_hindered and self.why in (FINISHED, UNTIL, ASKED)


def delete_if_unchanged(root: Path, path: Path, facts: tuple[int, int]) -> None:
    """Delete a regular file of the tree at `root` if it still has the facts (bytes, modification time in ns).

    `path` is the path in the tree. No folder on it may be a link.

    Raises:
        OSError: the file is not there, or a folder between `root` and the file is a link.
    """
    with opened_folder((root / path).parent, root) as folder:
        status = os.stat(path.name, dir_fd=folder.descriptor, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == facts:
            folder.remove(path.name)


def remove_partial_files(entry: Entry, trees: Trees) -> None:
    """Delete the partial files that a killed process left of a slide."""
    audit = audit_path(trees.target, entry.source)
    look = review_picture_path(trees.target, entry.source)
    packed = trees.target / as_path(packed_target(entry.target, entry.source))
    for path in (trees.target_of(entry), packed, audit, unscaled_audit_path(audit), look):
        sweep_partial(path, trees.target)
    with suppress(OSError):
        remove_own(unscaled_audit_path(audit), trees.target)


class Run:
    """Carries out a worklist with a scheduler."""

    def __init__(self, scheduler: Scheduler, config: ConversionConfig, worklist: Worklist) -> None:
        self._scheduler, self._trees, self._config = scheduler, scheduler.trees, config
        self._worklist = worklist
        job_config = config.changed(min_free=float(scheduler.options.min_free))
        self._configs = SlideConfigs(job_config, scheduler.trees.source)
        self._tries: Counter[str] = Counter()
        self._redone: list[Entry] = []
        self._removal = SourceRemoval(scheduler, config, worklist.found)

    def run(self) -> BatchResult:
        """Check doubtful targets, take away replaced sources, convert due slides, and take away again.

        Raises:
            LedgerError: the ledger could not be written.
        """
        scheduler, worklist = self._scheduler, self._worklist
        scheduler.counts["outdated"] = len(worklist.outdated)
        scheduler.expect(worklist.due)
        scheduler.report_progress()
        for entry in worklist.others:
            if entry.state is State.FAILED and not entry.target:
                scheduler.slide_done(entry)
        scheduler.work((self._recheck(entry) for entry in worklist.suspects), self._rechecked)
        scheduler.work((self._return(entry) for entry in worklist.returned), self._returned)
        scheduler.expect(self._redone)
        self._removal.run()
        due, others = (*worklist.due, *self._redone), worklist.other_names
        scheduler.work(
            (self._conversion(entry) for entry in due if entry.source not in others), self._converted
        )
        scheduler.work((self._other_name(entry) for entry in due if entry.source in others), self._converted)
        Carrying(scheduler, self._config).run()
        self._removal.run()
        scheduler.work(self._pictures(), self._drawn)
        scheduler.write_unwritten()
        why = scheduler.reason() or FINISHED
        scheduler.report_progress(f"ended: {why}")
        return self._result(why)

    def _recheck(self, entry: Entry) -> Task:
        trees = self._trees
        job = RecheckJob(entry.source, trees.target_of(entry), entry.target_sha256, trees.target)
        return Task(entry, job)

    def _rechecked(self, task: Task, outcome: JobOutcome) -> None:
        entry = task.entry
        if outcome.cause in NO_VERDICT:
            self._scheduler.log.warning("%s: its target was not checked: %s", entry.source, outcome.error)
            return
        if outcome.state is State.DONE:
            good = replace(
                entry,
                state=entry.converted_state,
                target_mtime_ns=outcome.target_mtime_ns,
                cause="",
                error="",
            )
            self._scheduler.put(good)
            return
        if os.path.lexists(self._trees.source_of(entry)):
            self._scheduler.log.warning("%s: its target %s; converted again", entry.source, outcome.error)
            now = self._configs.settings(entry.source).digest
            again = replace(entry, state=State.WAITING, settings=now, removal="", removed="")
            self._redone.append(again)
            self._scheduler.put(again)
            return
        held = self._trees.quarantine_of(entry)
        where = "its source is gone; restore one of the two from a backup"
        if entry.removal == QUARANTINED:
            where = f"its source is in {held}; move it back and run again"
        error = f"its target {outcome.error}, and {where}"
        lost = replace(entry, state=State.FAILED, cause=DAMAGED, error=error, ended=utc_now())
        self._scheduler.put(lost)
        self._scheduler.counts["failed"] += 1
        self._scheduler.slide_done(lost)

    def _return(self, entry: Entry) -> Task:
        return Task(entry, ReturnJob(entry.source, self._trees.source_of(entry), entry.source_sha256))

    def _returned(self, task: Task, outcome: JobOutcome) -> None:
        """Take a slide for the one that was taken away, or refuse it."""
        if outcome.state is State.DONE:
            self._scheduler.put(replace(task.entry, removal="", removed=""))
        elif outcome.cause not in NO_VERDICT:
            refused = name_taken(task.entry)
            self._scheduler.put(refused)
            self._scheduler.counts["failed"] += 1
            self._scheduler.slide_done(refused)

    def _ours(self, entry: Entry) -> tuple[tuple[int, int] | None, str]:
        """Return bytes and time of the file of ours in a target's place, and the SHA-256 of its source."""
        if entry.target_sha256:
            return (entry.target_bytes, entry.target_mtime_ns), entry.source_sha256
        carried = self._carried.get(entry.source)
        if carried is not None and carried.target == entry.target and carried.sha256:
            return carried.target_facts, carried.sha256
        return None, entry.source_sha256

    def _conversion(self, entry: Entry) -> Task:
        trees = self._trees
        ours, earlier_sha256 = self._ours(entry)
        try:
            config = self._configs.config(entry.source)
        except MaskError as exc:
            return Task(entry, RefusedJob(entry.source, trees.source_of(entry), exc.message, exc.path))
        job = ConversionJob(
            entry.source,
            trees.source_of(entry),
            trees.target_of(entry),
            trees.target,
            self._scheduler.options.selection(trees.source, self._config).beside(trees.source_of(entry)),
            config,
            audit_path(trees.target, entry.source),
            review_picture_path(trees.target, entry.source),
            aside_path(trees.target, entry.target),
            ours,
            earlier_sha256,
            tuple(entry.stale_target.splitlines()),
            self._scheduler.options.redo_outdated,
            self._scheduler.options.reconvert,
        )
        return Task(entry, job)

    def _other_name(self, entry: Entry) -> Task:
        """Return the task of a slide that is another name of a file: to copy that one's conversion."""
        task, ledger, trees = self._conversion(entry), self._scheduler.ledger, self._trees
        name = self._worklist.other_names[entry.source]
        (first,) = ledger.entries("WHERE source = ?", (name,))
        report, settings = ledger.report(first.source), ledger.settings().get(first.settings)
        suffix = as_path(first.target).suffix
        is_alike = suffix == as_path(entry.target).suffix != PACK_SUFFIX  # a packed slide states its names
        if not (first.is_converted and is_alike and report is not None and settings is not None):
            return task
        if isinstance(task.job, RefusedJob) or not settings.agrees(self._configs.settings(entry.source)):
            return task  # it has regions of its own, or none
        job = LinkedJob(
            **vars(task.job),
            first=first,
            first_source=trees.source_of(first),
            first_target=trees.target_of(first),
            first_audit=audit_path(trees.target, first.source),
            first_report=report,
            first_settings=settings,
        )
        return Task(entry, job)

    def _converted(self, task: Task, outcome: JobOutcome) -> None:
        entry = _settled(task.entry, outcome)
        if flaw := entry_flaw(entry):
            error = f"its target claims what no conversion can ({flaw}); move it away and run again"
            outcome = JobOutcome(State.FAILED, FORGED, error, elapsed_s=outcome.elapsed_s)
            entry = _settled(task.entry, outcome)
        if outcome.aside:
            entry = self._noted(entry, outcome.aside)
        if outcome.state is not State.DONE:
            remove_partial_files(entry, self._trees)
        if outcome.cause == STOPPED:
            self._scheduler.put(entry)
            return
        self._scheduler.counts[NOT_STARTED] = (
            self._scheduler.counts[NOT_STARTED] + 1 if outcome.cause == NOT_STARTED else 0
        )
        self._tries[entry.source] += outcome.cause == CRASHED
        is_hopeful = outcome.cause == CRASHED and self._tries[entry.source] < _TRIES
        if outcome.cause == NOT_STARTED or is_hopeful:
            again = replace(entry, state=State.WAITING)
            self._scheduler.log.warning("%s: %s; it is tried again", entry.source, outcome.error)
            self._scheduler.put(again)
            self._scheduler.requeue(replace(task, entry=again))
            return
        if entry.target != task.entry.target:
            self._targets.discard(place_of(task.entry.target))
        if entry.is_converted and entry.stale_target:
            entry = self._without_stale(entry, frozenset(outcome.stale))
        self._scheduler.put(entry, outcome.report, outcome.settings)
        self._count(entry, task.entry.source_bytes)
        self._scheduler.slide_done(entry)

    def _count(self, entry: Entry, expected_bytes: int) -> None:
        counts, sizes = self._scheduler.counts, self._scheduler.bytes
        counts["waiting"] -= 1
        counts["look"] += entry.state is State.LOOK
        state = str(State.DONE) if entry.is_converted else str(entry.state)
        counts["adopted" if entry.adopted else state] += 1
        sizes["ended"] += expected_bytes
        if entry.is_converted:
            sizes["source"] += entry.source_bytes
            sizes["target"] += entry.target_bytes

    def _without_stale(self, entry: Entry, same: Container[str]) -> Entry:
        """Delete earlier conversions under other names, now that the new one is complete.

        Only those are deleted that are still the file that was written and that were made from the same
        slide, whose lines are in `same`. Any other may be all that is left of an earlier slide of this name.
        """
        for line in entry.stale_target.splitlines():
            size, mtime_ns, name = line.split(" ", 2)
            stale = self._trees.target / as_path(name)
            try:
                if place_of(name) in self._targets:
                    continue
                if line in same:
                    delete_if_unchanged(self._trees.target, as_path(name), (int(size), int(mtime_ns)))
                elif os.path.lexists(stale):
                    entry = self._noted(entry, f"{stale} stays: it was not made from this slide as it is now")
            except OSError as exc:
                self._scheduler.log.warning("%s: %s stays (%s)", entry.source, stale, exc.strerror or exc)
        return replace(entry, stale_target="")

    @cached_property
    def _carried(self) -> dict[str, Carried]:
        """Return the files that lie in the target tree as they are, by their sources."""
        return self._scheduler.ledger.carried()

    @cached_property
    def _targets(self) -> set[str]:
        """Return the places of all targets, in the form of `place_of`."""
        return {place_of(entry.target) for entry in self._scheduler.ledger.entries() if entry.target}

    def _noted(self, entry: Entry, note: str) -> Entry:
        """Return the entry with one note more, and log the note."""
        self._scheduler.log.warning("%s: %s", entry.source, note)
        return replace(entry, notes="\n".join(filter(None, (entry.notes, as_text(note)))))

    def _pictures(self) -> list[Task]:
        """Return tasks that draw missing large pictures of slides to be looked at, as of an old ledger's."""
        trees, tasks = self._trees, []
        for entry in self._scheduler.ledger.entries(f"WHERE state = '{State.LOOK}' ORDER BY source"):
            source, target = trees.place_of(entry), trees.target_of(entry)
            picture = review_picture_path(trees.target, entry.source)
            audit, workers = audit_path(trees.target, entry.source), self._config.run.workers
            if self._is_asked_for(entry) and not os.path.lexists(picture):
                job = PictureJob(entry.source, source, target, picture, audit, workers, trees.target)
                tasks.append(Task(entry, job))
        return tasks

    def _drawn(self, task: Task, outcome: JobOutcome) -> None:
        if outcome.state is not State.DONE:
            self._scheduler.log.warning("%s: no picture of it: %s", task.entry.source, outcome.error)

    def _result(self, why: str) -> BatchResult:
        counts = self._scheduler.counts
        states = Counter(
            entry.state
            for entry in self._scheduler.ledger.entries("WHERE state IN ('failed', 'waiting', 'look')")
            if self._is_asked_for(entry)
        )
        days = self._scheduler.options.quarantine_days
        quarantine = self._scheduler.ledger.entries(f"WHERE {CONVERTED} AND removal = 'quarantined'")
        records = self._removal.records() if self._scheduler.options.delete_source else None
        held = [
            entry
            for entry in (quarantine if records is None else map(records.apply_to, quarantine))
            if self._is_asked_for(entry) and not reason_to_keep(entry, self._scheduler.options.min_saving)[0]
        ]
        left = [days_left(entry, days) for entry in held]
        needs, free = self._scheduler.least_lacking or (0, 0)
        return BatchResult(
            states[State.LOOK],
            why,
            converted=counts["done"],
            adopted=counts["adopted"],
            skipped=counts["skipped"],
            failed=counts["failed"],
            quarantined=counts["quarantined"],
            deleted=counts["deleted"],
            kept=counts["kept"],
            no_room=counts["no room"],
            waiting=states[State.WAITING],
            failures=states[State.FAILED],
            elapsed_s=self._scheduler.elapsed_s(),
            in_quarantine=len(held),
            quarantine_bytes=sum(entry.source_bytes for entry in held),
            first_goes_days=min(left, default=None),
            last_goes_days=max(left, default=None),
            nothing_removed=self._removal.nothing_removed,
            no_room_needs_bytes=needs,
            no_room_free_bytes=free,
            min_free=float(self._scheduler.options.min_free),
            outdated=self._scheduler.counts["outdated"],
            **self._of_trees(),
        )

    def _of_trees(self) -> dict[str, Any]:
        """Return the values of a result that say what both trees have now."""
        counts, sizes = self._scheduler.counts, self._scheduler.bytes
        ((targets, held),) = self._scheduler.ledger.figures(
            f"SELECT count(*), total(removal = 'quarantined') FROM slides WHERE {CONVERTED}"  # noqa: S608
        )
        return {
            "source": str(self._trees.source),
            "target": str(self._trees.target),
            "targets": targets,
            "converted_bytes": sizes["source"],
            "target_bytes": sizes["target"],
            "carried": counts["carried"],
            "carried_bytes": sizes["carried"],
            "uncarried": counts["uncarried"],
            "quarantine": str(self._trees.source / QUARANTINE) if held else "",
        }

    def _is_asked_for(self, entry: Entry) -> bool:
        selection = self._scheduler.options.selection(self._trees.source, self._config)
        return not entry.target or selection.wants(self._trees.source_of(entry))


def _settled(entry: Entry, outcome: JobOutcome) -> Entry:
    """Return the entry with the outcome of its conversion."""
    entry = replace(
        entry,
        state=outcome.state,
        ended=utc_now(),
        elapsed_s=outcome.elapsed_s,
        adopted=outcome.adopted,
        cause=outcome.cause,
        error=outcome.error,
        trace=outcome.trace,
    )
    if outcome.report is None:
        return with_short_texts(replace(entry, notes="", look=""))
    entry = _with_target(entry, outcome.target or entry.target)
    entry = replace(
        entry,
        target_sha256=outcome.target_sha256,
        target_bytes=outcome.target_bytes,
        target_mtime_ns=outcome.target_mtime_ns,
        kept_because="",
        kept_cause="",
        settings=entry.settings if outcome.settings is None else outcome.settings.digest,
        **_figures(outcome.report),
    )
    if not entry.is_accepted:
        entry = replace(entry, accepted="", accepted_source="", accepted_target="")
    return with_short_texts(replace(entry, state=entry.converted_state))


def _with_target(entry: Entry, target: str) -> Entry:
    """Return the entry with the target that its job chose; the earlier conversion by another is stale."""
    if target == entry.target:
        return entry
    stale = f"{entry.target_bytes} {entry.target_mtime_ns} {entry.target}" if entry.target_sha256 else ""
    lines = filter(None, (entry.stale_target, stale))
    return replace(entry, target=target, stale_target="\n".join(lines))


def _figures(report: Any) -> dict[str, Any]:
    """Return the values of an entry that come from the report of its conversion."""
    levels = report["levels"]
    kinds = ("copied", "transcoded", "kept", "lost", "encoded", "whitened", "blank", "empty")
    return {
        **{name: report[name] for name in _OF_REPORT},
        "tiles": sum(level[kind] for level in levels for kind in kinds),
        "removed_tiles": sum(level["blank"] + level["empty"] for level in levels),
        "fell_back_tiles": sum(level["guarded"]["fell_back"] for level in levels if level["guarded"]),
        "notes": "\n".join(reported_notes(report)),
        "model": report["model"] or "",
        "removed_area": report["removed_area"] or 0.0,
        "look": report["look"] or "",
        "least_ssim": report["least_ssim"] or 0.0,
        "opens_in": report["opens_in"] or "",
    }
