"""`wsicomp batch`: a tree of slides overnight; `batch status` and `batch report` say what became of it.

`batch accept` records that a person has looked at a slide whose source waits for that, `batch rebuild` makes
a lost ledger anew.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from wsicomp.atomic import check_outputs
from wsicomp.batch import (
    BatchOptions,
    BatchReport,
    BatchResult,
    Entry,
    Ledger,
    Look,
    Stop,
    plan_batch,
    read_report,
    run_batch,
    write_csv,
    write_html,
)
from wsicomp.batch.acceptance import picture_of
from wsicomp.batch.ledger import HELD_FOR_LOOK, HELD_FOR_SAVING
from wsicomp.batch.monitoring import Heard, is_at_work, read_heartbeat
from wsicomp.batch.options import next_time
from wsicomp.batch.quarantine import held_back
from wsicomp.batch.quarantine_clock import DELETED, QUARANTINED, goes_by, is_overdue, seen_in
from wsicomp.batch.report import Note, outdated_text
from wsicomp.batch.source_records import Records, read_records
from wsicomp.batch.worklist import Worklist
from wsicomp.cli.batch_accept import ACCEPT, look_json, look_text, register_accept
from wsicomp.cli.batch_progress import batch_progress
from wsicomp.cli.batch_rebuild import REBUILD, register_rebuild
from wsicomp.cli.options import add_conversion_options, batch_options, parsed_config
from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.text import say, write_json
from wsicomp.formats.discovery import QUARANTINE
from wsicomp.text_format import as_bytes, as_duration, as_saving, counted

_DESCRIPTION = """\
Convert a tree of slides into another tree, and keep a ledger of what became of each.

Every slide below SOURCE_DIR gets its conversion at the same place below TARGET_DIR, verified; a rerun does
only what is missing or changed. Each slide is converted in a process of its own, so that one that crashes or
hangs costs itself alone. Sources are only read. TARGET_DIR/.wsicomp holds the ledger, a log that rotates, a
heartbeat (heartbeat.json) and pictures of what was removed.

A slide in which no tissue was found, or of which over 98 % of the area went, is in state "look": it is listed
first, with a picture of what went, and no option takes its source away until somebody has looked and said
`wsicomp batch accept`.

Ctrl-C or SIGTERM finishes the slides at hand and stops; a second one drops them. Either way nothing
half-written stays, and the same command goes on later."""

_EPILOG = """\
examples:
  wsicomp batch slides/ archive/ --preset archive-lossless     every source can be restored byte for byte
  wsicomp batch slides/ archive/ --dry-run                     what would be done
  wsicomp batch slides/ archive/ --until 06:30 --limit-rate 80 an evening's run beside others
  wsicomp batch slides/ archive/ --scheduler tcp://head:8786   on a Dask cluster that sees both folders
  wsicomp batch status archive/                                where it stands, also while it runs
  wsicomp batch report archive/ --html report.html             in the morning
  wsicomp batch accept archive/                                which slides a person has to look at
  wsicomp batch accept archive/ a/slide.svs                    somebody looked at this one: its source may go
  wsicomp batch rebuild archive/                               a lost or damaged ledger, from the targets

