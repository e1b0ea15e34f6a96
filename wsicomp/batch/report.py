"""The morning report: what a ledger says, as figures, as a page, and as a table of all slides."""

from __future__ import annotations

import base64
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from wsicomp.batch.acceptance import picture_of
from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import HELD_FOR_REVIEW, HELD_FOR_SAVING, Entry, State
from wsicomp.batch.ledger import CONVERTED, Ledger
from wsicomp.batch.ledger_files import LEFT_OUT, OPTIONS, SOURCE, audit_path
from wsicomp.conversion.outcome import Tissue
from wsicomp.files.atomic import check_output
from wsicomp.files.folders import read_own
from wsicomp.files.tables import csv_lines, write_rows, write_text
from wsicomp.progress import utc_now
from wsicomp.text.html import rendered
from wsicomp.version import SOFTWARE

_LISTED = 20
_OF_A_CAUSE = 200
_THUMBNAILS = 300
_PICTURE_BYTES = 1_000_000
"""No small picture is as large."""
_EVENTS = "rescued_tiles > 0 OR flawed_tiles > 0 OR lost_tiles > 0 OR fell_back_tiles > 0"
_COUNT_EVENTS = f"SELECT count(*) FROM slides WHERE {CONVERTED} AND ({_EVENTS})"  # noqa: S608
_SUMS = (
    "SELECT total(source_bytes), total(target_bytes), total(elapsed_s), total(tiles), "  # noqa: S608
    f"total(removed_tiles), total(restorable) FROM slides WHERE {CONVERTED}"
)
_COUNT_KEPT = f"SELECT count(*) FROM slides WHERE {CONVERTED} AND kept_because != ''"  # noqa: S608
_SUM_WAITING = "SELECT total(source_bytes) FROM slides WHERE state IN ('waiting', 'running')"
_FIRSTS = {
    "slowest": f"NOT adopted ORDER BY elapsed_s DESC LIMIT {_LISTED}",
    "savings": f"source_bytes > target_bytes ORDER BY source_bytes - target_bytes DESC LIMIT {_LISTED}",
    "growths": (
        f"source_bytes * 1.0005 < target_bytes ORDER BY target_bytes - source_bytes DESC LIMIT {_LISTED}"
    ),
    "events": (
        f"({_EVENTS}) ORDER BY lost_tiles DESC, flawed_tiles DESC, "
        f"rescued_tiles + fell_back_tiles DESC LIMIT {_LISTED}"
    ),
    "kept": f"kept_because != '' ORDER BY kept_cause, source LIMIT {_OF_A_CAUSE}",
}
"""The SQL conditions of the lists of converted slides, by the report's fields."""
_NOT_IN_TABLE = ("trace",)
_COMES_BACK = "(restorable OR source_sha256 = target_sha256)"
"""Whether a target gives its source back: it holds it, or is it."""


@dataclass(frozen=True)
class Cause:
    """Failures of one cause."""

    cause: str
    """The cause, a fixed word."""
    count: int
    """How many slides failed for it."""
    entries: tuple[Entry, ...]
    """The first of them."""


@dataclass(frozen=True)
class Note:
    """A note that conversions of the batch made."""

    note: str
    """The note, in words."""
    count: int
    """How many slides have it."""
    sources: tuple[str, ...]
    """The sources of these slides."""


@dataclass(frozen=True)
class OutcomeGroup:
    """Conversions that did the same to their slides."""

    tissue: str
    """What became of tissue; "" where an earlier version did not record it."""
    opens_in: str
    """Which of the programs tried open them; "" where they were not verified."""
    reversible: bool
    """Whether they give their sources back, byte for byte."""
    count: int
    """How many slides they are."""
    least_ssim: float | None
    """The least SSIM of a tile of lossy tissue, of all of them; None where none was measured."""
    sources: tuple[str, ...]
    """The first of their sources."""


