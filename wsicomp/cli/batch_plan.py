"""`wsicomp batch --dry-run`: what a run would do now."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsicomp.batch import BatchOptions, Entry, Ledger, Review, plan_batch
from wsicomp.batch.acceptance import picture_of
from wsicomp.batch.entry import HELD_FOR_REVIEW, HELD_FOR_SAVING
from wsicomp.batch.quarantine import reason_to_keep
from wsicomp.batch.quarantine_clock import DELETED, QUARANTINED, count_run_in_quarantine, is_overdue
from wsicomp.batch.report import outdated_text
from wsicomp.batch.source_records import Records, read_records
from wsicomp.batch.worklist import Worklist
from wsicomp.cli.batch_accept import review_json, review_text
from wsicomp.cli.batch_texts import days_text, left_out_text
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.config import ConversionConfig
from wsicomp.formats.discovery import QUARANTINE, FoundSlide, Inventory
from wsicomp.progress import no_progress
from wsicomp.text.figures import as_bytes, as_duration, as_saving, counted
from wsicomp.text.paths import as_path

if TYPE_CHECKING:
    from wsicomp.comparison.forecast import Foretold
    from wsicomp.comparison.tree_forecast import TreeForecast

_CARRIED = (
    "other files that are new or changed, and slides that cannot be converted, would be copied as they are"
)


def say_plan(
    source: Path,
    target: Path,
    config: ConversionConfig,
    options: BatchOptions,
    as_json: bool,
    estimated: int,
    opening: Sequence[str] = (),
) -> int:
    """Print the slides that a run would convert and the sources that it would take away; write nothing.

    What conversions will be is foretold of about `estimated` slides, and from them of all. The lines of
    `opening` are printed on stderr before that, once the plan is made. Return exit code 0.
    """
    worklist, inventory = plan_batch(source, target, config, options)
    say(*opening, file=sys.stderr)
    reviews = [Review(entry, picture_of(target, entry)) for entry in worklist.to_review]
    forecast = _forecast(source, worklist, config, estimated)
    if as_json:
        values = {"forecast": None if forecast is None else forecast.to_json()}
        write_json(_plan_json(worklist, inventory, reviews) | values, None)
        return 0
    for review in reviews:
        say(*review_text(review))
    sources = _source_lines(source, target, options) if options.delete_source else ()
    what = str(inventory.left_out)
    others = (*((left_out_text(what),) if what else ()), *((_CARRIED,) if options.carry_others else ()))
    said = (*_slide_lines(worklist, inventory), *sources, *others)
    say(*said, *_forecast_lines(forecast), _sum_line(worklist, inventory))
    return 0


def _forecast(source: Path, worklist: Worklist, config: ConversionConfig, count: int) -> TreeForecast | None:
    """Return what is foretold of the slides that are due; None where none is, or none is asked for."""
    due = [entry for entry in worklist.due if entry.source not in worklist.other_names]
    slides = [FoundSlide(entry.source, entry.source_bytes, entry.stamp) for entry in due]
    if not slides or not count:
        return None
    from wsicomp.comparison.tree_forecast import forecast_tree

    with progress_bars() as show:
        progress = no_progress if show is None else partial(show, "estimate")
        targets = [as_path(entry.target) for entry in due]
        return forecast_tree(source, slides, targets, config, count, progress)


def _forecast_lines(forecast: TreeForecast | None) -> Iterator[str]:
    """Yield a table of the slides that were foretold, and the total."""
    from wsicomp.comparison.archive_text import missed_note

    if forecast is None:
        return
    yield f"foretold of {counted(len(forecast.slides), 'slide')}:"
    rows = [_forecast_row(one.source, one.found) for one in forecast.slides if one.found is not None]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    yield from (f"  {one.source}  would fail: {one.error}" for one in forecast.slides if one.error)
    opens = Counter(one.found.outcome.opens_in or "" for one in forecast.slides if one.found is not None)
    yield from (f"  opens in ({counted(number, 'slide')}): {text}" for text, number in opens.most_common())
    yield (
        f"in all: {'roughly ' if forecast.is_rough else ''}{_saved_text(forecast)}, in "
        f"about {as_duration(forecast.seconds)} on this machine"
    )
    if forecast.standing and not forecast.is_rough:
        yield f"  {missed_note(forecast.standing)}"
    if forecast.unmeasured_bytes:
        yield f"  not foretold: {as_bytes(forecast.unmeasured_bytes)} more; --estimate N looks at more slides"


def _saved_text(forecast: TreeForecast) -> str:
    """Return how much is saved of all bytes, or how much larger they become, with the ends of the range."""
    ends = forecast.saved_bytes_low, forecast.saved_bytes_high
    low, high = (as_saving(end / (forecast.bytes or 1)) for end in ends)
    size, (first, last) = as_bytes(forecast.bytes), (low.rpartition(" ")[2], high.rpartition(" ")[2])
    if first != last:
        return f"between {low} and {high}, of {size}"
    low, high = (text.removesuffix(f" % {last}") for text in (low, high))
    low, high = (low, high) if last == "saved" else (high, low)
    between = f"{low} %" if low == high else f"{low} to {high} %"
    return f"{between} of {size} saved" if last == "saved" else f"{between} larger than the {size} now"


def _forecast_row(source: str, found: Foretold) -> tuple[str, ...]:
    """Return a slide's cells: source, size, saved, tissue, whether it comes back."""
    about = "" if not found.made_tiles else "about "
    target_bytes = found.source_bytes if found.takes_source else found.target_bytes
    size = f"{as_bytes(found.source_bytes)} -> {about}{as_bytes(target_bytes)}"
    outcome = found.outcome
    tissue = f"LOSSY, {outcome.lossy_codec}" if outcome.is_lossy else str(outcome.tissue)
    back = "reversible" if outcome.reversible else "not reversible"
    back = "the source itself, as nothing is gained" if found.takes_source else back
    return source, size, as_saving(found.saved), tissue, back


