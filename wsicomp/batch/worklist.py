"""Find the work of a run, from the source tree, the ledger and the targets on the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import NAME_TAKEN, NOT_FOUND, Entry, State
from wsicomp.batch.hard_links import other_names
from wsicomp.batch.name_key import read_secret
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.outcomes import GONE, PART, TEMPORARY_CAUSES
from wsicomp.batch.quarantine_clock import DELETED, QUARANTINED, enter_quarantine
from wsicomp.batch.slide_configs import SlideConfigs
from wsicomp.batch.target_names import assign_targets
from wsicomp.config import ConversionConfig
from wsicomp.conversion.settings import OF_EACH, Settings
from wsicomp.files.folders import opened_folder
from wsicomp.formats.discovery import QUARANTINE, FoundSlide, Inventory
from wsicomp.formats.slide_files import may_be_dicom
from wsicomp.progress import utc_now
from wsicomp.text.paths import as_path

_DUE, _SUSPECT, _RETURNED, _OTHER = "due", "suspect", "returned", "other"
UNKNOWN = "unknown"
"""Stands for the SHA-256 of an earlier target of which only size and time are known."""

ORPHAN = "slide's file missing"
"""The cause of a skip: a folder has the data of a slide, and the file that opens it is missing."""

DAMAGED = "target damaged"
"""The cause of a failure: the target is not what was written, and its source is gone."""


@dataclass(frozen=True)
class Trees:
    """The source tree and the target tree, as absolute paths."""

    source: Path
    target: Path

    def source_of(self, entry: Entry) -> Path:
        """Return the path at which the source is, or was."""
        return self.source / as_path(entry.source)

    def quarantine_of(self, entry: Entry) -> Path:
        """Return the path to which the source is moved before it is deleted."""
        return self.source / QUARANTINE / as_path(entry.source)

    def place_of(self, entry: Entry) -> Path:
        """Return where the source is, by what the ledger says: in its tree or in quarantine."""
        return self.quarantine_of(entry) if entry.removal == QUARANTINED else self.source_of(entry)

    def target_of(self, entry: Entry) -> Path:
        """Return the path of the conversion."""
        return self.target / as_path(entry.target)


@dataclass(frozen=True)
class Worklist:
    """The work of a run."""

    found: frozenset[str]
    """The sources of all slides that were found and asked for."""
    due: tuple[Entry, ...]
    """Slides to convert."""
    suspects: tuple[Entry, ...]
    """Converted slides whose target has to be checked by its SHA-256."""
    to_review: tuple[Entry, ...]
    """Converted slides that a person has to look at."""
    outdated: tuple[Entry, ...]
    """Converted slides that were made with other defaults or an older version."""
    others: tuple[Entry, ...]
    """Entries that changed although there is nothing to do."""
    dropped: tuple[str, ...]
    """Sources whose entries are deleted from the ledger."""
    other_names: Mapping[str, str] = field(default_factory=dict)
    """The due slides that are another name (hard link) of a slide, each with the name that is converted."""
    returned: tuple[Entry, ...] = ()
    """Slides that were taken away, by whose names something stands in the tree again; it may be another."""
    replaced: tuple[Entry, ...] = ()
    """The present entries of due slides whose conversion, made by other options, would be replaced."""


@dataclass(frozen=True)
class _Rules:
    """The rules that decide whether a slide is due."""

    trees: Trees
    configs: SlideConfigs
    records: Mapping[str, Settings]
    options: BatchOptions

    def then(self, entry: Entry) -> Settings | None:
        """Return the settings by which a slide was converted if they agree with today's, else None."""
        then = self.records.get(entry.settings)
        return then if then is not None and then.agrees(self._now(entry, then)) else None

    def is_outdated(self, entry: Entry) -> bool:
        then = self.then(entry)
        return entry.is_converted and then is not None and then.is_outdated(self._now(entry, then))

    def _now(self, entry: Entry, then: Settings) -> Settings:
        """Return today's settings of a slide; one that is converted needs its file of regions no more."""
        now, before = self.configs.settings(entry.source), then.effective.get("roi")
        is_gone = now.effective.get("roi") == OF_EACH
        return now.with_regions(str(before)) if is_gone and before and entry.is_converted else now


