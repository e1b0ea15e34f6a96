"""How many slides of an archive a mount shows as they were, and how many not, and why: told at mounting."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wsicomp.batch.carried import NO_SLIDE
from wsicomp.batch.conversions import WRITTEN_SUFFIXES, carried_files, known_targets, visible_files
from wsicomp.batch.outcomes import GONE, PART
from wsicomp.concurrency.threads import available_cores, batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.mount.arrangement import Names
from wsicomp.mount.file_facts import HeldOriginals
from wsicomp.mount.held_originals import look_for_originals
from wsicomp.mount.ledger_names import names_in_ledger
from wsicomp.mount.patience import Patience
from wsicomp.mount.shown import ShownFile
from wsicomp.mount.tree import ArchiveTree
from wsicomp.text.paths import as_path

_LIMIT_S = 5.0
"""How long is counted: whoever mounts an archive of many slides without a ledger need not wait for all."""


class NotShown(Enum):
    """Why a slide is not shown as it was; the value is what is said of some, and what to do."""

    OLDER = "made by wsicomp 0.7 or before (wsicomp upgrade {archive})"
    DAMAGED = "damaged or replaced (wsicomp verify {archive})"
    MISSING = "missing (wsicomp verify {archive})"
    NOT_RESTORABLE = "not restorable (wsicomp batch report {archive})"
    NAME_TAKEN = "packed beside another of the same names (move one to a folder of its own)"
    NOT_CONVERTED = "not converted (wsicomp batch report {archive})"


@dataclass(frozen=True)
class SlideCounts:
    """The slides of an archive by what a mount shows of them."""

    shown: int
    """How many stand there as they were."""
    not_shown: Mapping[NotShown, int]
    """How many do not, by the reason."""
    is_all: bool
    """Whether all files were counted; False where that would have taken too long."""


def count_slides(archive: Path, limit_s: float = _LIMIT_S) -> SlideCounts:
    """Count the slides of an archive, by its ledger and by what its files state, for some seconds at most.

    Raises:
        LedgerError: its ledger cannot be read.
        OSError: its file system does not answer in time.
    """
    deadline = time.monotonic() + limit_s
    with closing(Patience(limit_s + _LIMIT_S)) as patience:
        return patience.call(_counted, archive.absolute(), deadline, patience)


def _counted(archive: Path, deadline: float, patience: Patience) -> SlideCounts:
    is_file = archive.is_file()
    names: Names = {} if is_file else names_in_ledger(archive)
    others = frozenset() if is_file else _others(archive)
    counts: Counter[NotShown | None] = Counter()
    seen, is_all = set[str](), True
    packs: dict[Path, HeldOriginals] = {}

    def fates(portion: list[Path]) -> list[tuple[str, NotShown | None]]:
        targets = ((path, os.fspath(path.relative_to(archive))) for path in portion)
        return [*_fates((each for each in targets if each[1] not in others), names, packs)]

    paths = [archive] if is_file else visible_files(archive, lambda _: None)
    for found in ordered_map(fates, batched(paths), available_cores()):
        seen.update(target for target, _ in found)
        counts.update(fate for _, fate in found)
        if time.monotonic() > deadline:
            is_all = False
            break
    if is_all and not is_file:
        counts.update(_fates_of_missing(archive, seen))
        tree = ArchiveTree(archive, lambda path: packs.get(path, HeldOriginals()), patience)
        counts[NotShown.NAME_TAKEN] = _names_taken(tree, packs)
    shown = counts.pop(None, 0) - counts[NotShown.NAME_TAKEN]
    return SlideCounts(shown, {why: counts[why] for why in NotShown if counts[why]}, is_all)


def _others(archive: Path) -> frozenset[str]:
    """Return the paths of files that a batch carried into an archive and that are no slides."""
    records = carried_files(archive).values()
    return frozenset(os.fspath(as_path(one.target)) for one in records if one.why == NO_SLIDE)


def _fates(
    files: Iterable[tuple[Path, str]], names: Names, packs: dict[Path, HeldOriginals]
) -> Iterator[tuple[str, NotShown | None]]:
    """Yield the path of each slide, and why it is not shown as it was; None where it is.

    What packed slides hold is put into `packs`.
    """
    for path, target in files:
        known = names.get(target)
        if known is None and path.suffix.lower() not in WRITTEN_SUFFIXES:
            continue
        with suppress(FileNotFoundError):  # gone meanwhile
            held, damage = _looked_at(path)
            if held.is_older:
                yield target, NotShown.OLDER
            elif held.originals:
                if path.suffix.lower() == PACK_SUFFIX:
                    packs[path] = held
                yield target, None
            elif known is not None and known.is_own:
                yield target, None if path.lstat().st_size == known.bytes else NotShown.DAMAGED
            elif damage is not None or (known is not None and known.restorable):
                yield target, NotShown.DAMAGED
            elif known is not None:
                yield target, NotShown.NOT_RESTORABLE


def _names_taken(tree: ArchiveTree, packs: Collection[Path]) -> int:
    """Return how many packs are shown as what they are, because the names of their files are taken."""
    count = 0
    for folder in {path.parent for path in packs}:
        with suppress(OSError):  # gone meanwhile
            shown = tree.children(os.fspath(folder.relative_to(tree.archive)).removeprefix("."))
            files = (each for each in shown.values() if isinstance(each, ShownFile))
            count += sum(each.original is None and each.facts.path in packs for each in files)
    return count


def _looked_at(path: Path) -> tuple[HeldOriginals, SlideReadError | None]:
    try:
        return look_for_originals(path)
    except SlideReadError as exc:  # it cannot be read now
        return HeldOriginals(), exc


def _fates_of_missing(archive: Path, seen: Collection[str]) -> Iterator[NotShown]:
    """Yield why each slide of the ledger that has no file in the archive is not shown."""
    carried = {one.source for one in carried_files(archive).values()}
    for target, entry in known_targets(archive).items():
        if os.fspath(as_path(target)) in seen or entry.source in carried or entry.source.endswith("/"):
            continue
        if entry.is_converted:
            yield NotShown.MISSING
        elif entry.cause not in (GONE, PART):
            yield NotShown.NOT_CONVERTED
