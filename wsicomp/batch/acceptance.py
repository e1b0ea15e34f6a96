"""Slides that a person has to look at before their sources may go, and the record that somebody did.

An acceptance is of one conversion of one source, both named by SHA-256. If either file changes, the
acceptance is void. It stands in the ledger, for status and report. It also stands in the source tree, and
only that copy lets a source go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.entry import HELD_FOR_REVIEW, Entry, State
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_files import SOURCE, audit_path, review_picture_path
from wsicomp.batch.monitoring import lock_tree, open_log
from wsicomp.batch.quarantine_clock import DELETED
from wsicomp.batch.source_records import is_written, write_acceptance
from wsicomp.batch.worklist import Trees
from wsicomp.errors import KeptError, LedgerError, SlideReadError, SlideWriteError
from wsicomp.files.folders import is_own
from wsicomp.formats.identity import file_sha256, slide_identity
from wsicomp.progress import utc_now
from wsicomp.text.paths import as_path, as_text


@dataclass(frozen=True)
class Review:
    """A slide that a person has to look at, or has just accepted."""

    entry: Entry
    """The slide's entry in the ledger."""
    picture: Path | None
    """The best picture of what was removed; None without any."""
    is_new: bool = False
    """Whether the slide was accepted just now, and not before."""
    unwritten: str = ""
    """Why the acceptance could not be written into the source tree, so that the source stays; else ""."""


def slides_to_review(target: Path) -> tuple[Review, ...]:
    """Return the slides of a target tree that wait for a person to look at them.

    Raises:
        LedgerError: the tree has no ledger, or it cannot be read.
    """
    with Ledger(target, read_only=True) as ledger:
        waiting = ledger.entries("WHERE state = 'look' ORDER BY source")
        return tuple(Review(entry, picture_of(target, entry)) for entry in waiting)


def picture_of(target: Path, entry: Entry) -> Path | None:
    """Return the path of the picture of a slide's removed tiles: the large one, else the small one.

    Return None where there is neither.
    """
    pictures = review_picture_path(target, entry.source), audit_path(target, entry.source)
    return next((picture for picture in pictures if is_own(picture, target)), None)


def accept_slides(target: Path, slides: Sequence[str]) -> tuple[Review, ...]:
    """Record that a person has looked at these slides, all of them or none; return a review of each.

    A slide is named as in the report, or by the path of its source or its conversion. The next run may then
    take its source away like any other, provided that the acceptance could be written into the source tree
    too.

    >>> from wsicomp.batch import accept_slides
    >>> for review in accept_slides(Path("converted"), ["a/slide.svs"]):  # doctest: +SKIP
    ...     print(review.entry.source, review.unwritten or "accepted")

    Raises:
        LedgerError: the tree has no ledger, a batch is running, or a name is that of no slide or of several.
        KeptError: a slide has no conversion, or its source or conversion changed since it was drawn.
        SlideWriteError: the folder of the ledger cannot be written.
    """
    if not Ledger.is_there(target):
        raise LedgerError("has no ledger; no batch has written here", target)
    with lock_tree(target) as folder, Ledger(target) as ledger, open_log(folder) as log:
        trees = Trees(as_path(ledger.fact(SOURCE) or ""), target.absolute())
        known = {entry.source: entry for entry in ledger.entries() if entry.target}
        named = dict.fromkeys(_named(slide, known, trees) for slide in slides)
        reviews = tuple(_accepted(known[source], trees) for source in named)
        ledger.put(review.entry for review in reviews if review.is_new)
        for review in reviews:
            if review.is_new:
                log.info("%s: accepted (%s)", review.entry.source, review.entry.look)
        return tuple(replace(review, unwritten=_unwritten(review.entry, trees)) for review in reviews)