def make_worklist(
    inventory: Inventory,
    known: Mapping[str, Entry],
    trees: Trees,
    config: ConversionConfig,
    configs: SlideConfigs,
    records: Mapping[str, Settings],
    options: BatchOptions,
    carried: Mapping[str, Carried],
) -> Worklist:
    """Decide what to do for every slide that was found and every slide that the ledger has.

    `known` has the ledger's entries by source, `configs` are the configs of slides, which `config` makes,
    `records` has the settings of entries by their digests, and `carried` the files that lie in the target
    tree as they are.
    """
    rules = _Rules(trees, configs, records, options)
    found = {slide.source: slide for slide in inventory.slides}
    before = {source: entry.target for source, entry in known.items()}
    before |= {f"{source}/": record.target for source, record in carried.items() if source not in found}
    secret = None if options.name_key is None else read_secret(options.name_key)
    targets = assign_targets(found, config, before, secret)
    lists: dict[str, list[Entry]] = {_DUE: [], _SUSPECT: [], _RETURNED: [], _OTHER: list(_folders(inventory))}
    for source, slide in found.items():
        for kind, entry in _with_source(slide, targets[source], known.get(source), rules):
            lists[kind].append(entry)
    for source, old in known.items():
        if source not in found and old.target:
            for kind, entry in _without_source(old, rules):
                lists[kind].append(entry)
    dropped = tuple(source for source, entry in known.items() if not entry.target)
    due, suspects, others = (tuple(lists[kind]) for kind in (_DUE, _SUSPECT, _OTHER))
    again = {entry.source for entry in due}
    to_review = tuple(
        entry for source, entry in known.items() if entry.state is State.LOOK and source not in again
    )
    outdated = tuple(
        entry
        for source, entry in known.items()
        if source in found and source not in again and rules.is_outdated(entry)
    )
    replaced = tuple(
        now for entry in due if (now := known.get(entry.source)) and _is_replaced(now, entry, rules)
    )
    other, returned = other_names(inventory.slides, again, known), tuple(lists[_RETURNED])
    return Worklist(
        frozenset(found), due, suspects, to_review, outdated, others, dropped, other, returned, replaced
    )


def _is_replaced(old: Entry, entry: Entry, rules: _Rules) -> bool:
    """Return whether a conversion that is there would be replaced because the options are others now.

    Settings that no ledger has are not known to be others: the conversion itself says what it was made by.
    """
    is_other = (bool(old.settings) and rules.then(old) is None) or old.target != entry.target
    return bool(old.target_sha256) and is_other and _check_target(old, rules) != "gone"


def replaced_text(replaced: Sequence[Entry], records: Mapping[str, Settings], now: Settings) -> str:
    """Return the line about finished slides that other options made, with what differs of the first."""
    first = replaced[0]
    then = records.get(first.settings)
    how = "" if then is None else f": {_differing(first, then, now)}"
    were = "slide was" if len(replaced) == 1 else "slides were"
    return f"{len(replaced)} finished {were} converted with other options{how}"


def _differing(entry: Entry, then: Settings, now: Settings) -> str:
    """Return what differs of a slide's settings in words."""
    found = list(then.differences(now))
    if found == ["the file of `roi` is another one"]:
        return f"{entry.source}, its regions were drawn anew (the file of `roi` is another one)"
    return ", ".join(found) or "targets get other names"


def _with_source(
    slide: FoundSlide, target: str, old: Entry | None, rules: _Rules
) -> Iterator[tuple[str, Entry]]:
    """Yield what to do about a slide of the tree."""
    entry = _fresh(slide, target, rules, old)
    if old is not None and old.removal and old.stamp != slide.stamp:
        # The stamp of a DICOM file is that of all in its folder, which others of them have left since.
        may_be_it = old.is_converted and may_be_dicom(as_path(slide.source))
        yield (_RETURNED, replace(old, stamp=slide.stamp)) if may_be_it else (_OTHER, name_taken(old))
    elif old is None or not _is_settled(old, entry, rules):
        yield _DUE, entry
    elif old.is_converted:
        verdict = _check_target(old, rules)
        if verdict == "gone":
            yield _DUE, replace(entry, target_sha256="", target_bytes=0, target_mtime_ns=0)
        elif verdict == "suspect":
            yield _SUSPECT, old
        elif old.removal:
            yield _OTHER, replace(old, removal="", removed="")


def name_taken(old: Entry) -> Entry:
    """Return the failed entry of a slide whose name an earlier slide has, whose source was taken away.

    The earlier slide's conversion must not be replaced.
    """
    error = (
        "another slide of this name was converted, and its source taken away; give the new one another name "
        "(or, if it is the same one, its old time)"
    )
    return Entry(f"{old.source}/", "", State.FAILED, ended=utc_now(), cause=NAME_TAKEN, error=error)