exit codes: 0 nothing failed (also with slides to look at), 1 a slide failed or had no room, 2 wrong usage,
130 stopped by a signal
a folder that is really called status, report, accept or rebuild: name it ./status
"""

_STATUS, _REPORT = "batch status", "batch report"
_ONE_SIGNAL_S = 0.5
_NAMED = 5
_LOOKS_NAMED, _STAY_NAMED, _NOTES_NAMED = 50, 20, 20


def spelled(arguments: Sequence[str]) -> list[str]:
    """The command line with `batch status` and its like as one word each, as the parser knows them."""
    given = list(arguments)
    if len(given) > 1 and f"{given[0]} {given[1]}" in (_STATUS, _REPORT, ACCEPT, REBUILD):
        given[:2] = [f"{given[0]} {given[1]}"]
    return given


def register(commands: Subparsers) -> None:
    """Add the five commands to the parser."""
    parser = add_command(
        commands,
        "batch",
        "convert a tree of slides, overnight",
        _DESCRIPTION,
        epilog=_EPILOG,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("source", metavar="SOURCE_DIR", type=Path, help="the tree of slides")
    parser.add_argument("target", metavar="TARGET_DIR", type=Path, help="the tree to write, made if need be")
    _add_tree_options(parser)
    _add_night_options(parser)
    _add_removal_options(parser)
    add_conversion_options(parser)
    parser.set_defaults(run=run_batch_command)

    status = add_command(
        commands, _STATUS, "where a batch stands", "Say where a batch stands, also while it runs."
    )
    status.add_argument("target", metavar="TARGET_DIR", type=Path, help="the tree that a batch writes")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=run_status)

    report = add_command(
        commands,
        _REPORT,
        "what a batch did",
        "Say what became of a tree of slides: totals, savings, failures by cause, and as a page also\n"
        "pictures of what was removed from each slide. The page needs nothing else and loads nothing.",
    )
    report.add_argument("target", metavar="TARGET_DIR", type=Path, help="the tree that a batch writes")
    report.add_argument("--html", type=Path, metavar="FILE", help="write one page, for a browser")
    report.add_argument("--csv", type=Path, metavar="FILE", help="write a table with a line for each slide")
    report.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON; - for stdout")
    report.add_argument("--thumbnails", type=int, metavar="N", default=300, help="pictures (default 300)")
    report.add_argument("--overwrite", action="store_true", help="replace these files if they exist")
    report.set_defaults(run=run_report)
    register_accept(commands)
    register_rebuild(commands)


def _add_tree_options(parser: argparse.ArgumentParser) -> None:
    tree = parser.add_argument_group("which slides")
    tree.add_argument(
        "--include",
        action="append",
        metavar="GLOB",
        help="only files whose name or path in SOURCE_DIR matches (again for more; default: by suffix)",
    )
    tree.add_argument("--exclude", action="append", metavar="GLOB", help="not those that match, as 'old/*'")
    tree.add_argument(
        "--retry-failed", action="store_true", help="try again what failed for reasons of its own, as damage"
    )
    tree.add_argument(
        "--recheck",
        action="store_true",
        help="hold every target against its SHA-256; make damaged ones again",
    )
    tree.add_argument(
        "--redo-outdated",
        action="store_true",
        help="convert again what was made with other defaults or by an older version",
    )
    tree.add_argument(
        "--source-moved", action="store_true", help="SOURCE_DIR is the same tree as before by another path"
    )
    tree.add_argument(
        "--name-key",
        type=Path,
        metavar="FILE",
        help="with --deidentify: name targets by digests; FILE, apart from both trees, says whose",
    )
    tree.add_argument(
        "--overwrite", action="store_true", help="replace files in TARGET_DIR that no batch wrote"
    )
    tree.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")


def _add_night_options(parser: argparse.ArgumentParser) -> None:
    default = BatchOptions()
    night = parser.add_argument_group("the night")
    night.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="slides at a time (default: as many as fit the cores and the memory)",
    )
    night.add_argument(
        "--workers", type=int, metavar="N", help="threads a slide (default: the cores shared among jobs)"
    )
    night.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler, tcp://HOST:8786; pip install 'wsicomp[distributed]'",
    )
    night.add_argument("--until", metavar="HH:MM", help="begin no slide after this time of day")
    night.add_argument("--max-failures", type=int, metavar="N", help="begin none after so many have failed")
    night.add_argument(
        "--limit-rate", type=float, metavar="MB/s", help="what all jobs together read and write at most"
    )
    night.add_argument(
        "--min-free",
        type=float,
        metavar="GB",
        help=f"begin no slide that could leave less on TARGET_DIR's disk (default {default.min_free:g})",
    )
    night.add_argument(
        "--stall-minutes",
        type=float,
        metavar="N",
        help=f"give up a slide that shows no progress for so long (default {default.stall_minutes:g})",
    )
    night.add_argument(
        "--json", action="store_true", help="a line of JSON for each slide and each minute, on stdout"
    )


def _add_removal_options(parser: argparse.ArgumentParser) -> None:
    default = BatchOptions()
    removal = parser.add_argument_group(
        "taking sources away", "only those that were read once more, whole, together with their target"
    )
    removal.add_argument(
        "--delete-source-after-verify",
        dest="delete_source",
        action="store_true",
        help="move sources that their targets can restore to SOURCE_DIR/.wsicomp-quarantine, delete later",
    )
    removal.add_argument(
        "--even-if-lossy", action="store_true", help="also those that their targets cannot restore"
    )
    removal.add_argument(
        "--quarantine-days",
        type=float,
        metavar="N",
        help="delete them, proved once more, by a run after so many days (default "
        f"{default.quarantine_days:g}; 0: in this run)",
    )
    removal.add_argument(
        "--min-saving",
        type=_percent,
        metavar="PERCENT",
        help="a source stays whose conversion saves less of it, or is larger (default "
        f"{default.min_saving:g}; a preset may hold it as min_saving)",
    )


def _percent(text: str) -> float:
    """A number of per cent, with or without the sign."""
    return float(text.strip().removesuffix("%"))


_percent.__name__ = "percent"  # as argparse names it where the text is no number


def run_batch_command(options: argparse.Namespace) -> int:
    """Convert a tree, or with `--dry-run` say what would be done."""
    given = vars(options)
    config = parsed_config(options, "batch")
    if config is None:
        return 2
    fields = BatchOptions.__dataclass_fields__
    values = batch_options(options) | {name: value for name, value in given.items() if name in fields}
    values |= {name: tuple(values[name]) for name in ("include", "exclude") if name in values}
    if "until" in values:
        values["until"] = next_time(values["until"], datetime.now())
    choices = BatchOptions(**values)
    as_json = "json" in given
    if "dry_run" in given:
        return _say_plan(options.source, options.target, config, choices, as_json)
    with _stopping() as stop, batch_progress(as_json) as callbacks:
        result = run_batch(options.source, options.target, config, choices, callbacks, stop)
    if as_json:
        print(json.dumps({"event": "end", **asdict(result)}), flush=True)
    else:
        say(*_result_text(result, options.target))
    if stop.requests:
        return 130
    return 0 if result.is_good else 1


@contextmanager
def _stopping() -> Iterator[Stop]:
    """Signals ask the run to stop instead of ending it."""
    stop = Stop()
    known = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    names = [name for name in known if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN]

    heard = 0.0

    def asked(*_: object) -> None:
        nonlocal heard
        before, heard = heard, time.monotonic()
        if heard - before < _ONE_SIGNAL_S:  # sent to the process and to its group, as `timeout` does
            return
        stop.request()
        more = "finishing the slides at hand; once more drops them" if stop.requests == 1 else "stopping now"
        with suppress(OSError):  # a terminal that is gone
            os.write(2, f"wsicomp batch: {more}\n".encode())  # print may be at work itself

    before = {name: signal.signal(getattr(signal, name), asked) for name in names}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _say_plan(source: Path, target: Path, config: Any, choices: BatchOptions, as_json: bool) -> int:
    survey, inventory = plan_batch(source, target, config, choices)
    size = sum(entry.source_bytes for entry in survey.due)
    looks = [Look(entry, picture_of(target, entry)) for entry in survey.looks]
    if as_json:
        due = [
            {"source": entry.source, "target": entry.target, "bytes": entry.source_bytes}
            for entry in survey.due
        ]
        suspects = [entry.source for entry in survey.suspects]
        write_json(
            {
                "look": [look_json(look) for look in looks],
                "due": due,
                "to_check": suspects,
                "links": inventory.links,
                "closed": inventory.closed,
            },
            None,
        )
        return 0
    for look in looks:
        say(*look_text(look))
    for entry in survey.due:
        say(f"{entry.source} -> {entry.target}, {as_bytes(entry.source_bytes)}")
    for link in inventory.links:
        say(f"{link}/: a link to a folder, not entered")
    for folder, reason in inventory.closed:
        say(f"{folder}/: cannot be read ({reason})")
    for line in _earlier(survey):
        say(line)
    if choices.delete_source:
        when = f"after {_days(choices.quarantine_days)}" if choices.quarantine_days else "by the same run"
        say(f"sources that are proved to be replaced would go to {source / QUARANTINE}, deleted {when}")
        records = read_records(source.absolute())
        for why, count in _held_back(target, choices, records).items():
            say(f"sources that would stay, {why}: {count}")
        for what, count in _quarantine(target, choices, records).items():
            say(f"sources in quarantine that {what}: {count}")
    slides, targets = counted(len(inventory.slides), "slide"), counted(len(survey.suspects), "target")
    say(
        f"would convert {len(survey.due)} of {slides}, {as_bytes(size)}, and check {targets}; "
        f"{counted(inventory.others, 'other file')}; nothing was written"
    )
    return 0


def _earlier(survey: Worklist) -> Iterator[str]:
    """What becomes of earlier conversions."""
    earlier = sum(1 for entry in survey.due if entry.target_sha256 or entry.stale_target)
    if earlier:
        yield f"{earlier} of them take the place of earlier conversions, as of other options"
    if survey.outdated:
        yield outdated_text(len(survey.outdated))


def _held_back(target: Path, choices: BatchOptions, records: Records) -> dict[str, int]:
    """Why sources of slides that are done would stay, and how many."""
    causes: Counter[str] = Counter()
    if Ledger.is_there(target):
        with Ledger(target, read_only=True) as ledger:
            known = map(records.of, ledger.entries())
            done = [entry for entry in known if entry.is_converted and entry.removal != DELETED]
        causes.update(held_back(entry, choices.min_saving)[0] for entry in done)
    words = {
        HELD_FOR_LOOK: "as nobody has looked",
        HELD_FOR_SAVING: f"as under {choices.min_saving:g} % were saved",
    }
    return {text: causes[cause] for cause, text in words.items() if causes[cause]}


def _quarantine(target: Path, choices: BatchOptions, records: Records) -> dict[str, int]:
    """What would become of sources in quarantine, and of how many."""
    held: list[Entry] = []
    if Ledger.is_there(target):
        with Ledger(target, read_only=True) as ledger:
            known = map(records.of, ledger.entries())
            found = [entry for entry in known if entry.removal == QUARANTINED and entry.is_converted]
        held = [entry for entry in found if not held_back(entry, choices.min_saving)[0]]
    days = choices.quarantine_days
    go = sum(is_overdue(seen_in(entry, days), days) for entry in held)
    counts = {"would be deleted, if the proof still holds": go, "would stay for their days": len(held) - go}
    return {text: count for text, count in counts.items() if count}


def _days(count: float) -> str:
    return f"{count:g} day{'' if count == 1 else 's'}"


def _quarantine_text(result: BatchResult) -> str:
    """What is in quarantine, and when it goes."""
    first, last = result.first_goes_days or 0.0, result.last_goes_days or 0.0
    when = f"not before {goes_by(first)}, after {_days(math.ceil(first * 10) / 10)} more"
    if goes_by(first) != goes_by(last):
        when += f", the last not before {goes_by(last)}"
    sources = counted(result.in_quarantine, "source")
    return (
        f"  in quarantine: {sources}, {as_bytes(result.quarantine_bytes)}; runs with "
        f"--delete-source-after-verify delete the first {when} (each run counts the time since the one "
        "before, at most a day)"
    )


def _room_text(result: BatchResult) -> str:
    """What slides need that had no room, and what there is."""
    kept = f", of which --min-free keeps {result.min_free:g} GB" if result.min_free else ""
    return (
        f"  the least of those without room needs {as_bytes(result.no_room_needs_bytes)}; the disk has "
        f"{as_bytes(result.no_room_free_bytes)} free{kept}"
    )


def _result_text(result: BatchResult, target: Path) -> list[str]:
    counts = {
        "converted": result.converted,
        "found done": result.adopted,
        "skipped": result.skipped,
        "failed": result.failed,
        "not begun for want of room on the disk": result.no_room,
    }
    nothing = "nothing was to be done" if result.why == "finished" else "no slide was finished"
    sources = {
        "moved into quarantine": result.quarantined,
        "deleted": result.deleted,
        "that was to go and stays" if result.kept == 1 else "that were to go and stay": result.kept,
    }
    some = [f"{count} {name}" for name, count in counts.items() if count]
    some += [f"{counted(count, 'source')} {what}" for what, count in sources.items() if count]
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
        lines.append(_room_text(result))
    if result.waiting or result.failures:
        again = "; --retry-failed tries again what failed for reasons of its own" if said == nothing else ""
        again = again if result.failures else ""
        lines.append(f"  in the whole tree: {result.failures} failed, {result.waiting} waiting{again}")
    if result.in_quarantine:
        lines.append(_quarantine_text(result))
    if result.nothing_removed:
        lines.append(f"  no source was taken away: {result.nothing_removed}")
    lines.append(f"  what became of each: wsicomp batch report {target} --html report.html")
    return lines


def run_status(options: argparse.Namespace) -> int:
    """Say where a batch stands."""
    report, beat = read_report(options.target), read_heartbeat(options.target)
    at_work = is_at_work(options.target)
    if options.json:
        write_json(
            {
                "at_work": at_work,
                "states": report.states,
                "saved": report.saved,
                "outdated": report.outdated,
                "heartbeat": beat,
            },
            None,
        )
        return 0
    states = ", ".join(f"{count} {state}" for state, count in report.states.items() if count) or "no slides"
    say(f"{options.target}: {states}")
    if report.look:
        say(f"  look at {len(report.look)}: wsicomp batch accept {shlex.quote(str(options.target))}")
    if report.source_bytes:
        sizes = f"{as_bytes(report.source_bytes)} -> {as_bytes(report.target_bytes)}"
        say(f"  {sizes}, {as_saving(report.saved)}")
    for removal, count in report.removals.items():
        say(f"  sources {removal}: {count}")
    if report.outdated:
        say(f"  {outdated_text(report.outdated)}")
    if not at_work:
        left = report.states["running"] + report.states["waiting"]
        say(
            "  no batch of this machine is at work"
            + (f"; run it again for {counted(left, 'slide')}" if left else "")
        )
    elif beat is None:
        say("  at work; its heartbeat cannot be read, and is written anew every few seconds")
    else:
        _say_heartbeat(Heard.of(beat))
    return 0


def _say_heartbeat(heard: Heard) -> None:
    eta = "" if heard.eta_s is None else f", about {as_duration(heard.eta_s)} to go"
    say(f"  at work since {as_duration(heard.elapsed_s)} (as of {heard.time}){eta}")
    for name, (stage, done, total) in heard.running.items():
        say(f"    {name}: {stage} {done} of {total}")


def run_report(options: argparse.Namespace) -> int:
    """Print the report, or write it as page, table or JSON."""
    to_stdout = str(options.json) == "-"
    named = [path for path in (options.html, options.csv, None if to_stdout else options.json) if path]
    check_outputs(named, Ledger.files(options.target), options.overwrite)
    report = read_report(options.target)
    if options.html:
        write_html(options.target, options.html, options.overwrite, options.thumbnails)
    if options.csv:
        write_csv(options.target, options.csv, options.overwrite)
    if options.json:
        write_json(report.to_json(), options.json, options.overwrite)
    for path in named:
        say(f"wrote {path}", file=sys.stderr)
    if to_stdout:
        return 0
    say(*_report_text(options.target, report))
    return 0


def _whose(note: Note) -> str:
    return note.sources[0] if note.count == 1 else f"{note.count} slides"


def _report_text(target: Path, report: BatchReport) -> list[str]:
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