def find_tree(slide: str) -> Path:
    """Return the target tree in which the conversion `slide`, a path, lies.

    Raises:
        LedgerError: no folder above the conversion has a ledger.
    """
    path = Path(os.path.abspath(slide))  # noqa: PTH100 - links stay as they are
    for folder in path.parents:
        if Ledger.is_there(folder):
            return folder
    raise LedgerError("is in no tree that a batch wrote; name TARGET_DIR first, then the slides", slide)


def _named(slide: str, known: Mapping[str, Entry], trees: Trees) -> str:
    """Return the source of the one slide that a name means.

    Raises:
        LedgerError: the name fits no slide, or several.
    """
    found = {name for name in (slide, as_text(slide)) if name in known}
    by_target = {entry.target: source for source, entry in known.items()}
    for path in {os.path.abspath(slide), os.path.realpath(slide)}:  # noqa: PTH100 - as `find_tree`
        found.update(name for name in _below(path, trees.source) if name in known)
        found.update(by_target[name] for name in _below(path, trees.target) if name in by_target)
    if not found:
        raise LedgerError(
            f"has no slide {as_text(slide)}; name it as `wsicomp batch report` does", trees.target
        )
    if len(found) > 1:
        several = ", ".join(sorted(found))
        raise LedgerError(f"{as_text(slide)} may be one of {several}; give its whole path", trees.target)
    return found.pop()


def _below(path: str, tree: Path) -> Iterable[str]:
    """Return the path relative to a tree, as text, in a list; an empty list if it is outside."""
    roots = {os.path.abspath(tree), os.path.realpath(tree)}  # noqa: PTH100 - as `find_tree`
    return [as_text(Path(path).relative_to(root)) for root in roots if Path(path).is_relative_to(root)]


def _accepted(entry: Entry, trees: Trees) -> Review:
    picture = picture_of(trees.target, entry)
    if not entry.is_converted:
        raise KeptError(f"is {entry.state}, and has no conversion to look at", entry.source)
    if not entry.look or (entry.is_accepted and is_written(trees.source, entry)):
        return Review(entry, picture)
    _check_unchanged(entry, trees)
    held = entry.kept_cause == HELD_FOR_REVIEW
    seen = replace(
        entry,
        accepted=utc_now(),
        accepted_source=entry.source_sha256,
        accepted_target=entry.target_sha256,
        kept_because="" if held else entry.kept_because,
        kept_cause="" if held else entry.kept_cause,
    )
    return Review(replace(seen, state=State(seen.converted_state)), picture, is_new=True)


def _check_unchanged(entry: Entry, trees: Trees) -> None:
    """Check that source and conversion are still the files that the ledger describes.

    Raises:
        KeptError: one of the two files changed.
    """
    again = "run the batch again, then look at its new picture"
    source, target = trees.place_of(entry), trees.target_of(entry)
    facts = _facts(source)
    is_of_one_file = entry.stamp.count("-") == 1
    is_other = facts is not None and is_of_one_file and "{}-{}".format(*facts) != entry.stamp
    with suppress(SlideReadError):  # who may not read it releases nothing
        is_other = is_other or (facts is not None and slide_identity(source)[1] != entry.source_sha256)
    if is_other:
        raise KeptError(f"the source changed since it was converted: {again}", entry.source)
    is_same = _facts(target) == (entry.target_bytes, entry.target_mtime_ns)
    if not is_same or file_sha256(target) != entry.target_sha256:
        raise KeptError(f"the conversion is not the file that was written: {again}", entry.source)


def _unwritten(entry: Entry, trees: Trees) -> str:
    """Write an acceptance into the source tree; return why that failed, else ""."""
    if not entry.is_accepted or entry.removal == DELETED or is_written(trees.source, entry):
        return ""
    try:
        if not trees.source.is_absolute():
            return "the ledger does not say where that is"
        if slide_identity(trees.place_of(entry))[1] != entry.source_sha256:
            return "the source there is another file"
        write_acceptance(trees.source, entry)
    except (SlideReadError, SlideWriteError) as exc:
        return str(exc)
    return ""


def _facts(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