def _folders(inventory: Inventory) -> Iterator[Entry]:
    for link in inventory.links:
        error = "a link to a folder is not followed; convert that folder by a batch of its own"
        yield Entry(f"{link}/", "", State.SKIPPED, ended=utc_now(), cause="link to a folder", error=error)
    for folder, reason in inventory.closed:
        error = f"the folder cannot be read ({reason}); its slides are not converted"
        yield Entry(f"{folder}/", "", State.FAILED, ended=utc_now(), cause="unreadable folder", error=error)
    for folder in inventory.left_out.orphans:
        name = PurePosixPath(folder).name
        error = f"holds the data of an MRXS slide, and {name}.mrxs is not beside it; put that file back"
        yield Entry(f"{folder}/", "", State.SKIPPED, ended=utc_now(), cause=ORPHAN, error=error)
    for name, reason in inventory.missing:
        yield Entry(f"{name}/", "", State.FAILED, ended=utc_now(), cause=NOT_FOUND, error=reason)


def _fresh(slide: FoundSlide, target: str, rules: _Rules, old: Entry | None) -> Entry:
    """Return the entry of a slide to convert, with what is still true of its earlier conversion."""
    entry = Entry(
        slide.source,
        target,
        State.WAITING,
        slide.stamp,
        slide.bytes,
        rules.configs.settings(slide.source).digest,
    )
    if old is None:
        return entry
    stale = (
        {old.target: f"{old.target_bytes} {old.target_mtime_ns} {old.target}"} if old.target_sha256 else {}
    )
    for line in old.stale_target.splitlines():
        stale.setdefault(line.split(" ", 2)[2], line)
    written = stale.pop(target, None)
    entry = replace(
        entry,
        attempts=old.attempts,
        # A ledger that was made anew knows the target, but not which file by this name it was made from.
        source_sha256=old.source_sha256 if old.stamp else "",
        stale_target="\n".join(stale.values()),
        accepted=old.accepted,
        accepted_source=old.accepted_source,
        accepted_target=old.accepted_target,
    )
    if written is None:
        return entry
    size, mtime_ns, _ = written.split(" ", 2)
    sha256 = old.target_sha256 if old.target == target else UNKNOWN
    return replace(entry, target_sha256=sha256, target_bytes=int(size), target_mtime_ns=int(mtime_ns))


def _is_settled(old: Entry, entry: Entry, rules: _Rules) -> bool:
    if (old.stamp, old.target) != (entry.stamp, entry.target) or rules.then(old) is None:
        return False
    if rules.options.redo_outdated and rules.is_outdated(old):
        return False
    if old.state is State.FAILED and old.cause == DAMAGED:
        return False
    if old.state is State.FAILED:
        return not rules.options.retry_failed and old.cause not in TEMPORARY_CAUSES
    return old.is_converted or old.state is State.SKIPPED


def _check_target(entry: Entry, rules: _Rules) -> str:
    """Return what size and time of a target say: "good", "gone", or "suspect"."""
    target = rules.trees.target_of(entry)
    try:
        with opened_folder(target.parent, rules.trees.target) as folder:
            status = folder.status(target.name)
    except OSError:
        return "gone"
    if status is None:
        return "gone"
    same = (status.st_size, status.st_mtime_ns) == (entry.target_bytes, entry.target_mtime_ns)
    same = same and stat.S_ISREG(status.st_mode)
    return "good" if same and not rules.options.recheck else "suspect"


def is_in_quarantine(entry: Entry, trees: Trees) -> bool:
    """Return whether a slide's source lies in quarantine, as the ledger says."""
    return entry.removal == QUARANTINED and os.path.isfile(trees.quarantine_of(entry))  # noqa: PTH113


def _without_source(entry: Entry, rules: _Rules) -> Iterator[tuple[str, Entry]]:
    """Yield what to do about a slide that is not in the tree, or not asked for."""
    is_there = os.path.lexists(rules.trees.source_of(entry))
    in_quarantine = os.path.isfile(rules.trees.quarantine_of(entry))  # noqa: PTH113 - raises nowhere
    if entry.is_converted or entry.cause == DAMAGED:
        if is_there:
            return
        if not entry.removal and in_quarantine:
            entry = enter_quarantine(entry)
            yield _OTHER, entry
        if entry.removal == QUARANTINED and not in_quarantine:
            entry = replace(entry, removal=DELETED, removed=utc_now(), kept_because="", kept_cause="")
            yield _OTHER, entry
        if entry.cause == DAMAGED or _check_target(entry, rules) != "good":
            yield _SUSPECT, entry
    elif entry.state is State.RUNNING and is_there:
        yield _OTHER, replace(entry, state=State.WAITING)
    elif not is_there and not (entry.state is State.SKIPPED and entry.cause in (GONE, PART)):
        gone = replace(entry, state=State.SKIPPED, cause=GONE, error="the source is gone", ended=utc_now())
        yield _OTHER, gone
