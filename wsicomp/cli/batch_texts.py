"""The lines that `wsicomp batch` prints about a run and about a whole tree."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from wsicomp.batch import BatchReport, BatchResult
from wsicomp.batch.quarantine_clock import earliest_deletion_day
from wsicomp.batch.report import Note, kept_reasons
from wsicomp.errors import LedgerError
from wsicomp.formats.discovery import ORPHANS_ALONE
from wsicomp.text.figures import as_bytes, as_duration, as_saving, counted

_NAMED = 5
_STAYS = ("stay", "stays")
_LOOKS_NAMED, _STAY_NAMED, _NOTES_NAMED = 50, 20, 20


def days_text(count: float) -> str:
    """Return a number of days in words."""
    return f"{count:g} day{'' if count == 1 else 's'}"


def _quarantine_text(result: BatchResult) -> str:
    """Return how many sources are in quarantine, and when they can be deleted."""
    first, last = result.first_goes_days or 0.0, result.last_goes_days or 0.0
    when = f"not before {earliest_deletion_day(first)}, after {days_text(math.ceil(first * 10) / 10)} more"
    if earliest_deletion_day(first) != earliest_deletion_day(last):
        when += f", the last not before {earliest_deletion_day(last)}"
    sources = counted(result.in_quarantine, "source")
    return (
        f"  in quarantine: {sources}, {as_bytes(result.quarantine_bytes)}, in {result.quarantine}; runs with "
        f"--delete-source-after-verify delete the first {when} (each run counts the time since the one "
        "before, at most a day)"
    )


def room_text(needs_bytes: int, free_bytes: int, min_free_gb: float) -> str:
    """Return the space that the smallest needs of what had too little, and what is free."""
    kept = f", of which --min-free keeps {min_free_gb:g} GB" if min_free_gb else ""
    needs, free = as_bytes(needs_bytes), as_bytes(free_bytes)
    return f"  the smallest of these needs {needs}; the disk has {free} free{kept}"


def _kept_text(result: BatchResult) -> str:
    """Return what is where after a run, whatever ended it."""
    moved = result.quarantine or result.quarantined or result.deleted
    sources = "all sources but those taken away" if moved else "every source, as it was"
    return (
        f"  kept: {sources}, in {result.source}; {counted(result.targets, 'whole target')} in {result.target}"
    )


def _kept_reasons_text(target: Path) -> list[str]:
    """Return a line for each reason why sources stay that were to go; none where the ledger is gone."""
    try:
        reasons = kept_reasons(target)
    except LedgerError:
        return []
    lines = [f"  {counted(count, 'source')} {_STAYS[count == 1]}: {why}" for why, count in reasons[:_NAMED]]
    more = sum(count for _, count in reasons[_NAMED:])
    return [*lines, f"  and {more} for other reasons, which the report lists"] if more else lines


def result_text(result: BatchResult, target: Path) -> list[str]:
    """Return the lines of text about a run."""
    counts = {
        "converted": result.converted,
        "found done": result.adopted,
        "skipped": result.skipped,
        "failed": result.failed,
        "not begun: too little space on the disk": result.no_room,
    }
    nothing = "nothing was to be done" if result.why == "finished" else "no slide was finished"
    sources = {
        "moved into quarantine": result.quarantined,
        "deleted": result.deleted,
        "that was to go and stays" if result.kept == 1 else "that were to go and stay": result.kept,
    }
    some = [f"{count} {name}" for name, count in counts.items() if count]
    some += [f"{counted(count, 'source')} {what}" for what, count in sources.items() if count]
    if result.carried:
        some.append(
            f"{counted(result.carried, 'file')} carried as they are ({as_bytes(result.carried_bytes)})"
        )
    said = ", ".join(some) or nothing
    why = "" if result.why == "finished" else f"; ended early: {result.why}"
    lines = []
    if result.look:
        lines.append(
            f"look at {result.look} of these slides before their sources may go: "
            f"wsicomp batch accept {shlex.quote(str(target))}"
        )
    lines.append(f"{target}: {said} in {as_duration(result.elapsed_s)}{why}")
    if result.no_room:
        lacking = result.no_room_needs_bytes, result.no_room_free_bytes
        lines.append(room_text(*lacking, result.min_free))
    if result.waiting or result.failures:
        again = "; --retry-failed tries again what failed for reasons of its own" if said == nothing else ""
        again = again if result.failures else ""
        lines.append(f"  in the whole tree: {result.failures} failed, {result.waiting} waiting{again}")
    lines.append(_kept_text(result))
    if result.kept:
        lines += _kept_reasons_text(target)
    if result.left_out_what:
        lines.append(left_out_text(result.left_out_what))
    if result.uncarried:
        lines.append(f"  {counted(result.uncarried, 'file')} could not be carried; the report says why")
    lines += _removal_text(result)
    lines.append(f"  what became of each: wsicomp batch report {target} --html report.html")
    return lines


def _removal_text(result: BatchResult) -> list[str]:
    """Return the lines about sources in quarantine, and why none was taken away."""
    lines = []
    if result.in_quarantine:
        lines.append(_quarantine_text(result))
    elif result.quarantine:
        lines.append(f"  in quarantine: sources that stay there, in {result.quarantine}; the report says why")
    if result.nothing_removed:
        lines.append(f"  no source was taken away: {result.nothing_removed}")
    return lines


def left_out_text(what: str) -> str:
    """Return the line about what a run leaves out, which `what` says in words."""
    if what.startswith(ORPHANS_ALONE):
        return f"  left out, as no slides: {what}"
    return f"  left out, as no slides: {what}; `carry_others=True` copies them"


def _whose(note: Note) -> str:
    return note.sources[0] if note.count == 1 else f"{note.count} slides"


def _carried_text(report: BatchReport) -> list[str]:
    files = counted(report.carried_files, "file")
    lines = (
        [f"  carried as they are: {files}, {as_bytes(report.carried_bytes)}"] if report.carried_files else []
    )
    lines += [f"    not carried, {one.source}: {one.error}" for one in report.uncarried[:_STAY_NAMED]]
    more = len(report.uncarried) - _STAY_NAMED
    return [*lines, f"    and {more} more that are not carried, which --json lists"] if more > 0 else lines


def report_text(target: Path, report: BatchReport) -> list[str]:
    """Return the lines of text about a whole tree."""
    states = ", ".join(f"{count} {state}" for state, count in report.states.items() if count) or "no slides"
    sizes = f"{as_bytes(report.source_bytes)} -> {as_bytes(report.target_bytes)}"
    lines = [f"{target}: {states}; {sizes}, {as_saving(report.saved)}"]
    for entry in report.look[:_LOOKS_NAMED]:
        lines.append(f"  look at it, {entry.source}: {entry.look}")
        if report.pictures[entry.source]:
            lines.append(f"    what was removed: {report.pictures[entry.source]}")
    if len(report.look) > _LOOKS_NAMED:
        lines.append(
            f"    and {len(report.look) - _LOOKS_NAMED} more to look at: wsicomp batch accept {target}"
        )
    for cause in report.causes:
        lines.append(f"  failed, {cause.cause}: {cause.count}")
        lines += [f"    {entry.shown}: {entry.error}" for entry in cause.entries[:_NAMED]]
        lines += [f"    and {cause.count - _NAMED} more"] if cause.count > _NAMED else []
    lines += [left_out_text(report.left_out)] if report.left_out else []
    lines += _carried_text(report)
    lines += [f"  skipped, {cause.cause}: {cause.count}" for cause in report.skips]
    lines += [f"  sources {removal}: {count}" for removal, count in report.removals.items()]
    lines += [f"  source stays, {entry.source}: {entry.kept_because}" for entry in report.kept[:_STAY_NAMED]]
    if report.kept_count > _STAY_NAMED:
        lines.append(f"    and {report.kept_count - _STAY_NAMED} more that stay, which --csv lists")
    lines += [f"  note of {_whose(note)}: {note.note}" for note in report.notes[:_NOTES_NAMED]]
    if len(report.notes) > _NOTES_NAMED:
        lines.append(
            f"    and {counted(len(report.notes) - _NOTES_NAMED, 'more note')}, which --csv and --html have"
        )
    return lines
