"""What a run has to do: the tree as it is, held against the ledger and the targets on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.choices import BatchChoices
from wsicomp.batch.inventory import QUARANTINE, FoundSlide, Inventory
from wsicomp.batch.job import GONE, PASSING
from wsicomp.batch.ledger import Entry, State
from wsicomp.batch.names import as_path, assign_targets
from wsicomp.batch.watch import utc_now
from wsicomp.config import ConversionConfig

QUARANTINED, DELETED = "quarantined", "deleted"
DAMAGED = "target damaged"
"""The cause of a failure: the target is not what was written, and its source is not there."""


@dataclass(frozen=True)
class Trees:
    """The two trees, by absolute paths."""

    source: Path
    target: Path

    def source_of(self, entry: Entry) -> Path:
        """Where the source stands, or stood."""
        return self.source / as_path(entry.source)

    def quarantine_of(self, entry: Entry) -> Path:
        """Where it goes before it is deleted."""
        return self.source / QUARANTINE / as_path(entry.source)

    def target_of(self, entry: Entry) -> Path:
        """Where the conversion stands."""
        return self.target / as_path(entry.target)


@dataclass(frozen=True)
class Survey:
    """`due` are to be converted, `suspects` done but to be held against their SHA-256.

    `others` are entries that changed without anything to do; `dropped` the sources of those that are no more.
    """

    due: tuple[Entry, ...]
    suspects: tuple[Entry, ...]
    others: tuple[Entry, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class _Rules:
    trees: Trees
    settings: str
    choices: BatchChoices


def survey_tree(
    inventory: Inventory,
    known: Mapping[str, Entry],
    trees: Trees,
    config: ConversionConfig,
    settings: str,
    choices: BatchChoices,
) -> Survey:
    """Decide for every slide that was found, and for every one that the ledger knows."""
    rules = _Rules(trees, settings, choices)
    found = {slide.source: slide for slide in inventory.slides}
    targets = assign_targets(found, config, {source: entry.target for source, entry in known.items()})
    due, suspects, others = [], [], list(_folders(inventory))
    for source, slide in found.items():
        old = known.get(source)
        entry = _fresh(slide, targets[source], rules, old)
        if old is None or not _is_settled(old, entry, choices):
            due.append(entry)
        elif old.state is State.DONE:
            verdict = _look(old, rules)
            if verdict == "gone":
                due.append(replace(entry, target_sha256="", target_bytes=0, target_mtime_ns=0))
            elif verdict == "suspect":
                suspects.append(old)
            elif old.removal:
                others.append(replace(old, removal="", removed=""))
    for source, entry in known.items():
        if source not in found and entry.target:
            for kind, gone in _without_source(entry, rules):
                (suspects if kind == "suspect" else others).append(gone)
    dropped = [source for source, entry in known.items() if not entry.target]
    return Survey(tuple(due), tuple(suspects), tuple(others), tuple(dropped))


def _folders(inventory: Inventory) -> Iterator[Entry]:
    for link in inventory.links:
        error = "a link to a folder is not entered; make its target a batch of its own"
        yield Entry(f"{link}/", "", State.SKIPPED, ended=utc_now(), cause="link to a folder", error=error)
    for folder, reason in inventory.closed:
        error = f"the folder cannot be read ({reason}); what is in it is not converted"
        yield Entry(f"{folder}/", "", State.FAILED, ended=utc_now(), cause="unreadable folder", error=error)


def _fresh(slide: FoundSlide, target: str, rules: _Rules, old: Entry | None) -> Entry:
    """The entry of a slide that is to be converted, with what is still true of an earlier conversion."""
    entry = Entry(slide.source, target, State.WAITING, slide.stamp, slide.bytes, rules.settings)
    if old is None:
        return entry
    entry = replace(entry, attempts=old.attempts, stale_target=old.stale_target)
    if old.target == target:
        return replace(
            entry,
            target_sha256=old.target_sha256,
            target_bytes=old.target_bytes,
            target_mtime_ns=old.target_mtime_ns,
        )
    stale = f"{old.target_bytes} {old.target_mtime_ns} {old.target}"
    return replace(entry, stale_target=stale) if old.target_sha256 else entry


def _is_settled(old: Entry, entry: Entry, choices: BatchChoices) -> bool:
    if (old.stamp, old.settings, old.target) != (entry.stamp, entry.settings, entry.target):
        return False
    if old.state is State.FAILED:
        return not choices.retry_failed and old.cause not in PASSING
    return old.state in (State.DONE, State.SKIPPED)


def _look(entry: Entry, rules: _Rules) -> str:
    """What a glance at a target says: "good", "gone", or "suspect"."""
    try:
        status = rules.trees.target_of(entry).stat()
    except OSError:
        return "gone"
    same = (status.st_size, status.st_mtime_ns) == (entry.target_bytes, entry.target_mtime_ns)
    return "good" if same and not rules.choices.recheck else "suspect"


def _without_source(entry: Entry, rules: _Rules) -> Iterator[tuple[str, Entry]]:
    """What to do about a slide that is not in the tree, or not among those that are asked for."""
    is_there = os.path.lexists(rules.trees.source_of(entry))
    if entry.state is State.DONE or entry.cause == DAMAGED:
        in_quarantine = os.path.isfile(rules.trees.quarantine_of(entry))  # noqa: PTH113 - never raises
        if not entry.removal and not is_there and in_quarantine:
            entry = replace(entry, removal=QUARANTINED, removed=utc_now())
            yield "other", entry
        if _look(entry, rules) != "good":
            yield "suspect", entry
    elif entry.state is State.RUNNING and is_there:
        yield "other", replace(entry, state=State.WAITING)
    elif not is_there and entry.cause != GONE:
        gone = replace(entry, state=State.FAILED, cause=GONE, error="the source is gone", ended=utc_now())
        yield "other", gone