@dataclass(frozen=True)
class BatchReport:
    """A tree of slides as its ledger has it; its fields are the names in JSON.

    Bytes and tiles are sums over all slides that have a conversion. Lists of slides are limited in length,
    unless they say otherwise.
    """

    look: tuple[Entry, ...]
    """All slides that a person has to look at before their sources may go."""
    pictures: dict[str, str]
    """By source of these slides: the path of the picture of what was removed, "" where there is none."""
    source: str
    """The source tree."""
    target: str
    """The target tree."""
    made: str
    """When the report was made, UTC."""
    software: str
    """Name and version of the program that made it."""
    states: dict[str, int]
    """How many slides are in each state."""
    source_bytes: int
    """Bytes of the sources."""
    target_bytes: int
    """Bytes of the conversions."""
    waiting_bytes: int
    """Bytes of the sources that wait for conversion."""
    projected_bytes: int | None
    """Bytes that these will take if they save as the others did; None where nothing is converted."""
    elapsed_s: float
    """Seconds of conversion, summed up."""
    tiles: int
    """Tiles of all levels."""
    removed_tiles: int
    """Tiles that were removed as glass."""
    restorable: int
    """Slides whose source can be restored byte for byte."""
    removals: dict[str, int]
    """How many sources are in quarantine, and how many were deleted."""
    causes: tuple[Cause, ...]
    """Failures by cause."""
    skips: tuple[Cause, ...]
    """Skipped slides by cause."""
    slowest: tuple[Entry, ...]
    """The slides that took longest."""
    savings: tuple[Entry, ...]
    """The slides that save most bytes."""
    growths: tuple[Entry, ...]
    """Slides whose conversion is larger than the source."""
    events: tuple[Entry, ...]
    """Slides with tiles that the guard kept, that were damaged or lost in the source, or that fell back."""
    event_count: int
    """How many such slides there are."""
    kept: tuple[Entry, ...]
    """Sources that were to be deleted and stay."""
    kept_count: int
    """How many such sources there are."""
    outdated: int
    """Converted slides that were made with other defaults or an older version."""
    notes: tuple[Note, ...]
    """The notes of all conversions."""
    outcomes: tuple[OutcomeGroup, ...]
    """What conversions did to their slides: lossy ones first, then the most frequent."""
    options: str = ""
    """The options of the last run, in one line: the preset that they follow, then the others."""
    left_out: str = ""
    """Files that the last run left out as no slides, in words: how many have which suffix."""
    carried_files: int = 0
    """Files that lie in the target tree as they are."""
    carried_bytes: int = 0
    """Bytes of these files."""
    uncarried: tuple[Carried, ...] = ()
    """All files that were to be carried and are not, or not as they are now, with the reason; links, too."""

    @property
    def slides(self) -> int:
        """The number of slides in the ledger."""
        return sum(self.states.values())

    @property
    def saved(self) -> float:
        """The part of the converted sources' bytes that was saved, at most 1.

        It is negative where the conversions are larger, 0 where there are none.
        """
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values by the names of its fields, without traces."""
        values = asdict(self, dict_factory=entry_values)
        return {**values, "slides": self.slides, "saved": self.saved}


def entry_values(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of an entry as JSON values: its notes as a list, and no trace."""
    return {
        name: list(filter(None, value.split("\n"))) if name == "notes" and type(value) is str else value
        for name, value in pairs
        if name != "trace"
    }


