"""The morning report: what a ledger says, as figures, as a page, and as a table of all slides."""

from __future__ import annotations

import base64
import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wsicomp.atomic import check_output, completed
from wsicomp.batch.acceptance import picture_of
from wsicomp.batch.ledger import CONVERTED, SOURCE, Entry, Ledger, State, audit_path
from wsicomp.escaping import spreadsheet_cell
from wsicomp.html import rendered
from wsicomp.own_files import read_own
from wsicomp.progress import utc_now
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
_NOT_IN_TABLE = ("trace",)


@dataclass(frozen=True)
class Cause:
    """Failures of one cause: how many, and the first of them."""

    cause: str
    count: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Note:
    """What conversions say in words, and of which slides."""

    note: str
    count: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class BatchReport:
    """A tree of slides as its ledger has it. Bytes and tiles are over all that is done.

    `look` are all slides that a person has to look at before their sources may go, `pictures` the paths of
    what was removed from each, "" where there is no picture. `notes` are those of all conversions.
    `states` counts the slides of each state. `projected_bytes` is what the waiting ones will take if they
    save as the done ones did, None where none is. `slowest`, `savings`, `growths` (targets larger than their
    sources) and `events` (what the guard saved and what was damaged) are at most so many; `event_count`
    counts all of the last. `kept` are sources that were to be deleted and stay, the first of `kept_count`.
    `outdated` counts the done slides whose choices would be carried out otherwise now.
    """

    look: tuple[Entry, ...]
    pictures: dict[str, str]
    source: str
    target: str
    made: str
    software: str
    states: dict[str, int]
    source_bytes: int
    target_bytes: int
    waiting_bytes: int
    projected_bytes: int | None
    elapsed_s: float
    tiles: int
    removed_tiles: int
    restorable: int
    removals: dict[str, int]
    causes: tuple[Cause, ...]
    skips: tuple[Cause, ...]
    slowest: tuple[Entry, ...]
    savings: tuple[Entry, ...]
    growths: tuple[Entry, ...]
    events: tuple[Entry, ...]
    event_count: int
    kept: tuple[Entry, ...]
    kept_count: int
    outdated: int
    notes: tuple[Note, ...]

    @property
    def slides(self) -> int:
        """All slides that the ledger knows."""
        return sum(self.states.values())

    @property
    def saved(self) -> float:
        """The part of the done slides' bytes that was saved."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values, by the same names, without traces; the notes of a slide are a list."""
        values = asdict(self, dict_factory=entry_values)
        return {**values, "slides": self.slides, "saved": self.saved}