def _sum_line(worklist: Worklist, inventory: Inventory) -> str:
    slides, targets = counted(len(inventory.slides), "slide"), counted(len(worklist.suspects), "target")
    size = sum(entry.source_bytes for entry in worklist.due)
    refused = "; a run is refused, and with `reconvert=True` replaces them" if worklist.replaced else ""
    return (
        f"would convert {len(worklist.due)} of {slides}, {as_bytes(size)}, and check {targets}; "
        f"{counted(inventory.others, 'other file')}; nothing was written{refused}"
    )


def _plan_json(worklist: Worklist, inventory: Inventory, reviews: Sequence[Review]) -> dict[str, Any]:
    due = [
        {"source": entry.source, "target": entry.target, "bytes": entry.source_bytes}
        for entry in worklist.due
    ]
    return {
        "look": [review_json(review) for review in reviews],
        "due": due,
        "replaced": [entry.source for entry in worklist.replaced],
        "to_check": [entry.source for entry in worklist.suspects],
        "links": inventory.links,
        "closed": inventory.closed,
        "missing": inventory.missing,
        "left_out": inventory.left_out.files,
        "left_out_what": str(inventory.left_out),
    }


def _slide_lines(worklist: Worklist, inventory: Inventory) -> Iterator[str]:
    for entry in worklist.due:
        first = worklist.other_names.get(entry.source)
        copied = "" if first is None else f", copied from that of {first}, the same file"
        yield f"{entry.source} -> {entry.target}, {as_bytes(entry.source_bytes)}{copied}"
    for link in inventory.links:
        yield f"{link}/: a link to a folder, not entered"
    for folder, reason in inventory.closed:
        yield f"{folder}/: cannot be read ({reason})"
    earlier = sum(1 for entry in worklist.due if entry.target_sha256 or entry.stale_target)
    if earlier:
        yield f"{earlier} of them replace earlier conversions, such as with other options"
    if worklist.replaced:
        count = len(worklist.replaced)
        yield f"{count} of these were made by other options: a run replaces them with `reconvert=True` only"
    for name, reason in inventory.missing:
        yield f"{name}: {reason}"
    if worklist.outdated:
        yield outdated_text(len(worklist.outdated))


def _source_lines(source: Path, target: Path, options: BatchOptions) -> Iterator[str]:
    """Yield lines about what would become of sources whose conversion replaces them."""
    when = f"after {days_text(options.quarantine_days)}" if options.quarantine_days else "by the same run"
    yield f"sources that are proved to be replaced would go to {source / QUARANTINE}, deleted {when}"
    converted = _converted(target, read_records(source.absolute()))
    for why, count in _reasons_to_keep(converted, options.min_saving).items():
        yield f"sources that would stay, {why}: {count}"
    for what, count in _quarantine(converted, options.min_saving, options.quarantine_days).items():
        yield f"sources in quarantine that {what}: {count}"


def _converted(target: Path, records: Records) -> list[Entry]:
    """Return the slides of the ledger that have a conversion, with what the source tree records of them."""
    if not Ledger.is_there(target):
        return []
    with Ledger(target, read_only=True) as ledger:
        return [entry for entry in map(records.apply_to, ledger.entries()) if entry.is_converted]


def _reasons_to_keep(converted: Iterable[Entry], min_saving: float) -> dict[str, int]:
    """Return why sources of converted slides would stay, and how many."""
    there = (entry for entry in converted if entry.removal != DELETED)
    causes = Counter(reason_to_keep(entry, min_saving)[0] for entry in there)
    words = {
        HELD_FOR_REVIEW: "as nobody has looked",
        HELD_FOR_SAVING: f"as under {min_saving:g} % were saved",
    }
    return {text: causes[cause] for cause, text in words.items() if causes[cause]}


def _quarantine(converted: Iterable[Entry], min_saving: float, days: float) -> dict[str, int]:
    """Return what would become of sources in quarantine, and how many."""
    inside = (entry for entry in converted if entry.removal == QUARANTINED)
    held = [entry for entry in inside if not reason_to_keep(entry, min_saving)[0]]
    go = sum(is_overdue(count_run_in_quarantine(entry, days), days) for entry in held)
    counts = {"would be deleted, if the proof still holds": go, "would stay for their days": len(held) - go}
    return {text: count for text, count in counts.items() if count}