def read_report(target: Path) -> BatchReport:
    """Return what became of a tree until now; also while a run goes on.

    >>> from wsicomp.batch import read_report
    >>> report = read_report(Path("converted"))  # doctest: +SKIP
    >>> report.slides, report.states["failed"]  # doctest: +SKIP
    (20, 0)

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with Ledger(target, read_only=True) as ledger:
        return BatchReport(
            source=ledger.fact(SOURCE) or "",
            target=str(target),
            options=ledger.fact(OPTIONS) or "",
            left_out=ledger.fact(LEFT_OUT) or "",
            made=utc_now(),
            software=SOFTWARE,
            outdated=_outdated(ledger),
            notes=tuple(_notes(ledger)),
            outcomes=tuple(_outcomes(ledger)),
            **_counts(ledger),
            **_sums(ledger),
            **_lists(ledger, target),
            **_carried(ledger),
        )


def _counts(ledger: Ledger) -> dict[str, Any]:
    """Return how many slides and sources are in each state."""
    states = ledger.figures("SELECT state, count(*) FROM slides WHERE target != '' GROUP BY state")
    removals = ledger.figures("SELECT removal, count(*) FROM slides WHERE removal != '' GROUP BY removal")
    ((event_count,),) = ledger.figures(_COUNT_EVENTS)
    ((kept_count,),) = ledger.figures(_COUNT_KEPT)
    return {
        "states": {str(state): 0 for state in State} | dict(states),
        "removals": dict(removals),
        "event_count": event_count,
        "kept_count": kept_count,
    }


def _sums(ledger: Ledger) -> dict[str, Any]:
    """Return the sums over all conversions, and what waits."""
    ((source_bytes, target_bytes, elapsed_s, tiles, removed, restorable),) = ledger.figures(_SUMS)
    ((waiting,),) = ledger.figures(_SUM_WAITING)
    return {
        "source_bytes": int(source_bytes),
        "target_bytes": int(target_bytes),
        "waiting_bytes": int(waiting),
        "projected_bytes": round(waiting * target_bytes / source_bytes) if source_bytes else None,
        "elapsed_s": elapsed_s,
        "tiles": int(tiles),
        "removed_tiles": int(removed),
        "restorable": int(restorable),
    }


def _lists(ledger: Ledger, target: Path) -> dict[str, Any]:
    """Return the lists of slides."""
    look = tuple(ledger.entries(f"WHERE state = '{State.LOOK}' ORDER BY source"))
    firsts = {
        name: tuple(ledger.entries(f"WHERE {CONVERTED} AND {where}")) for name, where in _FIRSTS.items()
    }
    return {
        "look": look,
        "pictures": {entry.source: str(picture_of(target, entry) or "") for entry in look},
        "causes": tuple(_causes(ledger, State.FAILED)),
        "skips": tuple(_causes(ledger, State.SKIPPED)),
        **firsts,
    }


def _carried(ledger: Ledger) -> dict[str, Any]:
    """Return what was carried as it is, and what was not."""
    records = list(ledger.carried().values())
    there = [record for record in records if record.sha256]
    return {
        "carried_files": len(there),
        "carried_bytes": sum(record.bytes for record in there),
        "uncarried": tuple(record for record in records if record.error),
    }


def outdated_text(count: int) -> str:
    """Return the line about `count` finished slides that have other defaults or an older version."""
    were = "slide was" if count == 1 else "slides were"
    return (
        f"{count} finished {were} made with other defaults or an older version; `redo_outdated=True` "
        f"converts {'it' if count == 1 else 'them'} again"
    )


def _outdated(ledger: Ledger) -> int:
    """Return how many converted slides, source still there, other defaults or an older version made."""
    records = ledger.settings()
    query = f"SELECT settings, count(*) FROM slides WHERE {CONVERTED} AND removal = '' GROUP BY settings"  # noqa: S608
    return sum(
        count
        for digest, count in ledger.figures(query)
        if digest and (digest not in records or records[digest].is_outdated())
    )


def _notes(ledger: Ledger) -> Iterator[Note]:
    """Yield every note of every conversion with its slides, the most frequent first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    query = f"SELECT source, notes FROM slides WHERE {CONVERTED} AND notes != '' ORDER BY source"  # noqa: S608
    for source, notes in ledger.figures(query):
        for note in dict.fromkeys(filter(None, notes.split("\n"))):
            found[note].append(source)
    for note, sources in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        yield Note(note, len(sources), tuple(sources))


def _outcomes(ledger: Ledger) -> Iterator[OutcomeGroup]:
    rows = ledger.figures(
        f"SELECT tissue, opens_in, {_COMES_BACK}, count(*), min(nullif(least_ssim, 0)) FROM slides "  # noqa: S608
        f"WHERE {CONVERTED} GROUP BY 1, 2, 3 ORDER BY tissue = '{Tissue.LOSSY}' DESC, count(*) DESC, 1, 2, 3"
    )
    for tissue, opens_in, comes_back, count, least_ssim in rows:
        where = f"WHERE {CONVERTED} AND tissue = ? AND opens_in = ? AND {_COMES_BACK} = ? ORDER BY source"
        alike = ledger.entries(f"{where} LIMIT {_LISTED}", (tissue, opens_in, comes_back))
        sources = tuple(entry.source for entry in alike)
        yield OutcomeGroup(tissue, opens_in, bool(comes_back), count, least_ssim, sources)