def entry_values(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an entry as JSON values, without its trace."""
    return {
        name: list(filter(None, value.split("\n"))) if name == "notes" and type(value) is str else value
        for name, value in pairs
        if name != "trace"
    }


def read_report(target: Path) -> BatchReport:
    """What became of a tree until now; also while a run goes on.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with Ledger(target, read_only=True) as ledger:
        (sums,) = ledger.figures(_SUMS)
        source_bytes, target_bytes, elapsed_s, tiles, removed, restorable = sums
        ((waiting_bytes,),) = ledger.figures(
            "SELECT total(source_bytes) FROM slides WHERE state IN ('waiting', 'running')"
        )
        ((event_count,),) = ledger.figures(_COUNT_EVENTS)
        ((kept_count,),) = ledger.figures(
            f"SELECT count(*) FROM slides WHERE {CONVERTED} AND kept_because != ''"  # noqa: S608
        )
        look = tuple(ledger.entries(f"WHERE state = '{State.LOOK}' ORDER BY source"))

        def first(where: str) -> tuple[Entry, ...]:
            return tuple(ledger.entries(f"WHERE {CONVERTED} AND {where}"))

        return BatchReport(
            look=look,
            pictures={entry.source: str(picture_of(target, entry) or "") for entry in look},
            source=ledger.fact(SOURCE) or "",
            target=str(target),
            made=utc_now(),
            software=SOFTWARE,
            states={str(state): 0 for state in State}
            | dict(ledger.figures("SELECT state, count(*) FROM slides WHERE target != '' GROUP BY state")),
            source_bytes=int(source_bytes),
            target_bytes=int(target_bytes),
            waiting_bytes=int(waiting_bytes),
            projected_bytes=round(waiting_bytes * target_bytes / source_bytes) if source_bytes else None,
            elapsed_s=elapsed_s,
            tiles=int(tiles),
            removed_tiles=int(removed),
            restorable=int(restorable),
            removals=dict(
                ledger.figures("SELECT removal, count(*) FROM slides WHERE removal != '' GROUP BY removal")
            ),
            causes=tuple(_causes(ledger, State.FAILED)),
            skips=tuple(_causes(ledger, State.SKIPPED)),
            slowest=first(f"NOT adopted ORDER BY elapsed_s DESC LIMIT {_LISTED}"),
            savings=first(
                f"source_bytes > target_bytes ORDER BY source_bytes - target_bytes DESC LIMIT {_LISTED}"
            ),
            growths=first(
                "source_bytes * 1.0005 < target_bytes "
                f"ORDER BY target_bytes - source_bytes DESC LIMIT {_LISTED}"
            ),
            events=first(
                f"({_EVENTS}) ORDER BY lost_tiles DESC, flawed_tiles DESC, "
                f"rescued_tiles + fell_back_tiles DESC LIMIT {_LISTED}"
            ),
            event_count=event_count,
            kept=first(f"kept_because != '' ORDER BY kept_cause, source LIMIT {_OF_A_CAUSE}"),
            kept_count=kept_count,
            outdated=_outdated(ledger),
            notes=tuple(_notes(ledger)),
        )


def outdated_text(count: int) -> str:
    """Return what is said of so many slides that would be made otherwise now."""
    were = "slide was" if count == 1 else "slides were"
    return (
        f"{count} finished {were} made with other defaults or an older version; --redo-outdated converts "
        f"{'it' if count == 1 else 'them'} again"
    )


def _outdated(ledger: Ledger) -> int:
    """How many slides that are done, and whose sources are there, the same choices would make otherwise."""
    records = ledger.settings()
    query = f"SELECT settings, count(*) FROM slides WHERE {CONVERTED} AND removal = '' GROUP BY settings"  # noqa: S608
    return sum(
        count
        for digest, count in ledger.figures(query)
        if digest and (digest not in records or records[digest].is_outdated())
    )


def _notes(ledger: Ledger) -> Iterator[Note]:
    """Every note of every conversion, with its slides: those of most slides first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    query = f"SELECT source, notes FROM slides WHERE {CONVERTED} AND notes != '' ORDER BY source"  # noqa: S608
    for source, notes in ledger.figures(query):
        for note in dict.fromkeys(filter(None, notes.split("\n"))):
            found[note].append(source)
    for note, sources in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        yield Note(note, len(sources), tuple(sources))


def _causes(ledger: Ledger, state: State) -> Iterator[Cause]:
    rows = ledger.figures(
        f"SELECT cause, count(*) FROM slides WHERE state = '{state}' "  # noqa: S608 - one of ours
        "GROUP BY cause ORDER BY count(*) DESC, cause"
    )
    for cause, count in rows:
        where = f"WHERE state = ? AND cause = ? ORDER BY source LIMIT {_OF_A_CAUSE}"
        yield Cause(cause, count, tuple(ledger.entries(where, (str(state), cause))))


def write_csv(target: Path, path: Path, overwrite: bool = False) -> None:
    """A table of all slides, a line each, by the names of `Entry`'s fields; first those to be looked at.

    Raises:
        LedgerError: as `read_report`.
        SlideWriteError: the file cannot be written, or exists.
    """
    check_output(path, (), overwrite)
    names = [field.name for field in fields(Entry) if field.name not in _NOT_IN_TABLE]
    with (
        Ledger(target, read_only=True) as ledger,
        completed(path, overwrite) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow([*names, "saved"])
        for entry in ledger.entries():
            cells = (spreadsheet_cell(getattr(entry, name)) for name in names)
            table.writerow([*cells, f"{entry.saved:.6f}"])


def write_html(target: Path, path: Path, overwrite: bool = False, thumbnails: int = _THUMBNAILS) -> None:
    """The report as one page that needs nothing else, with at most so many pictures of slides.

    Raises:
        LedgerError: as `read_report`.
        SlideWriteError: as `write_csv`.
    """
    check_output(path, (), overwrite)
    report = read_report(target)
    looks = {entry.source: _picture(target, entry) for entry in report.look[:thumbnails]}
    pictures, more = _pictures(target, thumbnails)
    filters = {"count": lambda number: f"{number:,}".replace(",", " ")}
    values = {"looks": defaultdict(str, looks), "pictures": pictures, "more": more, "listed": _OF_A_CAUSE}
    page = rendered("wsicomp.batch", "report.html.j2", filters, report=report, **values)
    with completed(path, overwrite) as partial:
        partial.write_text(page, "utf-8")


def _pictures(target: Path, most: int) -> tuple[list[tuple[Entry, str]], int]:
    """The pictures of what was removed, as data URLs: guard events first, then where most went."""
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
    """The small picture of what was removed from a slide, as a data URL; "" where there is none."""
    try:
        data = read_own(audit_path(target, entry.source), target, _PICTURE_BYTES)
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
