"""The morning report: what a ledger says, as figures, as a page, and as a table of all slides."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wsicomp.batch.ledger import Entry, Ledger, State, audit_path
from wsicomp.batch.watch import utc_now
from wsicomp.outputs import check_output, completed
from wsicomp.pages import rendered
from wsicomp.version import SOFTWARE

_LISTED = 20
_OF_A_CAUSE = 200
_THUMBNAILS = 300
_EVENTS = "rescued_tiles > 0 OR flawed_tiles > 0 OR lost_tiles > 0 OR fell_back_tiles > 0"
_COUNT_EVENTS = f"SELECT count(*) FROM slides WHERE state = 'done' AND ({_EVENTS})"  # noqa: S608
_NOT_IN_TABLE = ("trace",)


@dataclass(frozen=True)
class Cause:
    """Failures of one cause: how many, and the first of them."""

    cause: str
    count: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class BatchReport:
    """A tree of slides as its ledger has it. Bytes and tiles are over all that is done.

    `states` counts the slides of each state. `projected_bytes` is what the waiting ones will take if they
    save as the done ones did, None where none is. `slowest`, `savings`, `growths` (targets larger than their
    sources) and `events` (what the guard saved and what was damaged) are at most so many; `event_count`
    counts all of the last. `kept` are sources that were to be deleted and stay.
    """

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

    @property
    def slides(self) -> int:
        """All slides that the ledger knows."""
        return sum(self.states.values())

    @property
    def saved(self) -> float:
        """The part of the done slides' bytes that was saved."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values, by the same names, without traces."""
        values = asdict(self, dict_factory=_without_trace)
        return {**values, "slides": self.slides, "saved": self.saved}


def _without_trace(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name != "trace"}


def read_report(target: Path) -> BatchReport:
    """What became of a tree until now; also while a run goes on.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with Ledger(target, read_only=True) as ledger:
        (sums,) = ledger.figures(
            "SELECT total(source_bytes), total(target_bytes), total(elapsed_s), total(tiles), "
            "total(removed_tiles), total(restorable) FROM slides WHERE state = 'done'"
        )
        source_bytes, target_bytes, elapsed_s, tiles, removed, restorable = sums
        ((waiting_bytes,),) = ledger.figures(
            "SELECT total(source_bytes) FROM slides WHERE state IN ('waiting', 'running')"
        )
        ((event_count,),) = ledger.figures(_COUNT_EVENTS)

        def first(where: str) -> tuple[Entry, ...]:
            return tuple(ledger.entries(f"WHERE state = 'done' AND {where} LIMIT {_LISTED}"))

        return BatchReport(
            source=ledger.fact("source") or "",
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
            slowest=first("NOT adopted ORDER BY elapsed_s DESC"),
            savings=first("source_bytes > target_bytes ORDER BY source_bytes - target_bytes DESC"),
            growths=first("source_bytes * 1.0005 < target_bytes ORDER BY target_bytes - source_bytes DESC"),
            events=first(
                f"({_EVENTS}) ORDER BY lost_tiles DESC, flawed_tiles DESC, "
                "rescued_tiles + fell_back_tiles DESC"
            ),
            event_count=event_count,
            kept=first("kept_because != '' ORDER BY source"),
        )


def _causes(ledger: Ledger, state: State) -> Iterator[Cause]:
    rows = ledger.figures(
        f"SELECT cause, count(*) FROM slides WHERE state = '{state}' "  # noqa: S608 - one of ours
        "GROUP BY cause ORDER BY count(*) DESC, cause"
    )
    for cause, count in rows:
        where = f"WHERE state = ? AND cause = ? ORDER BY source LIMIT {_OF_A_CAUSE}"
        yield Cause(cause, count, tuple(ledger.entries(where, (str(state), cause))))


def write_csv(target: Path, path: Path, overwrite: bool = False) -> None:
    """A table of all slides, a line each, by the names of `Entry`'s fields.

    Raises:
        LedgerError: as `read_report`.
        SlideWriteError: the file cannot be written, or exists.
    """
    check_output(path, (), overwrite)
    names = [field.name for field in fields(Entry) if field.name not in _NOT_IN_TABLE]
    with (
        Ledger(target, read_only=True) as ledger,
        completed(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow([*names, "saved"])
        for entry in ledger.entries():
            table.writerow([*(getattr(entry, name) for name in names), f"{entry.saved:.6f}"])


def write_html(target: Path, path: Path, overwrite: bool = False, thumbnails: int = _THUMBNAILS) -> None:
    """The report as one page that needs nothing else, with at most so many pictures of slides.

    Raises:
        LedgerError: as `read_report`.
        SlideWriteError: as `write_csv`.
    """
    check_output(path, (), overwrite)
    report = read_report(target)
    pictures, more = _pictures(target, thumbnails)
    filters = {"count": lambda number: f"{number:,}".replace(",", " ")}
    page = rendered("wsicomp.batch", "report.html.j2", filters, report=report, pictures=pictures, more=more)
    with completed(path) as partial:
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
            try:
                data = audit_path(target, entry.source).read_bytes()
            except OSError:
                continue
            found.append((entry, f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"))
    return found, more