def _causes(ledger: Ledger, state: State) -> Iterator[Cause]:
    rows = ledger.figures(
        f"SELECT cause, count(*) FROM slides WHERE state = '{state}' "  # noqa: S608 - one of ours
        "GROUP BY cause ORDER BY count(*) DESC, cause"
    )
    for cause, count in rows:
        where = f"WHERE state = ? AND cause = ? ORDER BY source LIMIT {_OF_A_CAUSE}"
        yield Cause(cause, count, tuple(ledger.entries(where, (str(state), cause))))


def write_csv(target: Path, path: Path, overwrite: bool = False) -> None:
    """Write a table of all slides, one line each, with the names of `Entry`'s fields as its head.

    Slides that a person has to look at come first.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
        SlideWriteError: the file cannot be written, or exists and `overwrite` is False.
    """
    check_output(path, (), overwrite)
    write_rows(path, _table(target), overwrite)


def report_csv(target: Path) -> Iterator[str]:
    """Yield the lines of the table that `write_csv` writes.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    return csv_lines(_table(target))


def _table(target: Path) -> Iterator[list[object]]:
    names = [field.name for field in fields(Entry) if field.name not in _NOT_IN_TABLE]
    with Ledger(target, read_only=True) as ledger:
        yield [*names, "saved"]
        for entry in ledger.entries():
            yield [*attrgetter(*names)(entry), round(entry.saved, 6)]


def kept_reasons(target: Path) -> list[tuple[str, int]]:
    """Return why sources of a tree stay that were to be deleted, with how many each, the most frequent first.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    words = {
        HELD_FOR_REVIEW: "nobody has looked at their conversions",
        HELD_FOR_SAVING: "their conversions save too little, or nothing",
    }
    why = "CASE kept_cause WHEN '' THEN kept_because ELSE '' END"
    query = (
        f"SELECT kept_cause, {why}, count(*) FROM slides WHERE {CONVERTED} AND removal != 'deleted' "  # noqa: S608
        "AND kept_because != '' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    )
    with Ledger(target, read_only=True) as ledger:
        return [(words.get(cause, because), count) for cause, because, count in ledger.figures(query)]


def write_html(target: Path, path: Path, overwrite: bool = False, thumbnails: int = _THUMBNAILS) -> None:
    """Write the report as one page that needs no other file, with at most `thumbnails` pictures of slides.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
        SlideWriteError: the file cannot be written, or exists and `overwrite` is False.
    """
    check_output(path, (), overwrite)
    report = read_report(target)
    looks = {entry.source: _picture(target, entry) for entry in report.look[:thumbnails]}
    pictures, more = _pictures(target, thumbnails)
    filters = {"count": lambda number: f"{number:,}".replace(",", " "), "quoted": shlex.quote}
    values = {"looks": defaultdict(str, looks), "pictures": pictures, "more": more, "listed": _OF_A_CAUSE}
    page = rendered("wsicomp.batch", "report.html.j2", filters, report=report, **values)
    write_text(path, page, overwrite)


def _pictures(target: Path, most: int) -> tuple[list[tuple[Entry, str]], int]:
    """Return pictures of what was removed, as data URLs, and how many more there are.

    Slides with events come first, then those of which most was removed.
    """
    order = (
        f"WHERE state = 'done' ORDER BY ({_EVENTS}) DESC, 1.0 * removed_tiles / max(tiles, 1) DESC, source"
    )
    found: list[tuple[Entry, str]] = []
    more = 0
    with Ledger(target, read_only=True) as ledger:
        for entry in ledger.entries(order):
            if len(found) >= most:
                more += 1
                continue
            if picture := _picture(target, entry):
                found.append((entry, picture))
    return found, more


def _picture(target: Path, entry: Entry) -> str:
    """Return the small picture of what was removed from a slide, as a data URL; "" where there is none."""
    try:
        data = read_own(audit_path(target, entry.source), target, _PICTURE_BYTES)
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
